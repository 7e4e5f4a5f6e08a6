//! The door to the journal.

use std::sync::Arc;

use picket_contract::{EventRecord, Mark, RawRow};
use picket_duo::Log;
use picket_event::{Identity, Reading};
use picket_store::CursorRow;

/// The rows of an answer, and which event each of them is; none where that cannot be told.
#[derive(Debug, Default)]
pub struct Rows {
    /// As they came.
    pub texts: Vec<RawRow>,
    /// One for each.
    pub identities: Vec<Option<Identity>>,
    /// What else was read of them on the way: to go with the events that they become.
    pub reading: Option<Reading>,
}

impl From<Reading> for Rows {
    fn from(reading: Reading) -> Self {
        let rows = reading
            .rows()
            .map(|(row, identity)| (row.clone(), identity.ok().cloned()));
        let (texts, identities) = rows.unzip();
        Rows {
            texts,
            identities,
            reading: Some(reading),
        }
    }
}

/// What is to be written as one: all of it or nothing.
#[derive(Debug)]
pub struct Intake {
    /// Duo's own log (or a logical one, for marks about it).
    pub log: Arc<str>,
    /// In Duo's order, each id once. Some may be known already: those are to be dropped.
    pub events: Vec<EventRecord>,
    /// What was read of the rows that these are made of, and of others of the same answer.
    pub reading: Option<Reading>,
    /// How many of the events have no identity of their own: they are kept under a hash of their text.
    pub unidentified: usize,
    /// To follow the events, in order.
    pub marks: Vec<Mark>,
    /// Where polling goes on. None: unchanged.
    pub cursor: Option<CursorRow>,
}

/// What became of an intake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Events that are new.
    pub new: usize,
    /// Events that the journal held already.
    pub known: usize,
}

/// An intake was not written, or it is not known whether it was: the collector reads its cursor again and goes on from there.
#[derive(Debug, thiserror::Error)]
#[error("the journal took nothing: {0}")]
pub struct AdmitError(pub String);

/// One tenant's journal, as the collector sees it. Calls for one log come one after another; for several, at the same time.
pub trait Admit: Send + Sync + 'static {
    /// Whether anything would be taken at present: asked before Duo is, so that what has no room here stays there.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn takes(&self) -> Result<(), AdmitError> {
        Ok(())
    }

    /// Reads the rows of an answer, once for all who need to know something of them.
    fn read(&self, log: Log, texts: Vec<RawRow>) -> Rows;

    /// Events that are held in memory until other logs have come as far: rules are shown rows in order.
    fn waiting(&self) -> usize {
        0
    }

    /// The cursor last written for a log; none: never polled.
    fn cursor(&self, log: &str) -> impl Future<Output = Result<Option<CursorRow>, AdmitError>> + Send;

    /// Writes an intake durably: drops the events whose id the journal holds, numbers the rest, adds marks and cursor.
    fn admit(&self, intake: Intake) -> impl Future<Output = Result<Admitted, AdmitError>> + Send;
}
