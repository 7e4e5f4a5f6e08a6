//! Showing rows to one rule: one call if it succeeds, else halves, down to the row that fails alone.
//!
//! The flat budget makes a call fail for its size or for a row. Halving tells the two apart, and because released rows may be
//! cut anywhere, halves that succeed are as good as the whole. A single row is tried without the timers that are due around
//! it, so that a failing timer is not taken for a failing row.

use std::collections::BTreeMap;

use picket_contract::{Call, Failure, FailureKind, LogLine, Position, RuleAlert, StateChanges, Usage};
use picket_event::{Offer, RowRef, Selector};
use picket_store::{StoreError, StoredEvent};

use crate::evidence::Evidence;
use crate::queue;
use crate::quota::Quota;
use crate::reader::Run;
use crate::rule::{JudgedRule, OnPoison};

/// Rows that a rule may skip in one run before it is quarantined all the same: retries for one release are bounded.
const MOST_SKIPPED: usize = 16;
/// Rows one alert may name; more is a mistake of the rule.
const MOST_EVIDENCE: usize = 10_000;

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
    /// Quarantined since the last verdict.
    pub(crate) dirty: bool,
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

/// A rule could not go on.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) failure: Failure,
    /// The row that fails alone, if it is one.
    pub(crate) row: Option<RowRef>,
    pub(crate) position: Position,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) raised: Vec<Raised>,
    /// Rows that fail alone and were left out.
    pub(crate) skipped: Vec<(RowRef, Failure)>,
    pub(crate) stop: Option<Stop>,
}

/// Shows a run to a rule.
pub(crate) fn judge(
    index: usize,
    slot: &mut Slot,
    run: &Run<'_>,
    offer: &Offer<'_>,
    quota: Quota,
    evidence: &dyn Evidence,
) -> Result<Judged, StoreError> {
    let selection = slot.selector.select_from(offer, run.watermark);
    for (field, count) in &selection.unreadable {
        *slot.unreadable.entry(field.to_string()).or_default() += count;
    }
    if selection.picked.is_empty() && slot.rule.state.next_timer().is_none_or(|at| at > run.watermark) {
        return Ok(Judged::default());
    }
    // Only a failing late run is undone, and failing is rare: nothing is copied before the first failure.
    let mut caller = Caller {
        index,
        slot,
        run,
        quota,
        evidence,
        judged: Judged::default(),
        changes: StateChanges::default(),
    };
    let failure = match caller.call(&selection.batch)? {
        Ok(()) => None,
        Err(failure) if failure.kind == FailureKind::Host => Some(Stopped {
            failure,
            at: 0,
            row: None,
        }),
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
    };
    let Caller {
        mut judged, changes, ..
    } = caller;
    slot.changes.merge(changes);
    judged.stop = failure.map(|stopped| Stop {
        position: before(run, stopped.at),
        row: stopped.row,
        failure: stopped.failure,
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
    failure: Failure,
    /// Index in the run of the first row not shown.
    at: usize,
    row: Option<RowRef>,
}

struct Caller<'a> {
    index: usize,
    slot: &'a mut Slot,
    run: &'a Run<'a>,
    quota: Quota,
    evidence: &'a dyn Evidence,
    judged: Judged,
    changes: StateChanges,
}

impl Caller<'_> {
    /// Rows (indices in the run) whose call failed, in smaller calls.
    fn halve(&mut self, picked: &[u32], watermark: i64, failure: Failure) -> Result<Result<(), Stopped>, StoreError> {
        let Some((last, earlier)) = picked.split_last() else {
            // A timer fails. Everything in the run has been shown or was not for this rule.
            return Ok(Err(Stopped {
                failure,
                at: self.run.rows.len(),
                row: None,
            }));
        };
        if !earlier.is_empty() {
            let (first, second) = picked.split_at(picked.len() / 2);
            let cut = first
                .last()
                .and_then(|index| self.row(*index))
                .map_or(i64::MIN, |row| queue::time(row).saturating_sub(1));
            return match self.attempt(first, cut)? {
                Ok(()) => self.attempt(second, watermark),
                stopped => Ok(stopped),
            };
        }
        let at = *last as usize;
        let Some(row) = self.row(*last).cloned() else {
            return Ok(Ok(()));
        };
        let ahead = queue::time(&row).saturating_sub(1);
        if self.is_due(ahead)
            && let Err(failure) = self.show(&[], ahead)?
        {
            return Ok(Err(Stopped { failure, at, row: None }));
        }
        let alone = self.show(picked, ahead)?;
        if let Err(failure) = alone {
            if failure.kind == FailureKind::Host {
                return Ok(Err(Stopped { failure, at, row: None }));
            }
            if self.slot.rule.terms.on_poison == OnPoison::Quarantine || self.judged.skipped.len() >= MOST_SKIPPED {
                return Ok(Err(Stopped {
                    failure,
                    at,
                    row: Some(row),
                }));
            }
            self.judged.skipped.push((row, failure));
        }
        if self.is_due(watermark)
            && let Err(failure) = self.show(&[], watermark)?
        {
            return Ok(Err(Stopped {
                failure,
                at: at + 1,
                row: None,
            }));
        }
        Ok(Ok(()))
    }

    fn attempt(&mut self, picked: &[u32], watermark: i64) -> Result<Result<(), Stopped>, StoreError> {
        match self.show(picked, watermark)? {
            Ok(()) => Ok(Ok(())),
            Err(failure) if failure.kind == FailureKind::Host => {
                let at = picked.first().map_or(self.run.rows.len(), |index| *index as usize);
                Ok(Err(Stopped { failure, at, row: None }))
            }
            Err(failure) => self.halve(picked, watermark, failure),
        }
    }

    fn is_due(&self, watermark: i64) -> bool {
        self.slot.rule.state.next_timer().is_some_and(|at| at <= watermark)
    }

    fn row(&self, index: u32) -> Option<&RowRef> {
        self.run.rows.get(index as usize)
    }

    fn show(&mut self, picked: &[u32], watermark: i64) -> Result<Result<(), Failure>, StoreError> {
        let rows: Vec<RowRef> = picked.iter().filter_map(|index| self.row(*index).cloned()).collect();
        let selection = self.slot.selector.select(&rows, watermark);
        self.call(&selection.batch)
    }

    /// One call. If it succeeds its changes are applied.
    fn call(&mut self, batch: &picket_contract::Batch) -> Result<Result<(), Failure>, StoreError> {
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
        self.slot.usage.fuel = self.slot.usage.fuel.saturating_add(usage.fuel);
        self.slot.usage.memory = self.slot.usage.memory.max(usage.memory);
        self.slot.usage.log_dropped = self.slot.usage.log_dropped.saturating_add(usage.log_dropped);
        let outcome = match called {
            Ok(outcome) => outcome,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Err(failure) = self.quota.check(&self.slot.rule.state, &outcome.changes, usage) {
            return Ok(Err(failure));
        }
        let mut raised = Vec::with_capacity(outcome.alerts.len());
        for alert in outcome.alerts {
            match self.prove(alert)? {
                Ok(alert) => raised.push(alert),
                Err(message) => {
                    return Ok(Err(Failure::new(FailureKind::Malformed, message, usage)));
                }
            }
        }
        self.judged.raised.append(&mut raised);
        self.slot.log.extend(outcome.log);
        self.slot.rule.state.apply(&outcome.changes);
        self.changes.merge(outcome.changes);
        Ok(Ok(()))
    }

    /// Turns the numbers that an alert names into events, or says why it may not name them.
    fn prove(&self, mut alert: RuleAlert) -> Result<Result<Raised, String>, StoreError> {
        if !alert.evidence.contains(&alert.raised_by) {
            alert.evidence.push(alert.raised_by);
        }
        alert.evidence.sort_unstable();
        alert.evidence.dedup();
        if alert.evidence.len() > MOST_EVIDENCE {
            return Ok(Err(format!(
                "an alert names {} rows; at most {MOST_EVIDENCE} prove anything",
                alert.evidence.len()
            )));
        }
        let mut events: Vec<Option<StoredEvent>> = alert.evidence.iter().map(|number| self.shown(*number)).collect();
        let remembered: Vec<u64> = alert
            .evidence
            .iter()
            .zip(&events)
            .filter(|(_, event)| event.is_none())
            .map(|(number, _)| *number)
            .collect();
        if !remembered.is_empty() {
            let mut found = self.evidence.find(&remembered)?.into_iter();
            for event in events.iter_mut().filter(|event| event.is_none()) {
                *event = found.next().flatten();
            }
        }
        let mut evidence = Vec::with_capacity(events.len());
        for (number, event) in alert.evidence.iter().zip(events) {
            match event {
                Some(event) if *number <= self.run.to.seq && self.reads(&event.log) => evidence.push(event),
                // Damaged in the store, which has said so: the rest of the evidence still proves what it proves.
                None if *number <= self.run.to.seq && *number != alert.raised_by => {}
                _ => {
                    return Ok(Err(format!(
                        "an alert names row {number}, which the rule was never shown"
                    )));
                }
            }
        }
        evidence.sort_by(|a, b| (a.event.time, &a.log, &a.event.id).cmp(&(b.event.time, &b.log, &b.event.id)));
        let late = self.run.rows.iter().any(|row| row.late && row.seq == alert.raised_by);
        Ok(Ok(Raised {
            rule: self.index,
            alert,
            evidence,
            late,
            historic: false,
        }))
    }

    /// A row of this run.
    fn shown(&self, number: u64) -> Option<StoredEvent> {
        let row = self.run.rows.iter().find(|row| row.seq == number)?;
        let event = row.page.events().get(row.row as usize)?.clone();
        Some(StoredEvent {
            seq: number,
            log: row.page.duo_log().clone(),
            event,
        })
    }

    fn reads(&self, duo_log: &str) -> bool {
        let feeds_admin = matches!(duo_log, "activity" | "administrator");
        let mut sources = self.slot.rule.manifest.sources.iter();
        sources.any(|source| source.log == duo_log || (feeds_admin && source.log == "admin"))
    }
}
