//! The rate limit: so many requests a minute for each integration key and path, and perhaps for each key.
//!
//! Duo says nothing about it in any header; the answer is a bare 429. With a lock-out, a refusal is followed by further
//! refusals for a while, however patiently one asks. Whose minutes count is for the caller to say: it passes the time.

use std::collections::{HashMap, VecDeque};

use super::settings::Settings;

const MINUTE_MS: i64 = 60_000;

#[derive(Debug, Default)]
struct Bucket {
    /// When the requests admitted in the last minute came, oldest first.
    admitted: VecDeque<i64>,
    locked_until: i64,
}

impl Bucket {
    /// How long to wait, ms; 0: it may go on.
    fn wait(&mut self, per_minute: u32, now_ms: i64) -> i64 {
        if now_ms < self.locked_until {
            return self.locked_until - now_ms;
        }
        while self.admitted.front().is_some_and(|at| *at <= now_ms - MINUTE_MS) {
            self.admitted.pop_front();
        }
        if self.admitted.len() < usize::try_from(per_minute).unwrap_or(usize::MAX) {
            return 0;
        }
        let first = self.admitted.front().copied().unwrap_or(now_ms);
        (first + MINUTE_MS - now_ms).max(1)
    }
}

/// Who asked when.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// By integration key and path; the empty path is for all of them together.
    buckets: HashMap<String, HashMap<String, Bucket>>,
}

impl Limiter {
    /// Lets a request go on, or says how many ms it should have waited.
    pub(super) fn admit(
        &mut self,
        settings: &Settings,
        ikey: &str,
        path: &str,
        is_log: bool,
        now_ms: i64,
    ) -> Result<(), i64> {
        let Some(per_minute) = settings.limit.per_minute else {
            return Ok(());
        };
        let of_path = if is_log {
            Some(per_minute)
        } else {
            settings.objects_per_minute
        };
        let limits = [(path, of_path), ("", settings.account_per_minute)];
        if !self.buckets.contains_key(ikey) {
            self.buckets.insert(ikey.to_owned(), HashMap::new());
        }
        let Some(own) = self.buckets.get_mut(ikey) else {
            return Ok(());
        };
        for (path, limit) in limits {
            let Some(limit) = limit else { continue };
            if !own.contains_key(path) {
                own.insert(path.to_owned(), Bucket::default());
            }
            let Some(bucket) = own.get_mut(path) else { continue };
            let wait = bucket.wait(limit, now_ms);
            if wait > 0 {
                if now_ms < bucket.locked_until {
                    return Err(wait);
                }
                let lock_ms = settings.limit.lock_out_s.saturating_mul(1_000);
                bucket.locked_until = now_ms.saturating_add(lock_ms);
                return Err(wait.max(lock_ms));
            }
        }
        for (path, limit) in limits {
            if let Some(bucket) = limit.and_then(|_| own.get_mut(path)) {
                bucket.admitted.push_back(now_ms);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Limit;
    use super::*;

    fn settings(per_minute: u32, lock_out_s: i64) -> Settings {
        Settings {
            limit: Limit {
                per_minute: Some(per_minute),
                lock_out_s,
            },
            objects_per_minute: Some(3),
            ..Settings::default()
        }
    }

    #[test]
    fn two_a_minute_for_each_key_and_path() {
        let mut limiter = Limiter::default();
        let settings = settings(2, 0);
        let mut ask = |ikey: &str, path: &str, s: i64| limiter.admit(&settings, ikey, path, true, s * 1_000);
        assert_eq!(ask("a", "/x", 0), Ok(()));
        assert_eq!(ask("a", "/x", 30), Ok(()));
        assert_eq!(ask("a", "/x", 59), Err(1_000));
        assert_eq!(ask("a", "/y", 59), Ok(()), "another path");
        assert_eq!(ask("b", "/x", 59), Ok(()), "another key");
        assert_eq!(ask("a", "/x", 60), Ok(()), "the first is a minute old");
        assert_eq!(ask("a", "/x", 61), Err(29_000));
    }

    #[test]
    fn a_lock_out_outlasts_the_minute() {
        let mut limiter = Limiter::default();
        let settings = settings(1, 240);
        let mut ask = |ms| limiter.admit(&settings, "a", "/x", true, ms);
        assert_eq!(ask(0), Ok(()));
        assert_eq!(ask(1_000), Err(240_000));
        assert_eq!(ask(240_999), Err(1), "still locked, and it does not start anew");
        assert_eq!(ask(241_000), Ok(()));
    }

    #[test]
    fn other_paths_have_their_own_limit_and_the_key_one_for_all() {
        let mut limiter = Limiter::default();
        let settings = Settings {
            account_per_minute: Some(5),
            ..settings(2, 0)
        };
        let mut asked = 0;
        for path in ["/users", "/phones"] {
            for _ in 0..4 {
                asked += i32::from(limiter.admit(&settings, "a", path, false, 0).is_ok());
            }
        }
        assert_eq!(asked, 5, "three of one path, then two until the key's own limit");
        assert_eq!(limiter.admit(&settings, "a", "/log", true, 1), Err(59_999));
    }
}
