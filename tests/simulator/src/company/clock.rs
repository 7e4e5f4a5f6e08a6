//! Times: microseconds since the epoch, UTC, written the way Duo writes them. Nothing here reads a clock.

/// One second, in microseconds, like every span here.
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// `2026-11-22T08:00:00.123456+00:00`: the v2 logs.
pub(crate) fn iso_micros(us: i64) -> String {
    let (date, time) = parts(us);
    format!("{date}T{time}.{:06}+00:00", us.rem_euclid(SECOND))
}

/// `2026-11-22T08:00:00+00:00`: the v1 logs.
pub(crate) fn iso_seconds(us: i64) -> String {
    let (date, time) = parts(us);
    format!("{date}T{time}+00:00")
}

/// Whether the UTC day is a Saturday or a Sunday.
pub(crate) fn weekend(us: i64) -> bool {
    // The epoch was a Thursday.
    (us.div_euclid(DAY) + 3).rem_euclid(7) >= 5
}

fn parts(us: i64) -> (String, String) {
    let (year, month, day) = civil(us.div_euclid(DAY));
    let second = us.rem_euclid(DAY) / SECOND;
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60),
    )
}

/// Year, month and day of a day number (0 = 1970-01-01), by the well-known era arithmetic of the proleptic Gregorian calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * month_from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_duo_writes_them() {
        assert_eq!(iso_micros(1_666_714_065_304_526), "2022-10-25T16:07:45.304526+00:00");
        assert_eq!(iso_seconds(1_582_934_400_999_999), "2020-02-29T00:00:00+00:00");
        assert_eq!(iso_micros(0), "1970-01-01T00:00:00.000000+00:00");
    }

    #[test]
    fn weekends_are_found() {
        let sunday = 1_795_305_600_000_000; // 2026-11-22
        assert_eq!(iso_seconds(sunday), "2026-11-22T00:00:00+00:00");
        assert!(weekend(sunday) && weekend(sunday - 1) && !weekend(sunday + DAY) && !weekend(sunday - DAY - 1));
    }
}
