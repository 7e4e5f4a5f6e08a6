//! What is handed to the writer: encoded and compressed by the caller, so that the one writing thread only writes.

use std::sync::Arc;

use picket_contract::{Admission, Mark};

use super::fault::Fault;
use super::held::Ids;
use crate::block::{Block, Packers};
use crate::{
    AlertRow, AuditRow, CursorRow, Flood, GenerationRow, InventoryChange, Old, PoisonRow, Repeat, RuleCommit,
    Settlement, StepRow, Superseded, Transaction, VersionRow,
};

/// One thing to be written as a whole.
#[derive(Debug)]
pub(super) enum Work {
    Transact {
        tenant: String,
        submission: Submission,
    },
    Settle(Settlement),
    Summarise {
        flood: Flood,
        summary: AlertRow,
    },
    Note {
        tenant: String,
        name: String,
        value: Option<String>,
    },
    Versions {
        versions: Vec<VersionRow>,
        steps: Vec<StepRow>,
    },
    Discard {
        segment: String,
    },
    Forget {
        tenant: String,
        log: String,
        old: Old,
    },
    ForgetIds {
        tenant: String,
        log: String,
        before: i64,
        most: u64,
    },
    ForgetAlerts {
        tenant: String,
        before: i64,
        up_to: u64,
        most: u64,
    },
    ForgetRecords {
        before: i64,
        most: u64,
    },
    Purge {
        tenant: String,
        most: u64,
    },
    /// Free pages are given back to the disk, at most so many.
    Vacuum {
        pages: u32,
    },
    /// The write-ahead log is folded in.
    Fold,
    /// The whole database is written anew.
    Rebuild,
    Audit {
        entries: Vec<AuditRow>,
    },
    Generation {
        tenant: String,
        generation: GenerationRow,
    },
}

impl Work {
    /// Not part of any transaction.
    pub(super) fn is_upkeep(&self) -> bool {
        matches!(self, Work::Vacuum { .. } | Work::Fold | Work::Rebuild)
    }

    /// Whether there is more to deliver when it is written.
    pub(super) fn has_alerts(&self) -> bool {
        match self {
            Work::Transact { submission, .. } => !submission.alerts.is_empty(),
            Work::Summarise { .. } => true,
            _ => false,
        }
    }
}

/// A transaction, ready to be written.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) entries: Vec<Entry>,
    pub(super) cursors: Vec<CursorRow>,
    pub(super) inventory: Vec<InventoryChange>,
    pub(super) rules: Vec<RuleCommit>,
    pub(super) alerts: Vec<AlertRow>,
    pub(super) repeats: Vec<Repeat>,
    pub(super) superseded: Vec<Superseded>,
    pub(super) poison: Vec<PoisonRow>,
}

/// An admission, ready to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) log: Arc<str>,
    /// Of the events; none if there are none.
    pub(super) ids: Option<Ids>,
    pub(super) block: Option<Block>,
    pub(super) marks: Vec<Mark>,
    /// The marks as JSON; none if there are none.
    pub(super) marks_json: Option<String>,
}

impl Submission {
    pub(super) fn new(transaction: Transaction, packers: &Packers) -> Result<Self, Fault> {
        let entry = |admission| Entry::new(admission, packers);
        Ok(Submission {
            entries: transaction
                .admissions
                .into_iter()
                .map(entry)
                .collect::<Result<_, _>>()?,
            cursors: transaction.cursors,
            inventory: transaction.inventory,
            rules: transaction.rules,
            alerts: transaction.alerts,
            repeats: transaction.repeats,
            superseded: transaction.superseded,
            poison: transaction.poison,
        })
    }

    /// Whether anything of it is the tenant's where a segment raises it.
    pub(super) fn is_heard(&self) -> bool {
        !(self.alerts.is_empty() && self.repeats.is_empty() && self.superseded.is_empty())
    }
}

impl Entry {
    fn new(admission: Admission, packers: &Packers) -> Result<Self, Fault> {
        let last_seq = admission.last_seq();
        let Admission {
            first_seq,
            log,
            events,
            marks,
        } = admission;
        let block = if events.is_empty() {
            None
        } else {
            Some(packers.pack(&events).map_err(Fault::Refused)?)
        };
        let marks_json = if marks.is_empty() { None } else { Some(json(&marks)?) };
        Ok(Entry {
            first_seq,
            last_seq,
            ids: Ids::of(&log, &events),
            log,
            block,
            marks,
            marks_json,
        })
    }
}

/// As the store keeps small structures.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Refused(format!("cannot be written as JSON: {error}")))
}
