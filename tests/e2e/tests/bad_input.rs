//! Bad input of every kind: a clear error that names it, the rest goes on, nothing accepted is lost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use duo_simulator::model::Feed;
use picket_e2e::{Duo, Site, Source, Story, stock};
use picket_store::{EventFilter, Store as _};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const BURST: &str = "mfa-fatigue-denied-burst";

fn health(site: &Site, tenant: &str, log: &str) -> Value {
    let status = site.ndjson(&["status"]).remove(0);
    let tenants = status["tenants"].as_array().unwrap();
    let tenant = tenants.iter().find(|of| of["id"] == tenant).unwrap();
    let logs = tenant["logs"].as_array().unwrap();
    logs.iter().find(|of| of["log"] == log).unwrap().clone()
}

#[test]
fn every_way_in_which_an_answer_goes_wrong_is_named_and_outlived() {
    let faults = [
        ("truncated_json", "JSON"),
        ("bad_gateway", "502"),
        ("internal_error", "500"),
        ("cut_body", ""),
        ("reset", ""),
        ("lock_out", "rate limit"),
    ];
    let hour = 60 * MINUTE;
    let story = (0..).zip(faults).fold(Story::of("acme"), |story, (at, _)| {
        story
            .refusals(NOON + at * hour, "ada", 5)
            .message(NOON + at * hour + MINUTE)
    });
    let mut site = Site::stocked(Duo::start(vec![story.account()], NOON), &[Source::of("acme")]);
    site.run();
    for (at, (fault, word)) in (0..).zip(faults) {
        let upto = NOON + at * hour + 10 * MINUTE;
        site.duo
            .tell(&json!({"faults": [{"kind": fault, "feed": "authentication"}]}));
        site.duo.set_clock(upto + 2 * MINUTE + 1000);
        let told = site.wait(fault, || {
            let health = health(&site, "acme", "authentication");
            let is_now = health["standing"] == "failing"
                && health["last_success"].as_i64() < health["last_error"]["at"].as_i64();
            let text = health["last_error"]["text"].as_str().unwrap_or_default().to_owned();
            (is_now && text.contains(word)).then_some(text)
        });
        assert!(told.contains("authentication"), "{fault}: {told}");
        // The other logs go on meanwhile.
        site.wait("telephony", || {
            (health(&site, "acme", "telephony")["complete_to"].as_i64() >= Some(upto)).then_some(())
        });
        assert_eq!(site.alerts("acme", BURST).len() as i64, at, "{fault}");

        site.duo.tell(&json!({"faults": []}));
        site.settle(upto);
        assert_eq!(site.alerts("acme", BURST).len() as i64, at + 1, "after {fault}");
        assert_eq!(health(&site, "acme", "authentication")["standing"], "working");
    }
    assert!(site.picket(&["status"]).with_code(0).out.starts_with("ALL WELL"));
    site.stop();
    let events = site.store().count("acme").unwrap();
    assert_eq!(
        events.iter().map(|(_, count)| count).sum::<u64>(),
        6 * faults.len() as u64
    );
}

#[test]
fn rows_that_are_no_events_are_kept_as_they_came_and_counted() {
    let odd = [
        json!(17),
        json!("a text"),
        json!([1, 2]),
        Value::Null,
        json!({"txid": "no-time", "result": "fraud"}),
        json!({"txid": {"not": "a text"}, "timestamp": "soon", "isotimestamp": 7}),
    ];
    let mut story = Story::of("acme").refusals(NOON, "ada", 3);
    for (at, json) in (0..).zip(&odd) {
        let at = NOON + 3 * MINUTE + at;
        story = story.row(Feed::Authentication, at, &format!("odd-{at}"), json.clone());
    }
    let story = story.refusals(NOON + 4 * MINUTE, "ada", 2);
    let mut site = Site::stocked(Duo::start(vec![story.account()], NOON), &[Source::of("acme")]);
    site.run();
    site.duo.set_clock(NOON + 10 * MINUTE);
    site.settle(NOON + 7 * MINUTE);

    assert_eq!(site.alerts("acme", BURST).len(), 1, "the rows around them are judged");
    assert_eq!(health(&site, "acme", "authentication")["unidentified"], odd.len());
    let raws: Vec<Value> = site
        .ndjson(&["logs", "--source", "duo", "--tail", "100"])
        .into_iter()
        .map(|line| line["event"].clone())
        .collect();
    for row in &odd {
        assert_eq!(raws.iter().filter(|raw| *raw == row).count(), 1, "{row} in {raws:?}");
    }
    let text = site.picket(&["logs", "--tail", "100"]).with_code(0);
    assert_eq!(text.out.lines().count(), odd.len() + 5);
    // Asked again after a restart, they are known.
    site.kill();
    site.run();
    site.duo.set_clock(NOON + 20 * MINUTE);
    site.settle(NOON + 17 * MINUTE);
    assert_eq!(
        site.store().count("acme").unwrap(),
        [("authentication".into(), odd.len() as u64 + 5)]
    );
    site.stop();
}

#[test]
fn a_broken_configuration_is_refused_with_file_line_and_column() {
    let site = {
        let mut site = Site::new(Duo::start(vec![Story::of("acme").account()], NOON));
        site.tenant(&Source::of("acme"));
        site
    };
    let good = std::fs::read_to_string(site.path("tenants.d/acme.yaml")).unwrap();
    for (wrong, place, hint) in [
        (
            good.replace("poll_interval", "pol_interval"),
            "acme.yaml:7:3:",
            "did you mean `poll_interval`?",
        ),
        (
            good.replace("[authentication,", "[authentification,"),
            "acme.yaml:9:13:",
            "did you mean `authentication`?",
        ),
        (
            good.replace("type: duo", "type: duo\n  type: duo"),
            "acme.yaml:3:",
            "type",
        ),
        (good.replace("source:", "source"), "acme.yaml:", ""),
        (good.replace("0.1", "[0.1"), "acme.yaml:", ""),
    ] {
        assert_ne!(wrong, good);
        site.write("tenants.d/acme.yaml", &wrong);
        for verb in ["run", "check", "status"] {
            let said = site.picket(&[verb]).with_code(2);
            assert!(said.err.contains(place) && said.err.contains(hint), "{verb}: {said:?}");
        }
    }
    site.write("tenants.d/acme.yaml", &good);
    std::fs::rename(site.path("picket.yaml"), site.path("elsewhere.yaml")).unwrap();
    let missing = site.picket(&["status"]).with_code(2);
    assert!(missing.err.contains("picket.yaml: cannot be read"), "{missing:?}");
}

#[test]
fn a_parameter_or_rule_that_is_not_there_is_named_with_its_place() {
    let mut site = Site::new(Duo::start(vec![Story::of("acme").account()], NOON));
    site.install(&std::fs::read(stock("push-abuse")).unwrap(), "push-abuse.wasm");
    site.tenant(&Source {
        more: "rules:\n  mfa-fatigue-denied-burst: {count: many}\n  mfa-fatigue-denied-brust: {count: 7}\n",
        ..Source::of("acme")
    });
    let check = site.picket(&["check", "--offline"]).with_code(1);
    assert!(check.out.contains("acme.yaml:11:37"), "{check:?}");
    assert!(
        check.out.contains("did you mean `mfa-fatigue-denied-burst`?"),
        "{check:?}"
    );
}

#[test]
fn what_is_no_store_is_named_and_left_alone() {
    let mut site = Site::new(Duo::start(vec![Story::of("acme").account()], NOON));
    site.tenant(&Source::of("acme"));
    std::fs::create_dir(site.path("data")).unwrap();
    site.write(
        "data/picket.db",
        "Dear diary, today I was overwritten by a daemon. Or was I?\n",
    );
    site.start();
    assert_ne!(site.ends(), 0);
    assert!(
        site.log().contains("picket.db") || site.log().contains("/data"),
        "{}",
        site.log()
    );
    for verb in [&["logs"][..], &["alerts"], &["status"]] {
        let said = site.picket(verb).with_code(2);
        assert!(said.err.contains("data"), "{verb:?}: {said:?}");
    }
    assert!(
        std::fs::read_to_string(site.path("data/picket.db"))
            .unwrap()
            .starts_with("Dear diary")
    );
}

#[test]
fn a_damaged_block_is_named_and_everything_else_goes_on() {
    let story = Story::of("acme")
        .refusals(NOON, "ada", 5)
        .message(NOON)
        .refusals(NOON + 60 * MINUTE, "bob", 5)
        .refusals(NOON + 120 * MINUTE, "eve", 5);
    let mut site = Site::stocked(Duo::start(vec![story.account()], NOON), &[Source::of("acme")]);
    site.run();
    site.duo.set_clock(NOON + 10 * MINUTE);
    site.settle(NOON + 7 * MINUTE);
    site.duo.set_clock(NOON + 70 * MINUTE);
    site.settle(NOON + 67 * MINUTE);
    site.stop();

    // The first piece of the authentication log rots.
    let base = rusqlite::Connection::open(site.path("data/picket.db")).unwrap();
    const FIRST: &str = "SELECT min(id) FROM admission WHERE log = 'authentication' AND events > 0";
    let lost: usize = base
        .query_row(
            &format!("SELECT events FROM admission WHERE id = ({FIRST})"),
            [],
            |row| row.get(0),
        )
        .unwrap();
    let rot = format!("UPDATE block SET body = zeroblob(length(body)) WHERE admission = ({FIRST})");
    assert_eq!(base.execute(&rot, []).unwrap(), 1);
    drop(base);

    let logs = site
        .picket(&["logs", "--tail", "100", "--format", "ndjson"])
        .with_code(0);
    assert_eq!(logs.lines().len(), 11 - lost, "all the others are still there");
    assert!(logs.err.contains("damaged"), "what cannot be read is named: {logs:?}");

    site.run();
    site.duo.set_clock(NOON + 130 * MINUTE);
    site.settle(NOON + 127 * MINUTE);
    let alerts = site.alerts("acme", BURST);
    let about: Vec<&str> = alerts
        .iter()
        .filter_map(|alert| alert["about"]["name"].as_str())
        .collect();
    assert_eq!(about, ["ada", "bob", "eve"]);
    assert_eq!(
        site.store().search("acme", &EventFilter::default()).unwrap().len(),
        16 - lost
    );
    site.stop();
}

#[test]
fn a_replay_names_the_file_and_line_that_is_no_event() {
    let site = Site::new(Duo::start(Vec::new(), NOON));
    let account = Story::of("acme").refusals(NOON, "ada", 5).account();
    duo_simulator::write::write(&site.path("logs"), &account).unwrap();
    let good = std::fs::read_to_string(site.path("logs/acme/authentication.ndjson")).unwrap();
    let rules = stock("push-abuse").display().to_string();
    let replay = |log: &str, file: &str| {
        site.picket(&[
            "replay",
            "--rules",
            &rules,
            "--events",
            &format!("{log}={file}"),
            "--format",
            "ndjson",
        ])
    };

    site.write("good.ndjson", &good);
    assert_eq!(replay("authentication", "good.ndjson").with_code(0).lines().len(), 1);
    let lines: Vec<&str> = good.lines().collect();
    let half = &lines[3][..lines[3].len() / 2];
    for (what, third) in [
        ("half", half),
        ("text", "not json"),
        ("number", "17"),
        ("timeless", r#"{"txid": "x"}"#),
    ] {
        let text = format!("{}\n\n{}\n{third}\n{}\n", lines[0], lines[1], lines[2]);
        site.write("bad.ndjson", &text);
        let said = replay("authentication", "bad.ndjson").with_code(2);
        assert!(said.err.contains("bad.ndjson:4: "), "{what}: {said:?}");
        assert_eq!(said.out, "", "{what}");
    }
    std::fs::write(site.path("bytes.ndjson"), b"{\"txid\": \"\xff\xfe\"}\n").unwrap();
    assert!(
        replay("authentication", "bytes.ndjson")
            .with_code(2)
            .err
            .contains("bytes.ndjson:1: ")
    );
    assert!(
        replay("authentication", "nowhere.ndjson")
            .with_code(2)
            .err
            .contains("nowhere.ndjson")
    );
    assert!(
        replay("authentification", "good.ndjson")
            .with_code(2)
            .err
            .contains("authentification")
    );
    let said = site
        .picket(&["replay", "--rules", "nowhere", "--events", "authentication=good.ndjson"])
        .with_code(2);
    assert!(said.err.contains("nowhere"), "{said:?}");
}
