//! What was collected: events, how far polling is, and the inventory.

use std::sync::Arc;

use picket_contract::{EventRecord, Mark};
use serde::{Deserialize, Serialize};

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the tenant's journal.
    pub seq: u64,
    /// Duo's own log.
    pub log: Arc<str>,
    /// The event.
    pub event: EventRecord,
}

/// What tells an event of the journal apart, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Unique within the log.
    pub id: Arc<str>,
    /// Order time, ms since the Unix epoch.
    pub time: i64,
}

impl From<&StoredEvent> for EventHead {
    fn from(event: &StoredEvent) -> Self {
        EventHead {
            log: event.log.clone(),
            id: event.event.id.clone(),
            time: event.event.time,
        }
    }
}

/// What to list of the events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of these logs; empty: of all.
    pub logs: Vec<String>,
    /// At or after, order time, ms.
    pub since: Option<i64>,
    /// At or before, order time, ms.
    pub until: Option<i64>,
    /// The last so many by order time. None: all.
    pub tail: Option<usize>,
}

/// An admission of which some events may be left out: each event carries its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAdmission {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Events with their numbers.
    pub events: Vec<(u64, EventRecord)>,
    /// In order, after the events.
    pub marks: Vec<Mark>,
}

/// How much of a log has been forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Duo's own log.
    pub log: Arc<str>,
    /// The greatest number that an event had.
    pub seq: u64,
    /// The greatest order time that an event had, ms.
    pub time: i64,
}

/// Where polling of one log goes on; the meaning is the collector's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRow {
    /// Duo's own log.
    pub log: Arc<str>,
    /// JSON.
    pub cursor: String,
}

/// An object of the inventory (a user, a phone, ...) as the latest snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// Which sort of object.
    pub kind: Arc<str>,
    /// Duo's own id of it, unique within the kind.
    pub id: Arc<str>,
    /// The object, without its secrets.
    pub json: Arc<str>,
    /// The snapshot that gave it this form, ms.
    pub seen: i64,
    /// The first of the latest snapshots in a row that lack it, ms. None: the latest has it.
    pub missing: Option<i64>,
}

/// One object of the inventory is otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryChange {
    /// It is there, in this form.
    Put(InventoryRow),
    /// It is gone. One that is not stored is gone already.
    Delete {
        /// Which sort of object.
        kind: Arc<str>,
        /// Its id.
        id: Arc<str>,
    },
}
