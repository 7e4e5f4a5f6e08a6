//! Runs the timed cases of a rule, natively or in the production sandbox.
//!
//! A case is judged by the same reader that judges live events, five times over: as it is written, all in one batch, one
//! row a call, with the logs delivered one after the other, and restarted after every event. All five must raise exactly
//! the alerts that the case expects; so an author who has never heard of batches still has a rule that does not depend on them.
#![forbid(unsafe_code)]

pub mod arrival;
pub mod cases;
mod run;
pub mod time;

pub use run::{CaseFailure, Report, run, run_native, run_yaml};
