//! All rules of one tenant: readers that split where a rule fails and join again where it is level.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{Admission, FailureKind, Key, LogLine, Position, StateChanges, Usage};
use picket_event::{Plan, SelectError, Selector};
use picket_store::{AlertRow, Quarantine, Repeat, RuleCommit, Standing, StoreError};

use crate::acquaintance::{self, Acquaintance};
use crate::alerts;
use crate::call::{self, Raised, Slot, Stop};
use crate::dedup::Dedup;
use crate::evidence::{Evidence, Layered, Rebuild};
use crate::reader::{Judge, Reader, Run};
use crate::rule::{JudgedRule, OnPoison, Tenant};
use crate::sheet::Sheet;

/// How rules are judged; alike for all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Rows shown in one call at most.
    pub batch_rows: usize,
    /// What becomes of a row that makes a rule fail.
    pub on_poison: OnPoison,
    /// How long after a failure a rule is probed, ms; doubled for each probe that fails.
    pub probe_after_ms: i64,
    /// The longest time between probes, ms.
    pub probe_at_most_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        // A batch of 1000 spreads the price of a fresh instance; probes start when an operator may have looked.
        Settings { batch_rows: 1000, on_poison: OnPoison::Quarantine, probe_after_ms: 30_000, probe_at_most_ms: 3_600_000 }
    }
}

/// Why a tenant cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A rule asks for what no event has, or what its parameters do not give.
    #[error("rule {rule}: {source}")]
    Select {
        /// The rule's id.
        rule: String,
        /// What does not fit.
        source: SelectError,
    },
}

/// What came of feeding: everything of it belongs into one transaction.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Progress of every rule that went on.
    pub commits: Vec<RuleCommit>,
    /// Alerts raised.
    pub alerts: Vec<AlertRow>,
    /// Alerts that came again.
    pub repeats: Vec<Repeat>,
    /// Rules that failed.
    pub troubles: Vec<Trouble>,
    /// What rules logged and cost.
    pub said: Vec<Said>,
    /// Alerts about the past of a rule that looks back: counted, not kept.
    pub historic: u64,
}

/// A rule failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The rule's id.
    pub rule: Arc<str>,
    /// In words.
    pub reason: String,
    /// Id of the row that fails alone.
    pub event: Option<Arc<str>>,
    /// The row was left out and the rule went on; otherwise it is quarantined.
    pub skipped: bool,
}

/// What one rule logged and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Its log.
    pub lines: Vec<LogLine>,
    /// Its fuel and memory.
    pub usage: Usage,
}

/// One tenant's rules at their positions. Time comes in as `now` (wall clock, ms) and is used for alerts' `raised` and for
/// probes only.
#[derive(Debug)]
pub struct TenantJudge {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) settings: Settings,
    pub(crate) generation: u64,
    pub(crate) plan: Plan,
    pub(crate) slots: Vec<Slot>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) acquaintance: Acquaintance,
    dedup: Dedup,
}

impl TenantJudge {
    /// Rules at their positions, with exactly what was pending there. Quarantined rules stand aside until
    /// [`TenantJudge::resume`], unless another module has taken their place.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn new(
        tenant: Arc<Tenant>,
        settings: Settings,
        generation: u64,
        rules: Vec<JudgedRule>,
        dedup: Dedup,
        acquaintance: Acquaintance,
        journal: &dyn Rebuild,
    ) -> Result<Self, JudgeError> {
        let plan = plan(&rules);
        let slots = rules.into_iter().map(|rule| slot(rule, &plan)).collect::<Result<Vec<_>, _>>()?;
        let mut judge =
            TenantJudge { tenant, settings, generation, plan, slots, readers: Vec::new(), acquaintance, dedup };
        judge.take_seats(journal)?;
        Ok(judge)
    }

    /// Reads journal entries: all that follow on number `after`. Rules that are not that far yet are left where they are.
    ///
    /// # Errors
    /// The store's, where evidence is looked up. The judge is then half-way and must be made anew.
    pub fn feed(
        &mut self,
        after: u64,
        admissions: &[Admission],
        evidence: &dyn Evidence,
        now: i64,
    ) -> Result<Verdict, StoreError> {
        let evidence = Layered { recent: admissions, rest: evidence };
        let mut verdict = Verdict::default();
        let mut readers = std::mem::take(&mut self.readers);
        let mut desk = Desk {
            slots: &mut self.slots,
            acquaintance: &mut self.acquaintance,
            settings: self.settings,
            evidence: &evidence,
            now,
            raised: Vec::new(),
            verdict: &mut verdict,
        };
        for admission in admissions {
            let mut sheet = Sheet::new(admission);
            for reader in readers.iter_mut().filter(|reader| reader.seq() >= after) {
                reader.feed(admission, &mut sheet, &self.plan, &mut desk)?;
            }
        }
        for reader in readers.iter_mut().filter(|reader| reader.seq() >= after) {
            reader.finish(&mut desk)?;
        }
        let raised = desk.raised;
        let mut moved: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots.get(*index).is_some_and(is_dirty)).collect();
        for reader in readers.iter().filter(|reader| reader.seq() >= after) {
            for member in &reader.members {
                self.recovered(*member, reader.position());
                moved.push(*member);
            }
        }
        self.readers = readers;
        self.join();
        self.write_up(raised, now, &mut verdict);
        moved.sort_unstable();
        moved.dedup();
        verdict.commits = moved.into_iter().filter_map(|index| self.commit(index, &mut verdict.said)).collect();
        Ok(verdict)
    }

    /// Quarantined rules whose probe is due stand at their position again; feeding lets them catch up. Returns how many.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn resume(&mut self, now: i64, journal: &dyn Rebuild) -> Result<usize, JudgeError> {
        let is_seated = |index: &usize| self.readers.iter().any(|reader| reader.members.contains(index));
        let due = |slot: &Slot| slot.rule.standing.quarantine.as_ref().is_some_and(|quarantine| quarantine.retry_at <= now);
        let indices: Vec<usize> = (0..self.slots.len())
            .filter(|index| !is_seated(index) && self.slots.get(*index).is_some_and(due))
            .collect();
        for index in &indices {
            self.seat(*index, journal)?;
        }
        Ok(indices.len())
    }

    /// The lowest journal number that a rule on duty has read, if it is below `head`.
    #[must_use]
    pub fn behind(&self, head: u64) -> Option<u64> {
        self.readers.iter().map(Reader::seq).filter(|seq| *seq < head).min()
    }

    /// How many rows wait for the marks, over all readers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.readers.iter().map(Reader::pending).sum()
    }

    /// How many readers there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Every rule, as it stands.
    pub fn rules(&self) -> impl Iterator<Item = &JudgedRule> {
        self.slots.iter().map(|slot| &slot.rule)
    }

    /// Puts a rule on a reader at its position.
    pub(crate) fn seat(&mut self, index: usize, journal: &dyn Rebuild) -> Result<(), JudgeError> {
        let (logs, position) = match self.slots.get(index) {
            Some(slot) => (slot.rule.logs(), slot.rule.position.clone()),
            None => (vec![acquaintance::LOG.into()], self.acquaintance.position.clone()),
        };
        let same = |reader: &&mut Reader| reader.logs == logs && *reader.position() == position;
        if let Some(reader) = self.readers.iter_mut().find(same) {
            reader.members.push(index);
            return Ok(());
        }
        let stored =
            if position.seq == 0 { Vec::new() } else { journal.pending(position.seq, position.released.time)? };
        let mut reader = Reader::rebuild(logs, position, &stored, &self.plan, self.settings.batch_rows);
        reader.members.push(index);
        self.readers.push(reader);
        Ok(())
    }

    /// Readers that are level become one.
    pub(crate) fn join(&mut self) {
        let mut joined: Vec<Reader> = Vec::with_capacity(self.readers.len());
        for mut reader in self.readers.drain(..) {
            match joined.iter_mut().find(|other| other.is_level_with(&reader)) {
                _ if reader.members.is_empty() => {}
                Some(other) => other.members.append(&mut reader.members),
                None => joined.push(reader),
            }
        }
        self.readers = joined;
    }

    /// A rule has come to a position; if it was being probed, it has recovered.
    fn recovered(&mut self, index: usize, position: &Position) {
        match self.slots.get_mut(index) {
            Some(slot) => {
                slot.rule.position = position.clone();
                slot.rule.standing.quarantine = None;
            }
            None => self.acquaintance.position = position.clone(),
        }
    }

    fn commit(&mut self, index: usize, said: &mut Vec<Said>) -> Option<RuleCommit> {
        let Some(slot) = self.slots.get_mut(index) else { return Some(self.acquaintance.commit()) };
        let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
        let (lines, usage) = (std::mem::take(&mut slot.log), std::mem::take(&mut slot.usage));
        if !lines.is_empty() || usage != Usage::default() {
            said.push(Said { rule: rule.clone(), lines, usage });
        }
        slot.rule.standing.unreadable = slot.unreadable.iter().map(|(field, count)| (field.clone(), *count)).collect();
        slot.dirty = false;
        Some(RuleCommit {
            rule,
            state_version: slot.rule.manifest.state.version,
            position: slot.rule.position.clone(),
            changes: std::mem::take(&mut slot.changes),
            standing: slot.rule.standing.clone(),
        })
    }

    /// Makes alerts of what rules raised: repeats are told apart, the rest is written up.
    fn write_up(&mut self, raised: Vec<Raised>, now: i64, verdict: &mut Verdict) {
        for raised in raised {
            let Some(slot) = self.slots.get(raised.rule) else { continue };
            if raised.historic {
                verdict.historic += 1;
                continue;
            }
            let teller = alerts::Teller {
                tenant: &self.tenant,
                generation: self.generation,
                rule: &slot.rule,
                acquaintance: &self.acquaintance,
                now,
            };
            let key = teller.dedup_key(&raised);
            let id = teller.id(&raised, &key);
            let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
            if let Some(alert) = self.dedup.repeats(&rule, &key, &id, raised.alert.time) {
                verdict.repeats.push(Repeat { id: alert, count: 1, time: raised.alert.time });
                continue;
            }
            let row = teller.tell(&raised, id, key);
            self.dedup.open(rule, row.dedup_key.clone(), row.id.clone(), row.time, row.dedup_until);
            verdict.alerts.push(row);
        }
    }
}

/// Another set of rules taking over.
impl TenantJudge {
    /// Takes a rule out, with its position and state, if it is there in this state version.
    pub(crate) fn take_rule(&mut self, rule: &str, state_version: u32) -> Option<JudgedRule> {
        let is = |slot: &&mut Slot| slot.rule.manifest.id == rule && slot.rule.manifest.state.version == state_version;
        let slot = self.slots.iter_mut().find(is)?;
        let state = std::mem::take(&mut slot.rule.state);
        Some(JudgedRule { state, ..slot.rule.clone() })
    }

    /// The position of a rule that begins at the journal's number `head`: what waits for the marks, it will be shown.
    pub(crate) fn here(&self, logs: Vec<Arc<str>>, head: u64, journal: &dyn Rebuild) -> Result<Position, JudgeError> {
        if let Some(reader) = self.readers.iter().find(|reader| reader.logs == logs && reader.seq() == head) {
            return Ok(reader.position().clone());
        }
        if head == 0 {
            return Ok(Position::start());
        }
        let marks = journal.pending(head, i64::MAX)?;
        let start = Position { seq: head, released: Key::start() };
        let watermark = Reader::rebuild(logs, start, &marks, &self.plan, 1).watermark();
        let released = if watermark == i64::MIN { Key::start() } else { Key::end_of(watermark) };
        Ok(Position { seq: head, released })
    }

    /// The judge with other rules. Readers that have rows waiting keep them.
    pub(crate) fn replace(
        self,
        generation: u64,
        rules: Vec<JudgedRule>,
        journal: &dyn Rebuild,
    ) -> Result<Self, JudgeError> {
        let plan = plan(&rules);
        let slots = rules.into_iter().map(|rule| slot(rule, &plan)).collect::<Result<Vec<_>, _>>()?;
        let mut judge = TenantJudge { generation, slots, plan, ..self };
        for reader in &mut judge.readers {
            reader.members.clear();
            reader.adopt(&judge.plan);
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

    fn take_seats(&mut self, journal: &dyn Rebuild) -> Result<(), JudgeError> {
        self.acquaintance.fit(&self.plan);
        self.seat(acquaintance::INDEX, journal)?;
        for index in 0..self.slots.len() {
            if !self.slots.get(index).is_some_and(is_aside) {
                self.seat(index, journal)?;
            }
        }
        Ok(())
    }
}

/// What all rules read, and the acquaintance with them.
pub(crate) fn plan(rules: &[JudgedRule]) -> Plan {
    let house = acquaintance::manifest();
    Plan::new(rules.iter().flat_map(|rule| &rule.manifest.sources).chain(&house.sources))
}

pub(crate) fn slot(rule: JudgedRule, plan: &Plan) -> Result<Slot, JudgeError> {
    let selector = Selector::new(&rule.manifest, &rule.params, plan)
        .map_err(|source| JudgeError::Select { rule: rule.manifest.id.clone(), source })?;
    let unreadable: BTreeMap<String, u64> = rule.standing.unreadable.iter().cloned().collect();
    Ok(Slot {
        rule,
        selector,
        changes: StateChanges::default(),
        usage: Usage::default(),
        log: Vec::new(),
        unreadable,
        historic_until: 0,
        dirty: false,
    })
}

/// Quarantined, and by the module that still serves: another one deserves a try at once.
pub(crate) fn is_aside(slot: &Slot) -> bool {
    slot.rule.standing.quarantine.as_ref().is_some_and(|quarantine| quarantine.module == *slot.rule.module)
}

fn is_dirty(slot: &Slot) -> bool {
    slot.dirty
}

/// What judges the runs of all readers during one feeding.
struct Desk<'a> {
    slots: &'a mut Vec<Slot>,
    acquaintance: &'a mut Acquaintance,
    settings: Settings,
    evidence: &'a dyn Evidence,
    now: i64,
    raised: Vec<Raised>,
    verdict: &'a mut Verdict,
}

impl Judge for Desk<'_> {
    fn judge(&mut self, members: &mut Vec<usize>, run: &Run<'_>) -> Result<(), StoreError> {
        let mut stopped = Vec::new();
        for member in members.iter() {
            let Some(slot) = self.slots.get_mut(*member) else {
                self.acquaintance.learn(run.rows, run.watermark);
                continue;
            };
            let judged = call::judge(*member, slot, run, self.settings.on_poison, self.evidence)?;
            let historic = run.to.seq <= slot.historic_until;
            self.raised.extend(judged.raised.into_iter().map(|raised| Raised { historic, ..raised }));
            let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
            for (row, failure) in judged.skipped {
                let event = row.page.events().get(row.row as usize).map(|event| event.id.clone());
                let reason = failure.to_string();
                self.verdict.troubles.push(Trouble { rule: rule.clone(), reason, event, skipped: true });
            }
            if let Some(stop) = judged.stop {
                self.verdict.troubles.push(quarantine(slot, rule, stop, self.settings, self.now));
                stopped.push(*member);
            }
        }
        members.retain(|member| !stopped.contains(member));
        Ok(())
    }
}

fn quarantine(slot: &mut Slot, rule: Arc<str>, stop: Stop, settings: Settings, now: i64) -> Trouble {
    let event = stop.row.and_then(|row| row.page.events().get(row.row as usize).map(|event| event.id.clone()));
    let before = slot.rule.standing.quarantine.take().filter(|before| before.module == *slot.rule.module);
    let attempts = before.as_ref().map_or(0, |before| before.attempts.saturating_add(1));
    // What is the host's own failing is likely over in a moment.
    let first = if stop.failure.kind == FailureKind::Host { settings.probe_after_ms / 30 } else { settings.probe_after_ms };
    let wait = first.max(1).saturating_mul(1_i64 << attempts.min(30)).min(settings.probe_at_most_ms);
    slot.rule.position = stop.position;
    slot.dirty = true;
    slot.rule.standing = Standing {
        quarantine: Some(Quarantine {
            reason: stop.failure.to_string(),
            event: event.as_ref().map(ToString::to_string),
            module: slot.rule.module.to_string(),
            since: before.map_or(now, |before| before.since),
            attempts,
            retry_at: now.saturating_add(wait),
        }),
        unreadable: Vec::new(),
    };
    Trouble { rule, reason: stop.failure.to_string(), event, skipped: false }
}
