//! How long to wait after a failure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Pauses after failures, ms. They double with each failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// After the first 429. Duo's lock-outs last up to four minutes, and it does not say how long.
    pub rate_limited_first: i64,
    /// Longest after a 429.
    pub rate_limited_max: i64,
    /// After the first failure that may pass by itself; between half of it and all of it is waited.
    pub transient_first: i64,
    /// Longest after such a failure.
    pub transient_max: i64,
    /// After a refusal that only a change of the configuration mends.
    pub refused: i64,
}

impl Default for BackOff {
    fn default() -> Self {
        BackOff {
            rate_limited_first: 60_000,
            rate_limited_max: 300_000,
            transient_first: 4_000,
            transient_max: 300_000,
            refused: 600_000,
        }
    }
}

impl BackOff {
    /// Shorter pauses, for a simulator on this machine that is polled `part / whole` as often apart as Duo.
    #[must_use]
    pub fn scaled(self, part: i64, whole: i64) -> Self {
        let scale = |ms: i64| (ms.saturating_mul(part) / whole.max(1)).max(1);
        BackOff {
            rate_limited_first: scale(self.rate_limited_first),
            rate_limited_max: scale(self.rate_limited_max),
            transient_first: scale(self.transient_first),
            transient_max: scale(self.transient_max),
            refused: scale(self.refused),
        }
    }

    /// After the `attempt`th 429 in a row (from 1), ms. What Duo asks for is the least, up to an hour; up to a tenth more is
    /// waited, by `seed`, so that tasks do not ask in step.
    #[must_use]
    pub fn after_rate_limit(&self, attempt: u32, asked: Option<Duration>, seed: &str) -> i64 {
        let asked = asked
            .map_or(0, |asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX))
            .min(3_600_000);
        let least = doubled(self.rate_limited_first, attempt)
            .min(self.rate_limited_max)
            .max(asked);
        least + spread(least / 10, &(seed, attempt))
    }

    /// After the `attempt`th failure in a row (from 1), ms. `seed` tells tasks apart, so that they do not ask in step.
    #[must_use]
    pub fn after_failure(&self, attempt: u32, seed: &str) -> i64 {
        let most = doubled(self.transient_first, attempt).min(self.transient_max).max(1);
        most - spread(most / 2, &(seed, attempt))
    }
}

/// A number from 0 to `most`, the same for equal seeds.
pub(crate) fn spread(most: i64, seed: &impl Hash) -> i64 {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    i64::try_from(hasher.finish() >> 1).unwrap_or(0) % (most.max(0) + 1)
}

fn doubled(first: i64, attempt: u32) -> i64 {
    first.saturating_mul(1 << attempt.saturating_sub(1).min(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_waited_out_for_a_minute_at_least_and_five_at_most() {
        let back_off = BackOff::default();
        for (attempt, least) in [(1, 60_000), (2, 120_000), (3, 240_000), (4, 300_000), (5, 300_000)] {
            let wait = back_off.after_rate_limit(attempt, None, "acme");
            assert!((least..=least + least / 10).contains(&wait), "{attempt}: {wait}");
        }
        let asked = |seconds| back_off.after_rate_limit(1, Some(Duration::from_secs(seconds)), "acme");
        assert!((60_000..=66_000).contains(&asked(5)));
        assert!((900_000..=990_000).contains(&asked(900)));
        assert!((3_600_000..=3_960_000).contains(&asked(u64::MAX)));
    }

    #[test]
    fn failures_wait_between_half_and_all_of_a_doubling_pause() {
        let back_off = BackOff::default();
        for attempt in 1..40 {
            let most = (4_000_i64 << (attempt - 1).min(20)).min(300_000);
            let wait = back_off.after_failure(attempt, "acme/telephony");
            assert!((most / 2..=most).contains(&wait), "{attempt}: {wait}");
        }
    }

    #[test]
    fn a_simulator_is_waited_for_in_proportion() {
        let back_off = BackOff::default().scaled(1_200, 120_000);
        assert!((600..=660).contains(&back_off.after_rate_limit(1, None, "acme")));
        assert_eq!(back_off.refused, 6_000);
    }
}
