//! What must survive: journal, cursors, positions, rule state, alerts, outbox.
//!
//! One trait, one schema, one conformance suite. [`Store::transact`] is the only way to change anything: positions, state,
//! alerts and outbox entries change together or not at all, and where judging keeps up the admission shares the commit. A
//! failed commit is an unknown outcome: the caller reads back where it stands and goes on from there.
#![forbid(unsafe_code)]

pub mod model;
pub mod sqlite;

pub use model::*;
pub use sqlite::SqliteStore;
