//! Faults against the real binary, and an oracle that knows what must exist.
//!
//! [`torture`] kills the daemon at any moment, whose way to Duo leads through a [`proxy`]. It collects what a
//! [`world::World`] of simulated companies brings forth and ends with [`oracle::examine`]: nothing lost, nothing twice, no id that
//! nobody expected. `cargo xtask torture` is the same with more kills.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

pub mod harm;
pub mod oracle;
pub mod proxy;
pub mod torture;
pub mod world;
