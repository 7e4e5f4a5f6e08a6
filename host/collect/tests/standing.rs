//! Logs fail each for itself, and the journal says what readers have to know.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use common::{Entry, FakeDuo, FakeJournal, HOUR, MINUTE, T0, TestClock, settings, start};
use picket_collect::Standing;
use picket_contract::Mark;
use picket_duo::{DuoError, Log};

const ALL: [Log; 4] = [Log::Authentication, Log::Activity, Log::Telephony, Log::Administrator];

fn forbidden(log: Log) -> DuoError {
    DuoError::Forbidden {
        at: log.path().into(),
        code: 40301,
        message: "Access forbidden".into(),
    }
}

fn setting_up() -> (
    std::sync::Arc<TestClock>,
    std::sync::Arc<FakeDuo>,
    std::sync::Arc<FakeJournal>,
) {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    for log in ALL {
        for number in 0..30 {
            duo.add(log, T0 - HOUR + number * 5 * MINUTE, &format!("{log}-{number}"), 0);
        }
    }
    let journal = FakeJournal::new(1);
    (clock, duo, journal)
}

/// Positions in the journal of what holds.
fn places(journal: &FakeJournal, holds: impl Fn(&Entry) -> bool) -> Vec<usize> {
    let entries = journal.entries.lock().unwrap();
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| holds(entry))
        .map(|(place, _)| place)
        .collect()
}

fn is_of(entry: &Entry, of: Log) -> bool {
    matches!(entry, Entry::Event(log, _) if log == of.as_str())
}

#[tokio::test]
async fn a_forbidden_log_is_closed_and_opened_when_it_returns_while_others_go_on() {
    let (clock, duo, journal) = setting_up();
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    duo.refuse(Log::Telephony, Some(forbidden(Log::Telephony)));
    let before = duo.requests(Log::Telephony);
    clock.run(HOUR).await;
    assert!(
        duo.requests(Log::Telephony) - before <= 8,
        "a refusal is retried slowly"
    );
    let status = running.board.status(duo.now());
    let telephony = status.iter().find(|health| health.log == Log::Telephony).unwrap();
    assert_eq!(telephony.standing, Standing::Closed);
    let trouble = telephony.last_error.as_ref().unwrap();
    assert!(
        trouble.is_configuration && trouble.text.contains("Grant read log"),
        "{}",
        trouble.text
    );
    for health in status.iter().filter(|health| health.log != Log::Telephony) {
        assert_eq!(health.standing, Standing::Working, "{}", health.log);
        assert!(health.lag.unwrap() < 5 * MINUTE, "{health:?}");
    }
    duo.refuse(Log::Telephony, None);
    clock.run(HOUR).await;
    assert_eq!(journal.ids(Log::Telephony).len(), 30);
    let closed = places(
        &journal,
        |entry| matches!(entry, Entry::Mark(Mark::Closed { log }) if &**log == "telephony"),
    );
    let opened = places(
        &journal,
        |entry| matches!(entry, Entry::Mark(Mark::Open { log }) if &**log == "telephony"),
    );
    assert_eq!((closed.len(), opened.len()), (1, 1));
    assert!(closed[0] < opened[0]);
    let between = places(&journal, |entry| is_of(entry, Log::Telephony));
    assert!(
        between.iter().all(|place| !(closed[0]..opened[0]).contains(place)),
        "no row between closed and open"
    );
    running.kill().await;
}

#[tokio::test]
async fn a_closed_log_stays_closed_over_a_restart_without_another_mark() {
    let (clock, duo, journal) = setting_up();
    duo.refuse(Log::Activity, Some(forbidden(Log::Activity)));
    for _ in 0..3 {
        let running = start(&[Log::Authentication, Log::Activity], settings(), &duo, &journal);
        clock.run(HOUR).await;
        running.kill().await;
    }
    for log in ["activity", "telephony", "administrator"] {
        let closed = places(
            &journal,
            |entry| matches!(entry, Entry::Mark(Mark::Closed { log: of }) if &**of == log),
        );
        assert_eq!(closed.len(), 1, "{log}");
    }
}

#[tokio::test]
async fn wrong_credentials_close_nothing_and_are_asked_slowly() {
    let (clock, duo, journal) = setting_up();
    let error = DuoError::Unauthorized {
        at: "x".into(),
        code: 40103,
        message: "Invalid signature".into(),
    };
    duo.refuse(Log::Authentication, Some(error));
    let running = start(&[Log::Authentication], settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert!(duo.requests(Log::Authentication) <= 7);
    assert!(
        !journal
            .marks()
            .iter()
            .any(|mark| matches!(mark, Mark::Closed { log } if &**log == "authentication"))
    );
    let health = running.board.status(duo.now()).remove(0);
    assert!(health.last_error.unwrap().text.contains("secret_key"));
    running.kill().await;
}

#[tokio::test]
async fn a_failing_log_is_marked_as_stalled_up_to_where_the_others_are() {
    let (clock, duo, journal) = setting_up();
    let logs = [Log::Authentication, Log::Telephony];
    let running = start(&logs, settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    let broken = DuoError::Server {
        at: "x".into(),
        status: 503,
        message: String::new(),
    };
    duo.refuse(Log::Telephony, Some(broken.clone()));
    clock.run(9 * MINUTE).await;
    let stalled = || {
        journal
            .marks()
            .into_iter()
            .filter(|mark| matches!(mark, Mark::Stalled { .. }))
            .count()
    };
    assert_eq!(stalled(), 0, "not before max_wait");
    clock.run(20 * MINUTE).await;
    assert!(stalled() > 0);
    let complete = |of: &str| {
        let to = |mark: Mark| match mark {
            Mark::Complete { log, to } if &*log == of => Some(to),
            _ => None,
        };
        journal.marks().into_iter().filter_map(to).max().unwrap()
    };
    let stalled_to = |mark: Mark| {
        if let Mark::Stalled { to, .. } = mark {
            Some(to)
        } else {
            None
        }
    };
    let furthest = journal.marks().into_iter().filter_map(stalled_to).max().unwrap();
    assert!(furthest > complete("telephony") && furthest <= complete("authentication"));
    // If everything is down, nobody has to go on without it.
    duo.refuse(Log::Authentication, Some(broken));
    let before = stalled();
    clock.run(HOUR).await;
    assert!(stalled() <= before + 1);
    duo.refuse(Log::Authentication, None);
    duo.refuse(Log::Telephony, None);
    clock.run(HOUR).await;
    assert_eq!(
        (
            journal.ids(Log::Telephony).len(),
            journal.ids(Log::Authentication).len()
        ),
        (30, 30)
    );
    running.kill().await;
}

#[tokio::test]
async fn admin_is_fed_by_activity_if_it_may_be_read_else_by_administrator() {
    let feeds = |journal: &FakeJournal| -> Vec<String> {
        let feed = |mark| {
            if let Mark::Feed { log, .. } = mark {
                Some(log.to_string())
            } else {
                None
            }
        };
        journal.marks().into_iter().filter_map(feed).collect()
    };
    let (clock, duo, journal) = setting_up();
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(HOUR).await;
    running.kill().await;
    assert_eq!(feeds(&journal), ["activity"]);

    let (clock, duo, journal) = setting_up();
    duo.refuse(Log::Activity, Some(forbidden(Log::Activity)));
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert_eq!(feeds(&journal), ["administrator"]);
    running.kill().await;
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert_eq!(feeds(&journal), ["administrator"], "a restart repeats no mark");
    let feed = places(&journal, |entry| matches!(entry, Entry::Mark(Mark::Feed { .. })));
    let rows = places(&journal, |entry| is_of(entry, Log::Administrator));
    assert!(feed[0] < rows[0], "the mark comes before the rows it concerns");
    duo.refuse(Log::Activity, None);
    clock.run(HOUR).await;
    assert_eq!(feeds(&journal), ["administrator", "activity"]);
    let feed = places(&journal, |entry| matches!(entry, Entry::Mark(Mark::Feed { .. })));
    let rows = places(&journal, |entry| is_of(entry, Log::Activity));
    assert!(feed[1] < rows[0]);
    running.kill().await;

    let (clock, duo, journal) = setting_up();
    let running = start(&[Log::Administrator], settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert_eq!(feeds(&journal), ["administrator"]);
    running.kill().await;
}

#[tokio::test]
async fn duo_is_asked_at_the_rate_it_tolerates_and_left_alone_after_a_429() {
    let (clock, duo, journal) = setting_up();
    for number in 0..3_000 {
        duo.add(Log::Authentication, T0 - 2 * HOUR + number, &format!("b{number}"), 0);
    }
    duo.faults.lock().unwrap().offset_at_end = 100;
    let mut settings = settings();
    settings.page_limit = 100;
    let running = start(&[Log::Authentication], settings, &duo, &journal);
    clock.run(HOUR).await;
    let times: Vec<i64> = duo.asked.lock().unwrap().iter().map(|(at, _, _)| *at).collect();
    assert!(
        times.windows(3).all(|three| three[2] - three[0] >= 2 * MINUTE),
        "two at once, one a minute on average"
    );
    assert_eq!(journal.ids(Log::Authentication).len(), 3_000 + 24);
    duo.refuse(
        Log::Authentication,
        Some(DuoError::RateLimited {
            at: "x".into(),
            retry_after: None,
        }),
    );
    let before = duo.requests(Log::Authentication);
    clock.run(30 * MINUTE).await;
    assert!(duo.requests(Log::Authentication) - before <= 10);
    let health = running.board.status(duo.now()).remove(0);
    assert!(health.rate_limited >= 5);
    duo.refuse(Log::Authentication, None);
    clock.run(20 * MINUTE).await;
    assert!(running.board.status(duo.now()).remove(0).lag.unwrap() < 5 * MINUTE);
    running.kill().await;
}
