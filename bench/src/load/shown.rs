//! Which rows of the journal each rule was shown: a bit for each, so that a long run is as exact as a short one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By rule, what calls were shown that succeeded.
#[derive(Debug, Default)]
pub(super) struct Shown {
    by_rule: Mutex<BTreeMap<String, Rows>>,
}

/// Journal numbers.
#[derive(Debug, Default)]
struct Rows {
    bits: Vec<u64>,
    /// Shown once more than once.
    twice: u64,
}

impl Rows {
    fn add(&mut self, row: u64) {
        let (word, bit) = (usize::try_from(row / 64).unwrap_or(usize::MAX), 1 << (row % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            self.twice += u64::from(*word & bit != 0);
            *word |= bit;
        }
    }

    /// How many are here and not there.
    fn without(&self, other: &Rows) -> u64 {
        let others = other.bits.iter().copied().chain(std::iter::repeat(0));
        let pairs = self.bits.iter().zip(others);
        pairs.map(|(here, there)| u64::from((here & !there).count_ones())).sum()
    }
}

impl Shown {
    pub(super) fn add(&self, rule: &str, rows: impl IntoIterator<Item = u64>) {
        let mut by_rule = self.lock();
        if !by_rule.contains_key(rule) {
            by_rule.insert(rule.to_owned(), Rows::default());
        }
        if let Some(shown) = by_rule.get_mut(rule) {
            rows.into_iter().for_each(|row| shown.add(row));
        }
    }

    /// Rows of all rules, each row once for each rule.
    pub(super) fn count(&self) -> u64 {
        let none = Rows::default();
        self.lock().values().map(|rows| rows.without(&none)).sum()
    }

    /// Of a live run and of the same judged again: rows that a rule was to be shown and was not; and those that it was shown
    /// twice, or never was to be.
    pub(super) fn compared(&self, again: &Shown) -> (u64, u64) {
        let (live, again, none) = (self.lock(), again.lock(), Rows::default());
        let rules = live.keys().chain(again.keys().filter(|rule| !live.contains_key(*rule)));
        let (mut missing, mut twice) = (0, 0);
        for rule in rules {
            let (was, is) = (live.get(rule).unwrap_or(&none), again.get(rule).unwrap_or(&none));
            missing += is.without(was);
            twice += was.twice + was.without(is);
        }
        (missing, twice)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Rows>> {
        self.by_rule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
