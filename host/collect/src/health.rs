//! How each log stands, for `status` and for the tasks of the other logs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use picket_duo::Log;
use serde::Serialize;

use crate::busy::Busy;
use crate::cursor::Cursor;
use crate::hourly::Hourly;

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
    /// What to do, alone.
    pub action: String,
    /// Only a change of the configuration helps.
    pub is_configuration: bool,
}

/// How far the past of a log has been read. Times in ms since the Unix epoch, by Duo's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistoryHealth {
    /// Where it begins.
    pub from: i64,
    /// Where it ends.
    pub to: i64,
    /// Read up to here.
    pub read_to: i64,
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
    /// Since when every attempt has failed; none: the last one did not.
    pub failing_since: Option<i64>,
    /// Events admitted since the daemon started.
    pub events: u64,
    /// Events admitted in the last hour.
    pub events_last_hour: u64,
    /// Of the events, those that Picket could not identify: not JSON objects, or without id or time.
    pub unidentified: u64,
    /// Complete up to here, by Duo's clock. While history is being read: how far that is.
    pub complete_to: Option<i64>,
    /// While history is being read: live polling is complete up to here, by Duo's clock.
    pub live_to: Option<i64>,
    /// History, while it is being read.
    pub history: Option<HistoryHealth>,
    /// The newest row's time, by Duo's clock.
    pub last_event: Option<i64>,
    /// How far live polling is behind Duo's clock, ms; two minutes and up to a poll interval are normal.
    pub lag: Option<i64>,
    /// When it is asked next.
    pub next_poll: Option<i64>,
    /// How often Duo's rate limit was met since the daemon started.
    pub rate_limited: u64,
    /// How often Duo's rate limit was met in the last hour.
    pub rate_limited_last_hour: u64,
    /// Rules that read several logs wait for this one: it is the least complete of those that are waited for, and more than
    /// ten minutes behind the furthest.
    pub holds_others: bool,
    /// Duo is not asked at the moment: so many events are in memory until other logs have come as far. Duo keeps the rest.
    pub waits_with: Option<usize>,
    /// Duo's clock less ours, ms, to the second.
    pub clock_skew: Option<i64>,
}

/// Behind the furthest log, ms: from here on a log is said to hold the others.
const HOLDING: i64 = 600_000;

/// What is known of a log.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) health: LogHealth,
    pub(crate) busy: Busy,
    pub(crate) closed: bool,
    events: Hourly,
    limited: Hourly,
}

impl Known {
    fn new(log: Log, standing: Standing) -> Self {
        let health = LogHealth {
            log,
            standing,
            last_success: None,
            last_error: None,
            failing_since: None,
            events: 0,
            events_last_hour: 0,
            unidentified: 0,
            complete_to: None,
            live_to: None,
            history: None,
            last_event: None,
            lag: None,
            next_poll: None,
            rate_limited: 0,
            rate_limited_last_hour: 0,
            holds_others: false,
            waits_with: None,
            clock_skew: None,
        };
        Known {
            health,
            busy: Busy::default(),
            closed: false,
            events: Hourly::default(),
            limited: Hourly::default(),
        }
    }

    /// What a cursor says.
    pub(crate) fn read(&mut self, cursor: &Cursor) {
        self.closed = cursor.closed;
        self.busy = cursor.busy;
        let health = &mut self.health;
        health.complete_to = cursor.complete.or(health.complete_to);
        health.live_to = cursor.live.and_then(|live| live.complete);
        health.last_event = cursor.busy.last;
        health.history = cursor
            .live
            .and(cursor.start.zip(cursor.first))
            .map(|(from, to)| HistoryHealth {
                from,
                to,
                read_to: cursor.read_to.unwrap_or(from),
            });
    }

    /// A page was admitted at `now` (ms), with so many new rows.
    pub(crate) fn succeeded(&mut self, now: i64, skew: Option<i64>, new: usize, unidentified: usize) {
        self.events.add(now, new);
        let health = &mut self.health;
        health.last_success = Some(now);
        health.failing_since = None;
        health.events += new as u64;
        health.unidentified += if new > 0 { unidentified as u64 } else { 0 };
        health.clock_skew = skew;
    }

    /// An attempt failed. True: otherwise than before.
    pub(crate) fn failed(&mut self, standing: Standing, trouble: Trouble) -> bool {
        let health = &mut self.health;
        let is_new = health.failing_since.is_none()
            || health
                .last_error
                .as_ref()
                .is_none_or(|before| before.text != trouble.text);
        health.standing = standing;
        health.failing_since.get_or_insert(trouble.at);
        health.last_error = Some(trouble);
        is_new
    }

    /// An attempt at the log's history failed, which says nothing about live polling. True: otherwise than before.
    pub(crate) fn failed_beside(&mut self, trouble: Trouble) -> bool {
        let last = self.health.last_error.as_ref();
        let is_new = last.is_none_or(|before| before.text != trouble.text);
        self.health.last_error = Some(trouble);
        is_new
    }

    pub(crate) fn limited(&mut self, now: i64) {
        self.limited.add(now, 1);
        self.health.rate_limited += 1;
    }

    fn newest(&self) -> Option<i64> {
        self.health.complete_to.max(self.health.live_to)
    }

    fn status(&self, now: i64, furthest: Option<i64>, least: Option<i64>) -> LogHealth {
        let health = &self.health;
        let duo_now = now.saturating_add(health.clock_skew.unwrap_or(0));
        let is_least = self.is_waited_for() && health.complete_to == least;
        LogHealth {
            lag: self.newest().map(|to| duo_now.saturating_sub(to).max(0)),
            events_last_hour: self.events.count(now),
            rate_limited_last_hour: self.limited.count(now),
            holds_others: is_least && furthest.is_some_and(|far| least.is_none_or(|least| far - least > HOLDING)),
            ..health.clone()
        }
    }

    fn is_waited_for(&self) -> bool {
        !self.closed && !matches!(self.health.standing, Standing::NotCollected | Standing::Closed)
    }
}

/// All logs of one tenant.
#[derive(Debug)]
pub struct Board {
    logs: Mutex<BTreeMap<Log, Known>>,
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
            .map(|log| (log, Known::new(log, standing(log))))
            .collect();
        Board {
            logs: Mutex::new(logs),
            feed: tokio::sync::Mutex::new(None),
        }
    }

    /// How every log stands, at `now` (ms since the Unix epoch).
    #[must_use]
    pub fn status(&self, now: i64) -> Vec<LogHealth> {
        let logs = self.lock();
        let waited = || logs.values().filter(|known| known.is_waited_for());
        let furthest = waited().filter_map(|known| known.health.complete_to).max();
        let least = waited().map(|known| known.health.complete_to).min().flatten();
        logs.values().map(|known| known.status(now, furthest, least)).collect()
    }

    /// How one log stands.
    #[must_use]
    pub fn standing(&self, log: Log) -> Standing {
        self.lock()
            .get(&log)
            .map_or(Standing::NotCollected, |known| known.health.standing)
    }

    /// Whether another log of the account is answered.
    pub(crate) fn others_work(&self, log: Log) -> bool {
        self.lock()
            .values()
            .any(|known| known.health.log != log && known.health.standing == Standing::Working)
    }

    /// Whether another log that is waited for is less complete.
    pub(crate) fn is_ahead(&self, log: Log) -> bool {
        let logs = self.lock();
        let own = logs.get(&log).and_then(|known| known.health.complete_to);
        let others = logs
            .values()
            .filter(|known| known.health.log != log && known.is_waited_for());
        others
            .map(|known| known.health.complete_to)
            .min()
            .is_some_and(|least| least < own)
    }

    /// How far the furthest of the other logs is complete, ms.
    pub(crate) fn furthest_but(&self, log: Log) -> Option<i64> {
        self.lock()
            .values()
            .filter(|known| known.health.log != log)
            .filter_map(Known::newest)
            .max()
    }

    pub(crate) fn update(&self, log: Log, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lock().get_mut(&log) {
            change(known);
        }
    }

    /// What `look` makes of each log that is collected.
    pub(crate) fn each<T>(&self, look: impl Fn(&Known) -> T) -> Vec<T> {
        let logs = self.lock();
        let collected = logs
            .values()
            .filter(|known| known.health.standing != Standing::NotCollected);
        collected.map(look).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Log, Known>> {
        // A panic elsewhere leaves at worst a stale figure.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
