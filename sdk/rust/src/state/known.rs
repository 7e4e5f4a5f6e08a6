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
//! - a timer is fetched when the host would have given it ([`timers`]);
//! - a late row's write that is expired already is forgotten by the host at once, and seen by that row alone.
//!
//! What is kept here is bounded: past [`MOST`] bytes nothing more is, and when it is nearly full the next row begins anew.
//!
//! What is done for each row and at each look is `inline(always)`: after the error checks at a call's beginning LLVM holds the
//! loop over rows for cold and inlines nothing in it, and in WebAssembly the smallest call is some twenty instructions.

use std::borrow::Cow;
use std::cell::RefCell;

use facts::{Fact, Key, Place};
use owed::Purse;
pub(super) use owed::{Splice, splice, write};
pub(crate) use timers::{cancel_timer, next_timer, set_timer};

use crate::host;

/// Bytes of keys and values.
const MOST: usize = 256 << 10;
/// With more than this a row does not begin: the longest value fits beside it.
const FULL: usize = MOST - (64 << 10);

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(Known::new()) };
}

/// A key that a row has named.
#[derive(Debug)]
pub(crate) struct Spot {
    /// In which row or at which timer.
    turn: u32,
    at: At,
}

#[derive(Debug)]
enum At {
    /// The number of the fact about it.
    Fact(u32),
    /// There was no room for one.
    Key(Box<[u8]>),
}

struct Known {
    /// Of helpers. They keep their numbers for the whole call.
    names: Vec<Cow<'static, [u8]>>,
    facts: Vec<Fact>,
    /// By hash: the number of a fact, from 1. Its length is a power of two.
    table: Vec<u32>,
    bytes: Vec<u8>,
    /// The greatest time passed, ms.
    clock: i64,
    /// The greatest of which the host has been told.
    told: i64,
    /// Counts rows and timers.
    turn: u32,
    /// The same, but counts on where a row shall not see any more what it wrote.
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
        known.next();
        (known.clock, known.told) = (i64::MIN, i64::MIN);
        (known.quiet, known.is_exact) = (None, false);
        known.purse = Purse::Unasked;
    });
}

/// A row or timer begins.
#[inline(always)]
pub(crate) fn next_row() {
    KNOWN.with_borrow_mut(|known| {
        known.next();
        known.asked.clear();
        if known.bytes.len() > FULL {
            known.begin_anew();
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

/// A helper's key.
pub(super) fn spot(name: &'static str, text: &str) -> Spot {
    KNOWN.with_borrow_mut(|known| {
        let name = known.name(name);
        let text = text.as_bytes();
        known.spot(Key { name, text })
    })
}

/// The key that reads so.
pub(crate) fn spot_of(key: &[u8]) -> Spot {
    KNOWN.with_borrow_mut(|known| {
        let key = known.key_of(key);
        known.spot(key)
    })
}

/// Looks at the value of a key; none: there is none.
pub(super) fn read<R>(spot: &Spot, now: i64, look: impl FnOnce(Option<&[u8]>) -> R) -> R {
    KNOWN.with_borrow_mut(|known| {
        known.pass(now);
        let number = known.number(spot);
        if let Some(value) = number.and_then(|number| known.value(number)) {
            return look(value);
        }
        let entry = host::with(|host| host.get_entry(known.key(spot), known.clock));
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
pub(super) fn delete(spot: &Spot, now: i64) {
    KNOWN.with_borrow_mut(|known| {
        known.pass(now);
        let number = known.number(spot);
        if matches!(number.and_then(|number| known.value(number)), Some(None)) {
            return;
        }
        match number {
            Some(number) if !known.purse.is_empty() => known.owe(number, i64::MIN),
            _ => {
                host::with(|host| host.delete(known.key(spot), known.clock));
                known.told = known.clock;
                if let Some(number) = number {
                    known.learn(number, None);
                }
            }
        }
    });
}

/// Hands over the helpers' keys that this row had to ask for, as [`fetch`] takes them; nothing if it had to ask for none.
pub(crate) fn asked(mut each: impl FnMut(u32, &[u8])) {
    KNOWN.with_borrow_mut(|known| {
        for fact in known
            .asked
            .iter()
            .filter_map(|number| known.facts.get(*number as usize))
        {
            each(fact.name, known.bytes_at(fact.text));
        }
    });
}

/// Whether this row had to ask for something.
#[inline(always)]
pub(crate) fn has_asked() -> bool {
    KNOWN.with_borrow(|known| !known.asked.is_empty())
}

/// Asks for what is not known of some keys, all at once. The keys are named one by one (the number of a helper's name, a text),
/// until the answer is that it is enough.
pub(crate) fn fetch(name: impl FnOnce(&mut dyn FnMut(u32, &[u8]) -> bool)) {
    KNOWN.with_borrow_mut(|known| known.fetch(name));
}

impl Known {
    const fn new() -> Self {
        Known {
            names: Vec::new(),
            facts: Vec::new(),
            table: Vec::new(),
            bytes: Vec::new(),
            clock: i64::MIN,
            told: i64::MIN,
            turn: 0,
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

    /// Forgets what is known, since there is no room for more.
    #[cold]
    fn begin_anew(&mut self) {
        self.hand_over();
        self.hand_over_timers();
        self.clear();
    }

    /// Another row or timer.
    #[inline(always)]
    fn next(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.row = self.row.wrapping_add(1);
    }

    fn spot(&mut self, key: Key<'_>) -> Spot {
        let at = match self.fact(key) {
            Some(number) => At::Fact(number),
            None => At::Key(self.joined(key).into()),
        };
        Spot { turn: self.turn, at }
    }

    /// The fact about a key. None: there was no room for one.
    #[inline(always)]
    fn number(&self, spot: &Spot) -> Option<u32> {
        match spot.at {
            At::Fact(number) if spot.turn == self.turn => Some(number),
            At::Fact(_) => outlived(),
            At::Key(_) => None,
        }
    }

    fn key<'k>(&'k self, spot: &'k Spot) -> &'k [u8] {
        match &spot.at {
            At::Fact(number) => {
                let fact = self.facts.get(*number as usize);
                fact.map_or(&[], |fact| self.bytes_at(fact.key))
            }
            At::Key(key) => key,
        }
    }

    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(now);
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
    #[inline(always)]
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

    /// The host has not kept what the row wrote: the row sees it, whatever room there is.
    fn show(&mut self, spot: &Spot, value: &[u8]) {
        let number = match &spot.at {
            At::Fact(number) => *number,
            At::Key(key) => {
                let key = self.key_of(key);
                self.find(key).unwrap_or_else(|hash| self.add(hash, key))
            }
        };
        let place = self.store(number, value);
        let row = self.row;
        if let Some(fact) = self.facts.get_mut(number as usize) {
            fact.value = place;
            fact.expires_at = Some(i64::MIN);
            fact.seen_by = Some(row);
        }
    }

    fn fetch(&mut self, name: impl FnOnce(&mut dyn FnMut(u32, &[u8]) -> bool)) {
        // The keys that are added come one after the other in the store of bytes.
        let (first, start, mut ends) = (self.facts.len(), self.bytes.len(), Vec::new());
        name(&mut |name, text| {
            let key = Key { name, text };
            if self.bytes.len() + self.len_of(key) > MOST / 4 {
                return false;
            }
            if let Err(hash) = self.find(key) {
                self.add(hash, key);
                ends.push(u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX));
            }
            true
        });
        if ends.is_empty() {
            return;
        }
        let room = (MOST / 2).saturating_sub(self.bytes.len());
        let room = u32::try_from(room).unwrap_or(0);
        let asked = self.bytes.get(start..).unwrap_or_default();
        let found = host::with(|host| host.get_entries(asked, &ends, self.clock, room));
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

#[allow(
    clippy::panic,
    reason = "an author's mistake, which no value that could be returned would tell of; the call fails, with these words"
)]
fn outlived() -> ! {
    panic!("what a helper's `of` gives is for the row or timer that asked for it: ask again")
}

mod facts;
mod owed;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod timers;
