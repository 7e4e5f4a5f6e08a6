//! How each log stands, for `status` and for the tasks of the other logs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use picket_duo::Log;
use serde::Serialize;

/// How a log stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not answered yet.
    #[default]
    Starting,
    /// The last answer was a page.
    Working,
    /// The last attempt failed; it is tried again.
    Failing,
    /// Duo forbids it or does not have it: readers do not wait for it. It is tried again, slowly.
    Closed,
    /// The configuration does not ask for it.
    NotCollected,
}

/// A failure, for the person who has to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// When, ms since the Unix epoch.
    pub at: i64,
    /// What is wrong and what to do.
    pub text: String,
    /// Only a change of the configuration helps.
    pub is_configuration: bool,
}

/// How one log stands. Times in ms since the Unix epoch, by our clock unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogHealth {
    /// Which log.
    pub log: Log,
    /// How it stands.
    pub standing: Standing,
    /// When a page was last admitted, or found empty.
    pub last_success: Option<i64>,
    /// The last failure. It is over if `last_success` is later.
    pub last_error: Option<Trouble>,
    /// Events admitted since the daemon started.
    pub events: u64,
    /// Of those, events that Picket could not identify: not JSON objects, or without id or time.
    pub unidentified: u64,
    /// Complete up to here, by Duo's clock.
    pub complete_to: Option<i64>,
    /// How far that is behind Duo's clock, ms; two minutes and up to a poll interval are normal.
    pub lag: Option<i64>,
    /// When it is asked next.
    pub next_poll: Option<i64>,
    /// How often Duo's rate limit was met since the daemon started.
    pub rate_limited: u64,
    /// Duo's clock less ours, ms, to the second.
    pub clock_skew: Option<i64>,
}

impl LogHealth {
    fn new(log: Log, standing: Standing) -> Self {
        LogHealth {
            log,
            standing,
            last_success: None,
            last_error: None,
            events: 0,
            unidentified: 0,
            complete_to: None,
            lag: None,
            next_poll: None,
            rate_limited: 0,
            clock_skew: None,
        }
    }
}

/// All logs of one tenant.
#[derive(Debug)]
pub struct Board {
    logs: Mutex<BTreeMap<Log, LogHealth>>,
    /// Who feeds `admin` by the last mark written; the outer none: not read from the journal yet.
    pub(crate) feed: tokio::sync::Mutex<Option<Option<Log>>>,
}

impl Board {
    /// A board for the logs that are collected; the others are shown as not collected.
    #[must_use]
    pub fn new(collected: &[Log]) -> Self {
        let standing = |log| {
            if collected.contains(&log) {
                Standing::Starting
            } else {
                Standing::NotCollected
            }
        };
        let logs = Log::ALL
            .into_iter()
            .map(|log| (log, LogHealth::new(log, standing(log))))
            .collect();
        Board {
            logs: Mutex::new(logs),
            feed: tokio::sync::Mutex::new(None),
        }
    }

    /// How every log stands, at `now` (ms since the Unix epoch).
    #[must_use]
    pub fn status(&self, now: i64) -> Vec<LogHealth> {
        let lag = |health: &LogHealth| {
            let duo_now = now.saturating_add(health.clock_skew.unwrap_or(0));
            health.complete_to.map(|to| duo_now.saturating_sub(to).max(0))
        };
        self.lock()
            .values()
            .map(|health| LogHealth {
                lag: lag(health),
                ..health.clone()
            })
            .collect()
    }

    /// How one log stands.
    #[must_use]
    pub fn standing(&self, log: Log) -> Standing {
        self.lock()
            .get(&log)
            .map_or(Standing::NotCollected, |health| health.standing)
    }

    /// How far the furthest of the other logs is complete, ms.
    pub(crate) fn furthest_but(&self, log: Log) -> Option<i64> {
        self.lock()
            .values()
            .filter(|health| health.log != log)
            .filter_map(|health| health.complete_to)
            .max()
    }

    pub(crate) fn update(&self, log: Log, change: impl FnOnce(&mut LogHealth)) {
        if let Some(health) = self.lock().get_mut(&log) {
            change(health);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Log, LogHealth>> {
        // A panic elsewhere leaves at worst a stale figure.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
