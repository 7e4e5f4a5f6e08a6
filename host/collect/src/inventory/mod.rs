//! What an account consists of: users, phones, administrators, applications, policies.
//!
//! Duo keeps no log of most of it: who has which phone, who may bypass, which policy holds is only to be had by asking for all of
//! it. So [`Stock`] takes a snapshot of each kind every few hours, and tells the journal what is otherwise than in the snapshot
//! before, as rows of the kind's own log ([`log_of`]). The very first snapshot gives a row for each object (`first`), because a
//! rule about posture has to know where things stand, not only what moved.
//!
//! **Order time.** A row's time is that of the snapshot, by Duo's clock when its last page came: whatever changed, changed before.
//! No later snapshot of any kind is taken at or before a time that a mark has named, so a log of changes is complete up to
//! now at any moment between two snapshots. Where some rule reads such a log, it is marked so with every heartbeat
//! ([`Stock::heard_by`]): rules that join it with another log wait for no snapshot.
//!
//! **Complete or not at all.** Rows that move between pages while they are read spoil a walk, which begins anew. A deletion is
//! believed when two snapshots in a row lack the object (a user who was `pending deletion` is gone at once); where one is
//! missing for the first time, the second snapshot comes after a quarter of an hour. A crash in the midst of writing
//! a snapshot leaves the rest to the next one.
//!
//! **Each kind by itself.** One that Duo forbids is closed in the journal, and asked for again every hour; the others go on.
//! All calls go through the account's [`crate::Budget`], behind polling.

mod board;
mod diff;
mod keep;
mod object;
#[cfg(test)]
mod properties;
mod settings;
mod snapshot;
mod stock;

pub use board::{StockBoard, StockHealth};
pub use keep::{DuoInventory, Keep, Part, close_stock};
pub use object::log_of;
pub use settings::StockSettings;
pub use stock::{Listeners, Stock};
