//! Showing rows to one rule: one call if it succeeds, else halves, down to the row that fails alone.
//!
//! The flat budget makes a call fail for its size or for a row. Halving tells the two apart, and because released rows may be
//! cut anywhere, halves that succeed are as good as the whole. A single row is tried without the timers that are due around
//! it, so that a failing timer is not taken for a failing row.
//!
//! A rule that is being probed is shown the row that stopped it alone, before anything else: a probe that fails costs a call
//! or two, not the halving of a thousand rows. A rule that has burnt its share for once stands back at a row's edge
//! ([`Halt::Enough`]) and is resumed later: nothing is lost by it, since a position may be anywhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use picket_contract::{Call, FailedRow, Failure, FailureKind, LogLine, Position, RuleAlert, StateChanges, Usage};
use picket_event::{Choice, Offer, RowRef, Selector};
use picket_failpoint::{Point, reach};
use picket_store::{Gap, StoreError};

use crate::desk::named;
use crate::evidence::{Head, Layered};
use crate::queue;
use crate::quota::Quota;
use crate::reader::Run;
use crate::rule::{JudgedRule, OnPoison};

/// Rows that a rule may skip in one run before it is quarantined all the same: retries for one release are bounded.
const MOST_SKIPPED: usize = 16;
/// Rows one alert may name, the one that raised it apart; more is a mistake of the rule. The sandbox allows as many.
const MOST_EVIDENCE: usize = 1000;

/// A rule on duty.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its position is that of its reader as of the last call.
    pub(crate) rule: JudgedRule,
    pub(crate) selector: Selector,
    /// Since the last verdict.
    pub(crate) changes: StateChanges,
    /// Since the last verdict.
    pub(crate) usage: Usage,
    /// Since the last verdict.
    pub(crate) log: Vec<LogLine>,
    pub(crate) unreadable: BTreeMap<String, u64>,
    /// Alerts of rows up to this journal number are of the past: counted, not kept.
    pub(crate) historic_until: u64,
    /// Stopped since the last verdict.
    pub(crate) dirty: bool,
    /// It has burnt its share for once, and stands back.
    pub(crate) held: bool,
    /// It has been put in place and has no reader yet: it is given one when what it begins with is on the disk.
    pub(crate) fresh: bool,
    /// How many rows at once are known to be within its budget, since more were not.
    pub(crate) fits: usize,
    /// What it has missed, and nobody has been told yet.
    pub(crate) missed: Vec<Gap>,
}

/// An alert that may name what it names.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Its evidence is sorted, each number once, with that of the row that raised it.
    pub(crate) alert: RuleAlert,
    /// Id of the first event of the evidence, by time, log and id.
    pub(crate) first: Arc<str>,
    /// Duo's own log that the row that raised it is of.
    pub(crate) log: Arc<str>,
    /// The row that raised it came late.
    pub(crate) late: bool,
}

/// A rule does not go on.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) halt: Halt,
    /// The row that fails alone, if it is one.
    pub(crate) row: Option<FailedRow>,
    pub(crate) position: Position,
}

/// Why a rule does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed.
    Failed(Failure),
    /// It has burnt its share for once.
    Enough,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) claims: Vec<Claim>,
    /// Rows that fail alone and were left out.
    pub(crate) skipped: Vec<(FailedRow, Failure)>,
    pub(crate) stop: Option<Stop>,
}

/// What all rules that are shown a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct Showing<'a> {
    pub(crate) run: &'a Run<'a>,
    /// The run's rows.
    pub(crate) offer: &'a Offer<'a>,
    pub(crate) quota: Quota,
    /// Rows shown in one call at most, unless they are late: those are all or nothing.
    pub(crate) most_rows: usize,
    /// Past so much fuel a rule is stopped at the next edge.
    pub(crate) at_once: u64,
    pub(crate) evidence: &'a Layered<'a>,
}

/// Shows a run to a rule.
pub(crate) fn judge(slot: &mut Slot, showing: Showing<'_>) -> Result<Judged, StoreError> {
    let run = showing.run;
    let choice = slot.selector.choose(showing.offer);
    for (field, count) in &choice.unreadable {
        *slot.unreadable.entry(field.to_string()).or_default() += count;
    }
    if choice.is_empty() && slot.rule.state.next_timer().is_none_or(|at| at > run.watermark) {
        return Ok(Judged::default());
    }
    let is_probe = slot.rule.standing.quarantine.is_some();
    // Only a failing late run is undone, and failing is rare: nothing is copied before the first failure.
    let mut caller = Caller {
        slot,
        showing,
        choice: &choice,
        spent: 0,
        advanced: false,
        largest: 0,
        is_too_much: false,
        judged: Judged::default(),
        changes: StateChanges::default(),
    };
    let all = 0..choice.len();
    let stopped = match choice.len() {
        // Late rows are all or nothing: which of them stopped it comes out by halving.
        2.. if is_probe && !run.late => caller.probe(run.watermark)?.err(),
        1.. if !run.late && caller.piece() < choice.len() => caller.in_pieces(all, run.watermark)?.err(),
        _ => match caller.show(all.clone(), run.watermark, run.rows.len())? {
            Ok(()) => None,
            Err(failure) if failure.kind == FailureKind::Host => Some(Stopped::failed(failure, 0)),
            Err(failure) => {
                let before = run.late.then(|| caller.slot.rule.state.clone());
                let stopped = caller.halve(all, run.watermark, failure)?.err();
                if let (Some(_), Some(state)) = (&stopped, before) {
                    caller.slot.rule.state = state;
                    caller.changes = StateChanges::default();
                    caller.judged.claims.clear();
                    caller.judged.skipped.clear();
                }
                stopped
            }
        },
    };
    let Caller {
        mut judged,
        changes,
        largest,
        is_too_much,
        ..
    } = caller;
    slot.changes.merge(changes);
    if is_too_much {
        slot.fits = largest.max(1);
    } else if stopped.is_none() && slot.fits < choice.len() {
        slot.fits = slot.fits.saturating_mul(2);
    }
    judged.stop = stopped.map(|stopped| Stop {
        position: before(run, stopped.at),
        row: stopped.row,
        halt: stopped.halt,
    });
    Ok(judged)
}

/// The position right before a row of the run.
fn before(run: &Run<'_>, at: usize) -> Position {
    if run.late {
        return run.from.clone();
    }
    let last = at.checked_sub(1).and_then(|last| run.rows.get(last));
    Position {
        seq: run.to.seq,
        released: last.map_or_else(|| run.from.released.clone(), queue::key),
    }
}

struct Stopped {
    halt: Halt,
    /// Index in the run of the first row not shown.
    at: usize,
    row: Option<FailedRow>,
}

impl Stopped {
    fn failed(failure: Failure, at: usize) -> Self {
        Stopped {
            halt: Halt::Failed(failure),
            at,
            row: None,
        }
    }
}

/// Whether the rule goes on; within whether the store could be asked.
type Step = Result<Result<(), Stopped>, StoreError>;

struct Caller<'a> {
    slot: &'a mut Slot,
    showing: Showing<'a>,
    /// Rows of the run that are for this rule. Places and ranges are counted in it.
    choice: &'a Choice,
    /// Fuel burnt in this run.
    spent: u64,
    /// A call of this run has succeeded: stopping here is not where it began.
    advanced: bool,
    /// Rows of the largest call that succeeded.
    largest: usize,
    /// A call failed for what it cost, or for what it answered: fewer rows may do.
    is_too_much: bool,
    judged: Judged,
    /// Of a late run, which may have to be undone.
    changes: StateChanges,
}

impl<'a> Caller<'a> {
    fn run(&self) -> &'a Run<'a> {
        self.showing.run
    }

    /// The row that stopped the rule alone; if that succeeds, the others as ever.
    fn probe(&mut self, watermark: i64) -> Step {
        match self.alone(0, self.just_before(0))? {
            Ok(()) => self.in_pieces(1..self.choice.len(), watermark),
            stopped => Ok(stopped),
        }
    }

    /// How many rows are tried at once: what was too much for the rule lately, or just now, is not tried again at once.
    fn piece(&self) -> usize {
        let fits = if self.is_too_much { self.largest } else { self.slot.fits };
        fits.min(self.showing.most_rows).max(1)
    }

    /// Rows in calls that are not too much.
    fn in_pieces(&mut self, rows: Range<usize>, watermark: i64) -> Step {
        let mut from = rows.start;
        while from < rows.end {
            let to = from.saturating_add(self.piece()).min(rows.end);
            let ends = if to < rows.end {
                self.just_before(to - 1)
            } else {
                watermark
            };
            if let Err(stopped) = self.attempt(from..to, ends)? {
                return Ok(Err(stopped));
            }
            from = to;
        }
        Ok(Ok(()))
    }

    /// Rows whose call failed, in smaller calls.
    fn halve(&mut self, rows: Range<usize>, watermark: i64, failure: Failure) -> Step {
        match rows.len() {
            // A timer fails. Everything in the run has been shown or was not for this rule.
            0 => Ok(Err(Stopped::failed(failure, self.run().rows.len()))),
            1 => self.alone(rows.start, watermark),
            many => {
                let middle = rows.start + many / 2;
                match self.attempt(rows.start..middle, self.just_before(middle - 1))? {
                    Ok(()) => self.attempt(middle..rows.end, watermark),
                    stopped => Ok(stopped),
                }
            }
        }
    }

    /// One row, apart from the timers around it.
    fn alone(&mut self, place: usize, watermark: i64) -> Step {
        let Some((at, row)) = self.row(place) else {
            return Ok(Ok(()));
        };
        let ahead = row.time().saturating_sub(1);
        if self.is_due(ahead)
            && let Err(failure) = self.show(place..place, ahead, at)?
        {
            return Ok(Err(Stopped::failed(failure, at)));
        }
        if let Err(failure) = self.show(place..place + 1, ahead, at + 1)? {
            if failure.kind == FailureKind::Host {
                return Ok(Err(Stopped::failed(failure, at)));
            }
            let named = named(row, place + 1, self.choice.len());
            let skips = self.slot.rule.terms.on_poison == OnPoison::Skip;
            match named {
                Some(row) if skips && self.judged.skipped.len() < MOST_SKIPPED => {
                    self.judged.skipped.push((row, failure));
                    self.advanced = true;
                }
                row => {
                    let stopped = Stopped::failed(failure, at);
                    return Ok(Err(Stopped { row, ..stopped }));
                }
            }
        }
        if self.is_due(watermark)
            && let Err(failure) = self.show(place..place, watermark, at + 1)?
        {
            return Ok(Err(Stopped::failed(failure, at + 1)));
        }
        Ok(Ok(()))
    }

    fn attempt(&mut self, rows: Range<usize>, watermark: i64) -> Step {
        let whole = self.run().rows.len();
        let at = self
            .choice
            .position(rows.start)
            .filter(|_| !rows.is_empty())
            .unwrap_or(whole);
        // Late rows cannot be left half-way.
        if self.spent >= self.showing.at_once && self.advanced && !self.run().late {
            return Ok(Err(Stopped {
                halt: Halt::Enough,
                at,
                row: None,
            }));
        }
        let last = rows.end.checked_sub(1).filter(|_| !rows.is_empty());
        let upto = last
            .and_then(|last| self.choice.position(last))
            .map_or(whole, |at| at + 1);
        match self.show(rows.clone(), watermark, upto)? {
            Ok(()) => Ok(Ok(())),
            Err(failure) if failure.kind == FailureKind::Host => Ok(Err(Stopped::failed(failure, at))),
            Err(failure) => self.halve(rows, watermark, failure),
        }
    }

    fn is_due(&self, watermark: i64) -> bool {
        self.slot.rule.state.next_timer().is_some_and(|at| at <= watermark)
    }

    /// A row of the choice, and its index in the run.
    fn row(&self, place: usize) -> Option<(usize, &'a RowRef)> {
        let at = self.choice.position(place)?;
        Some((at, self.run().rows.get(at)?))
    }

    /// A call that ends with this row may assume no more than this: rows of its own time may follow.
    fn just_before(&self, place: usize) -> i64 {
        let row = self.row(place);
        row.map_or(i64::MIN, |(_, row)| row.time().saturating_sub(1))
    }

    /// One call. If it succeeds its changes are applied. `upto`: index in the run of the first row that the rule has not been
    /// shown when the call is over.
    fn show(&mut self, rows: Range<usize>, watermark: i64, upto: usize) -> Result<Result<(), Failure>, StoreError> {
        let Showing { offer, quota, .. } = self.showing;
        let batch = self.slot.selector.batch(offer, self.choice, rows, watermark);
        let rule = &mut self.slot.rule;
        let called = rule.evaluator.evaluate(Call {
            rule: &rule.manifest.id,
            batch: &batch,
            state: rule.state.take_up()?,
            params: &rule.params,
            tables: &rule.tables,
        });
        reach(Point::CallAfter);
        let usage = match &called {
            Ok(outcome) => outcome.usage,
            Err(failure) => failure.usage,
        };
        self.spent = self.spent.saturating_add(usage.fuel);
        self.slot.usage.fuel = self.slot.usage.fuel.saturating_add(usage.fuel);
        self.slot.usage.memory = self.slot.usage.memory.max(usage.memory);
        self.slot.usage.log_dropped = self.slot.usage.log_dropped.saturating_add(usage.log_dropped);
        let outcome = match called {
            Ok(outcome) => outcome,
            Err(failure) => {
                self.is_too_much |= matches!(
                    failure.kind,
                    // An answer of too many alerts is malformed, too.
                    FailureKind::OutOfFuel | FailureKind::OutOfMemory | FailureKind::Malformed
                );
                return Ok(Err(failure));
            }
        };
        if let Err(failure) = quota.check(&self.slot.rule.state, &outcome.changes, usage) {
            return Ok(Err(failure));
        }
        let mut claims = Vec::with_capacity(outcome.alerts.len());
        for alert in outcome.alerts {
            match self.prove(alert, upto)? {
                Ok(claim) => claims.push(claim),
                Err(message) => {
                    return Ok(Err(Failure::new(FailureKind::Malformed, message, usage)));
                }
            }
        }
        self.advanced = true;
        self.largest = self.largest.max(batch.order.len());
        self.judged.claims.append(&mut claims);
        self.slot.log.extend(outcome.log);
        self.slot.rule.state.apply(&outcome.changes);
        let changes = match self.run().late {
            true => &mut self.changes,
            false => &mut self.slot.changes,
        };
        changes.merge(outcome.changes);
        Ok(Ok(()))
    }

    /// Finds out whether an alert may name the numbers that it names; if not, says why.
    ///
    /// A row of this run must be one that the rule was shown, by now. Of an earlier one it is known that it is of the rule's
    /// logs, that it had been read and that it was not still waiting for the marks; whether the rule's condition held for it is
    /// not asked again, because condition and parameters may have been others then.
    fn prove(&self, mut alert: RuleAlert, upto: usize) -> Result<Result<Claim, String>, StoreError> {
        if !alert.evidence.contains(&alert.raised_by) {
            alert.evidence.push(alert.raised_by);
        }
        alert.evidence.sort_unstable();
        alert.evidence.dedup();
        if alert.evidence.len() > MOST_EVIDENCE + 1 {
            return Ok(Err(format!(
                "an alert names {} rows; at most {MOST_EVIDENCE} prove anything",
                alert.evidence.len()
            )));
        }
        let never = |number: u64| {
            Ok(Err(format!(
                "an alert names row {number}, which the rule was never shown"
            )))
        };
        let (mut first, mut log, mut late) = (First::default(), None, false);
        let mut remembered: Vec<u64> = Vec::new();
        for number in &alert.evidence {
            let rows = self.run().numbered(*number);
            if rows.is_empty() {
                remembered.push(*number);
                continue;
            }
            let is_shown = |index: usize| index < upto && self.choice.find(index).is_some();
            let shown = rows
                .iter()
                .map(|(_, index)| *index as usize)
                .find(|index| is_shown(*index));
            let Some(row) = shown.and_then(|index| self.run().rows.get(index)) else {
                return never(*number);
            };
            let Some(event) = row.page.events().get(row.row as usize) else {
                return never(*number);
            };
            first.or((row.page.duo_log(), event.time, &event.id));
            if *number == alert.raised_by {
                log = Some(row.page.duo_log().clone());
                late |= row.late;
            }
        }
        if !remembered.is_empty() {
            let (read, released) = (self.run().to.seq, self.released(upto));
            let mut refused = None;
            self.showing.evidence.look(&remembered, |number, head| {
                let may_name = match head {
                    Some((log, time, _)) => number <= read && time <= released && self.reads(log),
                    // Damaged or forgotten in the store: the rest of the evidence still proves what it proves.
                    None => number <= read && number != alert.raised_by,
                };
                if !may_name {
                    refused = Some(number);
                } else if let Some(head) = head {
                    first.or(head);
                    if number == alert.raised_by {
                        log = Some(head.0.clone());
                    }
                }
                may_name
            })?;
            if let Some(number) = refused {
                return never(number);
            }
        }
        let Some(log) = log else {
            return never(alert.raised_by);
        };
        Ok(Ok(Claim {
            alert,
            first: first.0.map_or_else(Arc::default, |(_, _, id)| id),
            log,
            late,
        }))
    }

    /// The order time up to which rows had been released when the first `upto` rows of the run were, ms.
    fn released(&self, upto: usize) -> i64 {
        let last = upto.checked_sub(1).and_then(|last| self.run().rows.get(last));
        let last = last.map_or(i64::MIN, RowRef::time);
        last.max(self.run().from.released.time)
    }

    fn reads(&self, duo_log: &str) -> bool {
        let feeds_admin = matches!(duo_log, "activity" | "administrator");
        let mut sources = self.slot.rule.manifest.sources.iter();
        sources.any(|source| source.log == duo_log || (feeds_admin && source.log == "admin"))
    }
}

/// The first of some events, by time, log and id.
#[derive(Default)]
struct First(Option<(Arc<str>, i64, Arc<str>)>);

impl First {
    fn or(&mut self, (log, time, id): Head<'_>) {
        let is_first = self
            .0
            .as_ref()
            .is_none_or(|(first_log, first, first_id)| (time, log, id) < (*first, first_log, first_id));
        if is_first {
            self.0 = Some((log.clone(), time, id.clone()));
        }
    }
}
