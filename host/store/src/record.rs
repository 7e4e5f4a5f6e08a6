//! Rows that tell an operator what was done, by whom, and what judged when.

use std::sync::Arc;

/// How many entries of the audit log are kept, over all tenants: the latest.
pub const MOST_AUDIT: u64 = 100_000;
/// How many changes of what judges are kept of each tenant: the latest.
pub const MOST_GENERATIONS: u64 = 1000;

/// Something that somebody changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// When it took effect, wall clock, ms.
    pub time: i64,
    /// The user of the operating system, `uid 1001` where it has no name, or `picket` for what Picket did by itself.
    pub who: Arc<str>,
    /// The verb that it was done with, as `promote`; `file` for a file that was edited; `watch` for what Picket did by itself.
    pub how: Arc<str>,
    /// Whose; empty: of all tenants.
    pub tenant: Arc<str>,
    /// What was changed, as `tenants.d/acme.yaml: rules.user-deleted.mode` or `rule user-deleted`.
    pub what: Arc<str>,
    /// What it was; none: it was not there.
    pub before: Option<Arc<str>>,
    /// What it is; none: it is gone.
    pub after: Option<Arc<str>>,
    /// Why, in the words of whoever did it; may be empty.
    pub reason: Arc<str>,
}

/// What to list of the audit log.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// At or after, wall clock, ms.
    pub since: Option<i64>,
    /// What concerns this tenant: its own, and what concerns all.
    pub tenant: Option<&'a str>,
    /// The latest so many.
    pub latest: Option<usize>,
}

/// From when on which rules judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// The generation's number in the tenant's journal.
    pub number: u64,
    /// Since when, wall clock, ms.
    pub since: i64,
    /// What it consists of, JSON: the meaning is the daemon's.
    pub json: Arc<str>,
}

/// What one exception has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedCount {
    /// Its name.
    pub exception: Arc<str>,
    /// How many alerts it suppressed, repeats included.
    pub alerts: u64,
    /// When the last of them happened, event time, ms.
    pub last: i64,
}
