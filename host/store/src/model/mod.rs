//! The trait and its rows, alike for every engine.

mod alert;
mod event;
mod retention;
mod rule;
mod store;
mod version;

use picket_contract::Admission;

use crate::incident::Superseded;

pub use self::alert::{AlertFilter, AlertRow, DedupRow, Repeat};
pub use self::event::{
    CursorRow, EventFilter, EventHead, Forgotten, InventoryChange, InventoryRow, StoredAdmission, StoredEvent,
};
pub use self::retention::{Old, Rows, Taken, Volume};
pub use self::rule::{Fate, Gap, MOST_POISON, PoisonRow, Quarantine, RuleCommit, RuleRow, Standing};
pub use self::store::Store;
pub use self::version::{MOST_STEPS, MOST_VERSIONS, StepOutcome, StepRow, VersionRow, VersionState};

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine failed; for a write the outcome is unknown: read back and go on from there.
    #[error("store {path}: {doing}: {source}")]
    Engine {
        /// Where the store is.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// The engine's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was written by another version of Picket, or is not a store.
    #[error("store {path}: {why}")]
    Unusable {
        /// Where the store is.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The transaction does not follow on what is stored. Nothing of it was written; the store is sound.
    #[error("store {path}: refused: {why}")]
    Refused {
        /// Where the store is.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// Something stored cannot be read back; everything else still can.
    #[error("store {path}: {what} is damaged: {why}")]
    Damaged {
        /// Where the store is.
        path: String,
        /// Which row.
        what: String,
        /// How.
        why: String,
        /// If it is a piece of the journal: its last number, after which reading may go on.
        last_seq: Option<u64>,
    },
}

/// Everything that changes together.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Journal entries, with the numbers their owner gave them: they must follow on what the journal holds.
    pub admissions: Vec<Admission>,
    /// Where polling of a log goes on.
    pub cursors: Vec<CursorRow>,
    /// What became of objects of the inventory.
    pub inventory: Vec<InventoryChange>,
    /// Rules that went on.
    pub rules: Vec<RuleCommit>,
    /// Alerts raised. One whose id is stored already is left as it is.
    pub alerts: Vec<AlertRow>,
    /// Alerts repeated: how often more, and when last (event time, ms). A repeat of an alert that is no longer stored is dropped.
    pub repeats: Vec<Repeat>,
    /// Alerts whose place others have taken.
    pub superseded: Vec<Superseded>,
    /// What became of rows that a rule fails on alone. One that is recorded of the same rule already is replaced.
    pub poison: Vec<PoisonRow>,
}

impl Transaction {
    /// Nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admissions.is_empty()
            && self.cursors.is_empty()
            && self.inventory.is_empty()
            && self.rules.is_empty()
            && self.alerts.is_empty()
            && self.repeats.is_empty()
            && self.superseded.is_empty()
            && self.poison.is_empty()
    }
}

/// A transaction that is on its way to the disk.
pub struct Committing(Box<dyn FnOnce() -> Result<(), StoreError> + Send>);

impl Committing {
    /// One whose outcome `wait` finds out.
    pub fn new(wait: impl FnOnce() -> Result<(), StoreError> + Send + 'static) -> Self {
        Committing(Box::new(wait))
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub fn wait(self) -> Result<(), StoreError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Committing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committing").finish_non_exhaustive()
    }
}
