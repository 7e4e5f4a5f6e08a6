//! Random input against everything that a module, a rule or Duo can reach.
//!
//! A [`Target`] makes something of any bytes at all, does it, and says what was wrong if something was: the host panicked, a
//! limit did not hold, or doing it again gave another answer or cost other fuel. [`fuzz`] feeds it bytes: random ones, and
//! changed copies of those that did something new. Every input follows from the seed and the corpus, so a run can be repeated;
//! a finding is written to a file, which `cargo xtask fuzz TARGET --input FILE` runs alone.
//!
//! It is a program of the workspace and needs neither a nightly compiler nor instrumented code: what is new is told by what
//! came of an input (its refusal, its failure, its fuel), not by which branches were taken.
#![forbid(unsafe_code)]

mod bytes;
mod run;
mod targets;

pub use run::{Finding, Options, Report, fuzz, repeat};
pub use targets::{NAMES, Target, named};
