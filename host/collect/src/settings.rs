//! How often, how far back, how long.

use picket_duo::Host;

use crate::back_off::BackOff;

/// Duo asks not to be polled more often than once a minute for each log; two minutes leave room for a second page.
const LEAST_POLL_INTERVAL: i64 = 120_000;

/// A start further back than Duo keeps is refused by Duo; this much less stays valid while a request waits.
pub(crate) const RETENTION: i64 = 180 * 86_400_000 - 600_000;

/// What counts as one of Duo's minutes, ms: two seconds more than it has, for requests of one minute that are under way for so
/// long that Duo meets them in the next.
const MINUTE: i64 = 62_000;

/// How a log is polled. Times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the start of one poll to the start of the next.
    pub poll_interval: i64,
    /// How far before the first start to begin, at most 180 days.
    pub start: i64,
    /// How far before the high-water mark to read again, to find rows that Duo indexed late.
    pub overlap: i64,
    /// How long Duo holds rows back: windows end so much before its clock.
    pub delay: i64,
    /// How much later still a row may come and yet be judged in order: `complete` marks stay so much behind.
    pub lateness: i64,
    /// After so long without progress a failing log is marked as stalled.
    pub max_wait: i64,
    /// Longest window, for a log that is far behind.
    pub window: i64,
    /// Rows a page (v2), and what counts as a full answer (v1).
    pub page_limit: u16,
    /// Most calls that an account is asked in any minute, all endpoints together. See [`crate::Budget`].
    pub max_calls_per_minute: u32,
    /// What counts as a minute there: less for a simulator that is polled faster than Duo.
    pub minute: i64,
    /// The first polls of an account's logs are spread over this long, so that many accounts do not ask in step.
    pub stagger: i64,
    /// How far back the Trust Monitor is read again: its rows change after they were first given.
    pub trust_monitor_overlap: i64,
    /// A log that fails or is refused for so long is reported as blind.
    pub blind_after: i64,
    /// A log that brings nothing for so long, though it was busy before, is reported as silent.
    pub silent_after: i64,
    /// So many events in memory wait for other logs at most; then logs that are ahead are not asked for more.
    pub most_waiting: usize,
    /// Pauses after failures.
    pub back_off: BackOff,
}

/// Why the settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Too fast for Duo.
    #[error(
        "poll_interval: {given_s} s is too often: Duo locks out who asks more than once a minute for a log; 120 s is the least"
    )]
    TooOften {
        /// What was given, s.
        given_s: i64,
    },
    /// Further back than Duo keeps.
    #[error("start: Duo keeps 180 days at most; {given_days} days are further back")]
    TooFarBack {
        /// What was given, days.
        given_days: i64,
    },
}

impl Settings {
    /// The usual settings for a host. A simulator on this machine may be polled faster; its limits shrink in proportion.
    ///
    /// # Errors
    /// [`SettingsError::TooOften`].
    pub fn new(host: &Host, poll_interval: i64) -> Result<Self, SettingsError> {
        let is_fast = poll_interval < LEAST_POLL_INTERVAL;
        if poll_interval <= 0 || (is_fast && !host.is_loopback()) {
            return Err(SettingsError::TooOften {
                given_s: poll_interval / 1000,
            });
        }
        let part = poll_interval.min(LEAST_POLL_INTERVAL);
        Ok(Settings {
            poll_interval,
            start: 35 * 86_400_000,
            overlap: 900_000,
            delay: 120_000,
            lateness: 0,
            max_wait: 600_000,
            window: 35 * 86_400_000,
            page_limit: 1000,
            max_calls_per_minute: 50,
            minute: (MINUTE * part / LEAST_POLL_INTERVAL).max(1),
            stagger: if is_fast { 0 } else { poll_interval },
            trust_monitor_overlap: 7 * 86_400_000,
            blind_after: 900_000,
            silent_after: 3 * 3_600_000,
            most_waiting: 200_000,
            back_off: BackOff::default().scaled(part, LEAST_POLL_INTERVAL),
        })
    }

    /// Begins so far (ms) before the first start.
    ///
    /// # Errors
    /// [`SettingsError::TooFarBack`].
    pub fn starting(mut self, ago: i64) -> Result<Self, SettingsError> {
        if !(0..=180 * 86_400_000).contains(&ago) {
            return Err(SettingsError::TooFarBack {
                given_days: ago / 86_400_000,
            });
        }
        self.start = ago;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duo_is_not_polled_more_often_than_every_two_minutes() {
        let duo: Host = "api-00000000.duosecurity.com".parse().unwrap();
        let here: Host = "127.0.0.1:40441".parse().unwrap();
        assert!(
            Settings::new(&duo, 119_999)
                .unwrap_err()
                .to_string()
                .contains("120 s is the least")
        );
        assert_eq!(Settings::new(&duo, 120_000).unwrap().back_off, BackOff::default());
        assert_eq!(Settings::new(&duo, 600_000).unwrap().minute, 62_000);
        assert_eq!(Settings::new(&here, 1_200).unwrap().back_off.rate_limited_first, 600);
        assert_eq!(Settings::new(&here, 1_200).unwrap().minute, 620);
        assert!(Settings::new(&here, 0).is_err());
    }

    #[test]
    fn a_start_is_within_what_duo_keeps() {
        let settings = Settings::new(&"localhost".parse().unwrap(), 120_000).unwrap();
        assert!(settings.starting(180 * 86_400_000).is_ok());
        assert!(settings.starting(181 * 86_400_000).is_err());
        assert!(settings.starting(-1).is_err());
    }
}
