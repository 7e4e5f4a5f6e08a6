//! Events that a sink will never get, counted where a restart does not forget them.

use picket_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// Events that a sink will never get: how many, and the last of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many, ever.
    pub events: u64,
    /// Whose the last was.
    pub tenant: String,
    /// Why, in words.
    pub reason: String,
    /// When, wall clock, ms.
    pub time: i64,
}

/// Why a sink does not get events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// It refused them for good.
    Refused,
    /// They were given up, or damaged, before it had got them.
    Lost,
}

impl Miss {
    fn note(self, sink: &str) -> String {
        match self {
            Miss::Refused => format!("sink-events-refused {sink}"),
            Miss::Lost => format!("sink-events-lost {sink}"),
        }
    }

    /// What a sink has missed so far.
    ///
    /// # Errors
    /// The store's.
    pub fn read(self, store: &dyn Store, sink: &str) -> Result<Missed, StoreError> {
        let note = store.note("", &self.note(sink))?;
        Ok(note
            .and_then(|note| serde_json::from_str(&note).ok())
            .unwrap_or_default())
    }

    /// Writes down that a sink missed some more. `now`: wall clock, ms.
    ///
    /// # Errors
    /// The store's.
    pub fn add(
        self,
        store: &dyn Store,
        sink: &str,
        (tenant, events): (&str, u64),
        reason: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let before = self.read(store, sink)?;
        let missed = Missed {
            events: before.events.saturating_add(events),
            tenant: tenant.to_owned(),
            reason: reason.to_owned(),
            time: now,
        };
        let note = serde_json::to_string(&missed).unwrap_or_default();
        store.set_note("", &self.note(sink), Some(&note))
    }
}
