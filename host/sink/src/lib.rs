//! Delivery: takes alerts from the outbox to where people and machines read them.
//!
//! A [`Sink`] accepts rows in order and says so only when they are safe with it. [`drain`] moves what is to be delivered from
//! the store to one sink and remembers how far it came. Between a sink's acceptance and that memory a crash may fall: then rows
//! come again. The alert's id is the key by which a receiver knows them; [`FileSink`] itself leaves out what it has written.
//!
//! Nothing here retries or waits: whoever calls [`drain`] decides when to try again.
#![forbid(unsafe_code)]

mod file;
mod lines;
mod stdout;

pub use file::{FileSink, Rotation};
pub use stdout::StdoutSink;

use picket_failpoint::{Point, reach};
use picket_store::{OutboxRow, Store, StoreError};

/// How many rows are delivered at once: enough to share a flush of the disk, few enough to repeat after a crash.
const AT_ONCE: usize = 256;

/// Where alerts go.
pub trait Sink: Send {
    /// Delivers rows, in order. Ok: every one is safe with the receiver. After an error any of them may have been delivered;
    /// they are given again.
    ///
    /// # Errors
    /// What went wrong and where.
    fn deliver(&mut self, rows: &[OutboxRow]) -> Result<(), SinkError>;
}

/// Why rows were not delivered.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink}: {doing}: {source}")]
pub struct SinkError {
    /// Which sink: its path or name.
    pub sink: String,
    /// What was being done.
    pub doing: &'static str,
    /// What happened.
    #[source]
    pub source: std::io::Error,
}

/// Why draining stopped. What was delivered before stays delivered.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The sink did not accept; the rows stay in the outbox.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The outbox could not be read, or not told; rows may be delivered again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Delivers everything that waits for the sink called `name`; returns how many rows that were.
///
/// # Errors
/// The first of sink or store. Calling again goes on where this stopped.
pub fn drain(store: &dyn Store, sink: &mut dyn Sink, name: &str) -> Result<u64, DrainError> {
    let mut delivered = 0;
    loop {
        let rows = store.outbox(name, AT_ONCE)?;
        let Some(last) = rows.last() else { return Ok(delivered) };
        sink.deliver(&rows)?;
        reach(Point::MarkBefore);
        store.delivered(name, last.number)?;
        delivered += rows.len() as u64;
    }
}
