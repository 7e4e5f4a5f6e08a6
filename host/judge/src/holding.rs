//! What rules remember, in bounded memory: at hand while it is needed, else put by for a while, else in the store alone.
//!
//! A rule's state for one tenant is loaded whole when a call needs it: its quota bounds it, and a rule that judges one user's
//! row has most likely just judged another's. While rows are judged, and until what they changed is on the disk, it belongs to
//! the judge. Then it is put by in a [`Holding`], which all tenants share: the least recently used states are dropped where
//! what is put by, and what judges have in their hands, is more than its budget. So what has not been committed cannot be
//! dropped, and a state that is dropped costs one reading of the store.
//!
//! What must be known of a rule that has nothing to do is kept beside ([`Remembered::summary`]): when its next timer is due, so
//! that idle rules are never loaded, its clock, and how much it remembers.
//!
//! Nothing of this can be seen by a rule: with a budget of nothing and with one without end, alerts and state are the same.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use picket_contract::{RuleState, StateChanges, StateSummary};
use picket_store::{Store, StoreError};
use rustc_hash::FxHashMap;

/// Memory for what rules remember, over all tenants.
#[derive(Debug)]
pub struct Holding {
    budget: AtomicU64,
    inner: Mutex<Inner>,
}

/// By journal (a tenant's or a segment's), rule and state version.
type Key = (Arc<str>, Arc<str>, u32);

#[derive(Debug, Default)]
struct Inner {
    put_by: FxHashMap<Key, (u64, RuleState)>,
    /// The same keys, the least recently used first.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: u64,
    lent: u64,
    loads: u64,
}

/// What a [`Holding`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldingUsage {
    /// What it may hold, bytes.
    pub budget: u64,
    /// What is put by, bytes.
    pub put_by: u64,
    /// What judges have in their hands, bytes: as it was when they took it.
    pub lent: u64,
    /// How many states are put by.
    pub states: u64,
    /// How often a state was read from the store, since the start.
    pub loads: u64,
}

impl Default for Holding {
    /// 256 MiB: a thousand tenants of some hundreds of users.
    fn default() -> Self {
        Holding::new(256 << 20)
    }
}

impl Holding {
    /// One that holds so many bytes at most, besides what is being judged. 0: every state is read from the store whenever it
    /// is needed.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Holding {
            budget: AtomicU64::new(budget),
            inner: Mutex::default(),
        }
    }

    /// Another budget from now on; what is put by beyond it is dropped at once.
    pub fn set_budget(&self, budget: u64) {
        let mut inner = self.lock();
        self.budget.store(budget, Ordering::Release);
        inner.shrink(budget);
    }

    fn budget(&self) -> u64 {
        self.budget.load(Ordering::Acquire)
    }

    /// How much it holds.
    #[must_use]
    pub fn usage(&self) -> HoldingUsage {
        let inner = self.lock();
        HoldingUsage {
            budget: self.budget(),
            put_by: inner.bytes,
            lent: inner.lent,
            states: inner.put_by.len() as u64,
            loads: inner.loads,
        }
    }

    /// Drops what is put by of a journal: it is to be read from the store, or not at all.
    pub(crate) fn forget(&self, journal: &str) {
        let mut inner = self.lock();
        let stale: Vec<Key> = inner
            .put_by
            .keys()
            .filter(|(of, _, _)| **of == *journal)
            .cloned()
            .collect();
        for key in stale {
            inner.take(&key);
        }
    }

    /// Whoever panicked while holding the lock left whole states: nothing here is half-way between two statements that may.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, key: &Key) -> Option<RuleState> {
        let (used, state) = self.put_by.remove(key)?;
        self.by_use.remove(&used);
        self.bytes -= state.bytes() as u64;
        Some(state)
    }

    fn put(&mut self, key: Key, state: RuleState) {
        self.take(&key);
        self.uses += 1;
        self.bytes += state.bytes() as u64;
        self.by_use.insert(self.uses, key.clone());
        self.put_by.insert(key, (self.uses, state));
    }

    fn shrink(&mut self, budget: u64) {
        while self.bytes + self.lent > budget
            && let Some((_, key)) = self.by_use.pop_first()
        {
            self.take(&key);
        }
    }
}

/// Where one rule's state for one tenant is to be found.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) holding: Arc<Holding>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<str>,
    pub(crate) rule: Arc<str>,
    pub(crate) state_version: u32,
}

impl Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf")
            .field("journal", &self.journal)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl Shelf {
    fn key(&self) -> Key {
        (self.journal.clone(), self.rule.clone(), self.state_version)
    }

    /// What is put by is not what the rule goes on with.
    pub(crate) fn forget(&self) {
        self.holding.lock().take(&self.key());
    }

    fn take(&self, summary: &StateSummary) -> Result<AtHand, StoreError> {
        if summary.is_empty() {
            return Ok(RuleState::restore(summary.clock, [], []).into());
        }
        let put_by = self.holding.lock().take(&self.key());
        let is_load = put_by.is_none();
        let state = match put_by {
            Some(state) => state,
            // Read without the lock: others go on meanwhile.
            None => self.store.state(&self.journal, &self.rule, self.state_version)?,
        };
        let bytes = state.bytes() as u64;
        let mut inner = self.holding.lock();
        inner.loads += u64::from(is_load);
        inner.lent += bytes;
        inner.shrink(self.holding.budget());
        drop(inner);
        let loan = Loan {
            holding: self.holding.clone(),
            bytes,
        };
        Ok(AtHand {
            state,
            loan: Some(loan),
        })
    }

    fn put(&self, at_hand: AtHand) {
        let AtHand { state, loan } = at_hand;
        drop(loan);
        let mut inner = self.holding.lock();
        // What there is nothing of is made anew for less than keeping it.
        if !state.summary().is_empty() {
            inner.put(self.key(), state);
        }
        inner.shrink(self.holding.budget());
    }
}

/// Memory that a judge has in its hands.
#[derive(Debug)]
struct Loan {
    holding: Arc<Holding>,
    bytes: u64,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.holding.lock().lent -= self.bytes;
    }
}

#[derive(Debug)]
struct AtHand {
    state: RuleState,
    loan: Option<Loan>,
}

impl From<RuleState> for AtHand {
    fn from(state: RuleState) -> Self {
        AtHand { state, loan: None }
    }
}

/// What a rule remembers for one tenant: at hand, or put by until it is needed.
#[derive(Debug, Default)]
pub struct Remembered {
    /// As of when it was put by.
    summary: StateSummary,
    at_hand: Option<AtHand>,
    /// None: it is always at hand.
    shelf: Option<Arc<Shelf>>,
}

impl From<RuleState> for Remembered {
    /// At hand for good.
    fn from(state: RuleState) -> Self {
        Remembered {
            at_hand: Some(state.into()),
            ..Remembered::default()
        }
    }
}

/// A copy is nobody's loan.
impl Clone for Remembered {
    fn clone(&self) -> Self {
        Remembered {
            summary: self.summary,
            at_hand: self.at_hand.as_ref().map(|at_hand| at_hand.state.clone().into()),
            shelf: self.shelf.clone(),
        }
    }
}

impl PartialEq for Remembered {
    fn eq(&self, other: &Self) -> bool {
        match (self.state(), other.state()) {
            (Some(state), Some(other)) => state == other,
            _ => self.summary() == other.summary(),
        }
    }
}

impl Remembered {
    /// In the store, and so much of it.
    pub(crate) fn stored(summary: StateSummary, shelf: Arc<Shelf>) -> Self {
        Remembered {
            summary,
            at_hand: None,
            shelf: Some(shelf),
        }
    }

    /// The same, to be put by on this shelf.
    pub(crate) fn on(self, shelf: Arc<Shelf>) -> Self {
        Remembered {
            shelf: Some(shelf),
            ..self
        }
    }

    /// How much it is, and when the next timer is due.
    #[must_use]
    pub fn summary(&self) -> StateSummary {
        self.state().map_or(self.summary, RuleState::summary)
    }

    /// When the next timer is due, ms.
    #[must_use]
    pub fn next_timer(&self) -> Option<i64> {
        self.state().map_or(self.summary.next_timer, RuleState::next_timer)
    }

    /// What is remembered, if it is at hand. What was never given a store always is.
    #[must_use]
    pub fn state(&self) -> Option<&RuleState> {
        self.at_hand.as_ref().map(|at_hand| &at_hand.state)
    }

    /// What is remembered, from wherever it is.
    ///
    /// # Errors
    /// The store's.
    pub fn take_up(&mut self) -> Result<&mut RuleState, StoreError> {
        let at_hand = match (self.at_hand.take(), &self.shelf) {
            (Some(at_hand), _) => at_hand,
            (None, Some(shelf)) => shelf.take(&self.summary)?,
            (None, None) => RuleState::default().into(),
        };
        Ok(&mut self.at_hand.insert(at_hand).state)
    }

    /// Applies what a call changed: what a call is made with is at hand.
    pub fn apply(&mut self, changes: &StateChanges) {
        let fresh = || RuleState::restore(self.summary.clock, [], []).into();
        self.at_hand.get_or_insert_with(fresh).state.apply(changes);
    }

    /// Nothing of it is on its way to the store any more: others may need the memory.
    pub(crate) fn put_down(&mut self) {
        if let Some(shelf) = &self.shelf
            && let Some(at_hand) = self.at_hand.take()
        {
            self.summary = at_hand.state.summary();
            shelf.put(at_hand);
        }
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::state::StateEntry;
    use picket_contract::{Key as Released, Position};
    use picket_store::{RuleCommit, SqliteStore, Standing, Transaction};

    use super::*;

    fn entry(value: u8) -> StateChanges {
        let value = vec![value; 1000].into();
        let entry = StateEntry {
            value,
            expires_at: 1000,
        };
        StateChanges {
            clock: Some(1),
            entries: [(Arc::from([7_u8]), Some(entry))].into_iter().collect(),
            timers: [(Arc::from([8_u8]), Some(50))].into(),
        }
    }

    /// Rules with one entry each, in a store and on the shelves of a holding.
    fn rules(holding: &Arc<Holding>, many: u8) -> Vec<Remembered> {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
        let make = |number: u8| {
            let mut state = RuleState::default();
            state.apply(&entry(number));
            let rule: Arc<str> = format!("rule-{number}").into();
            let commit = RuleCommit {
                rule: rule.clone(),
                state_version: 1,
                position: Position {
                    seq: 0,
                    released: Released::start(),
                },
                changes: entry(number),
                remembers: state.summary(),
                standing: Standing::default(),
            };
            store
                .transact(
                    "acme",
                    Transaction {
                        rules: vec![commit],
                        ..Transaction::default()
                    },
                )
                .unwrap();
            let row = store
                .rules("acme")
                .unwrap()
                .into_iter()
                .find(|row| row.rule == rule)
                .unwrap();
            assert_eq!(row.remembers, state.summary());
            let shelf = Shelf {
                holding: holding.clone(),
                store: store.clone(),
                journal: "acme".into(),
                rule,
                state_version: 1,
            };
            Remembered::stored(row.remembers, Arc::new(shelf))
        };
        (0..many).map(make).collect()
    }

    fn first(remembered: &mut Remembered) -> u8 {
        let state = remembered.take_up().unwrap();
        let (_, entry) = state.entries().next().unwrap();
        entry.value[0]
    }

    #[test]
    fn the_least_recently_used_goes_first_and_what_is_in_hand_never() {
        let size = rules(&Arc::default(), 1)[0].summary().bytes;
        let holding = Arc::new(Holding::new(2 * size));
        let mut rules = rules(&holding, 3);
        assert_eq!(rules[0].next_timer(), Some(50), "known without a look");
        assert_eq!(
            holding.usage(),
            HoldingUsage {
                budget: 2 * size,
                ..HoldingUsage::default()
            }
        );
        for (number, rule) in (0..).zip(&mut rules) {
            assert_eq!(first(rule), number);
        }
        let all_lent = HoldingUsage {
            budget: 2 * size,
            lent: 3 * size,
            loads: 3,
            ..HoldingUsage::default()
        };
        assert_eq!(
            holding.usage(),
            all_lent,
            "more than the budget is needed at once, and is there"
        );
        rules.iter_mut().for_each(Remembered::put_down);
        assert_eq!(
            (holding.usage().put_by, holding.usage().lent, holding.usage().states),
            (2 * size, 0, 2)
        );
        // The first was put down first, so it has gone; the other two are there.
        assert_eq!(
            (first(&mut rules[1]), first(&mut rules[2]), holding.usage().loads),
            (1, 2, 3)
        );
        assert_eq!((first(&mut rules[0]), holding.usage().loads), (0, 4));
        drop(rules);
        assert_eq!((holding.usage().lent, holding.usage().put_by), (0, 0));
    }

    #[test]
    fn what_is_forgotten_is_read_again() {
        let holding = Arc::new(Holding::default());
        let mut rules = rules(&holding, 2);
        rules.iter_mut().for_each(|rule| {
            first(rule);
            rule.put_down();
        });
        holding.forget("other");
        assert_eq!(holding.usage().states, 2);
        holding.forget("acme");
        assert_eq!((holding.usage().states, holding.usage().put_by), (0, 0));
        assert_eq!((first(&mut rules[1]), holding.usage().loads), (1, 3));
    }
}
