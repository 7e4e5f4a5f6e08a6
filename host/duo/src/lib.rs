//! The Duo Admin API: sign, page, name the error.
//!
//! One [`Client`] speaks for one integration of one account. It asks for one page at a time and never retries on its own
//! (with one exception below): when to ask again is the collector's business, which knows the limits of the whole log. What
//! this crate owes its caller is that every request carries a fresh date and a signature over exactly the bytes sent, that
//! a page comes back as the rows' own text, untouched, and that whatever goes wrong has a type and a sentence that tells
//! the operator what to do.
//!
//! The exception is the clock. Duo refuses a request whose date is off, and a re-used date too; the answer tells Duo's
//! time. So a request that is refused for its date or signature, by a server whose clock differs from ours by more than a
//! minute, is signed once more by that clock, and the difference is kept for the requests that follow. A wrong key stays
//! wrong and is reported as such.
//!
//! Accounts that are reached the same way share a [`Transport`]; what tells them apart is in [`ClientConfig`]. Besides logs
//! there is [`Inventory`], whose objects lose their secrets on arrival, and the list of accounts below a parent.
//!
//! What this crate does not do: it reads no event (rows stay text), knows no window and no cursor, and keeps nothing.
//!
//! What is known of the API, and from where, is written down in the README beside this crate.
#![forbid(unsafe_code)]

mod advice;
mod client;
mod date;
mod decode;
mod error;
mod failure;
mod host;
mod inventory;
mod kind;
mod log;
mod objects;
mod page;
mod redact;
mod rows;
pub mod sign;
mod transport;

pub use advice::{Context, clock_is_off};
pub use client::{Client, ClientConfig, Now, Pong};
pub use date::system_now;
pub use error::{BadConfig, DuoError, TransportKind};
pub use host::{Host, HostError};
pub use inventory::{ChildAccount, Inventory, InventoryPage, UnknownInventory};
pub use kind::Kind;
pub use log::{Log, Shape, UnknownLog};
pub use page::{Offset, Page, Query};
pub use sign::Scheme;
pub use transport::{Transport, TransportConfig, Transports};
