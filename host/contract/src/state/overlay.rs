//! A state during one call: reads fall through to what is committed, writes are kept apart.
//!
//! Entries that the clock has passed are gone for the rule at once, and are counted until that matters: only a `put` or `set`
//! that would otherwise be refused has them counted off. Each is looked at once for that in a call, however many more puts meet
//! the cap, so a rule that hammers at a full state costs no more than one that does not.

mod timers;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};

use super::{Full, KeyValue, RuleState, StateChanges, StateEntry, StateLimits, StateRoom, entry_cost};

/// A state during one call: reads fall through to what is committed, writes are kept apart.
#[derive(Debug)]
pub struct StateOverlay<'a> {
    base: Cow<'a, RuleState>,
    limits: StateLimits,
    changes: StateChanges,
    /// What was written under some key has changed since: it may be what is committed.
    rewritten: bool,
    /// The keys written in the call, in order. None: nothing has been scanned yet.
    ordered: Option<BTreeSet<Arc<[u8]>>>,
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

/// Where a key is.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
    /// Its place among what was written in the call.
    written: Option<usize>,
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
            rewritten: false,
            ordered: None,
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
        // A first write is a change, or it is not kept.
        if self.rewritten {
            let is_change = |key: &Arc<[u8]>, entry: &mut Option<StateEntry>| entry.as_ref() != base.entries.get(key);
            self.changes.entries.retain(is_change);
        }
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
        let place = self.place(key);
        let (_, entry) = self.stored(place, key)?;
        Some(entry).filter(|entry| self.is_alive(entry))
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
        let place = self.place(key);
        if expires_at <= clock {
            self.forget(place, key);
            return Ok(i64::MIN);
        }
        let latest = clock.saturating_add(self.limits.life_ms);
        let is_cut = expires_at > latest;
        let expires_at = expires_at.min(latest);
        let mut before = 0;
        let stored = self.stored(place, key);
        if let Some((_, old)) = stored.filter(|(_, entry)| self.is_alive(entry)) {
            // What is put for ever again and again is renewed as seldom as the SDK's helpers renew.
            let gained = expires_at.saturating_sub(old.expires_at);
            let same = gained == 0 || (is_cut && gained > 0 && gained < self.limits.life_ms / 16);
            if same && *old.value == *value {
                return Ok(old.expires_at);
            }
            before = entry_cost(key, &old.value);
        }
        // A key that is known is held once.
        let own = stored.map_or_else(|| key.into(), |(own, _)| own.clone());
        let after = entry_cost(key, value);
        if after > before && !self.has_room(place, key, after) {
            return Err(Full::Total);
        }
        let counted = self.counted(place, key);
        self.bytes = self.bytes - counted.unwrap_or(0) + after;
        self.entries = self.entries - usize::from(counted.is_some()) + 1;
        if let Some(expiring) = &mut self.expiring {
            expiring.insert((expires_at, own.clone()));
        }
        let value = value.into();
        self.write(place, own, Some(StateEntry { value, expires_at }));
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
        self.forget(self.place(key), key);
    }

    fn forget(&mut self, place: Place, key: &[u8]) {
        // What has been counted off is collected by the clock.
        if let (Some(counted), Some((own, _))) = (self.counted(place, key), self.stored(place, key)) {
            let own = own.clone();
            self.bytes -= counted;
            self.entries -= 1;
            self.write(place, own, None);
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
        let clock = self.clock;
        let is_under = |key: &[u8]| key.starts_with(prefix);
        let committed = self.base.entries.from(prefix);
        let mut committed = committed.take_while(|(key, _)| is_under(key)).peekable();
        let (ordered, entries) = (&mut self.ordered, &self.changes.entries);
        let ordered = &*ordered.get_or_insert_with(|| entries.keys().cloned().collect());
        let written = ordered.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        let written = written.filter_map(|key| entries.get_key_value(key));
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
            if let Some((key, entry)) = next.filter(|(_, entry)| is_alive(clock, entry)) {
                found.push((key.clone(), entry.value.clone()));
            }
        }
        (found, seen)
    }

    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(Some(now));
    }

    fn is_alive(&self, entry: &StateEntry) -> bool {
        is_alive(self.clock, entry)
    }

    /// Where the key is, if it was written in the call.
    #[inline]
    fn place(&self, key: &[u8]) -> Place {
        let entries = &self.changes.entries;
        let hash = entries.hasher().of(key);
        let written = entries.raw_entry_v1().index_from_hash(hash, |own| **own == *key);
        Place { hash, written }
    }

    /// What is remembered under a key, alive or not, and the key as it is held there.
    #[inline]
    fn stored(&self, place: Place, key: &[u8]) -> Option<(&Arc<[u8]>, &StateEntry)> {
        match place.written.and_then(|index| self.changes.entries.get_index(index)) {
            Some((own, entry)) => Some((own, entry.as_ref()?)),
            None => self.base.entries.find(place.hash, key),
        }
    }

    fn write(&mut self, place: Place, key: Arc<[u8]>, entry: Option<StateEntry>) {
        let entries = &mut self.changes.entries;
        match place.written.and_then(|index| entries.get_index_mut(index)) {
            Some((_, written)) => {
                *written = entry;
                self.rewritten = true;
            }
            None => {
                if let Some(ordered) = &mut self.ordered {
                    ordered.insert(key.clone());
                }
                // It is not there: nothing has been written since the place was looked for.
                if let RawEntryMut::Vacant(free) = entries.raw_entry_mut_v1().from_hash(place.hash, |_| false) {
                    free.insert_hashed_nocheck(place.hash, key, entry);
                }
            }
        }
    }

    /// What a key counts for now, alive or not. None: there is no such entry, or it has been counted off.
    fn counted(&self, place: Place, key: &[u8]) -> Option<usize> {
        let (_, entry) = self.stored(place, key)?;
        let is_counted = place.written.is_some() || self.counted_off.is_none_or(|to| entry.expires_at > to);
        is_counted.then(|| entry_cost(key, &entry.value))
    }

    /// Whether an entry of this cost fits in the place of what is under the key.
    fn has_room(&mut self, place: Place, key: &[u8], cost: usize) -> bool {
        let fits = |overlay: &Self| {
            let counted = overlay.counted(place, key);
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
                self.rewritten = true;
            }
        }
    }
}

fn is_alive(clock: Option<i64>, entry: &StateEntry) -> bool {
    clock.is_none_or(|clock| entry.expires_at > clock)
}
