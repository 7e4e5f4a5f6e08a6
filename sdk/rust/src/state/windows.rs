//! Sliding windows: how often something happened lately, how many different values it had, and which events those were.
//!
//! A window may be asked for a short time and keep a long one, for late rows. So entries can be read from both ends: what is
//! asked for is found from the newest back, what is too old goes at the start, and nothing between the two is looked at.

use std::ops::Range;

use super::{MOST_BYTES, Reader, Slot, Splice, cut, shed};
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
    len: usize,
    /// The entries, as they are stored.
    entries: Vec<u8>,
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
    /// The same window, of which less is kept than the store would: what a parameter asks for, say, and some time for late rows.
    #[inline]
    #[must_use]
    pub fn keep(mut self, span: Span) -> Window {
        let keep_ms = &mut self.slot.def.keep_ms;
        *keep_ms = span.as_ms().clamp(0, *keep_ms);
        self
    }

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
        self.slot.look(|value| self.lately(value, span).1)
    }

    /// The events of the last `span`; they and all older ones are forgotten.
    pub fn take(&mut self, span: Span) -> Burst {
        let now = self.slot.now;
        let taken = self.slot.read(|value| {
            let value = value?;
            let later: Vec<Entry<'_>> = entries(value).filter(|entry| entry.time > now).collect();
            let newest = later.last().map(|entry| entry.time);
            Some((self.up_to_now(value, span), write(&later), newest))
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
        let (place, len) = self.lately(value, span);
        let entries = value.get(place).unwrap_or_default().to_vec();
        Burst { len, entries }
    }

    /// Where the entries of the last `span` lie, and how many they are.
    fn lately(&self, value: &[u8], span: Span) -> (Range<usize>, usize) {
        let now = self.slot.now;
        let from = now.saturating_sub(span.as_ms());
        let (mut place, mut len) = (value.len()..value.len(), 0);
        while let Some((time, start)) = before(value, place.start)
            && time >= from
        {
            place.start = start;
            if time > now {
                // A late row asks.
                place.end = start;
            } else {
                len += 1;
            }
        }
        (place, len)
    }

    fn insert(&mut self, handle: Handle, text: &str) {
        let entry = Entry {
            time: handle.time.as_ms(),
            event: handle.event,
            value: cut(text).as_bytes(),
        };
        if let Some((out, count)) = self.slot.look(|value| self.appended(value, &entry)) {
            let mut tail = Vec::with_capacity(entry.size());
            entry.write(&mut tail);
            let splice = Splice {
                head: &count.to_le_bytes(),
                out,
                cut: 0,
                tail: &tail,
            };
            self.slot.splice(splice, entry.time);
            return;
        }
        let (next, newest) = self.slot.look(|value| self.inserted(value, entry));
        self.slot.put(&next, newest);
    }

    /// The window with the entry where it belongs, without what is too old or too much; and the time of the newest.
    fn inserted<'v>(&self, value: &'v [u8], entry: Entry<'v>) -> (Vec<u8>, i64) {
        let mut kept: Vec<Entry<'v>> = entries(value).collect();
        let newest = kept.last().map_or(entry.time, |last| last.time.max(entry.time));
        // A late row older than everything kept has no place where the window is full already.
        let place = kept.partition_point(|known| known.time <= entry.time);
        kept.insert(place, entry);
        let oldest = newest.saturating_sub(self.slot.def.keep_ms);
        shed(&mut kept, oldest, |entry| entry.time, Entry::size);
        let surplus = kept.len().saturating_sub(self.slot.cap());
        (write(kept.get(surplus..).unwrap_or_default()), newest)
    }

    /// The ordinary case: the entry is the newest. How many bytes of entries are too old or too much, all at the start, and how
    /// many there are then.
    fn appended(&self, value: &[u8], entry: &Entry<'_>) -> Option<(usize, u32)> {
        let mut count = u32::from_le_bytes(*value.first_chunk::<COUNT>()?);
        let (last, _) = before(value, value.len())?;
        if last > entry.time {
            return None;
        }
        let oldest = entry.time.saturating_sub(self.slot.def.keep_ms);
        let mut at = COUNT;
        while let Some((time, end)) = after(value, at) {
            let bytes = value.len() - at + entry.size();
            if time >= oldest && count < self.slot.def.cap && bytes <= MOST_BYTES {
                break;
            }
            count = count.saturating_sub(1);
            at = end;
        }
        Some((at - COUNT, count.saturating_add(1)))
    }
}

/// Bytes before the first entry: how many there are.
const COUNT: usize = 4;

/// The time of the entry that begins there, and where it ends.
#[inline]
fn after(value: &[u8], at: usize) -> Option<(i64, usize)> {
    let length = usize::from(u16::from_le_bytes(*value.get(at..)?.first_chunk()?));
    let end = at + Entry::FRAME + length;
    Some((before(value, end)?.0, end))
}

/// The time of the entry that ends there, and where it begins.
#[inline]
fn before(value: &[u8], end: usize) -> Option<(i64, usize)> {
    let foot = value.get(COUNT..end)?.last_chunk::<10>()?;
    let (time, length) = foot.split_first_chunk::<8>()?;
    let length = usize::from(u16::from_le_bytes(*length.first_chunk()?));
    let start = end.checked_sub(Entry::FRAME + length).filter(|start| *start >= COUNT)?;
    Some((i64::from_le_bytes(*time), start))
}

/// One event of a window, as stored: the length of its value, the value, journal number, time, and the length again.
#[derive(Debug)]
struct Entry<'v> {
    time: i64,
    event: u64,
    /// Text, which is looked at as such only where it is handed out.
    value: &'v [u8],
}

impl<'v> Entry<'v> {
    /// Bytes beside the value.
    const FRAME: usize = 20;

    fn size(&self) -> usize {
        Self::FRAME + self.value.len()
    }

    fn write(&self, value: &mut Vec<u8>) {
        let length = u16::try_from(self.value.len()).unwrap_or_default().to_le_bytes();
        value.extend_from_slice(&length);
        value.extend_from_slice(self.value);
        value.extend_from_slice(&self.event.to_le_bytes());
        value.extend_from_slice(&self.time.to_le_bytes());
        value.extend_from_slice(&length);
    }

    fn read(reader: &mut Reader<'v>) -> Option<Self> {
        let value = reader.bytes()?;
        let (event, time) = (reader.u64()?, reader.i64()?);
        reader.array::<2>()?;
        Some(Entry { time, event, value })
    }
}

/// Entries, one after the other.
fn read(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || Entry::read(&mut reader))
}

fn entries(value: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    read(value.get(COUNT..).unwrap_or_default())
}

fn write(entries: &[Entry<'_>]) -> Vec<u8> {
    let size: usize = entries.iter().map(Entry::size).sum();
    let mut value = Vec::with_capacity(COUNT + size);
    value.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    for entry in entries {
        entry.write(&mut value);
    }
    value
}

impl Burst {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
        for Entry { value, .. } in read(&self.entries) {
            if !value.is_empty() && !values.iter().any(|known| same(known, value)) {
                values.push(value);
            }
        }
        let texts = values.into_iter().map(std::str::from_utf8);
        texts.filter_map(Result::ok).collect()
    }

    /// When the first happened.
    #[must_use]
    pub fn start(&self) -> Option<Time> {
        self.handles().next().map(|first| first.time())
    }

    /// When the last happened.
    #[must_use]
    pub fn end(&self) -> Option<Time> {
        self.handles().last().map(|last| last.time())
    }

    /// The events, as evidence.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        read(&self.entries).map(|entry| Handle {
            time: Time::from_ms(entry.time),
            event: entry.event,
        })
    }
}

impl IntoIterator for Burst {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;
    fn into_iter(self) -> Self::IntoIter {
        self.handles().collect::<Vec<_>>().into_iter()
    }
}
