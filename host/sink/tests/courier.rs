//! The way from the outbox to a sink: what is down, refused, dropped or asked for again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use picket_contract::Severity;
use picket_sink::{Courier, Delivery, Down, Fate, Sink, Step};
use picket_store::conformance::alert;
use picket_store::{
    AlertRow, Letter, LetterFilter, LetterState, OutboxRow, Settlement, SqliteStore, Store, Transaction, Waiting,
};
use proptest::prelude::*;

/// A receiver that does as it is told.
#[derive(Default)]
struct Receiver {
    down: Option<Down>,
    /// Of these tenants nothing is taken now.
    later: Vec<&'static str>,
    /// These alerts never.
    refuses: Vec<String>,
    got: Vec<(String, String)>,
    calls: usize,
    most: usize,
}

impl Sink for Receiver {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        self.calls += 1;
        self.most = self.most.max(rows.len());
        if let Some(down) = &self.down {
            return Delivery::down(down.clone());
        }
        let mut fates = Vec::new();
        for row in rows {
            if self.later.contains(&&*row.tenant) {
                fates.push(Fate::Later {
                    why: "HTTP 503".into(),
                    wait: None,
                });
            } else if self.refuses.contains(&row.alert.to_string()) {
                fates.push(Fate::Refused("HTTP 400".into()));
            } else {
                self.got.push((row.tenant.to_string(), row.alert.to_string()));
                fates.push(Fate::Taken);
            }
        }
        Delivery { fates, down: None }
    }
}

impl Receiver {
    fn of(&self, tenant: &str) -> Vec<&str> {
        let own = self.got.iter().filter(|(of, _)| of == tenant);
        own.map(|(_, alert)| alert.as_str()).collect()
    }
}

fn raise(store: &SqliteStore, tenant: &str, alerts: impl IntoIterator<Item = AlertRow>) {
    let transaction = Transaction {
        alerts: alerts.into_iter().collect(),
        ..Transaction::default()
    };
    store.transact(tenant, transaction).unwrap();
}

fn named(ids: &[&str]) -> Vec<AlertRow> {
    ids.iter().map(|id| alert(id, "r", "ada", 1)).collect()
}

fn steps(courier: &mut Courier, store: &SqliteStore, receiver: &mut Receiver, now: i64) -> Step {
    for _ in 0..1000 {
        let step = courier.step(store, receiver, &|_| true, now).unwrap();
        if !step.more {
            return step;
        }
    }
    panic!("it never ends");
}

#[test]
fn who_is_refused_for_now_holds_up_nobody_else_and_keeps_its_order() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_a1"]));
    raise(&store, "globex", named(&["al_g1"]));
    raise(&store, "acme", named(&["al_a2"]));
    raise(&store, "globex", named(&["al_g2"]));
    let mut receiver = Receiver {
        later: vec!["acme"],
        ..Receiver::default()
    };
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    let step = steps(&mut courier, &store, &mut receiver, 1_000);
    assert_eq!(receiver.of("globex"), ["al_g1", "al_g2"]);
    assert!(receiver.of("acme").is_empty());
    let next = step.next.unwrap();
    assert!((1_750..=2_000).contains(&next), "{next}");
    raise(&store, "acme", named(&["al_a3"]));
    raise(&store, "globex", named(&["al_g3"]));
    steps(&mut courier, &store, &mut receiver, 1_100);
    assert_eq!(
        receiver.of("globex"),
        ["al_g1", "al_g2", "al_g3"],
        "before the other's next try"
    );
    // A restart knows who waits, and until when.
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    let row = courier.row().clone();
    assert_eq!((row.lanes.len(), row.lanes[0].patience.attempts), (1, 1));
    assert_eq!(row.lanes[0].patience.trouble.as_deref(), Some("HTTP 503"));
    assert_eq!(row.lanes[0].patience.next_try, Some(next));
    let calls = receiver.calls;
    steps(&mut courier, &store, &mut receiver, next - 1);
    assert_eq!(receiver.calls, calls);
    receiver.later.clear();
    steps(&mut courier, &store, &mut receiver, next);
    assert_eq!(receiver.of("acme"), ["al_a1", "al_a2", "al_a3"]);
    assert!(courier.row().lanes.is_empty());
    assert_eq!(store.sinks().unwrap()[0].lanes, []);
    assert!(store.outbox("hook", 10).unwrap().is_empty());
}

#[test]
fn a_receiver_that_is_down_is_tried_less_and_less_often_also_after_a_restart() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1", "al_2"]));
    let mut receiver = Receiver {
        down: Some(Down::now("connection refused")),
        ..Receiver::default()
    };
    let (mut now, mut waits) = (1_000_000, Vec::new());
    for _ in 0..12 {
        // Each time another process.
        let mut courier = Courier::open(&store, "hook", true).unwrap();
        let step = steps(&mut courier, &store, &mut receiver, now);
        let next = step.next.unwrap();
        waits.push(next - now);
        now = next;
    }
    assert_eq!(receiver.calls, 12);
    for (round, wait) in waits.iter().enumerate() {
        let whole = (1_000_i64 << round).min(60_000);
        assert!((whole - whole / 4..=whole).contains(wait), "{round}: {wait}");
    }
    let row = &store.sinks().unwrap()[0];
    assert_eq!((row.patience.attempts, row.patience.since), (12, Some(1_000_000)));
    assert_eq!(row.patience.trouble.as_deref(), Some("connection refused"));
    receiver.down = None;
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    steps(&mut courier, &store, &mut receiver, now);
    assert_eq!(receiver.of("acme"), ["al_1", "al_2"]);
    assert_eq!(store.sinks().unwrap()[0].patience, picket_store::Patience::default());
}

#[test]
fn a_receiver_may_ask_for_time_but_no_clock_makes_it_wait_for_ever() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1"]));
    let mut receiver = Receiver {
        down: Some(Down {
            wait: Some(Duration::from_secs(120)),
            ..Down::now("HTTP 429")
        }),
        ..Receiver::default()
    };
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    let year = 31_536_000_000;
    assert_eq!(
        steps(&mut courier, &store, &mut receiver, 40 * year).next,
        Some(40 * year + 120_000)
    );
    // The clock is set back by six years.
    receiver.down = None;
    steps(&mut courier, &store, &mut receiver, 34 * year);
    assert_eq!(receiver.of("acme"), ["al_1"]);
}

#[test]
fn what_no_retry_mends_is_a_dead_letter_that_can_be_sent_again_or_dropped() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1", "al_2", "al_3"]));
    let mut receiver = Receiver {
        refuses: vec!["al_2".into()],
        ..Receiver::default()
    };
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    steps(&mut courier, &store, &mut receiver, 5);
    assert_eq!(receiver.of("acme"), ["al_1", "al_3"], "nobody waits for it");
    let letters = || {
        store
            .letters(&LetterFilter {
                limit: 10,
                ..LetterFilter::default()
            })
            .unwrap()
    };
    let letter = letters().pop().unwrap();
    assert_eq!((&*letter.alert, &*letter.reason, letter.time), ("al_2", "HTTP 400", 5));
    assert_eq!(letter.state, LetterState::Dead);
    let again = |letter: &Letter| Settlement {
        letters: vec![Letter {
            state: LetterState::Again,
            ..letter.clone()
        }],
        ..Settlement::up_to("hook", 0)
    };
    store.settle(again(&letter)).unwrap();
    courier.reread(&store).unwrap();
    steps(&mut courier, &store, &mut receiver, 6);
    assert_eq!(letters()[0].state, LetterState::Dead, "refused once more");
    receiver.refuses.clear();
    store.settle(again(&letter)).unwrap();
    courier.reread(&store).unwrap();
    steps(&mut courier, &store, &mut receiver, 7);
    assert_eq!(receiver.of("acme"), ["al_1", "al_3", "al_2"]);
    assert_eq!(letters(), []);
}

#[test]
fn what_somebody_dropped_is_passed_over_and_a_tenants_backlog_as_a_whole() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1", "al_2", "al_3"]));
    raise(&store, "globex", named(&["al_4"]));
    let rows = store.outbox("hook", 10).unwrap();
    let mut receiver = Receiver::default();
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    let letter = Letter {
        sink: "hook".into(),
        number: rows[0].number,
        tenant: "acme".into(),
        alert: "al_1".into(),
        state: LetterState::Dropped,
        reason: "jane said so".into(),
        time: 1,
    };
    store
        .settle(Settlement {
            letters: vec![letter],
            ..Settlement::up_to("hook", 0)
        })
        .unwrap();
    courier.reread(&store).unwrap();
    steps(&mut courier, &store, &mut receiver, 5);
    assert_eq!(receiver.of("acme"), ["al_2", "al_3"]);
    assert!(
        store
            .letters(&LetterFilter {
                limit: 10,
                ..LetterFilter::default()
            })
            .unwrap()
            .is_empty()
    );
    // All that waits of a tenant: its lane is put at the end.
    raise(&store, "acme", named(&["al_5", "al_6"]));
    let lane = picket_store::Lane {
        tenant: "acme".into(),
        after: store.outbox_end().unwrap(),
        patience: picket_store::Patience::default(),
    };
    store
        .settle(Settlement {
            lanes: vec![("acme".into(), Some(lane))],
            ..Settlement::up_to("hook", 0)
        })
        .unwrap();
    courier.reread(&store).unwrap();
    steps(&mut courier, &store, &mut receiver, 6);
    raise(&store, "acme", named(&["al_7"]));
    steps(&mut courier, &store, &mut receiver, 7);
    assert_eq!(receiver.of("acme"), ["al_2", "al_3", "al_7"]);
}

#[test]
fn a_receiver_that_wants_nothing_any_more_is_left_alone_until_somebody_says_otherwise() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1"]));
    let mut receiver = Receiver {
        down: Some(Down {
            for_good: true,
            ..Down::now("HTTP 410")
        }),
        ..Receiver::default()
    };
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    assert_eq!(steps(&mut courier, &store, &mut receiver, 5).next, None);
    receiver.down = None;
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    steps(&mut courier, &store, &mut receiver, i64::MAX / 2);
    assert!(receiver.got.is_empty());
    let standing = Some((picket_store::Patience::default(), false));
    store
        .settle(Settlement {
            standing,
            ..Settlement::up_to("hook", 0)
        })
        .unwrap();
    courier.reread(&store).unwrap();
    steps(&mut courier, &store, &mut receiver, 6);
    assert_eq!(receiver.of("acme"), ["al_1"]);
}

#[test]
fn a_new_sink_begins_where_it_is_told_to() {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, "acme", named(&["al_1"]));
    let mut receiver = Receiver::default();
    let mut courier = Courier::open(&store, "new", false).unwrap();
    raise(&store, "acme", named(&["al_2"]));
    steps(&mut courier, &store, &mut receiver, 1);
    assert_eq!(receiver.of("acme"), ["al_2"]);
    let mut receiver = Receiver::default();
    steps(
        &mut Courier::open(&store, "all", true).unwrap(),
        &store,
        &mut receiver,
        1,
    );
    assert_eq!(receiver.of("acme"), ["al_1", "al_2"]);
}

#[test]
fn what_waits_is_counted_as_it_is_routed() {
    let store = SqliteStore::in_memory().unwrap();
    let low = |id: &str| AlertRow {
        severity: Severity::Low,
        ..alert(id, "r", "ada", 1)
    };
    raise(&store, "acme", [low("al_1"), alert("al_2", "r", "ada", 50)]);
    raise(&store, "globex", [alert("al_3", "r", "ada", 70)]);
    let waiting = Waiting {
        sink: "hook",
        min_severity: Severity::Info,
        per_hour: None,
        tenants: None,
        most: 100,
    };
    assert_eq!(store.waiting(&waiting).unwrap(), (3, Some(8)));
    let bad = Waiting {
        min_severity: Severity::Medium,
        ..waiting
    };
    assert_eq!(store.waiting(&bad).unwrap(), (2, Some(57)));
    let tenants = ["globex".into()];
    let one = Waiting {
        tenants: Some(&tenants),
        ..waiting
    };
    assert_eq!(store.waiting(&one).unwrap(), (1, Some(77)));
    assert_eq!(
        store
            .waiting(&Waiting {
                per_hour: Some(1),
                ..waiting
            })
            .unwrap()
            .0,
        2
    );
    assert_eq!(store.waiting(&Waiting { most: 1, ..waiting }).unwrap().0, 1);
}

#[derive(Debug, Clone)]
enum Event {
    Raise(usize, u8),
    Down(bool),
    Later(usize, bool),
    Restart,
    Run,
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_usize, 1..40_u8).prop_map(|(tenant, count)| Event::Raise(tenant, count)),
        1 => any::<bool>().prop_map(Event::Down),
        2 => (0..3_usize, any::<bool>()).prop_map(|(tenant, later)| Event::Later(tenant, later)),
        1 => Just(Event::Restart),
        4 => Just(Event::Run),
        2 => (1..100_000_i64).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails in between: in the end each alert was taken, each tenant's in order, none twice (no crash falls between
    /// taking and writing down here).
    #[test]
    fn everything_arrives_in_order_whatever_fails_in_between(events in proptest::collection::vec(event(), 1..60)) {
        const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
        let store = SqliteStore::in_memory().unwrap();
        let mut courier = Courier::open(&store, "hook", true).unwrap();
        let mut receiver = Receiver::default();
        let (mut now, mut count) = (1_i64, 0);
        let mut raised: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Raise(tenant, many) => {
                    let tenant = TENANTS[tenant];
                    let ids: Vec<String> = (0..many).map(|n| format!("al_{:05}", count + u32::from(n))).collect();
                    count += u32::from(many);
                    raise(&store, tenant, ids.iter().map(|id| alert(id, "r", "ada", 1)));
                    raised.entry(tenant).or_default().extend(ids);
                }
                Event::Down(true) => receiver.down = Some(Down::now("refused")),
                Event::Down(false) => receiver.down = None,
                Event::Later(tenant, true) => receiver.later.push(TENANTS[tenant]),
                Event::Later(tenant, false) => receiver.later.retain(|later| *later != TENANTS[tenant]),
                Event::Restart => courier = Courier::open(&store, "hook", true).unwrap(),
                Event::Run => drop(steps(&mut courier, &store, &mut receiver, now)),
                Event::Wait(ms) => now += ms,
            }
        }
        receiver.down = None;
        receiver.later.clear();
        for _ in 0..4 {
            now += 100_000;
            steps(&mut courier, &store, &mut receiver, now);
        }
        for (tenant, ids) in &raised {
            prop_assert_eq!(&receiver.of(tenant), ids);
        }
        prop_assert!(receiver.most <= 256);
        prop_assert!(courier.row().lanes.is_empty());
    }
}
