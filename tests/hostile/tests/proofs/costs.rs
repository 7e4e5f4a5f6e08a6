//! What the SDK's helpers cost, in the stock rules that use them: the table in docs/rules.md, printed.
//!
//! Fuel is the same on every machine, so what is printed is what is written there, until the SDK or the rules change. What is
//! asserted is only that a helper never costs so much that the limits would no longer fit.

use std::sync::{Arc, Mutex};

use picket_contract::{Call, Evaluate, Failure, Outcome, RawRow};
use picket_judge::replay::Rows;
use picket_sandbox::{Engine, Limits, Module};
use serde_json::{Value, json};

use crate::stock;

/// Rows that each rule is shown, and in one call.
const ROWS: usize = 2000;
const CALL: usize = 200;
/// Most fuel a row: a call of a thousand rows must fit its budget several times over.
const MOST: u64 = 40_000;
/// 2026-11-18T00:00:00Z, s.
const MIDNIGHT: i64 = 1_794_960_000;

/// Writes down rows and fuel of the calls of one rule.
#[derive(Debug)]
struct Meter {
    module: Arc<Module>,
    rule: &'static str,
    calls: Arc<Mutex<Vec<(usize, u64)>>>,
}

impl Evaluate for Meter {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let (rule, rows) = (call.rule, call.batch.order.len());
        let outcome = self.module.evaluate(call)?;
        if rule == self.rule {
            self.calls.lock().unwrap().push((rows, outcome.usage.fuel));
        }
        Ok(outcome)
    }
}

fn time(second: usize) -> String {
    let second = second % 86_400;
    format!(
        "2026-11-18T{:02}:{:02}:{:02}.000000+00:00",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A login, with whatever is said over it.
fn login(number: usize, apart: usize, more: &[(&str, Value)]) -> RawRow {
    let second = number * apart;
    let mut row = json!({
        "txid": format!("e{number}"), "timestamp": MIDNIGHT + second as i64, "isotimestamp": time(second),
        "event_type": "authentication", "result": "success", "reason": "user_approved", "factor": "duo_push",
        "user": {"name": "ada", "key": "DUADA"}, "application": {"key": "DIVPN", "name": "VPN"},
        "access_device": {"ip": "198.51.100.7", "location": {"country": "France"}},
    });
    for (name, value) in more {
        row[name] = value.clone();
    }
    row.to_string().into()
}

fn user(number: usize) -> (&'static str, Value) {
    (
        "user",
        json!({"name": format!("user{number}"), "key": format!("DU{number:018}")}),
    )
}

/// 2000 rows of a log.
fn log(name: &str, row: impl Fn(usize) -> RawRow) -> Vec<Rows> {
    vec![Rows {
        log: name.into(),
        rows: (0..ROWS).map(row).collect(),
    }]
}

#[test]
fn what_a_helper_costs_is_bounded_and_printed() {
    let engine = Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    });
    let modules = stock::modules(&engine.unwrap());
    let word = |name, word: &str| (name, Value::from(word));
    let refused = [word("result", "denied"), word("reason", "user_cancelled")];
    let bypassed = [word("factor", "bypass_code"), word("reason", "valid_passcode")];
    let text = |number: usize| -> RawRow {
        json!({"context": "authentication", "credits": 1, "phone": format!("+1312555{number:04}"), "ts": time(number * 20),
            "telephony_id": format!("t{number}"), "txid": format!("x{number}"), "type": "sms"})
        .to_string()
        .into()
    };
    let with = |more: &[(&'static str, Value)], one: (&'static str, Value)| [more, &[one]].concat();
    let measured = [
        (
            "Windows: add, within (a dozen entries)",
            "mfa-fatigue-denied-burst",
            log("authentication", |number| {
                login(number, 20, &with(&refused, user(number % 166)))
            }),
        ),
        (
            "Distincts: add, within twice (three values)",
            "auth-failure-spray",
            log("authentication", |number| {
                let address = json!({"ip": format!("198.51.{}.{}", number / 600, number / 3 % 200)});
                login(
                    number,
                    20,
                    &with(&with(&refused, user(number)), ("access_device", address)),
                )
            }),
        ),
        (
            "Firsts: is_new of what is known",
            "new-access-country",
            log("authentication", |number| login(number, 20, &[user(number % 200)])),
        ),
        (
            "Lasts: swap of what it is",
            "auth-failure-spray",
            log("authentication", |number| login(number, 20, &[user(number % 200)])),
        ),
        (
            "Joins: right (a dozen events)",
            "bypass-code-created-then-used",
            log("authentication", |number| {
                login(number, 20, &with(&bypassed, user(number % 166)))
            }),
        ),
        (
            "Silences: expect, later rang with an alert",
            "telephony-without-auth",
            log("telephony", text),
        ),
        (
            "Silences: came",
            "telephony-without-auth",
            log("authentication", |number| {
                login(number, 20, &[word("factor", "sms_passcode")])
            }),
        ),
        (
            "Silences: beat, now and then with Baselines: add",
            "application-went-silent",
            log("authentication", |number| {
                let application =
                    json!({"key": format!("DI{}", number % 12), "name": format!("Application {}", number % 12)});
                login(number, 20, &[("application", application)])
            }),
        ),
    ];
    for (what, rule, logs) in measured {
        let calls = Arc::default();
        let metered = |module: &Arc<Module>| -> Arc<dyn Evaluate> {
            Arc::new(Meter {
                module: Arc::clone(module),
                rule,
                calls: Arc::clone(&calls),
            })
        };
        let rules = stock::rules(&modules, metered);
        let rules = rules.into_iter().filter(|judged| judged.manifest.id == rule).collect();
        stock::judge("acme", rules, &logs, CALL);
        let calls: Vec<(usize, u64)> = std::mem::take(&mut *calls.lock().unwrap());
        let (rows, fuel) = calls
            .iter()
            .fold((0, 0), |(rows, fuel), call| (rows + call.0, fuel + call.1));
        assert_eq!(rows, ROWS, "{what}: {calls:?}");
        let each = fuel / ROWS as u64;
        println!("{what}: {each} fuel a row ({rule}, {} calls)", calls.len());
        assert!(each > 0 && each < MOST, "{what}: {each}");
    }
}
