//! A tenant's first start, and journals beside its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use picket_store::{Store, StoreError, segment};

use super::{Inner, Options, Pipeline, PipelineError, RuleSet};
use crate::historic::Historic;
use crate::rule::Tenant;

/// The store's note of a tenant's first start: ms since the Unix epoch.
pub const FIRST_START: &str = "first_start";

/// Duo's own logs.
const DUO_LOGS: [&str; 6] = [
    "authentication",
    "activity",
    "administrator",
    "telephony",
    "offline_enrollment",
    "trust_monitor",
];

/// When a tenant was first collected, ms by Duo's clock. None: not yet, or by a Picket that did not note it.
///
/// # Errors
/// The store's.
pub fn first_start(store: &dyn Store, tenant: &str) -> Result<Option<i64>, StoreError> {
    Ok(store.note(tenant, FIRST_START)?.and_then(|note| note.parse().ok()))
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

    /// The tenant's first start. If it has none and its journal holds no event of Duo's logs, that is `now` (ms, by Duo's clock), for
    /// ever. None: a store from before first starts were noted; nothing of it is historic.
    ///
    /// # Errors
    /// The store's.
    pub async fn first_start(&self, now: i64) -> Result<Option<i64>, PipelineError> {
        // Nothing is admitted meanwhile: the first event must find its place known.
        let _head = self.inner.head.clone().lock_owned().await;
        let inner = self.inner.clone();
        Ok(tokio::task::spawn_blocking(move || inner.begin(now)).await??)
    }
}

impl Inner {
    /// Takes over the first start that the store knows.
    pub(super) fn recall(&self) -> Result<Option<i64>, StoreError> {
        let start = first_start(&*self.journal.store, &self.tenant.id)?;
        if let (Historic::FirstStart(cell), Some(start)) = (&self.historic, start) {
            cell.store(start, Ordering::Release);
        }
        Ok(start)
    }

    fn begin(&self, now: i64) -> Result<Option<i64>, StoreError> {
        let (store, tenant) = (&self.journal.store, &self.tenant.id);
        let known = self.recall()?;
        // What Picket itself wrote (inventory, what the collector met) may come before Duo's first answer.
        let is_read = |(log, _): &(Arc<str>, u64)| DUO_LOGS.contains(&&**log);
        if known.is_some() || store.count(tenant)?.iter().any(is_read) {
            return Ok(known);
        }
        store.set_note(tenant, FIRST_START, Some(&now.to_string()))?;
        self.recall()
    }

    /// Which of these the journal holds; for a segment also what the tenant or another of its segments holds.
    pub(super) fn known(&self, log: &str, ids: &[&str]) -> Result<Vec<bool>, StoreError> {
        let (store, own) = (&self.journal.store, &self.journal.tenant);
        let mut known = store.known(own, log, ids)?;
        let Some(owner) = segment::owner(own) else {
            return Ok(known);
        };
        let others = store.segments(owner)?.into_iter().filter(|name| name != own);
        for name in others.chain([Arc::from(owner)]) {
            for (known, there) in known.iter_mut().zip(store.known(&name, log, ids)?) {
                *known |= there;
            }
        }
        Ok(known)
    }
}
