//! The cursors of one account's logs. Whoever writes one holds it, from reading it to having written it: a log's two walks,
//! and the change of who feeds `admin`, which speaks of two logs at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{EventRecord, Mark};
use picket_duo::Log;
use picket_event::Reading;
use tokio::sync::{Mutex, MutexGuard};

use crate::admit::{Admit, AdmitError, Admitted, Intake};
use crate::cursor::Cursor;

/// All logs' cursors; none: to be read from the journal.
#[derive(Debug)]
pub(crate) struct Ledger {
    cursors: BTreeMap<Log, Mutex<Option<Cursor>>>,
}

/// One log's cursor, held.
pub(crate) struct Held<'a, A> {
    admit: &'a A,
    log: Log,
    place: MutexGuard<'a, Option<Cursor>>,
    cursor: Cursor,
}

/// What goes into the journal with a cursor.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) events: Vec<EventRecord>,
    pub(crate) reading: Option<Reading>,
    pub(crate) unidentified: usize,
    pub(crate) marks: Vec<Mark>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger {
            cursors: Log::ALL.into_iter().map(|log| (log, Mutex::default())).collect(),
        }
    }

    /// Holds a log's cursor.
    pub(crate) async fn hold<'a, A: Admit>(&'a self, admit: &'a A, log: Log) -> Result<Held<'a, A>, AdmitError> {
        let Some(place) = self.cursors.get(&log) else {
            return Err(AdmitError(format!("{log}: there is no cursor for it")));
        };
        let place = place.lock().await;
        let cursor = match &*place {
            Some(cursor) => cursor.clone(),
            None => read(admit, log).await?,
        };
        let mut held = Held {
            admit,
            log,
            place,
            cursor,
        };
        *held.place = Some(held.cursor.clone());
        Ok(held)
    }

    /// A log's cursor as it is now.
    pub(crate) async fn read<A: Admit>(&self, admit: &A, log: Log) -> Result<Cursor, AdmitError> {
        Ok(self.hold(admit, log).await?.cursor.clone())
    }
}

impl<A: Admit> Held<'_, A> {
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Writes an entry and the cursor that follows from it, as one.
    pub(crate) async fn write(&mut self, entry: Entry, after: Cursor) -> Result<Admitted, AdmitError> {
        // Should this fail, or be broken off, what was written is known to the journal alone.
        *self.place = None;
        let row = after.row(self.log.as_str()).map_err(|error| unreadable(&error))?;
        let admitted = self
            .admit
            .admit(Intake {
                log: Arc::from(self.log.journal()),
                events: entry.events,
                reading: entry.reading,
                unidentified: entry.unidentified,
                marks: entry.marks,
                cursor: Some(row),
            })
            .await?;
        self.cursor = after.clone();
        *self.place = Some(after);
        Ok(admitted)
    }
}

/// A cursor from the journal. A log that the journal knows in its other form (telephony v1 and v2) goes on where that one
/// stopped, so that no row is there twice under two ids.
async fn read<A: Admit>(admit: &A, log: Log) -> Result<Cursor, AdmitError> {
    let load = async |log: Log| {
        let row = admit.cursor(log.as_str()).await?;
        Cursor::read(row.as_ref()).map_err(|error| unreadable(&error))
    };
    let own = load(log).await?;
    let sibling = Log::ALL
        .into_iter()
        .find(|other| *other != log && other.journal() == log.journal());
    let Some(sibling) = sibling else { return Ok(own) };
    let other = load(sibling).await?;
    if other.newest() <= own.newest() {
        return Ok(own);
    }
    let from = other.complete.map_or(other.start, |complete| Some(complete + 1));
    Ok(Cursor {
        start: from,
        read_to: from,
        complete: other.complete,
        closed: other.closed,
        stalled: other.stalled,
        busy: other.busy,
        ..Cursor::default()
    })
}

pub(crate) fn unreadable(error: &serde_json::Error) -> AdmitError {
    AdmitError(format!(
        "a cursor cannot be read or written ({error}): was it written by a newer version?"
    ))
}
