//! A state during one call: reads fall through to what is committed, writes are kept apart.
//!
//! Entries that the clock has passed are gone for the rule at once, and are counted until that matters: only a `put` or `set`
//! that would otherwise be refused has them counted off. Each is looked at once for that in a call, however many more puts meet
//! the cap, so a rule that hammers at a full state costs no more than one that does not.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::{Full, KeyValue, RuleState, StateChanges, StateEntry, StateLimits, StateRoom, entry_cost, timer_cost};

/// A state during one call: reads fall through to what is committed, writes are kept apart.
#[derive(Debug)]
pub struct StateOverlay<'a> {
    base: Cow<'a, RuleState>,
    limits: StateLimits,
    changes: StateChanges,
    clock: Option<i64>,
    /// What counts, as in [`RuleState::bytes`]; and what has expired and is not yet counted off.
    bytes: usize,
    /// The same, entries.
    entries: usize,
    timers: usize,
    /// Committed entries that expired up to this time are counted off.
    counted_off: Option<i64>,
    /// Committed entries that turned out to expire later than they are listed, by expiry.
    later: BTreeSet<(i64, Arc<[u8]>)>,
    /// Entries written in the call, by expiry; those that were written again or deleted since, too. None: nothing has been
    /// counted off yet.
    expiring: Option<BTreeSet<(i64, Arc<[u8]>)>>,
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
            entries: base.entries.len(),
            timers: base.timers.len(),
            counted_off: None,
            later: BTreeSet::new(),
            expiring: None,
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
        self.entry(key, now).map(|entry| entry.value.clone())
    }

    /// The same, with its expiry.
    pub fn entry(&mut self, key: &[u8], now: i64) -> Option<&StateEntry> {
        self.pass(now);
        self.current(key)
    }

    /// Remembers a value until the clock reaches `expires_at`, at most for [`StateLimits::life_ms`] from now.
    ///
    /// What makes an entry smaller is not refused, however full the state is: an operator may have lowered the cap.
    ///
    /// Gives when it will be gone: the least time if it is at once, since the clock is at `expires_at` already.
    ///
    /// # Errors
    /// [`Full`]: past a cap nothing changes.
    pub fn put(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Result<i64, Full> {
        self.pass(now);
        if key.len() > self.limits.key_bytes {
            return Err(Full::Key);
        }
        if value.len() > self.limits.value_bytes {
            return Err(Full::Value);
        }
        let clock = self.clock.unwrap_or(now);
        if expires_at <= clock {
            self.forget(key);
            return Ok(i64::MIN);
        }
        let latest = clock.saturating_add(self.limits.life_ms);
        let is_cut = expires_at > latest;
        let expires_at = expires_at.min(latest);
        let mut before = 0;
        if let Some(old) = self.current(key) {
            // What is put for ever again and again is renewed as seldom as the SDK's helpers renew.
            let gained = expires_at.saturating_sub(old.expires_at);
            let same = gained == 0 || (is_cut && gained > 0 && gained < self.limits.life_ms / 16);
            if same && *old.value == *value {
                return Ok(old.expires_at);
            }
            before = entry_cost(key, &old.value);
        }
        let after = entry_cost(key, value);
        if after > before && !self.has_room(key, after) {
            return Err(Full::Total);
        }
        let counted = self.counted(key);
        self.bytes = self.bytes - counted.unwrap_or(0) + after;
        self.entries = self.entries - usize::from(counted.is_some()) + 1;
        let key: Arc<[u8]> = key.into();
        if let Some(expiring) = &mut self.expiring {
            expiring.insert((expires_at, key.clone()));
        }
        let value = value.into();
        self.changes.entries.insert(key, Some(StateEntry { value, expires_at }));
        Ok(expires_at)
    }

    /// How much more may be put, whatever expires: what is within it is not refused.
    #[must_use]
    pub fn room(&self) -> StateRoom {
        StateRoom {
            bytes: self.limits.total_bytes.saturating_sub(self.bytes),
            entries: self.limits.entries.saturating_sub(self.entries),
            limits: self.limits,
            clock: self.clock,
        }
    }

    /// Forgets a key.
    pub fn delete(&mut self, key: &[u8], now: i64) {
        self.pass(now);
        self.forget(key);
    }

    fn forget(&mut self, key: &[u8]) {
        // What has been counted off is collected by the clock.
        if let Some(counted) = self.counted(key) {
            self.bytes -= counted;
            self.entries -= 1;
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
        let is_under = |key: &[u8]| key.starts_with(prefix);
        let committed = self.base.entries.from(prefix);
        let mut committed = committed.take_while(|(key, _)| is_under(key)).peekable();
        let written = (Bound::Included(prefix), Bound::Unbounded);
        let written = self.changes.entries.range::<[u8], _>(written);
        let mut written = written.take_while(|(key, _)| is_under(key)).peekable();
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
            let cost = timer_cost(key);
            if self.timers >= self.limits.timers {
                return Err(Full::Total);
            }
            if self.bytes + cost > self.limits.total_bytes {
                self.count_off();
                if self.bytes + cost > self.limits.total_bytes {
                    return Err(Full::Total);
                }
            }
            self.timers += 1;
            self.bytes += cost;
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
            self.bytes -= timer_cost(key);
            let key: Arc<[u8]> = key.into();
            if let Some(Some(at)) = self.changes.timers.insert(key.clone(), None) {
                self.set.remove(&(at, key));
            }
        }
    }

    /// Takes the next timer, by (time, key), that is due before `before` or at or below the clock; the clock passes it.
    pub fn next_timer(&mut self, before: i64) -> Option<(Arc<[u8]>, i64)> {
        let (at, key) = self.first()?;
        if at >= before && self.clock.is_none_or(|clock| at > clock) {
            return None;
        }
        self.cancel_timer(&key);
        self.pass(at);
        Some((key, at))
    }

    /// When the next timer is due: the least time if it is due at once, by the clock.
    pub fn first_timer(&mut self) -> Option<i64> {
        let (at, _) = self.first()?;
        let is_due = self.clock.is_some_and(|clock| at <= clock);
        Some(if is_due { i64::MIN } else { at })
    }

    fn first(&mut self) -> Option<(i64, Arc<[u8]>)> {
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
        [committed, self.set.first().cloned()].into_iter().flatten().min()
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

    fn current(&self, key: &[u8]) -> Option<&StateEntry> {
        self.stored(key).filter(|entry| self.is_alive(entry))
    }

    /// What a key counts for now, alive or not. None: there is no such entry, or it has been counted off.
    fn counted(&self, key: &[u8]) -> Option<usize> {
        let is_counted = |entry: &&StateEntry| self.counted_off.is_none_or(|to| entry.expires_at > to);
        let entry = match self.changes.entries.get(key) {
            Some(written) => written.as_ref(),
            None => self.base.entries.get(key).filter(is_counted),
        };
        entry.map(|entry| entry_cost(key, &entry.value))
    }

    /// Whether an entry of this cost fits in the place of what is under the key.
    fn has_room(&mut self, key: &[u8], cost: usize) -> bool {
        let fits = |overlay: &Self| {
            let counted = overlay.counted(key);
            overlay.bytes - counted.unwrap_or(0) + cost <= overlay.limits.total_bytes
                && overlay.entries - usize::from(counted.is_some()) < overlay.limits.entries
        };
        fits(self) || {
            self.count_off();
            fits(self)
        }
    }

    /// Counts off what the clock has passed.
    fn count_off(&mut self) {
        let Some(clock) = self.clock else { return };
        for (key, entry) in self.base.entries.listed(self.counted_off, clock) {
            if self.changes.entries.contains_key(key) {
                continue;
            }
            if entry.expires_at > clock {
                // Listed too early, and no more later: it is listed here.
                self.later.insert((entry.expires_at, key.clone()));
            } else {
                self.bytes -= entry_cost(key, &entry.value);
                self.entries -= 1;
            }
        }
        while let Some((expires_at, key)) = self.later.pop_first() {
            if expires_at > clock {
                self.later.insert((expires_at, key));
                break;
            }
            if !self.changes.entries.contains_key(&key)
                && let Some(entry) = self.base.entries.get(&key)
            {
                self.bytes -= entry_cost(&key, &entry.value);
                self.entries -= 1;
            }
        }
        self.counted_off = Some(clock);
        let written = &self.changes.entries;
        let expiring = self.expiring.get_or_insert_with(|| {
            let entries = written.iter().filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
            entries.map(|(key, entry)| (entry.expires_at, key.clone())).collect()
        });
        while let Some((expires_at, key)) = expiring.pop_first() {
            if expires_at > clock {
                expiring.insert((expires_at, key));
                break;
            }
            if let Some(written) = self.changes.entries.get_mut(&key)
                && let Some(entry) = written.take_if(|entry| entry.expires_at == expires_at)
            {
                self.bytes -= entry_cost(&key, &entry.value);
                self.entries -= 1;
            }
        }
    }
}
