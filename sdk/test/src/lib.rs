//! Runs the timed cases of a rule, natively or in the production sandbox.
//!
//! A case is judged by the same reader that judges live events, five times over: as it is written, all in one batch, one
//! event a batch, with the logs delivered in another order, and restarted after every step. All five must raise exactly the
//! alerts that the case expects; so an author who has never heard of batches still has a rule that does not depend on them.
#![forbid(unsafe_code)]

pub mod cases;
pub mod time;
