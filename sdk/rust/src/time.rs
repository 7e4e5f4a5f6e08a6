//! Event time: points and spans, in milliseconds.

use std::fmt;
use std::ops::{Add, Sub};

/// A point in event time, ms since the Unix epoch. Shown as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A span of time, ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

impl Time {
    /// From ms since the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Time(ms)
    }

    /// Ms since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The hour of the day in UTC, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.rem_euclid(DAY) / HOUR
    }

    /// The day of the week in UTC, 1 for Monday to 7 for Sunday.
    #[must_use]
    pub const fn weekday(self) -> i64 {
        (self.0.div_euclid(DAY) + 3).rem_euclid(7) + 1
    }
}

impl Span {
    /// From ms.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Span(ms)
    }

    /// From hours.
    #[must_use]
    pub const fn hours(hours: i64) -> Self {
        Span(hours.saturating_mul(HOUR))
    }

    /// Ms.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, more: Span) -> Span {
        Span(self.0.saturating_add(more.0))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Sub for Time {
    type Output = Span;
    fn sub(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        let ms = self.0.rem_euclid(DAY);
        let (hour, minute, second) = (ms / HOUR, ms / (60 * SECOND) % 60, ms / SECOND % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            ms % SECOND
        )
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "d"), (HOUR, "h"), (60 * SECOND, "m"), (SECOND, "s"), (1, "ms")];
        match units.iter().find(|(unit, _)| self.0 != 0 && self.0 % unit == 0) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0s"),
        }
    }
}

/// Year, month and day of a day since the Unix epoch, by the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_people_write_it() {
        assert_eq!(Time::from_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time::from_ms(1_795_331_402_114).to_string(), "2026-11-22T07:10:02.114Z");
        assert_eq!(Time::from_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Time::from_ms(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        for (ms, text) in [
            (0, "0s"),
            (90_000, "90s"),
            (1_800_000, "30m"),
            (86_400_000, "1d"),
            (1_500, "1500ms"),
        ] {
            assert_eq!(Span::from_ms(ms).to_string(), text);
        }
    }

    #[test]
    fn hours_and_days_are_utc() {
        let sunday = Time::from_ms(1_795_331_402_114);
        assert_eq!((sunday.hour(), sunday.weekday()), (7, 7));
        assert_eq!(Time::from_ms(0).weekday(), 4);
    }
}
