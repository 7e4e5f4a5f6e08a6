//! The rate limit: so many requests a minute for each integration key and path.
//!
//! Duo says nothing about it in any header; the answer is a bare 429. With a lock-out, a refusal is followed by further
//! refusals for a while, however patiently one asks. Minutes are the wall's, however fast the simulated clock runs.

use std::collections::{HashMap, VecDeque};

use super::settings::Limit;

const MINUTE_MS: i64 = 60_000;

#[derive(Debug, Default)]
struct Bucket {
    /// Wall times of the requests admitted in the last minute, oldest first.
    admitted: VecDeque<i64>,
    locked_until: i64,
}

/// Who asked when.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    buckets: HashMap<(String, String), Bucket>,
}

impl Limiter {
    /// Whether this request may go on.
    pub(super) fn admit(&mut self, limit: Limit, ikey: &str, path: &str, wall_ms: i64) -> bool {
        let Some(per_minute) = limit.per_minute else {
            return true;
        };
        let bucket = self.buckets.entry((ikey.to_owned(), path.to_owned())).or_default();
        if wall_ms < bucket.locked_until {
            return false;
        }
        while bucket.admitted.front().is_some_and(|at| *at <= wall_ms - MINUTE_MS) {
            bucket.admitted.pop_front();
        }
        if bucket.admitted.len() < usize::try_from(per_minute).unwrap_or(usize::MAX) {
            bucket.admitted.push_back(wall_ms);
            return true;
        }
        bucket.locked_until = wall_ms.saturating_add(limit.lock_out_s.saturating_mul(1_000));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_a_minute_for_each_key_and_path() {
        let mut limiter = Limiter::default();
        let limit = Limit {
            per_minute: Some(2),
            lock_out_s: 0,
        };
        let mut ask = |ikey: &str, path: &str, s: i64| limiter.admit(limit, ikey, path, s * 1_000);
        assert!(ask("a", "/x", 0));
        assert!(ask("a", "/x", 30));
        assert!(!ask("a", "/x", 59));
        assert!(ask("a", "/y", 59), "another path");
        assert!(ask("b", "/x", 59), "another key");
        assert!(ask("a", "/x", 60), "the first is a minute old");
        assert!(!ask("a", "/x", 61));
    }

    #[test]
    fn a_lock_out_outlasts_the_minute() {
        let mut limiter = Limiter::default();
        let limit = Limit {
            per_minute: Some(1),
            lock_out_s: 240,
        };
        assert!(limiter.admit(limit, "a", "/x", 0));
        assert!(!limiter.admit(limit, "a", "/x", 1_000));
        assert!(!limiter.admit(limit, "a", "/x", 240_999));
        assert!(limiter.admit(limit, "a", "/x", 241_000));
    }
}
