//! Which alerts go to which sink, and what an operator does with those that were not delivered: `picket outbox`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeSet;

use picket_e2e::{Duo, Hook, Site, Source, Story};
use picket_store::{Store as _, Stretch};
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const ACCOUNTS: [&str; 3] = ["acme", "globex", "initech"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody who refuses six prompts, somebody whose status is bypass, somebody with a bypass code: alerts high and medium.
fn story(name: &str) -> Story {
    let story = Story::of(name).refusals(NOON + MINUTE, "ada", 6);
    let story = story.login(NOON + 20 * MINUTE, "eve", "not_available", "success", "bypass_user");
    let story = story.login(NOON + 25 * MINUTE, "dan", "bypass_code", "success", "valid_passcode");
    (0..40).fold(story, |story, index| {
        story.prompt(NOON + index * MINUTE, "bob", "success", "user_approved")
    })
}

/// Three customers; `own`: what the last one's file says besides.
fn site(sinks: &str, own: &'static str) -> Site {
    let accounts = ACCOUNTS.map(|name| story(name).account()).into();
    let duo = Duo::start(accounts, NOON + 60 * MINUTE);
    let sources = ACCOUNTS.map(|name| Source {
        more: if name == "initech" { own } else { "" },
        ..Source::of(name)
    });
    let site = Site::stocked(duo, &sources);
    site.secret_file("soc.secret", SECRET);
    site.write(
        "picket.yaml",
        &format!(
            "data_dir: ./data\nrules_dir: ./rules\nhttp: {{listen: \"off\"}}\ntenant_groups: {{emea: [globex, initech]}}\nsinks:\n{sinks}"
        ),
    );
    site
}

/// Starts it and waits until every rule has seen everything.
fn run(site: &mut Site) {
    site.run();
    site.wait("an alert of each customer's", || {
        let alerts = site.ndjson(&["alerts"]);
        let has = |name: &&str| alerts.iter().any(|alert| alert["tenant"]["id"] == *name);
        ACCOUNTS.iter().all(has).then_some(())
    });
    site.settle(NOON + 50 * MINUTE);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Ids in a file of alerts, each once.
fn sent(site: &Site, file: &str) -> BTreeSet<String> {
    let lines = std::fs::read_to_string(site.path(file)).unwrap_or_default();
    let alerts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<String> = alerts.iter().map(|alert| text(&alert["id"])).collect();
    assert_eq!(ids.len(), alerts.len(), "{file}: none twice");
    ids
}

#[test]
fn alerts_go_where_tenant_group_severity_and_the_customers_own_file_send_them() {
    let sinks = "  - {type: file, path: ./all.ndjson}\n  \
                 - {type: file, path: ./emea.ndjson, tenants: emea}\n  \
                 - {type: file, path: ./high.ndjson, min_severity: high}\n  \
                 - {type: file, name: theirs, path: ./theirs.ndjson, tenants: initech}\n";
    let mut site = site(sinks, "sinks: [theirs]\n");
    run(&mut site);
    let alerts = site.ndjson(&["alerts"]);
    let of = |wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        let found = alerts.iter().filter(|alert| wanted(alert));
        found.map(|alert| text(&alert["id"])).collect()
    };
    let is_of = |alert: &Value, name: &str| alert["tenant"]["id"] == name;
    let is_high = |alert: &Value| alert["severity"] == "high" || alert["severity"] == "critical";
    let expected = [
        ("all.ndjson", of(&|alert| !is_of(alert, "initech"))),
        ("emea.ndjson", of(&|alert| is_of(alert, "globex"))),
        ("high.ndjson", of(&|alert| is_high(alert) && !is_of(alert, "initech"))),
        ("theirs.ndjson", of(&|alert| is_of(alert, "initech"))),
    ];
    let high = &expected[2].1;
    assert!(!high.is_empty() && high.len() < expected[0].1.len(), "{alerts:#?}");
    for (file, ids) in &expected {
        assert!(!ids.is_empty(), "{file}");
        site.wait(file, || (sent(&site, file) == *ids).then_some(()));
    }
    let waits = site.ndjson(&["outbox", "list"]);
    assert!(waits.iter().all(|sink| sink["pending"] == 0), "{waits:?}");
    site.stop();
    for (file, ids) in &expected {
        assert_eq!(sent(&site, file), *ids, "{file}: nothing more came");
    }
}

#[test]
fn what_was_refused_is_listed_sent_again_or_given_up_and_who_did_it_is_written_down() {
    let hook = Hook::new();
    hook.answers(422);
    let sinks = format!(
        "  - {{type: webhook, name: soc, url: \"http://{}/alerts\", secret_file: ./soc.secret, history: true}}\n  - {{type: stdout}}\n",
        hook.address()
    );
    let mut site = site(&sinks, "");
    run(&mut site);
    let alerts: BTreeSet<String> = site
        .ndjson(&["alerts"])
        .iter()
        .map(|alert| text(&alert["id"]))
        .collect();
    let letters = |site: &Site| -> Vec<Value> {
        let lines = site.ndjson(&["outbox", "list", "--sink", "soc"]);
        lines.into_iter().filter(|line| line["kind"] == "letter").collect()
    };
    // No retry mends it: each is a dead letter, and holds up nobody.
    let dead = site.wait("the dead letters", || {
        Some(letters(&site)).filter(|dead| dead.len() == alerts.len())
    });
    for letter in &dead {
        assert_eq!(
            (&letter["state"], &letter["sink"]),
            (&Value::from("dead"), &Value::from("soc"))
        );
        assert!(text(&letter["reason"]).contains("HTTP 422"), "{letter}");
        assert!(alerts.contains(&text(&letter["alert"])));
    }
    let said = site.picket(&["outbox", "list"]).with_code(0).out;
    assert!(
        said.contains(&format!("{} refused for good", alerts.len())) && said.contains("HTTP 422"),
        "{said}"
    );
    assert!(site.picket(&["status"]).out.contains("refused for good"));
    let acme = site.ndjson(&["outbox", "list", "--sink", "soc", "--tenant", "acme"]);
    let of_acme = acme.iter().filter(|line| line["kind"] == "letter").count();
    assert!(of_acme > 0 && of_acme < dead.len());

    // One is given up; of the rest one is sent again by its id, then all.
    let (given_up, first) = (text(&dead[0]["alert"]), text(&dead[1]["alert"]));
    let done = site.ndjson(&["outbox", "drop", "--sink", "soc", &given_up, "--reason", "known"]);
    assert_eq!(
        (&done[0]["sink"], &done[0]["alerts"]),
        (&Value::from("soc"), &Value::from(1))
    );
    assert_eq!(letters(&site).len(), dead.len() - 1);
    hook.answers(204);
    let _ = site.picket(&["outbox", "retry", "--sink", "soc", &first]).with_code(0);
    site.wait("the one alert", || (hook.taken() == [first.clone()]).then_some(()));
    let said = site.picket(&["outbox", "retry", "--sink", "soc"]).with_code(0).out;
    assert!(said.contains("sent again"), "{said}");
    let mut rest = alerts.clone();
    rest.remove(&given_up);
    site.wait("the others", || {
        (hook.taken().into_iter().collect::<BTreeSet<_>>() == rest).then_some(())
    });
    assert_eq!(hook.taken().len(), rest.len(), "none twice");
    site.wait("no letters", || letters(&site).is_empty().then_some(()));

    // What is not there is said, and a sink that is not there.
    let said = site.picket(&["outbox", "retry", "--sink", "soc"]).with_code(1).out;
    assert!(said.contains("there is nothing of that kind"), "{said}");
    for verb in [
        &["outbox", "list", "--sink", "nobody"][..],
        &["outbox", "retry", "--sink", "nobody"],
    ] {
        let said = site.picket(verb).with_code(2).err;
        assert!(
            said.contains("there is no sink `nobody`; there are: soc, stdout"),
            "{said}"
        );
    }
    let audit = site.picket(&["audit"]).with_code(0).out;
    assert!(audit.contains("outbox of soc") && audit.contains("known"), "{audit}");
    assert!(audit.contains("not sent") && audit.contains("sent again"), "{audit}");
    site.stop();
    let said = site.picket(&["outbox", "retry", "--sink", "soc"]).with_code(2).err;
    assert!(said.contains("no daemon answers"), "{said}");
    assert!(
        site.ndjson(&["outbox", "list"])
            .iter()
            .any(|sink| sink["name"] == "soc"),
        "listing needs none"
    );
}

#[test]
fn what_waits_is_passed_over_for_one_customer_and_the_others_go_on_waiting() {
    let hook = Hook::new();
    hook.answers(503);
    let sinks = format!(
        "  - {{type: webhook, name: soc, url: \"http://{}/alerts\", secret_file: ./soc.secret, history: true}}\n",
        hook.address()
    );
    let mut site = site(&sinks, "");
    run(&mut site);
    let alerts = site.ndjson(&["alerts"]);
    let soc = |site: &Site| site.ndjson(&["outbox", "list", "--sink", "soc"])[0].clone();
    // Each customer has a lane of its own.
    site.wait("the lanes", || {
        (soc(&site)["lanes"].as_array()?.len() == ACCOUNTS.len()).then_some(())
    });
    assert_eq!(soc(&site)["pending"], Value::from(alerts.len()));
    let refused = site.picket(&["outbox", "drop", "--sink", "soc"]).code;
    assert_eq!(refused, 2, "everything is given up only where somebody says --all");
    let _ = site
        .picket(&["outbox", "drop", "--sink", "soc", "--tenant", "acme", "--all"])
        .with_code(0);
    let others: BTreeSet<String> = alerts
        .iter()
        .filter(|alert| alert["tenant"]["id"] != "acme")
        .map(|alert| text(&alert["id"]))
        .collect();
    assert_eq!(soc(&site)["pending"], Value::from(others.len()));
    // How long each has waited survives a kill.
    let since = |site: &Site| -> Vec<Value> {
        let lanes = soc(site)["lanes"].as_array().cloned().unwrap_or_default();
        let waiting = lanes.into_iter().filter(|lane| lane["tenant"] != "acme");
        waiting.map(|lane| lane["since"].clone()).collect()
    };
    let before = since(&site);
    assert!(before.len() == 2 && before.iter().all(Value::is_string), "{before:?}");
    site.kill();
    assert_eq!(since(&site), before);
    hook.answers(204);
    site.run();
    let _ = site.picket(&["outbox", "retry", "--sink", "soc"]);
    site.wait("the others'", || {
        (hook.taken().into_iter().collect::<BTreeSet<_>>() == others).then_some(())
    });
    site.wait("nothing to wait", || (soc(&site)["pending"] == 0).then_some(()));
    // In order, each customer's.
    for name in &ACCOUNTS[1..] {
        let wanted = Stretch {
            tenant: Some(name),
            limit: 1000,
            ..Stretch::default()
        };
        let committed = site.store().stretch(&wanted).unwrap();
        let committed: Vec<String> = committed.iter().map(|row| row.alert.to_string()).collect();
        let own: Vec<String> = hook.taken().into_iter().filter(|id| committed.contains(id)).collect();
        assert_eq!(own, committed, "{name}: in order, none twice");
    }
    site.stop();
}
