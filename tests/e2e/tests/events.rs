//! Sinks that get events: each once and in order, whatever is killed, and whoever else is down.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};

use picket_e2e::{Duo, Hook, Site, Source, Story};
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const ACCOUNTS: [&str; 2] = ["acme", "globex"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn story(name: &str) -> Story {
    let story = Story::of(name).refusals(NOON + MINUTE, "ada", 6);
    let story = story.message(NOON + 10 * MINUTE).message(NOON + 80 * MINUTE);
    (0..120).fold(story, |story, index| {
        story.prompt(NOON + index * MINUTE, "bob", "success", "user_approved")
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What the journals hold: (log, Duo's id), by tenant, in the journal's order.
fn journal(site: &Site) -> BTreeMap<String, Vec<(String, String)>> {
    let mut events = site.ndjson(&["logs", "--tail", "10000"]);
    events.sort_by_key(|event| event["number"].as_u64());
    grouped(&events, "id")
}

fn grouped(events: &[Value], id: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for event in events {
        let which = (text(&event["log"]), text(&event[id]));
        found.entry(text(&event["tenant"])).or_default().push(which);
    }
    found
}

fn lines(site: &Site, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(site.path(file)).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_event_comes_in_order_and_once_though_the_daemon_is_killed_and_another_sink_is_down() {
    let hook = Hook::new();
    hook.answers(503);
    let accounts = ACCOUNTS.map(|name| story(name).account()).into();
    let duo = Duo::start(accounts, NOON + 60 * MINUTE);
    let mut site = Site::stocked(duo, &ACCOUNTS.map(Source::of));
    site.secret_file("soc.secret", SECRET);
    site.write(
        "picket.yaml",
        &format!(
            "data_dir: ./data\nrules_dir: ./rules\nhttp: {{listen: \"off\"}}\nsinks:\n  \
             - {{type: file, path: ./alerts.ndjson}}\n  \
             - {{type: file, name: lake, path: ./events.ndjson, events: true, min_severity: critical}}\n  \
             - {{type: webhook, name: soc, url: \"http://{}/\", secret_file: ./soc.secret, events: [authentication], \
             tenants: [acme], min_severity: critical}}\n",
            hook.address()
        ),
    );
    site.run();
    site.settle(NOON + 50 * MINUTE);
    let is_sent = |site: &Site| {
        let sent: Vec<Value> = lines(site, "events.ndjson");
        (grouped(&sent, "event_id") == journal(site)).then_some(sent)
    };
    // The webhook takes nothing: neither events to the file nor alerts wait for it.
    site.wait("the events in the file", || is_sent(&site));
    site.wait("the alerts", || {
        (!lines(&site, "alerts.ndjson").is_empty()).then_some(())
    });
    site.wait("a try", || (!hook.posted().is_empty()).then_some(()));
    assert!(hook.taken().is_empty());
    let soc = || {
        let sinks = site.ndjson(&["outbox", "list", "--sink", "soc"]);
        sinks[0]["events"].clone()
    };
    site.wait("what is said of it", || {
        let events = soc();
        (events["waiting_at_most"].as_u64() >= Some(50) && text(&events["trouble"]).contains("503")).then_some(())
    });
    // Killed while new events come.
    site.duo.set_clock(NOON + 90 * MINUTE);
    site.wait("some of what is new", || {
        (lines(&site, "events.ndjson").len() > 130).then_some(())
    });
    site.kill();
    site.duo.set_clock(NOON + 130 * MINUTE);
    hook.answers(204);
    site.run();
    site.settle(NOON + 119 * MINUTE);
    let sent = site.wait("all events in the file", || is_sent(&site));
    let ids: BTreeSet<String> = sent.iter().map(|event| text(&event["id"])).collect();
    assert_eq!(ids.len(), sent.len(), "none twice");
    assert!(
        sent.iter()
            .all(|event| event["schema"] == "picket.event/1" && text(&event["id"]).starts_with("ev_"))
    );
    assert!(
        sent.iter()
            .any(|event| event["log"] == "telephony" && text(&event["event"]["phone"]).starts_with("phone:"))
    );
    assert!(sent.len() > 240);
    let all = journal(&site);
    let wanted: Vec<(String, String)> = all["acme"]
        .iter()
        .filter(|(log, _)| log == "authentication")
        .cloned()
        .collect();
    let posted = site.wait("all of acme's logins at the webhook", || {
        let taken: Vec<Value> = hook
            .posted()
            .into_iter()
            .filter(|posted| posted.status == 204)
            .map(|posted| {
                assert_eq!(posted.id, text(&posted.body["id"]));
                posted.body
            })
            .collect();
        (taken.len() >= wanted.len()).then_some(taken)
    });
    let mut seen = BTreeSet::new();
    let first: Vec<Value> = posted
        .into_iter()
        .filter(|event| seen.insert(text(&event["id"])))
        .collect();
    assert_eq!(
        grouped(&first, "event_id"),
        BTreeMap::from([("acme".to_owned(), wanted)])
    );
    site.stop();
    assert_eq!(lines(&site, "events.ndjson").len(), sent.len(), "nothing more came");
}

#[test]
fn a_sink_begins_where_the_journal_ends_and_what_it_refuses_is_counted_and_holds_up_nothing() {
    let hook = Hook::new();
    hook.answers(422);
    let duo = Duo::start(vec![story("acme").account()], NOON + 60 * MINUTE + MINUTE / 2);
    let mut site = Site::stocked(duo, &[Source::of("acme")]);
    site.secret_file("soc.secret", SECRET);
    site.run();
    site.settle(NOON + 50 * MINUTE);
    // What is there to be read by then: 59 prompts, six refusals, a message.
    let before = site.wait("what is there", || {
        let held = journal(&site)["acme"].len();
        (held == 66).then_some(held)
    });
    site.write(
        "picket.yaml",
        &format!(
            "data_dir: ./data\nrules_dir: ./rules\nhttp: {{listen: \"off\"}}\nsinks:\n  \
             - {{type: file, name: lake, path: ./events.ndjson, events: true, min_severity: critical}}\n  \
             - {{type: webhook, name: soc, url: \"http://{}/\", secret_file: ./soc.secret, events: true, min_severity: critical}}\n",
            hook.address()
        ),
    );
    assert!(!site.picket(&["reload"]).all().contains("error"), "{}", site.log());
    site.duo.set_clock(NOON + 130 * MINUTE);
    site.settle(NOON + 119 * MINUTE);
    let all = journal(&site);
    let new = &all["acme"][before..];
    assert!(new.len() > 50);
    let sent = site.wait("what is new", || {
        Some(lines(&site, "events.ndjson")).filter(|sent| sent.len() >= new.len())
    });
    assert_eq!(grouped(&sent, "event_id")["acme"], new);
    let told = site.wait("what was refused", || {
        let sinks = site.ndjson(&["outbox", "list", "--sink", "soc"]);
        let events = sinks[0]["events"].clone();
        (events["refused"] == new.len() && events["waiting_at_most"] == 0).then_some(events)
    });
    assert!(text(&told["last_refused"]["reason"]).contains("HTTP 422"), "{told}");
    let said = site.picket(&["outbox", "list"]).out;
    assert!(said.contains("refused for good"), "{said}");
    site.stop();
}
