//! What is given up when it is old, and how much there is.

use std::sync::Arc;

/// Which events of a log may be forgotten: whole admissions, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Old {
    /// All of whose events are older than this (order time, ms),
    pub before: i64,
    /// and have numbers up to this.
    pub up_to: u64,
    /// Until about so many events are gone: one admission is forgotten in any case.
    pub most: u64,
}

impl Old {
    /// Everything older than this (order time, ms), at once.
    #[must_use]
    pub fn than(before: i64) -> Self {
        Old {
            before,
            up_to: i64::MAX.unsigned_abs(),
            most: i64::MAX.unsigned_abs(),
        }
    }
}

/// How much of one log a journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Events held.
    pub events: u64,
    /// Events ever admitted (as far as this was counted: since schema 10).
    pub admitted: u64,
    /// What the events take, packed, bytes.
    pub bytes: u64,
    /// The order time (ms) up to which the oldest admission reaches. None: it holds none.
    pub oldest: Option<i64>,
}

/// What a tenant and its segments take on the disk, bytes; besides, there are indexes and room within pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events, packed.
    pub events: u64,
    /// Their ids, as far as they are kept apart.
    pub ids: u64,
    /// Alerts.
    pub alerts: u64,
    /// What rules remember.
    pub state: u64,
    /// The inventory.
    pub inventory: u64,
}

impl Taken {
    /// All of it, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [self.events, self.ids, self.alerts, self.state, self.inventory]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// How many rows of one sort are stored of a tenant and its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Which sort, in words, as `events` or `state entries`.
    pub what: &'static str,
    /// How many.
    pub rows: u64,
}
