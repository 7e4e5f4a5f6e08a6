//! From what the store kept to a judge that goes on as if it had never stopped.

use std::sync::Arc;

use picket_contract::{Mark, Position};
use picket_store::{RuleRow, Standing, StoreError, segment};

use super::{Desk, Inner, PipelineError, RuleSpec};
use crate::acquaintance::{self, Acquaintance};
use crate::dedup::Dedup;
use crate::holding::{Remembered, Shelf};
use crate::incidents::Incidents;
use crate::judge::TenantJudge;
use crate::rule::JudgedRule;

impl Inner {
    /// Makes the judge from the store, unless it is there.
    pub(super) fn load<'a>(&self, desk: &'a mut Desk) -> Result<&'a mut TenantJudge, PipelineError> {
        let judge = match desk.judge.take() {
            Some(judge) => judge,
            None => {
                let judge = self.restore(desk)?;
                self.read_for(&judge);
                judge
            }
        };
        Ok(desk.judge.insert(judge))
    }

    fn restore(&self, desk: &Desk) -> Result<TenantJudge, PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        // Of what was put by, nobody knows any more whether it came to be on the disk.
        self.options.holding.forget(tenant);
        let rows = store.rules(tenant)?;
        let mut rules = Vec::new();
        for spec in &desk.rules.rules {
            let row = find(&rows, &spec.manifest.id, spec.manifest.state.version);
            // Rules that were never here are seated by the swap that brings them; here they would have no position.
            let Some(row) = row else { continue };
            rules.push(spec.judged(row.position.clone(), self.remembered(row), row.standing.clone()));
        }
        let known = match find(&rows, acquaintance::RULE, acquaintance::STATE_VERSION) {
            Some(row) => {
                let state = store.state(tenant, acquaintance::RULE, acquaintance::STATE_VERSION)?;
                Acquaintance::restore(row.position.clone(), &state)
            }
            None => Acquaintance::default(),
        };
        let dedup = Dedup::restore(store.dedup(tenant, i64::MIN)?);
        let generation = self.generation()?.map_or(0, |(number, _)| number);
        let settings = self.settings();
        let judge = TenantJudge::new(
            self.tenant.clone(),
            settings,
            generation,
            rules,
            dedup,
            known,
            &self.journal,
        )?;
        let incidents = Incidents::stored(self.journal.clone());
        let judge = judge.knowing(self.options.people.clone()).with(incidents);
        Ok(judge.since(self.historic.clone()))
    }

    /// What the store has of a rule's memory, to be read when it is needed.
    pub(super) fn remembered(&self, row: &RuleRow) -> Remembered {
        Remembered::stored(row.remembers, self.shelf(&row.rule, row.state_version))
    }

    /// Where a rule's memory is put by.
    pub(super) fn shelf(&self, rule: &str, state_version: u32) -> Arc<Shelf> {
        Arc::new(Shelf {
            holding: self.options.holding.clone(),
            store: self.journal.store.clone(),
            journal: self.journal.tenant.clone(),
            rule: rule.into(),
            state_version,
        })
    }

    /// The last generation marked in the journal, and its hash.
    pub(super) fn generation(&self) -> Result<Option<(u64, String)>, StoreError> {
        let own = self.generation_in(&self.journal.tenant)?;
        match segment::owner(&self.journal.tenant) {
            // What judges a segment first is what judges its tenant.
            Some(owner) if own.is_none() => self.generation_in(owner),
            _ => Ok(own),
        }
    }

    fn generation_in(&self, journal: &str) -> Result<Option<(u64, String)>, StoreError> {
        let store = &self.journal.store;
        let marks = store.pending(journal, store.last_seq(journal)?, &[])?;
        let mut generations = marks
            .iter()
            .flat_map(|admission| &admission.marks)
            .filter_map(|mark| match mark {
                Mark::Generation { number, hash, .. } => Some((*number, hash.to_string())),
                _ => None,
            });
        Ok(generations.next_back())
    }
}

pub(super) fn find<'a>(rows: &'a [RuleRow], rule: &str, state_version: u32) -> Option<&'a RuleRow> {
    rows.iter()
        .find(|row| *row.rule == *rule && row.state_version == state_version)
}

impl From<JudgedRule> for RuleSpec {
    /// Without where it stands and what it remembers.
    fn from(rule: JudgedRule) -> Self {
        RuleSpec {
            manifest: rule.manifest,
            evaluator: rule.evaluator,
            module: rule.module,
            attack_version: rule.attack_version,
            params: rule.params,
            tables: rule.tables,
            terms: rule.terms,
        }
    }
}

impl RuleSpec {
    /// The rule at a position, with what it remembers.
    pub(crate) fn judged(&self, position: Position, state: Remembered, standing: Standing) -> JudgedRule {
        JudgedRule {
            manifest: self.manifest.clone(),
            evaluator: self.evaluator.clone(),
            module: self.module.clone(),
            attack_version: self.attack_version.clone(),
            params: self.params.clone(),
            tables: self.tables.clone(),
            terms: self.terms.clone(),
            position,
            state,
            standing,
        }
    }
}
