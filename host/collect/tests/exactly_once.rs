//! Whatever Duo answers, whatever the journal refuses and whenever the process dies: each event is in the journal exactly
//! once, and what a `complete` or a `live` mark says is true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::collections::HashMap;

use common::{Dice, Entry, FakeDuo, FakeJournal, Faults, HOUR, LOGS, MINUTE, Row, T0, TestClock, settings, start};
use picket_contract::Mark;
use picket_duo::{Log, Shape};
use proptest::prelude::*;

/// The ids by which a log's rows stand in the journal: equal rows of a v1 log are counted.
fn expected_ids(rows: &[Row], log: Log) -> Vec<String> {
    let mut copies: HashMap<&str, u32> = HashMap::new();
    let mut ids: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| row.log == log) {
        let copy = copies.entry(&row.id).or_default();
        *copy += 1;
        ids.push(match *copy {
            1 => row.id.clone(),
            copy => format!("{}~{copy}", row.id),
        });
    }
    ids.sort();
    ids
}

/// Every event once; and none that appeared in time comes after a mark that says its time is complete.
fn check(duo: &FakeDuo, journal: &FakeJournal, logs: &[Log], what: &str) {
    let rows = duo.rows.lock().unwrap().clone();
    for log in logs {
        let expected = expected_ids(&rows, *log);
        let mut found: Vec<String> = journal
            .ids(*log)
            .into_iter()
            .filter(|id| !id.starts_with("unreadable-"))
            .collect();
        found.sort();
        let missing: Vec<&String> = expected.iter().filter(|id| !found.contains(id)).collect();
        assert!(missing.is_empty(), "{what}: {log} lacks {missing:?}");
        assert_eq!(found, expected, "{what}: {log}");
    }
    let by_id: HashMap<(&str, &str), &Row> = rows
        .iter()
        .map(|row| ((row.log.journal(), row.id.as_str()), row))
        .collect();
    let first: HashMap<&str, i64> = logs
        .iter()
        .map(|log| (log.journal(), journal.cursor_of(*log).first.unwrap_or(i64::MIN)))
        .collect();
    let (mut complete, mut live): (HashMap<String, i64>, HashMap<String, i64>) = Default::default();
    for entry in journal.entries.lock().unwrap().iter() {
        match entry {
            Entry::Mark(Mark::Complete { log, to }) => {
                let before = complete.insert(log.to_string(), *to);
                assert!(before.is_none_or(|before| before < *to), "{what}: marks rise");
            }
            Entry::Mark(Mark::Live { log, to }) => {
                let before = live.insert(log.to_string(), *to);
                assert!(before.is_none_or(|before| before < *to), "{what}: live marks rise");
            }
            Entry::Event(log, event) => {
                let Some(row) = by_id.get(&(log.as_str(), &*event.id)).filter(|row| row.late == 0) else {
                    continue;
                };
                let to = complete.get(log.as_str()).copied().unwrap_or(i64::MIN);
                assert!(row.time > to, "{what}: {} of {log} is behind its mark", row.id);
                let to = live.get(log.as_str()).copied().unwrap_or(i64::MIN);
                let is_history = row.time <= first[log.as_str()];
                assert!(
                    row.time > to || is_history,
                    "{what}: {} of {log} is behind live",
                    row.id
                );
            }
            Entry::Mark(_) => {}
        }
    }
    for log in logs {
        let (complete, live) = (complete.get(log.journal()), live.get(log.journal()));
        assert!(complete >= live, "{what}: {log}: history ends where live is");
    }
}

fn scatter(duo: &FakeDuo, dice: &mut Dice, logs: &[Log], from: i64, span: i64, count: usize, lateness: i64) {
    let mut last: HashMap<Log, (i64, String)> = HashMap::new();
    for number in 0..count {
        let log = logs[dice.below(logs.len() as i64) as usize];
        let is_v1 = log.shape() == Shape::FromSecond;
        let mut time = from + dice.below(span);
        if is_v1 {
            time = time.div_euclid(1000) * 1000;
        }
        let mut id = format!("e{number}");
        // Often the same time again, so that pages are cut within a millisecond and within a second; and in the logs
        // without ids the same row again.
        if let Some((before, twin)) = last.get(&log).filter(|_| dice.percent(40)) {
            time = *before;
            if is_v1 && dice.percent(30) {
                id.clone_from(twin);
            }
        }
        last.insert(log, (time, id.clone()));
        let late = if dice.percent(10) {
            dice.below(lateness.max(1))
        } else {
            0
        };
        duo.add(log, time, &id, late);
    }
}

/// A run: what Duo does, what the journal does, and when the process dies.
#[derive(Debug, Clone)]
struct Story {
    seed: u64,
    /// Of the two forms of telephony, the older.
    telephony_v1: bool,
    /// throttle, fail, stale_offset, short_page, offset_at_end: percent.
    faults: (i64, i64, i64, i64, i64),
    journal: (i64, i64),
    page_limit: u16,
    window: i64,
    lives: Vec<i64>,
}

fn story() -> impl Strategy<Value = Story> {
    let faults = (0..8_i64, 0..12_i64, 0..15_i64, 0..60_i64, 0..=100_i64);
    let lives = prop::collection::vec(1..30 * MINUTE, 0..12);
    let window = prop_oneof![Just(HOUR), Just(10 * HOUR)];
    (
        any::<u64>(),
        any::<bool>(),
        faults,
        (0..8_i64, 0..8_i64),
        15..75_u16,
        window,
        lives,
    )
        .prop_map(
            |(seed, telephony_v1, faults, journal, page_limit, window, lives)| Story {
                seed,
                telephony_v1,
                faults,
                journal,
                page_limit,
                window,
                lives,
            },
        )
}

async fn live_through(story: Story) {
    let what = format!("{story:?}");
    let mut dice = Dice(story.seed);
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, story.seed ^ 1_000);
    let journal = FakeJournal::new(story.seed ^ 2_000);
    let mut logs = LOGS;
    if story.telephony_v1 {
        logs[2] = Log::TelephonyV1;
    }
    scatter(&duo, &mut dice, &logs, T0 - 2 * HOUR, 5 * HOUR, 400, 8 * MINUTE);
    let (throttle, fail, stale_offset, short_page, offset_at_end) = story.faults;
    *duo.faults.lock().unwrap() = Faults {
        throttle,
        fail,
        stale_offset,
        repeat_row: 20,
        odd_row: 2,
        short_page,
        offset_at_end,
        no_date: 5,
    };
    *journal.failing.lock().unwrap() = story.journal;
    let mut settings = settings().starting(3 * HOUR).unwrap();
    settings.minute = 2_000;
    // More than one second of a v1 log ever holds here: what a full second hides cannot be asked for.
    settings.page_limit = story.page_limit;
    settings.window = story.window;
    for life in story.lives {
        let running = start(&logs, settings, &duo, &journal);
        clock.run(life).await;
        running.kill().await;
    }
    *duo.faults.lock().unwrap() = Faults {
        short_page: 50,
        offset_at_end: 100,
        ..Faults::default()
    };
    *journal.failing.lock().unwrap() = (0, 0);
    let running = start(&logs, settings, &duo, &journal);
    clock.run(12 * HOUR).await;
    running.kill().await;
    check(&duo, &journal, &logs, &what);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pages_faults_and_crash_points_give_each_event_once(story in story()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live_through(story));
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_changes_nothing() {
    for skew in [-3 * HOUR, -59_000, 59_000, 400 * 24 * HOUR] {
        let clock = TestClock::new();
        let duo = FakeDuo::new(&clock, 7);
        duo.skew.store(skew, std::sync::atomic::Ordering::SeqCst);
        duo.slow.store(700, std::sync::atomic::Ordering::SeqCst);
        let journal = FakeJournal::new(7);
        scatter(&duo, &mut Dice(7), &LOGS, T0 + skew - HOUR, 3 * HOUR, 300, 0);
        let running = start(&LOGS, settings().starting(2 * HOUR).unwrap(), &duo, &journal);
        clock.run(4 * HOUR).await;
        running.kill().await;
        check(&duo, &journal, &LOGS, &format!("skew {skew}"));
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_kept_once() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 3);
    let journal = FakeJournal::new(3);
    duo.add(Log::Activity, T0 - HOUR, "a", 0);
    duo.faults.lock().unwrap().odd_row = 100;
    let running = start(&[Log::Activity], settings(), &duo, &journal);
    clock.run(HOUR).await;
    let ids = journal.ids(Log::Activity);
    let odd = ids.iter().filter(|id| id.starts_with("unreadable-")).count();
    assert_eq!(odd, 1, "{ids:?}");
    assert!(ids.contains(&"a".to_owned()));
    let health = running
        .board
        .status(duo.now())
        .into_iter()
        .find(|health| health.log == Log::Activity)
        .unwrap();
    assert_eq!(health.events, 2);
    assert!(health.unidentified >= 1);
    running.kill().await;
}

#[tokio::test]
async fn what_changes_in_the_trust_monitor_is_found_for_days_each_state_once() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 5);
    let journal = FakeJournal::new(5);
    let day = 24 * HOUR;
    duo.add_changing(Log::TrustMonitor, T0 - day, "seen", T0 + 3 * day);
    duo.add_changing(Log::TrustMonitor, T0 + HOUR, "new", T0 + 5 * HOUR);
    duo.add_changing(Log::TrustMonitor, T0 - 20 * day, "old", T0 - 19 * day);
    let running = start(&[Log::TrustMonitor], settings(), &duo, &journal);
    clock.run(4 * day).await;
    running.kill().await;
    let mut ids = journal.ids(Log::TrustMonitor);
    ids.sort();
    assert_eq!(ids, ["new", "new@processed", "old@processed", "seen", "seen@processed"]);
    let entries = journal.entries.lock().unwrap();
    let complete = |end: usize| {
        let marks = entries[..end].iter().filter_map(|entry| match entry {
            Entry::Mark(Mark::Complete { to, .. }) => Some(*to),
            _ => None,
        });
        marks.max().unwrap_or(i64::MIN)
    };
    for (place, entry) in entries.iter().enumerate() {
        if let Entry::Event(_, event) = entry {
            assert!(
                event.time > complete(place),
                "{event:?}: its time is that of the change, so it is not late"
            );
        }
    }
}
