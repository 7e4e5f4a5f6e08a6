//! The facts of a call: found by key, with the bytes of keys and values in one store.
//!
//! A key is the name of a helper, a zero, and a text. Names are few and have numbers, so a key is looked for by a number and a
//! text, and nothing is put together for one that is known: most are, since the keys of later rows are fetched ahead.

use std::borrow::Cow;

use super::timers::Timer;
use super::{Known, MOST};
use crate::bytes::{hash, same};

/// What a small call looks at: so many keys, and 128 bytes for each of them with its value.
const FACTS: usize = 32;

/// A key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'k> {
    /// The number of the helper's name, from 1. An author's own timer has a text alone, and 0 here.
    pub(super) name: u32,
    pub(super) text: &'k [u8],
}

/// One key, and what is known of it.
pub(super) struct Fact {
    hash: u32,
    /// See [`Key::name`].
    pub(super) name: u32,
    /// Where the key is in the store of bytes.
    pub(super) key: Place,
    /// Where the key's text is.
    pub(super) text: Place,
    pub(super) value: Place,
    /// None: the host has to be asked.
    pub(super) expires_at: Option<i64>,
    /// The row that wrote a value which the host has not kept: it sees it.
    pub(super) seen_by: Option<u32>,
    /// The host has not been told yet.
    pub(super) is_owed: bool,
    /// Bytes of the host's room that are set aside for it.
    pub(super) set_aside: u64,
    pub(super) timer: Timer,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) len: usize,
    /// As much would fit there.
    pub(super) room: usize,
}

impl Place {
    pub(super) const NONE: Place = Place {
        start: 0,
        len: 0,
        room: 0,
    };

    fn of(bytes: std::ops::Range<usize>) -> Self {
        Place {
            start: bytes.start,
            len: bytes.len(),
            room: bytes.len(),
        }
    }
}

impl Key<'_> {
    /// Nobody gains by a key that collides: all there can be of them are in one call, and that has its fuel.
    #[inline]
    fn hash(self) -> u32 {
        hash(self.name, self.text)
    }

    /// What stands before the text.
    fn named<'n>(&self, names: &'n [Cow<'static, [u8]>]) -> Option<&'n [u8]> {
        names.get(self.name.checked_sub(1)? as usize).map(|name| &**name)
    }
}

impl Known {
    /// The number of a name.
    #[inline]
    pub(super) fn name(&mut self, name: &'static str) -> u32 {
        // Each helper's name lies in one place.
        let is_it = |known: &Cow<'static, [u8]>| std::ptr::eq(&raw const **known, name.as_bytes());
        match self.names.iter().position(is_it) {
            Some(at) => at as u32 + 1,
            None => self.number_of(name.as_bytes(), || name.as_bytes().into()),
        }
    }

    /// `kept`: the name, to be remembered if it is a new one.
    fn number_of(&mut self, name: &[u8], kept: impl FnOnce() -> Cow<'static, [u8]>) -> u32 {
        let known = self.names.iter().position(|known| **known == *name);
        let at = known.unwrap_or_else(|| {
            self.names.push(kept());
            self.names.len() - 1
        });
        at as u32 + 1
    }

    /// The key that reads so.
    pub(super) fn key_of<'k>(&mut self, key: &'k [u8]) -> Key<'k> {
        let mut pieces = key.splitn(2, |byte| *byte == 0);
        match (pieces.next(), pieces.next()) {
            (Some(name), Some(text)) => Key {
                name: self.number_of(name, || name.to_vec().into()),
                text,
            },
            _ => Key { name: 0, text: key },
        }
    }

    pub(super) fn len_of(&self, key: Key<'_>) -> usize {
        key.named(&self.names).map_or(0, |name| name.len() + 1) + key.text.len()
    }

    /// As it reads.
    pub(super) fn joined(&self, key: Key<'_>) -> Vec<u8> {
        match key.named(&self.names) {
            Some(name) => [name, &[0], key.text].concat(),
            None => key.text.to_vec(),
        }
    }

    /// The fact about a key; none yet: the key's hash.
    pub(super) fn find(&self, key: Key<'_>) -> Result<u32, u32> {
        let hash = key.hash();
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(number) = self.table.get(place).and_then(|number| number.checked_sub(1)) {
            let fact = self.facts.get(number as usize);
            if fact.is_some_and(|fact| {
                fact.hash == hash && fact.name == key.name && same(self.bytes_at(fact.text), key.text)
            }) {
                return Ok(number);
            }
            place = (place + 1) & mask;
        }
        Err(hash)
    }

    /// The fact about a key. None: there is no room for one.
    pub(super) fn fact(&mut self, key: Key<'_>) -> Option<u32> {
        match self.find(key) {
            Ok(number) => Some(number),
            Err(hash) => (self.bytes.len() + self.len_of(key) <= MOST).then(|| self.add(hash, key)),
        }
    }

    pub(super) fn add(&mut self, hash: u32, key: Key<'_>) -> u32 {
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
        let whole = self.bytes.len();
        if let Some(name) = key.named(&self.names) {
            self.bytes.extend_from_slice(name);
            self.bytes.push(0);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.text);
        self.facts.push(Fact {
            hash,
            name: key.name,
            key: Place::of(whole..self.bytes.len()),
            text: Place::of(start..self.bytes.len()),
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

    pub(super) fn place(&self, number: u32) -> Place {
        self.facts.get(number as usize).map_or(Place::NONE, |fact| fact.value)
    }

    pub(super) fn bytes_at(&self, place: Place) -> &[u8] {
        let from = self.bytes.get(place.start..).unwrap_or_default();
        from.get(..place.len).unwrap_or_default()
    }

    /// In the old value's place, if that is large enough; else with room to grow.
    pub(super) fn store(&mut self, number: u32, value: &[u8]) -> Place {
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
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                self.widen(Place::of(start..self.bytes.len()), old.room > 0)
            }
        }
    }

    /// Gives a place that was just made room to grow: what grows once does so again, and what is long will hardly stay as it is.
    pub(super) fn widen(&mut self, place: Place, has_grown: bool) -> Place {
        let more = match place.len {
            len if has_grown => (len / 4).min(512),
            1024.. => 256,
            _ => 0,
        };
        if more > 0 {
            self.bytes.resize(self.bytes.len() + more, 0);
        }
        Place {
            room: place.room + more,
            ..place
        }
    }
}
