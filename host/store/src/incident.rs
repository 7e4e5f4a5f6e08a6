//! Incidents: alerts that belong together, as the store keeps them.
//!
//! Which alert belongs to which incident is decided by whoever raises it; the store keeps what that takes. An incident is a row
//! of its own, because it outlives its alerts: retention may take the first or the worst of them while the next is still to
//! come. Alerts that nobody was told of (of the past, of a segment) have incidents of their own, in a *lane* beside the live ones.

use std::sync::Arc;

use picket_contract::Severity;

/// The incident that an alert belongs to, as it stood when the alert was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InIncident {
    /// Id of the incident's first alert.
    pub id: Arc<str>,
    /// When that happened, event time, ms.
    pub opened: i64,
    /// The worst of the incident, this alert included.
    pub severity: Severity,
    /// The first of it, or worse than all before it: worth waking somebody for.
    pub page: bool,
    /// By what others join the incident, as `user:ada`. None: nothing does.
    pub principal: Option<Arc<str>>,
    /// The alert that took its place; the only one of these that may change later.
    pub superseded_by: Option<Arc<str>>,
}

/// An alert has taken another's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The one that is folded. If another took its place before, that stands.
    pub alert: Arc<str>,
    /// The one that says more.
    pub by: Arc<str>,
}

/// What decides whether an alert joins an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentHead {
    /// Id of its first alert.
    pub id: Arc<str>,
    /// When that happened, event time, ms.
    pub opened: i64,
    /// Its worst.
    pub severity: Severity,
}

/// From when to when an incident has alerts of one principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Which incident.
    pub incident: IncidentHead,
    /// The principal's earliest alert in it, event time, ms.
    pub first: i64,
    /// The principal's latest alert in it, event time, ms.
    pub last: i64,
}

/// Which reaches.
#[derive(Debug, Clone, Copy)]
pub struct ReachFilter<'a> {
    /// Among alerts of the past.
    pub historic: bool,
    /// Whose.
    pub principal: &'a str,
    /// That end at or after, event time, ms.
    pub from: i64,
    /// That begin at or before, event time, ms.
    pub to: i64,
}

/// An alert that may take another's place, or whose place may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kin {
    /// Its id.
    pub alert: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// When it happened, event time, ms.
    pub time: i64,
    /// Where it belongs.
    pub incident: IncidentHead,
    /// Its place is taken already.
    pub is_superseded: bool,
}

/// Which alerts.
#[derive(Debug, Clone, Copy)]
pub struct KinFilter<'a> {
    /// Among alerts of the past.
    pub historic: bool,
    /// About this subject, by name.
    pub about: &'a str,
    /// Of these rules.
    pub rules: &'a [&'a str],
    /// Happened at or after, event time, ms.
    pub from: i64,
    /// Happened at or before, event time, ms.
    pub to: i64,
}

/// An incident, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Id of its first alert.
    pub id: Arc<str>,
    /// When that happened, event time, ms.
    pub opened: i64,
    /// Its earliest alert, event time, ms.
    pub first: i64,
    /// Its latest alert, event time, ms.
    pub last: i64,
    /// Its worst.
    pub severity: Severity,
    /// How many alerts it ever had, without their repeats.
    pub alerts: u64,
    /// How many of them were worth waking somebody for.
    pub pages: u64,
    /// About the past: nobody was told.
    pub historic: bool,
    /// Whom it is about, sorted.
    pub principals: Vec<Arc<str>>,
}

/// Which incidents to list.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// Ids that start with this (with or without `al_`).
    pub id_prefix: Option<String>,
    /// With an alert that happened at or after, event time, ms.
    pub since: Option<i64>,
    /// At most so many, those with the latest alerts. None: all.
    pub latest: Option<usize>,
}
