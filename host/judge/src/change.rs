//! Another set of rules taking over in memory. What is kept, and from where a rule begins, is decided by `pipeline::swap`.
//!
//! Judging stands still meanwhile, so whatever takes time is done before ([`Prepared`]) or after: a rule that finds no reader at
//! its position is given one when what it begins with is on the disk ([`TenantJudge::sit`]).

use std::sync::Arc;

use picket_contract::{Position, StateChanges};
use picket_event::{Page, Plan, Selector};
use picket_store::{Forgotten, StoreError};

use crate::acquaintance;
use crate::call::Slot;
use crate::evidence::Rebuild;
use crate::gaps;
use crate::judge::{TenantJudge, is_aside, slot};
use crate::marks::Basis;
use crate::queue::Adopted;
use crate::reader::Reader;
use crate::rule::JudgedRule;
use crate::verdict::JudgeError;
use crate::waiting::Waiting;

/// What can be made ready for other rules while the ones before still judge.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// What the rules read.
    pub(crate) plan: Plan,
    /// Pages that wait, as that plan reads them.
    pub(crate) adopted: Adopted,
}

/// A rule without a reader, and the reader it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unseated {
    rule: String,
    logs: Vec<Arc<str>>,
    basis: Basis,
    position: Position,
}

impl TenantJudge {
    /// Takes a rule out, with its position and state, if it is there in this state version.
    pub(crate) fn take_rule(&mut self, rule: &str, state_version: u32) -> Option<JudgedRule> {
        let is = |slot: &&mut Slot| slot.rule.manifest.id == rule && slot.rule.manifest.state.version == state_version;
        let slot = self.slots.iter_mut().find(is)?;
        let state = std::mem::take(&mut slot.rule.state);
        Some(JudgedRule {
            state,
            ..slot.rule.clone()
        })
    }

    /// Pages whose rows wait for the marks.
    pub(crate) fn pages(&self) -> Vec<Arc<Page>> {
        let mut pages = Vec::new();
        self.readers.iter().for_each(|reader| reader.pages(&mut pages));
        pages
    }

    /// The judge with other rules, and what is left of the ones before. Readers that have rows waiting keep them.
    pub(crate) fn replace(
        self,
        generation: u64,
        rules: Vec<(JudgedRule, Selector)>,
        prepared: &mut Prepared,
        journal: &dyn Rebuild,
    ) -> Result<(Self, Vec<Slot>), JudgeError> {
        let slots = rules.into_iter().map(|(rule, selector)| slot(rule, selector)).collect();
        let mut judge = TenantJudge {
            generation,
            plan: prepared.plan.clone(),
            ..self
        };
        let before = std::mem::replace(&mut judge.slots, slots);
        for reader in &mut judge.readers {
            reader.members.clear();
            reader.adopt(&judge.plan, &mut prepared.adopted);
        }
        judge.acquaintance.fit(&judge.plan);
        let at = |readers: &mut Vec<Reader>, logs: &[Arc<str>], basis: Basis, position: &Position, index: usize| {
            let found = readers.iter_mut().find(|reader| reader.stands(logs, basis, position));
            found.map(|reader| reader.members.push(index)).is_some()
        };
        let house = [Arc::from(acquaintance::LOG)];
        let stands = judge.acquaintance.position.clone();
        if !at(
            &mut judge.readers,
            &house,
            Basis::Complete,
            &stands,
            acquaintance::INDEX,
        ) {
            judge.seat_all(&[acquaintance::INDEX], journal)?;
        }
        for (index, slot) in judge.slots.iter_mut().enumerate() {
            if !is_aside(slot) {
                let rule = &slot.rule;
                let basis = Basis::of(&rule.manifest);
                slot.fresh = !at(&mut judge.readers, &rule.logs(), basis, &rule.position, index);
            }
        }
        judge.join();
        Ok((judge, before))
    }

    /// A rule begins with this as its first changes.
    pub(crate) fn began(&mut self, rule: &str, changes: StateChanges) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.rule.manifest.id == rule) {
            slot.changes = changes;
            slot.dirty = true;
        }
    }

    /// Rules that wait for a reader.
    pub(crate) fn unseated(&self) -> Vec<Unseated> {
        let fresh = self.slots.iter().filter(|slot| slot.fresh);
        fresh
            .map(|slot| Unseated {
                rule: slot.rule.manifest.id.clone(),
                logs: slot.rule.logs(),
                basis: Basis::of(&slot.rule.manifest),
                position: slot.rule.position.clone(),
            })
            .collect()
    }

    /// Puts a rule that waits for a reader on this one, or on an equal one that is there. What was forgotten while the rule stood
    /// at its position, it has missed.
    pub(crate) fn sit(&mut self, unseated: &Unseated, reader: Option<Reader>, forgotten: &[Forgotten]) {
        let waits = |slot: &Slot| {
            slot.fresh && slot.rule.manifest.id == unseated.rule && slot.rule.position == unseated.position
        };
        let Some(index) = self.slots.iter().position(waits) else {
            return;
        };
        let same = |reader: &&mut Reader| reader.stands(&unseated.logs, unseated.basis, &unseated.position);
        let seated = match (self.readers.iter_mut().find(same), reader) {
            (Some(there), _) => {
                there.members.push(index);
                true
            }
            (None, Some(mut reader)) => {
                reader.members.push(index);
                self.readers.push(reader);
                true
            }
            (None, None) => false,
        };
        if let Some(slot) = self.slots.get_mut(index).filter(|_| seated) {
            slot.fresh = false;
            slot.missed = gaps::missed(&slot.rule, forgotten);
        }
    }

    /// Gives a reader to each rule that waits for one.
    pub(crate) fn seat_the_unseated(&mut self, journal: &dyn Rebuild) -> Result<(), StoreError> {
        let unseated = self.unseated();
        let (waiting, forgotten) = (Unseated::waiting(&unseated, journal)?, journal.forgotten()?);
        for one in &unseated {
            let reader = one.reader(&self.plan, self.settings.batch_rows, &waiting);
            self.sit(one, Some(reader), &forgotten);
        }
        Ok(())
    }

    pub(crate) fn take_seats(&mut self, journal: &dyn Rebuild) -> Result<(), JudgeError> {
        self.acquaintance.fit(&self.plan);
        let on_duty = (0..self.slots.len()).filter(|index| !self.slots.get(*index).is_some_and(is_aside));
        let all: Vec<usize> = std::iter::once(acquaintance::INDEX).chain(on_duty).collect();
        self.seat_all(&all, journal)
    }
}

impl Unseated {
    /// Whether one reader is enough for both.
    pub(crate) fn shares_with(&self, other: &Unseated) -> bool {
        self.logs == other.logs && self.basis == other.basis && self.position == other.position
    }

    /// What waits where these stand.
    pub(crate) fn waiting(these: &[Unseated], journal: &dyn Rebuild) -> Result<Waiting, StoreError> {
        Waiting::of(journal, these.iter().map(|one| (one.logs.as_slice(), &one.position)))
    }

    /// The reader, with exactly what was pending at the position.
    pub(crate) fn reader(&self, plan: &Plan, most_rows: usize, waiting: &Waiting) -> Reader {
        let (logs, position) = (self.logs.clone(), self.position.clone());
        let stored = waiting.at(&position);
        Reader::rebuild(logs, self.basis, position, stored, plan, most_rows)
    }
}
