//! Distinct counts: how many different values were seen lately, however often each.
//!
//! A window would do for a few events, but whoever tries one user ten thousand times would push the nine others out of it. So
//! each value is kept once, with the last row that had it. Up to `cap` values the count is exact; past it the values not seen
//! for longest go, and what is said is "at least so many" as long as one of them might belong to the answer. No estimate is
//! involved: a threshold below `cap` is met exactly when it is met.

use std::fmt;

use super::{MOST_BYTES, Reader, Slot, cut, write_text};
use crate::alert::Handle;
use crate::define::{Store, StoreDef};
use crate::row::Row;
use crate::time::Span;

/// Sets of different values seen lately, one for each key.
///
/// `keep` is the longest span that can be asked for; `cap` is how many values are kept for a key.
#[derive(Debug)]
pub struct Distincts {
    def: StoreDef,
}

/// The values of one key.
#[derive(Debug)]
pub struct Distinct {
    slot: Slot,
}

/// Different values, each with the last row that had it, the longest unseen first. Shown as their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    entries: Vec<(Handle, String)>,
    is_cut: bool,
}

impl Store for Distincts {
    const KIND: &'static str = "distincts";
    fn open(def: StoreDef) -> Self {
        Distincts { def }
    }
}

impl Distincts {
    /// The values of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Distinct {
        Distinct {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl Distinct {
    /// Remembers that the row has this value. An empty one is none.
    ///
    /// A row that comes late does not replace a later one of the same value.
    pub fn add<T>(&mut self, row: &Row<T>, value: &str) {
        if value.is_empty() {
            return;
        }
        let entry = Entry {
            time: row.time().as_ms(),
            event: row.handle().event,
            value: cut(value),
        };
        let next = self.slot.look(|stored| {
            let mut set = Set::read(stored);
            if let Some(known) = set.entries.iter().position(|known| known.value == entry.value) {
                if set.entries.get(known).is_some_and(|known| known.time >= entry.time) {
                    return None;
                }
                set.entries.remove(known);
            }
            let place = set.entries.partition_point(|known| known.time <= entry.time);
            set.entries.insert(place, entry);
            let newest = set.entries.last().map_or(i64::MIN, |last| last.time);
            set.shed(newest.saturating_sub(self.slot.def.keep_ms), self.slot.cap());
            Some((set.write(), newest))
        });
        if let Some((next, newest)) = next {
            self.slot.put(&next, newest);
        }
    }

    /// The different values of the last `span` up to now, both ends included.
    #[must_use]
    pub fn within(&self, span: Span) -> Values {
        let now = self.slot.now;
        let from = now.saturating_sub(span.as_ms());
        self.slot.look(|value| {
            let set = Set::read(value);
            let inside = set.entries.iter().filter(|entry| (from..=now).contains(&entry.time));
            let entry = |entry: &Entry<'_>| (Handle::new(entry.time, entry.event), entry.value.to_owned());
            Values {
                entries: inside.map(entry).collect(),
                is_cut: set.shed_until >= from,
            }
        })
    }

    /// How many different values the last `span` had; at least so many where there was no room for all.
    #[must_use]
    pub fn count(&self, span: Span) -> usize {
        let now = self.slot.now;
        let from = now.saturating_sub(span.as_ms());
        let is_inside = |entry: &&Entry<'_>| (from..=now).contains(&entry.time);
        self.slot
            .look(|value| Set::read(value).entries.iter().filter(is_inside).count())
    }

    /// Forgets every value.
    pub fn clear(&mut self) {
        self.slot.delete();
    }
}

impl Values {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there were more: some of those not seen for longest had no room.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Each value.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(_, value)| value.as_str())
    }

    /// The last row of each value, as evidence.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.entries.iter().map(|(handle, _)| *handle)
    }

    /// Those of them that hold, such as those that are not known otherwise.
    #[must_use]
    pub fn filter(mut self, holds: impl Fn(&str) -> bool) -> Self {
        self.entries.retain(|(_, value)| holds(value));
        self
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if self.is_cut { "at least " } else { "" };
        write!(f, "{words}{}", self.len())
    }
}

impl IntoIterator for Values {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;
    fn into_iter(self) -> Self::IntoIter {
        self.handles().collect::<Vec<_>>().into_iter()
    }
}

/// As stored: the time of the last row whose value had no room, then each value's time, journal number and text, by time.
struct Set<'v> {
    shed_until: i64,
    entries: Vec<Entry<'v>>,
}

struct Entry<'v> {
    time: i64,
    event: u64,
    value: &'v str,
}

impl Entry<'_> {
    fn size(&self) -> usize {
        18 + self.value.len()
    }
}

impl<'v> Set<'v> {
    fn read(value: &'v [u8]) -> Self {
        let mut reader = Reader::new(value);
        let shed_until = reader.i64().unwrap_or(i64::MIN);
        let entries = std::iter::from_fn(|| {
            Some(Entry {
                time: reader.i64()?,
                event: reader.u64()?,
                value: reader.text()?,
            })
        });
        Set {
            shed_until,
            entries: entries.collect(),
        }
    }

    /// Removes what is older than anybody may ask for, and then, the oldest first, what there is no room for.
    fn shed(&mut self, oldest: i64, cap: usize) {
        self.entries.retain(|entry| entry.time >= oldest);
        let mut bytes = self.entries.iter().map(Entry::size).sum::<usize>();
        let mut surplus = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            if self.entries.len() - index <= cap && bytes <= MOST_BYTES {
                break;
            }
            self.shed_until = self.shed_until.max(entry.time);
            bytes -= entry.size();
            surplus = index + 1;
        }
        self.entries.drain(..surplus);
    }

    fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(8 + self.entries.iter().map(Entry::size).sum::<usize>());
        value.extend_from_slice(&self.shed_until.to_le_bytes());
        for entry in &self.entries {
            value.extend_from_slice(&entry.time.to_le_bytes());
            value.extend_from_slice(&entry.event.to_le_bytes());
            write_text(&mut value, entry.value);
        }
        value
    }
}
