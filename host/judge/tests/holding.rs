//! What rules remember is the same with all the memory there is and with none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{ALL, Dice, Does, Event, NOW, Native, journal, journal_of_first_start, manifest, reference, tenant, tidy};
use picket_contract::{Admission, EventRecord, Params, RawRow, RuleState, Tables};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Logged, Options, Page, Pipeline, RuleSet, RuleSpec};
use picket_judge::{Holding, Settings, Terms};
use picket_store::{AlertFilter, SqliteStore, Store};
use proptest::prelude::*;

fn set(does: &[Does], hash: &str) -> RuleSet {
    let spec = |does: &Does| RuleSpec {
        manifest: Arc::new(manifest(*does)),
        evaluator: Arc::new(Native(*does)),
        module: "sha256:good".into(),
        attack_version: "19".into(),
        params: Arc::new(Params::new()),
        tables: Arc::new(Tables::default()),
        terms: Terms::default(),
    };
    RuleSet {
        rules: does.iter().map(spec).collect(),
        hash: hash.into(),
    }
}

/// Rows as Duo would send them: with their times inside.
fn page(admission: &Admission) -> Page {
    let row = |event: &EventRecord| -> RawRow {
        let mut row: serde_json::Value = serde_json::from_str(&event.raw).unwrap();
        let (minutes, seconds) = (event.time / 60_000, event.time % 60_000);
        let time = format!(
            "1970-01-01T00:{minutes:02}:{:02}.{:03}000+00:00",
            seconds / 1000,
            seconds % 1000
        );
        let field = if *admission.log == *"authentication" {
            "isotimestamp"
        } else {
            "ts"
        };
        row[field] = time.into();
        row.to_string().into()
    };
    Page {
        log: admission.log.clone(),
        rows: admission.events.iter().map(row).collect(),
        marks: admission.marks.clone(),
        cursor: None,
        inventory: Vec::new(),
    }
}

/// Reads a journal live over a store, with rules swapped and the pipeline opened anew now and then.
async fn live(journal: &[Admission], holding: &Arc<Holding>, seed: u64) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
    let options = || Options {
        settings: Settings::default(),
        share_within: Duration::from_secs(3600),
        clock: Arc::new(|| NOW),
        observer: Arc::new(Logged),
        people: Arc::new(Nobody),
        holding: holding.clone(),
        ration: Arc::default(),
    };
    let mut dice = Dice(seed);
    let mut hash = "one".to_owned();
    let mut pipeline = Pipeline::open(tenant(), store.clone(), set(&ALL, &hash), options())
        .await
        .unwrap();
    for admission in journal {
        pipeline.settle().await.unwrap();
        pipeline.admit(page(admission)).await.unwrap();
        match dice.below(8) {
            0 => {
                hash.push('+');
                pipeline.replace_rules(set(&ALL, &hash)).await.unwrap();
            }
            1 => {
                pipeline.settle().await.unwrap();
                drop(pipeline);
                pipeline = Pipeline::open(tenant(), store.clone(), set(&ALL, &hash), options())
                    .await
                    .unwrap();
            }
            _ => {}
        }
    }
    pipeline.settle().await.unwrap();
    store
}

/// By id: title, evidence, repeats.
type Alerts = BTreeMap<String, (String, Vec<String>, u64)>;

/// What came of it: what each rule remembers, and alerts.
fn outcome(store: &dyn Store) -> (BTreeMap<String, RuleState>, Alerts) {
    let rules = store.rules("acme").unwrap();
    let own = rules.iter().filter(|row| !row.rule.starts_with("picket:"));
    let states = own.map(|row| {
        let state = store.state("acme", &row.rule, row.state_version).unwrap();
        assert_eq!(row.remembers, state.summary(), "{}", row.rule);
        (row.rule.to_string(), state)
    });
    let told = |alert: picket_store::AlertRow| {
        let json: serde_json::Value = serde_json::from_str(&alert.json).unwrap();
        let events = json["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().to_owned());
        let title = json["title"].as_str().unwrap().to_owned();
        (alert.id.to_string(), (title, events.collect(), alert.repeats))
    };
    let alerts = store.alerts("acme", &AlertFilter::default()).unwrap();
    (states.collect(), alerts.into_iter().map(told).collect())
}

fn event() -> impl Strategy<Value = Event> {
    (
        0..4_i64,
        0..40_i64,
        0..3_usize,
        0..2_u8,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(phase, offset, log, user, word, late)| Event {
            phase,
            offset,
            log,
            user,
            word,
            late,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_budget(events in prop::collection::vec(event(), 0..40).prop_map(tidy), seed: u64, turns: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for journal in [journal(&events, seed), journal_of_first_start(&events, seed)] {
            let run = |budget: u64| {
                let holding = Arc::new(Holding::new(budget));
                let store = runtime.block_on(live(&journal, &holding, turns));
                let usage = holding.usage();
                prop_assert!(usage.put_by <= budget && usage.lent == 0, "{:?}", usage);
                Ok((outcome(&*store), store, usage.loads))
            };
            let (all, store, loads) = run(u64::MAX)?;
            let (some, _, more) = run(1500)?;
            let (none, _, most) = run(0)?;
            prop_assert_eq!(&some, &all);
            prop_assert_eq!(&none, &all);
            prop_assert!(loads <= more && more <= most, "{} {} {}", loads, more, most);

            let stored = store.read("acme", 0, usize::MAX).unwrap();
            let (states, alerts) = all;
            let mut expected = Alerts::new();
            for does in ALL {
                let (kept, _) = reference(does, &stored);
                let id = &manifest(does).id;
                prop_assert_eq!(&states[id], &kept.rules[id].1, "{}", id);
                expected.extend(kept.alerts.into_iter().map(|(id, (title, events, repeats))| {
                    // Alerts name events as Duo does.
                    let events = events.iter().map(|event| event.split('~').next().unwrap().to_owned());
                    (id, (title, events.collect(), repeats))
                }));
            }
            prop_assert_eq!(alerts, expected);
        }
    }
}
