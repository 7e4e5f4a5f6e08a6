//! The trait and its rows, alike for every engine.

use std::sync::Arc;

use picket_contract::{Admission, EventRecord, Mark, Position, RuleState, Severity, StateChanges, StateSummary};
use serde::{Deserialize, Serialize};

use crate::record::{AuditFilter, AuditRow, GenerationRow, SuppressedCount};
#[allow(unused_imports, reason = "the documentation links to them")]
use crate::record::{MOST_AUDIT, MOST_GENERATIONS};

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine failed; for a write the outcome is unknown: read back and go on from there.
    #[error("store {path}: {doing}: {source}")]
    Engine {
        /// Where the store is.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// The engine's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was written by another version of Picket, or is not a store.
    #[error("store {path}: {why}")]
    Unusable {
        /// Where the store is.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The transaction does not follow on what is stored. Nothing of it was written; the store is sound.
    #[error("store {path}: refused: {why}")]
    Refused {
        /// Where the store is.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// Something stored cannot be read back; everything else still can.
    #[error("store {path}: {what} is damaged: {why}")]
    Damaged {
        /// Where the store is.
        path: String,
        /// Which row.
        what: String,
        /// How.
        why: String,
        /// If it is a piece of the journal: its last number, after which reading may go on.
        last_seq: Option<u64>,
    },
}

/// Everything that changes together.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Journal entries, with the numbers their owner gave them: they must follow on what the journal holds.
    pub admissions: Vec<Admission>,
    /// Where polling of a log goes on.
    pub cursors: Vec<CursorRow>,
    /// What became of objects of the inventory.
    pub inventory: Vec<InventoryChange>,
    /// Rules that went on.
    pub rules: Vec<RuleCommit>,
    /// Alerts raised. One whose id is stored already is left as it is.
    pub alerts: Vec<AlertRow>,
    /// Alerts repeated: how often more, and when last (event time, ms). A repeat of an alert that is no longer stored is dropped.
    pub repeats: Vec<Repeat>,
    /// What became of rows that a rule fails on alone. One that is recorded of the same rule already is replaced.
    pub poison: Vec<PoisonRow>,
}

impl Transaction {
    /// Nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admissions.is_empty()
            && self.cursors.is_empty()
            && self.inventory.is_empty()
            && self.rules.is_empty()
            && self.alerts.is_empty()
            && self.repeats.is_empty()
            && self.poison.is_empty()
    }
}

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

/// How much of a log has been forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Duo's own log.
    pub log: Arc<str>,
    /// The greatest number that an event had.
    pub seq: u64,
    /// The greatest order time that an event had, ms.
    pub time: i64,
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

/// Where polling of one log goes on; the meaning is the collector's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRow {
    /// Duo's own log.
    pub log: Arc<str>,
    /// JSON.
    pub cursor: String,
}

/// An object of the inventory (a user, a phone, ...) as the latest snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// Which sort of object.
    pub kind: Arc<str>,
    /// Duo's own id of it, unique within the kind.
    pub id: Arc<str>,
    /// The object, without its secrets.
    pub json: Arc<str>,
    /// The snapshot that gave it this form, ms.
    pub seen: i64,
    /// The first of the latest snapshots in a row that lack it, ms. None: the latest has it.
    pub missing: Option<i64>,
}

/// One object of the inventory is otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryChange {
    /// It is there, in this form.
    Put(InventoryRow),
    /// It is gone. One that is not stored is gone already.
    Delete {
        /// Which sort of object.
        kind: Arc<str>,
        /// Its id.
        id: Arc<str>,
    },
}

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
}

/// One entry to deliver: an alert. Its repeats are not delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Counts up over all tenants, in commit order.
    pub number: u64,
    /// Whose.
    pub tenant: Arc<str>,
    /// Which alert.
    pub alert: Arc<str>,
    /// The alert, JSON.
    pub json: Arc<str>,
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

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the tenant's journal.
    pub seq: u64,
    /// Duo's own log.
    pub log: Arc<str>,
    /// The event.
    pub event: EventRecord,
}

/// What tells an event of the journal apart, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Unique within the log.
    pub id: Arc<str>,
    /// Order time, ms since the Unix epoch.
    pub time: i64,
}

impl From<&StoredEvent> for EventHead {
    fn from(event: &StoredEvent) -> Self {
        EventHead {
            log: event.log.clone(),
            id: event.event.id.clone(),
            time: event.event.time,
        }
    }
}

/// What to list of the events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of these logs; empty: of all.
    pub logs: Vec<String>,
    /// At or after, order time, ms.
    pub since: Option<i64>,
    /// At or before, order time, ms.
    pub until: Option<i64>,
    /// The last so many by order time. None: all.
    pub tail: Option<usize>,
}

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

/// A transaction that is on its way to the disk.
pub struct Committing(Box<dyn FnOnce() -> Result<(), StoreError> + Send>);

impl Committing {
    /// One whose outcome `wait` finds out.
    pub fn new(wait: impl FnOnce() -> Result<(), StoreError> + Send + 'static) -> Self {
        Committing(Box::new(wait))
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub fn wait(self) -> Result<(), StoreError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Committing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committing").finish_non_exhaustive()
    }
}

/// What must survive. Every method blocks. Only [`Store::transact`], [`Store::begin`], [`Store::delivered`],
/// [`Store::set_note`], [`Store::keep_versions`], [`Store::note_audit`], [`Store::note_generation`], [`Store::discard`],
/// [`Store::forget`] and [`Store::forget_ids`] write. What one call reads is of one moment; a call sees
/// everything that was acknowledged before it.
pub trait Store: Send + Sync {
    /// Writes everything of `transaction` or nothing, durably. Of concurrent calls, several may share one commit. `tenant` may
    /// be one of a tenant's segments (see [`crate::segment`]): then alerts and repeats are the tenant's, all else its own.
    ///
    /// Journal entries of marks alone are merged: one that says no more than that logs are complete, or live, gives way to a
    /// later one that says so of the same logs up to a later time, where no event and no other mark stands between. Numbers so
    /// given up are not given again.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: nothing was written. [`StoreError::Engine`]: the outcome is unknown.
    fn transact(&self, tenant: &str, transaction: Transaction) -> Result<(), StoreError>;

    /// The same without waiting for the disk: what is begun later is written later, and is refused where it builds on
    /// something begun before that failed.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: it cannot be written at all. What else may fail, [`Committing::wait`] tells.
    fn begin(&self, tenant: &str, transaction: Transaction) -> Result<Committing, StoreError>;

    /// Tenants that have anything stored. Segments are not listed.
    ///
    /// # Errors
    /// The engine's.
    fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError>;

    /// The names of a tenant's segments that have anything stored.
    ///
    /// # Errors
    /// The engine's.
    fn segments(&self, tenant: &str) -> Result<Vec<Arc<str>>, StoreError>;

    /// A segment has been judged to its end: its cursors, its rules' positions and what they remember are deleted. Its events
    /// stay, and so do the ids it holds. Of a tenant, nothing is deleted.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn discard(&self, segment: &str) -> Result<(), StoreError>;

    /// The journal's last number; 0: nothing yet.
    ///
    /// # Errors
    /// The engine's.
    fn last_seq(&self, tenant: &str) -> Result<u64, StoreError>;

    /// Which of these events (id and order time, ms) the journal holds already (as far as [`Store::forget_ids`] left them), in
    /// the order asked. One is found by its id in every admission of the log whose events' times reach to within `near` (ms) of
    /// its own. A row that tells its time has the same one each time it is read, so 0 finds it; what had to be placed beside its
    /// neighbours is found by as much as they may differ; `i64::MAX` looks everywhere.
    ///
    /// # Errors
    /// The engine's.
    fn known(&self, tenant: &str, log: &str, ids: &[(&str, i64)], near: i64) -> Result<Vec<bool>, StoreError>;

    /// Journal entries whose last number is above `after`, in order, until at least `max_events` events (marks alone count as
    /// one) or the end; empty only at the end. An admission is never cut: the first may hold events up to `after` too. What
    /// comes before a damaged piece is returned first; asked again from there, the damage is the error.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn read(&self, tenant: &str, after: u64, max_events: usize) -> Result<Vec<Admission>, StoreError>;

    /// Every event with a number up to `up_to` and an order time (ms) at or above `from`, and the marks up to `up_to`, as
    /// admissions in order (events below `from` left out, numbers kept): what a reader needs to rebuild what was pending.
    /// Complete, live and stalled marks that a greater one of the same kind and log follows may be left out.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn pending(&self, tenant: &str, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError>;

    /// Events by number, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn events(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError>;

    /// The same without their bodies.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn heads(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError>;

    /// Events by time, oldest first.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn search(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError>;

    /// How many events, by log.
    ///
    /// # Errors
    /// The engine's.
    fn count(&self, tenant: &str) -> Result<Vec<(Arc<str>, u64)>, StoreError>;

    /// Where polling goes on, by log.
    ///
    /// # Errors
    /// The engine's.
    fn cursors(&self, tenant: &str) -> Result<Vec<CursorRow>, StoreError>;

    /// The inventory's objects of one kind, by id; none: of every kind, by kind and id.
    ///
    /// # Errors
    /// The engine's.
    fn inventory(&self, tenant: &str, kind: Option<&str>) -> Result<Vec<InventoryRow>, StoreError>;

    /// One object of the inventory.
    ///
    /// # Errors
    /// The engine's.
    fn inventory_object(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<InventoryRow>, StoreError>;

    /// Every rule's progress, by rule and state version.
    ///
    /// # Errors
    /// The engine's.
    fn rules(&self, tenant: &str) -> Result<Vec<RuleRow>, StoreError>;

    /// What a rule remembers.
    ///
    /// # Errors
    /// The engine's.
    fn state(&self, tenant: &str, rule: &str, state_version: u32) -> Result<RuleState, StoreError>;

    /// Alerts, by event time.
    ///
    /// # Errors
    /// The engine's.
    fn alerts(&self, tenant: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError>;

    /// Rows that rules fail on, in the order they were first recorded; of each rule the latest [`MOST_POISON`].
    ///
    /// # Errors
    /// The engine's.
    fn poison(&self, tenant: &str) -> Result<Vec<PoisonRow>, StoreError>;

    /// How many alerts there are, and when the latest happened (event time, ms). Those of rules in shadow do not count, and
    /// those that an exception suppressed neither.
    ///
    /// # Errors
    /// The engine's.
    fn count_alerts(&self, tenant: &str) -> Result<(u64, Option<i64>), StoreError>;

    /// Every dedup window that ends after `since` (event time, ms), by rule, key and time. Not only the latest of a key: a late
    /// row may repeat an earlier alert. Windows that a segment's alerts opened are the segment's and not the tenant's.
    ///
    /// # Errors
    /// The engine's.
    fn dedup(&self, tenant: &str, since: i64) -> Result<Vec<DedupRow>, StoreError>;

    /// What is to be delivered to a sink, in order, at most `limit`.
    ///
    /// # Errors
    /// The engine's.
    fn outbox(&self, sink: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError>;

    /// The sink has accepted everything up to this number. A smaller number than before changes nothing.
    ///
    /// # Errors
    /// The engine's.
    fn delivered(&self, sink: &str, up_to: u64) -> Result<(), StoreError>;

    /// A small named value (such as the running generation), kept for the daemon; none: delete. Tenant "" is the daemon's own.
    ///
    /// # Errors
    /// The engine's.
    fn set_note(&self, tenant: &str, name: &str, value: Option<&str>) -> Result<(), StoreError>;

    /// Reads a note.
    ///
    /// # Errors
    /// The engine's.
    fn note(&self, tenant: &str, name: &str) -> Result<Option<String>, StoreError>;

    /// What each exception has suppressed, by name. Alerts of rules in shadow do not count.
    ///
    /// # Errors
    /// The engine's.
    fn suppressed(&self, tenant: &str) -> Result<Vec<SuppressedCount>, StoreError>;

    /// Adds entries to the audit log, all or none; of all that there are, the latest [`MOST_AUDIT`] are kept.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn note_audit(&self, entries: Vec<AuditRow>) -> Result<(), StoreError>;

    /// The audit log, in the order in which it was written.
    ///
    /// # Errors
    /// The engine's.
    fn audit(&self, filter: &AuditFilter<'_>) -> Result<Vec<AuditRow>, StoreError>;

    /// Notes what judges a tenant from now on. If that is what judged before, nothing is noted. The latest
    /// [`MOST_GENERATIONS`] of each tenant are kept.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn note_generation(&self, tenant: &str, generation: GenerationRow) -> Result<(), StoreError>;

    /// What judged a tenant since when, the oldest first.
    ///
    /// # Errors
    /// The engine's.
    fn generations(&self, tenant: &str) -> Result<Vec<GenerationRow>, StoreError>;

    /// Takes note of versions of modules, by file and digest, and of steps on their way, all together. Of each file the latest
    /// [`MOST_VERSIONS`] that do not judge and do not wait are kept, and the latest [`MOST_STEPS`] steps.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn keep_versions(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) -> Result<(), StoreError>;

    /// Every version, in the order in which they came into their state.
    ///
    /// # Errors
    /// The engine's.
    fn versions(&self) -> Result<Vec<VersionRow>, StoreError>;

    /// The steps of a file's versions, the oldest first.
    ///
    /// # Errors
    /// The engine's.
    fn version_steps(&self, file: &str) -> Result<Vec<StepRow>, StoreError>;

    /// The number after which the journal has every event whose order time is `from` (ms) or later; where these are more than
    /// `most`, the number after which there are about so many (whole admissions).
    ///
    /// # Errors
    /// The engine's.
    fn since(&self, tenant: &str, from: i64, most: u64) -> Result<u64, StoreError>;

    /// The earliest order time (ms) of the events that the journal holds of these logs of Duo's.
    ///
    /// # Errors
    /// The engine's.
    fn earliest(&self, tenant: &str, logs: &[&str]) -> Result<Option<i64>, StoreError>;

    /// Forgets events of one of Duo's logs: every admission all of whose events are older than `before` (order time, ms).
    /// Marks stay, and so does what ids are known. Returns how many events were forgotten. What a rule had not been shown of
    /// them it will never be: see [`Store::forgotten`].
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget(&self, tenant: &str, log: &str, before: i64) -> Result<u64, StoreError>;

    /// How much has been forgotten, by log; nothing of a log that is whole.
    ///
    /// # Errors
    /// The engine's.
    fn forgotten(&self, tenant: &str) -> Result<Vec<Forgotten>, StoreError>;

    /// Forgets that the journal holds the events of admissions that have none with an order time (ms) from `before` on: how ids
    /// no longer asked for are pruned. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget_ids(&self, tenant: &str, before: i64) -> Result<u64, StoreError>;
}

/// An admission of which some events may be left out: each event carries its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAdmission {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Events with their numbers.
    pub events: Vec<(u64, EventRecord)>,
    /// In order, after the events.
    pub marks: Vec<Mark>,
}
