//! Dates as HTTP writes them. Whatever a server sends, nothing here panics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: beyond it HTTP has no date.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The system's clock, ms since the Unix epoch.
#[must_use]
pub fn system_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn format(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since.min(LAST))
}

pub(crate) fn parse(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text.trim())
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// `Retry-After`: seconds, or a date by the server's own clock. Never longer than a day.
pub(crate) fn retry_after(text: &str, server_ms: Option<i64>) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(86_400);
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(DAY));
    }
    let wait = parse(text)?.saturating_sub(server_ms?);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("90", None), Some(Duration::from_secs(90)));
        let date = format(1_782_896_520_000);
        assert_eq!(
            retry_after(&date, Some(1_782_896_400_000)),
            Some(Duration::from_secs(120))
        );
        assert_eq!(retry_after(&date, Some(1_782_896_600_000)), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", Some(0)), None);
        assert_eq!(
            retry_after(&u64::MAX.to_string(), None),
            Some(Duration::from_secs(86_400))
        );
    }

    #[test]
    fn no_date_is_too_odd() {
        for text in [
            "",
            "yesterday",
            "Thu, 32 Foo 2024",
            "Thu, 01 Jan 0000 00:00:00 GMT",
            "Wed, 01 Jul 2026 25:61:61 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert!(parse(&format(ms)).is_some());
        }
        assert_eq!(parse("Wed, 01 Jul 2026 09:05:07 GMT"), Some(1_782_896_707_000));
    }
}
