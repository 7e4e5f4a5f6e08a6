//! One byte buffer, offsets, codes: every distinct text of a page once.

use std::hash::Hasher;

use picket_contract::NULL;
use rustc_hash::FxHasher;

/// Distinct texts, by code in order of first use.
///
/// The table is open addressing over (hash, code); it holds no text itself. Texts may be chosen by an attacker to collide,
/// which costs one page's worth of comparisons at most, since a dictionary lives as long as its page.
#[derive(Debug, Clone)]
pub(crate) struct Dictionary {
    bytes: String,
    offsets: Vec<u32>,
    table: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    code: u32,
}

const EMPTY: Entry = Entry { hash: 0, code: NULL };

/// A table to begin with has from so many to so many places, powers of two.
const LEAST: usize = 64;
const MOST: usize = 4096;
/// Distinct texts of a row, about, and their length in bytes.
const TEXTS: usize = 2;
const LENGTH: usize = 16;

impl Dictionary {
    /// With room for the texts of so many rows.
    pub(crate) fn of(rows: usize) -> Self {
        let places = (rows * TEXTS * 2).next_power_of_two().clamp(LEAST, MOST);
        let texts = places / 2;
        let mut offsets = Vec::with_capacity(texts + 1);
        offsets.push(0);
        Dictionary {
            bytes: String::with_capacity(texts * LENGTH),
            offsets,
            table: vec![EMPTY; places],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// All texts together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn text(&self, code: u32) -> Option<&str> {
        let start = *self.offsets.get(code as usize)? as usize;
        let end = *self.offsets.get(code as usize + 1)? as usize;
        self.bytes.get(start..end)
    }

    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.place(hash(text), text).ok()
    }

    /// The text's code. [`NULL`] if the dictionary is past 4 GiB, which no page of Duo's is.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let hash = hash(text);
        let place = match self.place(hash, text) {
            Ok(code) => return code,
            Err(place) => place,
        };
        let Ok(end) = u32::try_from(self.bytes.len() + text.len()) else {
            return NULL;
        };
        let code = self.len() as u32;
        self.bytes.push_str(text);
        self.offsets.push(end);
        if let Some(entry) = self.table.get_mut(place) {
            *entry = Entry { hash, code };
        }
        if self.len() * 2 > self.table.len() {
            self.grow();
        }
        code
    }

    /// Where the text is (its code), or where it would go.
    fn place(&self, hash: u32, text: &str) -> Result<u32, usize> {
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let entry = self.table.get(place).copied().unwrap_or(EMPTY);
            if entry.code == NULL {
                return Err(place);
            }
            if entry.hash == hash && self.text(entry.code) == Some(text) {
                return Ok(entry.code);
            }
            place = (place + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        let old = std::mem::replace(&mut self.table, vec![EMPTY; mask + 1]);
        for entry in old.into_iter().filter(|entry| entry.code != NULL) {
            let mut place = entry.hash as usize & mask;
            while self.table.get(place).is_some_and(|taken| taken.code != NULL) {
                place = (place + 1) & mask;
            }
            if let Some(free) = self.table.get_mut(place) {
                *free = entry;
            }
        }
    }
}

fn hash(text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_get_one_code_each_in_order_of_first_use() {
        let mut dictionary = Dictionary::of(1);
        let texts: Vec<String> = (0..5000).map(|number| format!("text {}", number % 1700)).collect();
        let codes: Vec<u32> = texts.iter().map(|text| dictionary.intern(text)).collect();
        assert_eq!(dictionary.len(), 1700);
        for (place, (text, code)) in texts.iter().zip(&codes).enumerate() {
            assert_eq!(*code as usize, place % 1700);
            assert_eq!(dictionary.text(*code), Some(text.as_str()));
            assert_eq!(dictionary.find(text), Some(*code));
        }
        assert_eq!(dictionary.find("text 1700"), None);
        assert_eq!(dictionary.text(NULL), None);
        assert_eq!(dictionary.intern(""), 1700);
    }
}
