//! What is handed to the writer: encoded and compressed by the caller, so that the one writing thread only writes.

use std::sync::Arc;

use picket_contract::{Admission, Mark};

use super::fault::Fault;
use crate::block::{self, Block};
use crate::{AlertRow, CursorRow, InventoryChange, Repeat, RuleCommit, Transaction};

/// One thing to be written as a whole.
#[derive(Debug)]
pub(super) enum Work {
    Transact {
        tenant: String,
        submission: Submission,
    },
    Delivered {
        sink: String,
        up_to: u64,
    },
    Note {
        tenant: String,
        name: String,
        value: Option<String>,
    },
    Discard {
        segment: String,
    },
    Forget {
        tenant: String,
        before: i64,
    },
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
}

/// An admission, ready to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) log: Arc<str>,
    /// By hash.
    pub(super) events: Vec<Seen>,
    pub(super) block: Option<Block>,
    pub(super) marks: Vec<Mark>,
    /// The marks as JSON; none if there are none.
    pub(super) marks_json: Option<String>,
}

/// What identifies an event.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) hash: [u8; 16],
    pub(super) id: Arc<str>,
    pub(super) time: i64,
}

/// Under which an event's id is remembered.
pub(super) fn hash(log: &str, id: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(log.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

impl Submission {
    pub(super) fn new(transaction: Transaction) -> Result<Self, Fault> {
        Ok(Submission {
            entries: transaction
                .admissions
                .into_iter()
                .map(Entry::new)
                .collect::<Result<_, _>>()?,
            cursors: transaction.cursors,
            inventory: transaction.inventory,
            rules: transaction.rules,
            alerts: transaction.alerts,
            repeats: transaction.repeats,
        })
    }
}

impl Entry {
    fn new(admission: Admission) -> Result<Self, Fault> {
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
            Some(block::encode(&events).map_err(Fault::Refused)?)
        };
        let marks_json = if marks.is_empty() { None } else { Some(json(&marks)?) };
        let seen = |event: picket_contract::EventRecord| Seen {
            hash: hash(&log, &event.id),
            time: event.time,
            id: event.id,
        };
        let mut events: Vec<Seen> = events.into_iter().map(seen).collect();
        // In the order of the table that remembers them: each of its pages is looked up, read and written once.
        events.sort_unstable_by_key(|event| event.hash);
        Ok(Entry {
            first_seq,
            last_seq,
            events,
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
