//! Readers of the journal: release, select, call, commit. Live, look-back, recovery and replay alike.
//!
//! ```text
//! journal ──▶ reader: marks move the watermark, rows are released in key order ──▶ call: one rule, its rows ──▶ commit
//!             (rules with equal logs and equal position)                            (halved where it fails)
//! ```
//!
//! [`TenantJudge`] is the whole mechanism for one tenant, in memory and without a clock: journal entries go in, positions,
//! state changes and alerts come out ([`Verdict`]). [`pipeline`] runs it over a store, where admission and judging share one
//! commit as long as judging keeps up. [`replay`] runs it over files. [`reference`](mod@reference) says the same as
//! plainly as possible, one rule and one row at a time, and is what the property tests measure the judge against.
//!
//! # Why the result does not depend on how the journal was cut
//!
//! Rows are released by (order time, log, event id) up to the lowest mark of a rule's open logs, never by arrival, so pages
//! and polls may come in any order within the lateness bound. Released rows may be cut into calls anywhere: a call that ends
//! in mid-release says so by its watermark (last row's time - 1), so no timer fires that rows still to come would precede. A
//! row that comes too late is shown with the page that brought it, in a call of its own, because whether a timer fires
//! before or after it depends on the watermark at that moment.
//!
//! # What a failing rule costs
//!
//! Itself. Its call is halved down to the row that fails alone; what went before is kept, its position stays right before
//! that row, and the other rules go on. It is probed again, ever more rarely, and catches up from the journal when it
//! recovers or is replaced.
#![forbid(unsafe_code)]

pub mod acquaintance;
pub mod alerts;
mod call;
mod change;
pub mod dedup;
mod desk;
mod evidence;
pub mod exceptions;
mod gaps;
mod historic;
pub mod holding;
mod incidents;
mod judge;
pub mod lookup;
mod marks;
pub mod people;
pub mod pipeline;
mod queue;
mod quota;
mod ration;
mod reader;
pub mod reference;
pub mod rejudge;
pub mod replay;
mod rule;
pub mod shadow;
mod sheet;
mod sift;
mod stretch;
mod verdict;
mod waiting;

pub use evidence::{Evidence, InJournal, Rebuild};
pub use gaps::words as gap_words;
pub use holding::{Holding, Remembered};
pub use incidents::{LONGEST_MS, WINDOW_MS};
pub use judge::TenantJudge;
pub use ration::{Ration, RationView};
pub use rule::{JudgedRule, Mode, OnPoison, Tenant, Terms};
pub use sheet::Place;
pub use verdict::{JudgeError, Outcome, Said, Settings, Trouble, Verdict};
