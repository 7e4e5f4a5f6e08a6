//! What is to be delivered, and how each sink stands with it.
//!
//! Alerts are numbered in the order in which they were committed, and that is the outbox: no row is written for a sink. A sink
//! has one *front*: everything up to it is dealt with. Where a receiver refuses an alert of one tenant for the time being, that
//! tenant gets a *lane* of its own behind the front, and the others go on. So a sink that is down costs one row, whatever waits.

use std::sync::Arc;

use picket_contract::Severity;

/// Longest hour, ms: alerts are counted by the hour in which they were raised.
pub const HOUR_MS: i64 = 3_600_000;

/// One entry to deliver: an alert. Its repeats are not delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Counts up over all tenants, in commit order.
    pub number: u64,
    /// Whose.
    pub tenant: Arc<str>,
    /// Which alert.
    pub alert: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// How bad.
    pub severity: Severity,
    /// When it was raised, wall clock, ms.
    pub raised: i64,
    /// The how manieth of its rule's alerts for this tenant that were raised within one hour of the clock; from 1.
    pub nth: u32,
    /// It says how many were not sent: see [`Flood`].
    pub summary: bool,
    /// First of its incident, or worse than all before it.
    pub page: bool,
    /// The alert, JSON.
    pub json: Arc<str>,
}

/// How long a sink, or one tenant's lane in it, has failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row.
    pub attempts: u32,
    /// When it is tried again, wall clock, ms. None: at once.
    pub next_try: Option<i64>,
    /// The last failure, in words. None: all is well.
    pub trouble: Option<Arc<str>>,
    /// The first failure in a row, wall clock, ms.
    pub since: Option<i64>,
}

/// A tenant of whom a sink refuses an alert for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Whose.
    pub tenant: Arc<str>,
    /// Everything of the tenant up to this number is dealt with.
    pub after: u64,
    /// How long it has been refused.
    pub patience: Patience,
}

/// How a sink stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkRow {
    /// Its name.
    pub sink: Arc<str>,
    /// Everything up to this number is dealt with, but for what waits in lanes.
    pub after: u64,
    /// How long the whole of it has failed.
    pub patience: Patience,
    /// The receiver wants nothing any more.
    pub disabled: bool,
    /// By tenant.
    pub lanes: Vec<Lane>,
}

/// What to read of the outbox.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stretch<'a> {
    /// Above this number.
    pub after: u64,
    /// Up to this number. None: to the end.
    pub up_to: Option<u64>,
    /// Of this tenant alone.
    pub tenant: Option<&'a str>,
    /// This alert alone, by its whole id.
    pub alert: Option<&'a str>,
    /// Not of tenants that have a lane in this sink.
    pub without_lanes_of: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
    /// No further than the row with which the alerts' JSON comes to so many bytes. 0: no limit.
    pub bytes: usize,
}

/// What is counted of the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// For which sink.
    pub sink: &'a str,
    /// Alerts this bad and worse.
    pub min_severity: Severity,
    /// Of each rule, tenant and hour no more than so many. None: all.
    pub per_hour: Option<u32>,
    /// Of these tenants. None: of all.
    pub tenants: Option<&'a [Arc<str>]>,
    /// Counting ends here.
    pub most: u64,
}

/// What became of an alert that a sink did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterState {
    /// No retry mends it.
    Dead,
    /// Somebody asked to send it again.
    Again,
    /// Somebody said that it need not be sent.
    Dropped,
}

impl LetterState {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LetterState::Dead => "dead",
            LetterState::Again => "again",
            LetterState::Dropped => "dropped",
        }
    }

    /// From what is stored.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [LetterState::Dead, LetterState::Again, LetterState::Dropped]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// An alert that a sink will not get by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Which sink.
    pub sink: Arc<str>,
    /// Its place in the outbox.
    pub number: u64,
    /// Whose.
    pub tenant: Arc<str>,
    /// Which alert.
    pub alert: Arc<str>,
    /// What became of it.
    pub state: LetterState,
    /// In words.
    pub reason: Arc<str>,
    /// When, wall clock, ms.
    pub time: i64,
}

/// Which letters.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterFilter<'a> {
    /// Of one sink.
    pub sink: Option<&'a str>,
    /// Of one tenant.
    pub tenant: Option<&'a str>,
    /// In one state.
    pub state: Option<LetterState>,
    /// Above this number.
    pub after: u64,
    /// At most so many, by sink and number.
    pub limit: usize,
}

/// What came of delivering: written as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settlement {
    /// Which sink.
    pub sink: Arc<str>,
    /// Everything up to this number is dealt with. A smaller number than before changes nothing.
    pub after: u64,
    /// How the sink stands now. None: as before.
    pub standing: Option<(Patience, bool)>,
    /// Lanes that are otherwise than before; none: the lane is gone.
    pub lanes: Vec<(Arc<str>, Option<Lane>)>,
    /// New letters, or letters in another state.
    pub letters: Vec<Letter>,
    /// Numbers of letters that are settled.
    pub settled: Vec<u64>,
}

impl Settlement {
    /// Everything up to a number has been accepted.
    #[must_use]
    pub fn up_to(sink: &str, after: u64) -> Self {
        Settlement {
            sink: sink.into(),
            after,
            ..Settlement::default()
        }
    }
}

/// A rule has raised more alerts for a tenant in one hour than are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// Whose.
    pub tenant: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// The hour's first moment, wall clock, ms.
    pub hour: i64,
    /// Alerts raised in it.
    pub total: u32,
}

/// Called when alerts that are to be delivered are on the disk, by the writing thread: it must not wait.
#[derive(Clone)]
pub struct Wake(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}
