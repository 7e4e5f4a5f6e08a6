//! Two versions over one stored journal: what differs is found, on equal footing, and nothing of the tenant's is touched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::cell::Cell;
use std::sync::Arc;

use common::{Does, Event, NOW, Native, journal, manifest, settings, tenant};
use picket_contract::{Call, Evaluate, Failure, FailureKind, Outcome, Params, Tables, Usage};
use picket_judge::pipeline::RuleSpec;
use picket_judge::shadow::{Run, Shadowed, Stopped, run};
use picket_judge::{Mode, OnPoison, Terms};
use picket_store::{AlertFilter, SqliteStore, Store, Transaction};

/// Denials of one user (half seconds from the beginning of a phase of 20 s).
fn denials(phase: i64, offsets: &[i64]) -> Vec<Event> {
    let event = |offset: &i64| Event {
        phase,
        offset: *offset,
        log: 0,
        user: 0,
        word: false,
        late: false,
    };
    offsets.iter().map(event).collect()
}

fn stored(events: &[Event]) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
    for admission in journal(events, 7) {
        let transaction = Transaction {
            admissions: vec![admission],
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
    }
    store
}

fn spec(evaluator: Arc<dyn Evaluate>, look_back_ms: i64) -> RuleSpec {
    let mut manifest = manifest(Does::Windows);
    manifest.state.look_back_ms = look_back_ms;
    manifest.dedup_period_ms = 0;
    RuleSpec {
        manifest: Arc::new(manifest),
        evaluator,
        module: "sha256:any".into(),
        attack_version: "19".into(),
        params: Arc::new(Params::new()),
        tables: Arc::new(Tables::default()),
        terms: Terms {
            // What is said of live judging is not what is found out.
            mode: Mode::Paused,
            on_poison: OnPoison::Skip,
            ..Terms::default()
        },
    }
}

fn windows(look_back_ms: i64) -> Vec<RuleSpec> {
    vec![spec(Arc::new(Native(Does::Windows)), look_back_ms)]
}

fn compare(store: &Arc<dyn Store>, old: &[RuleSpec], new: &[RuleSpec], from: i64, most_events: u64) -> Shadowed {
    let what = Run {
        store,
        tenant: &tenant(),
        settings: settings(1000),
        old,
        new,
        from,
        most_events,
        most_fuel: 1000,
        now: NOW,
    };
    run(what, || true).unwrap()
}

/// Says it otherwise, costs so much a call, or fails.
#[derive(Debug, Default)]
struct Changed {
    title: Option<&'static str>,
    mutes: bool,
    fuel: u64,
    fails: bool,
}

impl Evaluate for Changed {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let usage = Usage {
            fuel: self.fuel,
            ..Usage::default()
        };
        if self.fails && !call.batch.order.is_empty() {
            return Err(Failure::new(FailureKind::Trap, "unreachable", usage));
        }
        let mut outcome = Native(Does::Windows).evaluate(call)?;
        outcome.usage = usage;
        if let Some(title) = self.title {
            outcome
                .alerts
                .iter_mut()
                .for_each(|alert| title.clone_into(&mut alert.title));
        }
        if self.mutes {
            outcome.alerts.clear();
        }
        Ok(outcome)
    }
}

fn changed(changed: Changed) -> Vec<RuleSpec> {
    vec![spec(Arc::new(changed), 60_000)]
}

#[test]
fn what_two_versions_raise_is_compared_and_nothing_is_left_behind() {
    let store = stored(&[denials(0, &[2, 4, 6]), denials(2, &[2, 4, 6])].concat());
    let before = store.last_seq("acme").unwrap();
    let same = compare(&store, &windows(60_000), &windows(60_000), i64::MIN, 1000);
    assert_eq!((same.events, same.span), (6, Some((1000, 43_000))));
    assert_eq!((same.old.alerts.len(), same.difference().same), (2, 2));
    assert!(same.difference().is_none() && same.stopped.is_none());

    let other = changed(Changed {
        title: Some("other"),
        ..Changed::default()
    });
    let difference = compare(&store, &windows(60_000), &other, i64::MIN, 1000).difference();
    assert_eq!(difference.changed.len(), 2);
    let (was, is) = &difference.changed[0];
    assert_eq!(
        (was.id.clone(), was.title.as_str(), is.title.as_str()),
        (is.id.clone(), "u0 denied", "other")
    );
    assert_eq!(was.events, ["e0", "e1", "e2"]);

    let mute = changed(Changed {
        mutes: true,
        ..Changed::default()
    });
    assert_eq!(
        compare(&store, &windows(0), &mute, i64::MIN, 1000)
            .difference()
            .lost
            .len(),
        2
    );
    assert_eq!(
        compare(&store, &mute, &windows(0), i64::MIN, 1000)
            .difference()
            .gained
            .len(),
        2
    );
    assert_eq!(
        compare(&store, &[], &windows(0), i64::MIN, 1000)
            .difference()
            .gained
            .len(),
        2
    );

    assert_eq!(store.last_seq("acme").unwrap(), before);
    assert!(store.rules("acme").unwrap().is_empty());
    for shadow in [false, true] {
        let filter = AlertFilter {
            shadow,
            ..AlertFilter::default()
        };
        assert!(store.alerts("acme", &filter).unwrap().is_empty());
    }
}

#[test]
fn both_know_what_came_before_what_is_compared() {
    // Two denials before, one after: whoever has not looked back misses it.
    let store = stored(&[denials(0, &[34, 36]), denials(1, &[0]), denials(3, &[2, 4, 6])].concat());
    let with = compare(&store, &windows(60_000), &windows(60_000), 20_000, 1000);
    assert_eq!((with.events, with.old.alerts.len(), with.new.alerts.len()), (4, 2, 2));
    let without = compare(&store, &windows(0), &windows(0), 20_000, 1000);
    assert_eq!((without.events, without.old.alerts.len()), (4, 1));
    // What one of them wants, both are given: neither is on better footing.
    let mixed = compare(&store, &windows(0), &windows(60_000), 20_000, 1000);
    assert!(mixed.difference().is_none() && mixed.old.alerts.len() == 2);
    // Of many events the latest.
    let few = compare(&store, &windows(0), &windows(0), i64::MIN, 3);
    assert!(few.events <= 3 && few.span.unwrap().0 >= 60_000, "{few:?}");
    let none = compare(&store, &windows(60_000), &windows(60_000), 90_000, 1000);
    assert_eq!((none.events, none.difference().is_none()), (0, true));
}

#[test]
fn a_failure_stops_the_version_that_fails_and_is_told() {
    let store = stored(&denials(0, &[2, 4, 6]));
    let fails = changed(Changed {
        fails: true,
        ..Changed::default()
    });
    let ran = compare(&store, &windows(0), &fails, i64::MIN, 1000);
    assert_eq!((ran.old.failures.len(), ran.old.alerts.len()), (0, 1));
    assert_eq!(
        ran.new.failures.len(),
        1,
        "no row is skipped here, whatever is said of live judging"
    );
    let failed = &ran.new.failures[0];
    assert_eq!((failed.rule.as_str(), failed.event.as_deref()), ("windows", Some("e0")));
    assert!(failed.reason.contains("unreachable"));
}

#[test]
fn a_run_ends_when_it_costs_too_much_or_is_wanted_no_more() {
    let store = stored(&[denials(0, &[2, 4, 6]), denials(2, &[2, 4, 6])].concat());
    let costly = changed(Changed {
        fuel: 1001,
        ..Changed::default()
    });
    let ran = compare(&store, &windows(0), &costly, i64::MIN, 1000);
    assert_eq!(ran.stopped, Some(Stopped::Fuel));
    assert!(ran.new.all_fuel() > 1000 && ran.new.all_fuel() < 5000);
    let asked = Cell::new(0);
    let what = Run {
        store: &store,
        tenant: &tenant(),
        settings: settings(1000),
        old: &windows(0),
        new: &windows(0),
        from: i64::MIN,
        most_events: 1000,
        most_fuel: 1000,
        now: NOW,
    };
    let ran = run(what, || {
        asked.set(asked.get() + 1);
        false
    });
    assert_eq!((ran.unwrap().stopped, asked.get()), (Some(Stopped::Cancelled), 1));
}
