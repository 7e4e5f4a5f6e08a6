//! What a call knows of its state: what it has read, and what it has written.
//!
//! A look across the boundary costs as much as judging a row. So what the host has said is asked once: it says until when an
//! entry is remembered, and nobody but the rule changes it within the call. Entries that later rows will want are asked for all
//! at once ([`foresee`](crate::foresee)). What the rule writes is changed in place and owed to the host until the call ends, as
//! long as it is certain that the host has room for it ([`owed`]).
//!
//! After a call state, alerts and clock are what row-by-row calls without any of this would have left:
//!
//! - an entry is gone once the rule's clock reaches its expiry, here as there. The clock is the greatest `now` of all looks, of
//!   those too that the host has not been bothered with; it is told with the next, and at the end;
//! - a timer is fetched when the host would have given it: before which time none is due is known, and asked again when that time
//!   has come. A timer that was set in the call is the host's; when it is set again only the last time is told, before the host
//!   is next asked about timers;
//! - a late row's write that is expired already is forgotten by the host at once, and seen by that row alone.
//!
//! What is kept here is bounded: past [`MOST`] bytes nothing more is, and when it is nearly full the next row begins anew.

use std::cell::{Cell, RefCell};

use owed::Purse;
pub(super) use owed::{Splice, splice, write};

use crate::bytes::same;
use crate::host;

/// Bytes of keys and values.
const MOST: usize = 256 << 10;
/// With more than this a row does not begin: the longest value fits beside it.
const FULL: usize = MOST - (64 << 10);

/// What a small call looks at: so many keys, and 128 bytes for each of them with its value.
const FACTS: usize = 32;

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(Known::new()) };
}

/// One key.
struct Fact {
    hash: u32,
    /// Where the key is in the store of bytes.
    key: Place,
    value: Place,
    /// None: the host has to be asked.
    expires_at: Option<i64>,
    /// The row that wrote a value which the host has not kept: it sees it.
    seen_by: Option<u32>,
    /// The host has not been told yet.
    is_owed: bool,
    /// Bytes of the host's room that are set aside for it.
    set_aside: u64,
    timer: Timer,
}

/// What is known of the timer of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// Whether there is one.
    Unknown,
    /// The host has one: it was set in this call, and has not rung since.
    Set,
    /// The same, and the host has not been told yet that it is for this time, ms.
    Owed(i64),
}

/// Where a row has found what is known of a key, so that it is looked for once.
#[derive(Debug, Default)]
pub(crate) struct Spot(Cell<Option<(u32, u32)>>);

#[derive(Clone, Copy)]
struct Place {
    start: usize,
    len: usize,
    /// As much would fit there.
    room: usize,
}

struct Known {
    facts: Vec<Fact>,
    /// By hash: the number of a fact, from 1. Its length is a power of two.
    table: Vec<u32>,
    bytes: Vec<u8>,
    /// The greatest time passed, ms.
    clock: i64,
    /// The greatest of which the host has been told.
    told: i64,
    /// Counts rows and timers.
    row: u32,
    /// Facts that this row had to ask for.
    asked: Vec<u32>,
    /// No timer is due before this time, ms. None: the host has to be asked.
    quiet: Option<i64>,
    /// One is due just then.
    is_exact: bool,
    /// Facts that the host has not been told yet.
    owed: Vec<u32>,
    /// Facts whose timers the host has not been told yet; or has been, by now.
    owed_timers: Vec<u32>,
    purse: Purse,
}

/// A call begins.
pub(crate) fn begin() {
    KNOWN.with_borrow_mut(|known| {
        known.clear();
        known.row = known.row.wrapping_add(1);
        (known.clock, known.told) = (i64::MIN, i64::MIN);
        (known.quiet, known.is_exact) = (None, false);
        known.purse = Purse::Unasked;
    });
}

/// A row or timer begins.
pub(crate) fn next_row() {
    KNOWN.with_borrow_mut(|known| {
        known.row = known.row.wrapping_add(1);
        known.asked.clear();
        if known.bytes.len() > FULL {
            known.hand_over();
            known.hand_over_timers();
            known.clear();
        }
    });
}

/// A call ends well.
pub(crate) fn end() {
    KNOWN.with_borrow_mut(|known| {
        known.hand_over();
        known.hand_over_timers();
        known.tell();
    });
}

/// Looks at the value of a key; none: there is none.
pub(super) fn read<R>(spot: &Spot, key: &[u8], now: i64, look: impl FnOnce(Option<&[u8]>) -> R) -> R {
    KNOWN.with_borrow_mut(|known| {
        known.pass(now);
        let number = known.fact_at(spot, key);
        if let Some(value) = number.and_then(|number| known.value(number)) {
            return look(value);
        }
        let entry = host::with(|host| host.get_entry(key, known.clock));
        known.told = known.clock;
        let entry = entry
            .as_ref()
            .map(|(value, expires_at)| (value.as_slice(), *expires_at));
        if let Some(number) = number {
            known.learn(number, entry);
            known.asked.push(number);
        }
        look(entry.map(|(value, _)| value))
    })
}

/// Forgets a key.
pub(super) fn delete(spot: &Spot, key: &[u8], now: i64) {
    KNOWN.with_borrow_mut(|known| {
        known.pass(now);
        let number = known.fact_at(spot, key);
        if matches!(number.and_then(|number| known.value(number)), Some(None)) {
            return;
        }
        match number {
            Some(number) if !known.purse.is_empty() => known.owe(number, i64::MIN),
            _ => {
                host::with(|host| host.delete(key, known.clock));
                known.told = known.clock;
                if let Some(number) = number {
                    known.learn(number, None);
                }
            }
        }
    });
}

/// Hands over the keys that this row had to ask for; nothing if it had to ask for none.
pub(crate) fn asked(mut each: impl FnMut(&[u8])) {
    KNOWN.with_borrow_mut(|known| {
        for number in &known.asked {
            let fact = known.facts.get(*number as usize);
            each(fact.map_or(&[], |fact| known.bytes_at(fact.key)));
        }
    });
}

/// Whether this row had to ask for something.
pub(crate) fn has_asked() -> bool {
    KNOWN.with_borrow(|known| !known.asked.is_empty())
}

/// Asks for what is not known of some keys, all at once. The keys are named one by one, until the answer is that it is enough.
pub(crate) fn fetch(name: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool)) {
    KNOWN.with_borrow_mut(|known| known.fetch(name));
}

/// Takes the next timer that is due before `before` or by the clock.
pub(crate) fn next_timer(before: i64) -> Option<(Vec<u8>, i64)> {
    KNOWN.with_borrow_mut(|known| {
        if known.is_quiet(before) {
            return None;
        }
        known.hand_over_timers();
        if !known.is_exact {
            known.quiet = Some(host::with(|host| host.first_timer()).unwrap_or(i64::MAX));
            known.is_exact = true;
            if known.is_quiet(before) {
                return None;
            }
        }
        (known.quiet, known.is_exact) = (None, false);
        known.tell();
        let timer = host::with(|host| host.next_timer(before))?;
        known.note_timer(&timer.0, Timer::Unknown);
        known.pass(timer.1);
        known.told = known.clock;
        Some(timer)
    })
}

/// Sets a timer. False: the host has no room, and nothing changed.
pub(crate) fn set_timer(spot: &Spot, key: &[u8], at: i64) -> bool {
    KNOWN.with_borrow_mut(|known| {
        // The host's clock may be ahead, and then the timer may be due at once.
        known.room();
        // All others are due no sooner than it is quiet.
        let is_first = known.quiet.is_some_and(|quiet| at <= quiet);
        known.quiet = known.quiet.map(|quiet| quiet.min(at));
        known.is_exact = false;
        let number = known.fact_at(spot, key);
        let fact = number.and_then(|number| Some((number, known.facts.get_mut(number as usize)?)));
        if let Some((number, fact)) = fact
            && fact.timer != Timer::Unknown
        {
            // The host's is replaced, for which there is always room.
            if fact.timer == Timer::Set {
                known.owed_timers.push(number);
            }
            fact.timer = Timer::Owed(at);
            known.is_exact = is_first;
            return true;
        }
        known.spend_on_timer(key);
        let set = || host::with(|host| host.set_timer(key, at));
        let is_set = set() || {
            // By the rule's clock something may have expired, and made room.
            let was_behind = known.clock > known.told;
            known.tell();
            was_behind && set()
        };
        if is_set {
            known.is_exact = is_first;
            known.note_timer(key, Timer::Set);
        }
        is_set
    })
}

/// Cancels a timer.
pub(crate) fn cancel_timer(key: &[u8]) {
    KNOWN.with_borrow_mut(|known| {
        // Where there are none at all, there is nothing to cancel.
        if known.quiet != Some(i64::MAX) {
            known.note_timer(key, Timer::Unknown);
            known.is_exact = false;
            host::with(|host| host.cancel_timer(key));
        }
    });
}

impl Known {
    const fn new() -> Self {
        Known {
            facts: Vec::new(),
            table: Vec::new(),
            bytes: Vec::new(),
            clock: i64::MIN,
            told: i64::MIN,
            row: 0,
            asked: Vec::new(),
            quiet: None,
            is_exact: false,
            owed: Vec::new(),
            owed_timers: Vec::new(),
            purse: Purse::Unasked,
        }
    }

    /// Knows nothing any more but the time.
    fn clear(&mut self) {
        self.facts.clear();
        self.table.fill(0);
        self.bytes.clear();
        self.asked.clear();
        self.owed.clear();
        self.owed_timers.clear();
    }

    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(now);
    }

    /// No timer is due before this time, nor by the clock.
    fn is_quiet(&self, before: i64) -> bool {
        self.quiet.is_some_and(|quiet| quiet >= before && quiet > self.clock)
    }

    fn note_timer(&mut self, key: &[u8], timer: Timer) {
        let number = self.find(key).ok();
        if let Some(fact) = number.and_then(|number| self.facts.get_mut(number as usize)) {
            fact.timer = timer;
        }
    }

    /// Tells the host what timers were set to.
    fn hand_over_timers(&mut self) {
        for number in std::mem::take(&mut self.owed_timers) {
            let Some(fact) = self.facts.get_mut(number as usize) else {
                continue;
            };
            if let Timer::Owed(at) = fact.timer {
                fact.timer = Timer::Set;
                let key = fact.key;
                host::with(|host| host.set_timer(self.bytes_at(key), at));
            }
        }
    }

    /// The host's clock follows.
    fn tell(&mut self) {
        if self.clock > self.told {
            // There is no such key, and the time is passed all the same.
            host::with(|host| host.get_entry(&[], self.clock));
            self.told = self.clock;
        }
    }

    /// What is known of a value; the inner none: there is none.
    fn value(&self, number: u32) -> Option<Option<&[u8]>> {
        let fact = self.facts.get(number as usize)?;
        let expires_at = fact.expires_at?;
        let is_there = expires_at > self.clock || fact.seen_by == Some(self.row);
        Some(is_there.then(|| self.bytes_at(fact.value)))
    }

    /// The host says this of a key. Where there is no room to know it, it will be asked again.
    fn learn(&mut self, number: u32, entry: Option<(&[u8], i64)>) {
        let (value, expires_at) = entry.unwrap_or((&[], i64::MIN));
        let has_room = self.bytes.len() + value.len() <= MOST;
        let place = if has_room {
            self.store(number, value)
        } else {
            Place::NONE
        };
        if let Some(fact) = self.facts.get_mut(number as usize) {
            fact.value = place;
            fact.expires_at = has_room.then_some(expires_at);
            fact.seen_by = None;
        }
    }

    fn fact_at(&mut self, spot: &Spot, key: &[u8]) -> Option<u32> {
        if let Some((_, number)) = spot.0.get().filter(|(row, _)| *row == self.row) {
            return Some(number);
        }
        let number = self.fact(key)?;
        spot.0.set(Some((self.row, number)));
        Some(number)
    }

    /// The host has not kept what the row wrote: the row sees it, whatever room there is.
    fn show(&mut self, key: &[u8], value: &[u8]) {
        let number = self.find(key).unwrap_or_else(|hash| self.add(hash, key));
        let place = self.store(number, value);
        let row = self.row;
        if let Some(fact) = self.facts.get_mut(number as usize) {
            fact.value = place;
            fact.expires_at = Some(i64::MIN);
            fact.seen_by = Some(row);
        }
    }

    /// In the old value's place, if that is large enough; else with room to grow.
    fn store(&mut self, number: u32, value: &[u8]) -> Place {
        let old = self.place(number);
        let own = self
            .bytes
            .get_mut(old.start..)
            .and_then(|from| from.get_mut(..value.len()));
        match own.filter(|_| value.len() <= old.room) {
            Some(own) => {
                own.copy_from_slice(value);
                Place {
                    len: value.len(),
                    ..old
                }
            }
            None => {
                let place = self.append(value);
                self.widen(place, old.room > 0)
            }
        }
    }

    fn place(&self, number: u32) -> Place {
        self.facts.get(number as usize).map_or(Place::NONE, |fact| fact.value)
    }

    /// Gives a place that was just made room to grow: what grows once does so again, and what is long will hardly stay as it is.
    fn widen(&mut self, place: Place, has_grown: bool) -> Place {
        let more = match place.len {
            len if has_grown => (len / 4).min(512),
            1024.. => 256,
            _ => 0,
        };
        self.bytes.resize(self.bytes.len() + more, 0);
        Place {
            room: place.room + more,
            ..place
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Place {
        let (start, len) = (self.bytes.len(), bytes.len());
        self.bytes.extend_from_slice(bytes);
        Place { start, len, room: len }
    }

    fn bytes_at(&self, place: Place) -> &[u8] {
        let from = self.bytes.get(place.start..).unwrap_or_default();
        from.get(..place.len).unwrap_or_default()
    }

    /// The fact about a key; none yet: the key's hash.
    fn find(&self, key: &[u8]) -> Result<u32, u32> {
        let hash = hash(key);
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(number) = self.table.get(place).and_then(|number| number.checked_sub(1)) {
            let fact = self.facts.get(number as usize);
            if fact.is_some_and(|fact| fact.hash == hash && same(self.bytes_at(fact.key), key)) {
                return Ok(number);
            }
            place = (place + 1) & mask;
        }
        Err(hash)
    }

    /// The fact about a key. None: there is no room for one.
    fn fact(&mut self, key: &[u8]) -> Option<u32> {
        match self.find(key) {
            Ok(number) => Some(number),
            Err(hash) => (self.bytes.len() + key.len() <= MOST).then(|| self.add(hash, key)),
        }
    }

    fn add(&mut self, hash: u32, key: &[u8]) -> u32 {
        if self.facts.capacity() == 0 {
            self.facts.reserve(FACTS);
            self.bytes.reserve(FACTS * 128);
        }
        if (self.facts.len() + 1) * 2 > self.table.len() {
            self.table.clear();
            self.table
                .resize(((self.facts.len() + 1) * 8).next_power_of_two().max(64), 0);
            for number in 0..self.facts.len() {
                let hash = self.facts.get(number).map_or(0, |fact| fact.hash);
                self.enter(hash, number);
            }
        }
        let number = self.facts.len();
        self.enter(hash, number);
        let key = self.append(key);
        self.facts.push(Fact {
            hash,
            key,
            value: Place::NONE,
            expires_at: None,
            seen_by: None,
            is_owed: false,
            set_aside: 0,
            timer: Timer::Unknown,
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn enter(&mut self, hash: u32, number: usize) {
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while self.table.get(place).is_some_and(|taken| *taken != 0) {
            place = (place + 1) & mask;
        }
        if let Some(free) = self.table.get_mut(place) {
            *free = u32::try_from(number + 1).unwrap_or(0);
        }
    }

    fn fetch(&mut self, name: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool)) {
        let (first, mut asked, mut ends) = (self.facts.len(), Vec::new(), Vec::new());
        name(&mut |key| {
            if self.bytes.len() + key.len() > MOST / 4 {
                return false;
            }
            if let Err(hash) = self.find(key) {
                self.add(hash, key);
                asked.extend_from_slice(key);
                ends.push(u32::try_from(asked.len()).unwrap_or(u32::MAX));
            }
            true
        });
        if ends.is_empty() {
            return;
        }
        let room = (MOST / 2).saturating_sub(self.bytes.len());
        let room = u32::try_from(room).unwrap_or(0);
        let found = host::with(|host| host.get_entries(&asked, &ends, self.clock, room));
        self.told = self.clock;
        // Once, and with room for what grows.
        self.bytes.reserve(found.values.len() * 2);
        let mut start = 0;
        for (number, (end, expires_at)) in (first..).zip(found.ends.iter().zip(&found.expires_at)) {
            let end = *end as usize;
            let value = found.values.get(start..end).unwrap_or_default();
            start = end;
            let entry = (*expires_at != i64::MIN).then_some((value, *expires_at));
            self.learn(u32::try_from(number).unwrap_or(u32::MAX), entry);
        }
    }
}

impl Place {
    const NONE: Place = Place {
        start: 0,
        len: 0,
        room: 0,
    };
}

/// Nobody gains by a key that collides: all there can be of them are in one call, and that has its fuel.
fn hash(key: &[u8]) -> u32 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    let mut hash = key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for bytes in words {
        hash = step(hash, u64::from_le_bytes(*bytes));
    }
    hash = match key.last_chunk::<8>() {
        // Bytes of the word before it come again, which changes nothing.
        Some(last) if !rest.is_empty() => step(hash, u64::from_le_bytes(*last)),
        Some(_) => hash,
        None => rest.iter().fold(hash, |hash, byte| step(hash, u64::from(*byte))),
    };
    (hash >> 32) as u32
}

mod owed;
#[cfg(all(test, feature = "testing"))]
mod tests;
