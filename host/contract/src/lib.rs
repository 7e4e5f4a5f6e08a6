//! The contract between host and rules, as plain data.
//!
//! The WIT in `sdk/wit` is the contract on the wire; this crate is the same contract as Rust types that every host crate
//! shares: what a rule says of itself ([`manifest`]), which rows it wants ([`when`]), what it is shown ([`batch`]), what it
//! remembers ([`state`]), what it answers ([`alert`]) and the one door through which a rule is called ([`evaluate`]).
//! The journal's vocabulary ([`journal`]) lives here too, because both the writer (collection) and the reader (judging) speak it.
//!
//! Nothing here opens a file, a socket or a clock.
#![forbid(unsafe_code)]

pub mod alert;
pub mod batch;
pub mod evaluate;
pub mod journal;
pub mod manifest;
pub mod params;
pub mod state;
pub mod table;
pub mod when;

pub use alert::{About, RuleAlert, Severity};
pub use batch::{Batch, Column, Group, NULL};
pub use evaluate::{
    Allowance, Call, Evaluate, FailedRow, Failure, FailureKind, LogLine, Outcome, ParamValue, Params, Usage,
};
pub use journal::{Admission, EventRecord, Key, Mark, Position, RawRow};
pub use manifest::{FieldType, Manifest, RuleManifest, Source};
pub use state::{RuleState, StateChanges, StateLimits, StateOverlay, StateSummary};
pub use table::{Kind as IndexKind, Numbers, Row, Table, Tables};
pub use when::{Op, When};
