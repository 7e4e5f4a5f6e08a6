//! Joins: two events that belong together, in whichever order they happened and in whichever order they became known.
//!
//! Duo's logs are written by different machines and read apart. What an administrator did may bear a time a second after what
//! it made possible, and it may be read an hour later. So each side is remembered when it is seen, and the pair is found with
//! whichever comes last. A [`Sequence`](super::Sequence) is the stricter relative: its steps have an order in event time.

use super::{Reader, Slot, cut, shed, write_text};
use crate::alert::Handle;
use crate::define::{Store, StoreDef};
use crate::row::Row;
use crate::time::{Span, Time};

/// Events of two sides that may meet, for each key. `cap` is how many events of each side are kept.
#[derive(Debug)]
pub struct Joins {
    def: StoreDef,
}

/// The two sides of one key.
#[derive(Debug)]
pub struct Join {
    slot: Slot,
}

/// How far a right event may be from its left one, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// How much earlier at most.
    pub before: Span,
    /// How much later at most.
    pub after: Span,
}

/// A left and a right event that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The left event.
    pub left: Half,
    /// The right event.
    pub right: Half,
}

/// One event of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// As evidence.
    pub handle: Handle,
    /// What was remembered with it.
    pub value: String,
}

impl Store for Joins {
    const KIND: &'static str = "joins";
    fn open(def: StoreDef) -> Self {
        Joins { def }
    }
}

impl Joins {
    /// The two sides of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Join {
        Join {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl Within {
    /// Whether a right event of that time belongs to a left event of this one, ms.
    pub(super) fn holds(&self, left: i64, right: i64) -> bool {
        let from = left.saturating_sub(self.before.as_ms());
        (from..=left.saturating_add(self.after.as_ms())).contains(&right)
    }
}

impl Join {
    /// The row is a left event. Some if a right one is known: the nearest in time.
    pub fn left<T>(&mut self, row: &Row<T>, value: &str, within: Within) -> Option<Pair> {
        let (left, right) = self.mark(LEFT, row, value, |other, own| within.holds(own, other))?;
        Some(Pair { left, right })
    }

    /// The row is a right event. Some if a left one is known: the nearest in time.
    pub fn right<T>(&mut self, row: &Row<T>, value: &str, within: Within) -> Option<Pair> {
        let (right, left) = self.mark(RIGHT, row, value, |other, own| within.holds(other, own))?;
        Some(Pair { left, right })
    }

    /// Forgets both sides.
    pub fn clear(&mut self) {
        self.slot.delete();
    }

    fn mark<T>(
        &mut self,
        side: u8,
        row: &Row<T>,
        value: &str,
        fits: impl Fn(i64, i64) -> bool,
    ) -> Option<(Half, Half)> {
        let own = Entry {
            side,
            time: row.time().as_ms(),
            event: row.handle().event,
            value: cut(value),
        };
        let (next, newest, pair) = self.slot.look(|stored| {
            let mut known: Vec<Entry<'_>> = entries(stored).filter(|known| known.event != own.event).collect();
            let place = known.partition_point(|other| other.time <= own.time);
            known.insert(place, own.clone());
            let newest = known.last().map_or(own.time, |last| last.time);
            let oldest = newest.saturating_sub(self.slot.def.keep_ms);
            shed(&mut known, oldest, Entry::time, Entry::size);
            let of_side = known.iter().filter(|other| other.side == side).count();
            if of_side > self.slot.cap()
                && let Some(first) = known.iter().position(|other| other.side == side)
            {
                known.remove(first);
            }
            let mut next = Vec::with_capacity(known.iter().map(Entry::size).sum());
            known.iter().for_each(|entry| entry.write(&mut next));

            let others = known
                .iter()
                .filter(|other| other.side != side && fits(other.time, own.time));
            let nearest = others.min_by_key(|other| (other.time.abs_diff(own.time), other.time, other.event));
            (next, newest, nearest.map(|nearest| (own.half(), nearest.half())))
        });
        self.slot.put(&next, newest);
        pair
    }
}

impl Pair {
    /// How much later the right event was; negative if it was earlier.
    #[must_use]
    pub fn apart(&self) -> Span {
        self.right.handle.time() - self.left.handle.time()
    }
}

impl IntoIterator for Pair {
    type Item = Handle;
    type IntoIter = std::array::IntoIter<Handle, 2>;
    fn into_iter(self) -> Self::IntoIter {
        [self.left.handle, self.right.handle].into_iter()
    }
}

const LEFT: u8 = 0;
const RIGHT: u8 = 1;

/// One event of one side, as stored; all are in order of time.
#[derive(Debug, Clone)]
struct Entry<'v> {
    side: u8,
    time: i64,
    event: u64,
    value: &'v str,
}

impl Entry<'_> {
    fn time(&self) -> i64 {
        self.time
    }

    fn size(&self) -> usize {
        19 + self.value.len()
    }

    fn half(&self) -> Half {
        Half {
            handle: Handle {
                time: Time::from_ms(self.time),
                event: self.event,
            },
            value: self.value.to_owned(),
        }
    }

    fn write(&self, value: &mut Vec<u8>) {
        value.push(self.side);
        value.extend_from_slice(&self.time.to_le_bytes());
        value.extend_from_slice(&self.event.to_le_bytes());
        write_text(value, self.value);
    }
}

fn entries(value: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(move || {
        Some(Entry {
            side: reader.u8()?,
            time: reader.i64()?,
            event: reader.u64()?,
            value: reader.text()?,
        })
    })
}
