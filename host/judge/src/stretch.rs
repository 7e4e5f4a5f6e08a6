//! Rules that read a stretch of the stored journal aside from live judging: a look-back, a shadow run.
//!
//! They begin where they would have stood at a number of the journal, with nothing in memory, and are shown what follows by the
//! production reader: by the marks, in the order of release, late rows as late. Several judges may read side by side, as two
//! versions that are compared do; a piece of the journal is read from the store once for all of them. Live judging, the
//! journal and everything else in the store are not touched.

use std::sync::Arc;

use picket_contract::{Admission, Key, Position, RuleManifest, RuleState};
use picket_event::Plan;
use picket_store::{Standing, StoreError, StoredAdmission};

use crate::acquaintance::Acquaintance;
use crate::dedup::Dedup;
use crate::evidence::{InJournal, Rebuild as _};
use crate::judge::TenantJudge;
use crate::marks::Basis;
use crate::pipeline::RuleSpec;
use crate::reader::Reader;
use crate::rule::{JudgedRule, Mode, OnPoison, Tenant};
use crate::sheet::Place;
use crate::verdict::{JudgeError, Settings, Verdict};

/// Events read and judged at once: whoever stops the reading, or admits pages meanwhile, waits for no more.
const PIECE: usize = 2000;

/// Judges on their way through the journal.
pub(crate) struct Stretch<'j> {
    journal: &'j InJournal,
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

impl<'j> Stretch<'j> {
    /// Each of these sets of rules as it would have begun after number `after`, to read up to `to` at first.
    pub(crate) fn begin(
        journal: &'j InJournal,
        tenant: &Arc<Tenant>,
        settings: Settings,
        sets: &[&[RuleSpec]],
        (after, to): (u64, u64),
    ) -> Result<Self, JudgeError> {
        let marks = if after == 0 {
            Vec::new()
        } else {
            journal.pending(after, i64::MAX)?
        };
        let settings = Settings {
            // Nobody resumes what stands back here.
            fuel_at_once: u64::MAX,
            ..settings
        };
        let begun = |spec: &RuleSpec| -> JudgedRule {
            let position = stands(&spec.manifest, after, &marks);
            let mut rule = spec.judged(position, RuleState::default().into(), Standing::default());
            // What the operator says of live judging is not what is found out here.
            (rule.terms.mode, rule.terms.on_poison) = (Mode::Active, OnPoison::Quarantine);
            rule
        };
        let judge = |set: &&[RuleSpec]| {
            let rules = set.iter().map(begun).collect();
            let known = Acquaintance::at_end(to);
            TenantJudge::new(tenant.clone(), settings, 0, rules, Dedup::default(), known, journal)
        };
        Ok(Stretch {
            journal,
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
            let verdict = judge.feed(self.after, &[], self.journal, now)?;
            if !hear(index, verdict) {
                return Ok(());
            }
        }
        while self.after < to {
            let mut piece = self.journal.store.read(&self.journal.tenant, self.after, PIECE)?;
            piece.retain(|admission| admission.last_seq() <= to);
            let Some(last) = piece.last().map(Admission::last_seq) else {
                break;
            };
            let places: Vec<Vec<Place>> = match self.judges.first() {
                // Versions mostly read the same fields: then a row is parsed once for both.
                Some(first) if self.judges.len() > 1 => piece.iter().map(|entry| placed(first.plan(), entry)).collect(),
                _ => Vec::new(),
            };
            for (index, judge) in self.judges.iter_mut().enumerate() {
                let verdict = judge.feed_read(self.after, &piece, &places, self.journal, now)?;
                if !hear(index, verdict) {
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
