//! Which alerts are about the past: kept and listed, but nobody is woken for them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Duo's own logs. What Picket itself writes (what the collector met, changes of the inventory) is told when it is met, by
/// Picket's own clock: it has no past.
pub(crate) const DUO_LOGS: [&str; 6] = [
    "authentication",
    "activity",
    "administrator",
    "telephony",
    "offline_enrollment",
    "trust_monitor",
];

/// Where the past of a journal ends.
#[derive(Debug, Clone)]
pub(crate) enum Historic {
    /// What happened before a log was first collected.
    FirstStart(Arc<RwLock<Starts>>),
    /// All of it: a backfill.
    Backfill,
}

/// When a tenant was first collected, ms by Duo's clock. Said once, before the journal has the first row it concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    /// None: not known, nothing is of the past.
    pub(crate) tenant: Option<i64>,
    /// Of logs that were added later.
    pub(crate) logs: BTreeMap<Arc<str>, i64>,
}

impl Starts {
    fn of(&self, log: &str) -> Option<i64> {
        let is_duos = DUO_LOGS.contains(&log);
        self.logs.get(log).copied().max(self.tenant).filter(|_| is_duos)
    }
}

impl Default for Historic {
    fn default() -> Self {
        Historic::FirstStart(Arc::default())
    }
}

impl Historic {
    /// Whether an alert at this time (ms), raised by a row of this log, is of the past.
    pub(crate) fn is(&self, log: &str, time: i64) -> bool {
        match self {
            Historic::FirstStart(_) => self.start(log).is_some_and(|start| time < start),
            Historic::Backfill => true,
        }
    }

    /// The end of an alert's dedup window. Nobody was told of what is historic, so it must not swallow what is not.
    pub(crate) fn until(&self, log: &str, time: i64, until: i64) -> i64 {
        match self.start(log) {
            Some(start) if time < start => until.min(start),
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

    fn start(&self, log: &str) -> Option<i64> {
        match self {
            Historic::FirstStart(starts) => starts.read().unwrap_or_else(PoisonError::into_inner).of(log),
            Historic::Backfill => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_swallows_nothing_that_is() {
        let starts = Starts {
            tenant: Some(100),
            logs: BTreeMap::from([("telephony".into(), 200)]),
        };
        let start = Historic::FirstStart(Arc::new(RwLock::new(starts)));
        assert!(start.is("activity", 99) && !start.is("activity", 100));
        assert!(
            start.is("telephony", 199),
            "a log that was added later has a past of its own"
        );
        assert_eq!(
            (start.until("activity", 90, 95), start.until("activity", 90, 150)),
            (95, 100)
        );
        assert_eq!(start.until("activity", 100, 150), 150);
        assert!(!start.is("collector", 0));
        assert!(!Historic::default().is("activity", 0));
        assert!(Historic::Backfill.is("activity", i64::MAX));
        assert_eq!(Historic::Backfill.until("activity", 90, 150), 150);
    }
}
