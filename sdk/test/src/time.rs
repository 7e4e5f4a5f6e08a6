//! Times and spans as test authors write them.
//!
//! A case happens on one day that is nobody's birthday: Monday 2026-01-05, UTC. `"09:00"` is that day; `"36d 09:00"` is 36
//! days later; `+40s` is after the event before; a full RFC 3339 time is itself.

use jiff::Timestamp;
pub use picket_contract::params::span;

/// Midnight of the day on which cases happen, ms since the Unix epoch (2026-01-05T00:00:00Z).
pub const DAY_ZERO: i64 = 1_767_571_200_000;

/// A time of a step or of an expectation, in ms; `+span` counts from `previous`.
///
/// # Errors
/// What is wrong, in words.
pub fn at(text: &str, previous: Option<i64>) -> Result<i64, String> {
    let text = text.trim();
    if let Some(after) = text.strip_prefix('+') {
        let previous = previous.ok_or_else(|| format!("`{text}` counts from the event before, but there is none"))?;
        return Ok(previous + span(after)?);
    }
    if text.contains('T') {
        let time: Timestamp = text
            .parse()
            .map_err(|error| format!("`{text}` is not an RFC 3339 time: {error}"))?;
        return Ok(time.as_millisecond());
    }
    let (days, clock) = match text.split_once(' ') {
        Some((days, clock)) => (span(days)?, clock),
        None => (0, text),
    };
    let wrong = || format!("`{text}` is not a time; write one like \"09:00\", \"02:12:10\", \"36d 09:00\" or +40s");
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (Some(Some(hours)), Some(Some(minutes))) = (parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let seconds = match parts.next() {
        None => 0.0,
        Some(seconds) => seconds.ok_or_else(wrong)?,
    };
    if parts.next().is_some() || hours >= 24.0 || minutes >= 60.0 || !(0.0..60.0).contains(&seconds) {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, reason = "bounded above: a day has 86,400,000 ms")]
    let ms = (hours * 3_600_000.0 + minutes * 60_000.0 + seconds * 1_000.0).round() as i64;
    Ok(DAY_ZERO + days + ms)
}

/// A time for people: as in the case file where it is on the case's days, else RFC 3339.
#[must_use]
pub fn show(ms: i64) -> String {
    let since = ms - DAY_ZERO;
    if !(0..400 * 86_400_000).contains(&since) {
        return Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string());
    }
    let (days, rest) = (since / 86_400_000, since % 86_400_000);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    let day = if days == 0 { String::new() } else { format!("{days}d ") };
    format!("{day}{hours:02}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_zero_is_the_day_the_docs_say() {
        assert_eq!(
            Timestamp::from_millisecond(DAY_ZERO).unwrap().to_string(),
            "2026-01-05T00:00:00Z"
        );
    }

    #[test]
    fn times_read_as_they_are_written() {
        let first = at("02:10", None).unwrap();
        assert_eq!(first, DAY_ZERO + 130 * 60_000);
        assert_eq!(at("+24h1m", Some(first)).unwrap(), first + 86_460_000);
        assert_eq!(
            at("36d 09:00:30", None).unwrap(),
            DAY_ZERO + 36 * 86_400_000 + 9 * 3_600_000 + 30_000
        );
        assert_eq!(show(at("36d 09:00:30", None).unwrap()), "36d 09:00:30");
        assert_eq!(at("2026-01-05T00:00:01Z", None).unwrap(), DAY_ZERO + 1_000);
    }

    #[test]
    fn what_cannot_be_read_says_what_could() {
        assert!(at("+5m", None).unwrap_err().contains("there is none"));
        assert!(at("25:00", None).unwrap_err().contains("09:00"));
        assert!(span("5 parsecs").unwrap_err().contains("40s"));
    }
}
