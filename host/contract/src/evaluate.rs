//! The one door through which a rule is called: a pure function of (rule, batch, state view) to (alerts, changes, usage).

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::{Batch, RuleAlert, RuleState, StateChanges, StateLimits, Tables};

/// Parameter values in force for one (tenant, rule), every declared one present. Durations are ms.
pub type Params = BTreeMap<String, ParamValue>;

/// A parameter's value as the rule gets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// True or false.
    Boolean(bool),
    /// Whole number, or a duration in ms.
    Integer(i64),
    /// Floating-point number.
    Number(f64),
    /// Text.
    Text(String),
    /// List of texts.
    Texts(Vec<String>),
}

/// One call of one rule.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The rule's id in its module.
    pub rule: &'a str,
    /// The rows.
    pub batch: &'a Batch,
    /// What it remembers, before the call.
    pub state: &'a RuleState,
    /// Its parameters.
    pub params: &'a Params,
    /// The tenant's tables.
    pub tables: &'a Tables,
}

/// What a call that succeeded gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// In the order the rule raised them.
    pub alerts: Vec<RuleAlert>,
    /// To be applied to the state, together with the position.
    pub changes: StateChanges,
    /// What it cost.
    pub usage: Usage,
    /// What it logged, within its budget.
    pub log: Vec<LogLine>,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel burnt. Equal for equal calls and engine version.
    pub fuel: u64,
    /// Most bytes of linear memory.
    pub memory: u64,
    /// Log lines dropped because the budget was spent.
    pub log_dropped: u64,
}

/// One line a rule logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info`, `debug`.
    pub level: String,
    /// Control characters removed, cut to the budget.
    pub message: String,
}

/// A call that failed: nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// What kind, stable for authors and scripts.
    pub kind: FailureKind,
    /// What exactly, one word in kebab case (`divide-by-zero`), stable for authors and scripts.
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// File and line of the rule's source (`src/lib.rs:39`), where known.
    pub location: Option<Box<str>>,
    /// What it cost until then.
    pub usage: Usage,
    /// What it might have cost; none: whoever called set no limits.
    pub given: Option<Allowance>,
}

impl Failure {
    /// One of which no more is known than its kind.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>, usage: Usage) -> Self {
        Failure {
            kind,
            code: kind.code(),
            message: message.into(),
            location: None,
            usage,
            given: None,
        }
    }
}

/// What a call may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Fuel.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory: u64,
}

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The flat fuel budget was spent.
    OutOfFuel,
    /// It wanted more memory than its cap.
    OutOfMemory,
    /// It recursed too deeply.
    StackOverflow,
    /// It panicked or trapped otherwise.
    Trap,
    /// It returned an error.
    RuleError,
    /// Its answer is not what the contract allows (evidence it was never shown, too many alerts, ...).
    Malformed,
    /// The host could not make the call (no instance to be had, ...): not the rule's fault, tried again.
    Host,
}

impl FailureKind {
    /// The code of a failure of which no more is known.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            FailureKind::OutOfFuel => "out-of-fuel",
            FailureKind::OutOfMemory => "out-of-memory",
            FailureKind::StackOverflow => "stack-overflow",
            FailureKind::Trap => "trap",
            FailureKind::RuleError => "rule-error",
            FailureKind::Malformed => "malformed",
            FailureKind::Host => "host",
        }
    }
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FailureKind::OutOfFuel => "out of fuel",
            FailureKind::OutOfMemory => "out of memory",
            FailureKind::StackOverflow => "stack overflow",
            FailureKind::Trap => "trap",
            FailureKind::RuleError => "rule error",
            FailureKind::Malformed => "malformed answer",
            FailureKind::Host => "host",
        })
    }
}

/// Something that can call the rules of one module: the sandbox, or a native build of the rules in tests.
pub trait Evaluate: Send + Sync + Debug {
    /// Calls a rule once. Deterministic: equal calls give equal outcomes.
    ///
    /// # Errors
    /// [`Failure`]: nothing of the call is kept.
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure>;

    /// What each of its rules may remember for a tenant.
    fn state_limits(&self) -> StateLimits {
        StateLimits::default()
    }
}
