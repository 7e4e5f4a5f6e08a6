//! Versions of modules, and what became of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One version of a module: the content that a file of the rules directory has or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The file, relative to the rules directory.
    pub file: Arc<str>,
    /// Digest of the content, `sha256:...`.
    pub digest: Arc<str>,
    /// How it stands.
    pub state: VersionState,
    /// When it came into this state, wall clock, ms.
    pub since: i64,
    /// Why, in words.
    pub reason: Arc<str>,
    /// Its rules: id and version of each.
    pub rules: Vec<(String, String)>,
}

/// How a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It judges.
    Live,
    /// It has passed and raises other alerts than the one that judges: somebody has to decide.
    Waiting,
    /// It has passed on stored events, and judges live ones beside the one that judges; nobody is told.
    Shadow,
    /// It judged, and another took its place: it can be gone back to.
    Replaced,
    /// It judged, and was taken back.
    RolledBack,
    /// It did not pass.
    Refused,
    /// It judged until its file was deleted.
    Retired,
}

/// One step on the way of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// The file, relative to the rules directory.
    pub file: Arc<str>,
    /// Digest of the content, `sha256:...`.
    pub digest: Arc<str>,
    /// When it ended, wall clock, ms.
    pub time: i64,
    /// Which, in one word, as `admission` or `shadow`.
    pub step: Arc<str>,
    /// How it ended.
    pub outcome: StepOutcome,
    /// Why, in words.
    pub reason: Arc<str>,
    /// What was found, JSON.
    pub detail: Option<Arc<str>>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The version goes on.
    Passed,
    /// It goes no further.
    Failed,
    /// Somebody has to decide.
    Waits,
}

/// How many versions of each file are kept that do not judge and do not wait: the latest.
pub const MOST_VERSIONS: usize = 50;

/// How many steps are kept of each file: the latest.
pub const MOST_STEPS: usize = 500;
