//! A tenant's stored journal judged once more, by the versions that judged it, each from where it took over: what was live, as a
//! replay.
//!
//! The journal says itself which generation judged from where on ([`Mark::Generation`]) and where each rule went on or began
//! ([`Mark::Takeover`]). Who asks gives the rules of each generation; alerts, ids and state are then those of the live run, but
//! for what a rule had looked back on when it began, which is told ([`Rejudged::substituted`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{Admission, Mark, Position, RuleState};
use picket_store::{AlertRow, Standing, Store};

use crate::acquaintance::Acquaintance;
use crate::change::Prepared;
use crate::dedup::Dedup;
use crate::evidence::{InJournal, Rebuild as _};
use crate::judge::{TenantJudge, plan, selector};
use crate::pipeline::RuleSet;
use crate::rule::{JudgedRule, Tenant};
use crate::stretch::stands;
use crate::verdict::{JudgeError, Settings, Verdict};

/// Events read and judged at once.
const PIECE: usize = 10_000;

/// What came of it.
#[derive(Debug, Default)]
pub struct Rejudged {
    /// In the order raised, repeats counted in.
    pub alerts: Vec<AlertRow>,
    /// Every rule as it stands at the end.
    pub rules: Vec<JudgedRule>,
    /// What could not be repeated, in words.
    pub substituted: Vec<String>,
    /// How many generations judged.
    pub generations: u64,
}

/// A change of rules, as the journal has it.
struct Change {
    number: u64,
    hash: Arc<str>,
    /// Up to here the generation before has judged.
    judged: u64,
    /// Where rules went on or began.
    from: BTreeMap<Arc<str>, Position>,
}

/// Judges the whole journal. `rules`: what judged in a generation, by its hash. `now`: what alerts give as the time they were
/// raised, wall clock, ms.
///
/// # Errors
/// [`JudgeError`].
pub fn rejudge(
    store: &Arc<dyn Store>,
    tenant: &Arc<Tenant>,
    settings: Settings,
    now: i64,
    rules: impl Fn(&str) -> Option<RuleSet>,
) -> Result<Rejudged, JudgeError> {
    let journal = InJournal {
        store: store.clone(),
        tenant: tenant.id.clone(),
    };
    let settings = Settings {
        fuel_at_once: u64::MAX,
        ..settings
    };
    let last = store.last_seq(&tenant.id)?;
    let known = Acquaintance::default();
    let judge = TenantJudge::new(
        tenant.clone(),
        settings,
        0,
        Vec::new(),
        Dedup::default(),
        known,
        &journal,
    )?;
    let mut again = Again {
        journal: &journal,
        judge,
        parked: BTreeMap::new(),
        rejudged: Rejudged::default(),
        now,
    };
    for change in changes(&journal, last)? {
        again.read_to(change.judged)?;
        match rules(&change.hash) {
            Some(set) => again = again.swap(&change, &set)?,
            None => {
                let words = format!("generation {} ({}) is not known", change.number, change.hash);
                again.rejudged.substituted.push(words);
            }
        }
    }
    again.read_to(last)?;
    let Again {
        judge, mut rejudged, ..
    } = again;
    rejudged.rules = judge.rules().cloned().collect();
    Ok(rejudged)
}

fn changes(journal: &InJournal, last: u64) -> Result<Vec<Change>, JudgeError> {
    let mut changes: Vec<Change> = Vec::new();
    let stored = if last == 0 {
        Vec::new()
    } else {
        journal.pending(last, i64::MAX)?
    };
    for mark in stored.into_iter().flat_map(|entry| entry.marks) {
        match mark {
            Mark::Generation { number, hash, judged } => changes.push(Change {
                number,
                hash,
                judged: judged.unwrap_or_default(),
                from: BTreeMap::new(),
            }),
            Mark::Takeover { rule, from, .. } => {
                if let Some(change) = changes.last_mut() {
                    change.from.insert(rule, *from);
                }
            }
            _ => {}
        }
    }
    Ok(changes)
}

struct Again<'j> {
    journal: &'j InJournal,
    judge: TenantJudge,
    /// Rules that were retired, by id and state version: they may come back.
    parked: BTreeMap<(String, u32), JudgedRule>,
    rejudged: Rejudged,
    now: i64,
}

impl Again<'_> {
    fn read_to(&mut self, to: u64) -> Result<(), JudgeError> {
        while let Some(after) = self.judge.behind(to) {
            let mut piece = self.journal.store.read(&self.journal.tenant, after, PIECE)?;
            piece.retain(|entry| entry.last_seq() <= to);
            if piece.last().is_none_or(|entry| entry.last_seq() <= after) {
                break;
            }
            self.feed(after, &piece)?;
        }
        Ok(())
    }

    fn feed(&mut self, after: u64, piece: &[Admission]) -> Result<(), JudgeError> {
        let verdict = self.judge.feed(after, piece, self.journal, self.now)?;
        self.hear(verdict);
        Ok(())
    }

    fn hear(&mut self, verdict: Verdict) {
        let alerts = &mut self.rejudged.alerts;
        alerts.extend(verdict.alerts);
        for repeat in verdict.repeats {
            if let Some(alert) = alerts.iter_mut().rev().find(|alert| alert.id == repeat.id) {
                alert.repeats += repeat.count;
                alert.last_repeat = alert.last_repeat.max(Some(repeat.time));
            }
        }
    }

    fn swap(mut self, change: &Change, set: &RuleSet) -> Result<Self, JudgeError> {
        let read = set.rules.iter().map(|spec| (&*spec.manifest, &*spec.terms.permission));
        let mut prepared = Prepared {
            plan: plan(read, &self.judge.tenant.mask),
            ..Prepared::default()
        };
        let mut rules = Vec::with_capacity(set.rules.len());
        for spec in &set.rules {
            let (id, version) = (spec.manifest.id.as_str(), spec.manifest.state.version);
            let parked = self.parked.remove(&(id.to_owned(), version));
            let rule = match self.judge.take_rule(id, version).or(parked) {
                Some(rule) => spec.judged(rule.position, rule.state, rule.standing),
                None => {
                    if spec.manifest.state.look_back_ms > 0 && change.judged > 0 {
                        let words = format!("rule {id} looked back when it began, which is not repeated");
                        self.rejudged.substituted.push(words);
                    }
                    let position = match change.from.get(id) {
                        Some(from) => from.clone(),
                        None if change.judged == 0 => Position::start(),
                        None => {
                            let marks = self.journal.pending(change.judged, i64::MAX)?;
                            stands(&spec.manifest, change.judged, &marks)
                        }
                    };
                    spec.judged(position, RuleState::default().into(), Standing::default())
                }
            };
            let selector = selector(&spec.manifest, &spec.params, &spec.terms.permission, &prepared.plan)?;
            rules.push((rule, selector));
        }
        let (mut judge, before) = self.judge.replace(change.number, rules, &mut prepared, self.journal)?;
        for slot in before {
            let rule = slot.rule;
            let is_on = judge.rules().any(|on| on.manifest.id == rule.manifest.id);
            if !is_on {
                let key = (rule.manifest.id.clone(), rule.manifest.state.version);
                self.parked.insert(key, rule);
            }
        }
        let forgotten = self.journal.forgotten()?;
        for one in judge.unseated() {
            let reader = one.reader(judge.plan(), judge.settings.batch_rows, self.journal)?;
            judge.sit(&one, Some(reader), &forgotten);
        }
        self.judge = judge;
        self.rejudged.generations += 1;
        self.feed(0, &[])?;
        Ok(self)
    }
}
