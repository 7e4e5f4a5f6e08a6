//! What a rule remembers: entries with an expiry, timers, and the rule's clock.
//!
//! The clock is the greatest `now` that the rule passed. An entry is gone once the clock reaches its expiry, so whether and
//! when the host collects expired entries cannot be observed. Every operation is deterministic, caps included: only entries
//! that are alive count towards them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Caps on one rule's state for one tenant. Keys and values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Longest key, bytes.
    pub key_bytes: usize,
    /// Longest value, bytes.
    pub value_bytes: usize,
    /// All keys and values together, bytes.
    pub total_bytes: usize,
    /// Most timers.
    pub timers: usize,
}

impl Default for StateLimits {
    fn default() -> Self {
        // 64 MiB hold the windows of 200,000 users; a value is one user's window (200 entries of 16 bytes fit 20 times).
        StateLimits {
            key_bytes: 1024,
            value_bytes: 64 << 10,
            total_bytes: 64 << 20,
            timers: 100_000,
        }
    }
}

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
    entries: BTreeMap<Arc<[u8]>, StateEntry>,
    expiry: BTreeSet<(i64, Arc<[u8]>)>,
    timers: BTreeMap<Arc<[u8]>, i64>,
    due: BTreeSet<(i64, Arc<[u8]>)>,
    bytes: usize,
}

/// What one call changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// The clock after the call; none if the rule never passed a `now`.
    pub clock: Option<i64>,
    /// Keys put (some) or deleted (none). An unchanged put is no change.
    pub entries: BTreeMap<Arc<[u8]>, Option<StateEntry>>,
    /// Timers set (some, at ms) or cancelled and fired (none).
    pub timers: BTreeMap<Arc<[u8]>, Option<i64>>,
}

/// Why a `put` or `set` was refused. Deterministic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The key is too long.
    #[error("the key is longer than the limit")]
    Key,
    /// The value is too long.
    #[error("the value is longer than the limit")]
    Value,
    /// The rule's state is at its cap.
    #[error("the rule's state is full")]
    Total,
}

impl StateChanges {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clock.is_none() && self.entries.is_empty() && self.timers.is_empty()
    }

    /// Adds what a later call changed.
    pub fn merge(&mut self, later: StateChanges) {
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
        self.entries.iter()
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

    /// Bytes of keys and values alive.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Applies what a call changed. Entries that the clock has passed are collected.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (key, entry) in &changes.entries {
            self.remove(key);
            if let Some(entry) = entry {
                self.bytes += key.len() + entry.value.len();
                self.expiry.insert((entry.expires_at, key.clone()));
                self.entries.insert(key.clone(), entry.clone());
            }
        }
        for (key, at) in &changes.timers {
            if let Some(at) = self.timers.remove(key) {
                self.due.remove(&(at, key.clone()));
            }
            if let Some(at) = at {
                self.timers.insert(key.clone(), *at);
                self.due.insert((*at, key.clone()));
            }
        }
        self.clock = self.clock.max(changes.clock);
        let Some(clock) = self.clock else { return };
        while let Some((expires_at, key)) = self.expiry.first().cloned() {
            if expires_at > clock {
                break;
            }
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Arc<[u8]>) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= key.len() + old.value.len();
            self.expiry.remove(&(old.expires_at, key.clone()));
        }
    }
}

/// A state during one call: reads fall through to what is committed, writes are kept apart.
#[derive(Debug)]
pub struct StateOverlay<'a> {
    base: Cow<'a, RuleState>,
    limits: StateLimits,
    changes: StateChanges,
    clock: Option<i64>,
    bytes: usize,
    timers: usize,
    /// Timers set in the call, by time.
    set: BTreeSet<(i64, Arc<[u8]>)>,
    /// Committed timers before this one are overridden.
    due_from: Option<(i64, Arc<[u8]>)>,
}

impl StateOverlay<'static> {
    /// A call begins whose host cannot borrow: it works on a state of its own.
    #[must_use]
    pub fn owned(base: RuleState, limits: StateLimits) -> Self {
        Self::over(Cow::Owned(base), limits)
    }
}

impl<'a> StateOverlay<'a> {
    /// A call begins.
    #[must_use]
    pub fn new(base: &'a RuleState, limits: StateLimits) -> Self {
        Self::over(Cow::Borrowed(base), limits)
    }

    fn over(base: Cow<'a, RuleState>, limits: StateLimits) -> Self {
        StateOverlay {
            limits,
            changes: StateChanges::default(),
            clock: base.clock,
            bytes: base.bytes,
            timers: base.timers.len(),
            set: BTreeSet::new(),
            due_from: None,
            base,
        }
    }

    /// The call succeeded: what it changed.
    #[must_use]
    pub fn finish(mut self) -> StateChanges {
        let clock = self.clock;
        self.changes.clock = clock.filter(|_| clock != self.base.clock);
        let base = self.base;
        self.changes
            .entries
            .retain(|key, entry| entry.as_ref() != base.entries.get(key));
        self.changes
            .timers
            .retain(|key, at| at.as_ref() != base.timers.get(key));
        self.changes
    }

    /// The value of a key that is alive at `max(now, clock)`.
    pub fn get(&mut self, key: &[u8], now: i64) -> Option<Arc<[u8]>> {
        self.pass(now);
        self.current(key).map(|entry| entry.value.clone())
    }

    /// Remembers a value until the clock reaches `expires_at`.
    ///
    /// # Errors
    /// [`Full`]: past a cap nothing changes.
    pub fn put(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Result<(), Full> {
        self.pass(now);
        if key.len() > self.limits.key_bytes {
            return Err(Full::Key);
        }
        if value.len() > self.limits.value_bytes {
            return Err(Full::Value);
        }
        let old = self.current(key).map_or(0, |entry| key.len() + entry.value.len());
        let grown = key.len() + value.len();
        // `bytes` may still count what has expired; only where that decides is it worth finding out.
        let fits = self.bytes + grown <= self.limits.total_bytes;
        if !fits && self.alive_bytes() - old + grown > self.limits.total_bytes {
            return Err(Full::Total);
        }
        if let Some(old) = self.current(key)
            && old.expires_at == expires_at
            && *old.value == *value
        {
            return Ok(());
        }
        self.bytes = self.bytes - self.stored_bytes(key) + key.len() + value.len();
        self.changes.entries.insert(
            key.into(),
            Some(StateEntry {
                value: value.into(),
                expires_at,
            }),
        );
        Ok(())
    }

    /// Forgets a key.
    pub fn delete(&mut self, key: &[u8], now: i64) {
        self.pass(now);
        let stored = self.stored_bytes(key);
        if stored > 0 {
            self.bytes -= stored;
            self.changes.entries.insert(key.into(), None);
        }
    }

    /// Keys that start with `prefix` and are alive, in order, at most `limit`.
    pub fn scan(&mut self, prefix: &[u8], now: i64, limit: usize) -> Vec<KeyValue> {
        self.scan_counting(prefix, now, limit).0
    }

    /// The same, and how many entries were looked at for it: those that expired during the call are work too, and whoever
    /// calls for somebody else will want to charge for it.
    pub fn scan_counting(&mut self, prefix: &[u8], now: i64, limit: usize) -> (Vec<KeyValue>, usize) {
        self.pass(now);
        let mut committed = range(&self.base.entries, prefix).peekable();
        let mut written = range(&self.changes.entries, prefix).peekable();
        let (mut found, mut seen) = (Vec::new(), 0);
        while found.len() < limit {
            // What was written in this call comes instead of what was committed under the same key.
            let next = match (committed.peek(), written.peek()) {
                (Some((old, _)), Some((new, _))) if old < new => committed.next(),
                (Some((old, _)), Some((new, _))) if old == new => {
                    committed.next();
                    written.next().and_then(|(key, entry)| Some((key, entry.as_ref()?)))
                }
                (Some(_), None) => committed.next(),
                (_, Some(_)) => written.next().and_then(|(key, entry)| Some((key, entry.as_ref()?))),
                (None, None) => break,
            };
            seen += 1;
            if let Some((key, entry)) = next.filter(|(_, entry)| self.is_alive(entry)) {
                found.push((key.clone(), entry.value.clone()));
            }
        }
        (found, seen)
    }

    /// Sets a timer, replacing the one of that key.
    ///
    /// # Errors
    /// [`Full`]: past a cap nothing changes.
    pub fn set_timer(&mut self, key: &[u8], at: i64) -> Result<(), Full> {
        if key.len() > self.limits.key_bytes {
            return Err(Full::Key);
        }
        if self.timer(key).is_none() {
            if self.timers >= self.limits.timers {
                return Err(Full::Total);
            }
            self.timers += 1;
        }
        let key: Arc<[u8]> = key.into();
        if let Some(Some(before)) = self.changes.timers.insert(key.clone(), Some(at)) {
            self.set.remove(&(before, key.clone()));
        }
        self.set.insert((at, key));
        Ok(())
    }

    /// Cancels a timer, if it is set.
    pub fn cancel_timer(&mut self, key: &[u8]) {
        if self.timer(key).is_some() {
            self.timers -= 1;
            let key: Arc<[u8]> = key.into();
            if let Some(Some(at)) = self.changes.timers.insert(key.clone(), None) {
                self.set.remove(&(at, key));
            }
        }
    }

    /// Takes the next timer, by (time, key), that is due before `before` or at or below the clock; the clock passes it.
    pub fn next_timer(&mut self, before: i64) -> Option<(Arc<[u8]>, i64)> {
        // Nothing before the cursor comes back within the call, since what the call overrode stays overridden.
        let rest = match &self.due_from {
            Some(cursor) => self.base.due.range(cursor.clone()..),
            None => self.base.due.range(..),
        };
        let committed = rest
            .into_iter()
            .find(|(_, key)| !self.changes.timers.contains_key(key))
            .cloned();
        self.due_from = committed.clone().or_else(|| self.base.due.last().cloned());
        let (at, key) = [committed, self.set.first().cloned()].into_iter().flatten().min()?;
        if at >= before && self.clock.is_none_or(|clock| at > clock) {
            return None;
        }
        self.cancel_timer(&key);
        self.pass(at);
        Some((key, at))
    }

    fn timer(&self, key: &[u8]) -> Option<i64> {
        match self.changes.timers.get(key) {
            Some(at) => *at,
            None => self.base.timers.get(key).copied(),
        }
    }

    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(Some(now));
    }

    fn is_alive(&self, entry: &StateEntry) -> bool {
        self.clock.is_none_or(|clock| entry.expires_at > clock)
    }

    fn stored(&self, key: &[u8]) -> Option<&StateEntry> {
        match self.changes.entries.get(key) {
            Some(entry) => entry.as_ref(),
            None => self.base.entries.get(key),
        }
    }

    fn stored_bytes(&self, key: &[u8]) -> usize {
        self.stored(key).map_or(0, |entry| key.len() + entry.value.len())
    }

    fn current(&self, key: &[u8]) -> Option<&StateEntry> {
        self.stored(key).filter(|entry| self.is_alive(entry))
    }

    /// Bytes of entries that are alive. Collects, in the overlay, what the clock has passed, so each entry is visited once.
    fn alive_bytes(&mut self) -> usize {
        let Some(clock) = self.clock else { return self.bytes };
        let mut expired: Vec<Arc<[u8]>> = Vec::new();
        for (expires_at, key) in &self.base.expiry {
            if *expires_at > clock {
                break;
            }
            if !self.changes.entries.contains_key(key) {
                expired.push(key.clone());
            }
        }
        let written = self
            .changes
            .entries
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        expired.extend(
            written
                .filter(|(_, entry)| entry.expires_at <= clock)
                .map(|(key, _)| key.clone()),
        );
        for key in expired {
            self.bytes -= self.stored_bytes(&key);
            self.changes.entries.insert(key, None);
        }
        self.bytes
    }
}

fn range<'m, V>(map: &'m BTreeMap<Arc<[u8]>, V>, prefix: &'m [u8]) -> impl Iterator<Item = (&'m Arc<[u8]>, &'m V)> {
    map.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}
