//! What operators except is judged, kept and not sent, until it is over; and what they change about severity and dedup.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::logins::{denied, page};
use common::{Does, NOW, Native, manifest, tenant};
use picket_contract::{Params, Severity, Tables};
use picket_judge::exceptions::{Condition, Exception, Kind};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Logged, Options, Pipeline, RuleSet, RuleSpec};
use picket_judge::{Mode, Settings, Terms};
use picket_store::{AlertFilter, AlertRow, SqliteStore, Store};
use serde_json::Value;

struct House {
    store: Arc<dyn Store>,
    clock: Arc<AtomicI64>,
}

impl House {
    fn new() -> Self {
        House {
            store: Arc::new(SqliteStore::in_memory().unwrap()),
            clock: Arc::new(AtomicI64::new(NOW)),
        }
    }

    /// Three denials of one user within 10 s are an alert, repeated within 15 s.
    async fn open(&self, terms: Terms) -> Pipeline {
        let clock = self.clock.clone();
        let options = Options {
            settings: Settings::default(),
            share_within: Duration::from_secs(3600),
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            observer: Arc::new(Logged),
            people: Arc::new(Nobody),
            holding: Arc::default(),
            ration: Arc::default(),
        };
        let hash = format!("{terms:?}").into();
        let rule = RuleSpec {
            manifest: Arc::new(manifest(Does::Windows)),
            evaluator: Arc::new(Native(Does::Windows)),
            module: "sha256:one".into(),
            attack_version: "19".into(),
            params: Arc::new(Params::new()),
            tables: Arc::new(Tables::default()),
            terms,
        };
        let rules = vec![rule];
        let opened = Pipeline::open(tenant(), self.store.clone(), RuleSet { rules, hash }, options).await;
        let pipeline = opened.unwrap();
        pipeline.catch_up().await.unwrap();
        pipeline
    }

    fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    fn alerts(&self, filter: AlertFilter) -> Vec<AlertRow> {
        self.store.alerts("acme", &filter).unwrap()
    }

    fn sent(&self) -> Vec<AlertRow> {
        self.alerts(AlertFilter::default())
    }

    fn suppressed(&self) -> Vec<AlertRow> {
        self.alerts(AlertFilter {
            suppressed: true,
            ..AlertFilter::default()
        })
    }
}

/// For user `u0`, up to a second.
fn until(second: i64) -> Exception {
    Exception {
        name: "a pentest".into(),
        owner: "jane".into(),
        reason: "we attack ourselves".into(),
        ticket: Some("SEC-1".into()),
        from: None,
        until: Some(second * 1000),
        conditions: vec![Condition::Entity {
            kind: Kind::User,
            values: ["u0"].into_iter().collect(),
        }],
    }
}

fn excepting(exception: Exception) -> Terms {
    Terms {
        exceptions: [Arc::new(exception)].into(),
        ..Terms::default()
    }
}

fn whom(alerts: &[AlertRow]) -> Vec<(&str, i64)> {
    let told = |alert: &AlertRow| alert.time / 1000;
    alerts
        .iter()
        .map(|alert| (&*alert.dedup_key, told(alert)))
        .collect::<Vec<_>>()
}

#[tokio::test]
async fn an_exception_with_an_end_date_stops_alerts_then_expires() {
    let house = House::new();
    let pipeline = house.open(excepting(until(100))).await;
    let both = [denied(1, 0), denied(2, 1)].concat();
    pipeline.admit(page(0, &both, 10)).await.unwrap();
    assert_eq!(whom(&house.sent()), [("u1", 4)], "others are told of");
    let kept = house.suppressed();
    assert_eq!(whom(&kept), [("u0", 3)]);
    assert_eq!(kept[0].suppressed.as_deref(), Some("a pentest"));
    let json: Value = serde_json::from_str(&kept[0].json).unwrap();
    assert_eq!(json["suppressed"]["ticket"], "SEC-1");
    assert_eq!(json["suppressed"]["until"], "1970-01-01T00:01:40.000Z");
    assert_eq!(json["id"], *kept[0].id);
    assert!(kept[0].id.starts_with("su_"), "{}", kept[0].id);
    assert_eq!(house.store.outbox("file", 10).unwrap().len(), 1);
    assert_eq!(house.store.count_alerts("acme").unwrap().0, 1);

    // State went on: two denials before the end and one after it are three. When it happened counts, not when it is judged.
    house.pass(86_400_000);
    pipeline
        .admit(page(6, &[(97, 0, false), (98, 0, false)], 98))
        .await
        .unwrap();
    house.pass(86_400_000);
    pipeline.admit(page(8, &[(101, 0, false)], 120)).await.unwrap();
    let sent = house.sent();
    assert_eq!(whom(&sent).last(), Some(&("u0", 101)), "{:?}", whom(&sent));
    assert_eq!(house.store.outbox("file", 10).unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_suppressed_makes_nothing_a_repeat() {
    let house = House::new();
    let pipeline = house.open(excepting(until(20))).await;
    // Within 15 s of each other: two within the exception, then one after it, and its repeat.
    let rows = [denied(1, 0), denied(10, 0), denied(19, 0), denied(25, 0)].concat();
    pipeline.admit(page(0, &rows, 60)).await.unwrap();
    assert_eq!(whom(&house.suppressed()), [("u0", 3), ("u0", 12)], "each is kept");
    let sent = house.sent();
    assert_eq!(whom(&sent), [("u0", 21)]);
    assert_eq!(sent[0].repeats, 1);
    assert!(
        house
            .suppressed()
            .iter()
            .all(|alert| alert.dedup_until == alert.time && alert.repeats == 0)
    );
    let counts = house.store.suppressed("acme").unwrap();
    assert_eq!(
        (&*counts[0].exception, counts[0].alerts, counts[0].last),
        ("a pentest", 2, 12_000)
    );

    // What was told of before the exception began is repeated, as ever.
    let house = House::new();
    let from = Exception {
        from: Some(10_000),
        ..until(100)
    };
    let pipeline = house.open(excepting(from)).await;
    pipeline
        .admit(page(0, &[denied(1, 0), denied(10, 0)].concat(), 60))
        .await
        .unwrap();
    assert_eq!((house.sent()[0].repeats, house.suppressed().len()), (1, 0));
}

#[tokio::test]
async fn a_second_run_gives_the_same_whatever_the_clock_says() {
    let rows = [denied(1, 0), denied(8, 1), denied(30, 0), denied(99, 0), denied(130, 0)].concat();
    let mut runs = Vec::new();
    for (cut, days) in [(rows.len(), 0), (1, 0), (4, 4000)] {
        let house = House::new();
        house.pass(days * 86_400_000);
        let pipeline = house.open(excepting(until(100))).await;
        let mut first = 0;
        for part in rows.chunks(cut) {
            let last = part.last().unwrap().0;
            pipeline.admit(page(first, part, last)).await.unwrap();
            first += part.len();
        }
        let ids = |alerts: Vec<AlertRow>| alerts.into_iter().map(|alert| alert.id).collect::<Vec<_>>();
        runs.push((ids(house.sent()), ids(house.suppressed())));
    }
    assert_eq!((runs[0].0.len(), runs[0].1.len()), (3, 2), "{runs:?}");
    assert!(runs.iter().all(|run| run == &runs[0]), "{runs:?}");
}

#[tokio::test]
async fn in_shadow_too_it_is_told_what_would_have_been_suppressed() {
    let house = House::new();
    let terms = Terms {
        mode: Mode::Shadow,
        ..excepting(until(20))
    };
    let pipeline = house.open(terms).await;
    pipeline
        .admit(page(0, &[denied(1, 0), denied(10, 0), denied(19, 0)].concat(), 60))
        .await
        .unwrap();
    let shadow = house.alerts(AlertFilter {
        shadow: true,
        ..AlertFilter::default()
    });
    let told = |alert: &AlertRow| alert.suppressed.as_deref() == Some("a pentest");
    assert_eq!(shadow.iter().map(told).collect::<Vec<_>>(), [true, true, false]);
    assert!(shadow.iter().all(|alert| alert.id.starts_with("sh_")));
    assert!(house.suppressed().is_empty() && house.store.outbox("file", 10).unwrap().is_empty());
}

#[tokio::test]
async fn severity_and_dedup_are_the_operators() {
    let house = House::new();
    let terms = Terms {
        severity: Some(Severity::Low),
        dedup_period_ms: Some(0),
        ..Terms::default()
    };
    let pipeline = house.open(terms).await;
    pipeline
        .admit(page(0, &[denied(1, 0), denied(5, 0)].concat(), 60))
        .await
        .unwrap();
    let sent = house.sent();
    assert_eq!(
        whom(&sent),
        [("u0", 3), ("u0", 7)],
        "switched off, each is an alert of its own"
    );
    assert!(
        sent.iter()
            .all(|alert| alert.severity == Severity::Low && alert.json.contains(r#""severity":"low""#))
    );

    let house = House::new();
    let terms = Terms {
        dedup_period_ms: Some(60_000),
        ..Terms::default()
    };
    let pipeline = house.open(terms).await;
    pipeline
        .admit(page(0, &[denied(1, 0), denied(50, 0)].concat(), 60))
        .await
        .unwrap();
    assert_eq!((house.sent().len(), house.sent()[0].repeats), (1, 1));
}

#[tokio::test]
async fn what_judged_when_is_noted() {
    let house = House::new();
    drop(house.open(Terms::default()).await);
    house.pass(1000);
    drop(house.open(Terms::default()).await);
    house.pass(1000);
    let terms = Terms {
        mode: Mode::Shadow,
        ..excepting(until(100))
    };
    drop(house.open(terms).await);
    let noted = house.store.generations("acme").unwrap();
    let told: Vec<(u64, i64)> = noted.iter().map(|row| (row.number, row.since - NOW)).collect();
    assert_eq!(told, [(1, 0), (2, 2000)], "a restart is no news");
    let rules: Value = serde_json::from_str(&noted[1].json).unwrap();
    let rule = &rules[0];
    assert_eq!((&rule["id"], &rule["version"]), (&"windows".into(), &"1.0.0".into()));
    assert_eq!(
        (&rule["mode"], &rule["module"]),
        (&"shadow".into(), &"sha256:one".into())
    );
    assert_eq!((&rule["severity"], &rule["dedup_ms"]), (&"high".into(), &15_000.into()));
    assert_eq!(rule["exceptions"][0]["exception"], "a pentest");
}
