//! What rules leave: how far they are, how they stand, and what they fail on.

use std::sync::Arc;

use picket_contract::{Position, StateChanges, StateSummary};
use serde::{Deserialize, Serialize};

/// One rule's progress for one tenant.
#[derive(Debug, Clone)]
pub struct RuleCommit {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Version of its state's meaning.
    pub state_version: u32,
    /// How far it has come.
    pub position: Position,
    /// What it remembers differently.
    pub changes: StateChanges,
    /// How much it remembers now. Its clock is that of the changes.
    pub remembers: StateSummary,
    /// How it stands, for `rule list`.
    pub standing: Standing,
}

/// How a rule stands with one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Why and since when it does not go on; none: it does.
    pub quarantine: Option<Quarantine>,
    /// Rows not shown because a required field was null, by field.
    pub unreadable: Vec<(String, u64)>,
    /// What it was never shown, because it was forgotten while the rule stood still. The latest last; few are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// Rows that a rule missed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Order time up to which the rule had been shown its rows, ms; none: it had been shown nothing.
    pub from: Option<i64>,
    /// Order time of the last row forgotten, ms.
    pub to: i64,
    /// When it was found, wall clock, ms.
    pub found: i64,
}

/// A row that a rule fails on when it is shown alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoisonRow {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Duo's own log.
    pub log: Arc<str>,
    /// The event's id.
    pub event: Arc<str>,
    /// The failure's code, as `divide-by-zero`.
    pub code: Arc<str>,
    /// The failure in words.
    pub reason: Arc<str>,
    /// When it last failed, wall clock, ms.
    pub time: i64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a row that a rule fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The rule stands right before it.
    Held,
    /// The rule went on behind it and has not judged it.
    Skipped,
    /// It has been judged since.
    Judged,
}

/// How many rows are kept of each rule that fails on them: the latest.
pub const MOST_POISON: usize = 100;

/// A rule that stopped at a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The failure, in words.
    pub reason: String,
    /// The failure's code, as `divide-by-zero`.
    #[serde(default)]
    pub code: String,
    /// The failure with everything that its author needs, on several lines.
    #[serde(default)]
    pub report: String,
    /// Id of the event that it failed on, if one alone is enough.
    pub event: Option<String>,
    /// Duo's own log of that event.
    #[serde(default)]
    pub log: Option<Arc<str>>,
    /// Digest of the module that failed.
    pub module: String,
    /// What its calls might spend, in one text: with more it deserves a try.
    #[serde(default)]
    pub limits: Arc<str>,
    /// Wall clock, ms.
    pub since: i64,
    /// How many probes failed.
    pub attempts: u32,
    /// Wall clock of the next probe, ms.
    pub retry_at: i64,
}

/// A rule's progress as stored. The progress of an earlier state version is kept, so that a rollback resumes there.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Version of its state's meaning.
    pub state_version: u32,
    /// How far it has come.
    pub position: Position,
    /// How much it remembers, without reading it.
    pub remembers: StateSummary,
    /// How it stands.
    pub standing: Standing,
}
