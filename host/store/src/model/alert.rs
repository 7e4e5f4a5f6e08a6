//! Alerts, and what repeats them.

use std::sync::Arc;

use picket_contract::Severity;

use crate::incident::InIncident;

/// An alert as stored: columns to search by, and the whole as JSON, schema `picket.alert/1`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// `al_` and 16 hexadecimal digits.
    pub id: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// How bad.
    pub severity: Severity,
    /// When it happened, event time, ms.
    pub time: i64,
    /// When it was raised, wall clock, ms.
    pub raised: i64,
    /// Dedup key: with the rule and `time` it decides what is a repeat.
    pub dedup_key: Arc<str>,
    /// Up to this event time (exclusive, ms) the same key repeats this alert.
    pub dedup_until: i64,
    /// The subject's name, for `timeline` and `alerts --about`.
    pub about: Arc<str>,
    /// The alert, without its repeats.
    pub json: Arc<str>,
    /// How many repeats.
    pub repeats: u64,
    /// When the last repeat happened, event time, ms.
    pub last_repeat: Option<i64>,
    /// Of before the tenant's first start, or of a backfill: kept and listed, and never in the outbox.
    pub historic: bool,
    /// Raised by a rule in shadow: kept and listed apart, and never in the outbox. Its id begins with `sh_`.
    pub shadow: bool,
    /// The exception of the operator's that suppressed it: kept and listed apart, and never in the outbox. Its id begins with
    /// `su_`, unless it is of a rule in shadow.
    pub suppressed: Option<Arc<str>>,
    /// The incident that it belongs to. None: it is in shadow, suppressed, or of before there were incidents.
    pub incident: Option<InIncident>,
}

/// An alert came again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// Which alert.
    pub id: Arc<str>,
    /// How often more.
    pub count: u64,
    /// When last, event time, ms.
    pub time: i64,
}

/// What to list of the alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// Ids that start with this (with or without `al_`).
    pub id_prefix: Option<String>,
    /// Of one rule.
    pub rule: Option<String>,
    /// About one subject, by name.
    pub about: Option<String>,
    /// Happened at or after, event time, ms.
    pub since: Option<i64>,
    /// At most so many, the latest first. None: all, oldest first.
    pub latest: Option<usize>,
    /// Those of rules in shadow, suppressed or not, in place of the others.
    pub shadow: bool,
    /// Those that an exception suppressed, in place of the others.
    pub suppressed: bool,
    /// Of the incident whose id starts with this (with or without `al_`).
    pub incident: Option<String>,
}

/// A dedup window, to go on after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupRow {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// The alert that opened it.
    pub alert: Arc<str>,
    /// When that happened, event time, ms.
    pub time: i64,
    /// Exclusive end, event time, ms.
    pub until: i64,
    /// Opened by an alert of a rule in shadow: no alert that goes out repeats it.
    pub shadow: bool,
}
