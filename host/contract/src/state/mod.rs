//! What a rule remembers: entries with an expiry, timers, and the rule's clock.
//!
//! The clock is the greatest `now` that the rule passed. An entry is gone once the clock reaches its expiry, so whether and
//! when the host collects expired entries cannot be observed. Every operation is deterministic, caps included: only entries
//! that are alive count towards them.

mod entries;
mod hashing;
mod limits;
mod overlay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use self::entries::Entries;
pub use self::hashing::Hashing;
pub use self::limits::{ENTRY_COST, Full, StateLimits, StateRoom, StateSummary, TIMER_COST};
use self::limits::{entry_cost, timer_cost};
pub use self::overlay::StateOverlay;

/// One remembered value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Opaque to the host.
    pub value: Arc<[u8]>,
    /// Gone once the clock reaches it, ms.
    pub expires_at: i64,
}

/// A key and its value.
pub type KeyValue = (Arc<[u8]>, Arc<[u8]>);

/// Everything one rule remembers for one tenant, as committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleState {
    clock: Option<i64>,
    entries: Entries,
    timers: BTreeMap<Arc<[u8]>, i64>,
    due: BTreeSet<(i64, Arc<[u8]>)>,
    bytes: usize,
}

/// What one call changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// The clock after the call; none if the rule never passed a `now`.
    pub clock: Option<i64>,
    /// Keys put (some) or deleted (none), in the order of their first change. An unchanged put is no change.
    pub entries: IndexMap<Arc<[u8]>, Option<StateEntry>, Hashing>,
    /// Timers set (some, at ms) or cancelled and fired (none).
    pub timers: BTreeMap<Arc<[u8]>, Option<i64>>,
}

impl StateChanges {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clock.is_none() && self.entries.is_empty() && self.timers.is_empty()
    }

    /// Adds what a later call changed.
    pub fn merge(&mut self, later: StateChanges) {
        if self.is_empty() {
            *self = later;
            return;
        }
        self.clock = self.clock.max(later.clock);
        self.entries.extend(later.entries);
        self.timers.extend(later.timers);
    }
}

impl RuleState {
    /// Rebuilds a state from what a store kept.
    #[must_use]
    pub fn restore(
        clock: Option<i64>,
        entries: impl IntoIterator<Item = (Arc<[u8]>, StateEntry)>,
        timers: impl IntoIterator<Item = (Arc<[u8]>, i64)>,
    ) -> Self {
        let mut state = RuleState::default();
        state.apply(&StateChanges {
            clock,
            entries: entries.into_iter().map(|(key, entry)| (key, Some(entry))).collect(),
            timers: timers.into_iter().map(|(key, at)| (key, Some(at))).collect(),
        });
        state
    }

    /// The greatest `now` the rule passed, ms.
    #[must_use]
    pub fn clock(&self) -> Option<i64> {
        self.clock
    }

    /// The entries that are alive, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<[u8]>, &StateEntry)> {
        self.entries.sorted()
    }

    /// The timers, by key, ms.
    pub fn timers(&self) -> impl Iterator<Item = (&Arc<[u8]>, i64)> {
        self.timers.iter().map(|(key, at)| (key, *at))
    }

    /// When the next timer is due, ms.
    #[must_use]
    pub fn next_timer(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What counts towards [`StateLimits::total_bytes`]: about what the host holds for it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much there is, and when the next timer is due.
    #[must_use]
    pub fn summary(&self) -> StateSummary {
        StateSummary {
            clock: self.clock,
            next_timer: self.next_timer(),
            entries: self.entries.len() as u64,
            timers: self.timers.len() as u64,
            bytes: self.bytes as u64,
        }
    }

    /// Applies what a call changed. Entries that the clock has passed are collected.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (key, entry) in &changes.entries {
            match entry {
                Some(entry) => self.bytes = self.bytes.saturating_add_signed(self.entries.put(key, entry)),
                None => self.bytes -= self.entries.remove(key),
            }
        }
        for (key, at) in &changes.timers {
            if let Some(at) = self.timers.remove(key) {
                self.bytes -= timer_cost(key);
                self.due.remove(&(at, key.clone()));
            }
            if let Some(at) = at {
                self.bytes += timer_cost(key);
                self.timers.insert(key.clone(), *at);
                self.due.insert((*at, key.clone()));
            }
        }
        self.clock = self.clock.max(changes.clock);
        if let Some(clock) = self.clock {
            self.bytes -= self.entries.collect(clock);
        }
    }
}
