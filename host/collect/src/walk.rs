//! One window of one log, page by page. Pure: answers go in, rows and the next question come out.

use std::collections::HashSet;
use std::sync::Arc;

use picket_contract::EventRecord;
use picket_duo::{Log, Offset, Query, Shape};
use picket_event::{Identity, Reading};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::admit::Rows;
use crate::window::Window;

/// Ids of rows that could not be identified start with this. The judge knows them by it, and shows them to no rule.
pub(crate) const UNREADABLE: &str = "unreadable-";

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
    pub(crate) reading: Option<Reading>,
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
    before: FxHashSet<Arc<str>>,
    /// The time of the last row so far that tells one, ms.
    last: Option<i64>,
    /// The last row's time, ms, if the last page with rows was full: there may be more behind it.
    full: Option<i64>,
    /// v1: the second asked for has rows that are known.
    is_known: bool,
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
            before: FxHashSet::default(),
            last: None,
            full: None,
            is_known: false,
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
    pub(crate) fn take(&mut self, next_offset: Option<Offset>, rows: Rows) -> Taken {
        self.pages += 1;
        let shape = self.log.shape();
        let count = rows.texts.len();
        let mut events = Vec::with_capacity(count);
        let mut ids: FxHashMap<Arc<str>, u32> = FxHashMap::default();
        ids.reserve(count);
        let mut unidentified = 0;
        let mut reached = None;
        let mut beyond = false;
        for (raw, identity) in rows.texts.into_iter().zip(rows.identities) {
            let (identity, is_event) = match identity {
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
                    let time = Some(identity.time.min(self.end));
                    // v1 gives the earliest rows: in whatever order they come, the latest of them tells how far they go.
                    reached = if shape == Shape::FromSecond {
                        reached.max(time)
                    } else {
                        time
                    };
                    (identity, true)
                }
                // A row without a time stands where Duo put it.
                None => {
                    unidentified += 1;
                    (unknown(&raw, reached.or(self.last).unwrap_or(self.min)), false)
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
                raw,
            });
        }
        self.last = reached.or(self.last);
        let ids: FxHashSet<Arc<str>> = events.iter().map(|event| event.id.clone()).collect();
        let is_new = ids.iter().any(|id| !self.before.contains(id));
        self.before = ids;
        if count > 0 {
            self.full = reached.filter(|_| count >= usize::from(self.limit));
        }
        let step = if shape == Shape::FromSecond {
            self.step_v1(count, reached.filter(|_| !beyond), is_new)
        } else {
            self.step(count, next_offset, reached, is_new)
        };
        let reached = match step {
            Step::Restart if shape == Shape::FromSecond => Some(self.min),
            Step::Restart => reached.or(self.full),
            _ => reached,
        };
        Taken {
            events,
            reading: rows.reading,
            unidentified,
            reached,
            step,
        }
    }

    /// An offset is no promise of more. One that came before leads in a circle: with an empty page that is Duo's way to say
    /// that this was all; with rows it is not, so the rest is asked for by time. Nor is its absence a promise that this was
    /// all where the page is full: that is asked for by time as well, as is what lies behind a full page if an empty one with
    /// an offset follows it. An empty page without an offset is believed.
    fn step(&mut self, rows: usize, next_offset: Option<Offset>, reached: Option<i64>, is_new: bool) -> Step {
        self.empty = if rows == 0 { self.empty + 1 } else { 0 };
        let has_offset = next_offset.is_some();
        if let Some(next) = next_offset
            && self.seen.insert(next.clone())
            && self.empty < 2
        {
            self.offset = Some(next);
            return Step::Next;
        }
        let is_end = rows == 0 && !has_offset;
        match reached.filter(|_| has_offset).or(self.full.filter(|_| !is_end)) {
            Some(reached) if reached > self.window.min => Step::Restart,
            _ if is_new && has_offset => Step::Circle,
            _ => Step::Finished,
        }
    }

    /// v1 gives the earliest rows from a second on, as many as it likes. So the last second is asked for again, until that
    /// brings nothing new. `reached` is none where the answer went beyond what is final, or had no rows; no rows of a second
    /// that has some is no answer.
    fn step_v1(&mut self, rows: usize, reached: Option<i64>, is_new: bool) -> Step {
        let Some(reached) = reached else {
            let is_wrong = rows == 0 && self.is_known;
            return if is_wrong { Step::Restart } else { Step::Finished };
        };
        let second = reached.div_euclid(1000) * 1000;
        self.is_known = second > self.min;
        if self.is_known {
            self.min = second;
            return if is_new { Step::Next } else { Step::Finished };
        }
        let is_full = rows >= usize::from(self.limit);
        if is_full {
            tracing::warn!(
                log = %self.log,
                second = second / 1000,
                rows,
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
    use picket_contract::RawRow;

    use super::*;

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
        let identify = |raw: &str| {
            let (time, id) = raw.split_once(':')?;
            Some(Identity {
                id: id.into(),
                time: time.parse().ok()?,
            })
        };
        let rows = read(&rows.split_whitespace().collect::<Vec<_>>(), identify);
        let step = walk.take(next.map(Offset::new), rows).step;
        (step, walk.query())
    }

    fn read(rows: &[&str], identify: impl Fn(&str) -> Option<Identity>) -> Rows {
        Rows {
            texts: rows.iter().map(|row| RawRow::from(*row)).collect(),
            identities: rows.iter().map(|row| identify(row)).collect(),
            reading: None,
        }
    }

    /// A row that is its time, and its id.
    fn by_time(raw: &str) -> Option<Identity> {
        Some(Identity {
            id: raw.into(),
            time: raw.parse().ok()?,
        })
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
    fn behind_a_full_page_there_may_be_more() {
        let mut lost = walk(Log::Activity);
        assert_eq!(
            take(&mut lost, "2000:a 3000:b 4000:c", None).0,
            Step::Restart,
            "a full page without an offset"
        );

        let mut empty = walk(Log::Authentication);
        assert_eq!(take(&mut empty, "2000:a 3000:b 4000:c", Some("4000,c")).0, Step::Next);
        let taken = empty.take(Some(Offset::new("4000,c")), Rows::default());
        assert_eq!((taken.step, taken.reached), (Step::Restart, Some(4_000)));

        let mut end = walk(Log::Authentication);
        assert_eq!(take(&mut end, "2000:a 3000:b 4000:c", Some("4000,c")).0, Step::Next);
        assert_eq!(take(&mut end, "", None).0, Step::Finished, "that is an end");

        let mut one_moment = walk(Log::Activity);
        assert_eq!(
            take(&mut one_moment, "1000:a 1000:b 1000:c", None).0,
            Step::Finished,
            "asking by time leads no further"
        );
    }

    #[test]
    fn a_v1_second_that_has_rows_and_is_empty_is_asked_for_again() {
        let mut walk = walk(Log::Administrator);
        assert_eq!(take(&mut walk, "2000:a 3000:b", None).0, Step::Next);
        let taken = walk.take(None, Rows::default());
        assert_eq!((taken.step, taken.reached), (Step::Restart, Some(3_000)));
    }

    #[test]
    fn a_v1_page_out_of_order_goes_as_far_as_its_latest_row() {
        let mut walk = walk(Log::Administrator);
        let (step, query) = take(&mut walk, "5000:c 2000:a 3000:b", None);
        assert_eq!((step, query.mintime), (Step::Next, 5_000));
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
        let first = ids(walk.take(None, read(&["2000", "3000", "3000"], identify)));
        assert_eq!(first, ["sha256:2000", "sha256:3000", "sha256:3000~2"]);
        let cut = walk.take(None, read(&["3000", "3000", "3000"], identify));
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
        let taken = walk.take(None, read(&["950000"], by_time));
        assert_eq!((taken.events[0].time, taken.reached), (900_000, None));
    }

    #[test]
    fn a_row_without_a_time_stands_behind_the_row_before_it_also_across_pages() {
        let mut walk = walk(Log::Activity);
        let times = |taken: Taken| taken.events.iter().map(|event| event.time).collect::<Vec<_>>();
        let taken = walk.take(Some(Offset::new("a")), read(&["odd", "2000", "odder", "3000"], by_time));
        assert_eq!(
            (taken.unidentified, times(taken)),
            (2, vec![1_000, 2_000, 2_000, 3_000])
        );
        assert_eq!(
            times(walk.take(None, read(&["oddest", "4000"], by_time))),
            [3_000, 4_000]
        );
    }

    #[test]
    fn v1_rows_that_are_not_final_are_left_for_the_next_poll() {
        let mut walk = walk(Log::Administrator);
        let taken = walk.take(None, read(&["900000", "901000"], by_time));
        let ids: Vec<&str> = taken.events.iter().map(|event| &*event.id).collect();
        assert_eq!((ids, taken.step), (vec!["900000"], Step::Finished));
    }
}
