//! The rows of an account, ready to be served: one sorted log for each feed, each row already as text.
//!
//! The order is Duo's own: (time in whole milliseconds, id). The microseconds inside a millisecond do not count, so a
//! cursor of (ms, id) never skips a row.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::json;
use crate::model::{Feed, Row};

/// A row as it is kept.
#[derive(Debug)]
pub(super) struct Stored {
    /// Time in ms, rounded down.
    pub(super) ms: i64,
    /// Its id.
    pub(super) id: Box<str>,
    /// Its JSON as Duo writes it.
    pub(super) text: Box<str>,
    /// A number below 10 000 drawn from the id: decides which rows come late.
    lot: u32,
}

impl Stored {
    /// Time in s, rounded down.
    pub(super) fn second(&self) -> i64 {
        self.ms.div_euclid(1_000)
    }

    fn key(&self) -> (i64, &str) {
        (self.ms, &self.id)
    }
}

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
    /// ... are held back this much longer, ms.
    pub(super) late_ms: i64,
}

impl Visibility {
    /// Whether this row has appeared.
    pub(super) fn shows(&self, row: &Stored) -> bool {
        let late = if row.lot < self.late_lots { self.late_ms } else { 0 };
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

/// Sorts an account's rows into logs. Every feed has one, if an empty one.
pub(super) fn logs(rows: Vec<Row>) -> BTreeMap<Feed, Log> {
    let mut logs: BTreeMap<Feed, Log> = Feed::ALL.into_iter().map(|feed| (feed, Log::default())).collect();
    for row in rows {
        let stored = Stored {
            ms: row.time_ms(),
            lot: lot(&row.id),
            id: row.id.into(),
            text: json::dumps(&row.json).into(),
        };
        logs.entry(row.feed).or_default().rows.push(stored);
    }
    for log in logs.values_mut() {
        log.rows.sort_by(|a, b| a.key().cmp(&b.key()));
    }
    logs
}

/// FNV-1a over the id: spread evenly, equal in every run.
fn lot(id: &str) -> u32 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from((hash >> 20) % 10_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        logs(rows).remove(&Feed::Activity).unwrap()
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
        };
        assert!(!at(120_999, 0).shows(row));
        assert!(at(121_000, 0).shows(row));
        assert!(!at(420_999, 10_000).shows(row));
        assert!(at(421_000, 10_000).shows(row));
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
