//! What a module says of itself: the JSON that `describe` returns, schema `picket.manifest/1`.
//!
//! The manifest is JSON with a schema version of its own because WIT types are closed: a new field here breaks no old module.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Severity, When};

/// The schema this host reads.
pub const SCHEMA: &str = "picket.manifest/1";

/// Everything a module has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of ATT&CK whose ids the rules carry.
    #[serde(default = "attack_version")]
    pub attack_version: String,
    /// The rules, at least one; ids are unique.
    pub rules: Vec<RuleManifest>,
}

fn attack_version() -> String {
    "19".to_owned()
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleManifest {
    /// `mfa-fatigue-then-success`: lower case, digits, hyphens.
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// One sentence.
    pub title: String,
    /// The rest of the rule's comment before its sections.
    #[serde(default)]
    pub description: String,
    /// What its alerts are unless they say otherwise.
    pub severity: Severity,
    /// ATT&CK technique ids.
    #[serde(default)]
    pub attack: Vec<String>,
    /// What to check, step by step.
    #[serde(default)]
    pub check: Vec<String>,
    /// What to do, step by step.
    #[serde(default)]
    pub act: Vec<String>,
    /// What looks alike and is harmless.
    #[serde(default)]
    pub false_positives: Vec<String>,
    /// Which rows it wants; the first that holds wins.
    pub sources: Vec<Source>,
    /// What the operator may set.
    #[serde(default)]
    pub params: Vec<Param>,
    /// What it remembers.
    #[serde(default)]
    pub state: StateManifest,
    /// Alerts with one key within this time are one, ms of event time. 0: none are merged.
    #[serde(default)]
    pub dedup_period_ms: i64,
    /// Rules whose alerts about the same evidence this rule's replace.
    #[serde(default)]
    pub supersedes: Vec<String>,
    /// The YAML file of timed cases.
    #[serde(default)]
    pub tests: String,
}

/// Rows of one log, and what the rule may read of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// `authentication`, `telephony`, ... or the logical `admin`.
    pub log: String,
    /// The author's name of it (the struct or variant), for messages.
    #[serde(default)]
    pub name: String,
    /// The permission and the projection.
    pub fields: Vec<Field>,
    /// Which rows.
    #[serde(default = "When::always")]
    pub when: When,
}

/// One field that a rule reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// `access_device.ip`.
    pub path: String,
    /// As what the rule reads it.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// A row that lacks it is not shown to the rule and is counted.
    #[serde(default)]
    pub required: bool,
}

/// As what a rule reads a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// UTF-8.
    Text,
    /// Whole number.
    S64,
    /// Floating-point number.
    F64,
    /// True or false.
    Bool,
    /// List of texts.
    Texts,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name in the configuration.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub doc: String,
    /// What kind of value.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Where the operator says nothing. Durations are texts such as `30m`.
    pub default: Value,
    /// Smallest value, same form as the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// Largest value, same form as the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
}

/// What kind of value a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Whole number.
    Integer,
    /// Floating-point number.
    Number,
    /// True or false.
    Boolean,
    /// A span of time, written `90s`, `30m`, `24h`, `7d`.
    Duration,
    /// Text.
    Text,
    /// List of texts.
    Texts,
}

/// What a rule remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateManifest {
    /// Raised when what is stored changes its meaning. The same version keeps the state across reloads.
    #[serde(default)]
    pub version: u32,
    /// How much history a new state version must read, ms.
    #[serde(default)]
    pub look_back_ms: i64,
    /// The helpers declared, for `rule list` and the caps.
    #[serde(default)]
    pub stores: Vec<StateStore>,
}

/// One declared helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStore {
    /// The field's name.
    pub name: String,
    /// `windows`, `firsts`, `lasts`, `sequences`.
    pub kind: String,
    /// How long an entry stays without being renewed, ms.
    pub keep_ms: i64,
    /// Entries for each key.
    #[serde(default)]
    pub cap: u32,
}

impl RuleManifest {
    /// The logs the rule reads, sorted, each once.
    #[must_use]
    pub fn logs(&self) -> Vec<&str> {
        let mut logs: Vec<&str> = self.sources.iter().map(|source| source.log.as_str()).collect();
        logs.sort_unstable();
        logs.dedup();
        logs
    }

    /// Whether what came before a row may change what the rule says of it: it declares stores, or a look-back. A rule that
    /// does not is shown live rows at once, even while history is being read.
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        !self.state.stores.is_empty() || self.state.look_back_ms > 0
    }
}
