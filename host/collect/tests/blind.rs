//! A log that Picket cannot see is told of once, and once more when it is seen again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::sync::Arc;

use common::{Entry, FakeDuo, FakeJournal, HOUR, MINUTE, T0, TestClock, settings, start};
use picket_contract::Mark;
use picket_duo::{DuoError, Log};

const DAY: i64 = 24 * HOUR;

/// What was told: event and log.
fn told(journal: &FakeJournal) -> Vec<String> {
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    journal
        .rows("collector")
        .iter()
        .map(|row| format!("{} {}", text(row, "log"), text(row, "event")))
        .collect()
}

fn server_error() -> DuoError {
    DuoError::Server {
        at: "x".into(),
        status: 503,
        message: String::new(),
    }
}

fn forbidden() -> DuoError {
    DuoError::Forbidden {
        at: "x".into(),
        code: 40301,
        message: "Access forbidden".into(),
    }
}

/// Two logs with a row every ten minutes for four days.
fn setting_up() -> (Arc<TestClock>, Arc<FakeDuo>, Arc<FakeJournal>) {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    for number in -3 * 24 * 6..4 * 24 * 6 {
        duo.add(Log::Authentication, T0 + number * 10 * MINUTE, &format!("a{number}"), 0);
        duo.add(Log::Telephony, T0 + number * 10 * MINUTE, &format!("t{number}"), 0);
    }
    (clock, duo, FakeJournal::new(1))
}

const LOGS: [Log; 2] = [Log::Authentication, Log::Telephony];

#[tokio::test]
async fn a_log_that_fails_or_is_refused_for_a_quarter_of_an_hour_is_told_of_once_over_restarts() {
    let (clock, duo, journal) = setting_up();
    let running = start(&LOGS, settings(), &duo, &journal);
    clock.run(HOUR).await;
    duo.refuse(Log::Telephony, Some(server_error()));
    clock.run(14 * MINUTE).await;
    assert!(told(&journal).is_empty(), "a blip is not worth a word");
    clock.run(6 * MINUTE).await;
    assert_eq!(told(&journal), ["telephony failing"]);
    running.kill().await;
    let running = start(&LOGS, settings(), &duo, &journal);
    clock.run(2 * HOUR).await;
    assert_eq!(told(&journal).len(), 1, "a restart repeats nothing");
    duo.refuse(Log::Telephony, None);
    clock.run(HOUR).await;
    duo.refuse(Log::Authentication, Some(forbidden()));
    clock.run(HOUR).await;
    duo.refuse(Log::Authentication, None);
    clock.run(HOUR).await;
    let all = [
        "telephony failing",
        "telephony recovered",
        "authentication refused",
        "authentication recovered",
    ];
    assert_eq!(told(&journal), all);
    running.kill().await;

    let rows = journal.rows("collector");
    assert_eq!(rows[1]["was"], "failing");
    let action = rows[2]["action"].as_str().unwrap();
    assert!(action.contains("Grant read log"), "{action}");
    assert!(rows[0]["since"].as_str().unwrap() < rows[0]["ts"].as_str().unwrap());
    // Each row is released with the mark that comes with it.
    let entries = journal.entries.lock().unwrap();
    let mut complete = i64::MIN;
    for entry in entries.iter() {
        match entry {
            Entry::Event(log, event) if log == "collector" => assert!(event.time > complete),
            Entry::Mark(Mark::Complete { log, to }) if &**log == "collector" => complete = *to,
            _ => {}
        }
    }
    assert!(complete > T0);
}

#[tokio::test]
async fn a_busy_log_that_falls_silent_is_told_of() {
    let (clock, duo, journal) = setting_up();
    let until = T0 + DAY;
    duo.rows
        .lock()
        .unwrap()
        .retain(|row| row.log != Log::Telephony || row.time < until || row.time > until + 6 * HOUR);
    let running = start(&LOGS, settings(), &duo, &journal);
    clock.run(DAY + 2 * HOUR).await;
    assert!(told(&journal).is_empty());
    clock.run(2 * HOUR).await;
    assert_eq!(told(&journal), ["telephony silent"]);
    clock.run(4 * HOUR).await;
    assert_eq!(told(&journal), ["telephony silent", "telephony recovered"]);
    running.kill().await;
}

#[tokio::test]
async fn what_duo_no_longer_keeps_is_told_of_as_a_gap_once() {
    let (clock, duo, journal) = setting_up();
    let running = start(&[Log::Telephony], settings(), &duo, &journal);
    clock.run(HOUR).await;
    running.kill().await;
    let stopped = journal.cursor_of(Log::Telephony).read_to.unwrap();
    clock.run(190 * DAY).await;
    for _ in 0..2 {
        let running = start(&[Log::Telephony], settings(), &duo, &journal);
        clock.run(HOUR).await;
        running.kill().await;
    }
    let gaps: Vec<_> = journal
        .rows("collector")
        .into_iter()
        .filter(|row| row["event"] == "gap")
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let time = |name: &str| gaps[0][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("from").as_millisecond(), stopped);
    let days = (time("to").as_millisecond() - stopped) / DAY;
    assert_eq!(days, 10);
}
