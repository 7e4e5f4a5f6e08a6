//! Which alerts are about the past: kept and listed, but nobody is woken for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the past of a journal ends.
#[derive(Debug, Clone)]
pub(crate) enum Historic {
    /// What happened before the tenant's first start (ms; `i64::MIN`: not known, nothing is of the past). It is said once, by
    /// whoever first hears Duo's clock, before the journal has its first event.
    FirstStart(Arc<AtomicI64>),
    /// All of it: a backfill.
    Backfill,
}

impl Default for Historic {
    fn default() -> Self {
        Historic::FirstStart(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Historic {
    /// Whether an alert at this time (ms) is of the past.
    pub(crate) fn is(&self, time: i64) -> bool {
        match self {
            Historic::FirstStart(start) => time < start.load(Ordering::Acquire),
            Historic::Backfill => true,
        }
    }

    /// The end of an alert's dedup window. Nobody was told of what is historic, so it must not swallow what is not.
    pub(crate) fn until(&self, time: i64, until: i64) -> i64 {
        match self {
            Historic::FirstStart(start) if self.is(time) => until.min(start.load(Ordering::Acquire)),
            _ => until,
        }
    }

    /// Why an alert is historic, for people.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Historic::FirstStart(_) => "historic: it happened before Picket's first start, and was not sent",
            Historic::Backfill => "historic: a backfill found it, and it was not sent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_swallows_nothing_that_is() {
        let start = Historic::FirstStart(Arc::new(AtomicI64::new(100)));
        assert!(start.is(99) && !start.is(100));
        assert_eq!((start.until(90, 95), start.until(90, 150)), (95, 100));
        assert_eq!(start.until(100, 150), 150);
        assert!(!Historic::default().is(0));
        assert!(Historic::Backfill.is(i64::MAX));
        assert_eq!(Historic::Backfill.until(90, 150), 150);
    }
}
