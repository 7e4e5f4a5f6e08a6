//! How rules are judged, and what comes of it.

use std::sync::Arc;

use picket_contract::{LogLine, Usage};
use picket_event::SelectError;
use picket_store::{AlertRow, PoisonRow, Repeat, RuleCommit, StoreError, Superseded};

/// How rules are judged; alike for all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Rows shown in one call at most.
    pub batch_rows: usize,
    /// Whether alerts keep the phone numbers of their evidence in clear, by the operator's express wish.
    pub clear_numbers: bool,
    /// How long after a failure a rule is probed, ms; doubled for each probe that fails.
    pub probe_after_ms: i64,
    /// The longest time between probes, ms.
    pub probe_at_most_ms: i64,
    /// What all rules of a tenant may remember, bytes; past it those that remember more than their share stand still.
    pub state_bytes: u64,
    /// Fuel after which a rule lets the others go first: it is held back where it stands, until it is resumed.
    pub fuel_at_once: u64,
}

impl Default for Settings {
    fn default() -> Self {
        // A batch of 1000 spreads the price of a fresh instance; probes start when an operator may have looked; all stock rules
        // together remember some megabytes of a thousand users.
        Settings {
            batch_rows: 1000,
            clear_numbers: false,
            probe_after_ms: 30_000,
            probe_at_most_ms: 3_600_000,
            state_bytes: 1 << 30,
            fuel_at_once: u64::MAX,
        }
    }
}

/// Why a tenant cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A rule asks for what no event has, or what its parameters do not give.
    #[error("rule {rule}: {source}")]
    Select {
        /// The rule's id.
        rule: String,
        /// What does not fit.
        source: SelectError,
    },
}

/// What came of feeding: everything of it belongs into one transaction.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Progress of every rule that went on.
    pub commits: Vec<RuleCommit>,
    /// Alerts raised, in the journal's order.
    pub alerts: Vec<AlertRow>,
    /// Alerts that came again.
    pub repeats: Vec<Repeat>,
    /// Alerts whose place others have taken.
    pub superseded: Vec<Superseded>,
    /// Rules that failed.
    pub troubles: Vec<Trouble>,
    /// Rows that rules fail on.
    pub poison: Vec<PoisonRow>,
    /// What rules logged and cost.
    pub said: Vec<Said>,
    /// Alerts about the past of a rule that looks back: counted, not kept.
    pub historic: u64,
}

/// Something is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Digest of the module that judged, `sha256:...`.
    pub module: Arc<str>,
    /// What, in one word, as `divide-by-zero` or `gap`.
    pub code: &'static str,
    /// In one line.
    pub reason: String,
    /// What its author needs, on several lines.
    pub report: String,
    /// Id of the row that fails alone.
    pub event: Option<Arc<str>>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// What comes of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The row was left out and the rule went on.
    Skipped,
    /// The rule stands still and is probed.
    Quarantined,
    /// It goes on behind rows that were forgotten before it could be shown them.
    Missed,
}

/// What one rule logged and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Digest of the module that judged, `sha256:...`.
    pub module: Arc<str>,
    /// Its log.
    pub lines: Vec<LogLine>,
    /// Its fuel and memory.
    pub usage: Usage,
}
