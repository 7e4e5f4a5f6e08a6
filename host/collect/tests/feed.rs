//! Of the two logs that tell of administrators' actions, one is `admin` for any time: whatever fails and returns, each action
//! is there once, and readers are never told to go on past what they then are told to read elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Entry, FakeDuo, FakeJournal, HOUR, MINUTE, T0, TestClock, settings, start};
use picket_contract::Mark;
use picket_duo::{DuoError, Log};
use proptest::prelude::*;

const LOGS: [Log; 3] = [Log::Authentication, Log::Activity, Log::Administrator];
const ACTIONS: i64 = 400;

fn forbidden() -> DuoError {
    DuoError::Forbidden {
        at: "x".into(),
        code: 40301,
        message: "Access forbidden".into(),
    }
}

fn broken() -> DuoError {
    DuoError::Server {
        at: "x".into(),
        status: 503,
        message: String::new(),
    }
}

/// An action every three minutes, told by both logs.
fn setting_up() -> (Arc<TestClock>, Arc<FakeDuo>, Arc<FakeJournal>) {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    for number in -20..ACTIONS {
        let time = T0 + number * 3 * MINUTE;
        duo.add(Log::Activity, time + 417, &format!("{number}"), 0);
        duo.add(Log::Administrator, time, &format!("{number}"), 0);
        duo.add(Log::Authentication, time, &format!("a{number}"), 0);
    }
    (clock, duo, FakeJournal::new(1))
}

fn feeds(journal: &FakeJournal) -> Vec<(String, i64)> {
    let feed = |mark| {
        if let Mark::Feed { log, from, .. } = mark {
            Some((log.to_string(), from))
        } else {
            None
        }
    };
    journal.marks().into_iter().filter_map(feed).collect()
}

/// How often each action is `admin`'s, by the journal's feeds.
fn shown(journal: &FakeJournal) -> BTreeMap<String, usize> {
    let feeds = feeds(journal);
    let mut shown = BTreeMap::new();
    for entry in journal.entries.lock().unwrap().iter() {
        let Entry::Event(log, event) = entry else { continue };
        let feed = feeds.iter().rev().find(|(_, from)| *from < event.time);
        if feed.is_some_and(|(feed, _)| feed == log) {
            *shown.entry(event.id.to_string()).or_default() += 1;
        }
    }
    shown
}

/// Nobody has been told to go on past the time from which another log feeds, before that was said.
fn check_order(journal: &FakeJournal) {
    let (mut feed, mut released): (Option<String>, BTreeMap<String, i64>) = Default::default();
    for entry in journal.entries.lock().unwrap().iter() {
        match entry {
            Entry::Mark(Mark::Complete { log, to } | Mark::Stalled { log, to }) => {
                let known = released.entry(log.to_string()).or_insert(*to);
                *known = (*known).max(*to);
            }
            Entry::Mark(Mark::Closed { log }) => {
                assert_ne!(
                    feed.as_deref(),
                    Some(&**log),
                    "another feed is named before one is closed"
                );
            }
            Entry::Mark(Mark::Feed { log, from, .. }) => {
                if let Some(feed) = feed.and_then(|feed| released.get(&feed)) {
                    assert!(*from >= *feed, "released up to {feed}, but fed from {from} on by {log}");
                }
                feed = Some(log.to_string());
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn activity_feeds_admin_and_administrator_while_it_is_refused() {
    let (clock, duo, journal) = setting_up();
    let running = start(&LOGS, settings(), &duo, &journal);
    clock.run(2 * HOUR).await;
    duo.refuse(Log::Activity, Some(forbidden()));
    clock.run(2 * HOUR).await;
    let names = |journal: &FakeJournal| feeds(journal).into_iter().map(|(log, _)| log).collect::<Vec<_>>();
    assert_eq!(names(&journal), ["activity", "administrator"]);
    running.kill().await;
    let running = start(&LOGS, settings(), &duo, &journal);
    clock.run(HOUR).await;
    assert_eq!(names(&journal).len(), 2, "a restart repeats no mark");
    duo.refuse(Log::Activity, None);
    clock.run(2 * HOUR).await;
    assert_eq!(names(&journal), ["activity", "administrator", "activity"]);
    running.kill().await;
    let shown = shown(&journal);
    assert!(shown.len() > 155, "{}", shown.len());
    assert!(shown.values().all(|times| *times == 1), "{shown:?}");
    check_order(&journal);
}

#[tokio::test]
async fn the_only_one_there_feeds_admin() {
    for (logs, refused, expected) in [
        (&LOGS[..], Some(Log::Activity), "administrator"),
        (&LOGS[..2], None, "activity"),
        (&[Log::Administrator], None, "administrator"),
    ] {
        let (clock, duo, journal) = setting_up();
        if let Some(log) = refused {
            duo.refuse(log, Some(forbidden()));
        }
        let running = start(logs, settings(), &duo, &journal);
        clock.run(HOUR).await;
        running.kill().await;
        assert_eq!(feeds(&journal), [(expected.to_owned(), i64::MIN)]);
        check_order(&journal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each act: what the activity log does (0 works, 1 fails, 2 is refused), whether the administrator log fails, for how
    /// many minutes; and whether the daemon is restarted.
    #[test]
    fn whatever_fails_and_returns_each_action_is_shown_once(
        acts in prop::collection::vec((0..3_u8, prop::bool::weighted(0.1), 1..60_i64, any::<bool>()), 1..10)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (clock, duo, journal) = setting_up();
            let mut running = start(&LOGS, settings(), &duo, &journal);
            clock.run(30 * MINUTE).await;
            for (activity, administrator_fails, minutes, restarts) in acts {
                duo.refuse(Log::Activity, [None, Some(broken()), Some(forbidden())][usize::from(activity)].clone());
                // One of the two is there at any time.
                let fails = administrator_fails && activity == 0;
                duo.refuse(Log::Administrator, fails.then(broken));
                clock.run(minutes * MINUTE).await;
                if restarts {
                    running.kill().await;
                    running = start(&LOGS, settings(), &duo, &journal);
                }
            }
            duo.refuse(Log::Activity, None);
            duo.refuse(Log::Administrator, None);
            clock.run(4 * HOUR).await;
            running.kill().await;
            check_order(&journal);
            let shown = shown(&journal);
            let all = (clock.now() - T0) / (3 * MINUTE) + 20 - 4;
            assert!(shown.len() as i64 >= all.min(ACTIONS + 20), "{} of {all}: {:?}", shown.len(), feeds(&journal));
            assert!(shown.values().all(|times| *times == 1), "{shown:?}");
        });
    }
}
