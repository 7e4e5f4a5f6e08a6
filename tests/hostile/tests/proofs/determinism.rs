//! The stock rules over 100,000 events: the same alerts with the same ids on two threads at once, in batches of 1, 7, 100 and
//! 1000; and every call of one thread costs what the same call costs on the other.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use duo_simulator::company::Options;
use picket_contract::{Batch, Call, Column, Evaluate, Failure, Outcome};
use picket_judge::replay::Rows;
use picket_sandbox::{Engine, Limits};
use picket_store::AlertRow;

use crate::stock;

const EVENTS: usize = 100_000;
/// Rows of one call at most.
const BATCHES: [usize; 4] = [1, 7, 100, 1000];

/// Six weeks of a company, and as much of its last day as makes up the number.
fn events() -> Vec<Rows> {
    let mut logs = stock::company(&Options {
        users: 1500,
        target_events: Some(40_000),
        ..Options::default()
    });
    // The oldest go, so that the last day and what is planted in it stay; of all logs those before one moment, as an account has
    // them: texts whose logins are not there are for no login.
    let mut times: Vec<(String, usize)> = Vec::new();
    for (number, log) in logs.iter().enumerate() {
        times.extend(log.rows.iter().map(|row| (time(row), number)));
    }
    times.sort();
    let surplus = times.len().checked_sub(EVENTS);
    let surplus = surplus.unwrap_or_else(|| panic!("too few events: {}", times.len()));
    let gone = |number: usize| times[..surplus].iter().filter(|(_, log)| *log == number).count();
    for (number, log) in logs.iter_mut().enumerate() {
        log.rows.drain(..gone(number));
    }
    assert_eq!(logs.iter().map(|log| log.rows.len()).sum::<usize>(), EVENTS);
    logs
}

/// When a row happened, in letters that sort.
fn time(row: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    let time = row.get("isotimestamp").or_else(|| row.get("ts"));
    time.unwrap().as_str().unwrap().to_owned()
}

/// Writes down what each call was, cost and gave.
#[derive(Debug)]
struct Recorder {
    inner: Arc<dyn Evaluate>,
    calls: Arc<Mutex<Vec<Recorded>>>,
}

/// One call: what was asked, its fuel and memory, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recorded {
    asked: u64,
    fuel: u64,
    memory: u64,
    answered: u64,
}

impl Evaluate for Recorder {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let asked = asked(&call);
        let answer = self.inner.evaluate(call);
        let outcome = answer
            .as_ref()
            .unwrap_or_else(|failure| panic!("{}: {failure}", call.rule));
        let mut hasher = DefaultHasher::new();
        format!("{:?} {:?} {:?}", outcome.alerts, outcome.changes, outcome.log).hash(&mut hasher);
        let recorded = Recorded {
            asked,
            fuel: outcome.usage.fuel,
            memory: outcome.usage.memory,
            answered: hasher.finish(),
        };
        self.calls.lock().unwrap().push(recorded);
        answer
    }
}

/// The rule and its rows. What it remembers follows from the calls before.
fn asked(call: &Call<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Batch {
        groups,
        order,
        watermark,
        ..
    } = call.batch;
    (call.rule, order, watermark).hash(&mut hasher);
    for group in groups {
        (
            group.source,
            &group.events,
            &group.times,
            &group.late,
            &group.dictionary,
            &group.offsets,
        )
            .hash(&mut hasher);
        for column in &group.columns {
            match column {
                Column::Text(codes) => codes.hash(&mut hasher),
                Column::S64 { values, valid } => (values, valid).hash(&mut hasher),
                Column::F64 { values, valid } => {
                    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
                    (bits, valid).hash(&mut hasher);
                }
                Column::Bool(values) => values.hash(&mut hasher),
                Column::Texts { offsets, codes } => (offsets, codes).hash(&mut hasher),
            }
        }
    }
    hasher.finish()
}

/// Shows the first difference alone.
fn assert_same(one: &[AlertRow], other: &[AlertRow], what: &str) {
    let ids = |alerts: &[AlertRow]| {
        alerts
            .iter()
            .map(|alert| format!("{} {}", alert.id, alert.rule))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(one), ids(other), "{what}");
    for (one, other) in one.iter().zip(other) {
        let words = |alert: &AlertRow| {
            format!("{alert:?}")
                .split_inclusive(',')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (left, right) = (words(one), words(other));
        let differs = left.iter().zip(&right).position(|(left, right)| left != right);
        if let Some(at) = differs {
            let (from, to) = (at.saturating_sub(3), (at + 3).min(left.len()).min(right.len()));
            panic!(
                "{what}: {} {}: {:?}\nnot {:?}",
                one.rule,
                one.id,
                &left[from..to],
                &right[from..to]
            );
        }
        assert!(left == right, "{what}: {} {}", one.rule, one.id);
    }
}

#[test]
fn the_same_events_give_the_same_alerts_and_cost_the_same() {
    let logs = events();
    let engine = Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    });
    let modules = stock::modules(&engine.unwrap());
    let mut first: Option<Vec<AlertRow>> = None;
    for batch_rows in BATCHES {
        let began = Instant::now();
        let run = || {
            let calls = Arc::default();
            let recorded = |module: &Arc<_>| -> Arc<dyn Evaluate> {
                let inner: Arc<picket_sandbox::Module> = Arc::clone(module);
                Arc::new(Recorder {
                    inner,
                    calls: Arc::clone(&calls),
                })
            };
            let rules = stock::rules(&modules, recorded);
            let replayed = stock::judge("acme", rules, &logs, batch_rows);
            assert_eq!(replayed.events, EVENTS as u64);
            let calls = std::mem::take(&mut *calls.lock().unwrap());
            // In which order alerts of several rules come up is a matter of how rows were cut into calls.
            let mut alerts = replayed.alerts;
            alerts.sort_by(|one, other| one.id.cmp(&other.id));
            (alerts, calls)
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(run);
            (run(), other.join().unwrap())
        });
        let differs = one.1.iter().zip(&other.1).position(|(one, other)| one != other);
        assert!(
            differs.is_none() && one.1.len() == other.1.len(),
            "batches of {batch_rows}: of {} and {} calls, number {differs:?} differs: {:?}",
            one.1.len(),
            other.1.len(),
            differs.map(|at| (one.1[at], other.1[at])),
        );
        assert_same(&one.0, &other.0, &format!("batches of {batch_rows}, two threads"));
        let first = first.get_or_insert_with(|| one.0.clone());
        assert_same(&one.0, first, &format!("batches of {batch_rows} and {}", BATCHES[0]));
        println!(
            "{EVENTS} events in batches of {batch_rows}, twice: {} alerts, {} calls, {} fuel, {:.1} s",
            one.0.len(),
            one.1.len(),
            one.1.iter().map(|call| call.fuel).sum::<u64>(),
            began.elapsed().as_secs_f64()
        );
    }
    let alerts = first.unwrap();
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in &alerts {
        *rules.entry(&alert.rule).or_default() += 1;
    }
    println!("{rules:?}");
    assert!(rules.len() >= 12, "too few rules have anything to say: {rules:?}");
    // What one day's intruders do is told of some dozen times a rule: more would be noise.
    assert!(rules.values().all(|alerts| *alerts <= 40), "{rules:?}");
}

/// Rules of one module are called one after the other, by its digest; nothing of that may show.
#[test]
fn the_order_of_rules_changes_nothing() {
    let logs = stock::company(&Options::default());
    let modules = stock::modules(&Engine::new(Limits::default()).unwrap());
    let rules = || stock::rules(&modules, |module| Arc::clone(module) as Arc<dyn Evaluate>);
    let straight = stock::judge("acme", rules(), &logs, 1000).alerts;
    assert!(straight.len() > 30, "{} alerts", straight.len());

    let mut turned = rules();
    turned.reverse();
    let turned = stock::judge("acme", turned, &logs, 1000).alerts;
    assert_same(&straight, &turned, "rules the other way round");

    // As if each were of a module of its own, and these came the other way round too.
    let mut apart = rules();
    for (number, rule) in apart.iter_mut().rev().enumerate() {
        rule.module = format!("sha256:{number:064}").into();
    }
    let apart = stock::judge("acme", apart, &logs, 1000).alerts;
    let told = |alerts: &[AlertRow]| -> Vec<String> {
        let told = alerts.iter().map(|alert| format!("{} {}", alert.id, alert.rule));
        told.collect()
    };
    assert_eq!(told(&straight), told(&apart), "modules the other way round");
}
