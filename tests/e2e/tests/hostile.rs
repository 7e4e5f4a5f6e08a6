//! All hostile modules at once, in one rules directory beside the stock rules: collection goes on, every stock rule raises what
//! it raises without them, and `picket rule list` says what became of each.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use duo_simulator::model::Account;
use picket_e2e::{Duo, Site, Snapshot, Source, Story};
use picket_hostile::{Case, Guest, NOTHING, Verdict, corpus, distinct, slow_to_compile};
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
/// Before anything happens.
const BEFORE: i64 = NOON - 120 * MINUTE;
const TENANTS: [&str; 2] = ["acme", "globex"];
const BURST: &str = "mfa-fatigue-denied-burst";

fn accounts() -> Vec<Account> {
    let story = |name: &str| {
        Story::of(name)
            .login(NOON - 60 * MINUTE, "eve", "duo_push", "success", "user_approved")
            .refusals(NOON, "bob", 5)
            .login(NOON + 6 * MINUTE, "eve", "not_available", "success", "bypass_user")
            .bypass_code(NOON + 7 * MINUTE, "eve")
            .refusals(NOON + 20 * MINUTE, "mallory", 6)
            .message(NOON + 30 * MINUTE)
            .account()
    };
    TENANTS.map(story).into()
}

/// A site of two tenants with all stock rules. Every call gets a tenth of what it might have, so that what never ends ends
/// sooner.
fn site() -> Site {
    let sources = TENANTS.map(Source::of);
    let site = Site::stocked(Duo::start(accounts(), NOON), &sources);
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &format!("{config}sandbox:\n  limits: {{fuel: 5M}}\n"));
    site
}

/// What stays of an alert if it was raised by the same rules on another day.
fn stock_alerts(site: &Site, tenant: &str) -> BTreeMap<String, Value> {
    let Snapshot { alerts, .. } = site.snapshot(tenant);
    let of_stock = alerts
        .into_iter()
        .filter(|(_, (json, ..))| !is_hostile(json["rule"]["id"].as_str().unwrap()));
    let plain = of_stock.map(|(id, (mut json, repeats, last))| {
        // One tenant's modules are one generation.
        json["rule"].as_object_mut().unwrap().remove("generation");
        (id, serde_json::json!([json, repeats, last]))
    });
    plain.collect()
}

fn is_hostile(rule: &str) -> bool {
    rule == "t" || rule.starts_with("t-")
}

/// Lets all that happens happen, and every healthy rule see it.
fn judge(site: &Site) {
    site.duo.set_clock(NOON);
    // What alerts tell of people is what logins have told until then, and logs are read independently of each other: so those
    // that are told of have logged in before.
    site.settle(NOON - 30 * MINUTE);
    site.duo.set_clock(NOON + 40 * MINUTE + 1000);
    site.settle(NOON + 37 * MINUTE);
}

/// Phone numbers are told by a tenant's key, which is made when there is none.
fn same_keys(from: &Site, to: &Site) {
    let private = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    let keys = to.path("data/keys");
    std::fs::create_dir_all(&keys).unwrap();
    for directory in [to.path("data"), keys.clone()] {
        std::fs::set_permissions(directory, private(0o700)).unwrap();
    }
    for tenant in TENANTS {
        let name = format!("{tenant}.phone");
        if !from.path("data/keys").join(&name).exists() {
            continue;
        }
        std::fs::copy(from.path("data/keys").join(&name), keys.join(&name)).unwrap();
    }
}

/// What `picket rule list` must say of a module: its state, and the code that its reason begins with.
fn expected(case: &Case) -> (&'static str, &'static str) {
    let passes_its_cases = distinct(&case.bytes, 1) != case.bytes;
    match case.verdict {
        Verdict::Refused(code) => ("rejected", code),
        Verdict::FailsToDescribe(_) => ("rejected", "describe"),
        _ if !passes_its_cases => ("rejected", "no-cases"),
        Verdict::Fails(code) => ("quarantined", code),
        Verdict::Harmless => ("active", ""),
    }
}

/// Where a hostile module lies: for one of the tenants.
fn file(case: &Case) -> String {
    format!("acme/{}.wasm", case.name)
}

/// What is said of each module, or of one of its rules.
fn modules(site: &Site) -> BTreeMap<String, Value> {
    let rules = site.rules().into_iter();
    rules
        .map(|rule| (rule["module"].as_str().unwrap().to_owned(), rule))
        .collect()
}

#[test]
fn every_hostile_module_at_once_changes_nothing_for_the_others() {
    let mut alone = site();
    alone.duo.set_clock(BEFORE);
    alone.run();
    judge(&alone);

    let mut beset = site();
    beset.duo.set_clock(BEFORE);
    same_keys(&alone, &beset);
    let corpus = corpus();
    for (number, case) in corpus.iter().enumerate() {
        beset.install(&distinct(&case.bytes, number), &file(case));
    }
    beset.run();
    // Before the first event: what comes later is tried on those that are stored, and some of it refused for that.
    beset.wait("every module to be taken up or refused", || {
        let listed: BTreeSet<String> = modules(&beset).into_keys().collect();
        corpus.iter().all(|case| listed.contains(&file(case))).then_some(())
    });
    judge(&beset);

    for tenant in TENANTS {
        assert_eq!(beset.snapshot(tenant).events, alone.snapshot(tenant).events, "{tenant}");
        let (with, without) = (stock_alerts(&beset, tenant), stock_alerts(&alone, tenant));
        assert!(without.len() >= 3, "{tenant}: {:?}", without.keys());
        assert_same(&with, &without, tenant);
    }
    beset
        .snapshot("globex")
        .assert_same(&alone.snapshot("globex"), "the tenant that has none of them");

    let listed = modules(&beset);
    let mut wrong = Vec::new();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for case in &corpus {
        let (state, code) = expected(case);
        let found = &listed[&file(case)];
        let reason = found["reason"].as_str().unwrap_or_default();
        // What a module does to rows it may do to those of its cases as well.
        let in_its_cases = found["state"] == "rejected" && reason.starts_with("cases");
        *states.entry(found["state"].as_str().unwrap().to_owned()).or_default() += 1;
        // What is harmless to the sandbox names a row here that it was never shown, or spends more than this site allows.
        let is_harmless = case.verdict == Verdict::Harmless && found["state"] == "quarantined";
        let is_coded = state != "rejected" || reason.starts_with(&format!("{code}: "));
        let is_right = found["state"] == state && is_coded || is_harmless;
        if !(is_right || state != "rejected" && in_its_cases) {
            wrong.push(format!(
                "{}: expected {state} {code}, not {} {reason}",
                case.name, found["state"]
            ));
        }
    }
    println!("{} hostile modules: {states:?}", corpus.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Most of those that the sandbox admits passed their cases, and were found out by the first row.
    assert!(
        listed.len() >= corpus.len() && states["quarantined"] > 120,
        "{states:?}"
    );
    for site in [&mut alone, &mut beset] {
        site.stop();
    }
}

/// Shows what differs, and not all there is.
fn assert_same(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>, what: &str) {
    assert!(
        one.keys().eq(other.keys()),
        "{what}: {:?}\nnot {:?}",
        one.keys(),
        other.keys()
    );
    for (id, alert) in one {
        let lines = |alert: &Value| serde_json::to_string_pretty(alert).unwrap();
        let (left, right) = (lines(alert), lines(&other[id]));
        let differs = left.lines().zip(right.lines()).find(|(left, right)| left != right);
        assert!(left == right, "{what}: {id}: {differs:?}");
    }
}

/// Writes a file piece by piece, as a copy over a slow line does; the daemon looks at it meanwhile.
fn write_slowly(site: &Site, path: &Path, bytes: &[u8]) {
    for upto in [1, bytes.len() / 3, bytes.len() / 2, bytes.len()] {
        std::fs::write(path, &bytes[..upto]).unwrap();
        let _ = site.picket(&["reload"]);
    }
}

#[test]
fn a_module_that_flaps_is_half_written_linked_or_touched_loses_nothing() {
    let hour = 60 * MINUTE;
    let story = (0..8).fold(Story::of("acme"), |story, index| {
        story.refusals(NOON + index * hour, "bob", 5)
    });
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    let good = std::fs::read(picket_e2e::stock("push-abuse")).unwrap();
    site.install(&good, "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    site.run();
    let path = site.path("rules/push-abuse.wasm");
    let digest = |site: &Site| {
        let rule = site
            .rules()
            .into_iter()
            .find(|rule| rule["id"] == BURST && rule["state"] != "rejected");
        rule.unwrap()["digest"].clone()
    };
    let first = digest(&site);
    let mut hours = 0..8;
    let mut goes_on = |site: &Site, what: &str| {
        let at = hours.next().unwrap();
        site.duo.set_clock(NOON + at * hour + 12 * MINUTE + 1000);
        site.settle(NOON + at * hour + 10 * MINUTE);
        assert_eq!(site.alerts("acme", BURST).len() as i64, at + 1, "{what}");
        assert_eq!(digest(site), first, "{what}");
    };
    goes_on(&site, "as it was");

    // Good, bad, good, bad, as fast as files can be renamed.
    let bad = Guest::new(NOTHING).describe("unreachable").component();
    for _ in 0..40 {
        site.install(&bad, "push-abuse.wasm");
        site.install(&good, "push-abuse.wasm");
    }
    goes_on(&site, "after flapping");
    site.install(&bad, "push-abuse.wasm");
    site.wait("the refusal", || {
        site.rules()
            .iter()
            .any(|rule| rule["state"] == "rejected")
            .then_some(())
    });
    goes_on(&site, "while the newest file is bad");

    write_slowly(&site, &path, &good);
    goes_on(&site, "after being written in pieces");

    // A link to a file elsewhere, which is then another.
    std::fs::write(site.path("elsewhere.wasm"), &good).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(site.path("elsewhere.wasm"), &path).unwrap();
    let _ = site.picket(&["reload"]);
    goes_on(&site, "behind a link");
    std::fs::write(site.path("bad.wasm"), &bad).unwrap();
    std::os::unix::fs::symlink(site.path("bad.wasm"), site.path("rules/.next")).unwrap();
    std::fs::rename(site.path("rules/.next"), &path).unwrap();
    let _ = site.picket(&["reload"]);
    goes_on(&site, "behind a link to a bad one");

    site.install(&good, "push-abuse.wasm");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let _ = site.picket(&["reload"]);
    goes_on(&site, "the same bytes, touched");
    assert!(
        site.rules().iter().all(|rule| rule["state"] == "active"),
        "{:?}",
        site.rules()
    );
    site.stop();
}

/// An operator has raised what a module may be made of, and the compiler's own limits are what everybody has. While it works on
/// a module until it is stopped, the rule beside it raises what happens meanwhile, alert by alert.
#[test]
fn while_the_compiler_is_kept_busy_judging_goes_on() {
    let hour = 60 * MINUTE;
    let bursts = 40;
    let story = || {
        let story = (0..bursts).fold(Story::of("acme"), |story, index| {
            story.refusals(NOON + index * hour, &format!("user{index}"), 5)
        });
        let mut site = Site::new(Duo::start(vec![story.account()], NOON));
        site.install(
            &std::fs::read(picket_e2e::stock("push-abuse")).unwrap(),
            "push-abuse.wasm",
        );
        site.tenant(&Source::of("acme"));
        let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
        site.write(
            "picket.yaml",
            &format!("{config}sandbox:\n  compile: {{module_mb: 64}}\n"),
        );
        site
    };
    let mut beset = story();
    beset.run();
    let mut burst = 0;
    // What happens in the next hour, seen through to its alert.
    let mut goes_on = |site: &Site| {
        assert!(
            burst < bursts,
            "judging was never seen to go on while a module was compiled"
        );
        site.duo.set_clock(NOON + burst * hour + 12 * MINUTE + 1000);
        burst += 1;
        site.wait("the alert of the burst", || {
            (site.alerts("acme", BURST).len() as i64 == burst).then_some(())
        });
    };
    goes_on(&beset);
    let (mut bombs, mut during) = (0, 0);
    while during < 3 {
        let before = beset.compilers();
        if before.is_empty() {
            assert!(bombs < 12, "{during} of the alerts came while a module was compiled");
            beset.install(&slow_to_compile(bombs), &format!("bomb-{bombs}.wasm"));
            bombs += 1;
            beset.wait("the compiler", || (!beset.compilers().is_empty()).then_some(()));
            continue;
        }
        goes_on(&beset);
        // The very process that was there before: what came, came while it was at work.
        let after = beset.compilers();
        during += usize::from(before.iter().any(|process| after.contains(process)));
    }
    // At its end the bomb is refused, by the limits that everybody has.
    let refused = beset.wait("the refusals", || {
        let rules = beset.rules();
        let refused = rules.into_iter().filter(|rule| rule["state"] == "rejected");
        let refused: Vec<Value> = refused.collect();
        (refused.len() == bombs).then_some(refused)
    });
    for rule in refused {
        let reason = rule["reason"].as_str().unwrap();
        assert!(reason.starts_with("compile-killed: "), "{reason}");
    }
    beset.settle(NOON + (burst - 1) * hour + 10 * MINUTE);

    let mut alone = story();
    same_keys(&beset, &alone);
    alone.run();
    alone.duo.set_clock(NOON + (burst - 1) * hour + 12 * MINUTE + 1000);
    alone.settle(NOON + (burst - 1) * hour + 10 * MINUTE);
    assert_eq!(beset.snapshot("acme").events, alone.snapshot("acme").events);
    let (with, without) = (stock_alerts(&beset, "acme"), stock_alerts(&alone, "acme"));
    assert_eq!(without.len() as i64, burst);
    assert_same(&with, &without, "acme");
    for site in [&mut alone, &mut beset] {
        site.stop();
    }
}
