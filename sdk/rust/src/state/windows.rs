//! Sliding windows: how often something happened lately, how many different values it had, and which events those were.

use super::{MOST_BYTES, Reader, Slot, Splice, cut, write_text};
use crate::alert::Handle;
use crate::bytes::same;
use crate::define::{Store, StoreDef};
use crate::row::Row;
use crate::time::{Span, Time};

/// Sliding windows of events, one for each key.
///
/// `keep` is the longest window that can be asked for; `cap` is how many events are kept for a key.
#[derive(Debug)]
pub struct Windows {
    def: StoreDef,
}

/// The window of one key.
#[derive(Debug)]
pub struct Window {
    slot: Slot,
}

/// Events of a window, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Burst {
    /// Each with the place in `values` where its value ends; the next begins there.
    entries: Vec<(Handle, usize)>,
    values: Vec<u8>,
}

impl Store for Windows {
    const KIND: &'static str = "windows";
    fn open(def: StoreDef) -> Self {
        Windows { def }
    }
}

impl Windows {
    /// The window of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Window {
        Window {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl Window {
    /// Remembers the row.
    pub fn add<T>(&mut self, row: &Row<T>) {
        self.insert(row.handle(), "");
    }

    /// Remembers the row with a value, of which [`Burst::distinct`] counts the different ones. An empty one is not counted.
    pub fn add_with<T>(&mut self, row: &Row<T>, value: &str) {
        self.insert(row.handle(), value);
    }

    /// The events of the last `span` up to now, both ends included.
    #[must_use]
    pub fn within(&self, span: Span) -> Burst {
        self.slot.look(|value| self.up_to_now(value, span))
    }

    /// How many events the last `span` holds.
    #[must_use]
    pub fn count(&self, span: Span) -> usize {
        let from = self.slot.now.saturating_sub(span.as_ms());
        let inside = |entry: &Entry<'_>| (from..=self.slot.now).contains(&entry.time);
        self.slot.look(|value| entries(value).filter(inside).count())
    }

    /// The events of the last `span`; they and all older ones are forgotten.
    pub fn take(&mut self, span: Span) -> Burst {
        let now = self.slot.now;
        let taken = self.slot.read(|value| {
            let value = value?;
            let mut rest = Vec::new();
            let mut newest = None;
            for entry in entries(value).filter(|entry| entry.time > now) {
                entry.write(&mut rest);
                newest = newest.max(Some(entry.time));
            }
            Some((self.up_to_now(value, span), rest, newest))
        });
        let Some((burst, rest, newest)) = taken else {
            return Burst::default();
        };
        match newest {
            Some(newest) => self.slot.put(&rest, newest),
            None => self.slot.delete(),
        }
        burst
    }

    /// Forgets every event.
    pub fn clear(&mut self) {
        self.slot.delete();
    }

    fn up_to_now(&self, value: &[u8], span: Span) -> Burst {
        let now = self.slot.now;
        let from = now.saturating_sub(span.as_ms());
        let mut burst = Burst::default();
        let mut at = 0;
        // Most of what is kept is older: it is passed over.
        while let Some((time, end)) = head(value, at) {
            if (from..=now).contains(&time) {
                let mut reader = Reader::new(value.get(at + 8..end).unwrap_or_default());
                let (Some(event), Some(text)) = (reader.u64(), reader.bytes()) else {
                    break;
                };
                let time = Time::from_ms(time);
                burst.values.extend_from_slice(text);
                burst.entries.push((Handle { time, event }, burst.values.len()));
            }
            at = end;
        }
        burst
    }

    fn insert(&mut self, handle: Handle, text: &str) {
        let entry = Entry {
            time: handle.time.as_ms(),
            event: handle.event,
            value: cut(text),
        };
        if let Some(out) = self.slot.look(|value| self.appended(value, &entry)) {
            let mut tail = Vec::with_capacity(entry.size());
            entry.write(&mut tail);
            let splice = Splice {
                out,
                tail: &tail,
                ..Splice::default()
            };
            self.slot.splice(splice, entry.time);
            return;
        }
        let (next, newest) = self.slot.look(|value| self.inserted(value, &entry));
        self.slot.put(&next, newest);
    }
}

impl Window {
    /// The window with the entry where it belongs, without what is too old or too much; and the time of the newest.
    fn inserted(&self, value: &[u8], entry: &Entry<'_>) -> (Vec<u8>, i64) {
        let newest = entries(value)
            .map(|known| known.time)
            .max()
            .unwrap_or(entry.time)
            .max(entry.time);
        let oldest = newest.saturating_sub(self.slot.def.keep_ms);
        let alive = || entries(value).filter(|known| known.time >= oldest);
        // A late row older than everything kept has no place where the window is full already.
        let surplus = (alive().count() + 1)
            .saturating_sub(self.slot.cap())
            .max(too_many(alive(), entry));
        let mut next = Vec::with_capacity(value.len() + Entry::HEAD + entry.value.len());
        let mut skipped = 0;
        let mut write = |entry: &Entry<'_>| {
            if skipped < surplus {
                skipped += 1;
            } else {
                entry.write(&mut next);
            }
        };
        let mut waiting = Some(entry);
        for known in alive() {
            if let Some(entry) = waiting.take_if(|entry| known.time > entry.time) {
                write(entry);
            }
            write(&known);
        }
        if let Some(entry) = waiting {
            write(entry);
        }
        (next, newest)
    }

    /// The ordinary case: the entry is the newest, and there is room. How many bytes of entries are too old, all at the start.
    fn appended(&self, value: &[u8], entry: &Entry<'_>) -> Option<usize> {
        let oldest = entry.time.saturating_sub(self.slot.def.keep_ms);
        let (mut count, mut out, mut at, mut last) = (0, 0, 0, i64::MIN);
        while let Some((time, end)) = head(value, at) {
            if time < oldest {
                out = end;
            } else {
                count += 1;
            }
            (at, last) = (end, time);
        }
        let bytes = value.len() - out + entry.size();
        (at == value.len() && last <= entry.time && count < self.slot.cap() && bytes <= MOST_BYTES).then_some(out)
    }
}

/// The time of the entry that begins there, and where it ends.
#[inline]
fn head(value: &[u8], at: usize) -> Option<(i64, usize)> {
    let head = value.get(at..)?.first_chunk::<{ Entry::HEAD }>()?;
    let (time, rest) = head.split_first_chunk::<8>()?;
    let length = rest.last_chunk::<2>()?;
    let end = at + Entry::HEAD + usize::from(u16::from_le_bytes(*length));
    (end <= value.len()).then_some((i64::from_le_bytes(*time), end))
}

/// How many of the oldest have to go for their bytes, if this one comes to them.
fn too_many<'v>(alive: impl Iterator<Item = Entry<'v>>, new: &Entry<'_>) -> usize {
    let mut sizes: Vec<(i64, usize)> = alive.map(|entry| (entry.time, entry.size())).collect();
    let place = sizes.partition_point(|(time, _)| *time <= new.time);
    sizes.insert(place, (new.time, new.size()));
    let mut bytes = sizes.iter().map(|(_, size)| size).sum::<usize>();
    let surplus = sizes.iter().take_while(|(_, size)| {
        let is_surplus = bytes > MOST_BYTES;
        bytes -= if is_surplus { *size } else { 0 };
        is_surplus
    });
    surplus.count()
}

/// One event of a window, as stored: time, journal number, value.
struct Entry<'v> {
    time: i64,
    event: u64,
    value: &'v str,
}

impl Entry<'_> {
    const HEAD: usize = 18;

    fn size(&self) -> usize {
        Self::HEAD + self.value.len()
    }

    fn write(&self, value: &mut Vec<u8>) {
        value.extend_from_slice(&self.time.to_le_bytes());
        value.extend_from_slice(&self.event.to_le_bytes());
        write_text(value, self.value);
    }
}

fn entries(value: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(move || {
        Some(Entry {
            time: reader.i64()?,
            event: reader.u64()?,
            value: reader.text()?,
        })
    })
}

impl Burst {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many different values the events had.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.values().len()
    }

    /// The different values, in order of first appearance.
    #[must_use]
    pub fn values(&self) -> Vec<&str> {
        let mut values: Vec<&[u8]> = Vec::new();
        let mut start = 0;
        for (_, end) in &self.entries {
            let value = self.values.get(start..*end).unwrap_or_default();
            start = *end;
            if !value.is_empty() && !values.iter().any(|known| same(known, value)) {
                values.push(value);
            }
        }
        values
            .into_iter()
            .filter_map(|value| std::str::from_utf8(value).ok())
            .collect()
    }

    /// When the first happened.
    #[must_use]
    pub fn start(&self) -> Option<Time> {
        self.entries.first().map(|(handle, _)| handle.time())
    }

    /// When the last happened.
    #[must_use]
    pub fn end(&self) -> Option<Time> {
        self.entries.last().map(|(handle, _)| handle.time())
    }

    /// The events, as evidence.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.entries.iter().map(|(handle, _)| *handle)
    }
}

impl IntoIterator for Burst {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries
            .into_iter()
            .map(|(handle, _)| handle)
            .collect::<Vec<_>>()
            .into_iter()
    }
}
