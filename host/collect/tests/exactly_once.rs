//! Whatever Duo answers, whatever the journal refuses and whenever the process dies: each event is in the journal exactly
//! once, and what a `complete` mark says is true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::collections::HashMap;

use common::{Dice, Entry, FakeDuo, FakeJournal, Faults, HOUR, MINUTE, Row, T0, TestClock, settings, start};
use picket_contract::Mark;
use picket_duo::Log;

/// Every event once; and none that appeared in time comes after a mark that says its time is complete.
fn check(duo: &FakeDuo, journal: &FakeJournal, logs: &[Log], what: &str) {
    let rows = duo.rows.lock().unwrap().clone();
    for log in logs {
        let mut expected: Vec<String> = rows
            .iter()
            .filter(|row| row.log == *log)
            .map(|row| row.id.clone())
            .collect();
        let mut found: Vec<String> = journal
            .ids(*log)
            .into_iter()
            .filter(|id| !id.starts_with("raw:"))
            .collect();
        expected.sort();
        found.sort();
        let missing: Vec<&String> = expected.iter().filter(|id| !found.contains(id)).collect();
        assert!(missing.is_empty(), "{what}: {log} lacks {missing:?}");
        assert_eq!(found, expected, "{what}: {log}");
    }
    let by_id: HashMap<(&str, &str), &Row> = rows
        .iter()
        .map(|row| ((row.log.as_str(), row.id.as_str()), row))
        .collect();
    let mut complete: HashMap<String, i64> = HashMap::new();
    for entry in journal.entries.lock().unwrap().iter() {
        match entry {
            Entry::Mark(Mark::Complete { log, to }) => {
                assert!(
                    complete.insert(log.to_string(), *to).is_none_or(|before| before < *to),
                    "{what}: marks rise"
                );
            }
            Entry::Event(log, event) => {
                let Some(row) = by_id.get(&(log.as_str(), &*event.id)) else {
                    continue;
                };
                let to = complete.get(log.as_str()).copied().unwrap_or(i64::MIN);
                assert!(
                    row.late > 0 || row.time > to,
                    "{what}: {} of {log} is behind its mark",
                    row.id
                );
            }
            Entry::Mark(_) => {}
        }
    }
}

fn scatter(duo: &FakeDuo, dice: &mut Dice, logs: &[Log], from: i64, span: i64, count: usize, lateness: i64) {
    let mut last: HashMap<Log, i64> = HashMap::new();
    for number in 0..count {
        let log = logs[dice.below(logs.len() as i64) as usize];
        let mut time = from + dice.below(span);
        if !log.is_v2() {
            time = time.div_euclid(1000) * 1000;
        }
        // Often the same time again, so that pages are cut within a millisecond and within a second.
        if let Some(last) = last.get(&log).filter(|_| dice.percent(40)) {
            time = *last;
        }
        last.insert(log, time);
        let late = if dice.percent(10) {
            dice.below(lateness.max(1))
        } else {
            0
        };
        duo.add(log, time, &format!("e{number}"), late);
    }
}

#[tokio::test]
async fn any_pages_faults_and_crash_points_give_each_event_once() {
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let clock = TestClock::new();
        let duo = FakeDuo::new(&clock, seed + 1_000);
        let journal = FakeJournal::new(seed + 2_000);
        let logs = Log::ALL;
        scatter(&duo, &mut dice, &logs, T0 - 2 * HOUR, 5 * HOUR, 400, 8 * MINUTE);
        *duo.faults.lock().unwrap() = Faults {
            throttle: dice.below(8),
            fail: dice.below(12),
            stale_offset: dice.below(15),
            repeat_row: 20,
            odd_row: 2,
            short_page: dice.below(60),
            offset_at_end: dice.below(101),
            no_date: 5,
        };
        *journal.failing.lock().unwrap() = (dice.below(8), dice.below(8));
        let mut settings = settings().starting(3 * HOUR).unwrap();
        settings.request_interval = 1_000;
        // More than one second of the v1 log ever holds here: what a full second hides cannot be asked for.
        settings.page_limit = 15 + dice.below(60) as u16;
        settings.window = HOUR;
        for _ in 0..dice.below(12) {
            let running = start(&logs, settings, &duo, &journal);
            clock.run(dice.below(30 * MINUTE)).await;
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
        check(&duo, &journal, &logs, &format!("seed {seed}"));
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_changes_nothing() {
    for skew in [-3 * HOUR, -59_000, 59_000, 400 * 24 * HOUR] {
        let clock = TestClock::new();
        let duo = FakeDuo::new(&clock, 7);
        duo.skew.store(skew, std::sync::atomic::Ordering::SeqCst);
        let journal = FakeJournal::new(7);
        scatter(&duo, &mut Dice(7), &Log::ALL, T0 + skew - HOUR, 3 * HOUR, 300, 0);
        let running = start(&Log::ALL, settings().starting(2 * HOUR).unwrap(), &duo, &journal);
        clock.run(4 * HOUR).await;
        running.kill().await;
        check(&duo, &journal, &Log::ALL, &format!("skew {skew}"));
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
    assert_eq!(ids.iter().filter(|id| id.starts_with("raw:")).count(), 1, "{ids:?}");
    assert!(ids.contains(&"a".to_owned()));
    let health = running
        .board
        .status(duo.now())
        .into_iter()
        .find(|health| health.log == Log::Activity)
        .unwrap();
    assert_eq!((health.events, health.unidentified), (2, 1));
    running.kill().await;
}
