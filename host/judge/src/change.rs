//! Another set of rules taking over in memory. What is kept, and from where a rule begins, is decided by `pipeline::swap`.

use std::sync::Arc;

use picket_contract::{Key, Position, StateChanges};

use crate::acquaintance;
use crate::call::Slot;
use crate::evidence::Rebuild;
use crate::judge::{TenantJudge, is_aside, plan, slot};
use crate::marks::Basis;
use crate::queue::Adopted;
use crate::reader::Reader;
use crate::rule::JudgedRule;
use crate::verdict::JudgeError;

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

    /// The position of a rule that begins at the journal's number `head`: what waits for the marks, it will be shown.
    pub(crate) fn here(
        &self,
        logs: Vec<Arc<str>>,
        basis: Basis,
        head: u64,
        journal: &dyn Rebuild,
    ) -> Result<Position, JudgeError> {
        if let Some(reader) = self
            .readers
            .iter()
            .find(|reader| reader.logs == logs && reader.basis == basis && reader.seq() == head)
        {
            return Ok(reader.position().clone());
        }
        if head == 0 {
            return Ok(Position::start());
        }
        let marks = journal.pending(head, i64::MAX)?;
        let start = Position {
            seq: head,
            released: Key::start(),
        };
        let watermark = Reader::rebuild(logs, basis, start, &marks, &self.plan, 1).watermark();
        let released = if watermark == i64::MIN {
            Key::start()
        } else {
            Key::end_of(watermark)
        };
        Ok(Position { seq: head, released })
    }

    /// The judge with other rules. Readers that have rows waiting keep them.
    pub(crate) fn replace(
        self,
        generation: u64,
        rules: Vec<JudgedRule>,
        journal: &dyn Rebuild,
    ) -> Result<Self, JudgeError> {
        let plan = plan(&rules, &self.tenant.mask);
        let slots = rules
            .into_iter()
            .map(|rule| slot(rule, &plan))
            .collect::<Result<Vec<_>, _>>()?;
        let mut judge = TenantJudge {
            generation,
            slots,
            plan,
            ..self
        };
        let mut adopted = Adopted::default();
        for reader in &mut judge.readers {
            reader.members.clear();
            reader.adopt(&judge.plan, &mut adopted);
        }
        judge.take_seats(journal)?;
        judge.join();
        Ok(judge)
    }

    /// A rule begins with this as its first changes.
    pub(crate) fn began(&mut self, rule: &str, changes: StateChanges) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.rule.manifest.id == rule) {
            slot.changes = changes;
            slot.dirty = true;
        }
    }

    pub(crate) fn take_seats(&mut self, journal: &dyn Rebuild) -> Result<(), JudgeError> {
        self.acquaintance.fit(&self.plan);
        let forgotten = journal.forgotten()?;
        self.seat(acquaintance::INDEX, journal, &forgotten)?;
        for index in 0..self.slots.len() {
            if !self.slots.get(index).is_some_and(is_aside) {
                self.seat(index, journal, &forgotten)?;
            }
        }
        Ok(())
    }
}
