//! Which window of a log is asked for next. Pure: a cursor and Duo's clock go in.

use picket_duo::{Log, Shape};

use crate::cursor::Cursor;
use crate::settings::{RETENTION, Settings};

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
}
