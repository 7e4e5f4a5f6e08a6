//! The same judging over rows from files: `picket replay`, timed cases and the bench.
//!
//! Rows are identified, sorted by order time and cut into journal entries, each of one log, whose marks say that every log is
//! complete up to there: as if Duo had been polled without a gap. So a replay is an ordinary reading of a journal made up from
//! files. Entries are released as they come, but rows stay in memory: an alert may name any of them as evidence.

use std::sync::Arc;

use picket_contract::{Admission, EventRecord, Mark};
use picket_event::identify;
use picket_store::{AlertRow, Repeat};
use rustc_hash::FxHashSet;

use crate::acquaintance::Acquaintance;
use crate::dedup::Dedup;
use crate::judge::TenantJudge;
use crate::rule::{JudgedRule, Tenant};
use crate::verdict::{JudgeError, Settings, Trouble};

/// Rows of one of Duo's logs.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Duo's own log.
    pub log: Arc<str>,
    /// As received, in any order.
    pub rows: Vec<Arc<str>>,
}

/// A row that cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{log}, row {number}: {why}")]
pub struct BadRow {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Which of the log's rows, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Why a replay ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A row cannot be placed.
    #[error(transparent)]
    Row(#[from] BadRow),
    /// The rules cannot be judged.
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// In the order raised, repeats counted in.
    pub alerts: Vec<AlertRow>,
    /// Rules that failed.
    pub troubles: Vec<Trouble>,
    /// How many rows were read, doubles left out.
    pub events: u64,
}

/// Rows of one journal entry at most.
const PAGE: usize = 1000;
/// Journal entries fed at once.
const AT_ONCE: usize = 8;

/// Journal entries of these rows, numbered from 1. Logs that are not given are closed.
///
/// # Errors
/// [`BadRow`]: the first that cannot be placed.
pub fn admissions(logs: &[Rows]) -> Result<Vec<Admission>, BadRow> {
    let mut events: Vec<(i64, usize, EventRecord)> = Vec::with_capacity(logs.iter().map(|rows| rows.rows.len()).sum());
    for (index, Rows { log, rows }) in logs.iter().enumerate() {
        for (number, raw) in rows.iter().enumerate() {
            let bad = |why: String| BadRow {
                log: log.clone(),
                number: number + 1,
                why,
            };
            let identity = identify(log, raw).map_err(|problem| bad(problem.to_string()))?;
            events.push((
                identity.time,
                index,
                EventRecord {
                    id: identity.id,
                    time: identity.time,
                    raw: raw.clone(),
                },
            ));
        }
    }
    if !events.is_sorted_by_key(|(time, _, _)| *time) {
        events.sort_by_key(|(time, _, _)| *time);
    }
    let mut known: FxHashSet<(usize, Arc<str>)> = FxHashSet::default();
    events.retain(|(_, log, event)| known.insert((*log, event.id.clone())));

    let has = |name: &str| logs.iter().any(|rows| *rows.log == *name);
    let feed = if has("activity") { "activity" } else { "administrator" };
    let mut opening = vec![Mark::Feed {
        logical: "admin".into(),
        log: feed.into(),
        from: i64::MIN,
    }];
    let absent = picket_event::logs().filter(|log| !has(log));
    opening.extend(absent.map(|log| Mark::Closed { log: log.into() }));
    let mut admissions = vec![Admission {
        first_seq: 1,
        log: feed.into(),
        events: Vec::new(),
        marks: opening,
    }];

    let mut rest = events.into_iter().peekable();
    let mut next = 2;
    while rest.peek().is_some() {
        // One stretch of time, as one entry for each log in it; only the last of them moves the marks.
        let stretch: Vec<(i64, usize, EventRecord)> = rest.by_ref().take(PAGE).collect();
        // Beyond the last row nothing is known: timers set for later do not fire.
        let upto = rest
            .peek()
            .map(|(time, _, _)| time.saturating_sub(1))
            .or(stretch.last().map(|(time, _, _)| *time));
        let mut by_log: Vec<Vec<EventRecord>> = logs.iter().map(|_| Vec::new()).collect();
        for (_, log, event) in stretch {
            if let Some(of_log) = by_log.get_mut(log) {
                of_log.push(event);
            }
        }
        for (rows, events) in logs.iter().zip(by_log).filter(|(_, events)| !events.is_empty()) {
            let count = events.len() as u64;
            admissions.push(Admission {
                first_seq: next,
                log: rows.log.clone(),
                events,
                marks: Vec::new(),
            });
            next += count;
        }
        if let Some(last) = admissions
            .last_mut()
            .filter(|last| last.first_seq > 1 && !last.events.is_empty())
        {
            last.marks = logs
                .iter()
                .map(|rows| Mark::Complete {
                    log: rows.log.clone(),
                    to: upto.unwrap_or(i64::MIN),
                })
                .collect();
            next += 1;
        }
    }
    Ok(admissions)
}

/// Judges journal entries from the beginning. `now` is what alerts give as the time they were raised, wall clock, ms.
///
/// # Errors
/// [`JudgeError`].
pub fn judge(
    tenant: Arc<Tenant>,
    settings: Settings,
    rules: Vec<JudgedRule>,
    admissions: &[Admission],
    now: i64,
) -> Result<Replayed, JudgeError> {
    let known = Acquaintance::default();
    let mut judge = TenantJudge::new(tenant, settings, 0, rules, Dedup::default(), known, &admissions)?;
    let mut replayed = Replayed::default();
    let mut after = 0;
    for some in admissions.chunks(AT_ONCE) {
        let verdict = judge.feed(after, some, &admissions, now)?;
        after = some.last().map_or(after, Admission::last_seq);
        replayed.events += some.iter().map(|admission| admission.events.len() as u64).sum::<u64>();
        replayed.alerts.extend(verdict.alerts);
        replayed.troubles.extend(verdict.troubles);
        count(&mut replayed.alerts, verdict.repeats);
    }
    Ok(replayed)
}

/// Rows from files to alerts.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    tenant: Arc<Tenant>,
    settings: Settings,
    rules: Vec<JudgedRule>,
    logs: &[Rows],
    now: i64,
) -> Result<Replayed, ReplayError> {
    let admissions = admissions(logs)?;
    Ok(judge(tenant, settings, rules, &admissions, now)?)
}

fn count(alerts: &mut [AlertRow], repeats: Vec<Repeat>) {
    for repeat in repeats {
        if let Some(alert) = alerts.iter_mut().find(|alert| alert.id == repeat.id) {
            alert.repeats += repeat.count;
            alert.last_repeat = alert.last_repeat.max(Some(repeat.time));
        }
    }
}
