//! Sequences: steps that happened one after the other, by event time, in whatever order they became known.
//!
//! Duo's logs come apart: the login may be read hours before the reset that made it possible. So a step is marked when it is
//! seen, and the sequence is complete with whichever step comes last.

use super::{MOST_BYTES, Reader, Slot};
use crate::alert::Handle;
use crate::define::{Store, StoreDef};
use crate::row::Row;
use crate::time::{Span, Time};

/// Sequences of `N` steps, one for each key. `cap` is how many events of each step are kept.
#[derive(Debug)]
pub struct Sequences<const N: usize> {
    def: StoreDef,
}

/// The sequence of one key.
#[derive(Debug)]
pub struct Sequence<const N: usize> {
    slot: Slot,
}

/// One event of each step, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    handles: Vec<Handle>,
}

impl<const N: usize> Store for Sequences<N> {
    const KIND: &'static str = "sequences";
    fn open(def: StoreDef) -> Self {
        Sequences { def }
    }
}

impl<const N: usize> Sequences<N> {
    /// The sequence of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Sequence<N> {
        Sequence {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl<const N: usize> Sequence<N> {
    /// Marks the row as step `place` (0 is the first). Some if it completes a sequence: each step no later than the next,
    /// and no further from it than `within`, which has one span less than there are steps.
    ///
    /// Of several sequences through the row, the one with the steps nearest to it.
    pub fn mark<T, const M: usize>(&mut self, place: usize, row: &Row<T>, within: &[Span; M]) -> Option<Steps> {
        const { assert!(M + 1 == N, "between N steps there are N - 1 spans") }
        let mark = Mark {
            place,
            time: row.time().as_ms(),
            event: row.handle().event,
        };
        let (mut known, newest) = self.slot.look(|stored| {
            let newest = marks(stored)
                .map(|known| known.time)
                .max()
                .unwrap_or(mark.time)
                .max(mark.time);
            let oldest = newest.saturating_sub(self.slot.def.keep_ms);
            let known: Vec<Mark> = marks(stored)
                .filter(|known| known.time >= oldest && *known != mark)
                .collect();
            (known, newest)
        });
        let position = known.partition_point(|other| other.time <= mark.time);
        known.insert(position, mark);
        let of_place = || known.iter().filter(|other| other.place == place);
        if of_place().count() > self.slot.cap() {
            let first = known.iter().position(|other| other.place == place);
            first.map(|index| known.remove(index));
        }
        let surplus = known.len().saturating_sub(MOST_BYTES / Mark::SIZE);
        known.drain(..surplus);
        let mut next = Vec::with_capacity(known.len() * Mark::SIZE);
        known.iter().for_each(|mark| mark.write(&mut next));
        self.slot.put(&next, newest);

        let mut handles = before(&known, &mark, within)?;
        handles.reverse();
        handles.push(mark.handle());
        handles.extend(after(&known, &mark, within)?);
        Some(Steps { handles })
    }

    /// Forgets every step.
    pub fn clear(&mut self) {
        self.slot.delete();
    }
}

/// One event of one step, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    place: usize,
    time: i64,
    event: u64,
}

impl Mark {
    const SIZE: usize = 17;

    fn handle(&self) -> Handle {
        Handle {
            time: Time::from_ms(self.time),
            event: self.event,
        }
    }

    fn write(&self, value: &mut Vec<u8>) {
        value.push(u8::try_from(self.place).unwrap_or(u8::MAX));
        value.extend_from_slice(&self.time.to_le_bytes());
        value.extend_from_slice(&self.event.to_le_bytes());
    }
}

fn marks(value: &[u8]) -> impl Iterator<Item = Mark> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(move || {
        Some(Mark {
            place: usize::from(reader.u8()?),
            time: reader.i64()?,
            event: reader.u64()?,
        })
    })
}

/// The steps before a mark, latest first. None: one is missing.
fn before(known: &[Mark], mark: &Mark, within: &[Span]) -> Option<Vec<Handle>> {
    let Some(place) = mark.place.checked_sub(1) else {
        return Some(Vec::new());
    };
    let from = mark.time.saturating_sub(within.get(place)?.as_ms());
    let candidates = known
        .iter()
        .rev()
        .filter(|other| other.place == place && (from..=mark.time).contains(&other.time));
    candidates.into_iter().find_map(|candidate| {
        let mut handles = vec![candidate.handle()];
        handles.extend(before(known, candidate, within)?);
        Some(handles)
    })
}

/// The steps after a mark, earliest first. None: one is missing.
fn after(known: &[Mark], mark: &Mark, within: &[Span]) -> Option<Vec<Handle>> {
    let Some(within_next) = within.get(mark.place) else {
        return Some(Vec::new());
    };
    let to = mark.time.saturating_add(within_next.as_ms());
    let candidates = known
        .iter()
        .filter(|other| other.place == mark.place + 1 && (mark.time..=to).contains(&other.time));
    candidates.into_iter().find_map(|candidate| {
        let mut handles = vec![candidate.handle()];
        handles.extend(after(known, candidate, within)?);
        Some(handles)
    })
}

impl Steps {
    /// When the first step happened.
    #[must_use]
    pub fn start(&self) -> Option<Time> {
        self.handles.first().map(|handle| handle.time())
    }

    /// When the last step happened.
    #[must_use]
    pub fn end(&self) -> Option<Time> {
        self.handles.last().map(|handle| handle.time())
    }

    /// The event of each step.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl IntoIterator for Steps {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;
    fn into_iter(self) -> Self::IntoIter {
        self.handles.into_iter()
    }
}
