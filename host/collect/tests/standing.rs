//! Logs fail each for itself, and the journal says what readers have to know.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::sync::atomic::Ordering;

use common::{Entry, FakeDuo, FakeJournal, HOUR, MINUTE, T0, TestClock, settings, start, start_as};
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
    let others = [Log::Authentication, Log::Activity, Log::Administrator];
    for health in status.iter().filter(|health| others.contains(&health.log)) {
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

fn unauthorized(code: u32) -> DuoError {
    DuoError::Unauthorized {
        at: "x".into(),
        code,
        message: "Invalid signature".into(),
    }
}

#[tokio::test]
async fn wrong_credentials_close_nothing_and_are_not_hammered() {
    let (clock, duo, journal) = setting_up();
    duo.refuse(Log::Authentication, Some(unauthorized(40102)));
    let running = start(&[Log::Authentication], settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert!(duo.requests(Log::Authentication) <= 7);
    assert!(
        !journal
            .marks()
            .iter()
            .any(|mark| matches!(mark, Mark::Closed { log } if &**log == "authentication"))
    );
    let trouble = running.board.status(duo.now()).remove(0).last_error.unwrap();
    assert!(
        trouble.text.contains("integration_key") && trouble.is_configuration,
        "{trouble:?}"
    );
    running.kill().await;
}

#[tokio::test]
async fn a_rotated_secret_is_tried_once_a_minute_and_picked_up_by_all_logs_at_once() {
    let (clock, duo, journal) = setting_up();
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    let asked = || duo.asked.lock().unwrap().len();
    ALL.iter().for_each(|log| duo.refuse(*log, Some(unauthorized(40103))));
    let before = asked();
    clock.run(HOUR).await;
    assert!((55..=66).contains(&(asked() - before)), "{}", asked() - before);
    ALL.iter().for_each(|log| duo.refuse(*log, None));
    clock.run(MINUTE + 1_000).await;
    for health in running.board.status(duo.now()) {
        if ALL.contains(&health.log) {
            assert!(health.lag.unwrap() < 5 * MINUTE, "{health:?}");
        }
    }
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
async fn duo_is_polled_once_or_twice_in_two_minutes_and_left_alone_after_a_429_over_restarts() {
    let (clock, duo, journal) = setting_up();
    for number in 0..600 {
        duo.add(Log::Authentication, T0 + number * 10_000, &format!("b{number}"), 0);
    }
    duo.faults.lock().unwrap().offset_at_end = 100;
    let running = start(&[Log::Authentication], settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    let from = duo.requests(Log::Authentication);
    clock.run(HOUR).await;
    let times: Vec<i64> = duo.asked.lock().unwrap()[from..].iter().map(|(at, _, _)| *at).collect();
    assert!(times.len() <= 61, "one a minute on average: {}", times.len());
    assert!(
        times.windows(3).all(|three| three[2] - three[0] > MINUTE),
        "never three in a minute"
    );
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
    assert!(health.rate_limited >= 5 && health.rate_limited_last_hour >= 5);
    assert!(health.last_error.unwrap().text.contains("rate limit"));
    // The last wait is five minutes: a restart knows.
    let mut last = duo.requests(Log::Authentication);
    while duo.requests(Log::Authentication) == last {
        clock.run(10_000).await;
    }
    last = duo.requests(Log::Authentication);
    running.kill().await;
    let running = start(&[Log::Authentication], settings(), &duo, &journal);
    clock.run(4 * MINUTE).await;
    assert_eq!(duo.requests(Log::Authentication), last);
    duo.refuse(Log::Authentication, None);
    clock.run(20 * MINUTE).await;
    assert!(running.board.status(duo.now()).remove(0).lag.unwrap() < 5 * MINUTE);
    running.kill().await;
}

#[tokio::test]
async fn first_polls_are_spread_over_the_poll_interval() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    let settings = picket_collect::Settings {
        stagger: 2 * MINUTE,
        ..settings()
    };
    let mut running = Vec::new();
    for tenant in 0..60 {
        let journal = FakeJournal::new(tenant);
        running.push(start_as(
            &format!("t{tenant}"),
            &[Log::Telephony],
            settings,
            &duo,
            &journal,
        ));
    }
    clock.run(2 * MINUTE).await;
    let mut quarters = [0; 4];
    let mut first = std::collections::BTreeSet::new();
    for (at, _, _) in duo.asked.lock().unwrap().iter() {
        first.insert(*at);
        quarters[((at - T0) / 30_001) as usize] += 1;
    }
    assert!(
        first.len() > 50 && quarters.iter().all(|count| *count > 4),
        "{quarters:?}"
    );
    for tenant in running {
        tenant.kill().await;
    }
}

#[tokio::test]
async fn the_other_form_of_a_log_goes_on_where_the_one_before_stopped() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    for minute in -60..600 {
        let time = T0 + minute * MINUTE + 30_000;
        duo.add(Log::Telephony, time, &format!("v2-{minute}"), 0);
        duo.add(Log::TelephonyV1, time, &format!("v1-{minute}"), 0);
    }
    let journal = FakeJournal::new(1);
    let lives: [&[Log]; 5] = [
        &[Log::Telephony],
        &[Log::TelephonyV1],
        &[Log::Authentication],
        &[Log::TelephonyV1],
        &[Log::Telephony],
    ];
    for logs in lives {
        let running = start(logs, settings().starting(2 * HOUR).unwrap(), &duo, &journal);
        clock.run(HOUR).await;
        running.kill().await;
    }
    let mut minutes: Vec<i64> = journal
        .ids(Log::Telephony)
        .iter()
        .map(|id| id.split_once('-').unwrap().1.parse().unwrap())
        .collect();
    minutes.sort_unstable();
    let until = *minutes.last().unwrap();
    assert!(until > 290, "{until}");
    assert_eq!(minutes, (-60..=until).collect::<Vec<i64>>(), "each once");
    let standing: Vec<bool> = journal
        .marks()
        .iter()
        .filter_map(|mark| match mark {
            Mark::Closed { log } if &**log == "telephony" => Some(false),
            Mark::Open { log } if &**log == "telephony" => Some(true),
            _ => None,
        })
        .collect();
    assert_eq!(standing.last(), Some(&true), "{standing:?}");
    assert!(standing.contains(&false));
}

#[tokio::test]
async fn a_wall_clock_that_jumps_by_years_opens_no_gap_and_makes_nothing_spin() {
    const YEAR: i64 = 365 * 24 * HOUR;
    let (clock, duo, journal) = setting_up();
    let running = start(&ALL, settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    for years in [-6, 10, 0, 10, -6, 0] {
        clock.off.store(years * YEAR, Ordering::SeqCst);
        let before: usize = ALL.iter().map(|log| duo.requests(*log)).sum();
        clock.run(20 * MINUTE).await;
        let asked = ALL.iter().map(|log| duo.requests(*log)).sum::<usize>() - before;
        assert!(
            (20..=100).contains(&asked),
            "{years} years off: {asked} requests in twenty minutes"
        );
    }
    for log in ALL {
        assert_eq!(journal.ids(log).len(), 30, "{log}");
    }
    assert!(journal.rows("collector").is_empty(), "{:?}", journal.rows("collector"));
    for health in running.board.status(clock.now()) {
        assert!(health.standing != Standing::Failing, "{health:?}");
        assert!(health.lag.is_none_or(|lag| lag < 5 * MINUTE), "{health:?}");
    }
}

#[tokio::test]
async fn a_start_with_a_clock_years_off_reads_everything_all_the_same() {
    let mut usual = Vec::new();
    for years in [0, -6, 10] {
        let (clock, duo, journal) = setting_up();
        clock.off.store(years * 365 * 24 * HOUR, Ordering::SeqCst);
        let running = start(&ALL, settings(), &duo, &journal);
        clock.run(3 * HOUR).await;
        let requests: Vec<usize> = ALL.iter().map(|log| duo.requests(*log)).collect();
        if years == 0 {
            usual.clone_from(&requests);
        }
        for ((log, requests), usual) in ALL.into_iter().zip(requests).zip(&usual) {
            assert_eq!(journal.ids(log).len(), 30, "{years} years off: {log}");
            assert!(
                requests <= usual + 10,
                "{years} years off: {log}: {requests} requests, where a right clock asks {usual} times"
            );
        }
        drop(running);
    }
}

#[tokio::test]
async fn a_log_that_is_ahead_is_not_asked_while_too_many_events_wait_for_the_others() {
    let (clock, duo, journal) = setting_up();
    let logs = [Log::Authentication, Log::Activity];
    let running = start(&logs, settings(), &duo, &journal);
    clock.run(10 * MINUTE).await;
    duo.refuse(Log::Activity, Some(forbidden(Log::Activity)));
    clock.run(10 * MINUTE).await;
    duo.refuse(Log::Activity, None);
    let of = |log: Log| {
        let status = running.board.status(clock.now());
        status.into_iter().find(|health| health.log == log).unwrap()
    };
    assert!(of(Log::Authentication).complete_to > of(Log::Activity).complete_to);

    journal.waiting.store(settings().most_waiting, Ordering::SeqCst);
    clock.run(4 * MINUTE).await;
    assert_eq!(
        of(Log::Authentication).waits_with,
        None,
        "nobody waits for a log that is closed"
    );
    clock.run(20 * MINUTE).await;
    // Activity is open again and has come as far; then whoever is ahead stands still, and nobody else.
    let before = duo.requests(Log::Authentication) + duo.requests(Log::Activity);
    clock.run(20 * MINUTE).await;
    assert!(
        duo.requests(Log::Authentication) + duo.requests(Log::Activity) > before,
        "both wait for each other"
    );

    duo.refuse(
        Log::Activity,
        Some(DuoError::Server {
            at: "a".into(),
            status: 500,
            message: String::new(),
        }),
    );
    clock.run(4 * MINUTE).await;
    let before = duo.requests(Log::Authentication);
    clock.run(20 * MINUTE).await;
    assert_eq!(duo.requests(Log::Authentication), before);
    assert_eq!(of(Log::Authentication).waits_with, Some(settings().most_waiting));

    journal.waiting.store(0, Ordering::SeqCst);
    duo.refuse(Log::Activity, None);
    clock.run(2 * HOUR).await;
    assert_eq!(of(Log::Authentication).waits_with, None);
    for log in logs {
        assert_eq!(journal.ids(log).len(), 30, "{log}");
    }
}
