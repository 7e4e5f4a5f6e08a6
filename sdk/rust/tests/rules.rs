//! What an author writes, from the manifest to the alert.

mod support;

use picket::prelude::*;
use picket_contract::manifest::{FieldType, Manifest, ParamType};
use picket_contract::{FailureKind, ParamValue, Severity as Level};
use serde_json::json;
use support::{Bench, batch, line};

/// A login or a change.
#[derive(Event)]
enum Step<'a> {
    /// A change.
    #[event(log = "admin", when = action_name == "bypass_create" && actor_type != "user")]
    Changed { subject_user: &'a str },
    /// A login.
    #[event(log = "authentication", when = result == "success" && !params.quiet.contains(user_name))]
    LoggedIn {
        user_name: &'a str,
        access_device_ip: Option<&'a str>,
    },
}

#[derive(Params)]
struct Settings {
    /// How many.
    #[param(default = 3, range = 2..=100)]
    count: usize,
    /// How long.
    #[param(default = "30m", range = "1m"..="24h")]
    window: Span,
    /// Who is not meant.
    #[param(default = ["svc \"x\""])]
    quiet: Vec<String>,
    /// How sure.
    #[param(default = 0.5)]
    ratio: f64,
}

#[derive(State)]
#[state(version = 4)]
struct Memory {
    #[state(keep = "24h", cap = 200)]
    seen: Windows,
    #[state(keep = "90d")]
    last: Lasts,
}

/// Somebody did something.
///
/// It is \"odd\".
///
/// # Check
/// - One,
///   two.
/// - Three.
///
/// # Act
/// - Four.
///
/// # False positives
/// - Five.
#[rule(id = "odd", severity = "low", attack = ["T1621"], dedup = "15m", supersedes = ["even"], version = "2.0.1")]
fn odd(step: Row<Step>, settings: &Settings, memory: &mut Memory) -> Option<Alert> {
    match *step {
        Step::Changed { subject_user } => {
            memory.seen.of(subject_user).add(&step);
            None
        }
        Step::LoggedIn {
            user_name,
            access_device_ip,
        } => {
            let usual = memory.last.of(user_name).swap(access_device_ip);
            let burst = memory.seen.of(user_name).take(settings.window);
            if burst.len() < settings.count {
                return None;
            }
            Some(
                step.alert(format!("{user_name}: {}", burst.len()))
                    .fact("usual", usual)
                    .evidence(burst),
            )
        }
    }
}

/// Always.
///
/// # Check
/// - a
/// # Act
/// - b
/// # False positives
/// - c
#[rule(id = "always", severity = "info")]
fn always(step: Row<Step>, _: &Settings) -> Alert {
    step.alert("always")
        .severity(Severity::Critical)
        .about("ip", "k", "n")
        .dedup("d")
        .fact("late", step.is_late())
}

/// Never: it fails.
///
/// # Check
/// - a
/// # Act
/// - b
/// # False positives
/// - c
#[allow(clippy::panic, reason = "to see what becomes of it")]
#[rule(id = "fails", severity = "info")]
fn fails(step: Row<Step>, _: &Settings) -> Result<Option<Alert>, String> {
    match *step {
        Step::Changed { .. } => Err("not today".to_owned()),
        Step::LoggedIn { .. } => panic!("at all"),
    }
}

picket::module!(odd, always, fails);

fn bench(rule: &'static str) -> Bench {
    Bench::new(&MODULE, rule)
        .with("count", ParamValue::Integer(2))
        .with("window", ParamValue::Integer(1_000))
        .with("quiet", ParamValue::Texts(Vec::new()))
        .with("ratio", ParamValue::Integer(1))
}

#[test]
fn the_manifest_is_the_contracts() {
    let manifest: Manifest = serde_json::from_str(&MODULE.describe()).unwrap();
    assert_eq!(manifest.schema, picket_contract::manifest::SCHEMA);
    let [odd, always, _] = manifest.rules.as_slice() else {
        panic!("three rules")
    };
    assert_eq!(
        (odd.id.as_str(), odd.version.as_str(), odd.severity),
        ("odd", "2.0.1", Level::Low)
    );
    assert_eq!(
        (odd.title.as_str(), odd.description.as_str()),
        ("Somebody did something.", "It is \\\"odd\\\".")
    );
    assert_eq!(odd.check, ["One, two.", "Three."]);
    assert_eq!(
        (odd.act.as_slice(), odd.false_positives.as_slice()),
        (&["Four.".to_owned()][..], &["Five.".to_owned()][..])
    );
    assert_eq!(
        (odd.attack.as_slice(), odd.supersedes.as_slice()),
        (&["T1621".to_owned()][..], &["even".to_owned()][..])
    );
    assert_eq!(odd.dedup_period_ms, 900_000);

    let [changed, logged_in] = odd.sources.as_slice() else {
        panic!("two sources")
    };
    assert_eq!((changed.log.as_str(), changed.name.as_str()), ("admin", "Changed"));
    let fields: Vec<_> = logged_in
        .fields
        .iter()
        .map(|field| (field.path.as_str(), field.kind, field.required))
        .collect();
    assert_eq!(
        fields,
        [
            ("user.name", FieldType::Text, true),
            ("access_device.ip", FieldType::Text, false)
        ]
    );
    assert_eq!(
        serde_json::to_value(&logged_in.when).unwrap(),
        json!({"all": [
            {"field": "result", "op": "in", "values": ["success"]},
            {"not": {"field": "user.name", "op": "in", "param": "quiet"}},
        ]})
    );

    let params: Vec<_> = odd
        .params
        .iter()
        .map(|param| (param.name.as_str(), param.kind, param.default.clone()))
        .collect();
    assert_eq!(
        params,
        [
            ("count", ParamType::Integer, json!(3)),
            ("window", ParamType::Duration, json!("30m")),
            ("quiet", ParamType::Texts, json!(["svc \"x\""])),
            ("ratio", ParamType::Number, json!(0.5)),
        ]
    );
    assert_eq!(
        (odd.params[1].min.clone(), odd.params[1].max.clone()),
        (Some(json!("1m")), Some(json!("24h")))
    );
    assert_eq!((odd.state.version, odd.state.look_back_ms), (4, 90 * 86_400_000));
    let stores: Vec<_> = odd
        .state
        .stores
        .iter()
        .map(|store| (store.name.as_str(), store.kind.as_str(), store.cap))
        .collect();
    assert_eq!(stores, [("seen", "windows", 200), ("last", "lasts", 1024)]);
    assert_eq!(
        (always.version.as_str(), always.dedup_period_ms),
        (env!("CARGO_PKG_VERSION"), 0)
    );
}

#[test]
fn rows_of_two_logs_come_in_their_order_and_are_evidence() {
    let mut bench = bench("odd");
    let alerts = bench.judge(&[
        line(0, 100, &["ada"]),
        line(1, 200, &["ada", "203.0.113.9"]),
        line(0, 300, &["ada"]),
        line(0, 400, &["ada"]),
        line(0, 450, &["bob"]),
        line(1, 500, &["ada", "203.0.113.9"]),
        line(1, 600, &["bob", ""]),
    ]);
    let [alert] = alerts.as_slice() else {
        panic!("{alerts:?}")
    };
    assert_eq!((alert.title.as_str(), alert.time, alert.raised_by), ("ada: 2", 500, 6));
    assert_eq!(alert.evidence, [3, 4, 6]);
    assert_eq!(alert.facts, [("usual".to_owned(), "true".to_owned())]);
    assert_eq!((&alert.dedup_key, &alert.about, alert.severity), (&None, &None, None));
}

#[test]
fn an_alert_carries_what_the_rule_said() {
    let alerts = bench("always").judge(&[line(0, 100, &["ada"])]);
    let alert = &alerts[0];
    assert_eq!(
        (alert.severity, alert.dedup_key.as_deref()),
        (Some(Level::Critical), Some("d"))
    );
    let about = alert.about.as_ref().unwrap();
    assert_eq!(
        (about.kind.as_str(), about.key.as_str(), about.name.as_str()),
        ("ip", "k", "n")
    );
    assert_eq!((alert.evidence.as_slice(), alert.raised_by), (&[1][..], 1));
}

#[test]
fn failures_have_their_kind() {
    let mut bench = bench("fails");
    let failure = bench.call(&batch(&[line(0, 1, &["ada"])], 1, 1)).unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::RuleError, "not today")
    );
    let failure = bench.call(&batch(&[line(1, 1, &["ada", ""])], 1, 1)).unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Trap, "at all"));
    assert!(bench.call(&batch(&[], 1, 1)).is_ok());
}

#[test]
fn a_batch_that_breaks_the_contract_is_an_error() {
    let mut bench = bench("always");
    let good = batch(&[line(1, 1, &["ada", "203.0.113.9"]), line(0, 1, &["ada"])], 1, 1);
    assert!(bench.call(&good).is_ok());
    let mut broken = Vec::new();
    for spoil in [
        (|batch| batch.order.push(0)) as fn(&mut picket_contract::Batch),
        |batch| batch.order[0] = 9,
        |batch| batch.groups[0].dictionary[0] = 0xff,
        |batch| batch.groups[0].offsets[1] = 4_000,
        |batch| batch.groups[0].source = 7,
        |batch| batch.groups[0].columns.clear(),
        |batch| batch.groups[0].times.clear(),
        |batch| batch.groups[1].columns = vec![picket_contract::Column::Text(vec![picket_contract::NULL])],
        |batch| batch.groups[1].columns = vec![picket_contract::Column::Bool(vec![1])],
    ] {
        let mut batch = good.clone();
        spoil(&mut batch);
        broken.push(bench.call(&batch).unwrap_err().kind);
    }
    assert!(broken.iter().all(|kind| *kind == FailureKind::RuleError), "{broken:?}");
}

#[test]
fn a_parameter_that_the_host_lacks_is_an_error() {
    let mut bench = Bench::new(&MODULE, "odd");
    let failure = bench.call(&batch(&[line(0, 1, &["ada"])], 1, 1)).unwrap_err();
    assert_eq!(failure.message, "the host has no integer `count`");
}
