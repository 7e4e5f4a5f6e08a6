//! The past: a first start reads it as history beside what is live, and a backfill reads a piece of it when somebody asks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use picket_e2e::{Duo, Site, Source, Story};
use picket_store::{EventFilter, Store as _};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
const BURST: &str = "mfa-fatigue-denied-burst";
const BYPASS: &str = "bypass-status-login";

/// One login a minute.
fn logins(story: Story, from: i64, count: i64) -> Story {
    (0..count).fold(story, |story, index| {
        let user = format!("user{}", index % 40);
        story.prompt(from + index * MINUTE, &user, "success", "user_approved")
    })
}

fn bypassed(story: Story, at: i64, user: &str) -> Story {
    story.login(at, user, "not_available", "success", "bypass_user")
}

/// Ids of the alerts that came out of the file.
fn sent(site: &Site) -> Vec<String> {
    let text = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap_or_default();
    let alert = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    text.lines().map(alert).collect()
}

fn slow(site: &Site, over_ms: u64) {
    site.duo
        .tell(&json!({"faults": [{"kind": "slow_body", "over_ms": over_ms, "feed": "authentication"}]}));
}

fn rule(site: &Site, id: &str) -> Value {
    let rules = site.rules();
    rules.into_iter().find(|rule| rule["id"] == id).unwrap_or_default()
}

#[test]
fn a_first_start_learns_from_the_past_while_what_is_live_is_judged_at_once() {
    let story = logins(Story::of("acme"), NOON - 12 * DAY, 12_000).refusals(NOON - 3 * DAY, "ada", 6);
    let story = bypassed(story, NOON - 2 * DAY, "bob");
    let story = bypassed(story, NOON + 5 * MINUTE, "eve").refusals(NOON + 6 * MINUTE, "ada", 6);
    let duo = Duo::start(vec![story.account()], NOON);
    let source = Source {
        start: "35d",
        ..Source::of("acme")
    };
    let mut site = Site::stocked(duo, &[source]).with_history();
    slow(&site, 1_500);
    site.run();
    let warming = site.wait("history to be read", || {
        Some(rule(&site, BURST)).filter(|rule| rule["state"] == "warming")
    });
    assert!(warming["percent"].as_f64().unwrap() < 100.0, "{warming}");
    assert_eq!(rule(&site, BYPASS)["state"], "active", "it keeps no state");

    // What happens now is told now by rules that need no history.
    site.duo.set_clock(NOON + 20 * MINUTE);
    site.wait("the live alert", || (!sent(&site).is_empty()).then_some(()));
    let list = site.picket(&["rule", "list"]).with_code(0);
    assert!(
        list.out.contains("warming ("),
        "history takes longer than what is live: {}",
        list.out
    );
    let live = site.alerts("acme", BYPASS);
    let eve = live.iter().find(|alert| alert["about"]["name"] == "eve").unwrap();
    assert_eq!(
        (&eve["historic"], sent(&site)),
        (&Value::Bool(false), vec![eve["id"].as_str().unwrap().to_owned()])
    );
    assert!(site.alerts("acme", BURST).is_empty());

    // A restart in the middle goes on.
    site.kill();
    site.duo.tell(&json!({"faults": []}));
    site.run();
    site.settle(NOON + 15 * MINUTE);
    site.wait("the rules to be warm", || {
        (rule(&site, BURST)["state"] == "active").then_some(())
    });
    let told = |rule: &str| -> Vec<(String, bool)> {
        let alerts = site.alerts("acme", rule);
        let of = |alert: &Value| {
            (
                alert["time"].as_str().unwrap()[..10].to_owned(),
                alert["historic"] == true,
            )
        };
        alerts.iter().map(of).collect()
    };
    let day = |text: &str, historic| (text.to_owned(), historic);
    assert_eq!(told(BURST), [day("2026-11-15", true), day("2026-11-18", false)]);
    assert_eq!(told(BYPASS), [day("2026-11-16", true), day("2026-11-18", false)]);
    site.wait("both live alerts", || (sent(&site).len() == 2).then_some(()));
    let shown = site.picket(&["alerts"]).with_code(0);
    assert_eq!(shown.out.matches("(historic)").count(), 2, "{}", shown.out);
    assert_eq!(site.snapshot("acme").events.len(), 12_000 + 12 + 2);
}

/// What the daemon answers.
fn ask(site: &Site, request: &Value) -> Value {
    let mut stream = UnixStream::connect(site.path("data/control.sock")).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// The only backfill, or the last.
fn backfill(site: &Site) -> Value {
    site.ndjson(&["backfill", "--list"]).pop().unwrap()
}

#[test]
fn a_backfill_finds_what_was_missed_survives_a_kill_and_leaves_the_rest_alone() {
    let story = logins(Story::of("acme"), NOON - 7 * DAY, 9_500).refusals(NOON - 5 * DAY + 30_000, "ada", 6);
    let story = bypassed(story, NOON - 4 * DAY + 30_000, "eve").refusals(NOON + 30 * MINUTE, "bob", 6);
    let account = story.account();
    let (from, to) = (NOON - 6 * DAY, NOON - 3 * DAY);
    let within = account
        .rows
        .iter()
        .filter(|row| (from * 1000..=to * 1000).contains(&row.time_us));
    let expected = within.count();
    let duo = Duo::start(vec![account], NOON);
    let source = Source {
        start: "1d",
        ..Source::of("acme")
    };
    let mut site = Site::stocked(duo, &[source]).with_history();
    site.run();
    site.settle(NOON - 121_000);
    site.wait("history", || (rule(&site, BURST)["state"] == "active").then_some(()));
    let before = site.snapshot("acme");
    let positions = |site: &Site| -> Vec<i64> {
        let rows = site.store().rules("acme").unwrap();
        rows.into_iter().map(|row| row.position.released.time / 1000).collect()
    };
    let stood = positions(&site);

    slow(&site, 700);
    let request = json!({"verb": "backfill", "tenant": null, "logs": ["authentication"], "from": from, "to": to});
    let asked = ask(&site, &request);
    assert_eq!(asked["ok"]["backfill"], 1, "{asked}");
    assert_eq!(
        ask(&site, &request)["ok"]["backfill"],
        1,
        "the same, while it is unfinished, is the same"
    );
    site.wait("a piece of it", || {
        (backfill(&site)["events"].as_u64()? > 0).then_some(())
    });
    site.kill();
    let killed = backfill(&site);
    assert!(
        killed["state"] == "running" && killed["percent"].as_f64().unwrap() < 100.0,
        "{killed}"
    );
    site.run();
    let running = site.wait("an estimate", || {
        Some(backfill(&site)).filter(|one| !one["ready"].is_null())
    });
    assert_eq!(running["state"], "running", "{running}");
    site.duo.tell(&json!({"faults": []}));
    let done = site.wait("its end", || Some(backfill(&site)).filter(|one| one["state"] == "done"));
    assert_eq!(
        (done["events"].as_u64().unwrap() as usize, &done["alerts"]),
        (expected, &json!(2)),
        "{done}"
    );

    let alerts = |rule: &str| site.alerts("acme", rule);
    for (rule, user) in [(BURST, "ada"), (BYPASS, "eve")] {
        let found = alerts(rule);
        assert_eq!(
            (found.len(), &found[0]["about"]["name"], &found[0]["historic"]),
            (1, &json!(user), &json!(true))
        );
    }
    assert!(sent(&site).is_empty());
    let store = site.store();
    let after = site.snapshot("acme");
    assert_eq!(after.events, before.events);
    assert_eq!(after.rules, before.rules);
    assert_eq!(positions(&site), stood);
    let segment = store.segments("acme").unwrap().pop().unwrap();
    assert_eq!(
        store.search(&segment, &EventFilter::default()).unwrap().len(),
        expected,
        "each once"
    );
    site.wait("nothing but its events", || {
        store.rules(&segment).unwrap().is_empty().then_some(())
    });
    assert_eq!(store.tenants().unwrap().len(), 1);
    let logs = site.ndjson(&["logs", "--since", "2026-11-12T00:00:00Z", "--tail", "100000"]);
    assert!(logs.len() > expected, "what a backfill read is among the events");

    // Once more: nothing is new, and nothing comes twice.
    let again = site.picket(&[
        "backfill",
        "--log",
        "authentication",
        "--from",
        "2026-11-13",
        "--to",
        "2026-11-15",
    ]);
    assert!(
        again.with_code(0).out.contains("done: 0 events, 0 alerts"),
        "it is held already"
    );
    assert_eq!(alerts(BURST).len() + alerts(BYPASS).len(), 2);
    let wrong = site.picket(&["backfill", "--log", "authentification", "--from", "7d", "--to", "6d"]);
    assert!(wrong.with_code(2).err.contains("authentification"));

    // Live goes on, and is sent.
    site.duo.set_clock(NOON + 60 * MINUTE);
    site.wait("the live burst", || (sent(&site).len() == 1).then_some(()));
}
