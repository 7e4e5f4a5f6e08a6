//! Backfills: pieces of the past that somebody asked for, each read into a segment of its tenant's store and judged there.
//!
//! What was asked for is a list in the store's note `backfills` of the tenant, so it survives the daemon: what is unfinished
//! goes on when the tenant is started. How far one is stands in the segment's cursors. Of one tenant one is read at a time.

mod view;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use picket_collect::{Board, Budget, Cursor, Settings};
use picket_duo::Log;
use picket_judge::Tenant;
use picket_judge::pipeline::{Options, RuleSet};
use picket_store::{Store, segment};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::account::Account;
use crate::daemon::lock;
use crate::upkeep::Gate;

pub(crate) use view::{ready, stored};

/// The store's note of a tenant's backfills: a JSON list.
const NOTE: &str = "backfills";
/// How long Duo keeps its logs, ms.
const KEPT: i64 = 180 * 86_400_000;

/// What was asked for, and what became of it. Times in ms since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Counts up from 1 for each tenant; part of the segment's name.
    pub(crate) number: u64,
    /// As the configuration names them.
    pub(crate) logs: Vec<String>,
    /// Inclusive, by Duo's clock.
    pub(crate) from: i64,
    /// Inclusive, by Duo's clock.
    pub(crate) to: i64,
    /// Wall clock.
    pub(crate) asked: i64,
    /// Wall clock.
    pub(crate) ended: Option<i64>,
    pub(crate) state: State,
    /// Why it failed.
    pub(crate) why: Option<String>,
}

/// How a backfill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is read, or waits for its turn.
    Running,
    /// Read and judged to its end.
    Done,
    /// Duo does not give the log. Asked for again, it goes on.
    Failed,
}

/// The rules in force.
pub(crate) type Rules = Box<dyn Fn() -> anyhow::Result<RuleSet> + Send + Sync>;

/// The backfills of one tenant.
pub(crate) struct Backfills {
    parts: Parts,
    /// One change of the list at a time.
    changing: Mutex<()>,
    wanted: Notify,
    /// The one that is read now.
    reading: Mutex<Option<Reading>>,
}

/// A backfill that is being read.
struct Reading {
    number: u64,
    /// When this process took it up, wall clock, ms, and how much of it (ms) was read by then.
    began: (i64, i64),
    boards: Vec<Arc<Board>>,
}

/// What a tenant's backfills work with.
pub(crate) struct Parts {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) account: Arc<Account>,
    pub(crate) settings: Settings,
    pub(crate) budget: Arc<Budget>,
    pub(crate) options: Options,
    pub(crate) rules: Rules,
    pub(crate) gate: Arc<Gate>,
}

impl Backfills {
    pub(crate) fn new(parts: Parts) -> Self {
        Backfills {
            parts,
            changing: Mutex::default(),
            wanted: Notify::new(),
            reading: Mutex::default(),
        }
    }

    /// Asks for a piece of the past. One that is unfinished, or failed, and is the same goes on. What Duo no longer keeps, or
    /// does not give yet, is left out.
    ///
    /// # Errors
    /// A log or time that makes no sense; the store.
    pub(crate) fn ask(&self, logs: &[String], from: i64, to: i64) -> anyhow::Result<Value> {
        let now = (self.parts.options.clock)();
        let mut wanted: Vec<Log> = Vec::new();
        for log in logs {
            wanted.push(log.parse().with_context(|| format!("--log {log}"))?);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut journals: Vec<&str> = wanted.iter().map(|log| log.journal()).collect();
        journals.dedup();
        if wanted.is_empty() || journals.len() < wanted.len() {
            bail!("--log: name at least one log, and one shape of it");
        }
        if from > to {
            bail!("--from is after --to");
        }
        // What live polling has yet to read is its own to tell of: an alert that a backfill stores first is never sent.
        let to = to
            .min(now - self.parts.settings.delay - 1)
            .min(self.read_so_far(&wanted)?);
        let from = from.max(now - KEPT);
        if from >= to {
            bail!(
                "there is nothing to read: Duo keeps 180 days, and what polling has not come to yet it reads by itself"
            );
        }
        let logs: Vec<String> = wanted.iter().map(|log| log.as_str().to_owned()).collect();
        let record = self.change(|records| {
            // The ends move with the clock where they were cut: who asks again a little later means the same.
            let same = |record: &&mut Record| {
                let close = |one: i64, other: i64| one.abs_diff(other) < 3_600_000;
                record.logs == logs && close(record.from, from) && close(record.to, to) && record.state != State::Done
            };
            if let Some(known) = records.iter_mut().find(same) {
                (known.state, known.why, known.ended) = (State::Running, None, None);
                return known.clone();
            }
            let record = Record {
                number: records.last().map_or(0, |last| last.number) + 1,
                logs,
                from,
                to,
                asked: now,
                ended: None,
                state: State::Running,
                why: None,
            };
            records.push(record.clone());
            record
        })?;
        self.wanted.notify_one();
        self.view(&record)
    }

    /// Up to when the tenant's own journal has read all of these logs that it reads, ms.
    fn read_so_far(&self, logs: &[Log]) -> anyhow::Result<i64> {
        let rows = self.parts.store.cursors(&self.parts.tenant.id)?;
        let mut so_far = i64::MAX;
        for row in rows
            .iter()
            .filter(|row| logs.iter().any(|log| *row.log == *log.as_str()))
        {
            let cursor = Cursor::read(Some(row)).with_context(|| format!("the cursor of {}", row.log))?;
            if !cursor.closed {
                so_far = so_far.min(cursor.newest().unwrap_or(i64::MIN));
            }
        }
        Ok(so_far)
    }

    /// All of them, the oldest first.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Value>> {
        let records = records(&*self.parts.store, &self.parts.tenant.id)?;
        records.iter().map(|record| self.view(record)).collect()
    }

    fn segment(&self, record: &Record) -> Arc<str> {
        segment::name(&self.parts.tenant.id, record.number)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Record>) -> T) -> anyhow::Result<T> {
        let _one = lock(&self.changing);
        let mut records = records(&*self.parts.store, &self.parts.tenant.id)?;
        let changed = change(&mut records);
        let note = serde_json::to_string(&records)?;
        self.parts.store.set_note(&self.parts.tenant.id, NOTE, Some(&note))?;
        Ok(changed)
    }
}

/// What was asked for of a tenant, the oldest first.
///
/// # Errors
/// The store's.
pub(crate) fn records(store: &dyn Store, tenant: &str) -> anyhow::Result<Vec<Record>> {
    match store.note(tenant, NOTE)? {
        None => Ok(Vec::new()),
        Some(note) => serde_json::from_str(&note).with_context(|| format!("{tenant}: the list of backfills")),
    }
}

/// How far a segment's cursors are, by log, ms.
fn reached(store: &dyn Store, segment: &str) -> anyhow::Result<BTreeMap<Arc<str>, Cursor>> {
    let cursors = store.cursors(segment)?;
    let read = cursors.into_iter().map(|row| {
        let cursor = Cursor::read(Some(&row))?;
        Ok((row.log, cursor))
    });
    read.collect()
}
