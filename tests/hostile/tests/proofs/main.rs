//! What is true of every module, hostile or not: equal calls give equal answers, and nothing passes from one tenant to another.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod costs;
mod determinism;
mod isolation;
mod judging;
mod places;
mod stock;
