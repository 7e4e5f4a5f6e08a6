//! One window of one log, page by page. Pure: answers go in, rows and the next question come out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use picket_contract::EventRecord;
use picket_duo::{Log, Offset, Page, Query, Shape};

use crate::admit::Identity;
use crate::cursor::Cursor;
use crate::settings::{RETENTION, Settings};

/// Ids of rows that could not be identified start with this. The judge knows them by it, and shows them to no rule.
pub(crate) const UNREADABLE: &str = "unreadable-";

/// Duo refuses windows shorter than this, ms.
const LEAST_WINDOW: i64 = 5_000;

/// What is asked for, frozen for a walk. Times in ms by Duo's clock, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where the log's very first window began.
    pub(crate) start: i64,
    /// Where history ends; none: there is none to be read apart.
    pub(crate) first: Option<i64>,
    pub(crate) min: i64,
    pub(crate) end: i64,
    /// There is more to read after `end` already.
    pub(crate) is_behind: bool,
}

/// The last ms of which Duo's answer is final when its clock shows `duo_now`: what happens in that very ms (second, in a
/// log that counts in seconds) may still be missing.
pub(crate) fn final_at(log: Log, duo_now: i64, delay: i64) -> i64 {
    let end = duo_now.saturating_sub(delay);
    if log.shape() == Shape::FromSecond {
        end.div_euclid(1000) * 1000 - 1
    } else {
        end - 1
    }
}

/// The next window of what is new; none if it would be too short to ask for. `back`: how far (ms) before the high-water
/// mark it begins. At a first start it begins where history ends: one poll interval back.
pub(crate) fn window(log: Log, settings: &Settings, cursor: &Cursor, duo_now: i64, back: i64) -> Option<Window> {
    let last = final_at(log, duo_now, settings.delay);
    let (start, first) = match cursor.start {
        Some(start) => (start, cursor.first),
        None => {
            let start = duo_now.saturating_sub(settings.start).min(last - 2 * LEAST_WINDOW);
            let first = last - settings.poll_interval.max(2 * LEAST_WINDOW);
            (start, (first - start >= 2 * LEAST_WINDOW).then_some(first))
        }
    };
    let is_apart = cursor.live.is_some() || cursor.start.is_none();
    let begin = first.filter(|_| is_apart).unwrap_or(start);
    let read_to = match cursor.live {
        Some(live) => live.read_to,
        None => cursor.read_to.unwrap_or(begin),
    };
    let oldest = begin.max(duo_now.saturating_sub(RETENTION));
    let min = read_to.saturating_sub(back).max(oldest);
    let end = up_to(log, settings, read_to.max(oldest), last);
    (end - min >= LEAST_WINDOW).then_some(Window {
        start,
        first,
        min,
        end,
        is_behind: end < last,
    })
}

/// The next window of a log's history; none: it has none, or it has been read.
pub(crate) fn history_window(log: Log, settings: &Settings, cursor: &Cursor, duo_now: i64) -> Option<Window> {
    let (start, first, _) = (cursor.start?, cursor.first?, cursor.live?);
    let oldest = start.max(duo_now.saturating_sub(RETENTION));
    // The last window may be shorter than Duo likes: it begins a little earlier then.
    let min = cursor.read_to.unwrap_or(start).max(oldest).min(first - LEAST_WINDOW);
    let end = up_to(log, settings, min.max(oldest), first);
    Some(Window {
        start,
        first: Some(first),
        min,
        end,
        is_behind: end < first,
    })
}

/// Where a window ends. A v1 log gives the earliest rows whatever the end: nothing is gained by an earlier one.
fn up_to(log: Log, settings: &Settings, from: i64, last: i64) -> i64 {
    if log.shape() == Shape::FromSecond {
        last
    } else {
        from.saturating_add(settings.window.max(2 * LEAST_WINDOW)).min(last)
    }
}

/// Whether Duo may by now refuse a window that was good when it was made: it reaches back nearly as far as Duo keeps.
pub(crate) fn is_aged(window: &Window, duo_now: i64) -> bool {
    window.min < duo_now.saturating_sub(RETENTION + 540_000)
}

/// What follows after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The walk goes on.
    Next,
    /// The window has been read.
    Finished,
    /// The offset leads nowhere although there may be more: a new walk from where this one came to.
    Restart,
    /// It leads nowhere, and asking by time would not lead further.
    Circle,
}

/// What a page brought.
#[derive(Debug)]
pub(crate) struct Taken {
    /// In Duo's order, each id once.
    pub(crate) events: Vec<EventRecord>,
    pub(crate) unidentified: usize,
    /// The last row's time, ms: every row before it has been read.
    pub(crate) reached: Option<i64>,
    pub(crate) step: Step,
}

/// A walk through a window.
#[derive(Debug)]
pub(crate) struct Walk {
    log: Log,
    window: Window,
    /// Up to here the window's rows are final, ms. Not later than the window's end.
    pub(crate) end: i64,
    limit: u16,
    /// v1: the second asked for, ms.
    min: i64,
    offset: Option<Offset>,
    seen: HashSet<Offset>,
    empty: u32,
    /// Ids of the page before.
    before: HashSet<Arc<str>>,
    pub(crate) pages: u32,
}

impl Walk {
    pub(crate) fn new(log: Log, window: Window, limit: u16) -> Self {
        Walk {
            log,
            window,
            end: window.end,
            limit: limit.min(log.page_limit()),
            min: window.min,
            offset: None,
            seen: HashSet::new(),
            empty: 0,
            before: HashSet::new(),
            pages: 0,
        }
    }

    pub(crate) fn query(&self) -> Query {
        Query {
            mintime: self.min,
            maxtime: self.window.end,
            limit: self.limit,
            offset: self.offset.clone(),
        }
    }

    /// Takes the answer to [`Walk::query`].
    pub(crate) fn take(&mut self, page: &Page, identify: impl Fn(&str) -> Option<Identity>) -> Taken {
        self.pages += 1;
        let shape = self.log.shape();
        let mut events = Vec::with_capacity(page.rows.len());
        let mut ids: HashMap<Arc<str>, u32> = HashMap::with_capacity(page.rows.len());
        let mut unidentified = 0;
        let mut reached = None;
        let mut beyond = false;
        for row in &page.rows {
            let raw = row.get();
            let (identity, is_event) = match identify(raw) {
                // v1 knows no end: what is not final yet is left for the next poll.
                Some(identity) if shape == Shape::FromSecond && identity.time > self.end => {
                    beyond = true;
                    continue;
                }
                // The change that a row tells of may be later than the window in which the row was first given.
                Some(Identity { id, time }) if shape == Shape::Opaque => {
                    let time = time.min(self.end);
                    (Identity { id, time }, true)
                }
                Some(identity) => {
                    reached = Some(identity.time.min(self.end));
                    (identity, true)
                }
                // A row without a time stands where Duo put it.
                None => {
                    unidentified += 1;
                    (unknown(raw, reached.unwrap_or(self.min)), false)
                }
            };
            let copies = ids.entry(identity.id.clone()).or_default();
            *copies += 1;
            let id = match *copies {
                1 => identity.id,
                // Without ids, equal rows of one second are told apart by counting. An answer holds all rows of a second
                // up to where it ends, so the count is the same each time.
                copy if is_event && shape == Shape::FromSecond => format!("{}~{copy}", identity.id).into(),
                _ => continue,
            };
            events.push(EventRecord {
                id,
                time: identity.time,
                raw: Arc::from(raw),
            });
        }
        let ids: HashSet<Arc<str>> = events.iter().map(|event| event.id.clone()).collect();
        let is_new = ids.iter().any(|id| !self.before.contains(id));
        self.before = ids;
        let step = if shape == Shape::FromSecond {
            self.step_v1(page, reached.filter(|_| !beyond), is_new)
        } else {
            self.step(page, reached, is_new)
        };
        Taken {
            events,
            unidentified,
            reached,
            step,
        }
    }

    /// An offset is no promise of more, and its absence the only sure end. One that came before leads in a circle: with an
    /// empty page that is Duo's way to say that this was all; with rows it is not, so the rest is asked for by time.
    fn step(&mut self, page: &Page, reached: Option<i64>, is_new: bool) -> Step {
        self.empty = if page.rows.is_empty() { self.empty + 1 } else { 0 };
        let Some(next) = &page.next_offset else {
            return Step::Finished;
        };
        if self.seen.insert(next.clone()) && self.empty < 2 {
            self.offset = Some(next.clone());
            return Step::Next;
        }
        match reached {
            Some(reached) if reached > self.window.min => Step::Restart,
            _ if is_new => Step::Circle,
            _ => Step::Finished,
        }
    }

    /// v1 gives the earliest rows from a second on, as many as it likes. So the last second is asked for again, until that
    /// brings nothing new. `reached` is none where the answer went beyond what is final, or had no rows.
    fn step_v1(&mut self, page: &Page, reached: Option<i64>, is_new: bool) -> Step {
        let Some(reached) = reached else { return Step::Finished };
        let second = reached.div_euclid(1000) * 1000;
        if second > self.min {
            self.min = second;
            return if is_new { Step::Next } else { Step::Finished };
        }
        let is_full = page.rows.len() >= usize::from(self.limit);
        if is_full {
            tracing::warn!(
                log = %self.log,
                second = second / 1000,
                rows = page.rows.len(),
                "a full answer of one second: if Duo has more rows of this second, they cannot be asked for"
            );
        }
        self.min = self.min.div_euclid(1000) * 1000 + 1000;
        if (is_new || is_full) && self.min <= self.end {
            Step::Next
        } else {
            Step::Finished
        }
    }
}

/// A row that is no event is kept, under a hash of its text.
fn unknown(raw: &str, time: i64) -> Identity {
    let hash = blake3::hash(raw.as_bytes()).to_hex();
    Identity {
        id: format!("{UNREADABLE}{hash}").into(),
        time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cursor::Reach;

    const NOW: i64 = 1_782_896_520_000;
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn settings() -> Settings {
        Settings::new(&"localhost".parse().unwrap(), 120_000).unwrap()
    }

    fn at(start: i64, read_to: i64) -> Cursor {
        Cursor {
            start: Some(start),
            read_to: Some(read_to),
            ..Cursor::default()
        }
    }

    #[test]
    fn a_window_ends_where_duo_is_final_and_begins_with_the_overlap() {
        let cursor = at(NOW - 86_400_000, NOW - 300_000);
        let window = window(Log::Activity, &settings(), &cursor, NOW, 900_000).unwrap();
        assert_eq!(
            (window.min, window.end, window.is_behind),
            (NOW - 1_200_000, NOW - 120_001, false)
        );
        assert_eq!(final_at(Log::Administrator, NOW + 999, 120_000), NOW - 120_001);
    }

    #[test]
    fn a_first_window_begins_where_history_ends_and_a_long_backlog_is_cut() {
        let mut settings = settings().starting(3 * DAY).unwrap();
        settings.window = DAY;
        let first = window(Log::Activity, &settings, &Cursor::default(), NOW, 900_000).unwrap();
        let border = NOW - 120_001 - 120_000;
        assert_eq!((first.start, first.first), (NOW - 3 * DAY, Some(border)));
        assert_eq!((first.min, first.end, first.is_behind), (border, NOW - 120_001, false));
        let cursor = |read_to| Cursor {
            start: Some(first.start),
            first: first.first,
            read_to,
            live: Some(Reach {
                read_to: first.end,
                complete: None,
            }),
            ..Cursor::default()
        };
        let history = |read_to| {
            let window = history_window(Log::Activity, &settings, &cursor(read_to), NOW + HOUR).unwrap();
            (window.min, window.end, window.is_behind)
        };
        assert_eq!(history(None), (first.start, first.start + DAY, true));
        assert_eq!(history(Some(border - DAY)), (border - DAY, border, false));
        assert_eq!(
            history(Some(border - 1)),
            (border - 5_000, border, false),
            "none is too short"
        );
        assert_eq!(history_window(Log::Activity, &settings, &at(0, 1), NOW), None);
        let start = settings.starting(0).unwrap();
        let at_once = window(Log::Activity, &start, &Cursor::default(), NOW, 0).unwrap();
        assert_eq!(
            (at_once.first, at_once.min),
            (None, NOW - 130_001),
            "no history to speak of"
        );
        // Nothing before the start, nothing that Duo has dropped.
        let second = window(
            Log::Activity,
            &settings,
            &at(first.start, first.start + 1),
            NOW,
            900_000,
        )
        .unwrap();
        assert_eq!((second.min, second.end), (first.start, first.start + 1 + DAY));
        let old = window(Log::Activity, &settings, &at(0, 0), NOW, 0).unwrap();
        assert_eq!(old.min, NOW - RETENTION);
    }

    #[test]
    fn a_window_of_less_than_five_seconds_is_not_asked_for() {
        let cursor = at(NOW - 86_400_000, NOW - 120_001 - 4_999);
        assert_eq!(window(Log::Activity, &settings(), &cursor, NOW, 0), None);
        assert!(window(Log::Activity, &settings(), &cursor, NOW + 1, 0).is_some());
    }

    fn walk(log: Log) -> Walk {
        Walk::new(
            log,
            Window {
                start: 0,
                first: None,
                min: 1_000,
                end: 900_000,
                is_behind: false,
            },
            3,
        )
    }

    /// Takes a page of rows `time:id` and tells the step and where the walk asks next.
    fn take(walk: &mut Walk, rows: &str, next: Option<&str>) -> (Step, Query) {
        let row = |text: &str| serde_json::value::RawValue::from_string(format!("\"{text}\"")).unwrap();
        let rows = rows.split_whitespace().map(row).collect();
        let page = Page {
            rows,
            next_offset: next.map(Offset::new),
            server_date_ms: None,
        };
        let identify = |raw: &str| {
            let (time, id) = raw.trim_matches('"').split_once(':')?;
            Some(Identity {
                id: id.into(),
                time: time.parse().ok()?,
            })
        };
        let step = walk.take(&page, identify).step;
        (step, walk.query())
    }

    #[test]
    fn an_offset_is_followed_until_it_is_absent_or_leads_nowhere() {
        let mut plain = walk(Log::Activity);
        let (step, query) = take(&mut plain, "2000:a 3000:b", Some("3000,b"));
        assert_eq!(
            (step, query.offset, query.mintime, query.maxtime),
            (Step::Next, Some(Offset::new("3000,b")), 1_000, 900_000)
        );
        assert_eq!(take(&mut plain, "4000:c", None).0, Step::Finished);

        let mut echo = walk(Log::Authentication);
        assert_eq!(take(&mut echo, "2000:a", Some("2000,a")).0, Step::Next);
        assert_eq!(
            take(&mut echo, "", Some("2000,a")).0,
            Step::Finished,
            "an empty page with the same offset is the end"
        );

        let mut empty = walk(Log::Authentication);
        assert_eq!(
            take(&mut empty, "", Some("x")).0,
            Step::Next,
            "an empty page may have an offset that leads on"
        );
        assert_eq!(take(&mut empty, "2000:a", Some("y")).0, Step::Next);
        assert_eq!(take(&mut empty, "", Some("z")).0, Step::Next);
        assert_eq!(take(&mut empty, "", Some("zz")).0, Step::Finished, "but not for ever");
    }

    #[test]
    fn an_offset_that_repeats_with_rows_is_gone_round() {
        let mut stale = walk(Log::Activity);
        assert_eq!(take(&mut stale, "1000:a", Some("1000,a")).0, Step::Next);
        assert_eq!(
            take(&mut stale, "2000:b", Some("1000,a")).0,
            Step::Restart,
            "the rest is asked for by time"
        );

        let mut last = walk(Log::Activity);
        assert_eq!(take(&mut last, "1000:a", Some("1000,a")).0, Step::Next);
        assert_eq!(
            take(&mut last, "1000:a", Some("1000,a")).0,
            Step::Finished,
            "the last page again is the end"
        );

        let mut circle = walk(Log::Activity);
        assert_eq!(take(&mut circle, "1000:a", Some("1000,a")).0, Step::Next);
        assert_eq!(
            take(&mut circle, "1000:b", Some("1000,a")).0,
            Step::Circle,
            "new rows, and no way past them"
        );
    }

    #[test]
    fn the_v1_log_is_asked_from_its_last_second_until_nothing_is_new() {
        let mut walk = walk(Log::Administrator);
        let (step, query) = take(&mut walk, "2000:a 2000:b 3000:c", None);
        assert_eq!(
            (step, query.mintime),
            (Step::Next, 3_000),
            "the last second may have been cut"
        );
        assert_eq!(take(&mut walk, "3000:c 3000:d 5000:e", None).1.mintime, 5_000);
        assert_eq!(take(&mut walk, "5000:e", None).0, Step::Finished);
    }

    #[test]
    fn a_v1_second_that_fills_an_answer_is_passed_over() {
        let mut walk = walk(Log::Administrator);
        take(&mut walk, "3000:a 3000:b 3000:c", None);
        let (step, query) = take(&mut walk, "3000:a 3000:b 3000:c", None);
        assert_eq!((step, query.mintime), (Step::Next, 4_000));
    }

    #[test]
    fn equal_v1_rows_of_a_second_are_counted_and_counted_the_same_again() {
        let page = |rows: &[&str]| Page {
            rows: rows
                .iter()
                .map(|row| serde_json::value::RawValue::from_string((*row).to_owned()).unwrap())
                .collect(),
            next_offset: None,
            server_date_ms: None,
        };
        let identify = |raw: &str| {
            Some(Identity {
                id: format!("sha256:{raw}").into(),
                time: raw.parse().ok()?,
            })
        };
        let ids = |taken: Taken| {
            taken
                .events
                .iter()
                .map(|event| event.id.to_string())
                .collect::<Vec<_>>()
        };
        let mut walk = walk(Log::Administrator);
        let first = ids(walk.take(&page(&["2000", "3000", "3000"]), identify));
        assert_eq!(first, ["sha256:2000", "sha256:3000", "sha256:3000~2"]);
        let cut = walk.take(&page(&["3000", "3000", "3000"]), identify);
        assert_eq!(cut.step, Step::Next, "a third is new");
        assert_eq!(ids(cut), ["sha256:3000", "sha256:3000~2", "sha256:3000~3"]);
    }

    #[test]
    fn the_trust_monitor_is_followed_to_its_end_and_its_changes_are_not_later_than_the_window() {
        let mut walk = walk(Log::TrustMonitor);
        let (step, query) = take(&mut walk, "2000:a 3000:b", Some("1591014"));
        assert_eq!((step, query.offset), (Step::Next, Some(Offset::new("1591014"))));
        assert_eq!(query.limit, 3);
        assert_eq!(take(&mut walk, "1500:c", None).0, Step::Finished);
        let changed = Page {
            rows: vec![serde_json::value::RawValue::from_string("950000".to_owned()).unwrap()],
            next_offset: None,
            server_date_ms: None,
        };
        let taken = walk.take(&changed, |raw| {
            Some(Identity {
                id: raw.into(),
                time: raw.parse().ok()?,
            })
        });
        assert_eq!((taken.events[0].time, taken.reached), (900_000, None));
    }

    #[test]
    fn v1_rows_that_are_not_final_are_left_for_the_next_poll() {
        let mut walk = walk(Log::Administrator);
        let row = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        let rows = vec![row("900000"), row("901000")];
        let page = Page {
            rows,
            next_offset: None,
            server_date_ms: None,
        };
        let identify = |raw: &str| {
            Some(Identity {
                id: raw.into(),
                time: raw.parse().ok()?,
            })
        };
        let taken = walk.take(&page, identify);
        let ids: Vec<&str> = taken.events.iter().map(|event| &*event.id).collect();
        assert_eq!((ids, taken.step), (vec!["900000"], Step::Finished));
    }
}
