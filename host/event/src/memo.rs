//! Objects and lists that come again.
//!
//! Within a page the same user, the same device, the same application come again and again, to the byte. So what an object gave
//! is remembered with its text: where the text ahead begins with a text that was read before, its cells are taken from there
//! and it is passed over as a whole. That is exact, however the candidate was found: an object or list that was read to its end
//! ends itself, so whatever begins with its text begins with that value.
//!
//! A candidate is found by a hash of some of the text ahead, whose length nobody knows yet: of its first bytes, as many as the
//! shortest of its kind has; or, where its kind is the last thing in a row, of the row's last bytes.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::coerce::Cell;

/// Shorter ones are read as quickly as they are found, bytes.
const SHORTEST: usize = 48;
/// Longer ones hardly come again, bytes.
const LONGEST: usize = 4096;
/// How much of a text is hashed at most, bytes.
const SAMPLE: usize = 96;
/// Most text that is remembered, bytes.
const MOST: usize = 1 << 20;
/// How many texts of one hash are told apart, and how many hashes.
const WAYS: usize = 4;
const BUCKETS: usize = 1 << 10;

/// What objects and lists gave.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    buckets: Vec<[Slot; WAYS]>,
    entries: Vec<Entry>,
    texts: String,
    cells: Vec<Cell>,
    codes: Vec<u32>,
    /// By node.
    habits: Vec<Habit>,
}

/// Where a text may be: its hash, and its number.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    tag: Tag,
    entry: Option<u32>,
}

/// A hash of some of the text ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tag(u32);

#[derive(Debug, Clone, Copy)]
struct Entry {
    node: u32,
    text: (u32, u32),
    cells: (u32, u32),
    codes: (u32, u32),
}

/// How the values at a node come.
#[derive(Debug, Clone, Copy)]
struct Habit {
    /// As much of a text may be hashed: the shortest is no shorter.
    sample: usize,
    /// Nothing but the row's end came behind the last.
    ends_row: bool,
}

/// What is known of a text ahead.
#[derive(Debug)]
pub(crate) struct Known<'m> {
    /// Its length, bytes.
    pub(crate) length: usize,
    /// One for each leaf of the node. Elements of a list are counted from the first of `codes`.
    pub(crate) cells: &'m [Cell],
    /// Of all elements of its lists.
    pub(crate) codes: &'m [u32],
}

impl Memo {
    pub(crate) fn new(nodes: usize) -> Self {
        let habit = Habit {
            sample: SAMPLE,
            ends_row: false,
        };
        Memo {
            habits: vec![habit; nodes],
            ..Memo::default()
        }
    }

    /// A hash of what stands in the row at `at`, to look there and to remember it by.
    #[inline]
    pub(crate) fn tag(&self, node: u32, row: &str, at: usize) -> Tag {
        let ahead = row.as_bytes().get(at..).unwrap_or_default();
        let some = match self.habits.get(node as usize) {
            Some(habit) if habit.ends_row => ahead.get(ahead.len().saturating_sub(SAMPLE)..),
            Some(habit) => ahead.get(..habit.sample.min(ahead.len())),
            None => None,
        };
        let mut hasher = FxHasher::default();
        hasher.write_u32(node);
        hasher.write(some.unwrap_or_default());
        let hash = hasher.finish();
        Tag((hash ^ (hash >> 32)) as u32)
    }

    /// What the text ahead gave before.
    #[inline]
    pub(crate) fn find(&self, node: u32, tag: Tag, ahead: &str) -> Option<Known<'_>> {
        let bucket = self.buckets.get(tag.0 as usize % BUCKETS)?;
        let entry = bucket.iter().filter(|slot| slot.tag == tag).find_map(|slot| {
            let entry = self.entries.get(slot.entry? as usize)?;
            let text = self.texts.as_bytes().get(range(entry.text))?;
            (entry.node == node && ahead.as_bytes().starts_with(text)).then_some(entry)
        })?;
        Some(Known {
            length: range(entry.text).len(),
            cells: self.cells.get(range(entry.cells))?,
            codes: self.codes.get(range(entry.codes))?,
        })
    }

    /// Remembers what the text at `at` of a row gave: a cell for each leaf of the node, and the codes of its lists' elements.
    pub(crate) fn remember(
        &mut self,
        node: u32,
        tag: Tag,
        row: &str,
        at: std::ops::Range<usize>,
        cells: impl Iterator<Item = Cell>,
        lists: &[u32],
    ) {
        let ends_row = row.as_bytes().get(at.end..) == Some(b"}");
        let Some(text) = row.get(at).filter(|text| (SHORTEST..=LONGEST).contains(&text.len())) else {
            return;
        };
        if let Some(habit) = self.habits.get_mut(node as usize) {
            let kept = habit.sample <= text.len() && habit.ends_row == ends_row;
            habit.sample = habit.sample.min(text.len());
            habit.ends_row = ends_row;
            if !kept {
                // It would be looked for elsewhere.
                return;
            }
        }
        if self.texts.len() + text.len() > MOST {
            return;
        }
        if self.buckets.is_empty() {
            self.buckets = vec![[Slot::default(); WAYS]; BUCKETS];
        }
        let (texts, first_cell, first_code) = (self.texts.len(), self.cells.len(), self.codes.len());
        for cell in cells {
            let cell = match cell {
                Cell::Array { json, start, end } => {
                    let from = self.codes.len() - first_code;
                    self.codes
                        .extend_from_slice(lists.get(start as usize..end as usize).unwrap_or_default());
                    let (start, end) = (from as u32, (self.codes.len() - first_code) as u32);
                    Cell::Array { json, start, end }
                }
                other => other,
            };
            self.cells.push(cell);
        }
        self.texts.push_str(text);
        let number = self.entries.len() as u32;
        self.entries.push(Entry {
            node,
            text: (texts as u32, self.texts.len() as u32),
            cells: (first_cell as u32, self.cells.len() as u32),
            codes: (first_code as u32, self.codes.len() as u32),
        });
        if let Some(bucket) = self.buckets.get_mut(tag.0 as usize % BUCKETS) {
            bucket.rotate_right(1);
            bucket[0] = Slot {
                tag,
                entry: Some(number),
            };
        }
    }
}

fn range((start, end): (u32, u32)) -> std::ops::Range<usize> {
    start as usize..end as usize
}
