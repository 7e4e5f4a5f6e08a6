//! All rules of one tenant: readers that split where a rule fails and join again where it is level.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use picket_contract::{Admission, Params, Position, RuleManifest, StateChanges, Usage};
use picket_event::{Mask, Permission, Plan, Selector};
use picket_store::{Forgotten, Gap, Quarantine, RuleCommit, StoreError};

use crate::acquaintance::{self, Acquaintance};
use crate::alerts::{self, Raised};
use crate::call::Slot;
use crate::dedup::Dedup;
use crate::desk::{self, Desk};
use crate::evidence::{Evidence, Layered, Rebuild};
use crate::gaps;
use crate::historic::Historic;
use crate::incidents::{Incidents, place_in_order};
use crate::marks::Basis;
use crate::people::{Nobody, People};
use crate::quota::Quota;
use crate::reader::Reader;
use crate::rule::{JudgedRule, Mode, Tenant};
use crate::sheet::{Place, Sheet};
use crate::sift::Sieve;
use crate::verdict::{JudgeError, Said, Settings, Verdict};
use crate::waiting::Waiting;

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
    pub(crate) dedup: Dedup,
    pub(crate) people: Arc<dyn People>,
    pub(crate) historic: Historic,
    pub(crate) incidents: Incidents,
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
        let read = rules
            .iter()
            .map(|rule| (&*rule.manifest, &*rule.terms.permission, &*rule.params));
        let plan = plan(read, &tenant.mask);
        let seated = |rule: JudgedRule| {
            let selector = selector(&rule.manifest, &rule.params, &rule.terms.permission, &plan)?;
            Ok(slot(rule, selector))
        };
        let slots = rules.into_iter().map(seated).collect::<Result<Vec<_>, JudgeError>>()?;
        let mut judge = TenantJudge {
            tenant,
            settings,
            generation,
            plan,
            slots,
            readers: Vec::new(),
            acquaintance,
            dedup,
            people: Arc::new(Nobody),
            historic: Historic::default(),
            incidents: Incidents::default(),
        };
        judge.take_seats(journal)?;
        Ok(judge)
    }

    /// The same judge, which tells in alerts what is known of their user.
    #[must_use]
    pub fn knowing(self, people: Arc<dyn People>) -> Self {
        TenantJudge { people, ..self }
    }

    /// The same judge, which marks alerts about the past.
    pub(crate) fn since(self, historic: Historic) -> Self {
        TenantJudge { historic, ..self }
    }

    /// The same judge, whose incidents are elsewhere than in memory.
    pub(crate) fn with(self, incidents: Incidents) -> Self {
        TenantJudge { incidents, ..self }
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
        self.feed_read(after, admissions, &[], evidence, now)
    }

    /// The same where rows have been read already: `read` has, for each entry, where its events' rows are (none: not read).
    /// What was read under another plan is read anew.
    ///
    /// # Errors
    /// As [`TenantJudge::feed`].
    pub fn feed_read(
        &mut self,
        after: u64,
        admissions: &[Admission],
        read: &[Vec<Place>],
        evidence: &dyn Evidence,
        now: i64,
    ) -> Result<Verdict, StoreError> {
        let evidence = Layered::new(admissions, evidence);
        let mut verdict = Verdict::default();
        let mut readers = std::mem::take(&mut self.readers);
        let remembered = self.slots.iter().map(|slot| slot.rule.state.summary());
        let quota = Quota::new(self.settings.state_bytes, remembered);
        let mut desk = Desk {
            plan: &self.plan,
            slots: &mut self.slots,
            acquaintance: &mut self.acquaintance,
            settings: self.settings,
            quota,
            evidence: &evidence,
            now,
            sieve: Sieve {
                tenant: &self.tenant,
                historic: &self.historic,
                dedup: &mut self.dedup,
                people: &*self.people,
            },
            raised: Vec::new(),
            verdict: &mut verdict,
        };
        for (index, admission) in admissions.iter().enumerate() {
            let mut sheet = Sheet::new(admission, read.get(index).map_or(&[], Vec::as_slice));
            for reader in readers.iter_mut().filter(|reader| reader.seq() >= after) {
                reader.feed(admission, &mut sheet, &self.plan, &mut desk)?;
            }
        }
        for reader in readers.iter_mut().filter(|reader| reader.seq() >= after) {
            reader.finish(&mut desk)?;
        }
        let raised = desk.raised;
        let mut moved: Vec<usize> = (0..self.slots.len())
            .filter(|index| self.slots.get(*index).is_some_and(is_dirty))
            .collect();
        for reader in readers.iter().filter(|reader| reader.seq() >= after) {
            for member in &reader.members {
                self.recovered(*member, reader.position(), now, &mut verdict);
                moved.push(*member);
            }
        }
        self.readers = readers;
        self.join();
        self.write_up(raised, now, &mut verdict)?;
        self.tell_gaps(now, &mut verdict);
        moved.sort_unstable();
        moved.dedup();
        verdict.commits = moved
            .into_iter()
            .filter_map(|index| self.commit(index, &mut verdict.said))
            .collect();
        Ok(verdict)
    }

    /// Quarantined rules whose probe is due stand at their position again, and so do those that were held back, if
    /// `held_too`; feeding lets them catch up. Returns how many.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn resume(&mut self, now: i64, held_too: bool, journal: &dyn Rebuild) -> Result<usize, JudgeError> {
        let due = |slot: &Slot| {
            let quarantine = slot.rule.standing.quarantine.as_ref();
            match quarantine {
                _ if slot.rule.terms.mode == Mode::Paused || slot.fresh => false,
                _ if slot.held => held_too,
                // A clock that was years ahead for a while must not keep a rule out for years.
                Some(quarantine) => {
                    quarantine.retry_at <= now
                        || quarantine.retry_at.saturating_sub(now) > self.settings.probe_at_most_ms
                }
                None => false,
            }
        };
        let candidates = (0..self.slots.len()).filter(|index| self.slots.get(*index).is_some_and(due));
        let is_seated = |index: &usize| self.readers.iter().any(|reader| reader.members.contains(index));
        let indices: Vec<usize> = candidates.filter(|index| !is_seated(index)).collect();
        if indices.is_empty() {
            return Ok(0);
        }
        for index in &indices {
            if let Some(slot) = self.slots.get_mut(*index) {
                slot.held = false;
            }
        }
        self.seat_all(&indices, journal)?;
        Ok(indices.len())
    }

    /// Rules that have burnt their share for once and wait to be resumed.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        let held = self.slots.iter().filter(|slot| slot.held);
        held.map(|slot| slot.rule.manifest.id.as_str())
    }

    /// The lowest journal number that a rule on duty has read, if it is below `head`.
    #[must_use]
    pub fn behind(&self, head: u64) -> Option<u64> {
        self.readers.iter().map(Reader::seq).filter(|seq| *seq < head).min()
    }

    /// The journal number up to which rules have judged: of those that are furthest.
    pub(crate) fn judged(&self) -> u64 {
        self.readers.iter().map(Reader::seq).max().unwrap_or_default()
    }

    /// What is read of events.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many rows wait for the marks, over all readers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.readers.iter().map(Reader::pending).sum()
    }

    /// How many rows are in memory until the marks let them go: readers share them, so that the one with most has them all.
    pub(crate) fn waiting(&self) -> usize {
        self.readers.iter().map(Reader::pending).max().unwrap_or(0)
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

    /// What was judged so far is on the disk: what rules remember may go from memory.
    pub(crate) fn put_down(&mut self) {
        let settled = self
            .slots
            .iter_mut()
            .filter(|slot| !slot.dirty && slot.changes.is_empty());
        settled.for_each(|slot| slot.rule.state.put_down());
        self.incidents.put_down();
    }

    /// Puts a rule on a reader at its position. What was forgotten while it stood there, it has missed.
    fn seat(&mut self, index: usize, waiting: &Waiting, forgotten: &[Forgotten]) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.missed = gaps::missed(&slot.rule, forgotten);
        }
        let (logs, basis, position) = self.place(index);
        let same = |reader: &&mut Reader| reader.stands(&logs, basis, &position);
        if let Some(reader) = self.readers.iter_mut().find(same) {
            reader.members.push(index);
            return;
        }
        let stored = waiting.at(&position);
        let mut reader = Reader::rebuild(logs, basis, position, stored, &self.plan, self.settings.batch_rows);
        reader.members.push(index);
        self.readers.push(reader);
    }

    /// Puts these rules on readers at their positions.
    pub(crate) fn seat_all(&mut self, indices: &[usize], journal: &dyn Rebuild) -> Result<(), JudgeError> {
        let forgotten = journal.forgotten()?;
        let places: Vec<_> = indices.iter().map(|index| self.place(*index)).collect();
        let is_there = |(logs, basis, position): &&(Vec<Arc<str>>, Basis, Position)| {
            self.readers.iter().any(|reader| reader.stands(logs, *basis, position))
        };
        let new = places.iter().filter(|place| !is_there(place));
        let waiting = Waiting::of(journal, new.map(|(logs, _, position)| (logs.as_slice(), position)))?;
        for index in indices {
            self.seat(*index, &waiting, &forgotten);
        }
        Ok(())
    }

    /// The logs that a rule reads, which marks it waits for, and where it stands.
    fn place(&self, index: usize) -> (Vec<Arc<str>>, Basis, Position) {
        match self.slots.get(index) {
            Some(slot) => {
                let rule = &slot.rule;
                (rule.logs(), Basis::of(&rule.manifest), rule.position.clone())
            }
            None => {
                let logs = vec![acquaintance::LOG.into()];
                (logs, Basis::Complete, self.acquaintance.position.clone())
            }
        }
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
    fn recovered(&mut self, index: usize, position: &Position, now: i64, verdict: &mut Verdict) {
        match self.slots.get_mut(index) {
            Some(slot) => {
                slot.rule.position = position.clone();
                if let Some(quarantine) = slot.rule.standing.quarantine.take() {
                    let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
                    verdict.poison.extend(desk::outlived(&rule, &quarantine, now));
                }
            }
            None => self.acquaintance.position = position.clone(),
        }
    }

    fn commit(&mut self, index: usize, said: &mut Vec<Said>) -> Option<RuleCommit> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Some(self.acquaintance.commit());
        };
        let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
        let (lines, usage) = (std::mem::take(&mut slot.log), std::mem::take(&mut slot.usage));
        if !lines.is_empty() || usage != Usage::default() {
            said.push(Said {
                rule: rule.clone(),
                module: slot.rule.module.clone(),
                lines,
                usage,
            });
        }
        slot.rule.standing.unreadable = slot
            .unreadable
            .iter()
            .map(|(field, count)| (field.clone(), *count))
            .collect();
        slot.dirty = false;
        Some(RuleCommit {
            rule,
            state_version: slot.rule.manifest.state.version,
            position: slot.rule.position.clone(),
            changes: std::mem::take(&mut slot.changes),
            remembers: slot.rule.state.summary(),
            standing: slot.rule.standing.clone(),
        })
    }

    /// What rules missed for good is noted with them, and told once.
    fn tell_gaps(&mut self, now: i64, verdict: &mut Verdict) {
        for slot in self.slots.iter_mut().filter(|slot| !slot.missed.is_empty()) {
            for missed in std::mem::take(&mut slot.missed) {
                let gap = Gap { found: now, ..missed };
                verdict.troubles.push(gaps::trouble(&slot.rule, &gap));
                gaps::note(&mut slot.rule.standing.gaps, gap);
            }
            slot.dirty = true;
        }
    }

    /// Makes alerts of what rules raised. When everything fed has been judged: then the acquaintance is as far as any rule.
    fn write_up(&mut self, mut raised: Vec<Raised>, now: i64, verdict: &mut Verdict) -> Result<(), StoreError> {
        let slots = &self.slots;
        let place = |raised: &Raised| {
            let rule = &slots.get(raised.rule)?.rule;
            Some((&*rule.manifest.id, alerts::severity(rule, &raised.alert)))
        };
        raised.sort_by(|one, other| {
            let of = |raised| place(raised).map(|(rule, severity)| place_in_order(raised, rule, severity));
            of(one).cmp(&of(other))
        });
        for raised in raised {
            let Some(slot) = self.slots.get(raised.rule) else {
                continue;
            };
            let teller = alerts::Teller {
                tenant: &self.tenant,
                generation: self.generation,
                rule: &slot.rule,
                acquaintance: &self.acquaintance,
                people: &*self.people,
                historic: &self.historic,
                superseders: &superseders(&self.slots, &slot.rule.manifest.id),
                now,
                // Generations count from 1: a journal made up from files has none.
                replay: self.generation == 0,
                clear_numbers: self.settings.clear_numbers,
            };
            let (alert, superseded) = teller.tell(raised, &mut self.incidents)?;
            verdict.alerts.push(alert);
            verdict.superseded.extend(superseded);
        }
        Ok(())
    }
}

/// Rules whose alerts take the place of this rule's.
fn superseders<'s>(slots: &'s [Slot], rule: &str) -> Vec<&'s str> {
    let rules = slots.iter().map(|slot| &slot.rule);
    rules
        .filter(|by| by.manifest.supersedes.iter().any(|id| id == rule) && !alerts::is_shadow(by))
        .map(|by| by.manifest.id.as_str())
        .collect()
}

/// What all rules read, and the acquaintance with them.
pub(crate) fn plan<'a>(
    rules: impl IntoIterator<Item = (&'a RuleManifest, &'a Permission, &'a Params)>,
    mask: &Arc<Mask>,
) -> Plan {
    let (house, ordinary) = (acquaintance::manifest(), Permission::default());
    let (mut decided, mut sources) = (String::new(), Vec::new());
    for (manifest, permission, params) in rules {
        // Writing into a string does not fail.
        let _ = writeln!(decided, "{} {} {params:?}", manifest.id, manifest.version);
        sources.extend(manifest.sources.iter().map(|source| (source, permission)));
    }
    sources.extend(house.sources.iter().map(|source| (source, &ordinary)));
    Plan::shared(sources, mask, &decided)
}

/// Which rows a rule gets.
pub(crate) fn selector(
    manifest: &RuleManifest,
    params: &Params,
    permission: &Permission,
    plan: &Plan,
) -> Result<Selector, JudgeError> {
    Selector::permitted(manifest, params, plan, permission).map_err(|source| JudgeError::Select {
        rule: manifest.id.clone(),
        source,
    })
}

pub(crate) fn slot(rule: JudgedRule, selector: Selector) -> Slot {
    let unreadable: BTreeMap<String, u64> = rule.standing.unreadable.iter().cloned().collect();
    Slot {
        rule,
        selector,
        changes: StateChanges::default(),
        usage: Usage::default(),
        log: Vec::new(),
        unreadable,
        historic_until: 0,
        dirty: false,
        held: false,
        fresh: false,
        fits: usize::MAX,
        missed: Vec::new(),
    }
}

/// Paused; held back; without a reader yet; or quarantined, and by the module and the limits that still serve: others deserve a try at once.
pub(crate) fn is_aside(slot: &Slot) -> bool {
    let rule = &slot.rule;
    let is_same = |quarantine: &Quarantine| {
        quarantine.module == *rule.module && (quarantine.limits == rule.terms.limits || quarantine.limits.is_empty())
    };
    rule.terms.mode == Mode::Paused || slot.held || slot.fresh || rule.standing.quarantine.as_ref().is_some_and(is_same)
}

fn is_dirty(slot: &Slot) -> bool {
    slot.dirty
}
