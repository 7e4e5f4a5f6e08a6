//! The one door through which a rule is called: a pure function of (rule, batch, state view) to (alerts, changes, usage).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

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

/// The row that a call failed on when it was shown alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// Duo's own log.
    pub log: Arc<str>,
    /// The event's id.
    pub event: Arc<str>,
    /// Which of the rows that the rule was to be shown at once, from 1.
    pub number: usize,
    /// How many rows it was to be shown at once.
    pub of: usize,
}

impl Failure {
    /// Everything that the rule's author needs, on several lines: what, where, on which row, and what was used of what was
    /// given.
    #[must_use]
    pub fn report(&self, row: Option<&FailedRow>) -> String {
        let mut lines = vec![format!("{}: {}", self.code, self.message)];
        lines.extend(self.location.as_ref().map(|location| format!("  at    {location}")));
        if let Some(FailedRow { log, event, number, of }) = row {
            lines.push(format!(
                "  row   {log} event {event}, row {number} of {of} shown at once"
            ));
        }
        if let Some(given) = self.given {
            lines.push(format!(
                "  used  fuel {} of {}, memory {} of {}",
                grouped(self.usage.fuel),
                grouped(given.fuel),
                mebibytes(self.usage.memory),
                mebibytes(given.memory)
            ));
        }
        if self.usage.log_dropped > 0 {
            lines.push(format!("  log   {} lines found no place", self.usage.log_dropped));
        }
        lines.join("\n")
    }
}

/// 50000000 is `50,000,000`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as `1.2 MiB`.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    if tenths.is_multiple_of(10) {
        format!("{} MiB", tenths / 10)
    } else {
        format!("{}.{} MiB", tenths / 10, tenths % 10)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_told_what_where_on_which_row_and_how_much() {
        let failure = Failure {
            kind: FailureKind::Trap,
            code: "panic",
            message: "index out of bounds (in acme::judge)".to_owned(),
            location: Some("src/lib.rs:39".into()),
            usage: Usage {
                fuel: 1_204_331,
                memory: 1 << 20,
                log_dropped: 0,
            },
            given: Some(Allowance {
                fuel: 50_000_000,
                memory: 16 << 20,
            }),
        };
        let row = FailedRow {
            log: "authentication".into(),
            event: "e4".into(),
            number: 3,
            of: 7,
        };
        assert_eq!(
            failure.report(Some(&row)),
            "panic: index out of bounds (in acme::judge)\n  at    src/lib.rs:39\n  row   authentication event e4, row 3 of 7 shown at once\n  used  fuel 1,204,331 of 50,000,000, memory 1 MiB of 16 MiB"
        );
        let bare = Failure::new(FailureKind::RuleError, "no such table", Usage::default());
        assert_eq!(bare.report(None), "rule-error: no such table");
        assert_eq!(mebibytes(1_300_000), "1.2 MiB");
        assert_eq!(grouped(1000), "1,000");
    }
}
