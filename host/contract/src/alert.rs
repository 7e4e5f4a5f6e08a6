//! What a rule answers. The host derives everything else of an alert from its evidence.

use serde::{Deserialize, Serialize};

/// How bad it is, in the words of Duo's and most SIEMs' consoles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// The lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// The one entity an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `user`, `ip`, `phone`, `application`, ...
    pub kind: String,
    /// Stable key where Duo has one (`DU...`), else the name.
    pub key: String,
    /// For people to read.
    pub name: String,
}

/// An alert as a rule returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleAlert {
    /// One sentence.
    pub title: String,
    /// Alerts of one rule with one key within the dedup period are one. None: the subject of the row that raised it.
    pub dedup_key: Option<String>,
    /// None: the rule's own.
    pub severity: Option<Severity>,
    /// When it happened, ms since the Unix epoch.
    pub time: i64,
    /// None: the subject of the row that raised it.
    pub about: Option<About>,
    /// Facts, in order.
    pub facts: Vec<(String, String)>,
    /// Journal numbers of the rows that prove it, in the order they happened, from this batch or remembered in state.
    pub evidence: Vec<u64>,
    /// Journal number of the row that raised it (always part of the evidence); for a timer, the last of the evidence.
    pub raised_by: u64,
}
