//! Guesses which keys later rows of a call will ask the state for, so that the host is asked for all of them at once.
//!
//! Nearly every key is the text of a field, or those of two fields with something between them: a user, an address and a user.
//! So when a row has asked the host for a key, its fields are held against the key, and the same fields of the rows that are
//! to come give their keys. A guess that is wrong costs a look in the host, and changes nothing: what is asked for too much is
//! not used, and what was not foreseen is asked for when it is wanted.

use crate::bytes::step;
use crate::columns::Rows;
use crate::state::known;

/// Rows of one source after which is guessed: branches of a rule ask for different things.
const TRIES: u8 = 8;
/// The longest text between two fields.
const BETWEEN: usize = 4;

/// What has been tried, by group.
pub(crate) struct Foresight {
    tries: Vec<u8>,
}

impl Foresight {
    pub(crate) fn new(groups: usize) -> Self {
        Foresight { tries: vec![0; groups] }
    }

    /// A row of a group has been judged.
    #[inline]
    pub(crate) fn judged(&mut self, group: usize, rows: &Rows<'_>, row: usize) {
        if known::has_asked() {
            self.guess(group, rows, row);
        }
    }

    fn guess(&mut self, group: usize, rows: &Rows<'_>, row: usize) {
        let Some(tries) = self.tries.get_mut(group).filter(|tries| **tries < TRIES) else {
            return;
        };
        if row + 1 >= rows.len() {
            return;
        }
        *tries += 1;
        let mut guesses = Vec::new();
        known::asked(|name, text| guesses.extend(Guess::of(name, text, rows, row)));
        if guesses.is_empty() {
            return;
        }
        known::fetch(|want| {
            for guess in &guesses {
                guess.keys(rows, row + 1, want);
            }
        });
    }
}

/// How a key is made of a row.
struct Guess {
    /// The number of the helper's name.
    name: u32,
    column: usize,
    /// What follows the field, and the field that follows that.
    second: Option<(Vec<u8>, usize)>,
}

impl Guess {
    fn of(name: u32, text: &[u8], rows: &Rows<'_>, row: usize) -> Option<Guess> {
        let texts = || {
            let texts = (0..rows.width()).filter_map(|column| Some((column, rows.text(column, row)?.as_bytes())));
            texts.filter(|(_, text)| !text.is_empty())
        };
        let guess = |column, second| Guess { name, column, second };
        if let Some((column, _)) = texts().find(|(_, own)| *own == text) {
            return Some(guess(column, None));
        }
        let starts = texts().filter(|(_, own)| text.starts_with(own));
        let (first, start) = starts.max_by_key(|(_, own)| own.len())?;
        let rest = text.get(start.len()..)?;
        let ends = texts().filter(|(_, own)| rest.ends_with(own));
        let (second, end) = ends.max_by_key(|(_, own)| own.len())?;
        let between = rest.strip_suffix(end).filter(|between| between.len() <= BETWEEN)?;
        Some(guess(first, Some((between.to_vec(), second))))
    }

    /// Wants the keys of the rows from one on, each once.
    fn keys(&self, rows: &Rows<'_>, from: usize, want: &mut dyn FnMut(u32, &[u8]) -> bool) {
        let firsts = rows.codes(self.column, from);
        let Some((between, second)) = &self.second else {
            let mut seen = vec![false; rows.texts()];
            for code in firsts {
                let is_new = seen
                    .get_mut(*code as usize)
                    .is_some_and(|seen| !std::mem::replace(seen, true));
                if is_new
                    && let Some(text) = rows.of_code(*code)
                    && !want(self.name, text.as_bytes())
                {
                    return;
                }
            }
            return;
        };
        let mut seen = Pairs::of(firsts.len());
        let mut key = Vec::new();
        for (first, second) in firsts.iter().zip(rows.codes(*second, from)) {
            if !seen.is_new((*first, *second)) {
                continue;
            }
            let Some((start, end)) = rows.of_code(*first).zip(rows.of_code(*second)) else {
                continue;
            };
            key.clear();
            key.extend_from_slice(start.as_bytes());
            key.extend_from_slice(between);
            key.extend_from_slice(end.as_bytes());
            if !want(self.name, &key) {
                return;
            }
        }
    }
}

/// Pairs of codes that have been met.
struct Pairs {
    /// By hash, with one more than a free place has. Twice as many as there can be pairs, a power of two.
    table: Vec<u64>,
}

impl Pairs {
    fn of(most: usize) -> Self {
        Pairs {
            table: vec![0; (most.max(1) * 2).next_power_of_two()],
        }
    }

    fn is_new(&mut self, (one, other): (u32, u32)) -> bool {
        // No dictionary has so many texts that this is 0; two nulls are it, which are new each time and make no key.
        let pair = (u64::from(one) << 32 | u64::from(other)).wrapping_add(1);
        let mask = self.table.len() - 1;
        let mut place = (step(0, pair) >> 32) as usize & mask;
        while let Some(known) = self.table.get_mut(place) {
            match *known {
                0 => {
                    *known = pair;
                    return true;
                }
                known if known == pair => return false,
                _ => place = (place + 1) & mask,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Pairs;

    #[test]
    fn a_pair_is_new_once() {
        let pairs = || (0..1000_u32).map(|number| (number % 31, number * number % 47));
        let (mut met, mut expected) = (Pairs::of(1000), BTreeSet::new());
        for pair in pairs().chain([(0, 0), (u32::MAX - 1, 0)]) {
            assert_eq!(met.is_new(pair), expected.insert(pair), "{pair:?}");
        }
        // As many as there is said to be room for, all different.
        let mut full = Pairs::of(512);
        assert!((0..512).all(|number| full.is_new((number, 7))));
        assert!((0..512).all(|number| !full.is_new((number, 7))));
        assert!(met.is_new((u32::MAX, u32::MAX)) && met.is_new((u32::MAX, u32::MAX)));
    }
}
