//! What the operator lets a module read: what it is shown, and that its alerts are the same whatever it is granted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Does, NOW, manifest, settings, tenant};
use picket_contract::manifest::Field;
use picket_contract::when::Test;
use picket_contract::{
    About, Admission, Batch, Call, Column, Evaluate, EventRecord, Failure, FieldType, Mark, Op, Outcome, Params,
    RuleAlert, RuleManifest, Source, When,
};
use picket_event::{Mask, Permission};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::{JudgedRule, Settings, TenantJudge, Terms, alerts};
use picket_store::AlertRow;
use serde_json::{Value, json};

const NUMBER: &str = "+15035550142";
const SPELT: &str = "+1 (503) 555-0142";
const CANARY: &str = "canary-4711-canary";

/// Writes whatever it is shown into an alert for each row, and keeps the batches.
#[derive(Debug, Default)]
struct Gossip(Mutex<Vec<Batch>>);

impl Evaluate for Gossip {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        self.0.lock().unwrap().push(call.batch.clone());
        let mut outcome = Outcome::default();
        for group in &call.batch.groups {
            for (row, event) in group.events.iter().enumerate() {
                let shown: Vec<&str> = group
                    .columns
                    .iter()
                    .filter_map(|column| cell(group, column, row))
                    .collect();
                let shown = shown.join(" and ");
                outcome.alerts.push(RuleAlert {
                    title: format!("{shown} got texts"),
                    dedup_key: Some(shown.clone()),
                    severity: None,
                    time: group.times[row],
                    about: Some(About {
                        kind: "phone".into(),
                        key: shown.clone(),
                        name: shown.clone(),
                    }),
                    facts: vec![("seen".into(), shown)],
                    evidence: vec![*event],
                    raised_by: *event,
                });
            }
        }
        Ok(outcome)
    }
}

fn cell<'a>(group: &'a picket_contract::Group, column: &Column, row: usize) -> Option<&'a str> {
    match column {
        Column::Text(codes) => group.text(codes[row]),
        _ => None,
    }
}

fn source(log: &str, paths: &[&str], when: When) -> Source {
    let field = |path: &&str| Field {
        path: (*path).to_owned(),
        kind: FieldType::Text,
        required: false,
    };
    Source {
        log: log.into(),
        name: String::new(),
        fields: paths.iter().map(field).collect(),
        when,
    }
}

fn of(sources: Vec<Source>) -> RuleManifest {
    RuleManifest {
        sources,
        ..manifest(Does::Windows)
    }
}

fn rows() -> Vec<Admission> {
    let mark = |log: &str| Mark::Complete {
        log: log.into(),
        to: 60_000,
    };
    let event = |id: &str, time, row: Value| EventRecord {
        id: id.into(),
        time,
        raw: row.to_string().into(),
    };
    let text = json!({"telephony_id": "p1", "phone": SPELT, "type": "sms", "context": CANARY, "txid": "t1"});
    let login = json!({"txid": "t1", "user": {"name": "ada"}, "auth_device": {"name": "My phone (503-555-0142)"}, "email": CANARY});
    vec![
        Admission {
            first_seq: 1,
            log: "telephony".into(),
            events: vec![event("p1", 1000, text)],
            marks: vec![mark("telephony")],
        },
        Admission {
            first_seq: 3,
            log: "authentication".into(),
            events: vec![event("a1", 2000, login)],
            marks: vec![mark("authentication")],
        },
    ]
}

fn judge(rule: &RuleManifest, permission: Permission, settings: Settings) -> (Vec<AlertRow>, Vec<Batch>) {
    assert_eq!(permission.refusals(rule), Vec::<String>::new());
    let gossip = Arc::new(Gossip::default());
    let mut judged = JudgedRule::new(
        Arc::new(rule.clone()),
        gossip.clone(),
        "test".into(),
        Arc::new(Params::new()),
    );
    judged.terms = Terms {
        permission: Arc::new(permission),
        ..Terms::default()
    };
    let nothing: &[Admission] = &[];
    let judge = TenantJudge::new(
        tenant(),
        settings,
        1,
        vec![judged],
        Dedup::default(),
        Acquaintance::default(),
        &nothing,
    );
    let journal = rows();
    let verdict = judge.unwrap().feed(0, &journal, &journal.as_slice(), NOW).unwrap();
    assert!(verdict.troubles.is_empty(), "{:?}", verdict.troubles);
    let batches = gossip.0.lock().unwrap().clone();
    (verdict.alerts, batches)
}

fn holds(batches: &[Batch], needle: &str) -> bool {
    let in_group = |group: &picket_contract::Group| {
        group
            .dictionary
            .windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    batches.iter().flat_map(|batch| &batch.groups).any(in_group)
}

fn both() -> RuleManifest {
    of(vec![
        source("telephony", &["phone", "phone.country", "phone.prefix"], When::always()),
        source(
            "authentication",
            &["auth_device.name", "auth_device.number"],
            When::always(),
        ),
    ])
}

#[test]
fn a_rule_is_shown_pseudonyms_that_join_and_nothing_it_did_not_declare() {
    let (alerts, batches) = judge(&both(), Permission::default(), settings(1000));
    let number = Mask::substitute().number(NUMBER);
    let titles: Vec<Value> = alerts.iter().map(title).collect();
    assert_eq!(
        titles,
        [
            json!(format!("{number} and US and +1503 got texts")),
            json!(format!("My phone ({number}) and {number} got texts")),
        ]
    );
    for hidden in ["5550142", "555-0142", CANARY, "t1", "ada"] {
        assert!(!holds(&batches, hidden), "{hidden}");
    }
    for alert in &alerts {
        for hidden in ["5550142", "555-0142"] {
            assert!(
                !alert.json.contains(hidden) && !alert.dedup_key.contains(hidden) && !alert.about.contains(hidden),
                "{alert:?}"
            );
        }
        let json: Value = serde_json::from_str(&alert.json).unwrap();
        assert_eq!(
            json["phones"][&number], "+1 •••0142",
            "people are told which number it is"
        );
        let legend = format!("phone     {number} is +1 •••0142");
        assert!(alerts::text(&alert.json, 0).lines().any(|line| line == legend));
        assert!(alert.json.contains(CANARY), "the evidence is whole but for numbers");
    }
}

fn title(alert: &AlertRow) -> Value {
    serde_json::from_str::<Value>(&alert.json).unwrap()["title"].clone()
}

#[test]
fn a_grant_shows_clear_numbers_and_changes_no_alert() {
    let (masked, _) = judge(&both(), Permission::default(), settings(1000));
    let (granted, batches) = judge(&both(), Permission::default().granting_clear(), settings(1000));
    assert!(
        holds(&batches, NUMBER) && holds(&batches, "My phone (503-555-0142)"),
        "it is granted"
    );
    assert_eq!(
        masked, granted,
        "ids, keys, titles, facts and evidence are those of before"
    );
    let (raw, batches) = judge(
        &of(vec![source("telephony", &["raw.phone"], When::always())]),
        Permission::default().granting_raw(),
        settings(1000),
    );
    assert!(holds(&batches, SPELT));
    assert_eq!(
        title(&raw[0]),
        json!(format!("{} got texts", Mask::substitute().number(NUMBER)))
    );
}

#[test]
fn evidence_is_kept_in_clear_by_express_wish_alone() {
    let clear = Settings {
        clear_numbers: true,
        ..settings(1000)
    };
    let (masked, _) = judge(&both(), Permission::default(), settings(1000));
    let (kept, _) = judge(&both(), Permission::default(), clear);
    let row = |alert: &AlertRow| serde_json::from_str::<Value>(&alert.json).unwrap()["raw"][0]["row"]["phone"].clone();
    assert_eq!(row(&kept[0]), SPELT);
    assert_eq!(row(&masked[0]), *Mask::substitute().number(NUMBER));
    assert_eq!((&kept[0].id, title(&kept[0])), (&masked[0].id, title(&masked[0])));
}

#[test]
fn what_is_refused_is_null() {
    let denying = Permission::default()
        .denying("auth_device.*")
        .unwrap()
        .denying("phone")
        .unwrap();
    assert_eq!(denying.absences(&both()).len(), 5, "{:?}", denying.absences(&both()));
    let (alerts, batches) = judge(&both(), denying, settings(1000));
    assert!(
        !holds(&batches, "phone:") && !holds(&batches, "US") && !holds(&batches, "My phone"),
        "{batches:?}"
    );
    let titles: Vec<Value> = alerts.iter().map(title).collect();
    assert_eq!(titles, [json!(" got texts")], "two alerts of one key are one");
    // As received without a grant, the same.
    let raw = of(vec![source("telephony", &["raw.phone", "type"], When::always())]);
    let (alerts, _) = judge(&raw, Permission::default(), settings(1000));
    assert_eq!(title(&alerts[0]), "sms got texts");
}

#[test]
fn a_condition_is_a_way_of_reading() {
    let test = |op: Op, value: &str| {
        When::Test(Test {
            field: "phone".into(),
            op,
            values: vec![value.to_owned()],
            param: None,
        })
    };
    let rule = |op, value| of(vec![source("telephony", &["type"], test(op, value))]);
    let shown = |rule: &RuleManifest, permission: Permission| judge(rule, permission, settings(1000)).0.len();
    // Equal to a number that the rule or the operator names, in any spelling: told without showing the number.
    assert_eq!(shown(&rule(Op::In, "503-555-0142"), Permission::default()), 1);
    assert_eq!(shown(&rule(Op::In, "+15035550143"), Permission::default()), 0);
    // How it begins is told by nothing but the prefix.
    assert_eq!(shown(&rule(Op::Prefix, "+1503"), Permission::default()), 0);
    assert_eq!(
        shown(&rule(Op::Prefix, "+1503"), Permission::default().granting_clear()),
        1
    );
    // What is refused cannot be asked for in a condition either: the rule does not judge.
    let denying = Permission::default().denying("phone").unwrap();
    let sentences = denying.refusals(&rule(Op::Present, ""));
    assert_eq!(
        sentences,
        ["its condition reads phone of telephony: the operator refuses it with deny_fields `phone`"]
    );
    let mut required = both();
    required.sources[0].fields[0].required = true;
    assert_eq!(
        denying.refusals(&required),
        ["it cannot do without phone of telephony: the operator refuses it with deny_fields `phone`"]
    );
    let raw = of(vec![source("telephony", &[], {
        let mut test = test(Op::Present, "");
        if let When::Test(test) = &mut test {
            test.field = "raw.phone".into();
        }
        test
    })]);
    let sentences = Permission::default().refusals(&raw);
    assert!(sentences[0].contains("`grant: [raw]`"), "{sentences:?}");
    assert!(Permission::default().granting_raw().refusals(&raw).is_empty());
}
