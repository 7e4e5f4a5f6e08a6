//! Guesses which keys later rows of a call will ask the state for, so that the host is asked for all of them at once.
//!
//! Nearly every key is the text of a field, or those of two fields with something between them: a user, an address and a user.
//! So when a row has asked the host for a key, its fields are held against the key, and the same fields of the rows that are
//! to come give their keys. A guess that is wrong costs a look in the host, and changes nothing: what is asked for too much is
//! not used, and what was not foreseen is asked for when it is wanted.

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
        known::asked(|key| guesses.extend(Guess::of(key, rows, row)));
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
    /// The name of the store, and what divides it from the key.
    store: Vec<u8>,
    column: usize,
    /// What follows the field, and the field that follows that.
    second: Option<(Vec<u8>, usize)>,
}

impl Guess {
    fn of(key: &[u8], rows: &Rows<'_>, row: usize) -> Option<Guess> {
        let (store, text) = key.split_at_checked(key.iter().position(|byte| *byte == 0)? + 1)?;
        let texts = || {
            let texts = (0..rows.width()).filter_map(|column| Some((column, rows.text(column, row)?.as_bytes())));
            texts.filter(|(_, text)| !text.is_empty())
        };
        let guess = |column, second| Guess {
            store: store.to_vec(),
            column,
            second,
        };
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

    /// Wants the keys of the rows from one on.
    fn keys(&self, rows: &Rows<'_>, from: usize, want: &mut dyn FnMut(&[u8]) -> bool) {
        let mut key = self.store.clone();
        let mut seen = vec![false; if self.second.is_none() { rows.texts() } else { 0 }];
        for row in from..rows.len() {
            // The same text again: its key has been wanted.
            let seen = rows.code(self.column, row).and_then(|code| seen.get_mut(code as usize));
            if seen.is_some_and(|seen| std::mem::replace(seen, true)) {
                continue;
            }
            let Some(text) = rows.text(self.column, row) else {
                continue;
            };
            key.truncate(self.store.len());
            key.extend_from_slice(text.as_bytes());
            if let Some((between, column)) = &self.second {
                let Some(text) = rows.text(*column, row) else {
                    continue;
                };
                key.extend_from_slice(between);
                key.extend_from_slice(text.as_bytes());
            }
            if !want(&key) {
                return;
            }
        }
    }
}
