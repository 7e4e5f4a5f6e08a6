//! The command line, as people and scripts use it: beside a running daemon, and without one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeSet;

use picket_e2e::{Duo, Site, Source, Story};
use picket_hostile::Guest;
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn has(value: &Value, names: &[&str]) {
    let keys = keys(value);
    for name in names {
        assert!(keys.contains(name), "{name} is not in {value}");
    }
}

fn site(now: i64) -> Site {
    let acme = Story::of("acme")
        .refusals(NOON, "ada", 5)
        .prompt(NOON + 6 * MINUTE, "ada", "success", "user_approved")
        .bypass_code(NOON + 7 * MINUTE, "bob")
        .message(NOON + 8 * MINUTE);
    let globex = Story::of("globex").refusals(NOON + MINUTE, "ada", 6);
    let duo = Duo::start(vec![acme.account(), globex.account()], now);
    let more = "name: Globex\n";
    Site::stocked(
        duo,
        &[
            Source::of("acme"),
            Source {
                more,
                ..Source::of("globex")
            },
        ],
    )
}

/// What works with or without a daemon.
fn reading(site: &Site) {
    // logs: the guides' own way to look, the newest last
    let lines = site.ndjson(&["logs", "--source", "duo", "--tail", "10"]);
    assert_eq!(lines.len(), 10);
    has(&lines[0], &["tenant", "log", "id", "time", "event"]);
    let times: Vec<&str> = lines.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(lines[9]["log"], "telephony");
    assert_eq!(
        site.ndjson(&["logs", "--tail", "3", "--tenant", "globex"])[2]["event"]["user"]["name"],
        "ada"
    );
    assert_eq!(site.ndjson(&["logs", "--log", "activity"]).len(), 1);
    assert_eq!(
        site.picket(&["logs", "--tail", "4"]).with_code(0).out.lines().count(),
        4
    );
    assert!(
        site.picket(&["logs", "--source", "okta"])
            .with_code(2)
            .err
            .contains("duo")
    );
    let stranger = site.picket(&["logs", "--tenant", "nobody"]).with_code(2);
    assert!(stranger.err.contains("there are: acme, globex"), "{stranger:?}");

    // alerts, and one of them by the beginning of its id
    let alerts = site.ndjson(&["alerts"]);
    let of = |tenant: &str, rule: &str| {
        let found = alerts
            .iter()
            .find(|alert| alert["tenant"]["id"] == tenant && alert["rule"]["id"] == rule);
        found.unwrap_or_else(|| panic!("{tenant} has no alert of {rule}: {alerts:#?}"))
    };
    for name in [
        "mfa-fatigue-denied-burst",
        "mfa-fatigue-then-success",
        "bypass-code-created",
    ] {
        has(
            of("acme", name),
            &[
                "schema", "id", "tenant", "rule", "severity", "title", "time", "about", "timeline", "events",
                "repeats", "check", "act",
            ],
        );
    }
    let burst = of("globex", "mfa-fatigue-denied-burst");
    assert_eq!(burst["repeats"], 1, "the sixth prompt is the same burst");
    assert_eq!(burst["tenant"]["name"], "Globex");
    let id = burst["id"].as_str().unwrap();
    for prefix in [id, &id[..12], &id[3..15]] {
        let shown = site.picket(&["alerts", "show", prefix]).with_code(0);
        for part in ["ada", "HIGH", "Globex"] {
            assert!(shown.out.contains(part), "{part} is not in {}", shown.out);
        }
    }
    let whole = site.ndjson(&["alerts", "show", id]);
    assert_eq!(whole[0]["id"], burst["id"]);
    assert!(
        site.picket(&["alerts", "show", "al_zz"])
            .with_code(2)
            .err
            .contains("al_zz")
    );
    let many = site.picket(&["alerts", "show", "al_"]).with_code(2);
    assert!(many.err.contains("begins the ids of"), "{many:?}");
    let list = site.picket(&["alerts", "--tail", "2"]).with_code(0);
    assert_eq!(list.out.lines().count(), 2);
    assert_eq!(site.ndjson(&["alerts", "--rule", "bypass-code-created"]).len(), 1);
    assert!(site.ndjson(&["alerts", "--since", "2026-11-18T12:06:30Z"]).len() < alerts.len());

    // the timeline: everything about one user of one tenant, events and alerts in order
    let told = site.ndjson(&["timeline", "acme/ada", "--since", "2026-11-01T00:00:00Z"]);
    let kinds: Vec<&str> = told.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "event").count(), 6, "{told:#?}");
    assert!(kinds.iter().filter(|kind| **kind == "alert").count() >= 2, "{told:#?}");
    let text = site
        .picket(&["timeline", "acme/ada", "--since", "2026-11-01T00:00:00Z"])
        .with_code(0);
    assert_eq!(text.out.lines().count(), told.len());
    assert!(
        site.picket(&["timeline", "ada"])
            .with_code(2)
            .err
            .contains("TENANT/USER")
    );

    // rule list: the fields that scripts rely on
    let rules = site.ndjson(&["rule", "list"]);
    assert!(rules.len() >= 11, "{rules:#?}");
    for rule in &rules {
        has(rule, &["id", "module", "version", "state", "reason", "logs", "fields"]);
        let state = if rule["id"] == "user-deleted" { "off" } else { "active" };
        assert_eq!(rule["state"], state, "{rule}");
    }
    let takeover = rules
        .iter()
        .find(|rule| rule["id"] == "mfa-reset-takeover-chain")
        .unwrap();
    assert_eq!(takeover["logs"].as_array().unwrap().len(), 2, "{takeover}");
    assert_eq!(takeover["module"], "takeover.wasm");
    assert!(
        site.picket(&["rule", "list"])
            .with_code(0)
            .out
            .contains("mfa-reset-takeover-chain")
    );
}

#[test]
fn every_verb_works_beside_the_daemon_and_without_it() {
    let mut site = site(NOON + 30 * MINUTE);
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write(
        "picket.yaml",
        &format!("{root}rules:\n  user-deleted: {{enabled: false}}\n"),
    );
    let early = site.picket(&["logs"]).with_code(2);
    assert!(early.err.contains("picket run"), "before there is a store: {early:?}");

    site.run();
    site.settle(NOON + 20 * MINUTE);
    let well = site.picket(&["status"]).with_code(0);
    assert!(well.out.starts_with("ALL WELL\n"), "{}", well.out);
    for part in ["acme", "Globex", "authentication", "complete to", "rules: "] {
        assert!(well.out.contains(part), "{part} is not in {}", well.out);
    }
    let status = site.ndjson(&["status"]);
    assert_eq!(status.len(), 1);
    has(
        &status[0],
        &["verdict", "running", "since", "troubles", "tenants", "rules", "sinks"],
    );
    assert_eq!(status[0]["tenants"][0]["events_by_log"]["authentication"], 6);
    reading(&site);
    assert!(
        site.picket(&["reload"])
            .with_code(0)
            .out
            .contains("nothing has changed")
    );
    has(&site.ndjson(&["reload"])[0], &["changes", "tenants", "took_ms"]);
    // A second daemon on the same store would be two collectors of one account.
    let second = site.picket(&["run"]);
    assert_ne!(second.code, 0);
    assert!(second.err.contains("another"), "{second:?}");

    site.stop();
    let down = site.picket(&["status"]).with_code(1);
    assert!(
        down.out.starts_with("NOT RUNNING\n") && down.out.contains("picket run"),
        "{}",
        down.out
    );
    assert_eq!(site.ndjson(&["status"])[0]["running"], false);
    assert!(site.picket(&["reload"]).with_code(2).err.contains("picket run"));
    reading(&site);

    // What went to the sinks is what is stored.
    let file = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap();
    let delivered: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(delivered.len(), site.ndjson(&["alerts"]).len());
    assert!(std::fs::read_to_string(site.path("out.log")).unwrap().contains("ada"));
}

#[test]
fn the_check_says_which_key_log_or_permission_is_wrong() {
    // The check holds this machine's clock against Duo's.
    let now = jiff::Timestamp::now().as_millisecond();
    let site = site(now);
    let good = site.picket(&["check"]).with_code(0);
    assert!(!good.out.contains("WRONG"), "{}", good.out);
    assert!(
        good.out.contains("ok     acme at 127.0.0.1:") && good.out.contains("cases pass"),
        "{}",
        good.out
    );
    for line in site.ndjson(&["check"]) {
        has(&line, &["check", "ok", "wrong"]);
        assert_eq!(line["ok"], true, "{line}");
    }

    site.duo
        .tell(&serde_json::json!({"fault": {"kind": "forbidden", "account": "acme", "feed": "activity"}}));
    site.secret_file("globex.secret", "this is another application's secret key");
    let bad = site.picket(&["check"]).with_code(1);
    let wrong: Vec<&str> = bad.out.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(
        wrong
            .iter()
            .any(|line| line.contains("acme") && line.contains("activity")),
        "{}",
        bad.out
    );
    assert_eq!(
        wrong.iter().filter(|line| line.contains("acme")).count(),
        1,
        "{}",
        bad.out
    );
    assert_eq!(
        wrong.iter().filter(|line| line.contains("globex")).count(),
        1,
        "{}",
        bad.out
    );
    assert!(bad.out.contains("secret") && bad.out.contains("Grant"), "{}", bad.out);
    // Without a call to Duo, all is well.
    assert!(!site.picket(&["check", "--offline"]).with_code(0).out.contains("WRONG"));
    site.duo.set_clock(now + 3 * 3_600_000);
    let late = site.picket(&["check"]).with_code(1);
    assert!(
        late.out.contains("this machine's clock is") && late.out.contains("behind Duo's"),
        "{}",
        late.out
    );
}

#[test]
fn a_replay_prints_the_documented_fields() {
    let site = site(NOON);
    let account = Story::of("acme")
        .refusals(NOON, "ada", 6)
        .bypass_code(NOON + 7 * MINUTE, "bob")
        .account();
    duo_simulator::write::write(&site.path("logs"), &account).unwrap();
    let rules = site.path("rules").display().to_string();
    let arguments = [
        "replay",
        "--rules",
        &rules,
        "--events",
        "authentication=logs/acme/authentication.ndjson",
        "--events",
        "activity=logs/acme/activity.ndjson",
    ];
    let lines = site.ndjson(&arguments);
    for line in &lines {
        has(line, &["rule", "severity", "title", "time", "events"]);
    }
    let burst = lines
        .iter()
        .find(|line| line["rule"] == "mfa-fatigue-denied-burst")
        .unwrap();
    assert_eq!(burst["severity"], "high");
    assert_eq!(burst["time"], "2026-11-18T12:04:00.000Z");
    assert_eq!(burst["events"].as_array().unwrap().len(), 5);
    assert!(
        lines.iter().any(|line| line["rule"] == "bypass-code-created"),
        "{lines:#?}"
    );
    let text = site.picket(&arguments).with_code(0);
    assert!(text.out.contains("7 events, "), "{}", text.out);
    let tested = site.picket(&["rule", "test", &rules]).with_code(0);
    assert!(tested.out.contains("mfa-reset-takeover-chain"), "{}", tested.out);
}

/// All that the author needs, as for a rule that fails on a live event.
#[test]
fn a_call_that_fails_in_a_case_is_reported_in_full() {
    let site = site(NOON);
    let mut guest = Guest::new("unreachable").disguised();
    guest.disguised = false;
    site.install(&guest.component(), "failing.wasm");
    let path = site.path("rules/failing.wasm").display().to_string();
    let tested = site.picket(&["rule", "test", &path]).with_code(1);
    for part in [
        "FAILED  somebody  (as written)",
        "the rule failed\n",
        "unreachable: wasm trap: wasm `unreachable` instruction executed\n",
        "  row   authentication event 00000000-0000-4000-8000-000000000000",
        ", row 1 of 1 shown at once\n",
        " of 200,000,000, memory 0.1 MiB of 16 MiB\n",
        "1 passed, 1 failed",
    ] {
        assert!(tested.out.contains(part), "{part:?} is not in {}", tested.out);
    }
}
