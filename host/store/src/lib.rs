//! What must survive: journal, cursors, positions, rule state, alerts, outbox.
//!
//! One trait, one schema, one conformance suite. [`Store::transact`] is the only way to change anything: positions, state,
//! alerts and outbox entries change together or not at all, and where judging keeps up the admission shares the commit. A
//! failed commit is an unknown outcome: the caller reads back where it stands and goes on from there.
//!
//! What the store refuses ([`StoreError::Refused`]) it refuses for safety: a journal whose numbers do not follow on, an event
//! that the journal holds already, a rule ahead of the journal. Each would mean that somebody goes on from a commit that never
//! happened, and would lose or repeat an event if it were let through.
#![forbid(unsafe_code)]

mod block;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod incident;
pub mod model;
pub mod outbox;
pub mod record;
pub mod segment;
pub mod sqlite;

pub use incident::*;
pub use model::*;
pub use outbox::*;
pub use record::*;
pub use sqlite::{Canaries, Checked, Finding, Found, Hook, Moment, Options, Room, SCHEMA, SqliteStore, compact};
