//! The demo's judging without the demo: the stock rules, compiled natively, over simulated companies. What was planted is found,
//! and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use duo_simulator::company::{Options, generate};
use duo_simulator::json::dumps;
use duo_simulator::model::{self, Account, Feed};
use picket::testing::Native;
use picket_contract::{Manifest, params};
use picket_judge::replay::{Rows, replay};
use picket_judge::{JudgedRule, Settings, Tenant};
use serde_json::Value;

use super::picket::Alert;
use super::simulator::{Kind, Planted};
use super::verdict::{EXPECTED, Verdict};

fn stock() -> Vec<JudgedRule> {
    let modules: [&'static picket::Module; 8] = [
        &rules_admin_actions::MODULE,
        &rules_bypass::MODULE,
        &rules_collector::MODULE,
        &rules_guessing::MODULE,
        &rules_place_device::MODULE,
        &rules_push_abuse::MODULE,
        &rules_takeover::MODULE,
        &rules_telephony::MODULE,
    ];
    let mut rules = Vec::new();
    for module in modules {
        let manifest: Manifest = serde_json::from_str(&module.describe()).unwrap();
        let evaluator = Arc::new(Native::new(module));
        for rule in manifest.rules {
            let params = params::resolve(&rule, &BTreeMap::new()).unwrap();
            rules.push(JudgedRule::new(
                Arc::new(rule),
                evaluator.clone(),
                "sha256:native".into(),
                Arc::new(params),
            ));
        }
    }
    rules
}

fn alerts(account: &Account) -> Vec<Alert> {
    let logs = [Feed::Authentication, Feed::Activity, Feed::Telephony].map(|feed| {
        let rows = account.rows.iter().filter(|row| row.feed == feed);
        Rows {
            log: feed.name().into(),
            rows: rows.map(|row| dumps(&row.json).into()).collect(),
        }
    });
    let tenant = Arc::new(Tenant {
        id: "acme".into(),
        name: "Acme".into(),
        timezone: "UTC".into(),
        panel: None,
        mask: picket_event::Mask::substitute(),
    });
    let replayed = replay(tenant, Settings::default(), stock(), &logs, 0).unwrap();
    assert!(replayed.troubles.is_empty(), "{:?}", replayed.troubles);
    let read = |row: picket_store::AlertRow| Alert::read(serde_json::from_str::<Value>(&row.json).unwrap()).unwrap();
    replayed.alerts.into_iter().map(read).collect()
}

fn told(story: &model::Planted) -> Planted {
    Planted {
        account: "acme".to_owned(),
        story: story.story.clone(),
        user: story.user.clone(),
        kind: match story.kind {
            model::Kind::Attack => Kind::Attack,
            model::Kind::LookAlike => Kind::LookAlike,
        },
        from_us: story.from_us,
        to_us: story.to_us,
        events: story.events.clone(),
        note: story.note.clone(),
    }
}

#[test]
fn what_was_planted_is_found_and_nothing_else_is() {
    let mut told_of = BTreeSet::new();
    for seed in [1, 2, 3, 4, 7, 11, 42, 222, 3333] {
        let account = generate(&Options {
            seed,
            ..Options::default()
        });
        let planted: Vec<Planted> = account.planted.iter().map(told).collect();
        let alerts = alerts(&account);
        let verdict = Verdict::new(&planted, &alerts, &[]);
        assert_eq!(verdict.unexpected, [""; 0], "seed {seed}");
        assert_eq!(verdict.missed, [""; 0], "seed {seed}");
        assert!(verdict.planted() >= 12 && verdict.raised() == 0, "seed {seed}");
        let rules: BTreeMap<&str, usize> = alerts.iter().fold(BTreeMap::new(), |mut rules, alert| {
            *rules.entry(alert.rule.as_str()).or_default() += 1;
            rules
        });
        println!("seed {seed}: {rules:?}");
        told_of.extend(verdict.stories.into_keys());
    }
    let all: BTreeSet<String> = EXPECTED.iter().map(|(story, _)| (*story).to_owned()).collect();
    assert_eq!(told_of, all, "every story is told of some company");
}

#[test]
fn of_people_who_only_work_nobody_is_told() {
    let quiet = Options {
        plant: false,
        users: 900,
        seed: 9,
        ..Options::default()
    };
    let titles: Vec<String> = alerts(&generate(&quiet)).into_iter().map(|alert| alert.title).collect();
    assert_eq!(titles, [""; 0]);
}
