//! Rules are replaced while the daemon runs: good ones take over with what they remember, bad ones change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_e2e::{Duo, Site, Source, Story, installed, stock};
use picket_hostile::{Guest, NOTHING, manifest_of, other_component, patched};
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const BURST: &str = "mfa-fatigue-denied-burst";
const BYPASS: &str = "bypass-status-login";

fn push_abuse() -> Vec<u8> {
    std::fs::read(stock("push-abuse")).unwrap()
}

/// The rows of `rule list` about a file.
fn listed(site: &Site, module: &str) -> Vec<Value> {
    let mut rules = site.rules();
    rules.retain(|rule| rule["module"] == module);
    rules
}

fn rule(site: &Site, id: &str) -> Value {
    let found = site
        .rules()
        .into_iter()
        .find(|rule| rule["id"] == id && rule["state"] != "rejected");
    found.unwrap_or_default()
}

/// Lets Duo's clock go to this time (ms) and the rules see all of it.
fn advance(site: &Site, to: i64) {
    site.duo.set_clock(to + 2 * MINUTE + 1000);
    site.settle(to);
}

/// The list shows what was admitted; this waits until it judges: one's own reload comes after the one under way.
fn in_force(site: &Site) {
    let _ = site.picket(&["reload"]);
}

fn about(alerts: &[Value]) -> Vec<&str> {
    alerts
        .iter()
        .map(|alert| alert["about"]["name"].as_str().unwrap_or_default())
        .collect()
}

#[test]
fn a_new_version_goes_on_where_the_old_one_stood() {
    let story = Story::of("acme")
        .refusals(NOON, "ada", 4)
        .prompt(NOON + 6 * MINUTE, "ada", "denied", "user_cancelled");
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.install(&push_abuse(), "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    site.run();
    advance(&site, NOON + 5 * MINUTE);
    assert_eq!(site.alerts("acme", BURST), Vec::<Value>::new());
    let before = rule(&site, BURST);

    let (old, new) = ("ignored several prompts", "ignored various prompts");
    let next = patched(&push_abuse(), old, new);
    site.install(&next, "push-abuse.wasm");
    site.wait("the new version to be live", || {
        let now = rule(&site, BURST);
        (now["state"] == "active" && now["digest"] != before["digest"]).then_some(())
    });
    in_force(&site);

    advance(&site, NOON + 7 * MINUTE);
    let alerts = site.alerts("acme", BURST);
    assert_eq!(
        about(&alerts),
        ["ada"],
        "four prompts before the swap and one after it are a burst"
    );
    assert_eq!(alerts[0]["events"].as_array().unwrap().len(), 5);
    assert!(alerts[0]["rule"]["title"].as_str().unwrap().contains(new), "{alerts:?}");
    site.stop();
}

#[test]
fn what_is_no_rule_leaves_the_old_one_running_and_says_why() {
    let story = (0..12).fold(Story::of("acme"), |story, index| {
        story.refusals(NOON + index * 60 * MINUTE, "ada", 5)
    });
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.install(&push_abuse(), "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    site.run();
    // Until its history is read the rule is warming.
    site.wait("the rules to be active", || {
        let rules = listed(&site, "push-abuse.wasm");
        let is_active = !rules.is_empty() && rules.iter().all(|rule| rule["state"] == "active");
        is_active.then_some(())
    });
    let good = push_abuse();
    let unknown_import = wat::parse_str(
        r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64))))))"#,
    );
    let bad: [(&str, Vec<u8>, &str); 8] = [
        ("not wasm", b"#!/bin/sh\nexit 0\n".to_vec(), "not WebAssembly"),
        ("empty", Vec::new(), "empty"),
        ("core module", wat::parse_str("(module)").unwrap(), "cargo xtask rules"),
        ("other world", other_component(), "acme:plug/run@1.0.0"),
        (
            "unknown import",
            unknown_import.unwrap(),
            "imports wasi:clocks/wall-clock@0.2.0",
        ),
        (
            "traps in describe",
            Guest::new(NOTHING).describe("unreachable").component(),
            "unreachable",
        ),
        ("truncated", good[..good.len() / 2].to_vec(), "unexpected end"),
        (
            "fails its own tests",
            patched(&good, "about: ada", "about: eve"),
            "fails its own tests",
        ),
    ];
    for (index, (what, bytes, why)) in (0..).zip(bad) {
        site.install(&bytes, "push-abuse.wasm");
        let refused = site.wait(what, || {
            let rejected = listed(&site, "push-abuse.wasm")
                .into_iter()
                .find(|rule| rule["state"] == "rejected")?;
            rejected["reason"]
                .as_str()
                .filter(|reason| reason.contains(why))
                .map(str::to_owned)
        });
        assert!(refused.contains("what ran before still runs"), "{what}: {refused}");
        let said = site.picket(&["reload"]).with_code(1);
        assert!(
            said.out.contains("push-abuse.wasm") && said.out.contains(why),
            "{what}: {said:?}"
        );
        let status = site.picket(&["status"]);
        assert!(status.out.contains("push-abuse.wasm"), "{what}: {status:?}");

        assert_eq!(rule(&site, BURST)["state"], "active", "{what}");
        advance(&site, NOON + index * 60 * MINUTE + 10 * MINUTE);
        assert_eq!(
            site.alerts("acme", BURST).len() as i64,
            index + 1,
            "{what}: the old one judges on"
        );
    }
    // A module that was refused is forgotten when a good one takes its place.
    site.install(&good, "push-abuse.wasm");
    site.wait("the good module", || {
        listed(&site, "push-abuse.wasm")
            .iter()
            .all(|rule| rule["state"] == "active")
            .then_some(())
    });
    assert!(
        site.picket(&["reload"])
            .with_code(0)
            .out
            .contains("nothing has changed")
    );
    site.stop();
}

/// A module that burns nearly a call's whole budget on each of hundreds of events in its own cases.
fn slow_cases() -> Vec<u8> {
    let tests = "rule: slow\ntests:\n  - {test: many, steps: [{at: \"09:00\", authentication: {user.name: ada}, times: 900, every: 1s}], expect: none}\n  \
        - {test: one, steps: [{at: \"09:00\", authentication: {user.name: ada}}], expect: [{about: ada}]}\n";
    let mut manifest: Value = serde_json::from_str(&manifest_of("slow")).unwrap();
    manifest["rules"][0]["tests"] = tests.into();
    let burns = "(local $i i64)
        (loop $more
            (local.set $i (i64.add (local.get $i) (i64.const 1)))
            (br_if $more (i64.lt_u (local.get $i) (i64.const 5000000))))";
    Guest::new(format!("{burns} {NOTHING}"))
        .manifest(manifest.to_string())
        .component()
}

#[test]
fn nobody_waits_for_a_module_that_takes_its_time_to_be_refused() {
    let mut site = Site::stocked(
        Duo::start(vec![Story::of("acme").account()], NOON),
        &[Source::of("acme")],
    );
    site.run();
    site.install(&slow_cases(), "acme/slow.wasm");
    let mut waiting = 0;
    let refused = site.wait("the slow module to be refused", || {
        let found = listed(&site, "acme/slow.wasm").pop();
        // It is being tested: the list is there, without it.
        waiting += usize::from(found.is_none());
        found
    });
    assert_eq!(
        (&refused["state"], &refused["code"]),
        (&"rejected".into(), &"cases-limit".into())
    );
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("cases-limit: its own cases take more than"),
        "{reason}"
    );
    assert!(waiting >= 2, "the list waited for the module ({waiting})");
    assert_eq!(rule(&site, BYPASS)["state"], "active");
    site.stop();
}

#[test]
fn modules_come_and_go_and_may_be_one_tenants_own() {
    let story = |name: &str| {
        (0..6).fold(Story::of(name), |story, hour| {
            story.login(
                NOON + hour * 60 * MINUTE + 5 * MINUTE,
                "ada",
                "not_available",
                "success",
                "bypass_user",
            )
        })
    };
    let accounts = vec![story("acme").account(), story("globex").account()];
    let mut site = Site::stocked(Duo::start(accounts, NOON), &[Source::of("acme"), Source::of("globex")]);
    site.run();
    let hour = |hour: i64| NOON + hour * 60 * MINUTE + 10 * MINUTE;
    let counts = |site: &Site| ["acme", "globex"].map(|tenant| site.alerts(tenant, BYPASS).len());
    advance(&site, hour(0));
    assert_eq!(counts(&site), [1, 1]);

    std::fs::remove_file(site.path("rules/bypass.wasm")).unwrap();
    site.wait("its rules to be gone", || {
        listed(&site, "bypass.wasm").is_empty().then_some(())
    });
    in_force(&site);
    advance(&site, hour(1));
    assert_eq!(counts(&site), [1, 1], "a module whose file is gone judges nobody");

    site.install(&std::fs::read(stock("bypass")).unwrap(), "acme/bypass.wasm");
    site.wait("acme's own module", || {
        let rules = listed(&site, "acme/bypass.wasm");
        (!rules.is_empty()
            && rules
                .iter()
                .all(|rule| rule["tenants"] == "acme" && rule["state"] == "active"))
        .then_some(())
    });
    in_force(&site);
    advance(&site, hour(2));
    let [acme, globex] = counts(&site);
    assert!(acme >= 2 && globex == 1, "acme {acme}, globex {globex}");

    // A restart judges by the same modules.
    site.stop();
    site.run();
    advance(&site, hour(3));
    assert_eq!(counts(&site), [acme + 1, 1]);
    site.stop();
}

#[test]
fn a_module_that_loops_for_ever_is_locked_up_and_the_others_go_on() {
    let story = |name: &str| {
        Story::of(name)
            .refusals(NOON, "bob", 5)
            .login(NOON + 20 * MINUTE, "bob", "duo_push", "success", "user_approved")
            .refusals(NOON + 60 * MINUTE, "eve", 5)
    };
    let accounts = vec![story("acme").account(), story("globex").account()];
    let mut site = Site::stocked(Duo::start(accounts, NOON), &[Source::of("acme"), Source::of("globex")]);
    site.run();
    advance(&site, NOON + 10 * MINUTE);

    site.install(
        &std::fs::read(installed("rules-hostile/loops.wasm")).unwrap(),
        "acme/loops.wasm",
    );
    site.wait("the hostile module", || {
        (!listed(&site, "acme/loops.wasm").is_empty()).then_some(())
    });
    in_force(&site);
    advance(&site, NOON + 30 * MINUTE);
    let evil = site.wait("the quarantine", || {
        let evil = rule(&site, "evil");
        (evil["state"] == "quarantined").then_some(evil)
    });
    assert!(evil["reason"].as_str().unwrap().contains("fuel"), "{evil}");
    assert_eq!(evil["troubled"], serde_json::json!(["acme"]));
    let told = site.picket(&["rule", "list", "--verbose"]).with_code(0).out;
    for word in [
        "quarantined for acme since",
        "out-of-fuel: spent its budget of 200000000 fuel",
        "row   authentication event",
        "used  fuel 200,000,000 of 200,000,000, memory",
        "held authentication event",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let status = site.picket(&["status"]).with_code(0);
    assert!(
        status.out.starts_with("LOOK WHEN YOU CAN") && status.out.contains("evil"),
        "{status:?}"
    );

    advance(&site, NOON + 70 * MINUTE);
    for tenant in ["acme", "globex"] {
        let alerts = site.alerts(tenant, BURST);
        assert_eq!(about(&alerts), ["bob", "eve"], "{tenant}");
        let others = site.rules().into_iter().filter(|rule| rule["id"] != "evil");
        assert!(others.into_iter().all(|rule| rule["state"] == "active"), "{tenant}");
    }
    // It stays where it is over a restart.
    site.kill();
    site.run();
    assert_eq!(rule(&site, "evil")["state"], "quarantined");
    std::fs::remove_file(site.path("rules/acme/loops.wasm")).unwrap();
    site.wait("peace", || listed(&site, "acme/loops.wasm").is_empty().then_some(()));
    assert!(site.picket(&["status"]).with_code(0).out.starts_with("ALL WELL"));
    site.stop();
}

#[test]
fn a_rule_in_shadow_is_listed_apart_and_a_paused_one_catches_up() {
    let story = Story::of("acme")
        .refusals(NOON, "bob", 5)
        .refusals(NOON + 60 * MINUTE, "eve", 5);
    let source = |mode: &'static str| Source {
        more: mode,
        ..Source::of("acme")
    };
    let duo = Duo::start(vec![story.account()], NOON);
    let mut site = Site::stocked(duo, &[source("rules: {mfa-fatigue-denied-burst: {mode: shadow}}\n")]);
    site.run();
    advance(&site, NOON + 10 * MINUTE);
    let shadow = || site.ndjson(&["alerts", "--shadow", "--rule", BURST]);
    assert_eq!(about(&shadow()), ["bob"]);
    assert!(site.alerts("acme", BURST).is_empty());
    assert_eq!(rule(&site, BURST)["state"], "shadow");
    let status = site.picket(&["status"]).with_code(0).out;
    assert!(status.contains("1 in shadow"), "{status}");

    let mode = |site: &Site, mode: &str| {
        let file = site.path("tenants.d/acme.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, after) = text.split_once("{mode: ").unwrap();
        let (_, after) = after.split_once('}').unwrap();
        std::fs::write(&file, format!("{before}{{mode: {mode}}}{after}")).unwrap();
        let _ = site.picket(&["reload"]).with_code(0);
    };
    mode(&site, "paused");
    assert_eq!(rule(&site, BURST)["state"], "paused");
    site.duo.set_clock(NOON + 72 * MINUTE);
    site.wait("events that are collected while the rule stands", || {
        let events = site.ndjson(&["logs", "--tail", "1"]);
        (events.first()?["event"].to_string().contains("eve")).then_some(())
    });
    assert!(site.alerts("acme", BURST).is_empty());
    mode(&site, "active");
    site.wait("what came meanwhile", || {
        (about(&site.alerts("acme", BURST)) == ["eve"]).then_some(())
    });
    assert_eq!(about(&site.ndjson(&["alerts", "--shadow"])), ["bob"]);
    site.stop();
}
