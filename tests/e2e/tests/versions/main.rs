//! The path of a new version through the real binary: shown stored events, compared, promoted or kept waiting, watched, taken
//! back; over restarts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

mod live_shadow;
mod replayed;
mod signed;
mod tabled;

use picket_e2e::{Duo, Site, Source, Story};
use picket_hostile::{Guest, NOTHING};
use picket_store::Store as _;
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const FILE: &str = "tested.wasm";

/// One alert for each call that has a row, raised by its first row.
const ANYBODY: &str = "
    (if (local.get $groups_len) (then
        (i64.store (i32.const 400) (i64.const 0x646574736554))
        (i32.store (i32.const 384) (i32.const 0)) (i32.store (i32.const 388) (i32.const 416)) (i32.store (i32.const 392) (i32.const 1))
        (memory.fill (i32.const 416) (i32.const 0) (i32.const 88))
        (i32.store (i32.const 416) (i32.const 400)) (i32.store (i32.const 420) (i32.const 6))
        (i64.store (i32.const 440) (i64.load (i32.load offset=12 (local.get $groups))))
        (i32.store (i32.const 484) (i32.load offset=4 (local.get $groups))) (i32.store (i32.const 488) (i32.const 1))
        (i64.store (i32.const 496) (i64.load (i32.load offset=4 (local.get $groups))))
        (return (i32.const 384))))
    (i32.const 16)";

/// Alerts if a call's first row is ada's. The number makes it another version.
fn on_ada(number: u32) -> Vec<u8> {
    version(NOTHING, number)
}

/// Alerts on anybody.
fn on_anybody(number: u32) -> Vec<u8> {
    version(ANYBODY, number)
}

/// Alerts if a call's first row is ada's, and traps on anybody else's.
fn traps(number: u32) -> Vec<u8> {
    version("unreachable", number)
}

fn version(evaluate: &str, number: u32) -> Vec<u8> {
    let guest = Guest::new(evaluate).disguised();
    guest
        .items(format!("(data (i32.const 600) \"{number:08}\")"))
        .component()
}

fn login(story: Story, minute: i64, user: &str) -> Story {
    story.login(NOON + minute * MINUTE, user, "duo_push", "success", "user_approved")
}

/// A site that judges these logins (minute, user) with one module.
fn site(logins: &[(i64, &str)], module: &[u8], more: &str) -> Site {
    let story = logins
        .iter()
        .fold(Story::of("acme"), |story, (minute, user)| login(story, *minute, user));
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.install(module, FILE);
    site.tenant(&Source::of("acme"));
    if !more.is_empty() {
        let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
        site.write("picket.yaml", &format!("{config}{more}"));
    }
    site.run();
    site
}

/// Lets Duo's clock go to this minute and the rules see all of it.
fn advance(site: &Site, minute: i64) {
    let to = NOON + minute * MINUTE;
    site.duo.set_clock(to + 2 * MINUTE + 1000);
    site.settle(to);
}

/// The minutes of the rule's alerts, and whom they are about.
fn alerts(site: &Site) -> Vec<String> {
    let name = |alert: &Value| {
        alert["about"]["name"]
            .as_str()
            .unwrap()
            .split('@')
            .next()
            .unwrap()
            .to_owned()
    };
    site.alerts("acme", "t").iter().map(name).collect()
}

/// Waits for them: rows of before the first start come late to a rule without state.
fn alerted(site: &Site, about: &[&str]) {
    site.wait("alerts", || (alerts(site) == about).then_some(()));
}

fn live_digest(site: &Site) -> String {
    let rules = site.rules();
    let live = rules.iter().find(|rule| rule["id"] == "t").unwrap();
    live["digest"].as_str().unwrap().to_owned()
}

/// The row about what lies in the file and does not judge.
fn aside(site: &Site) -> Option<Value> {
    let mut rules = site.rules();
    rules.retain(|rule| rule["module"] == FILE && rule["id"] == "tested");
    rules.pop()
}

/// Installs, and waits for what comes of it.
fn install(site: &Site, module: &[u8]) -> picket_e2e::Said {
    site.install(module, FILE);
    site.picket(&["reload"])
}

/// Installs, and waits until it judges.
fn goes_live(site: &Site, module: &[u8]) {
    let before = live_digest(site);
    let _ = install(site, module).with_code(0);
    site.wait("the new version", || (live_digest(site) != before).then_some(()));
    assert!(aside(site).is_none());
}

fn steps(site: &Site) -> Vec<(String, String)> {
    let of = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let history = site.ndjson(&["rule", "history", "t"]);
    history
        .iter()
        .map(|row| (of(row, "step"), of(row, "outcome")))
        .collect()
}

fn has_step(site: &Site, step: &str, outcome: &str) -> bool {
    steps(site).contains(&(step.to_owned(), outcome.to_owned()))
}

#[test]
fn a_version_that_alerts_otherwise_waits_until_it_is_promoted_and_can_be_taken_back() {
    let logins = [
        (1, "eve"),
        (2, "ada"),
        (10, "eve"),
        (20, "eve"),
        (30, "eve"),
        (40, "eve"),
        (50, "ada"),
    ];
    let mut site = site(&logins, &on_ada(1), "");
    advance(&site, 1);
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);

    let said = install(&site, &on_anybody(2)).with_code(0);
    assert!(
        said.out
            .contains("waits    tested.wasm: alerts differ on 2 stored events"),
        "{said:?}"
    );
    let waiting = aside(&site).unwrap();
    assert_eq!((&waiting["state"], &waiting["waits"]), (&"shadow".into(), &true.into()));
    assert!(
        waiting["reason"]
            .as_str()
            .unwrap()
            .contains("1 gained, 0 lost, 0 changed"),
        "{waiting}"
    );
    assert_eq!(live_digest(&site), old);
    let status = site.picket(&["status"]).with_code(0).out;
    assert!(
        status.starts_with("LOOK WHEN YOU CAN") && status.contains("picket rule promote tested.wasm"),
        "{status}"
    );
    let diff = site.ndjson(&["rule", "diff", "t"]).remove(0);
    assert_eq!(
        (&diff["counts"]["gained"], &diff["counts"]["lost"]),
        (&1.into(), &0.into())
    );
    assert_eq!(diff["gained"][0]["title"], "Tested");
    assert!(
        site.picket(&["rule", "diff", FILE])
            .with_code(0)
            .out
            .contains("\n+ 2026-11-18T12:01")
    );

    // It never judges while it waits: not what comes, and not over a restart.
    advance(&site, 12);
    site.kill();
    site.run();
    assert_eq!(
        (alerts(&site), live_digest(&site)),
        (vec!["ada".to_owned()], old.clone())
    );
    assert_eq!(aside(&site).unwrap()["waits"], true);
    let said = site
        .picket(&["rule", "promote", "t", "--reason", "we want eve"])
        .with_code(0);
    assert!(said.out.contains("tested.wasm is live"), "{said:?}");
    assert_ne!(live_digest(&site), old);
    assert!(aside(&site).is_none());
    advance(&site, 22);
    assert_eq!(alerts(&site), ["ada", "eve"]);
    assert!(!site.picket(&["rule", "promote", "t"]).with_code(1).out.is_empty());

    let _ = site.picket(&["rule", "rollback", FILE]).with_code(0);
    assert_eq!(live_digest(&site), old);
    advance(&site, 32);
    assert_eq!(alerts(&site), ["ada", "eve"]);
    // What lies in the file is not what judges, after a restart neither, and is not tried again by itself.
    site.stop();
    site.run();
    assert_eq!(live_digest(&site), old);
    let said = site.picket(&["reload"]).with_code(1);
    assert!(said.out.contains("rolled-back: taken back by"), "{said:?}");
    assert_eq!(aside(&site).unwrap()["code"], "rolled-back");
    // Asked for by name it is tried once more, and goes live though its alerts differ.
    let _ = site.picket(&["rule", "promote", "t"]).with_code(0);
    advance(&site, 42);
    assert_eq!(alerts(&site), ["ada", "eve", "eve"]);
    // The old file again is a version as any other; it would lose alerts, so it waits.
    let said = install(&site, &on_ada(1)).with_code(0);
    assert!(said.out.contains("lost"), "{said:?}");
    site.stop();

    // Without a daemon the store tells it.
    for step in [
        ("live", "passed"),
        ("admission", "passed"),
        ("shadow", "waits"),
        ("promote", "passed"),
        ("rollback", "failed"),
    ] {
        assert!(has_step(&site, step.0, step.1), "{step:?}: {:?}", steps(&site));
    }
    let told = site.picket(&["rule", "history", "tested"]).with_code(0).out;
    assert!(told.contains("we want eve"), "{told}");
    assert!(site.picket(&["audit"]).with_code(0).out.contains("we want eve"));
    let _ = site.picket(&["rule", "history", "nobody"]).with_code(2);
    let _ = site.picket(&["rule", "promote", "t"]).with_code(2);
}

#[test]
fn a_version_that_fails_on_live_data_is_taken_back_by_itself_and_misses_nothing() {
    let logins = [(1, "ada"), (10, "eve"), (20, "ada"), (30, "eve")];
    let mut site = site(
        &logins,
        &on_anybody(1),
        "sandbox: {modules: {tested.wasm: {on_poison: skip}}}\n",
    );
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);
    goes_live(&site, &traps(2));

    advance(&site, 12);
    site.wait("the old version", || (live_digest(&site) == old).then_some(()));
    // The row that the new version failed on is judged by the old one: it stood right before it, though rows are skipped by
    // policy.
    site.wait("what it failed on", || (alerts(&site) == ["ada", "eve"]).then_some(()));
    advance(&site, 32);
    assert_eq!(alerts(&site), ["ada", "eve", "ada", "eve"]);
    assert!(has_step(&site, "watch", "failed") && has_step(&site, "rollback", "failed"));
    let told = site.picket(&["rule", "history", "t"]).with_code(0).out;
    assert!(
        told.contains("t failed for acme on event") && told.contains("unreachable"),
        "{told}"
    );
    let refused = aside(&site).unwrap();
    assert_eq!(refused["code"], "rolled-back");
    let rows = site.store().rules("acme").unwrap();
    let row = rows.iter().find(|row| &*row.rule == "t").unwrap();
    assert_eq!(row.standing.quarantine, None);
    assert!(site.picket(&["audit"]).with_code(0).out.contains("picket"));
    site.stop();
}

#[test]
fn a_version_is_watched_for_so_many_batches_and_taken_back_within_one() {
    let logins = [
        (1, "ada"),
        (10, "ada"),
        (20, "eve"),
        (30, "ada"),
        (40, "ada"),
        (50, "ada"),
    ];
    let mut site = site(&logins, &on_ada(1), "reload: {watch: {time: 0s, batches: 2}}\n");
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);
    goes_live(&site, &traps(2));
    // A first batch that it can judge, and a second that it cannot.
    advance(&site, 12);
    alerted(&site, &["ada", "ada"]);
    assert_ne!(live_digest(&site), old);
    advance(&site, 22);
    site.wait("the old version", || (live_digest(&site) == old).then_some(()));
    let told = || site.picket(&["rule", "history", "t"]).with_code(0).out;
    site.wait("its end", || told().contains("it judges no more").then_some(()));
    assert!(
        told().contains("unreachable") && told().contains("(in 2 batches)"),
        "{}",
        told()
    );
    assert!(
        told().contains("it judges no more; 0 batches after the failure"),
        "{}",
        told()
    );
    assert!(has_step(&site, "ended", "passed"));

    // One that fails on nothing is let go when it has judged as many, and not before: time is nothing that shows anything.
    advance(&site, 32);
    alerted(&site, &["ada", "ada", "ada"]);
    goes_live(&site, &on_ada(3));
    advance(&site, 42);
    alerted(&site, &["ada", "ada", "ada", "ada"]);
    assert!(!has_step(&site, "watch", "passed"));
    advance(&site, 52);
    site.wait("the end of the watch", || {
        has_step(&site, "watch", "passed").then_some(())
    });
    assert!(
        told().contains("no failure while it was watched, in 2 batches"),
        "{}",
        told()
    );
    assert_eq!(alerts(&site).len(), 5);
    site.stop();
}

#[test]
fn a_version_that_fails_on_stored_events_never_judges() {
    let logins = [(1, "eve"), (2, "ada"), (10, "eve")];
    let mut site = site(&logins, &on_ada(1), "");
    advance(&site, 1);
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);
    let said = install(&site, &traps(2)).with_code(1);
    assert!(said.out.contains("shadow: rule `t` fails on event"), "{said:?}");
    assert_eq!(aside(&site).unwrap()["state"], "rejected");
    // Nor after a restart, nor because the file is written once more.
    site.kill();
    site.run();
    assert_eq!(live_digest(&site), old);
    let _ = install(&site, &traps(2)).with_code(1);
    advance(&site, 12);
    assert_eq!(site.store().poison("acme").unwrap(), []);
    let diff = site.ndjson(&["rule", "diff", "t"]).remove(0);
    assert!(
        diff["failures"][0]["report"].as_str().unwrap().contains("unreachable"),
        "{diff}"
    );
    // A better version takes over without a word.
    goes_live(&site, &on_ada(3));
    site.stop();
}

#[test]
fn policy_says_how_far_back_and_what_differs_may_do() {
    let logins = [(1, "eve"), (2, "ada"), (10, "eve")];
    let more = "reload: {on_difference: promote, modules: {other.wasm: {history: 0s}}}\n";
    let mut site = site(&logins, &on_ada(1), more);
    advance(&site, 1);
    advance(&site, 5);
    alerted(&site, &["ada"]);
    goes_live(&site, &on_anybody(2));
    let told = site.picket(&["rule", "history", "t"]).with_code(0).out;
    assert!(told.contains("promoted by `on_difference: promote`"), "{told}");
    // A rule that is new goes live at once, and its history says what it would have raised.
    std::fs::remove_file(site.path("rules").join(FILE)).unwrap();
    site.install(&on_anybody(3), "new.wasm");
    let _ = site.picket(&["reload"]).with_code(0);
    let told = site.picket(&["rule", "history", "new"]).with_code(0).out;
    assert!(
        told.contains("new: it would have raised 1 alert on 2 stored events"),
        "{told}"
    );
    // Where nothing is shown, the watch is what is left.
    std::fs::remove_file(site.path("rules/new.wasm")).unwrap();
    site.install(&traps(4), "other.wasm");
    let _ = site.picket(&["reload"]).with_code(0);
    assert!(
        site.rules()
            .iter()
            .any(|rule| rule["id"] == "t" && rule["module"] == "other.wasm")
    );
    site.stop();
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    for (wrong, word) in [
        ("reload: {on_difference: perhaps}", "perhaps"),
        ("reload: {fuel_factor: 0}", "from 1 to 1000000"),
        ("reload: {watch: {time: 99d}}", "30d"),
        ("reload: {watch: {batches: some}}", "from 0 to 1000000"),
        ("reload: {live_shadow: 31d}", "`live_shadow` is out of range"),
        ("reload: {new_rule: {live_shadow: long}}", "long"),
        ("reload: {shadow: {history: soon}}", "soon"),
        ("reload: {modules: {x: {}}}", "no module's file"),
        ("reload: {shadows: {}}", "did you mean `shadow`"),
    ] {
        site.write("picket.yaml", &config.replace(more, &format!("{wrong}\n")));
        let said = site.picket(&["check", "--offline"]);
        assert!(
            said.code == 2 && said.err.contains("picket.yaml:") && said.err.contains(word),
            "{wrong}: {said:?}"
        );
    }
}

#[test]
fn a_paused_rule_stays_paused_over_restarts_and_updates() {
    let logins = [(1, "ada"), (10, "ada"), (20, "ada"), (30, "ada")];
    let mut site = site(&logins, &on_ada(1), "");
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let state = |site: &Site| {
        let rules = site.rules();
        let rule = rules.iter().find(|rule| rule["id"] == "t").unwrap();
        (
            rule["state"].as_str().unwrap().to_owned(),
            rule["reason"].as_str().unwrap().to_owned(),
        )
    };
    let said = site
        .picket(&["rule", "pause", "t", "--reason", "too loud"])
        .with_code(0);
    assert!(said.out.contains("t stops where it stands"), "{said:?}");
    assert!(
        site.picket(&["rule", "pause", "t"])
            .with_code(0)
            .out
            .contains("already")
    );
    site.kill();
    site.run();
    assert!(
        state(&site).0 == "paused" && state(&site).1.contains("too loud"),
        "{:?}",
        state(&site)
    );
    goes_live(&site, &on_ada(2));
    assert_eq!(state(&site).0, "paused");
    site.duo.set_clock(NOON + 25 * MINUTE);
    site.wait("events that are collected while the rule stands", || {
        (site.ndjson(&["logs", "--tail", "9"]).len() >= 3).then_some(())
    });
    assert_eq!(alerts(&site), ["ada"]);
    assert!(
        site.picket(&["rule", "resume", "t"])
            .with_code(0)
            .out
            .contains("goes on")
    );
    // Both in one call, which alerts once.
    site.wait("what came meanwhile", || (alerts(&site).len() == 2).then_some(()));
    assert!(
        site.picket(&["rule", "resume", "t"])
            .with_code(1)
            .out
            .contains("nobody has paused")
    );
    let _ = site.picket(&["rule", "pause", "u"]).with_code(2);

    // What the configuration pauses, no verb resumes.
    let file = site.path("tenants.d/acme.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}rules: {{t: {{mode: paused}}}}\n")).unwrap();
    let _ = site.picket(&["reload"]).with_code(0);
    let said = site.picket(&["rule", "resume", "t"]).with_code(1);
    assert!(said.out.contains("the configuration pauses it for acme"), "{said:?}");
    site.stop();
}
