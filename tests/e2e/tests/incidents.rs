//! What belongs together wakes somebody once, however often Picket is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use picket_e2e::{Duo, Site, Source, Story, incidents, stock};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;

/// Ada refuses five prompts, approves the sixth, and says afterwards that the seventh was a fraud; six hours later it begins
/// anew. Bob refuses his own.
fn story() -> Story {
    Story::of("acme")
        .refusals(NOON, "ada", 5)
        .prompt(NOON + 6 * MINUTE, "ada", "success", "user_approved")
        .prompt(NOON + 8 * MINUTE, "ada", "fraud", "user_marked_fraud")
        .refusals(NOON + 10 * MINUTE, "bob", 5)
        .refusals(NOON + 360 * MINUTE, "ada", 5)
}

/// Where nothing has happened yet; one log, and rules of that, so that what is raised first does not depend on which log comes first.
fn site() -> Site {
    let duo = Duo::start(vec![story().account()], NOON - 60 * MINUTE);
    let source = Source {
        collect: &["authentication"],
        ..Source::of("acme")
    };
    let mut site = Site::new(duo);
    site.install(&std::fs::read(stock("push-abuse")).unwrap(), "push-abuse.wasm");
    site.tenant(&source);
    site
}

/// What every alert says of its incident, by rule and time.
fn told(alerts: &[Value]) -> BTreeMap<(String, String), Value> {
    let rule = |alert: &Value| {
        let rule = &alert["rule"];
        rule["id"].as_str().or(rule.as_str()).unwrap().to_owned()
    };
    let one = |alert: &Value| {
        (
            (rule(alert), alert["time"].as_str().unwrap().to_owned()),
            alert["incident"].clone(),
        )
    };
    alerts.iter().map(one).collect()
}

#[test]
fn kills_change_no_incident_and_page_nobody_twice() {
    let end = NOON + 400 * MINUTE;
    let mut undisturbed = site();
    undisturbed.run();
    undisturbed.settle(NOON - 63 * MINUTE);
    undisturbed.duo.set_clock(end);
    undisturbed.settle(end - 3 * MINUTE);
    undisturbed.stop();

    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut killed = site();
    killed.run();
    killed.settle(NOON - 63 * MINUTE);
    for minute in [3, 5, 7, 9, 11, 13, 15, 17, 40, 363, 365, 367, 369] {
        killed.duo.set_clock(NOON + (minute + 2) * MINUTE);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..250)));
        killed.kill();
        killed.run();
    }
    killed.duo.set_clock(end);
    killed.settle(end - 3 * MINUTE);
    killed.stop();

    let whole = undisturbed.ndjson(&["alerts"]);
    let expected = told(&whole);
    assert_eq!(told(&killed.ndjson(&["alerts"])), expected);
    for site in [&undisturbed, &killed] {
        assert_eq!(incidents(&site.store(), "acme").len(), 3);
    }

    // Ada's first evening: the burst opens it, the success is worse, the fraud is not.
    let of = |rule: &str| {
        let alert = whole
            .iter()
            .find(|alert| alert["rule"]["id"] == rule && alert["about"]["name"] == "ada");
        alert.unwrap_or_else(|| panic!("ada has no alert of {rule}: {whole:#?}"))
    };
    let (burst, success) = (of("mfa-fatigue-denied-burst"), of("mfa-fatigue-then-success"));
    for (alert, page) in [(burst, true), (success, true), (of("auth-reported-fraud"), false)] {
        assert_eq!(alert["incident"]["id"], burst["id"], "{alert}");
        assert_eq!(alert["incident"]["principal"], "user:ada");
        assert_eq!(alert["incident"]["page"], page, "{alert}");
    }
    assert_eq!(burst["superseded_by"], success["id"]);
    assert_eq!(success["related"][0]["alert"], burst["id"]);
    assert_eq!(success["related"][0]["relation"], "superseded");

    // On the wire, repeated or not, the same alerts are worth a page.
    let pages = |site: &Site| -> BTreeSet<String> {
        let file = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap();
        let alerts = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let paging = alerts.filter(|alert| alert["incident"]["page"] == true);
        paging.map(|alert| alert["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(pages(&killed), pages(&undisturbed));
    assert_eq!(
        pages(&killed).len(),
        4,
        "three incidents, of which one gets worse: {expected:#?}"
    );

    // A replay of the same rows says the same.
    duo_simulator::write::write(&killed.path("logs"), &story().account()).unwrap();
    let rules = killed.path("rules").display().to_string();
    let replayed = killed.ndjson(&[
        "replay",
        "--tenant",
        "acme",
        "--rules",
        &rules,
        "--events",
        "authentication=logs/acme/authentication.ndjson",
    ]);
    assert_eq!(told(&replayed), expected);
    listed(&killed, burst, success);
}

fn listed(site: &Site, burst: &Value, success: &Value) {
    let all = site.ndjson(&["incidents"]);
    assert_eq!(all.len(), 3, "{all:#?}");
    let ada = &all[0];
    assert_eq!(
        (&ada["id"], &ada["severity"], &ada["title"]),
        (&burst["id"], &success["severity"], &success["title"])
    );
    assert_eq!((&ada["tenant"], &ada["pages"]), (&"acme".into(), &2.into()));
    assert_eq!(ada["principals"], serde_json::json!(["user:ada"]));
    assert_eq!(site.ndjson(&["incidents", "--tail", "1"]).len(), 1);
    assert_eq!(site.ndjson(&["incidents", "--since", "2026-11-18T15:00:00Z"]).len(), 1);

    let id = burst["id"].as_str().unwrap();
    let shown = &site.ndjson(&["incidents", "show", &id[..12]])[0];
    let members = shown["members"].as_array().unwrap();
    assert_eq!(shown["alerts"], members.len());
    assert_eq!(members[0]["id"], *id);
    assert_eq!(members[0]["superseded_by"], success["id"]);
    assert_eq!(site.ndjson(&["alerts", "--incident", id]).len(), members.len());
    let by = success["id"].as_str().unwrap();
    let text = site.picket(&["incidents", "show", id]).with_code(0).out;
    assert!(
        text.contains(&format!("(replaced by {by})")) && text.contains("user:ada"),
        "{text}"
    );
    let text = site.picket(&["alerts"]).with_code(0).out;
    assert!(text.contains(&format!("(replaced by {by})")), "{text}");
    let text = site.picket(&["alerts", "show", id]).with_code(0).out;
    assert!(text.contains(&format!("replaced  by {by}\n")), "{text}");
    let text = site.picket(&["alerts", "show", by]).with_code(0).out;
    assert!(text.contains(&format!("part of   incident {id}, CRITICAL\n")), "{text}");
    assert!(
        text.contains(&format!("replaces  {id} (mfa-fatigue-denied-burst)\n")),
        "{text}"
    );
    let none = site.picket(&["incidents", "show", "al_zz"]).with_code(2);
    assert!(none.err.contains("picket incidents"), "{none:?}");
}

/// By what the alerts of each stock rule join incidents: a rule that is new says here whom it is about.
#[test]
fn every_stock_rule_has_a_principal() {
    // None: of nobody, too, since a row may name neither who did it nor to whom.
    let expected: BTreeMap<&str, &[Option<&str>]> = BTreeMap::from([
        ("application-went-silent", [Some("application")].as_slice()),
        ("auth-failure-spray", [Some("ip")].as_slice()),
        ("auth-reported-fraud", [None, Some("user")].as_slice()),
        ("bypass-code-created", [None, Some("admin")].as_slice()),
        ("bypass-code-created-then-used", [Some("user")].as_slice()),
        ("bypass-code-login", [Some("user")].as_slice()),
        ("bypass-status-login", [Some("user")].as_slice()),
        ("collection-gap", [Some("log")].as_slice()),
        ("collector-stalled", [Some("log")].as_slice()),
        ("mfa-fatigue-denied-burst", [Some("user")].as_slice()),
        ("mfa-fatigue-then-success", [Some("user")].as_slice()),
        ("mfa-reset-takeover-chain", [Some("user")].as_slice()),
        ("new-access-country", [Some("user")].as_slice()),
        ("remembered-device-overuse", [Some("user")].as_slice()),
        ("telephony-number-burst", [Some("phone")].as_slice()),
        ("telephony-without-auth", [Some("phone")].as_slice()),
        ("user-deleted", [None, Some("admin")].as_slice()),
    ]);
    let site = Site::new(Duo::start(vec![], NOON));
    let directory = stock("bypass").parent().unwrap().display().to_string();
    let mut found: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    for rule in site.ndjson(&["rule", "test", &directory]) {
        let principals = rule["principals"].as_array().unwrap().iter();
        let kind = |principal: &Value| {
            let kind = principal.as_str().unwrap().split_once(':');
            kind.map(|(kind, name)| {
                assert!(!name.is_empty(), "{rule}");
                kind.to_owned()
            })
        };
        found.insert(
            rule["rule"].as_str().unwrap().to_owned(),
            principals.map(kind).collect(),
        );
    }
    let kinds = |kinds: &[Option<&str>]| kinds.iter().map(|kind| kind.map(str::to_owned)).collect();
    let expected: BTreeMap<String, BTreeSet<Option<String>>> = expected
        .into_iter()
        .map(|(rule, of)| (rule.to_owned(), kinds(of)))
        .collect();
    assert_eq!(found, expected);
}
