//! Last values: what something was the last time.

use super::{Reader, Slot, cut, write_text};
use crate::bytes::same;
use crate::define::{Store, StoreDef};

/// The last value of each key.
#[derive(Debug)]
pub struct Lasts {
    def: StoreDef,
}

/// The last value of one key.
#[derive(Debug)]
pub struct Last {
    slot: Slot,
}

impl Store for Lasts {
    const KIND: &'static str = "lasts";
    fn open(def: StoreDef) -> Self {
        Lasts { def }
    }
}

impl Lasts {
    /// The last value of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Last {
        Last {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl Last {
    /// Whether the last value was this one; from now on it is. None is no value: nothing changes, and it was not.
    ///
    /// A row that comes late does not replace a later value.
    pub fn swap<'v>(&mut self, value: impl Into<Option<&'v str>>) -> bool {
        let Some(value) = value.into().map(cut) else {
            return false;
        };
        let (now, slack) = (self.slot.now, self.slot.slack().max(1));
        let (is_it, fresh) = self.slot.look(|stored| {
            let last = read(stored);
            let is_it = last.is_some_and(|(_, last)| same(last, value.as_bytes()));
            let renewed = if is_it { slack } else { 0 };
            (is_it, last.is_some_and(|(at, _)| now < at.saturating_add(renewed)))
        });
        if !fresh {
            let mut next = Vec::with_capacity(10 + value.len());
            next.extend_from_slice(&now.to_le_bytes());
            write_text(&mut next, value);
            self.slot.put(&next, now);
        }
        is_it
    }

    /// The last value.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.slot
            .look(|stored| Some(std::str::from_utf8(read(stored)?.1).ok()?.to_owned()))
    }
}

/// As stored: when it was last renewed, and the value's text.
fn read(value: &[u8]) -> Option<(i64, &[u8])> {
    let mut reader = Reader::new(value);
    Some((reader.i64()?, reader.bytes()?))
}
