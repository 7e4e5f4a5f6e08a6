//! What earlier rows looked like.
//!
//! Rows of a log have much the same keys in the same order. So what stands between two values (a comma, the key, the colon) is
//! remembered with what came after it, what the key leads to, and the last value of it that nobody wanted. A prediction is
//! compared with every byte it stands for; where it does not hold, the row is read byte by byte.

use std::ops::Range;

use rustc_hash::FxHashMap;
use wide::u8x16;

use crate::identify::Told;

/// Most keys that are remembered, and the longest, with what stands around it, bytes.
const KEYS: usize = 1024;
const KEY_BYTES: usize = 64;
/// Longest value that is remembered, bytes.
pub(crate) const VALUE_BYTES: usize = 1024;

/// What a key of an object at `parent` leads to. The meaning is that of whoever reads the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) parent: u32,
    pub(crate) child: Option<u32>,
    /// What of a row's identity it is, at the top of a row.
    pub(crate) head: Option<Told>,
}

/// What earlier rows looked like. It changes how quickly a row is read, never as what.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) keys: Vec<KnownKey>,
    /// By what stands there.
    numbers: FxHashMap<Box<str>, u32>,
}

/// What stood between two values: a comma unless it is an object's first key, the key, the colon, and white space.
#[derive(Debug)]
pub(crate) struct KnownKey {
    text: [u8; KEY_BYTES],
    pub(crate) length: usize,
    is_first: bool,
    /// Where in it the key itself is.
    pub(crate) key: Range<usize>,
    /// Those that came next most recently, the last of them first.
    next: [u32; NEXT],
    pub(crate) lead: Option<Lead>,
    /// The value that was last passed over.
    pub(crate) value: String,
}

/// Stands for the beginning of a row, and for no key at all.
pub(crate) const NONE: u32 = u32::MAX;
/// How many keys are tried after another.
const NEXT: usize = 3;
/// What a row begins with.
const FIRST: [u32; NEXT] = [0, NONE, NONE];

impl Shape {
    /// What stands ahead, if it is one of those that came after `last` before.
    #[inline]
    pub(crate) fn expected(&self, last: u32, is_first: bool, ahead: &[u8]) -> Option<(u32, &KnownKey)> {
        let next = match self.keys.get(last as usize) {
            Some(known) => known.next,
            // A row begins as the first row did.
            None => FIRST,
        };
        next.into_iter().find_map(|number| {
            let known = self.keys.get(number as usize)?;
            // Whether there must be a comma is not for the text to say.
            (known.is_first == is_first && known.stands(ahead)).then_some((number, known))
        })
    }

    /// Remembers what stands between two values and comes after `last`. None: it is not worth it.
    pub(crate) fn remember(&mut self, last: u32, is_first: bool, whole: &str, key: Range<usize>) -> Option<u32> {
        let number = match self.numbers.get(whole) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.keys.len()).ok().filter(|_| self.keys.len() < KEYS)?;
                let mut text = [0; KEY_BYTES];
                text.get_mut(..whole.len())?.copy_from_slice(whole.as_bytes());
                self.keys.push(KnownKey {
                    text,
                    length: whole.len(),
                    is_first,
                    key,
                    next: [NONE; NEXT],
                    lead: None,
                    value: String::new(),
                });
                self.numbers.insert(whole.into(), number);
                number
            }
        };
        if let Some(known) = self.keys.get_mut(last as usize)
            && known.next.first() != Some(&number)
        {
            known.next.rotate_right(1);
            known.next[0] = number;
        }
        Some(number)
    }
}

impl KnownKey {
    #[inline]
    fn stands(&self, ahead: &[u8]) -> bool {
        let Some(ahead) = ahead.first_chunk::<KEY_BYTES>() else {
            return self.text.get(..self.length).is_some_and(|text| ahead.starts_with(text));
        };
        let (blocks, known) = (ahead.as_chunks::<16>().0, self.text.as_chunks::<16>().0);
        let mut left = self.length;
        for (block, known) in blocks.iter().zip(known) {
            let equal = u8x16::from(*block).simd_eq(u8x16::from(*known)).to_bitmask();
            if left <= 16 {
                // What is behind the key does not count.
                return (equal | u32::MAX << left) == u32::MAX;
            }
            if equal != 0xffff {
                return false;
            }
            left -= 16;
        }
        false
    }
}
