//! The trait and its rows, alike for every engine.

use std::sync::Arc;

use picket_contract::{Admission, Position, RuleState, Severity, StateChanges};
use serde::{Deserialize, Serialize};

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
    /// Something stored cannot be read back; everything else still can.
    #[error("store {path}: {what} is damaged: {why}")]
    Damaged {
        /// Where the store is.
        path: String,
        /// Which row.
        what: String,
        /// How.
        why: String,
    },
}

/// Everything that changes together.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Journal entries, with the numbers their owner gave them: they must follow on what the journal holds.
    pub admissions: Vec<Admission>,
    /// Where polling of a log goes on.
    pub cursors: Vec<CursorRow>,
    /// Rules that went on.
    pub rules: Vec<RuleCommit>,
    /// Alerts raised. One whose id is stored already is left as it is.
    pub alerts: Vec<AlertRow>,
    /// Alerts repeated: how often more, and when last (event time, ms).
    pub repeats: Vec<Repeat>,
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
}

/// A rule that stopped at a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The failure, in words.
    pub reason: String,
    /// Id of the event that it failed on, if one alone is enough.
    pub event: Option<String>,
    /// Digest of the module that failed.
    pub module: String,
    /// Wall clock, ms.
    pub since: i64,
    /// How many probes failed.
    pub attempts: u32,
    /// Wall clock of the next probe, ms.
    pub retry_at: i64,
}

/// A rule's progress as stored.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Version of its state's meaning.
    pub state_version: u32,
    /// How far it has come.
    pub position: Position,
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
}

/// One entry to deliver: an alert, or an alert's repeat is not delivered again.
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

/// An open dedup window, to go on after a restart.
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
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the tenant's journal.
    pub seq: u64,
    /// Duo's own log.
    pub log: Arc<str>,
    /// The event.
    pub event: picket_contract::EventRecord,
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

/// What must survive. Every method blocks; every method but [`Store::transact`] and [`Store::delivered`] only reads.
pub trait Store: Send + Sync {
    /// Writes everything of `transaction` or nothing, durably. Of concurrent calls, several may share one commit.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn transact(&self, tenant: &str, transaction: Transaction) -> Result<(), StoreError>;

    /// Tenants that have anything stored.
    ///
    /// # Errors
    /// The engine's.
    fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError>;

    /// The journal's last number; 0: nothing yet.
    ///
    /// # Errors
    /// The engine's.
    fn last_seq(&self, tenant: &str) -> Result<u64, StoreError>;

    /// Which of these event ids the journal holds already, in the order asked.
    ///
    /// # Errors
    /// The engine's.
    fn known(&self, tenant: &str, log: &str, ids: &[&str]) -> Result<Vec<bool>, StoreError>;

    /// Journal entries whose last number is above `after`, in order, until at least `max_events` events or the end. An
    /// admission is never cut: the first may hold events up to `after` too.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn read(&self, tenant: &str, after: u64, max_events: usize) -> Result<Vec<Admission>, StoreError>;

    /// Every event with a number up to `up_to` and an order time (ms) at or above `from`, and every mark up to `up_to`, as
    /// admissions in order (events below `from` left out, numbers kept): what a reader needs to rebuild what was pending.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn pending(&self, tenant: &str, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError>;

    /// Events by number, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn events(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError>;

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

    /// Every rule's progress.
    ///
    /// # Errors
    /// The engine's.
    fn rules(&self, tenant: &str) -> Result<Vec<RuleRow>, StoreError>;

    /// What a rule remembers.
    ///
    /// # Errors
    /// The engine's.
    fn state(&self, tenant: &str, rule: &str, state_version: u32) -> Result<RuleState, StoreError>;

    /// Alerts.
    ///
    /// # Errors
    /// The engine's.
    fn alerts(&self, tenant: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError>;

    /// The latest dedup window of every (rule, key) that ends after `since` (event time, ms).
    ///
    /// # Errors
    /// The engine's.
    fn dedup(&self, tenant: &str, since: i64) -> Result<Vec<DedupRow>, StoreError>;

    /// What is to be delivered to a sink, in order, at most `limit`.
    ///
    /// # Errors
    /// The engine's.
    fn outbox(&self, sink: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError>;

    /// The sink has accepted everything up to this number.
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
}

/// An admission of which some events may be left out: each event carries its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAdmission {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Events with their numbers.
    pub events: Vec<(u64, picket_contract::EventRecord)>,
    /// In order, after the events.
    pub marks: Vec<picket_contract::Mark>,
}
