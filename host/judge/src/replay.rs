//! The same judging over rows from files: `picket replay`, timed cases and the bench.
//!
//! Rows are identified, sorted by order time and cut into journal entries, each of one log, whose marks say that every log is
//! complete up to there: as if Duo had been polled without a gap. So a replay is an ordinary reading of a journal made up from
//! files. Entries are released as they come, but rows stay in memory: an alert may name any of them as evidence.

use std::sync::Arc;

use picket_contract::{Admission, EventRecord, Mark, RawRow};
use picket_event::{Identity, Plan, Problem, identify};
use picket_store::{AlertRow, Repeat, Superseded};
use rustc_hash::{FxBuildHasher, FxHashSet};

use crate::acquaintance::Acquaintance;
use crate::dedup::Dedup;
use crate::judge::TenantJudge;
use crate::rule::{JudgedRule, Tenant};
use crate::sheet::Place;
use crate::verdict::{JudgeError, Settings, Trouble};

/// Rows of one of Duo's logs.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Duo's own log.
    pub log: Arc<str>,
    /// As received, in any order.
    pub rows: Vec<RawRow>,
}

/// The lines of a text, without their ends, as parts of it. What follows the last end is a line too, if an empty one.
pub fn lines(text: &RawRow) -> impl Iterator<Item = RawRow> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.scan(0, |start, end| {
        let line = text.get(*start..end)?;
        *start = end + 1;
        Some(text.slice_ref(line))
    })
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
/// Rows that are read into one page's columns at most. What a page has met is told once, so that larger ones take less time.
const READ: usize = 4 * PAGE;
/// Journal entries fed at once.
const AT_ONCE: usize = 8;

/// A row, identified; and where it is, if it has been read.
struct Placed {
    /// Index of its log among those given.
    log: usize,
    event: EventRecord,
    place: Option<Place>,
}

/// Journal entries of these rows, numbered from 1. Logs that are not given are closed.
///
/// # Errors
/// [`BadRow`]: the first that cannot be placed.
pub fn admissions(logs: &[Rows]) -> Result<Vec<Admission>, BadRow> {
    let mut placed = Vec::with_capacity(logs.iter().map(|rows| rows.rows.len()).sum());
    for (index, Rows { log, rows }) in logs.iter().enumerate() {
        for (number, raw) in rows.iter().enumerate() {
            let identity = identify(log, raw).map_err(|problem| bad(log, number, &problem))?;
            placed.push(Placed {
                log: index,
                event: event(identity, raw),
                place: None,
            });
        }
    }
    Ok(entries(logs, placed)
        .into_iter()
        .map(|(admission, _)| admission)
        .collect())
}

/// The same, each row read into columns on the way.
fn read(logs: &[Rows], plan: &Plan) -> Result<Vec<(Admission, Vec<Place>)>, BadRow> {
    let mut placed = Vec::with_capacity(logs.iter().map(|rows| rows.rows.len()).sum());
    for (index, Rows { log, rows }) in logs.iter().enumerate() {
        for (nth, rows) in rows.chunks(READ).enumerate() {
            let mut problem = None;
            let page = plan.read(plan.named(log), log, rows, |number, identity| {
                let raw = rows.get(number).cloned().unwrap_or_default();
                let identity = identity.unwrap_or_else(|wrong| {
                    problem.get_or_insert_with(|| bad(log, nth * READ + number, &wrong));
                    Identity { id: "".into(), time: 0 }
                });
                event(identity, &raw)
            });
            if let Some(problem) = problem {
                return Err(problem);
            }
            let page = Arc::new(page);
            let rows = (0..).zip(page.events());
            placed.extend(rows.map(|(row, event)| Placed {
                log: index,
                event: event.clone(),
                place: Some((page.clone(), row)),
            }));
        }
    }
    Ok(entries(logs, placed))
}

fn event(identity: Identity, raw: &RawRow) -> EventRecord {
    EventRecord {
        id: identity.id,
        time: identity.time,
        raw: raw.clone(),
    }
}

/// `number`: which of the log's rows, from 0.
fn bad(log: &Arc<str>, number: usize, problem: &Problem) -> BadRow {
    BadRow {
        log: log.clone(),
        number: number + 1,
        why: problem.to_string(),
    }
}

/// Journal entries of rows, numbered from 1, and where the rows of each are.
fn entries(logs: &[Rows], mut placed: Vec<Placed>) -> Vec<(Admission, Vec<Place>)> {
    if !placed.is_sorted_by_key(|row| row.event.time) {
        placed.sort_by_key(|row| row.event.time);
    }
    let mut known: FxHashSet<(usize, Arc<str>)> = FxHashSet::with_capacity_and_hasher(placed.len(), FxBuildHasher);
    placed.retain(|row| known.insert((row.log, row.event.id.clone())));
    drop(known);

    let has = |name: &str| logs.iter().any(|rows| *rows.log == *name);
    let feed = if has("activity") { "activity" } else { "administrator" };
    let mut opening = vec![Mark::Feed {
        logical: "admin".into(),
        log: feed.into(),
        from: i64::MIN,
    }];
    let absent = picket_event::logs().filter(|log| !has(log));
    opening.extend(absent.map(|log| Mark::Closed { log: log.into() }));
    let mut entries = vec![(
        Admission {
            first_seq: 1,
            log: feed.into(),
            events: Vec::new(),
            marks: opening,
        },
        Vec::new(),
    )];

    let mut rest = placed.into_iter().peekable();
    let mut next = 2;
    while rest.peek().is_some() {
        // One stretch of time, as one entry for each log in it; only the last of them moves the marks.
        let mut by_log: Vec<(Vec<EventRecord>, Vec<Place>)> = logs.iter().map(|_| Default::default()).collect();
        let mut last = i64::MIN;
        for Placed { log, event, place } in rest.by_ref().take(PAGE) {
            last = event.time;
            if let Some((events, places)) = by_log.get_mut(log) {
                events.push(event);
                places.extend(place);
            }
        }
        // Beyond the last row nothing is known: timers set for later do not fire.
        let upto = rest.peek().map_or(last, |row| row.event.time.saturating_sub(1));
        for (rows, (events, places)) in logs.iter().zip(by_log).filter(|(_, (events, _))| !events.is_empty()) {
            let count = events.len() as u64;
            let admission = Admission {
                first_seq: next,
                log: rows.log.clone(),
                events,
                marks: Vec::new(),
            };
            entries.push((admission, places));
            next += count;
        }
        if let Some((last, _)) = entries.last_mut().filter(|(last, _)| !last.events.is_empty()) {
            last.marks = logs
                .iter()
                .map(|rows| Mark::Complete {
                    log: rows.log.clone(),
                    to: upto,
                })
                .collect();
            next += 1;
        }
    }
    entries
}

/// Rows from files to alerts. `now` is what alerts give as the time they were raised, wall clock, ms.
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
    let nothing: &[Admission] = &[];
    let known = Acquaintance::default();
    let mut judge = TenantJudge::new(tenant, settings, 0, rules, Dedup::default(), known, &nothing)?;
    let (admissions, places): (Vec<Admission>, Vec<Vec<Place>>) = read(logs, judge.plan())?.into_iter().unzip();
    let mut replayed = Replayed::default();
    let mut after = 0;
    for (some, places) in admissions.chunks(AT_ONCE).zip(places.chunks(AT_ONCE)) {
        let verdict = judge.feed_read(after, some, places, &admissions.as_slice(), now);
        let verdict = verdict.map_err(JudgeError::from)?;
        after = some.last().map_or(after, Admission::last_seq);
        replayed.events += some.iter().map(|admission| admission.events.len() as u64).sum::<u64>();
        replayed.alerts.extend(verdict.alerts);
        replayed.troubles.extend(verdict.troubles);
        count(&mut replayed.alerts, verdict.repeats);
        fold(&mut replayed.alerts, verdict.superseded);
    }
    Ok(replayed)
}

/// Notes what took an alert's place with it.
fn fold(alerts: &mut [AlertRow], superseded: Vec<Superseded>) {
    for Superseded { alert, by } in superseded {
        let folded = alerts.iter_mut().find(|row| row.id == alert);
        if let Some(incident) = folded.and_then(|row| row.incident.as_mut()) {
            incident.superseded_by.get_or_insert(by);
        }
    }
}

fn count(alerts: &mut [AlertRow], repeats: Vec<Repeat>) {
    for repeat in repeats {
        if let Some(alert) = alerts.iter_mut().find(|alert| alert.id == repeat.id) {
            alert.repeats += repeat.count;
            alert.last_repeat = alert.last_repeat.max(Some(repeat.time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RawRow, lines};

    #[test]
    fn every_line_comes_once() {
        let cut = |text: &str| lines(&RawRow::from(text)).collect::<Vec<_>>();
        assert_eq!(cut("one\ntwo\r\n\nfour"), ["one", "two\r", "", "four"]);
        assert_eq!(cut("ü\n"), ["ü", ""]);
        assert_eq!(cut(""), [""]);
    }
}
