//! An account is never asked more often than it may be, what is urgent goes first, and what refusals taught is remembered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{HOUR, MINUTE, T0, TestClock, settings};
use picket_collect::{Budget, Class, Clock as _};
use proptest::prelude::*;

type Calls = Arc<Mutex<Vec<(i64, Class, &'static str)>>>;

const ENDPOINTS: [&str; 3] = ["/authentication", "/telephony", "/users"];

/// Asks for turns for ever; the answer is there at once, and good.
fn caller(
    budget: &Arc<Budget>,
    clock: &Arc<TestClock>,
    calls: &Calls,
    class: Class,
    endpoint: &'static str,
    every: i64,
) {
    let (budget, clock, calls) = (budget.clone(), clock.clone(), calls.clone());
    tokio::spawn(async move {
        loop {
            let permit = budget.acquire(&*clock, class, endpoint).await;
            calls.lock().unwrap().push((clock.now_ms(), class, endpoint));
            permit.good();
            if every > 0 {
                clock.sleep(every).await;
            }
        }
    });
}

fn most_in_a_minute(calls: &[i64]) -> usize {
    let within = |from: &i64| calls.iter().filter(|at| (*from..*from + MINUTE).contains(at)).count();
    calls.iter().map(within).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_has_more_calls_than_the_account_may_have(
        most in 3..60_u32,
        callers in prop::collection::vec((0..4_usize, 0..3_usize, 0..20_000_i64), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = TestClock::new();
            let budget = Arc::new(Budget::new(&picket_collect::Settings { max_calls_per_minute: most, ..settings() }));
            let calls = Calls::default();
            for (class, endpoint, every) in callers {
                let class = [Class::Live, Class::History, Class::Inventory, Class::Backfill][class];
                caller(&budget, &clock, &calls, class, ENDPOINTS[endpoint], every);
            }
            clock.run(30 * MINUTE).await;
            let times: Vec<i64> = calls.lock().unwrap().iter().map(|call| call.0).collect();
            prop_assert!(most_in_a_minute(&times) <= most as usize);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_log_begins_with_two_calls_a_minute_and_goes_faster_while_answers_are_good() {
    let clock = TestClock::new();
    let budget = Arc::new(Budget::new(&settings()));
    let calls = Calls::default();
    caller(&budget, &clock, &calls, Class::History, ENDPOINTS[0], 0);
    clock.run(30 * MINUTE).await;
    let times: Vec<i64> = calls.lock().unwrap().iter().map(|call| call.0).collect();
    let minute = |n: i64| {
        let from = T0 + n * MINUTE;
        times.iter().filter(|at| (from..from + MINUTE).contains(at)).count()
    };
    assert_eq!(minute(0), 2);
    assert!((3..=12).contains(&minute(1)), "{}", minute(1));
    assert!(
        (40..=45).contains(&minute(20)),
        "{}: a tenth is left to what is live",
        minute(20)
    );
    assert!(times.len() > 800);
}

#[tokio::test]
async fn a_good_answer_to_an_earlier_call_ends_no_lock_out() {
    let clock = TestClock::new();
    let budget = Budget::new(&settings());
    let earlier = budget.acquire(&*clock, Class::History, ENDPOINTS[0]).await;
    let limited = budget.acquire(&*clock, Class::Live, ENDPOINTS[0]).await;
    let wait = limited.limited(clock.now_ms(), None, "acme");
    earlier.good();
    let learned = budget.learned(ENDPOINTS[0], clock.now_ms()).unwrap();
    assert_eq!((learned.until, learned.attempts), (clock.now_ms() + wait, 1));
}

#[tokio::test]
async fn what_is_live_goes_first_and_finds_room() {
    let clock = TestClock::new();
    let budget = Arc::new(Budget::new(&settings()));
    let calls = Calls::default();
    for class in [Class::Backfill, Class::Inventory, Class::History] {
        for endpoint in ENDPOINTS {
            caller(&budget, &clock, &calls, class, endpoint, 0);
        }
    }
    clock.run(HOUR).await;
    for _ in 0..30 {
        let asked = clock.now_ms();
        let (live, at) = (budget.clone(), Arc::new(Mutex::new(None)));
        let (answered, now) = (at.clone(), clock.clone());
        tokio::spawn(async move {
            live.acquire(&*now, Class::Live, ENDPOINTS[1]).await.good();
            *answered.lock().unwrap() = Some(now.now_ms());
        });
        clock.run(MINUTE).await;
        let waited = at.lock().unwrap().unwrap() - asked;
        assert!(waited <= 100, "{waited}");
    }
    let is_settled = |at: i64| at > T0 + 10 * MINUTE;
    let count = |class| {
        let calls = calls.lock().unwrap();
        calls
            .iter()
            .filter(|call| call.1 == class && is_settled(call.0))
            .count()
    };
    assert!(
        count(Class::History) > 10 * count(Class::Inventory).max(1),
        "the more urgent takes what there is"
    );
    assert!(
        count(Class::Inventory) >= 30 && count(Class::Backfill) >= 30,
        "but nobody waits for ever"
    );
}

#[tokio::test]
async fn a_429_slows_an_endpoint_down_for_a_day_and_no_other_and_a_restart_remembers() {
    let clock = TestClock::new();
    let budget = Arc::new(Budget::new(&settings()));
    let calls = Calls::default();
    let path = ENDPOINTS[0];
    caller(&budget, &clock, &calls, Class::History, path, 0);
    clock.run(5 * MINUTE).await;
    let before = calls.lock().unwrap().len();
    let wait = budget
        .acquire(&*clock, Class::Live, path)
        .await
        .limited(clock.now_ms(), None, "acme");
    assert!((MINUTE..=MINUTE + 6_000).contains(&wait));
    assert_eq!(calls.lock().unwrap().len(), before, "nobody asks meanwhile");
    let refused_at = clock.now_ms();
    clock.run(wait - 1).await;
    let since = |from: i64| calls.lock().unwrap().iter().filter(|call| call.0 > from).count();
    assert_eq!(since(refused_at), 0);
    let learned = budget.learned(path, clock.now_ms()).unwrap();
    let ceiling = learned.ceiling.unwrap();
    clock.run(2 * HOUR).await;
    let an_hour = since(clock.now_ms() - HOUR);
    assert!(
        an_hour as f64 <= 60.0 * ceiling,
        "{an_hour} calls at a ceiling of {ceiling}"
    );
    assert_eq!(budget.learned(ENDPOINTS[1], clock.now_ms()), None);

    let other = Arc::new(Budget::new(&settings()));
    other.restore(Class::Live, path, &learned);
    assert_eq!(other.learned(path, clock.now_ms()).unwrap().ceiling, Some(ceiling));
    clock.run(25 * HOUR).await;
    assert_eq!(other.learned(path, clock.now_ms()), None, "forgotten after a day");
}

#[tokio::test]
async fn where_duo_allows_two_a_minute_live_and_history_share_them() {
    let clock = TestClock::new();
    let budget = Arc::new(Budget::new(&settings()));
    let sent: Calls = Calls::default();
    let refused = Arc::new(Mutex::new(0));
    // A poll needs two calls in two minutes.
    for (class, calls, every) in [(Class::Live, 2, 2 * MINUTE), (Class::History, 1, 0)] {
        let (budget, clock, sent, refused) = (budget.clone(), clock.clone(), sent.clone(), refused.clone());
        tokio::spawn(async move {
            loop {
                for _ in 0..calls {
                    let permit = budget.acquire(&*clock, class, ENDPOINTS[0]).await;
                    let now = clock.now_ms();
                    let within = |call: &&(i64, Class, &str)| call.0 > now - MINUTE;
                    if sent.lock().unwrap().iter().filter(within).count() < 2 {
                        sent.lock().unwrap().push((now, class, ENDPOINTS[0]));
                        permit.good();
                    } else {
                        *refused.lock().unwrap() += 1;
                        let _ = permit.limited(now, None, "acme");
                    }
                }
                if every > 0 {
                    clock.sleep(every).await;
                }
            }
        });
    }
    clock.run(5 * HOUR).await;
    let count = |class| sent.lock().unwrap().iter().filter(|call| call.1 == class).count();
    assert!(
        *refused.lock().unwrap() <= 2,
        "it is felt for once: {}",
        refused.lock().unwrap()
    );
    assert!(count(Class::Live) > 250, "{}", count(Class::Live));
    assert!(count(Class::History) > 240, "{}", count(Class::History));
}

#[tokio::test]
async fn a_refused_signature_is_tried_once_a_minute_by_the_whole_account() {
    let clock = TestClock::new();
    let budget = Arc::new(Budget::new(&settings()));
    let mut at = Vec::new();
    for endpoint in ENDPOINTS {
        let wait = budget
            .acquire(&*clock, Class::Live, endpoint)
            .await
            .refused(clock.now_ms());
        at.push(wait);
    }
    let minute = settings().minute;
    assert_eq!(at, [1, 2, 3].map(|times| times * minute));
    let woken = Arc::new(Mutex::new(false));
    let (waiting, bell) = (budget.clone(), woken.clone());
    tokio::spawn(async move {
        waiting.mended().await;
        *bell.lock().unwrap() = true;
    });
    clock.run(minute).await;
    assert!(!*woken.lock().unwrap());
    budget.acquire(&*clock, Class::Live, ENDPOINTS[0]).await.good();
    clock.run(1).await;
    assert!(*woken.lock().unwrap(), "a good answer wakes the others");
}
