//! The reader once more, written to be obviously right: one rule, one row a call, everything sorted anew each time.
//!
//! It is the oracle of the property tests and is used for nothing else. What it shares with the judge is what it cannot be
//! the oracle of: selection of rows and the meaning of a single call. What it does on its own: which rows are late, when rows
//! are released and in which order, what a watermark is, what a failing row costs, what is a repeat.

use std::sync::Arc;

use picket_contract::{Admission, Call, EventRecord, Key, Mark, Position, RuleAlert, RuleState};
use picket_event::{Page, Plan, RowRef, Selector};

use crate::rule::JudgedRule;

/// One rule reading a journal by itself.
#[derive(Debug)]
pub struct Reference {
    rule: JudgedRule,
    state: RuleState,
    plan: Plan,
    rows: Vec<Row>,
    marks: Vec<Mark>,
    watermark: i64,
    /// Alerts, in the order raised, dedup not applied.
    pub alerts: Vec<RuleAlert>,
    /// The row it stopped at, and why.
    pub stopped: Option<(Option<Arc<str>>, String)>,
}

#[derive(Debug)]
struct Row {
    number: u64,
    key: Key,
    duo_log: Arc<str>,
    event: EventRecord,
    shown: bool,
}

impl Reference {
    /// A rule that has read nothing.
    #[must_use]
    pub fn new(rule: JudgedRule) -> Self {
        let plan = Plan::new(&rule.manifest.sources);
        Reference {
            state: rule.state.state().cloned().unwrap_or_default(),
            rule,
            plan,
            rows: Vec::new(),
            marks: Vec::new(),
            watermark: i64::MIN,
            alerts: Vec::new(),
            stopped: None,
        }
    }

    /// What the rule remembers.
    #[must_use]
    pub fn state(&self) -> &RuleState {
        &self.state
    }

    /// How far it has come.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.rule.position
    }

    /// Reads one journal entry.
    pub fn feed(&mut self, admission: &Admission) {
        if self.stopped.is_some() {
            return;
        }
        let before = (self.rule.position.clone(), self.state.clone(), self.alerts.len());
        for (number, event) in (admission.first_seq..).zip(&admission.events) {
            for log in self.rule.logs() {
                // Rows of both feeds of `admin` wait until one of them counts.
                let is_feed = &*log == "admin" && ["activity", "administrator"].contains(&&*admission.log);
                if log == admission.log || is_feed {
                    let key = Key {
                        time: event.time,
                        log,
                        id: event.id.clone(),
                    };
                    let (event, duo_log) = (event.clone(), admission.log.clone());
                    self.rows.push(Row {
                        number,
                        key,
                        duo_log,
                        event,
                        shown: false,
                    });
                }
            }
        }
        let released = self.rule.position.released.clone();
        let late = self.due(|row| row.key <= released);
        self.show(&late, self.watermark, true);
        if self.stopped.is_some() {
            // Which of the late rows were shown cannot be remembered, so none was.
            (self.rule.position, self.state) = (before.0, before.1);
            self.alerts.truncate(before.2);
            return;
        }
        self.rule.position.seq = admission.last_seq();
        for mark in &admission.marks {
            self.marks.push(mark.clone());
            let Some(watermark) = self.complete_to().filter(|watermark| *watermark > self.watermark) else {
                continue;
            };
            self.watermark = watermark;
            let due = self.due(|row| row.key.time <= watermark);
            self.show(&due, watermark, false);
            if self.stopped.is_some() {
                return;
            }
            self.rule.position.released = Key::end_of(watermark);
        }
    }

    /// Indices of rows not yet shown, in release order.
    fn due(&self, holds: impl Fn(&Row) -> bool) -> Vec<usize> {
        let mut due: Vec<(&Key, usize)> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            if !row.shown && holds(row) {
                due.push((&row.key, index));
            }
        }
        due.sort();
        due.into_iter().map(|(_, index)| index).collect()
    }

    fn show(&mut self, due: &[usize], watermark: i64, late: bool) {
        for index in due {
            let Some(row) = self.rows.get_mut(*index) else { continue };
            row.shown = true;
            let key = &row.key;
            if &*key.log == "admin" && feed_at(&self.marks, key) != Some(row.duo_log.clone()) {
                continue;
            }
            let page: Page = self
                .plan
                .parse(&row.key.log, &row.duo_log, std::slice::from_ref(&row.event));
            let mut row_ref = RowRef::new(Arc::new(page), 0, row.number);
            row_ref.late = late;
            let (key, id) = (row.key.clone(), row.event.id.clone());
            let before = key.time.saturating_sub(1);
            if row_ref.page.broken(0) {
                continue;
            }
            if let Err(why) = self.call(&[row_ref], before) {
                self.stopped = Some((Some(id), why));
                return;
            }
            if !late {
                self.rule.position.released = key;
            }
        }
        if let Err(why) = self.call(&[], watermark) {
            self.stopped = Some((None, why));
        }
    }

    fn call(&mut self, rows: &[RowRef], watermark: i64) -> Result<(), String> {
        let rule = &self.rule;
        let selector = Selector::new(&rule.manifest, &rule.params, &self.plan).map_err(|error| error.to_string())?;
        let selection = selector.select(rows, watermark);
        if selection.batch.rows() == 0 && self.state.next_timer().is_none_or(|at| at > watermark) {
            return Ok(());
        }
        let outcome = rule.evaluator.evaluate(Call {
            rule: &rule.manifest.id,
            batch: &selection.batch,
            state: &self.state,
            params: &rule.params,
            tables: &rule.tables,
        });
        let outcome = outcome.map_err(|failure| failure.to_string())?;
        self.state.apply(&outcome.changes);
        self.alerts.extend(outcome.alerts);
        Ok(())
    }

    /// Duo's log that feeds a log as the rule names it.
    fn fed_by(&self, named: &Arc<str>) -> Option<Arc<str>> {
        let fed = self.marks.iter().rev().find_map(|mark| match mark {
            Mark::Feed { logical, log, .. } if logical == named => Some(log.clone()),
            _ => None,
        });
        fed.or_else(|| (&**named != "admin").then(|| named.clone()))
    }

    fn complete_to(&self) -> Option<i64> {
        let mut open = Vec::new();
        let mut closed = Vec::new();
        for named in self.rule.logs() {
            let log = self.fed_by(&named);
            let (mut complete, mut live, mut stalled) = (None, None, None);
            let mut is_closed = false;
            for mark in self.marks.iter().filter(|mark| log_of(mark) == log.as_ref()) {
                match mark {
                    Mark::Complete { to, .. } => complete = complete.max(Some(*to)),
                    Mark::Live { to, .. } => live = live.max(Some(*to)),
                    Mark::Stalled { to, .. } => stalled = stalled.max(Some(*to)),
                    Mark::Closed { .. } => is_closed = true,
                    Mark::Open { .. } => is_closed = false,
                    Mark::Feed { .. } | Mark::Generation { .. } | Mark::Takeover { .. } => {}
                }
            }
            let reads_history = live > complete;
            let to = if !self.rule.manifest.keeps_state() {
                complete.max(live).max(stalled)
            } else if reads_history {
                complete
            } else {
                complete.max(stalled)
            };
            if is_closed { closed.push(to) } else { open.push(to) }
        }
        if open.is_empty() {
            closed.into_iter().flatten().max()
        } else {
            open.into_iter().min().flatten()
        }
    }
}

fn log_of(mark: &Mark) -> Option<&Arc<str>> {
    match mark {
        Mark::Complete { log, .. }
        | Mark::Live { log, .. }
        | Mark::Stalled { log, .. }
        | Mark::Closed { log }
        | Mark::Open { log } => Some(log),
        Mark::Feed { .. } | Mark::Generation { .. } | Mark::Takeover { .. } => None,
    }
}

/// Duo's log whose rows of this key's time are the logical log's: by the last mark that speaks of that time.
fn feed_at(marks: &[Mark], key: &Key) -> Option<Arc<str>> {
    marks.iter().rev().find_map(|mark| match mark {
        Mark::Feed { logical, log, from } if *logical == key.log && *from < key.time => Some(log.clone()),
        _ => None,
    })
}
