//! End-to-end tests: the real `picket` binary, the simulated Duo over TLS, the stock modules.
//!
//! Each test has a [`Site`] of its own: a temporary directory with configuration, rules, secrets and store, a simulator in
//! this process, and daemons that are killed with it. Nothing here sleeps to let something happen: tests ask until it is so,
//! and fail with the daemon's own words where it is not so in time.
//!
//! `cargo xtask test` builds what is tested, the binary and the modules, before it runs these tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

mod duo;
mod hook;
mod incidents;
mod programs;
mod receiver;
mod rows;
mod site;
mod snapshot;
mod tools;

pub use duo::Duo;
pub use hook::{Hook, Posted};
pub use incidents::incidents;
pub use programs::{Said, installed, stock};
pub use receiver::{Payload, Received, Receiver};
pub use rows::{Story, person};
pub use site::{Site, Source, until};
pub use snapshot::Snapshot;
pub use tools::{skipped, tool, unpacked};
