//! First-seen sets: whether a value is new for a key, and since when the key is known at all.

use super::{MOST_BYTES, Reader, Slot, cut, write_text};
use crate::bytes::same;
use crate::define::{Store, StoreDef};
use crate::time::{Span, Time};

/// Sets of values seen, one for each key.
///
/// A value that is not seen for `keep` is new again; past `cap` values of a key, those not seen for longest go.
#[derive(Debug)]
pub struct Firsts {
    def: StoreDef,
}

/// The set of one key.
#[derive(Debug)]
pub struct First {
    slot: Slot,
}

impl Store for Firsts {
    const KIND: &'static str = "firsts";
    fn open(def: StoreDef) -> Self {
        Firsts { def }
    }
}

impl Firsts {
    /// The set of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> First {
        First {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl First {
    /// Whether the value was not seen before. Now it is. The first value of a key is new as well: see [`First::learned`].
    pub fn is_new(&mut self, value: &str) -> bool {
        let value = cut(value);
        // The ordinary case: it is known, and need not be renewed.
        if self.slot.look(|stored| is_fresh(stored, value, &self.slot)) {
            return false;
        }
        let (is_new, next, used) = self.slot.read(|stored| renew(stored, value, &self.slot));
        self.slot.put(&next, used);
        is_new
    }

    /// Whether the value was seen before; nothing changes.
    #[must_use]
    pub fn knows(&self, value: &str) -> bool {
        let is_it = |entry: &Entry<'_>| entry.value == cut(value);
        self.slot
            .read(|stored| Set::read(stored, &self.slot).entries.iter().any(is_it))
    }

    /// When the first value of the key was seen.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.slot.look(|stored| Reader::new(stored).i64().map(Time::from_ms))
    }

    /// Whether the key has been known for `period` before now: until then every value is only learned.
    #[must_use]
    pub fn learned(&self, period: Span) -> bool {
        self.since().is_some_and(|since| {
            let now = Time::from_ms(self.slot.now);
            since < now && now - since >= period
        })
    }

    /// The values seen, in order of first appearance.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        self.slot.read(|stored| {
            let set = Set::read(stored, &self.slot);
            set.entries.iter().map(|entry| entry.value.to_owned()).collect()
        })
    }
}

/// Whether a value is known, and neither it nor since when the key is known has to be written anew.
fn is_fresh(stored: &[u8], value: &str, slot: &Slot) -> bool {
    let mut reader = Reader::new(stored);
    let Some(since) = reader.i64() else { return false };
    let oldest = forgotten(slot);
    while let (Some(seen), Some(known)) = (reader.i64(), reader.bytes()) {
        if seen > oldest && same(known, value.as_bytes()) {
            return !is_stale(seen, slot) && since <= slot.now;
        }
    }
    false
}

/// The set with a value, whether it is new there, and when the set was last used.
fn renew(stored: Option<&[u8]>, value: &str, slot: &Slot) -> (bool, Vec<u8>, i64) {
    let (mut set, now) = (Set::read(stored, slot), slot.now);
    let known = set.entries.iter_mut().find(|entry| entry.value == value);
    let is_new = known.is_none();
    match known {
        Some(entry) if is_stale(entry.seen, slot) => entry.seen = now,
        Some(_) => {}
        None => set.entries.push(Entry { seen: now, value }),
    }
    set.since = set.since.min(now);
    while set.entries.len() > slot.cap() || set.bytes() > MOST_BYTES {
        let oldest = set.entries.iter().enumerate().min_by_key(|(_, entry)| entry.seen);
        let Some((oldest, _)) = oldest else { break };
        set.entries.remove(oldest);
    }
    let used = set.entries.iter().map(|entry| entry.seen).max().unwrap_or(now);
    (is_new, set.write(), used)
}

/// Whether a value that was last renewed then is to be renewed.
fn is_stale(seen: i64, slot: &Slot) -> bool {
    slot.now.saturating_sub(seen) >= slot.slack().max(1)
}

/// A value that was last renewed then is forgotten.
fn forgotten(slot: &Slot) -> i64 {
    slot.now.saturating_sub(slot.def.keep_ms).saturating_sub(slot.slack())
}

/// As stored: since when the key is known, then for each value when it was last renewed.
struct Set<'v> {
    since: i64,
    entries: Vec<Entry<'v>>,
}

struct Entry<'v> {
    seen: i64,
    value: &'v str,
}

impl<'v> Set<'v> {
    /// Leaves out what is forgotten by now.
    fn read(value: Option<&'v [u8]>, slot: &Slot) -> Self {
        let mut reader = Reader::new(value.unwrap_or_default());
        let Some(since) = reader.i64() else {
            return Set {
                since: i64::MAX,
                entries: Vec::new(),
            };
        };
        let entries = std::iter::from_fn(|| {
            Some(Entry {
                seen: reader.i64()?,
                value: reader.text()?,
            })
        });
        let oldest = forgotten(slot);
        Set {
            since,
            entries: entries.filter(|entry| entry.seen > oldest).collect(),
        }
    }

    fn bytes(&self) -> usize {
        8 + self.entries.iter().map(|entry| 10 + entry.value.len()).sum::<usize>()
    }

    fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.bytes());
        value.extend_from_slice(&self.since.to_le_bytes());
        for entry in &self.entries {
            value.extend_from_slice(&entry.seen.to_le_bytes());
            write_text(&mut value, entry.value);
        }
        value
    }
}
