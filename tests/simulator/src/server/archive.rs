//! The rows of an account, ready to be served: one sorted log for each feed, each row already as text.
//!
//! The order is Duo's own: (time in whole milliseconds, id). The microseconds inside a millisecond do not count, so a
//! cursor of (ms, id) never skips a row.

use std::ops::Range;

use super::row::Stored;

/// A place in a log: what `next_offset` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) ms: i64,
    pub(super) id: String,
}

/// What a v2 request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// First millisecond, inclusive.
    pub(super) min: i64,
    /// Last millisecond, inclusive.
    pub(super) max: i64,
    /// Newest first?
    pub(super) descending: bool,
    /// At most so many rows.
    pub(super) limit: usize,
    /// Only what lies behind this row.
    pub(super) after: Option<Cursor>,
}

/// Which rows can be seen yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Visibility {
    /// The simulated time, ms.
    pub(super) now_ms: i64,
    /// How long every row is held back, ms.
    pub(super) delay_ms: i64,
    /// So many rows of 10 000 ...
    pub(super) late_lots: u32,
    /// ... are held back this much longer, ms ...
    pub(super) late_ms: i64,
    /// ... or each by a part of that of its own.
    pub(super) late_spread: bool,
}

impl Visibility {
    /// Whether this row has appeared.
    pub(super) fn shows(&self, row: &Stored) -> bool {
        let late = match row.lot < self.late_lots {
            false => 0,
            true if self.late_spread => self.late_ms / 97 * i64::from(row.lot % 97 + 1),
            true => self.late_ms,
        };
        row.ms.saturating_add(self.delay_ms).saturating_add(late) <= self.now_ms
    }
}

/// A page: places in the log, in the order asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<usize>,
    /// Whether more rows lie behind it.
    pub(super) more: bool,
    /// How many rows the whole window has.
    pub(super) total: usize,
}

/// One feed's rows.
#[derive(Debug, Default)]
pub(super) struct Log {
    rows: Vec<Stored>,
}

impl Log {
    /// A log of these rows, which must be in order.
    pub(super) fn of(rows: Vec<Stored>) -> Self {
        Self { rows }
    }

    /// All rows, in order.
    pub(super) fn rows(&self) -> &[Stored] {
        &self.rows
    }

    /// The row at a place.
    pub(super) fn get(&self, at: usize) -> Option<&Stored> {
        self.rows.get(at)
    }

    /// One page of a v2 window, of the rows that `keep` keeps.
    ///
    /// Behind a cursor an ascending walk no longer looks at `min`, as Duo's does not.
    pub(super) fn page(&self, window: &Window, keep: impl Fn(&Stored) -> bool) -> Page {
        let whole =
            self.rows.partition_point(|row| row.ms < window.min)..self.rows.partition_point(|row| row.ms <= window.max);
        let part = match &window.after {
            None => whole.clone(),
            Some(after) if window.descending => {
                whole.start
                    ..self
                        .rows
                        .partition_point(|row| row.key() < (after.ms, &after.id))
                        .min(whole.end)
            }
            Some(after) => self.rows.partition_point(|row| row.key() <= (after.ms, &after.id))..whole.end,
        };
        let mut rows: Vec<usize> = if window.descending {
            self.kept(part)
                .rev()
                .filter(|at| self.get(*at).is_some_and(&keep))
                .take(window.limit + 1)
                .collect()
        } else {
            self.kept(part)
                .filter(|at| self.get(*at).is_some_and(&keep))
                .take(window.limit + 1)
                .collect()
        };
        let more = rows.len() > window.limit;
        rows.truncate(window.limit);
        Page {
            rows,
            more,
            total: self.kept(whole).filter(|at| self.get(*at).is_some_and(&keep)).count(),
        }
    }

    /// The page that lies in front of a window's cursor: what a server sends that answers the last request once more.
    pub(super) fn page_before(&self, window: &Window, keep: impl Fn(&Stored) -> bool) -> Vec<usize> {
        let Some(after) = &window.after else { return Vec::new() };
        let cursor = (after.ms, after.id.as_str());
        let kept = |at: &usize| self.get(*at).is_some_and(&keep);
        let mut rows: Vec<usize> = if window.descending {
            let from = self.rows.partition_point(|row| row.key() < cursor);
            let to = self.rows.partition_point(|row| row.ms <= window.max);
            self.kept(from..to).filter(kept).take(window.limit).collect()
        } else {
            let to = self.rows.partition_point(|row| row.key() <= cursor);
            let from = self.rows.partition_point(|row| row.ms < window.min);
            self.kept(from..to).rev().filter(kept).take(window.limit).collect()
        };
        rows.reverse();
        rows
    }

    /// The v1 page: the earliest rows from a second on, at most `limit`, then on to the end of the last one's second.
    pub(super) fn earliest(
        &self,
        from_s: i64,
        limit: usize,
        finish_second: bool,
        keep: impl Fn(&Stored) -> bool,
    ) -> Vec<usize> {
        let start = self.rows.partition_point(|row| row.second() < from_s);
        let mut taken: Vec<usize> = Vec::new();
        let mut last = None;
        for (at, row) in self.rows.iter().enumerate().skip(start).filter(|(_, row)| keep(row)) {
            if taken.len() >= limit && !(finish_second && last == Some(row.second())) {
                break;
            }
            last = Some(row.second());
            taken.push(at);
        }
        taken
    }

    fn kept(&self, part: Range<usize>) -> Range<usize> {
        part.start.min(self.rows.len())..part.end.min(self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::load::logs;
    use super::*;
    use crate::model::{Account, Feed, Row};

    fn log(times_us: &[i64]) -> Log {
        let rows = times_us
            .iter()
            .enumerate()
            .map(|(at, time_us)| Row {
                feed: Feed::Activity,
                time_us: *time_us,
                id: format!("id-{}", times_us.len() - at),
                json: json!({"at": at}),
            })
            .collect();
        let mut account = Account {
            rows,
            ..Account::default()
        };
        logs(&mut account).remove(&Feed::Activity).unwrap()
    }

    fn window(min: i64, max: i64, limit: usize) -> Window {
        Window {
            min,
            max,
            descending: false,
            limit,
            after: None,
        }
    }

    #[test]
    fn both_ends_are_inclusive_in_milliseconds() {
        let log = log(&[999, 1_000, 1_999, 2_000, 2_999, 3_000]);
        let page = log.page(&window(1, 2, 10), |_| true);
        let times: Vec<i64> = page.rows.iter().map(|at| log.get(*at).unwrap().ms).collect();
        assert_eq!(times, [1, 1, 2, 2]);
        assert_eq!((page.more, page.total), (false, 4));
    }

    #[test]
    fn walking_by_cursor_meets_every_row_once_in_both_directions() {
        let log = log(&[5_000, 5_100, 5_200, 6_000, 7_000, 7_900, 7_950, 9_000]);
        for descending in [false, true] {
            for limit in 1..=9 {
                let mut met = Vec::new();
                let mut asked = Window {
                    descending,
                    ..window(5, 9, limit)
                };
                loop {
                    let page = log.page(&asked, |_| true);
                    assert_eq!(page.total, 8);
                    met.extend(page.rows.clone());
                    let Some(last) = page.rows.last().and_then(|at| log.get(*at)) else {
                        break;
                    };
                    asked.after = Some(Cursor {
                        ms: last.ms,
                        id: last.id.to_string(),
                    });
                    if !page.more {
                        break;
                    }
                }
                let mut expected: Vec<usize> = (0..8).collect();
                if descending {
                    expected.reverse();
                }
                assert_eq!(met, expected, "limit {limit}, descending {descending}");
            }
        }
    }

    #[test]
    fn a_row_shows_when_its_delay_is_over_and_late_ones_later() {
        let log = log(&[1_000_000]);
        let row = log.get(0).unwrap();
        let at = |now_ms, late_lots| Visibility {
            now_ms,
            delay_ms: 120_000,
            late_lots,
            late_ms: 300_000,
            late_spread: false,
        };
        assert!(!at(120_999, 0).shows(row));
        assert!(at(121_000, 0).shows(row));
        assert!(!at(420_999, 10_000).shows(row));
        assert!(at(421_000, 10_000).shows(row));
        let spread = Visibility {
            late_spread: true,
            ..at(421_000, 10_000)
        };
        assert!(spread.shows(row), "late by a part of it, at most by all of it");
    }

    #[test]
    fn a_v1_page_finishes_its_last_second() {
        let log = log(&[1_000_000, 2_000_000, 2_400_000, 2_900_000, 3_000_000]);
        assert_eq!(log.earliest(0, 2, true, |_| true).len(), 4);
        assert_eq!(log.earliest(0, 2, false, |_| true).len(), 2);
        assert_eq!(log.earliest(2, 9, true, |_| true).len(), 4);
        assert_eq!(log.earliest(4, 9, true, |_| true).len(), 0);
    }
}
