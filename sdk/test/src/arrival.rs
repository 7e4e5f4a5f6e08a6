//! The orders in which one case's events may arrive: every one of them must raise the same alerts.

use std::collections::BTreeSet;

use picket_contract::{Admission, EventRecord, Mark, RuleManifest};
use picket_event::identify;

use crate::cases::{Case, CaseEvent};

/// How a case is delivered and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Each event as it happens.
    AsWritten,
    /// Everything that is not late at once.
    OneBatch,
    /// Everything that is not late at once, and the rule is called once for each row.
    OneRowACall,
    /// One log after the other, the last first, each backwards.
    LogsApart,
    /// Each event as it happens, and the daemon restarted after each.
    Restarted,
}

impl Arrival {
    /// All of them.
    pub const ALL: [Arrival; 5] = [
        Arrival::AsWritten,
        Arrival::OneBatch,
        Arrival::OneRowACall,
        Arrival::LogsApart,
        Arrival::Restarted,
    ];

    /// In words, for reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Arrival::AsWritten => "as written",
            Arrival::OneBatch => "all in one batch",
            Arrival::OneRowACall => "one row a call",
            Arrival::LogsApart => "the logs one after the other, backwards",
            Arrival::Restarted => "restarted after every event",
        }
    }
}

/// How long after the last event the logs are complete, ms: timers run on so far.
const AFTERWARDS: i64 = 86_400_000;

/// The journal of a case, in the order of `arrival`.
///
/// # Errors
/// An event that cannot be placed.
pub fn journal(case: &Case, rule: &RuleManifest, arrival: Arrival) -> Result<Vec<Admission>, String> {
    let (late, mut on_time): (Vec<&CaseEvent>, Vec<&CaseEvent>) = case.events.iter().partition(|event| event.late);
    on_time.sort_by_key(|event| event.time);
    let logs = logs(case, rule);
    let end = case
        .events
        .iter()
        .map(|event| event.time)
        .max()
        .unwrap_or(crate::time::DAY_ZERO)
        + AFTERWARDS;

    let mut builder = Builder {
        next: 1,
        admissions: Vec::new(),
    };
    let feed = if logs.contains("administrator") && !logs.contains("activity") {
        "administrator"
    } else {
        "activity"
    };
    builder.push(
        feed,
        &[],
        vec![Mark::Feed {
            logical: "admin".into(),
            log: feed.into(),
            from: i64::MIN,
        }],
    )?;
    match arrival {
        Arrival::AsWritten | Arrival::Restarted => {
            for event in on_time {
                builder.push(&event.log, &[event], complete(&logs, event.time - 1))?;
            }
        }
        Arrival::OneBatch | Arrival::OneRowACall => {
            for log in &logs {
                let events: Vec<&CaseEvent> = on_time.iter().copied().filter(|event| event.log == *log).collect();
                builder.push(log, &events, Vec::new())?;
            }
        }
        Arrival::LogsApart => {
            for log in logs.iter().rev() {
                for event in on_time.iter().rev().filter(|event| event.log == *log) {
                    builder.push(log, &[event], Vec::new())?;
                }
            }
        }
    }
    builder.push(feed, &[], complete(&logs, end))?;
    for event in late {
        builder.push(&event.log, &[event], Vec::new())?;
    }
    Ok(builder.admissions)
}

/// Duo's own logs that the case or the rule speaks of.
fn logs(case: &Case, rule: &RuleManifest) -> BTreeSet<String> {
    let mut logs: BTreeSet<String> = case.events.iter().map(|event| event.log.clone()).collect();
    logs.extend(rule.logs().into_iter().filter(|log| *log != "admin").map(str::to_owned));
    if !logs.contains("administrator") {
        logs.insert("activity".to_owned());
    }
    logs
}

fn complete(logs: &BTreeSet<String>, to: i64) -> Vec<Mark> {
    logs.iter()
        .map(|log| Mark::Complete {
            log: log.as_str().into(),
            to,
        })
        .collect()
}

struct Builder {
    next: u64,
    admissions: Vec<Admission>,
}

impl Builder {
    fn push(&mut self, log: &str, events: &[&CaseEvent], marks: Vec<Mark>) -> Result<(), String> {
        if events.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let record = |event: &&CaseEvent| {
            let identity = identify(log, &event.raw).map_err(|problem| format!("{log}: {problem}"))?;
            Ok(EventRecord {
                id: identity.id,
                time: identity.time,
                raw: event.raw.as_str().into(),
            })
        };
        let events = events.iter().map(record).collect::<Result<Vec<_>, String>>()?;
        let admission = Admission {
            first_seq: self.next,
            log: log.into(),
            events,
            marks,
        };
        self.next = admission.last_seq() + 1;
        self.admissions.push(admission);
        Ok(())
    }
}
