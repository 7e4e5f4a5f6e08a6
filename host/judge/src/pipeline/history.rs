//! When a tenant's logs were first collected, and journals beside its own.

use std::sync::{Arc, PoisonError};

use picket_contract::EventRecord;
use picket_store::{Store, StoreError, segment};

use super::{Inner, Options, Pipeline, PipelineError, RuleSet};
use crate::historic::{DUO_LOGS, Historic, Starts};
use crate::rule::Tenant;
use crate::sheet::UNREADABLE;

/// The store's note of a tenant's first start: ms since the Unix epoch, 0 meaning that nothing is of the past. With `:` and
/// the name of a log: of a log that was added later.
pub const FIRST_START: &str = "first_start";

/// Logs first collected so much later (ms) than the tenant were added later.
const ADDED: i64 = 86_400_000;

/// When a tenant was first collected, ms by Duo's clock. None: not yet, or by a Picket that did not note it.
///
/// # Errors
/// The store's.
pub fn first_start(store: &dyn Store, tenant: &str) -> Result<Option<i64>, StoreError> {
    Ok(store.note(tenant, FIRST_START)?.and_then(|note| note.parse().ok()))
}

/// All first starts that the store knows of a tenant.
pub(crate) fn starts(store: &dyn Store, tenant: &str) -> Result<Starts, StoreError> {
    let mut starts = Starts {
        tenant: first_start(store, tenant)?,
        ..Starts::default()
    };
    for log in DUO_LOGS {
        let start = store.note(tenant, &note_of(log))?.and_then(|note| note.parse().ok());
        starts.logs.extend(start.map(|start| (Arc::from(log), start)));
    }
    Ok(starts)
}

fn note_of(log: &str) -> String {
    format!("{FIRST_START}:{log}")
}

impl Pipeline {
    /// A segment of a tenant (see [`segment`]): judged by the tenant's rules with empty state. Rows that the tenant's own
    /// journal or another segment holds are dropped; all its alerts are historic, and the tenant's.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn open_segment(
        tenant: Arc<Tenant>,
        store: Arc<dyn Store>,
        number: u64,
        rules: RuleSet,
        options: Options,
    ) -> Result<Self, PipelineError> {
        let name = segment::name(&tenant.id, number);
        Pipeline::open_at(tenant, name, store, rules, options, Historic::Backfill).await
    }

    /// One of Duo's logs is about to be read for the first time: live from `now` (ms, by Duo's clock) on, and its past as
    /// history. What is said once holds for ever; what a store from before first starts were noted holds already is live.
    ///
    /// # Errors
    /// The store's.
    pub async fn begins(&self, log: Arc<str>, now: i64) -> Result<(), PipelineError> {
        // Nothing is admitted meanwhile: the first event must find its place known.
        let _head = self.inner.head.clone().lock_owned().await;
        let inner = self.inner.clone();
        Ok(tokio::task::spawn_blocking(move || inner.begin(&log, now)).await??)
    }
}

impl Inner {
    /// Takes over the first starts that the store knows.
    pub(super) fn recall(&self) -> Result<Starts, StoreError> {
        let starts = starts(&*self.journal.store, &self.tenant.id)?;
        if let Historic::FirstStart(known) = &self.historic {
            *known.write().unwrap_or_else(PoisonError::into_inner) = starts.clone();
        }
        Ok(starts)
    }

    fn begin(&self, log: &str, now: i64) -> Result<(), StoreError> {
        let (store, tenant) = (&self.journal.store, &self.tenant.id);
        if matches!(self.historic, Historic::Backfill) {
            return Ok(());
        }
        let known = self.recall()?;
        let held = store.count(tenant)?;
        let is_held = |log: &str| held.iter().any(|(held, _)| **held == *log);
        if is_held(log) || known.logs.contains_key(log) || known.tenant == Some(0) {
            return Ok(());
        }
        // What Picket itself wrote (inventory, what the collector met) may come before Duo's first answer.
        let is_first = known.tenant.is_none() && !DUO_LOGS.into_iter().any(is_held);
        if is_first {
            store.set_note(tenant, FIRST_START, Some(&now.to_string()))?;
        } else if known.tenant.is_none_or(|start| now > start.saturating_add(ADDED)) {
            store.set_note(tenant, &note_of(log), Some(&now.to_string()))?;
        }
        self.recall().map(|_| ())
    }

    /// Which of these the journal holds; for a segment also what the tenant or another of its segments holds.
    pub(super) fn known(&self, log: &str, events: &[EventRecord]) -> Result<Vec<bool>, StoreError> {
        let (store, own) = (&self.journal.store, &self.journal.tenant);
        let ids: Vec<(&str, i64)> = events.iter().map(|event| (&*event.id, event.time)).collect();
        let near = near(log, events);
        let mut known = store.known(own, log, &ids, near)?;
        let Some(owner) = segment::owner(own) else {
            return Ok(known);
        };
        let others = store.segments(owner)?.into_iter().filter(|name| name != own);
        for name in others.chain([Arc::from(owner)]) {
            for (known, there) in known.iter_mut().zip(store.known(&name, log, &ids, near)?) {
                *known |= there;
            }
        }
        Ok(known)
    }
}

/// Within what time (ms) these events are found again. A row has the same time whenever it comes; but one that tells none
/// stands beside a neighbour that need not always be there, and the Trust Monitor's stand no later than the window in which
/// they were read.
fn near(log: &str, events: &[EventRecord]) -> i64 {
    if log == "trust_monitor" {
        i64::MAX
    } else if events.iter().any(|event| event.id.starts_with(UNREADABLE)) {
        86_400_000
    } else {
        0
    }
}
