//! Events from journals to a sink.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::sync::Arc;
use std::time::Duration;

use picket_contract::{Admission, EventRecord, Severity};
use picket_sink::{Delivery, Down, EventCourier, Fate, Miss, Sink};
use picket_store::{OutboxRow, SqliteStore, Store, Transaction};

const NOW: i64 = 1_795_003_200_000;

/// Admits a page of so many events, each of so many bytes.
fn admit(store: &SqliteStore, tenant: &str, events: u64, bytes: usize) {
    let first_seq = store.last_seq(tenant).unwrap() + 1;
    let event = |number: u64| EventRecord {
        id: format!("e{number}").into(),
        time: i64::try_from(number).unwrap(),
        raw: format!("\"{}\"", "x".repeat(bytes)).into(),
    };
    let admission = Admission {
        first_seq,
        log: "authentication".into(),
        events: (first_seq..first_seq + events).map(event).collect(),
        marks: vec![],
    };
    let transaction = Transaction {
        admissions: vec![admission],
        ..Transaction::default()
    };
    store.transact(tenant, transaction).unwrap();
}

fn written(tenant: &Arc<str>, log: &str, number: u64, event: &EventRecord) -> Option<OutboxRow> {
    Some(OutboxRow {
        number,
        tenant: tenant.clone(),
        alert: format!("{tenant}-{number}").into(),
        rule: log.into(),
        severity: Severity::Info,
        raised: event.time,
        nth: 1,
        summary: false,
        page: false,
        json: (&*event.raw).into(),
    })
}

/// Takes everything, unless told otherwise.
#[derive(Default)]
struct Receiver {
    got: Vec<String>,
    down: bool,
    /// This one is not taken for now.
    later: Option<&'static str>,
    /// This one never.
    never: Option<&'static str>,
    most: (usize, usize),
}

impl Sink for Receiver {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        let bytes = rows.iter().map(|row| row.json.len()).sum();
        self.most = (self.most.0.max(rows.len()), self.most.1.max(bytes));
        if self.down {
            return Delivery::down(Down::now("it is down"));
        }
        let mut stuck: Vec<Arc<str>> = Vec::new();
        let mut fates = Vec::new();
        for row in rows {
            if self.later == Some(&*row.alert) {
                stuck.push(row.tenant.clone());
            }
            fates.push(if stuck.contains(&row.tenant) {
                Fate::Later {
                    why: "busy".to_owned(),
                    wait: Some(Duration::from_secs(7)),
                }
            } else if self.never == Some(&*row.alert) {
                Fate::Refused("no".to_owned())
            } else {
                self.got.push(row.alert.to_string());
                Fate::Taken
            });
        }
        Delivery { fates, down: None }
    }
}

/// Steps until there is no more to do at once.
fn drain(courier: &mut EventCourier, store: &SqliteStore, sink: &mut Receiver, now: i64) -> Option<i64> {
    loop {
        let step = courier
            .step(store, sink, &|tenant| tenant != "secret", &written, now)
            .unwrap();
        if !step.more {
            return step.next;
        }
    }
}

fn ids(tenant: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| format!("{tenant}-{number}")).collect()
}

#[test]
fn a_new_sink_begins_now_and_a_new_tenant_at_its_beginning() {
    let store = SqliteStore::in_memory().unwrap();
    admit(&store, "acme", 10, 5);
    admit(&store, "secret", 10, 5);
    let mut courier = EventCourier::open(&store, "lake").unwrap();
    let mut sink = Receiver::default();
    drain(&mut courier, &store, &mut sink, NOW);
    assert!(sink.got.is_empty());
    admit(&store, "acme", 5, 5);
    admit(&store, "secret", 5, 5);
    admit(&store, "young", 3, 5);
    courier.look(["acme", "secret", "young"].map(Arc::from));
    drain(&mut courier, &store, &mut sink, NOW);
    sink.got.sort();
    assert_eq!(sink.got, [ids("acme", 11..=15), ids("young", 1..=3)].concat());
    // Opened again it goes on where it was, and who is wanted by now begins now.
    let mut courier = EventCourier::open(&store, "lake").unwrap();
    drain(&mut courier, &store, &mut sink, NOW);
    assert_eq!(sink.got.len(), 8);
    let mut all = |sink: &mut Receiver| {
        courier.look([Arc::from("secret")]);
        while courier.step(&store, sink, &|_| true, &written, NOW).unwrap().more {}
    };
    all(&mut sink);
    assert_eq!(sink.got.len(), 8);
    admit(&store, "secret", 2, 5);
    all(&mut sink);
    assert_eq!(sink.got[8..], ids("secret", 16..=17));
}

#[test]
fn a_sink_that_is_down_has_one_bounded_piece_in_memory_and_gets_all_in_order() {
    let store = SqliteStore::in_memory().unwrap();
    let mut courier = EventCourier::open(&store, "lake").unwrap();
    for _ in 0..5 {
        admit(&store, "acme", 1000, 4000);
        admit(&store, "globex", 1000, 10);
    }
    courier.look(["acme", "globex"].map(Arc::from));
    let mut sink = Receiver {
        down: true,
        ..Receiver::default()
    };
    let mut now = NOW;
    for _ in 0..10 {
        now = drain(&mut courier, &store, &mut sink, now).unwrap();
        assert!(now > NOW);
    }
    // How long it has waited is written down.
    let mut courier = EventCourier::open(&store, "lake").unwrap();
    assert_eq!(drain(&mut courier, &store, &mut sink, now - 1), Some(now));
    sink.down = false;
    drain(&mut courier, &store, &mut sink, now);
    for tenant in ["acme", "globex"] {
        let own: Vec<String> = sink.got.iter().filter(|id| id.starts_with(tenant)).cloned().collect();
        assert_eq!(own, ids(tenant, 1..=5000));
    }
    assert!(
        sink.most.0 <= 1024 + 256 && sink.most.1 <= (2 << 20) + 5000,
        "{:?}",
        sink.most
    );
}

#[test]
fn one_tenants_trouble_is_its_own_and_what_is_refused_is_counted() {
    let store = SqliteStore::in_memory().unwrap();
    let mut courier = EventCourier::open(&store, "lake").unwrap();
    admit(&store, "acme", 5, 5);
    admit(&store, "globex", 5, 5);
    courier.look(["acme", "globex"].map(Arc::from));
    let mut sink = Receiver {
        later: Some("acme-3"),
        never: Some("globex-2"),
        ..Receiver::default()
    };
    let next = drain(&mut courier, &store, &mut sink, NOW).unwrap();
    assert_eq!(next, NOW + 7000);
    assert_eq!(
        sink.got,
        ["acme-1", "acme-2", "globex-1", "globex-3", "globex-4", "globex-5"]
    );
    let missed = Miss::Refused.read(&store, "lake").unwrap();
    assert_eq!(
        (missed.events, &*missed.tenant, &*missed.reason),
        (1, "globex", "globex-2: no")
    );
    sink.later = None;
    drain(&mut courier, &store, &mut sink, next);
    assert_eq!(sink.got[6..], ["acme-3", "acme-4", "acme-5"]);
    assert_eq!(Miss::Lost.read(&store, "lake").unwrap().events, 0);
}
