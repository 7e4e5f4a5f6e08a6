//! The one place where the daemon reads the wall clock, and times as people write them.

use anyhow::Context as _;
use jiff::Timestamp;
use picket_contract::params::span;

/// ms since the Unix epoch.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// For machines.
pub(crate) fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(
        |_| ms.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// For people: the date only where it is not today.
pub(crate) fn short(ms: i64, now: i64) -> String {
    let format = if ms.div_euclid(86_400_000) == now.div_euclid(86_400_000) {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.strftime(format).to_string())
}

/// An RFC 3339 time, for people, to the minute; the date only where it is not today.
pub(crate) fn minute(time: &str) -> Option<String> {
    let time: Timestamp = time.parse().ok()?;
    let short = short(time.as_millisecond(), now());
    short.rsplit_once(':').map(|(minute, _)| minute.to_owned())
}

/// A point in time: an RFC 3339 time, a day (its beginning, UTC), or a span back from `now`; ms.
///
/// # Errors
/// None of these.
pub(crate) fn point(text: &str, now: i64) -> anyhow::Result<i64> {
    match text.parse::<jiff::civil::Date>() {
        Ok(day) if !text.contains('T') => Ok(day.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond()),
        _ => since(text, now).with_context(|| "write 2026-05-01, 2026-05-01T09:00:00Z, or 7d for seven days ago"),
    }
}

/// How long, for people: the two largest units.
pub(crate) fn long(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `1 alert`, `2 alerts`.
pub(crate) fn plural(count: usize, one: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{one}{many}")
}

/// `24h`, `7d` back from `now`, or an RFC 3339 time; ms.
///
/// # Errors
/// Neither.
pub(crate) fn since(text: &str, now: i64) -> anyhow::Result<i64> {
    if let Ok(back) = span(text) {
        return Ok(now - back);
    }
    let time: Timestamp = text
        .parse()
        .with_context(|| format!("`{text}` is neither a span such as 24h nor an RFC 3339 time"))?;
    Ok(time.as_millisecond())
}
