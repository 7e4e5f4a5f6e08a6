//! Modules that mean harm, and how tests craft modules at all.
//!
//! - [`Guest`] is a module of the contract in pieces of text; [`component`] makes a component of it. Every test that needs a
//!   module which the SDK would not build crafts it with these.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

mod answer;
mod craft;
mod rows;

pub use answer::Answer;
pub use craft::{
    Guest, LOG, LOOKUP, NOTHING, PARAMS, REALLOC, STATE, TIMERS, WIT, component, component_of, manifest, manifest_of,
    other_component, patched, unchecked,
};
pub use rows::rows;
