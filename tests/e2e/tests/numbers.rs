//! Phone numbers: a pseudonym in everything that Picket writes, the same in every run; and what an operator refuses or grants.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::os::unix::fs::PermissionsExt as _;

use picket_e2e::{Duo, Site, Source, Story, stock};
use picket_store::Store as _;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
/// The simulator's number, less its calling code.
const CLEAR: &str = "3125558544";
const RULE: &str = "telephony-number-burst";

fn config(more: &str) -> String {
    format!(
        "data_dir: ./data\nrules_dir: ./rules\nsinks:\n  - {{type: file, path: ./alerts.ndjson}}\n  - {{type: stdout}}\n{more}"
    )
}

#[test]
fn no_clear_number_leaves_and_every_run_has_the_same_pseudonyms() {
    let burst = |story: Story, from: i64| (0..6).fold(story, |story, minute| story.message(from + minute * MINUTE));
    let story = burst(burst(Story::of("acme"), NOON), NOON + 180 * MINUTE);
    let story = burst(story, NOON + 360 * MINUTE).refusals(NOON, "ada", 6);
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.install(&std::fs::read(stock("telephony")).unwrap(), "telephony.wasm");
    site.tenant(&Source::of("acme"));
    site.set("PICKET_LOG", "trace,cranelift=off,regalloc2=off,wasmtime=off");
    site.run();
    site.duo.set_clock(NOON + 30 * MINUTE);
    let first = site.wait("the first alert", || site.alerts("acme", RULE).into_iter().next());
    let pseudonym = first["about"]["key"].as_str().unwrap().to_owned();
    assert!(
        pseudonym.starts_with("phone:") && first["title"].as_str().unwrap().contains(&pseudonym),
        "{first}"
    );
    assert_eq!(first["phones"][&pseudonym], "+1 •••8544");
    assert_eq!(first["raw"][0]["row"]["phone"], *pseudonym, "the evidence, too");

    // Nothing that is written or printed holds the number; but for the journal, where what was received is kept.
    let key_file = site.path("data/keys/acme.phone");
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert_eq!(key_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let id = first["id"].as_str().unwrap();
    let verbs: [&[&str]; 10] = [
        &["alerts"],
        &["alerts", "--format", "ndjson"],
        &["alerts", "show", id],
        &["alerts", "show", id, "--format", "ndjson"],
        &["timeline", "acme/ada", "--since", "365d"],
        &["logs", "--tail", "100"],
        &["rule", "list"],
        &["rule", "list", "--format", "ndjson"],
        &["status", "--format", "ndjson"],
        &["check", "--format", "ndjson"],
    ];
    let assert_hidden = |what: &str, text: &str| {
        for hidden in [CLEAR, "312-555", "312) 555", key.trim()] {
            let line = text.lines().find(|line| line.contains(hidden)).unwrap_or_default();
            assert!(!text.contains(hidden), "{what} holds {hidden}: {line}");
        }
    };
    for verb in verbs {
        assert_hidden(&verb.join(" "), &site.picket(verb).all());
    }
    assert!(
        site.picket(&["alerts", "show", id])
            .out
            .contains(&format!("phone     {pseudonym} is +1 •••8544"))
    );
    for file in ["alerts.ndjson", "out.log", "err.log"] {
        assert_hidden(file, &String::from_utf8_lossy(&std::fs::read(site.path(file)).unwrap()));
    }
    let store = site.store();
    let rules = store.rules("acme").unwrap();
    for rule in &rules {
        let state = store.state("acme", &rule.rule, rule.state_version).unwrap();
        assert_hidden(
            "state",
            &format!(
                "{:?}",
                state
                    .entries()
                    .map(|(key, entry)| {
                        (
                            String::from_utf8_lossy(key).into_owned(),
                            String::from_utf8_lossy(&entry.value).into_owned(),
                        )
                    })
                    .collect::<Vec<_>>()
            ),
        );
    }
    assert!(rules.iter().any(|rule| &*rule.rule == RULE));

    // Another run, the same pseudonym.
    site.stop();
    site.run();
    site.duo.set_clock(NOON + 210 * MINUTE);
    let second = site.wait("the second alert", || site.alerts("acme", RULE).into_iter().nth(1));
    assert_eq!(second["about"]["key"], *pseudonym);
    let replayed = replay(&site, &["--phone-key", key_file.to_str().unwrap()]);
    assert_eq!(replayed[0], first["id"], "a replay with the key gives the same ids");
    assert_ne!(
        replay(&site, &[])[0],
        first["id"],
        "with the substitute it says so, and gives others"
    );

    // The key is gone: said in words, and no new one is made.
    site.stop();
    std::fs::remove_file(&key_file).unwrap();
    site.start();
    assert_ne!(site.ends(), 0, "its only tenant cannot be judged");
    assert!(
        site.log().contains("is gone; put it back from a backup"),
        "{}",
        site.log()
    );
    assert!(!key_file.exists());
    std::fs::write(&key_file, &key).unwrap();

    // Refused: the rule does not judge, and says why. The key back, everything else goes on.
    site.write(
        "picket.yaml",
        &config("sandbox:\n  modules:\n    telephony.wasm: {deny_fields: [phone]}\n"),
    );
    site.run();
    let rule = site.wait("the rule to be blind", || {
        site.rules().into_iter().find(|rule| rule["id"] == RULE)
    });
    assert_eq!(rule["state"], "blind", "{rule}");
    let reason = rule["reason"].as_str().unwrap();
    assert!(
        reason.contains("cannot do without phone of telephony") && reason.contains("deny_fields `phone`"),
        "{reason}"
    );
    site.stop();

    // Granted: what it says is the same.
    site.write(
        "picket.yaml",
        &config("sandbox:\n  modules:\n    telephony.wasm: {grant: [phone]}\n"),
    );
    site.run();
    site.duo.set_clock(NOON + 390 * MINUTE);
    let third = site.wait("the third alert", || site.alerts("acme", RULE).into_iter().nth(2));
    assert_eq!(third["about"]["key"], *pseudonym);
    assert_hidden("an alert of a granted rule", &third.to_string());
}

/// Ids of the rule's alerts in a replay of what was collected.
fn replay(site: &Site, more: &[&str]) -> Vec<serde_json::Value> {
    let rows = site.ndjson(&["logs", "--tail", "1000", "--log", "telephony"]);
    let rows: Vec<String> = rows.iter().map(|row| row["event"].to_string()).collect();
    site.write("telephony.ndjson", &rows.join("\n"));
    let (rules, events) = (
        site.path("rules"),
        format!("telephony={}", site.path("telephony.ndjson").display()),
    );
    let replay = [
        "replay",
        "--rules",
        rules.to_str().unwrap(),
        "--tenant",
        "acme",
        "--events",
        &events,
    ];
    let said = site
        .picket(&[&replay, more, &["--format", "ndjson"]].concat())
        .with_code(0);
    assert_eq!(said.err.contains("substitute key"), more.is_empty(), "{said:?}");
    let alerts = said.lines();
    let of_rule = alerts.iter().filter(|alert| alert["rule"] == RULE);
    of_rule.map(|alert| alert["id"].clone()).collect()
}
