//! A first start reads what is new and what was before at once; a past that somebody asks for is read below both.
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
use picket_collect::{Backfill, BackfillError, Budget, Settings};
use picket_contract::Mark;
use picket_duo::{DuoError, Log};

const DAY: i64 = 24 * HOUR;
const LOG: Log = Log::Authentication;

fn place(journal: &FakeJournal, holds: impl Fn(&Entry) -> bool) -> Option<usize> {
    journal.entries.lock().unwrap().iter().position(holds)
}

fn is_event(entry: &Entry, id: &str) -> bool {
    matches!(entry, Entry::Event(_, event) if &*event.id == id)
}

/// A company with a row a minute for ten days, of which Duo gives 100 at once.
fn busy(clock: &Arc<TestClock>) -> (Arc<FakeDuo>, Settings) {
    let duo = FakeDuo::new(clock, 1);
    for minute in -10 * 24 * 60..600 {
        duo.add(LOG, T0 + minute * MINUTE, &format!("m{minute}"), 0);
    }
    let settings = Settings {
        page_limit: 100,
        max_calls_per_minute: 5,
        ..settings()
    };
    (duo, settings)
}

#[tokio::test]
async fn what_is_new_is_there_at_once_while_history_is_still_being_read() {
    let clock = TestClock::new();
    let (duo, settings) = busy(&clock);
    let journal = FakeJournal::new(1);
    let running = start(&[LOG], settings, &duo, &journal);
    clock.run(20 * MINUTE).await;
    let health = running.board.status(clock.now()).remove(0);
    let history = health.history.unwrap();
    assert!(health.lag.unwrap() < 5 * MINUTE, "live is not behind: {health:?}");
    assert!(history.read_to < T0 - DAY, "history is far from done: {history:?}");
    assert_eq!((history.to - history.from) / DAY, 34);
    // Killed now and then, it goes on where it was.
    running.kill().await;
    for _ in 0..4 {
        let running = start(&[LOG], settings, &duo, &journal);
        clock.run(7 * MINUTE).await;
        running.kill().await;
    }
    let asked = duo.requests(LOG);
    let running = start(&[LOG], settings, &duo, &journal);
    clock.run(3 * HOUR).await;
    let health = running.board.status(clock.now()).remove(0);
    assert_eq!((health.history, health.live_to), (None, None));
    running.kill().await;
    assert!(asked < 250, "a restart asks for little again: {asked}");

    let recent = place(&journal, |entry| is_event(entry, "m0")).unwrap();
    let old = place(&journal, |entry| is_event(entry, &format!("m{}", -2 * 24 * 60))).unwrap();
    assert!(recent < old, "what is new came first");
    // All of history, and what is new but for the last minutes.
    assert!(journal.ids(LOG).len() > 10 * 24 * 60 + 220);
    // Complete marks rise through history to where live polling is, and go on alone.
    let marks = journal.marks();
    let live = |mark: &Mark| matches!(mark, Mark::Live { .. });
    let last_live = marks.iter().rposition(live).unwrap();
    let Mark::Live { to: live_to, .. } = marks[last_live] else {
        unreachable!()
    };
    let joined = marks
        .iter()
        .find_map(|mark| match mark {
            Mark::Complete { to, .. } if *to >= live_to => Some(*to),
            _ => None,
        })
        .unwrap();
    assert_eq!(joined, live_to, "where history ends, complete is where live is");
}

#[tokio::test]
async fn a_log_without_much_history_is_done_at_once() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    duo.add(Log::Telephony, T0 - 30 * DAY, "old", 0);
    duo.add(Log::Administrator, T0 - 30 * DAY, "old", 0);
    let journal = FakeJournal::new(1);
    let running = start(&[Log::Telephony, Log::Administrator], settings(), &duo, &journal);
    clock.run(2 * MINUTE).await;
    for health in running.board.status(clock.now()) {
        assert_eq!(health.history, None, "{}", health.log);
    }
    assert!(duo.requests(Log::Telephony) <= 3);
    running.kill().await;
}

fn backfill(
    duo: &Arc<FakeDuo>,
    journal: &Arc<FakeJournal>,
    range: (i64, i64),
    settings: Settings,
    budget: &Arc<Budget>,
) -> Backfill<FakeDuo, FakeJournal, TestClock> {
    Backfill::new(
        "acme",
        LOG,
        range,
        settings,
        duo.clone(),
        journal.clone(),
        duo.clock.clone(),
        budget.clone(),
    )
}

#[tokio::test]
async fn a_backfill_reads_its_range_once_over_kills_and_says_where_it_is() {
    let clock = TestClock::new();
    let (duo, settings) = busy(&clock);
    let journal = FakeJournal::new(1);
    let budget = Arc::new(Budget::new(&settings));
    let range = (T0 - 9 * DAY, T0 - 2 * DAY);
    for _ in 0..3 {
        let task = tokio::spawn(backfill(&duo, &journal, range, settings, &budget).run());
        clock.run(3 * MINUTE).await;
        task.abort();
    }
    let part = journal.ids(LOG).len();
    assert!(
        (300..7 * 24 * 60).contains(&part),
        "{part}: only a part in nine minutes"
    );
    let under_way = journal.cursor_of(LOG);
    assert!(under_way.read_to.unwrap() > range.0 && under_way.live.is_some());
    let task = tokio::spawn(backfill(&duo, &journal, range, settings, &budget).run());
    clock.run(3 * HOUR).await;
    task.await.unwrap().unwrap();
    assert_eq!(journal.ids(LOG).len(), 7 * 24 * 60 + 1);
    let last = journal.marks().pop();
    let complete = Mark::Complete {
        log: LOG.as_str().into(),
        to: range.1,
    };
    assert_eq!(last, Some(complete));
    assert!(
        !journal
            .marks()
            .iter()
            .any(|mark| !matches!(mark, Mark::Complete { .. })),
        "it says nothing else of the log"
    );
    // Another one on the same journal has nothing to do.
    let asked = duo.requests(LOG);
    backfill(&duo, &journal, range, settings, &budget).run().await.unwrap();
    assert_eq!(duo.requests(LOG), asked);
    let empty = backfill(&duo, &FakeJournal::new(2), (2, 1), settings, &budget)
        .run()
        .await;
    assert!(matches!(empty, Err(BackfillError::Empty)));
}

#[tokio::test]
async fn a_backfill_up_to_now_waits_until_duo_is_sure() {
    let clock = TestClock::new();
    let (duo, settings) = busy(&clock);
    let journal = FakeJournal::new(1);
    let budget = Arc::new(Budget::new(&settings));
    let task = tokio::spawn(backfill(&duo, &journal, (T0 - 10 * MINUTE, T0), settings, &budget).run());
    clock.run(MINUTE).await;
    assert!(!task.is_finished());
    clock.run(5 * MINUTE).await;
    task.await.unwrap().unwrap();
    assert_eq!(journal.ids(LOG).len(), 11);
    assert!(duo.requests(LOG) <= 4, "{}", duo.requests(LOG));
}

#[tokio::test]
async fn a_forbidden_backfill_ends_and_a_failing_one_goes_on() {
    let clock = TestClock::new();
    let (duo, settings) = busy(&clock);
    let budget = Arc::new(Budget::new(&settings));
    let forbidden = DuoError::Forbidden {
        at: "x".into(),
        code: 40301,
        message: "Access forbidden".into(),
    };
    duo.refuse(LOG, Some(forbidden));
    let range = (T0 - DAY, T0 - HOUR);
    let task = tokio::spawn(backfill(&duo, &FakeJournal::new(1), range, settings, &budget).run());
    clock.run(MINUTE).await;
    assert!(matches!(task.await.unwrap(), Err(BackfillError::Duo(_))));

    duo.faults.lock().unwrap().fail = 40;
    duo.faults.lock().unwrap().throttle = 5;
    duo.refuse(LOG, None);
    let journal = FakeJournal::new(1);
    let task = tokio::spawn(backfill(&duo, &journal, range, settings, &budget).run());
    clock.run(3 * HOUR).await;
    task.await.unwrap().unwrap();
    assert_eq!(journal.ids(LOG).len(), 23 * 60 + 1);
}
