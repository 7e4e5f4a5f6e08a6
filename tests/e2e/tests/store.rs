//! The operator's side of the store: check, backup and restore, compact, export, purge; what is old is given up, and what has
//! no room is left with Duo.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeSet;
use std::path::Path;

use duo_simulator::model::Feed;
use picket_e2e::{Duo, Site, Source, Story};
use picket_store::{Store as _, segment};
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
const BURST: &str = "mfa-fatigue-denied-burst";

/// Some logins a day for ten days, and a burst of refusals in the last hour.
fn story(name: &str) -> Story {
    let logins = (0..100).fold(Story::of(name), |story, index| {
        let user = format!("{name}-user{}", index % 7);
        story.prompt(
            NOON - 10 * DAY + index * 2 * 60 * MINUTE,
            &user,
            "success",
            "user_approved",
        )
    });
    logins.refusals(NOON - 60 * MINUTE, "ada", 6)
}

fn site(names: &[&str]) -> Site {
    site_of(names, story)
}

fn site_of(names: &[&str], story: impl Fn(&str) -> Story) -> Site {
    let duo = Duo::start(names.iter().map(|name| story(name).account()).collect(), NOON);
    let sources: Vec<Source<'_>> = names.iter().map(|name| Source::of(name)).collect();
    let mut site = Site::stocked(duo, &sources);
    site.run();
    for name in names {
        site.wait("the burst", || (site.alerts(name, BURST).len() == 1).then_some(()));
    }
    // The last refusal repeats the alert.
    site.settle(NOON - 50 * MINUTE);
    site
}

fn events(site: &Site, tenant: &str) -> u64 {
    site.store()
        .count(tenant)
        .unwrap()
        .iter()
        .map(|(_, events)| events)
        .sum()
}

#[test]
fn a_backup_taken_while_it_runs_is_a_store_to_go_on_with() {
    let mut site = site(&["acme"]);
    let sound = site.picket(&["store", "check"]).with_code(0);
    assert!(sound.out.starts_with("sound: 1 journals"), "{}", sound.out);
    let info = site.ndjson(&["store", "info"]);
    assert_eq!(
        (info[0]["tenant"].as_str(), info[0]["events"].as_u64()),
        (Some("acme"), Some(106))
    );
    assert!(info[1]["store"]["ballast"] == true && info[1]["store"]["disk_free"].as_u64().unwrap() > 0);

    let manifest = &site.ndjson(&["store", "backup", "backup"])[0];
    assert_eq!(manifest["schema"], picket_store::SCHEMA);
    assert_eq!(manifest["tenants"]["acme"]["events"]["authentication"], 106);
    assert_eq!(manifest["checked"]["sound"], true);
    assert!(manifest["files"]["keys/acme.phone"]["bytes"] == 65, "{manifest}");
    let written: Value = serde_json::from_slice(&std::fs::read(site.path("backup/manifest.json")).unwrap()).unwrap();
    assert_eq!(&written, manifest);
    let again = site.picket(&["store", "backup", "backup"]).with_code(2);
    assert!(
        again.err.contains("is there already, and nothing is written over"),
        "{}",
        again.err
    );

    // What comes later is not in it; Duo has it still.
    let before = site.snapshot("acme");
    site.duo.tell(&serde_json::json!({"now": "2026-11-18T12:30:00Z"}));
    let small = &site.ndjson(&["store", "compact"])[0];
    assert_eq!(small["daemon"], "running");
    site.stop();
    let status = site.picket(&["status"]);
    assert!(
        status.out.contains("picket does not run since 2") && status.out.contains("when it was stopped"),
        "{}",
        status.out
    );
    let small = &site.ndjson(&["store", "compact"])[0];
    assert!(small["daemon"] == "stopped" && small["after"].as_u64() <= small["before"].as_u64());

    // Restored as docs/operating.md says: put in the place of data_dir.
    std::fs::rename(site.path("data"), site.path("lost")).unwrap();
    std::fs::rename(site.path("backup"), site.path("data")).unwrap();
    site.snapshot("acme").assert_same(&before, "restored");
    site.run();
    site.wait("it to go on", || {
        (site.ndjson(&["status"])[0]["verdict"] == "all well").then_some(())
    });
    assert_eq!(site.alerts("acme", BURST).len(), 1);
    assert_eq!(events(&site, "acme"), 106, "nothing twice");
    site.kill();
    let status = site.picket(&["status"]);
    assert!(status.out.contains("it ended without a word after 2"), "{}", status.out);
    let _ = site.picket(&["store", "check", "--quick"]).with_code(0);

    // Damage is found, with what to do, and is exit code 1.
    let database = rusqlite::Connection::open(site.path("data/picket.db")).unwrap();
    database
        .execute("UPDATE block SET body = cast('x' || substr(body, 2) AS BLOB)", [])
        .unwrap();
    drop(database);
    let damaged = site.picket(&["store", "check"]).with_code(1);
    assert!(
        damaged.out.contains("DAMAGED  acme: journal entry") && damaged.out.contains("NOT SOUND"),
        "{}",
        damaged.out
    );
    assert!(
        damaged
            .out
            .contains("-> restore a backup (docs/operating.md, Backup and restore)"),
        "{}",
        damaged.out
    );
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_exported_is_what_duo_gave_and_is_replayed_alike() {
    let site = site(&["acme"]);
    let whole = site
        .picket(&["store", "export", "--tenant", "acme", "--log", "authentication"])
        .with_code(0);
    let parsed = |text: &str| -> BTreeSet<String> {
        let each = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        each.map(|event| event["txid"].as_str().unwrap().to_owned()).collect()
    };
    let rows: BTreeSet<String> = site
        .duo
        .rows("acme", Feed::Authentication)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(parsed(&whole.out), rows);
    let day = &site.ndjson(&[
        "store",
        "export",
        "--tenant",
        "acme",
        "--to-dir",
        "plain",
        "--from",
        "2026-11-10",
        "--to",
        "2026-11-11",
    ])[0];
    assert_eq!(day["files"], 2);
    let first = lines(&site.path("plain/authentication/2026-11-10.ndjson"));
    assert_eq!(
        day["events"]["authentication"].as_u64().unwrap(),
        first.len() as u64 + 1,
        "midnight is the next day's"
    );
    let _ = site
        .picket(&["store", "export", "--tenant", "acme", "--to-dir", "packed", "--zstd"])
        .with_code(0);
    let mut unpacked = String::new();
    for file in std::fs::read_dir(site.path("packed/authentication")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        unpacked.push_str(&String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap());
    }
    assert_eq!(parsed(&unpacked), rows);

    site.write("all.ndjson", &whole.out);
    let replayed = site.ndjson(&[
        "replay",
        "--rules",
        "rules/push-abuse.wasm",
        "--events",
        "authentication=all.ndjson",
        "--tenant",
        "acme",
    ]);
    let burst: Vec<&Value> = replayed.iter().filter(|alert| alert["rule"] == BURST).collect();
    assert_eq!(burst.len(), 1);
    assert_eq!(burst[0]["id"], site.alerts("acme", BURST)[0]["id"]);

    for (arguments, why) in [
        (
            &["--tenant", "nobody", "--log", "authentication"][..],
            "nothing is stored of it; there are: acme",
        ),
        (
            &["--tenant", "acme", "--log", "no-such"],
            "there is no such log; the logs are",
        ),
        (&["--tenant", "acme"], "standard output takes one log"),
        (
            &["--tenant", "acme", "--to-dir", "plain"],
            "is not empty, and nothing is written over",
        ),
    ] {
        let refused = site.picket(&[&["store", "export"], arguments].concat()).with_code(2);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
}

#[test]
fn a_customer_who_left_is_purged_and_the_others_stay() {
    let mut site = site(&["acme", "globex"]);
    let before = site.snapshot("globex");
    let refused = site.picket(&["tenant", "purge", "acme", "--yes"]).with_code(2);
    assert!(
        refused.err.contains("tenant acme is in the configuration (") && refused.err.contains("acme.yaml"),
        "{}",
        refused.err
    );
    std::fs::rename(site.path("tenants.d/acme.yaml"), site.path("acme.gone")).unwrap();
    let _ = site.picket(&["reload"]).with_code(0);
    let listed = &site.ndjson(&["tenant", "purge", "acme"])[0];
    assert_eq!(
        (
            listed["would_delete"]["events"].as_u64(),
            listed["would_delete"]["alerts"].as_u64() > Some(0)
        ),
        (Some(106), true)
    );
    assert_eq!(events(&site, "acme"), 106);

    let done = site.picket(&["tenant", "purge", "acme", "--yes"]).with_code(0);
    assert!(
        done.out.contains("tenant acme is purged") && done.out.contains("none is there"),
        "{}",
        done.out
    );
    assert!(site.store().rows_of("acme").unwrap().is_empty());
    assert!(!site.path("data/keys/acme.phone").exists() && site.path("data/keys/globex.phone").exists());
    let audit = site.ndjson(&["audit"]);
    let entry = audit
        .iter()
        .find(|entry| entry["what"] == "tenant acme: purged")
        .unwrap();
    assert_eq!(
        (entry["how"].as_str(), entry["before"]["events"].as_u64()),
        (Some("purge"), Some(106))
    );
    site.snapshot("globex").assert_same(&before, "globex");
    let again = site.picket(&["tenant", "purge", "acme", "--yes"]).with_code(2);
    assert!(
        again
            .err
            .contains("nothing is stored of a tenant `acme`; there are: globex"),
        "{}",
        again.err
    );
    let _ = site.picket(&["store", "check"]).with_code(0);

    // Back again, it begins anew; and it can be purged without a daemon.
    std::fs::rename(site.path("acme.gone"), site.path("tenants.d/acme.yaml")).unwrap();
    let _ = site.picket(&["reload"]).with_code(0);
    site.wait("it to be collected", || (events(&site, "acme") == 106).then_some(()));
    site.stop();
    std::fs::remove_file(site.path("tenants.d/acme.yaml")).unwrap();
    let done = &site.ndjson(&["tenant", "purge", "acme", "--yes"])[0];
    assert_eq!(
        (done["found"].as_u64(), done["after"].as_object().unwrap().len()),
        (Some(0), 0)
    );
    assert!(done["looked_for"].as_u64().unwrap() > 0 && done["key_deleted"] == true);
    site.snapshot("globex").assert_same(&before, "globex");
}

#[test]
fn what_is_old_is_given_up_by_log_and_a_rule_that_stood_still_has_a_gap() {
    // One refusal more, which the rule is never shown.
    let later = NOON + 30 * MINUTE;
    let site = site_of(&["acme"], |name| story(name).refusals(later, "eve", 1));
    let _ = site.picket(&["rule", "pause", BURST]).with_code(0);
    site.duo.set_clock(NOON + 2 * DAY);
    let released = |site: &Site| {
        let rows = site.store().rules("acme").unwrap();
        rows.into_iter()
            .find(|row| &*row.rule == "bypass-status-login")
            .unwrap()
            .position
            .released
            .time
    };
    site.wait("the day to pass", || {
        (released(&site) > NOON + 2 * DAY - 10 * MINUTE).then_some(())
    });
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write(
        "picket.yaml",
        &format!("{config}retention:\n  logs: {{authentication: 1d}}\n  events: 30d\n"),
    );
    let reload = site.picket(&["reload"]).with_code(0);
    assert!(reload.out.contains("retention: what is kept"), "{}", reload.out);
    site.wait("old events to go", || (events(&site, "acme") < 10).then_some(()));
    let segment = segment::name("acme", 1);
    assert!(site.store().volumes(&segment).unwrap().is_empty());
    let forgotten = &site.store().forgotten("acme").unwrap()[0];
    assert!(&*forgotten.log == "authentication" && (later..later + MINUTE).contains(&forgotten.time));
    assert_eq!(site.alerts("acme", BURST).len(), 1, "alerts are kept for longer");
    let _ = site.picket(&["store", "check"]).with_code(0);

    let _ = site.picket(&["rule", "resume", BURST]).with_code(0);
    let gap = site.wait("the gap", || {
        let rules = site.ndjson(&["rule", "list", "--verbose"]);
        let rule = rules.into_iter().find(|rule| rule["id"] == BURST).unwrap();
        rule["gaps"]
            .as_array()
            .filter(|gaps| !gaps.is_empty())
            .map(|gaps| gaps[0].clone())
    });
    assert!(gap.to_string().contains("authentication"), "{gap}");
}

#[test]
fn a_tenant_at_its_quota_is_not_asked_for_and_misses_nothing() {
    let many = (0..12_000).fold(Story::of("acme"), |story, index| {
        let user = format!("user{}", index % 40);
        story.prompt(NOON - 9 * DAY + index * MINUTE, &user, "success", "user_approved")
    });
    let many = many.refusals(NOON + 30 * MINUTE, "ada", 6);
    let other = story("globex").refusals(NOON + 30 * MINUTE, "eve", 6);
    let duo = Duo::start(vec![many.account(), other.account()], NOON);
    let limited = Source {
        more: "retention: {quota: 300kB}\n",
        ..Source::of("acme")
    };
    let mut site = Site::stocked(duo, &[limited, Source::of("globex")]);
    site.run();
    let said = site.wait("the quota to be told", || {
        Some(site.picket(&["status"])).filter(|said| said.out.contains("acme: Duo is not asked, nothing is lost"))
    });
    assert!(said.out.contains("its quota is 300.0 kB"), "{}", said.out);
    assert!(said.out.starts_with("NEEDS YOU"), "{}", said.out);
    site.duo.set_clock(NOON + 60 * MINUTE);
    site.wait("the other to go on", || {
        (site.alerts("globex", BURST).len() == 2).then_some(())
    });
    assert!(site.alerts("acme", BURST).is_empty());
    // More is allowed: what was missed is read.
    let file = std::fs::read_to_string(site.path("tenants.d/acme.yaml")).unwrap();
    site.write("tenants.d/acme.yaml", &file.replace("quota: 300kB", "quota: 1GB"));
    let _ = site.picket(&["reload"]).with_code(0);
    site.wait("what was missed", || {
        (site.alerts("acme", BURST).len() == 1).then_some(())
    });
    site.wait("all to be well", || {
        (!site.picket(&["status"]).out.contains("not asked")).then_some(())
    });
    assert_eq!(events(&site, "acme"), 12_006);
    site.stop();
}

#[test]
fn wrong_retention_says_what_would_be_right() {
    let site = Site::new(Duo::start(vec![Story::of("acme").account()], NOON));
    let source = "source: {type: duo, api_hostname: api-1234abcd.duosecurity.com, integration_key: DIXXXXXXXXXXXXXXXXXX, secret_key: \"${NONE}\"}\n";
    for (section, place, why) in [
        ("{events: 3h}", "2:21", "retention: events: 3h is out of range"),
        ("{events: long}", "2:21", "retention: events:"),
        (
            "{logs: {authentification: 3d}}",
            "2:38",
            "did you mean `authentication`?",
        ),
        (
            "{quota: 3}",
            "2:20",
            "`3` is no size: write a number and a unit, as 500MB",
        ),
        ("{size: 3kB}", "2:19", "retention: size: 3kB is too little"),
        ("{min_free: much}", "2:23", "retention: min_free: `much` is no size"),
        ("{evens: 3d}", "2:", "evens"),
    ] {
        site.write("picket.yaml", &format!("{source}retention: {section}\n"));
        let said = site.picket(&["check", "--offline"]).with_code(2);
        assert!(said.err.contains(why), "{section}: {}", said.err);
        assert!(
            said.err.contains(&format!("picket.yaml:{place}")),
            "{section}: {}",
            said.err
        );
    }
}
