//! What a call has written and the host has not been told.
//!
//! A value of thirteen kilobytes that grows by sixteen bytes twenty times in a call is changed in place and crosses to the host
//! once. The host alone knows whether it has room, and a put that it refuses must be refused for the row that made it. So the
//! host is asked how much room there is before the first write, each key that is written has its cost set aside from that, and
//! when it does not suffice everything owed is handed over, and every write that follows goes to the host by itself.
//!
//! What the host would have answered is known: when an entry will be gone follows from the clock and from how long the host
//! remembers at most, and a value that is put again as it was is renewed as seldom as there.

use super::{KNOWN, Known, MOST, Place, Spot};
use crate::host::{self, Level, Puts, Room};

/// What there is room for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purse {
    /// The host has not been asked yet.
    Unasked,
    /// So much is not set aside yet.
    Left(Room),
    /// It did not suffice.
    Empty,
}

impl Purse {
    pub(super) fn is_empty(self) -> bool {
        matches!(self, Purse::Empty)
    }
}

/// How a value becomes another: its head changes, bytes are left out behind that and at its end, and others come to its end.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::state) struct Splice<'a> {
    /// Takes the place of as many bytes.
    pub(in crate::state) head: &'a [u8],
    /// Left out behind the head.
    pub(in crate::state) out: usize,
    /// Left out at the end.
    pub(in crate::state) cut: usize,
    pub(in crate::state) tail: &'a [u8],
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Whole(&'a [u8]),
    Part(Splice<'a>),
}

impl Change<'_> {
    fn len(&self, old: usize) -> usize {
        match self {
            Change::Whole(value) => value.len(),
            Change::Part(splice) => {
                let kept = old.saturating_sub(splice.out + splice.cut);
                kept.max(splice.head.len()) + splice.tail.len()
            }
        }
    }

    /// Whether the value stays as it is.
    fn is_none(&self, old: &[u8]) -> bool {
        match self {
            Change::Whole(value) => *value == old,
            Change::Part(Splice { head, out, cut, tail }) => {
                *out == 0 && *cut == tail.len() && old.starts_with(head) && old.ends_with(tail)
            }
        }
    }

    fn whole(&self, old: &[u8]) -> Vec<u8> {
        let Splice { head, out, cut, tail } = match self {
            Change::Whole(value) => return value.to_vec(),
            Change::Part(splice) => *splice,
        };
        let kept = old.get(head.len() + out..old.len().saturating_sub(cut));
        [head, kept.unwrap_or_default(), tail].concat()
    }
}

/// Keeps a value. False: the host has no room, and nothing changed.
pub(in crate::state) fn write(spot: &Spot, value: &[u8], now: i64, expires_at: i64) -> bool {
    KNOWN.with_borrow_mut(|known| known.change(spot, Change::Whole(value), now, expires_at))
}

/// Keeps what becomes of the value. False: the host has no room, and nothing changed.
pub(in crate::state) fn splice(spot: &Spot, splice: Splice<'_>, now: i64, expires_at: i64) -> bool {
    KNOWN.with_borrow_mut(|known| known.change(spot, Change::Part(splice), now, expires_at))
}

impl Known {
    fn change(&mut self, spot: &Spot, change: Change<'_>, now: i64, expires_at: i64) -> bool {
        self.pass(now);
        let number = self.number(spot);
        if let Some(number) = number
            && self.may_owe(number, self.key(spot).len(), change)
        {
            self.keep(number, spot, change, now, expires_at);
            return true;
        }
        let old = number.and_then(|number| self.value(number)).flatten();
        let value = change.whole(old.unwrap_or_default());
        self.put(number, spot, &value, now, expires_at)
    }

    /// Whether it is certain that the host has room for the change: what it costs is set aside.
    fn may_owe(&mut self, number: u32, key: usize, change: Change<'_>) -> bool {
        // Of what the host has it is not known whether this is a change.
        let Some(old) = self.value(number) else { return false };
        let length = change.len(old.map_or(0, <[u8]>::len));
        let Some(room) = self.room() else { return false };
        let (key_bytes, value_bytes) = (room.key_bytes as usize, room.value_bytes as usize);
        if key > key_bytes || length > value_bytes || self.bytes.len() + length > MOST {
            return false;
        }
        let cost = (key + length) as u64 + u64::from(room.entry_bytes);
        self.set_aside(number, cost)
    }

    /// None: it does not suffice.
    pub(super) fn room(&mut self) -> Option<Room> {
        match self.purse {
            Purse::Left(room) => Some(room),
            Purse::Empty => None,
            Purse::Unasked => {
                let room = host::with(|host| host.get_room());
                self.purse = Purse::Left(room);
                // The host's clock may be ahead, when a late row is judged.
                self.pass(room.clock);
                self.told = self.told.max(room.clock);
                Some(room)
            }
        }
    }

    fn set_aside(&mut self, number: u32, cost: u64) -> bool {
        let (Purse::Left(room), Some(fact)) = (&mut self.purse, self.facts.get_mut(number as usize)) else {
            return false;
        };
        let (bytes, entries) = (cost.saturating_sub(fact.set_aside), u64::from(fact.set_aside == 0));
        if bytes > room.bytes || entries > room.entries {
            self.empty();
            return false;
        }
        room.bytes -= bytes;
        room.entries -= entries;
        fact.set_aside = fact.set_aside.max(cost);
        true
    }

    /// From now on the host is told everything at once.
    fn empty(&mut self) {
        self.hand_over();
        self.purse = Purse::Empty;
    }

    /// A timer is about to be set, which takes room too.
    pub(super) fn spend_on_timer(&mut self, key: usize) {
        if let Purse::Left(room) = &mut self.purse {
            let cost = key as u64 + u64::from(room.entry_bytes);
            match room.bytes.checked_sub(cost) {
                Some(left) => room.bytes = left,
                None => self.empty(),
            }
        }
    }

    /// Does what the host would do.
    fn keep(&mut self, number: u32, spot: &Spot, change: Change<'_>, now: i64, expires_at: i64) {
        let Purse::Left(Room { life, .. }) = self.purse else {
            return;
        };
        let seen = self.value(number).flatten();
        if expires_at <= self.clock {
            let value = (expires_at > now).then(|| change.whole(seen.unwrap_or_default()));
            self.owe(number, i64::MIN);
            if let Some(value) = value {
                self.show(spot, &value);
            }
            return;
        }
        let latest = self.clock.saturating_add(life);
        let is_cut = expires_at > latest;
        let expires_at = expires_at.min(latest);
        let before = self.facts.get(number as usize).and_then(|fact| fact.expires_at);
        if let (Some(before), Some(seen)) = (before.filter(|before| *before > self.clock), seen) {
            // What is put for ever again and again is renewed as seldom as the helpers renew.
            let gained = expires_at.saturating_sub(before);
            let is_same = gained == 0 || (is_cut && gained > 0 && gained < life / 16);
            if is_same && change.is_none(seen) {
                return;
            }
        }
        let place = match change {
            Change::Whole(value) => self.store(number, value),
            Change::Part(splice) => self.splice(number, splice),
        };
        self.owe(number, expires_at);
        if let Some(fact) = self.facts.get_mut(number as usize) {
            fact.value = place;
        }
    }

    /// Changes a value where it is, if there is room; else where there is.
    fn splice(&mut self, number: u32, splice: Splice<'_>) -> Place {
        let Splice { head, out, cut, tail } = splice;
        let mut place = self.place(number);
        if self.value(number).flatten().is_none() {
            place.len = 0;
        }
        let Some(length) = place.len.checked_sub(out + cut).filter(|kept| *kept >= head.len()) else {
            let whole = Change::Part(splice).whole(self.bytes_at(place));
            return self.store(number, &whole);
        };
        // The head, which is short, comes to what is behind it: a value that loses its oldest entry stays where it is.
        place.start += out;
        place.room = place.room.saturating_sub(out);
        let end = place.start + length;
        self.fill(place.start, head);
        let length = length + tail.len();
        if length <= place.room && self.fill(end, tail) {
            return Place { len: length, ..place };
        }
        let moved = Place {
            start: self.bytes.len(),
            len: length,
            room: length,
        };
        self.bytes.extend_from_within(place.start..end);
        self.bytes.extend_from_slice(tail);
        self.widen(moved, true)
    }

    /// Writes bytes over others. False: there are not so many.
    fn fill(&mut self, start: usize, bytes: &[u8]) -> bool {
        let place = self.bytes.get_mut(start..).and_then(|from| from.get_mut(..bytes.len()));
        place.map(|place| place.copy_from_slice(bytes)).is_some()
    }

    /// The host will be told of this fact.
    pub(super) fn owe(&mut self, number: u32, expires_at: i64) {
        let Some(fact) = self.facts.get_mut(number as usize) else {
            return;
        };
        fact.expires_at = Some(expires_at);
        fact.seen_by = None;
        if !std::mem::replace(&mut fact.is_owed, true) {
            self.owed.push(number);
        }
    }

    /// Tells the host everything that is owed.
    pub(super) fn hand_over(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let mut puts = Puts::default();
        let owed = || self.owed.iter().filter_map(|number| self.facts.get(*number as usize));
        puts.keys.reserve_exact(owed().map(|fact| fact.key.len).sum());
        puts.values.reserve_exact(owed().map(|fact| fact.value.len).sum());
        puts.key_ends.reserve_exact(self.owed.len());
        puts.value_ends.reserve_exact(self.owed.len());
        puts.expires_at.reserve_exact(self.owed.len());
        let end = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for fact in owed() {
            let expires_at = fact.expires_at.unwrap_or(i64::MIN);
            puts.keys.extend_from_slice(self.bytes_at(fact.key));
            puts.key_ends.push(end(&puts.keys));
            if expires_at > self.clock {
                puts.values.extend_from_slice(self.bytes_at(fact.value));
            }
            puts.value_ends.push(end(&puts.values));
            puts.expires_at.push(expires_at);
        }
        for number in self.owed.drain(..) {
            if let Some(fact) = self.facts.get_mut(number as usize) {
                fact.is_owed = false;
            }
        }
        self.told = self.clock;
        host::with(|host| {
            if !host.put_entries(&puts, self.clock) {
                host.log(Level::Warn, super::super::FULL);
            }
        });
    }

    /// Has the host keep a value at once.
    fn put(&mut self, number: Option<u32>, spot: &Spot, value: &[u8], now: i64, expires_at: i64) -> bool {
        self.hand_over();
        let kept = host::with(|host| host.put_entry(self.key(spot), value, self.clock, expires_at));
        self.told = self.clock;
        let Some(kept) = kept else {
            // What the host has is what there is.
            self.row = self.row.wrapping_add(1);
            return false;
        };
        let key = self.key(spot).len();
        if let Purse::Left(room) = &mut self.purse {
            let cost = (key + value.len()) as u64 + u64::from(room.entry_bytes);
            match (room.bytes.checked_sub(cost), room.entries.checked_sub(1)) {
                (Some(bytes), Some(entries)) => (room.bytes, room.entries) = (bytes, entries),
                // It may have taken what was set aside for a key that the host does not hold: one that is gone, say.
                _ => self.purse = Purse::Empty,
            }
        }
        if kept == i64::MIN && expires_at > now {
            self.show(spot, value);
        } else if let Some(number) = number {
            self.learn(number, (kept != i64::MIN).then_some((value, kept)));
        }
        true
    }
}
