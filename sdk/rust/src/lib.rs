//! The SDK for Picket's detection rules.
//!
//! A rule is a struct (what it may read, and of which rows), a function (what it makes of a row), the function's comment
//! (the runbook that every alert carries) and a YAML file of timed cases (its tests, which travel inside the module):
//!
//! ```
//! use picket::prelude::*;
//!
//! /// A prompt that its owner says was not theirs.
//! #[derive(Event)]
//! #[event(log = "authentication", when = result == "fraud" || reason == "user_marked_fraud")]
//! struct Report<'a> {
//!     user_name: Option<&'a str>,
//! }
//!
//! /// A user reported a Duo prompt as fraud.
//! ///
//! /// # Check
//! /// - Ask the user whether they were logging in at that moment.
//! ///
//! /// # Act
//! /// - Not theirs: reset the password.
//! ///
//! /// # False positives
//! /// - A slip of the thumb.
//! #[rule(id = "reported-fraud", severity = "high", attack = ["T1621"], dedup = "15m")]
//! fn reported(report: Row<Report>) -> Alert {
//!     report.alert(format!("{} reported a prompt as fraud", report.user_name.unwrap_or("somebody")))
//! }
//!
//! picket::module!(reported);
//! # fn main() {}
//! ```
//!
//! The contract (`sdk/wit`) hands over columns with one dictionary; the SDK reads a row from them without allocating. A rule
//! may also take `&Params` (what the operator set) and `&mut Memory` (what it remembers, see [`mod@state`]). A rule has no
//! clock: all time is event time, so the same rows give the same alerts, however they are split into calls.
//!
//! Rules also compile natively: `cargo test` in a rule's crate needs no wasm (feature `testing`).
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

// The macros name this crate by its name, in its own tests too.
extern crate self as picket;

mod alert;
mod bytes;
mod columns;
mod define;
mod describe;
mod foresee;
mod host;
mod params;
mod row;
mod run;
mod services;
pub mod state;
mod time;

#[cfg(target_arch = "wasm32")]
mod memory;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;

pub use alert::{Alert, Handle, Severity};
pub use define::{Module, Rule};
pub use picket_macros::{Event, Params, State, rule};
pub use row::{Row, Timer};
pub use services::{log, lookup, timers};
pub use time::{Span, Time};

/// What rules import.
pub mod prelude {
    pub use crate::state::{
        Baselines, Burst, Distincts, Firsts, Joins, Lasts, Sequences, Silences, Silent, Steps, Values, Windows, Within,
    };
    pub use crate::{Alert, Event, Handle, Params, Row, Severity, Span, State, Time, Timer, log, lookup, rule, timers};
}

/// For the macros only: no promise.
#[doc(hidden)]
pub mod __private {
    pub use crate::columns::{Batch, Column, Event, Field, Group, Rows};
    pub use crate::define::{
        FieldDef, ParamDef, Params, Rule, SourceDef, State, StateDef, Store, StoreDef, check_conditions,
    };
    pub use crate::params::{Param, load};
    pub use crate::run::{Answer, evaluate};

    #[cfg(target_arch = "wasm32")]
    pub use crate::host::wasm::{bindings, serve};
}

/// Makes a module of rules: `picket::module!(rule_a, other::rule_b);` once in the crate, naming the rules' functions.
///
/// Natively it gives the crate a `MODULE` for tests and benches; for wasm32 it exports the component.
#[macro_export]
macro_rules! module {
    ($($($segment:ident)::+),+ $(,)?) => {
        /// The rules of this crate.
        pub static MODULE: $crate::Module = $crate::Module::new(&[$(&$($segment)::+::RULE),+]);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;
            impl $crate::__private::bindings::exports::picket::rule::detection::Guest for Exported {
                fn describe() -> ::std::string::String {
                    MODULE.describe()
                }
                fn evaluate(
                    rule: ::std::string::String,
                    batch: $crate::__private::bindings::exports::picket::rule::detection::Batch,
                ) -> ::std::result::Result<
                    ::std::vec::Vec<$crate::__private::bindings::exports::picket::rule::detection::Alert>,
                    ::std::string::String,
                > {
                    $crate::__private::serve(&MODULE, &rule, &batch)
                }
            }
            $crate::__private::bindings::export_module!(Exported with_types_in $crate::__private::bindings);
        };
    };
}
