//! Rules that read a stretch of the stored journal aside from live judging: a look-back, a shadow run.
//!
//! They begin where they would have stood at a number of the journal, with nothing in memory, and are shown what follows by the
//! production reader: by the marks, in the order of release, late rows as late. Several judges may read side by side, as two
//! versions that are compared do; a piece of the journal is read from the store once for all of them, and each judges it on a
//! thread of its own. Live judging, the journal and everything else in the store are not touched.

use std::sync::Arc;

use picket_contract::{Admission, Key, Position, RuleManifest, RuleState};
use picket_event::Plan;
use picket_store::{Standing, StoreError, StoredAdmission};

use crate::acquaintance::Acquaintance;
use crate::change::Prepared;
use crate::dedup::Dedup;
use crate::evidence::{InJournal, Rebuild as _};
use crate::incidents::Incidents;
use crate::judge::{TenantJudge, plan, selector};
use crate::marks::Basis;
use crate::pipeline::RuleSpec;
use crate::reader::Reader;
use crate::rule::{JudgedRule, Mode, OnPoison, Tenant};
use crate::sheet::Place;
use crate::verdict::{JudgeError, Settings, Verdict};

/// Events read and judged at once: whoever stops the reading, or admits pages meanwhile, waits for no more.
const PIECE: usize = 2000;

/// Judges on their way through the journal.
pub(crate) struct Stretch {
    journal: InJournal,
    pub(crate) judges: Vec<TenantJudge>,
    /// The number read.
    after: u64,
    /// Up to this number everything is of the past.
    past: u64,
    /// Events read behind it.
    pub(crate) events: u64,
    /// Order time of the earliest and of the latest of them, ms.
    pub(crate) span: Option<(i64, i64)>,
}

impl Stretch {
    /// Each of these sets of rules as it would have begun after number `after`, to read up to `to` at first.
    pub(crate) fn begin(
        journal: &InJournal,
        tenant: &Arc<Tenant>,
        settings: Settings,
        sets: &[&[RuleSpec]],
        (after, to): (u64, u64),
    ) -> Result<Self, JudgeError> {
        let marks = if after == 0 {
            Vec::new()
        } else {
            journal.pending(after, &[])?
        };
        let settings = Settings {
            // Nobody resumes what stands back here.
            fuel_at_once: u64::MAX,
            ..settings
        };
        let judge = |set: &&[RuleSpec]| {
            let rules = set.iter().map(|spec| begun(spec, after, &marks)).collect();
            let known = Acquaintance::at_end(to);
            let judge = TenantJudge::new(tenant.clone(), settings, 0, rules, Dedup::default(), known, journal);
            judge.map(|judge| judge.with(Incidents::none()))
        };
        Ok(Stretch {
            journal: journal.clone(),
            judges: sets.iter().map(judge).collect::<Result<_, _>>()?,
            after,
            past: after,
            events: 0,
            span: None,
        })
    }

    /// Alerts of rows up to this number are of the past: counted, not kept.
    pub(crate) fn past_ends_at(&mut self, number: u64) {
        self.past = number;
        let slots = self.judges.iter_mut().flat_map(|judge| &mut judge.slots);
        slots.for_each(|slot| slot.historic_until = number);
    }

    /// Reads on, up to and including number `to`. `hear` is given each judge's index and what it found; false: stop. `now`: wall
    /// clock, ms, for what alerts say of when they were raised.
    pub(crate) fn read(
        &mut self,
        to: u64,
        now: i64,
        mut hear: impl FnMut(usize, Verdict) -> bool,
    ) -> Result<(), StoreError> {
        // What was released and not shown where it begins comes first.
        for (index, judge) in self.judges.iter_mut().enumerate() {
            let verdict = judge.feed(self.after, &[], &self.journal, now)?;
            if !hear(index, verdict) {
                return Ok(());
            }
        }
        while self.after < to {
            let mut piece = self.journal.store.read(&self.journal.tenant, self.after, PIECE)?;
            piece.retain(|admission| admission.last_seq() <= to);
            // What is of the past is told by where a run of rows ends: none goes on behind it.
            let past = piece.partition_point(|admission| admission.last_seq() <= self.past);
            if past > 0 {
                piece.truncate(past);
            }
            let Some(last) = piece.last().map(Admission::last_seq) else {
                break;
            };
            let places: Vec<Vec<Place>> = match self.judges.first() {
                // Versions mostly read the same fields: then a row is parsed once for both.
                Some(first) if self.judges.len() > 1 => piece.iter().map(|entry| placed(first.plan(), entry)).collect(),
                _ => Vec::new(),
            };
            let fed = self.feed(&piece, &places, now);
            for (index, verdict) in fed.into_iter().enumerate() {
                if !hear(index, verdict?) {
                    return Ok(());
                }
            }
            let present = piece.iter().filter(|entry| entry.first_seq > self.past);
            for event in present.flat_map(|entry| &entry.events) {
                self.events += 1;
                let (first, last) = self.span.get_or_insert((event.time, event.time));
                (*first, *last) = ((*first).min(event.time), (*last).max(event.time));
            }
            self.after = last;
        }
        Ok(())
    }

    /// The journal's number up to which it has read.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    /// What each judge makes of a piece. They know nothing of each other, so all but one get a thread.
    fn feed(&mut self, piece: &[Admission], places: &[Vec<Place>], now: i64) -> Vec<Result<Verdict, StoreError>> {
        let (journal, after) = (&self.journal, self.after);
        let feed = |judge: &mut TenantJudge| judge.feed_read(after, piece, places, journal, now);
        let Some((last, others)) = self.judges.split_last_mut() else {
            return Vec::new();
        };
        std::thread::scope(|threads| {
            let began: Vec<_> = others.iter_mut().map(|judge| threads.spawn(|| feed(judge))).collect();
            let of_last = feed(last);
            let mut fed: Vec<_> = began
                .into_iter()
                // A panic goes on where it would have been without a thread.
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            fed.push(of_last);
            fed
        })
    }

    /// Shows those that failed what they failed on once more, and what has been read since.
    pub(crate) fn retry(&mut self, now: i64, mut hear: impl FnMut(usize, Verdict)) -> Result<(), JudgeError> {
        for (index, judge) in self.judges.iter_mut().enumerate() {
            if judge.resume(now, true, &self.journal)? == 0 {
                continue;
            }
            hear(index, judge.feed(0, &[], &self.journal, now)?);
            while let Some(behind) = judge.behind(self.after) {
                let mut piece = self.journal.store.read(&self.journal.tenant, behind, PIECE)?;
                piece.retain(|admission| admission.last_seq() <= self.after);
                if piece.last().is_none_or(|last| last.last_seq() <= behind) {
                    break;
                }
                hear(index, judge.feed(behind, &piece, &self.journal, now)?);
            }
        }
        Ok(())
    }

    /// The same versions under other terms (parameters, tables, exceptions): rules that were there go on with what they
    /// remember, others begin where the stretch stands.
    pub(crate) fn judge_by(&mut self, sets: &[&[RuleSpec]]) -> Result<(), JudgeError> {
        let marks = match self.after {
            0 => Vec::new(),
            after => self.journal.pending(after, &[])?,
        };
        let judges = std::mem::take(&mut self.judges);
        for (mut judge, set) in judges.into_iter().zip(sets) {
            let read = set
                .iter()
                .map(|spec| (&*spec.manifest, &*spec.terms.permission, &*spec.params));
            let mut prepared = Prepared {
                plan: plan(read, &judge.tenant.mask),
                ..Prepared::default()
            };
            for page in judge.pages() {
                prepared.adopted.of(&page, &prepared.plan);
            }
            let mut rules = Vec::with_capacity(set.len());
            for spec in *set {
                let known = judge.take_rule(&spec.manifest.id, spec.manifest.state.version);
                let rule = match known {
                    Some(rule) => aside(spec.judged(rule.position, rule.state, rule.standing)),
                    None => begun(spec, self.after, &marks),
                };
                let selector = selector(&spec.manifest, &spec.params, &spec.terms.permission, &prepared.plan)?;
                rules.push((rule, selector));
            }
            let (mut judge, _before) = judge.replace(0, rules, &mut prepared, &self.journal)?;
            judge.seat_the_unseated(&self.journal)?;
            self.judges.push(judge);
        }
        self.past_ends_at(self.past);
        Ok(())
    }
}

/// A rule as it begins after a number of the journal, with nothing in memory.
fn begun(spec: &RuleSpec, after: u64, marks: &[StoredAdmission]) -> JudgedRule {
    let position = stands(&spec.manifest, after, marks);
    aside(spec.judged(position, RuleState::default().into(), Standing::default()))
}

/// What the operator says of live judging is not what is found out here.
fn aside(mut rule: JudgedRule) -> JudgedRule {
    (rule.terms.mode, rule.terms.on_poison) = (Mode::Active, OnPoison::Quarantine);
    rule
}

fn placed(plan: &Plan, entry: &Admission) -> Vec<Place> {
    if entry.events.is_empty() {
        return Vec::new();
    }
    let page = Arc::new(plan.parse(plan.named(&entry.log), &entry.log, &entry.events));
    (0..).zip(&entry.events).map(|(row, _)| (page.clone(), row)).collect()
}

/// Where a rule stands that has read the journal up to a number and was shown what the marks until then release.
pub(crate) fn stands(rule: &RuleManifest, seq: u64, marks: &[StoredAdmission]) -> Position {
    if seq == 0 {
        return Position::start();
    }
    let logs = rule.logs().into_iter().map(Arc::from).collect();
    let start = Position {
        seq,
        released: Key::start(),
    };
    let reader = Reader::rebuild(logs, Basis::of(rule), start, marks, &Plan::default(), 1);
    let released = match reader.watermark() {
        i64::MIN => Key::start(),
        watermark => Key::end_of(watermark),
    };
    Position { seq, released }
}
