//! RFC 3339 to ms since the Unix epoch, as tolerant as Duo's rows need and no more.

/// The time a Duo text tells, floored to ms. Stray spaces are tolerated (`2021-07-20T11: 41: 31+00: 00`), as is a missing
/// zone (taken as UTC).
#[must_use]
pub fn rfc3339_to_ms(text: &str) -> Option<i64> {
    parse(text.as_bytes()).or_else(|| {
        let text = text.trim();
        match joined(text) {
            None => parse(text.as_bytes()),
            Some(joined) => parse(joined.as_bytes()),
        }
    })
}

/// The same without stray white space. None: there is none.
pub(crate) fn joined(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.contains(char::is_whitespace) {
        return None;
    }
    // `2021-07-20 11:41:31` separates with a space; any other is stray.
    let (date, time) = text
        .split_once(['T', 't'])
        .or_else(|| text.split_once(char::is_whitespace))?;
    Some([date, "T", time].concat().split_whitespace().collect())
}

/// The time as people and SIEMs read it: `2026-11-22T07:10:02.114Z`.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    let (days, within) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (within / 3_600_000, within / 60_000 % 60, within / 1000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        within % 1000
    )
}

/// Ms since the Unix epoch of a number that counts from it. What would lie beyond the year 5138 in seconds counts ms, what
/// would in ms counts us: writers mix them up. None: beyond i64.
pub(crate) fn epoch_to_ms(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(1000),
        100_000_000_000..100_000_000_000_000 => Some(number),
        _ => Some(number.div_euclid(1000)),
    }
}

fn parse(text: &[u8]) -> Option<i64> {
    let mut rest = Digits(text);
    let year = rest.number(4)?;
    rest.byte(b"-")?;
    let month = rest.number(2)?;
    rest.byte(b"-")?;
    let day = rest.number(2)?;
    rest.byte(b"Tt")?;
    let hour = rest.number(2)?;
    rest.byte(b":")?;
    let minute = rest.number(2)?;
    rest.byte(b":")?;
    let second = rest.number(2)?;
    let ms = if rest.byte(b".").is_some() { rest.fraction()? } else { 0 };
    let offset = rest.zone()?;
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && rest.0.is_empty();
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    valid.then_some(seconds * 1000 + ms)
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number.iter().try_fold(0, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
        })?;
        self.0 = rest;
        Some(value)
    }

    /// Digits after the point, as whole ms; the rest is cut off.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let padded = fraction.iter().chain(b"000").take(3);
        (digits > 0).then(|| padded.fold(0, |value, byte| value * 10 + i64::from(byte - b'0')))
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.byte(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.byte(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2)?;
        let _ = self.byte(b":");
        let minutes = if self.0.is_empty() { 0 } else { self.number(2)? };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant's days_from_civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The other way (civil_from_days).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duo_spellings_of_time() {
        for (text, ms) in [
            ("1970-01-01T00:00:00+00:00", 0),
            ("2023-11-01T08:42:33.314482+00:00", 1_698_828_153_314),
            ("2023-11-01T08:42:33.3+00:00", 1_698_828_153_300),
            ("2023-11-01T08:42:33Z", 1_698_828_153_000),
            ("2023-11-01T10:42:33.999999+02:00", 1_698_828_153_999),
            ("2021-07-20T11: 41: 31+00: 00", 1_626_781_291_000),
            ("2021-07-20 11:41:31", 1_626_781_291_000),
            ("2021-07-20\t11:41:31 +0000", 1_626_781_291_000),
            ("2021-07-20T13:41:31+02", 1_626_781_291_000),
            ("2021-07-20T11:41:31.123456789Z", 1_626_781_291_123),
            ("1969-12-31T23:59:59.999+00:00", -1),
            ("2024-02-29T00:00:00+00:00", 1_709_164_800_000),
        ] {
            assert_eq!(rfc3339_to_ms(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-11-01T24:00:00Z",
            "2023-11-01",
            "2023-11-01T08:42:33.Z",
            "2023-11-01T08:42:33Zulu",
            "２０２３-11-01T08:42:33Z",
        ] {
            assert_eq!(rfc3339_to_ms(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_in_seconds_or_finer() {
        for (number, ms) in [
            (0, Some(0)),
            (1_698_828_153, Some(1_698_828_153_000)),
            (1_698_828_153_314, Some(1_698_828_153_314)),
            (1_698_828_153_314_482, Some(1_698_828_153_314)),
            (-1, Some(-1000)),
            (i64::MAX, Some(i64::MAX / 1000)),
        ] {
            assert_eq!(epoch_to_ms(number), ms, "{number}");
        }
    }

    #[test]
    fn there_and_back() {
        for ms in [
            0,
            -1,
            1_698_828_153_314,
            951_782_400_000,
            4_102_444_799_999,
            -62_135_596_800_000,
        ] {
            assert_eq!(rfc3339_to_ms(&rfc3339(ms)), Some(ms), "{}", rfc3339(ms));
        }
        assert_eq!(rfc3339(1_698_828_153_314), "2023-11-01T08:42:33.314Z");
    }
}
