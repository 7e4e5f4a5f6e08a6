//! Showing rows to one rule: one call if it succeeds, else halves, down to the row that fails alone.
//!
//! The flat budget makes a call fail for its size or for a row. Halving tells the two apart, and because released rows may be
//! cut anywhere, halves that succeed are as good as the whole. A single row is tried without the timers that are due around
//! it, so that a failing timer is not taken for a failing row.
//!
//! A rule that is being probed is shown the row that stopped it alone, before anything else: a probe that fails costs a call
//! or two, not the halving of a thousand rows. A rule that has burnt its share for once stands back at a row's edge
//! ([`Halt::Enough`]) and is resumed later: nothing is lost by it, since a position may be anywhere.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use picket_contract::{Call, FailedRow, Failure, FailureKind, LogLine, Position, RuleAlert, StateChanges, Usage};
use picket_event::{Offer, RowRef, Selector};
use picket_store::{Gap, StoreError, StoredEvent};

use crate::desk::named;
use crate::evidence::Evidence;
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
    /// How many rows at once are known to be within its budget, since more were not.
    pub(crate) fits: usize,
    /// What it has missed, and nobody has been told yet.
    pub(crate) missed: Vec<Gap>,
}

/// An alert with the events it names.
#[derive(Debug, Clone)]
pub(crate) struct Raised {
    /// Index of the rule.
    pub(crate) rule: usize,
    pub(crate) alert: RuleAlert,
    /// By time.
    pub(crate) evidence: Vec<StoredEvent>,
    /// The row that raised it came late.
    pub(crate) late: bool,
    /// Raised while looking back.
    pub(crate) historic: bool,
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
    pub(crate) raised: Vec<Raised>,
    /// Rows that fail alone and were left out.
    pub(crate) skipped: Vec<(FailedRow, Failure)>,
    pub(crate) stop: Option<Stop>,
}

/// Shows a run to a rule. Past `at_once` fuel it is stopped at the next edge.
pub(crate) fn judge(
    index: usize,
    slot: &mut Slot,
    run: &Run<'_>,
    offer: &Offer<'_>,
    quota: Quota,
    at_once: u64,
    evidence: &dyn Evidence,
) -> Result<Judged, StoreError> {
    let selection = slot.selector.select_from(offer, run.watermark);
    for (field, count) in &selection.unreadable {
        *slot.unreadable.entry(field.to_string()).or_default() += count;
    }
    if selection.picked.is_empty() && slot.rule.state.next_timer().is_none_or(|at| at > run.watermark) {
        return Ok(Judged::default());
    }
    let is_probe = slot.rule.standing.quarantine.is_some();
    let fits = slot.fits;
    // Only a failing late run is undone, and failing is rare: nothing is copied before the first failure.
    let mut caller = Caller {
        index,
        slot,
        run,
        quota,
        picked: &selection.picked,
        at_once,
        spent: 0,
        advanced: false,
        largest: 0,
        is_too_much: false,
        numbers: OnceCell::new(),
        evidence,
        judged: Judged::default(),
        changes: StateChanges::default(),
    };
    let stopped = match selection.picked.split_first() {
        // Late rows are all or nothing: which of them stopped it comes out by halving.
        Some((first, others)) if is_probe && !run.late && !others.is_empty() => {
            caller.probe(*first, others, run.watermark)?.err()
        }
        Some(_) if !run.late && fits < selection.picked.len() => caller.in_pieces(fits, run.watermark)?.err(),
        _ => match caller.call(&selection.batch, run.rows.len())? {
            Ok(()) => None,
            Err(failure) if failure.kind == FailureKind::Host => Some(Stopped::failed(failure, 0)),
            Err(failure) => {
                let before = run.late.then(|| caller.slot.rule.state.clone());
                let stopped = caller.halve(&selection.picked, run.watermark, failure)?.err();
                if let (Some(_), Some(state)) = (&stopped, before) {
                    caller.slot.rule.state = state;
                    caller.changes = StateChanges::default();
                    caller.judged.raised.clear();
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
    } else if stopped.is_none() && slot.fits < selection.picked.len() {
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
    index: usize,
    slot: &'a mut Slot,
    run: &'a Run<'a>,
    quota: Quota,
    /// Rows of the run that are for this rule.
    picked: &'a [u32],
    at_once: u64,
    /// Fuel burnt in this run.
    spent: u64,
    /// A call of this run has succeeded: stopping here is not where it began.
    advanced: bool,
    /// Rows of the largest call that succeeded.
    largest: usize,
    /// A call failed for what it cost.
    is_too_much: bool,
    /// Journal numbers of the run's rows, sorted, with the row's index.
    numbers: OnceCell<Vec<(u64, u32)>>,
    evidence: &'a dyn Evidence,
    judged: Judged,
    changes: StateChanges,
}

impl Caller<'_> {
    /// The row that stopped the rule alone; if that succeeds, the others as ever.
    fn probe(&mut self, first: u32, others: &[u32], watermark: i64) -> Step {
        match self.alone(first, self.just_before(first))? {
            Ok(()) => self.attempt(others, watermark),
            stopped => Ok(stopped),
        }
    }

    /// All rows, so many at once: what was too much for the rule lately is not tried again at once.
    fn in_pieces(&mut self, rows: usize, watermark: i64) -> Step {
        let mut pieces = self.picked.chunks(rows.max(1)).peekable();
        while let Some(piece) = pieces.next() {
            let ends = match (pieces.peek(), piece.last()) {
                (Some(_), Some(last)) => self.just_before(*last),
                _ => watermark,
            };
            if let Err(stopped) = self.attempt(piece, ends)? {
                return Ok(Err(stopped));
            }
        }
        Ok(Ok(()))
    }

    /// Rows (indices in the run) whose call failed, in smaller calls.
    fn halve(&mut self, picked: &[u32], watermark: i64, failure: Failure) -> Step {
        let Some((last, earlier)) = picked.split_last() else {
            // A timer fails. Everything in the run has been shown or was not for this rule.
            return Ok(Err(Stopped::failed(failure, self.run.rows.len())));
        };
        if earlier.is_empty() {
            return self.alone(*last, watermark);
        }
        let (first, second) = picked.split_at(picked.len() / 2);
        let cut = first.last().map_or(i64::MIN, |index| self.just_before(*index));
        match self.attempt(first, cut)? {
            Ok(()) => self.attempt(second, watermark),
            stopped => Ok(stopped),
        }
    }

    /// One row, apart from the timers around it.
    fn alone(&mut self, index: u32, watermark: i64) -> Step {
        let at = index as usize;
        let Some(row) = self.row(index) else {
            return Ok(Ok(()));
        };
        let ahead = queue::time(row).saturating_sub(1);
        if self.is_due(ahead)
            && let Err(failure) = self.show(&[], ahead, at)?
        {
            return Ok(Err(Stopped::failed(failure, at)));
        }
        if let Err(failure) = self.show(&[index], ahead, at + 1)? {
            if failure.kind == FailureKind::Host {
                return Ok(Err(Stopped::failed(failure, at)));
            }
            let named = self.named(index);
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
            && let Err(failure) = self.show(&[], watermark, at + 1)?
        {
            return Ok(Err(Stopped::failed(failure, at + 1)));
        }
        Ok(Ok(()))
    }

    fn attempt(&mut self, picked: &[u32], watermark: i64) -> Step {
        let at = picked.first().map_or(self.run.rows.len(), |index| *index as usize);
        // Late rows cannot be left half-way.
        if self.spent >= self.at_once && self.advanced && !self.run.late {
            return Ok(Err(Stopped {
                halt: Halt::Enough,
                at,
                row: None,
            }));
        }
        let upto = picked.last().map_or(self.run.rows.len(), |index| *index as usize + 1);
        match self.show(picked, watermark, upto)? {
            Ok(()) => Ok(Ok(())),
            Err(failure) if failure.kind == FailureKind::Host => Ok(Err(Stopped::failed(failure, at))),
            Err(failure) => self.halve(picked, watermark, failure),
        }
    }

    fn is_due(&self, watermark: i64) -> bool {
        self.slot.rule.state.next_timer().is_some_and(|at| at <= watermark)
    }

    fn row(&self, index: u32) -> Option<&RowRef> {
        self.run.rows.get(index as usize)
    }

    /// A call that ends with this row may assume no more than this: rows of its own time may follow.
    fn just_before(&self, index: u32) -> i64 {
        let row = self.row(index);
        row.map_or(i64::MIN, |row| queue::time(row).saturating_sub(1))
    }

    fn named(&self, index: u32) -> Option<FailedRow> {
        let number = self.picked.iter().position(|picked| *picked == index)? + 1;
        named(self.row(index)?, number, self.picked.len())
    }

    fn show(&mut self, picked: &[u32], watermark: i64, upto: usize) -> Result<Result<(), Failure>, StoreError> {
        let rows: Vec<RowRef> = picked.iter().filter_map(|index| self.row(*index).cloned()).collect();
        let selection = self.slot.selector.select(&rows, watermark);
        self.call(&selection.batch, upto)
    }

    /// One call. If it succeeds its changes are applied. `upto`: index in the run of the first row that the rule has not been
    /// shown when the call is over.
    fn call(&mut self, batch: &picket_contract::Batch, upto: usize) -> Result<Result<(), Failure>, StoreError> {
        let rule = &mut self.slot.rule;
        let called = rule.evaluator.evaluate(Call {
            rule: &rule.manifest.id,
            batch,
            state: rule.state.take_up()?,
            params: &rule.params,
            tables: &rule.tables,
        });
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
                self.is_too_much |= matches!(failure.kind, FailureKind::OutOfFuel | FailureKind::OutOfMemory);
                return Ok(Err(failure));
            }
        };
        if let Err(failure) = self.quota.check(&self.slot.rule.state, &outcome.changes, usage) {
            return Ok(Err(failure));
        }
        let mut raised = Vec::with_capacity(outcome.alerts.len());
        for alert in outcome.alerts {
            match self.prove(alert, upto)? {
                Ok(alert) => raised.push(alert),
                Err(message) => {
                    return Ok(Err(Failure::new(FailureKind::Malformed, message, usage)));
                }
            }
        }
        self.advanced = true;
        self.largest = self.largest.max(batch.order.len());
        self.judged.raised.append(&mut raised);
        self.slot.log.extend(outcome.log);
        self.slot.rule.state.apply(&outcome.changes);
        self.changes.merge(outcome.changes);
        Ok(Ok(()))
    }

    /// Turns the numbers that an alert names into events, or says why it may not name them.
    ///
    /// A row of this run must be one that the rule was shown, by now. Of an earlier one it is known that it is of the rule's
    /// logs, that it had been read and that it was not still waiting for the marks; whether the rule's condition held for it is
    /// not asked again, because condition and parameters may have been others then.
    fn prove(&self, mut alert: RuleAlert, upto: usize) -> Result<Result<Raised, String>, StoreError> {
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
        let mut late = false;
        let mut events: Vec<Option<StoredEvent>> = Vec::with_capacity(alert.evidence.len());
        let mut remembered: Vec<u64> = Vec::new();
        for number in &alert.evidence {
            let rows = self.in_run(*number);
            if rows.is_empty() {
                events.push(None);
                remembered.push(*number);
                continue;
            }
            let is_shown = |index: u32| (index as usize) < upto && self.picked.binary_search(&index).is_ok();
            let shown = rows.iter().map(|(_, index)| *index).find(|index| is_shown(*index));
            let Some(row) = shown.and_then(|index| self.row(index)) else {
                return never(*number);
            };
            late |= row.late && *number == alert.raised_by;
            events.push(row.page.events().get(row.row as usize).map(|event| StoredEvent {
                seq: *number,
                log: row.page.duo_log().clone(),
                event: event.clone(),
            }));
        }
        let released = self.released(upto);
        if !remembered.is_empty() {
            let found = self.evidence.find(&remembered)?;
            let mut found = remembered.iter().zip(found);
            for event in events.iter_mut().filter(|event| event.is_none()) {
                let Some((number, known)) = found.next() else { break };
                let may_name = match &known {
                    Some(known) => *number <= self.run.to.seq && known.event.time <= released && self.reads(&known.log),
                    // Damaged or forgotten in the store: the rest of the evidence still proves what it proves.
                    None => *number <= self.run.to.seq && *number != alert.raised_by,
                };
                if !may_name {
                    return never(*number);
                }
                *event = known;
            }
        }
        let mut evidence: Vec<StoredEvent> = events.into_iter().flatten().collect();
        evidence.sort_by(|a, b| (a.event.time, &a.log, &a.event.id).cmp(&(b.event.time, &b.log, &b.event.id)));
        Ok(Ok(Raised {
            rule: self.index,
            alert,
            evidence,
            late,
            historic: false,
        }))
    }

    /// The rows of this run with this journal number: two where the rule reads `admin` and the log that feeds it.
    fn in_run(&self, number: u64) -> &[(u64, u32)] {
        let numbers = self.numbers.get_or_init(|| {
            let mut numbers: Vec<(u64, u32)> = (0..).zip(self.run.rows).map(|(index, row)| (row.seq, index)).collect();
            numbers.sort_unstable();
            numbers
        });
        let from = numbers.partition_point(|(seq, _)| *seq < number);
        let to = numbers.partition_point(|(seq, _)| *seq <= number);
        numbers.get(from..to).unwrap_or_default()
    }

    /// The order time up to which rows had been released when the first `upto` rows of the run were, ms.
    fn released(&self, upto: usize) -> i64 {
        let last = upto.checked_sub(1).and_then(|last| self.run.rows.get(last));
        let last = last.map_or(i64::MIN, queue::time);
        last.max(self.run.from.released.time)
    }

    fn reads(&self, duo_log: &str) -> bool {
        let feeds_admin = matches!(duo_log, "activity" | "administrator");
        let mut sources = self.slot.rule.manifest.sources.iter();
        sources.any(|source| source.log == duo_log || (feeds_admin && source.log == "admin"))
    }
}
