//! Modules that mean harm, and how tests craft modules at all.
//!
//! - [`Guest`] is a module of the contract in pieces of text; [`component`] makes a component of it. Every test that needs a
//!   module which the SDK would not build crafts it with these. [`Shell`] is for components that `wit-component` would not
//!   build.
//! - [`corpus`] is what hostile and broken modules look like, each a [`Case`] with the [`Verdict`] it must get, and bounds on the
//!   time and memory that finding it may take. `tests/corpus.rs` holds the sandbox to them.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

mod answer;
mod case;
mod corpus;
mod craft;
mod large;
mod rows;
mod shell;

pub use answer::Answer;
pub use case::{Case, Verdict};
pub use corpus::{compile_bombs, corpus};
pub use craft::{
    Guest, LOG, LOOKUP, NOTHING, PARAMS, REALLOC, STATE, TIMERS, WIT, component, component_of, distinct, manifest,
    manifest_of, other_component, patched, unchecked,
};
pub use large::{endless_to_compile, large, slow_to_compile};
pub use rows::rows;
pub use shell::{Shell, host_imports, spliced};
