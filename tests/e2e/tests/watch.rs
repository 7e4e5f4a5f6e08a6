//! What stands in the files is taken over while the daemon runs, whatever way it comes to stand there, all of it or nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;

use picket_contract::Mark;
use picket_e2e::{Duo, Site, Source, Story, stock, tool};
use picket_store::Store as _;
use serde_json::Value;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const BURST: &str = "mfa-fatigue-denied-burst";

/// A running site with one tenant and one module.
fn site(more: &str) -> Site {
    let story = Story::of("acme")
        .refusals(NOON, "ada", 6)
        .refusals(NOON + 60 * MINUTE, "eve", 6);
    let mut site = Site::new(Duo::start(vec![story.account()], NOON + 20 * MINUTE));
    site.install(&module("push-abuse"), "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    more_of(&site, more);
    site.run();
    site
}

fn more_of(site: &Site, more: &str) {
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &format!("{root}{more}"));
}

fn module(name: &str) -> Vec<u8> {
    std::fs::read(stock(name)).unwrap()
}

/// States of the rules of a file, each once: `active`, in whatever way, or why not.
fn states(site: &Site, file: &str) -> BTreeSet<String> {
    let rules = site.rules().into_iter().filter(|rule| rule["module"] == file);
    // A rule that looks back, or reads its logs' past first, is in force.
    let state = |rule: Value| match rule["state"].as_str().unwrap() {
        "learning" | "warming" => "active".to_owned(),
        state => state.to_owned(),
    };
    rules.map(state).collect()
}

fn wait_for(site: &Site, file: &str, state: Option<&str>) {
    let wanted: BTreeSet<String> = state.into_iter().map(str::to_owned).collect();
    site.wait(&format!("{file} to be {state:?}"), || {
        (states(site, file) == wanted).then_some(())
    });
}

fn reloads(site: &Site) -> Value {
    site.ndjson(&["status"])[0]["reload"].clone()
}

fn count(site: &Site) -> u64 {
    reloads(site)["count"].as_u64().unwrap()
}

/// Waits until the daemon has read again since it had done so many times.
fn read_again(site: &Site, before: u64) {
    site.wait("a reload", || (count(site) > before).then_some(()));
}

/// How many generations judged so far.
fn generations(site: &Site) -> usize {
    let entries = site.store().read("acme", 0, 1_000_000).unwrap();
    let marks = entries.iter().flat_map(|entry| &entry.marks);
    marks.filter(|mark| matches!(mark, Mark::Generation { .. })).count()
}

#[test]
fn one_wrong_file_and_nothing_is_taken_over() {
    let stories = ["acme", "globex"].map(|name| Story::of(name).refusals(NOON, "ada", 6).account());
    let duo = Duo::start(stories.to_vec(), NOON + 20 * MINUTE);
    let mut site = Site::new(duo);
    site.install(&module("push-abuse"), "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    site.tenant(&Source::of("globex"));
    more_of(
        &site,
        "watch: {files: off}\ntables:\n  assets: {file: assets.csv, keys: {host: exact}}\n",
    );
    site.write("assets.csv", "host,zone\nvpn1,dmz\n");
    site.run();
    let state = |id: &str| site.rules().into_iter().find(|rule| rule["id"] == id).unwrap()["state"].clone();
    let (acme, globex) = ("tenants.d/acme.yaml", "tenants.d/globex.yaml");
    let text = |name: &str| std::fs::read_to_string(site.path(name)).unwrap();
    let (good, other) = (text(acme), text(globex));
    let off = |text: &str| format!("{text}rules: {{{BURST}: {{enabled: false}}}}\n");
    site.write(acme, &off(&good));
    site.write(globex, &off(&other));
    for (file, wrong, right, what) in [
        (
            globex,
            other.replace("type: duo", "type: okta"),
            off(&other),
            "globex.yaml:2:9: source type `okta`",
        ),
        (
            "assets.csv",
            "host,zone\nvpn1\n".to_owned(),
            "host,zone\nvpn1,dmz\nvpn2,dmz\n".to_owned(),
            "assets.csv:2:1: 1 cells",
        ),
        (
            globex,
            format!("{}rules: {{{BURST}: {{count: 9999}}}}\n", other),
            off(&other),
            "out of range",
        ),
        (
            "picket.yaml",
            format!("{}sandbox: {{calls_at_once: 4}}\n", text("picket.yaml")),
            text("picket.yaml"),
            "calls_at_once changed",
        ),
    ] {
        site.write(file, &wrong);
        let said = site.picket(&["reload"]).with_code(1).out;
        assert!(said.contains(what) && said.contains("no part of it"), "{what}: {said}");
        assert_ne!(state(BURST), "off", "{what}");
        let status = site.picket(&["status"]).with_code(0).out;
        assert!(
            status.contains("the configuration in the files is not in force"),
            "{status}"
        );
        let told = &site.ndjson(&["reload"])[0]["configuration"];
        assert!(
            told["in_force"] == false && told["wrong"].as_array().unwrap().len() == 1,
            "{told}"
        );
        site.write(file, &right);
    }
    let said = site.picket(&["reload"]).with_code(0).out;
    for part in [
        "changed  acme: rules",
        "changed  globex: rules",
        "table assets (2 rows)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(state(BURST), "off");
    assert!(
        site.picket(&["reload"])
            .with_code(0)
            .out
            .contains("nothing has changed")
    );
    let log = std::fs::read_to_string(site.path("err.log")).unwrap();
    assert!(
        !log.contains("no longer collected"),
        "what concerns judging alone interrupts no collection:\n{log}"
    );
    let audit = site.picket(&["audit"]).with_code(0).out;
    assert!(audit.contains("refused") && audit.contains("in force"), "{audit}");
    site.stop();
}

#[test]
fn sinks_come_go_and_change_and_lose_nothing() {
    let mut site = site("");
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let ids = |site: &Site, file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(site.path(file)).unwrap_or_default();
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        text.lines().map(id).collect()
    };
    let until = |site: &Site, file: &str, many: usize| {
        site.wait(&format!("{many} alerts in {file}"), || {
            (ids(site, file).len() == many).then_some(())
        });
    };
    site.settle(NOON + 10 * MINUTE);
    let first = site.ndjson(&["alerts"]).len();
    assert!(first > 0);
    until(&site, "alerts.ndjson", first);
    // One is added, which is given everything; one is changed, one taken out.
    let sinks =
        "sinks:\n  - {type: file, path: ./alerts.ndjson, max_bytes: 100000}\n  - {type: file, path: ./more.ndjson}\n";
    let (before, _) = root.split_once("sinks:").unwrap();
    site.write("picket.yaml", &format!("{before}{sinks}"));
    let _ = site.picket(&["reload"]).with_code(0);
    assert_eq!(site.ndjson(&["status"])[0]["sinks"].as_array().unwrap().len(), 2);
    until(&site, "more.ndjson", first);
    // Without the first, alerts go on to the second.
    site.write(
        "picket.yaml",
        &format!("{before}sinks:\n  - {{type: file, path: ./more.ndjson}}\n"),
    );
    let _ = site.picket(&["reload"]).with_code(0);
    site.duo.set_clock(NOON + 80 * MINUTE);
    site.settle(NOON + 70 * MINUTE);
    let all = site.ndjson(&["alerts"]).len();
    assert!(all > first);
    until(&site, "more.ndjson", all);
    assert_eq!(ids(&site, "alerts.ndjson").len(), first);
    // Put back, it goes on where it stopped.
    site.write("picket.yaml", &root);
    let _ = site.picket(&["reload"]).with_code(0);
    until(&site, "alerts.ndjson", all);
    assert_eq!(ids(&site, "alerts.ndjson"), ids(&site, "more.ndjson"));
    // One that cannot be opened refuses the reload.
    site.write(
        "picket.yaml",
        &format!("{before}sinks:\n  - {{type: file, path: ./rules}}\n"),
    );
    let said = site.picket(&["reload"]).with_code(1).out;
    assert!(said.contains("rules") && said.contains("no part of it"), "{said}");
    site.stop();
}

#[test]
fn files_are_seen_whatever_way_they_change() {
    let mut site = site("");
    let rules = site.path("rules");
    wait_for(&site, "push-abuse.wasm", Some("active"));

    // In pieces.
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(rules.join("bypass.wasm"))
        .unwrap();
    for piece in module("bypass").chunks(1024) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
    }
    drop(file);
    wait_for(&site, "bypass.wasm", Some("active"));

    // What editors and tools leave beside.
    for name in [".x.wasm.swp", "x.wasm~", "#x.wasm#", "4913", "x.wasm.tmp", ".#x.wasm"] {
        std::fs::write(rules.join(name), "not wasm").unwrap();
    }
    std::fs::write(site.path("tenants.d/.acme.yaml.swp"), "not: yaml: at all").unwrap();
    std::fs::write(site.path("tenants.d/acme.yaml~"), "not: yaml: at all").unwrap();

    // A link whose directory is replaced, as Kubernetes does it.
    let data = site.path("mounted");
    for (version, name) in [("..v1", "telephony"), ("..v2", "takeover")] {
        std::fs::create_dir_all(data.join(version)).unwrap();
        std::fs::write(data.join(version).join("linked.wasm"), module(name)).unwrap();
    }
    std::os::unix::fs::symlink("..v1", data.join("..data")).unwrap();
    std::os::unix::fs::symlink("../mounted/..data/linked.wasm", rules.join("linked.wasm")).unwrap();
    wait_for(&site, "linked.wasm", Some("active"));
    let id = |site: &Site| -> Option<String> {
        let rule = site.rules().into_iter().find(|rule| rule["module"] == "linked.wasm")?;
        Some(rule["id"].as_str()?.to_owned())
    };
    let before = id(&site);
    std::os::unix::fs::symlink("..v2", data.join("..fresh")).unwrap();
    std::fs::rename(data.join("..fresh"), data.join("..data")).unwrap();
    site.wait("the other version", || (id(&site) != before).then_some(()));

    // A directory that goes takes nothing along; one that comes back has the say.
    std::fs::rename(&rules, site.path("away")).unwrap();
    site.wait("its absence to be told", || {
        let kept = reloads(&site)["kept"].clone();
        (!kept.as_array()?.is_empty()).then_some(())
    });
    assert_eq!(states(&site, "bypass.wasm"), BTreeSet::from(["active".to_owned()]));
    assert!(site.picket(&["status"]).with_code(0).out.contains("stay in force"));
    std::fs::remove_file(site.path("away/bypass.wasm")).unwrap();
    std::fs::rename(site.path("away"), &rules).unwrap();
    wait_for(&site, "bypass.wasm", None);
    wait_for(&site, "push-abuse.wasm", Some("active"));
    site.wait("nothing more to tell", || {
        reloads(&site)["kept"].as_array()?.is_empty().then_some(())
    });

    // The same bytes with a new time: read again, and nothing else.
    let (before, reloads_before) = (generations(&site), count(&site));
    let now = std::time::SystemTime::now();
    OpenOptions::new()
        .append(true)
        .open(rules.join("push-abuse.wasm"))
        .unwrap()
        .set_modified(now)
        .unwrap();
    read_again(&site, reloads_before);
    assert_eq!(generations(&site), before);

    // The customers' files are seen, too.
    let file = site.path("tenants.d/acme.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        site.path("fresh"),
        format!("{text}rules: {{{BURST}: {{enabled: false}}}}\n"),
    )
    .unwrap();
    std::fs::rename(site.path("fresh"), &file).unwrap();
    site.wait("the rule to be off", || {
        let rule = site.rules().into_iter().find(|rule| rule["id"] == BURST)?;
        (rule["state"] == "off").then_some(())
    });
    assert!(
        !std::fs::read_to_string(site.path("err.log"))
            .unwrap()
            .contains("not wasm")
    );
    site.stop();
}

#[test]
fn a_hundred_changes_come_to_a_few_reloads_and_the_last_counts() {
    let mut site = site("");
    let before = count(&site);
    let file = site.path("tenants.d/acme.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for count in 1..=100 {
        let override_ = format!("{text}rules: {{{BURST}: {{enabled: {}}}}}\n", count % 2 == 1);
        std::fs::write(site.path("fresh"), override_).unwrap();
        std::fs::rename(site.path("fresh"), &file).unwrap();
    }
    site.wait("the last of them", || {
        let rule = site.rules().into_iter().find(|rule| rule["id"] == BURST)?;
        (rule["state"] == "off").then_some(())
    });
    assert!(count(&site) - before < 100, "{}", reloads(&site));
    site.stop();
}

#[test]
fn where_the_kernel_does_not_tell_files_are_looked_at() {
    let mut site = site("watch: {files: poll, poll_interval: 100ms}\n");
    site.wait("polling to begin", || {
        (reloads(&site)["watch"] == "polling").then_some(())
    });
    site.install(&module("bypass"), "bypass.wasm");
    wait_for(&site, "bypass.wasm", Some("active"));
    // How they are seen is taken over like everything else.
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &root.replace("files: poll", "files: off"));
    site.wait("watching to end", || (reloads(&site)["watch"] == "off").then_some(()));
    std::fs::remove_file(site.path("rules/bypass.wasm")).unwrap();
    let said = site.picket(&["reload"]).with_code(0).out;
    assert!(said.contains("retired  bypass.wasm"), "{said}");
    site.stop();
}

#[test]
fn a_module_waits_for_its_signature_and_a_changed_one_is_refused() {
    let mut site = site("watch: {files: auto}\n");
    for key in ["team", "stranger"] {
        let _ = site.picket(&["rule", "keygen", key, "--no-password"]).with_code(0);
    }
    let sign = |module: &str, key: &str| {
        let said = site.picket(&["rule", "sign", module, "--key", key, "--comment", "reviewed by ada"]);
        said.with_code(0)
    };
    // What is live and unsigned would be turned away: the reload is, instead.
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let section = "signatures: {trusted_keys: {team: team.pub}, require_signature: true}\n";
    site.write("picket.yaml", &format!("{root}{section}"));
    let said = site.picket(&["reload"]).with_code(1).out;
    assert!(
        said.contains("push-abuse.wasm") && said.contains("signature:"),
        "{said}"
    );
    let _ = sign("rules/push-abuse.wasm", "team.key");
    let _ = site.picket(&["reload"]).with_code(0);
    wait_for(&site, "push-abuse.wasm", Some("active"));
    let rule = |file: &str| site.rules().into_iter().find(|rule| rule["module"] == file);
    assert_eq!(rule("push-abuse.wasm").unwrap()["signed"]["comment"], "reviewed by ada");
    assert_eq!(rule("push-abuse.wasm").unwrap()["signed"]["key"], "team");

    // The module first.
    site.install(&module("bypass"), "bypass.wasm");
    let refused = site.wait("the module to wait", || {
        rule("bypass.wasm").filter(|rule| rule["state"] == "rejected")
    });
    assert_eq!(refused["code"], "signature");
    assert!(
        refused["reason"].as_str().unwrap().contains("no bypass.wasm.minisig"),
        "{refused}"
    );
    let _ = sign("rules/bypass.wasm", "team.key");
    wait_for(&site, "bypass.wasm", Some("active"));

    // The signature first.
    std::fs::write(site.path("telephony.wasm"), module("telephony")).unwrap();
    let _ = sign("telephony.wasm", "team.key");
    std::fs::rename(
        site.path("telephony.wasm.minisig"),
        site.path("rules/telephony.wasm.minisig"),
    )
    .unwrap();
    std::fs::rename(site.path("telephony.wasm"), site.path("rules/telephony.wasm")).unwrap();
    wait_for(&site, "telephony.wasm", Some("active"));

    // Changed bytes, and a key that nobody trusts: what ran before still runs.
    site.install(&module("takeover"), "bypass.wasm");
    let both = BTreeSet::from(["active".to_owned(), "rejected".to_owned()]);
    site.wait("the changed module to be refused", || {
        (states(&site, "bypass.wasm") == both).then_some(())
    });
    let reason = |site: &Site| {
        let rules = site.rules().into_iter();
        let mut refused = rules.filter(|rule| rule["module"] == "bypass.wasm" && rule["state"] == "rejected");
        refused
            .next()
            .map(|rule| rule["reason"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    assert!(reason(&site).contains("not of these bytes"), "{}", reason(&site));
    let _ = sign("rules/bypass.wasm", "stranger.key");
    site.wait("the stranger to be told", || {
        reason(&site).contains("not trusted").then_some(())
    });

    let said = site
        .picket(&["rule", "verify", "rules/push-abuse.wasm"])
        .with_code(0)
        .out;
    assert!(said.contains("good") && said.contains("team"), "{said}");
    let said = site
        .picket(&["rule", "verify", "rules/bypass.wasm", "--key", "team.pub"])
        .with_code(1)
        .out;
    assert!(said.contains("not trusted"), "{said}");
    site.stop();
}

#[test]
fn keys_and_signatures_work_both_ways_with_minisign() {
    let site = Site::new(Duo::start(vec![Story::of("acme").account()], NOON));
    site.write("x.wasm", "a module");
    let Some(minisign) = tool("minisign") else { return };
    let minisign = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&minisign);
        command
            .current_dir(site.dir())
            .args(arguments)
            .stdin(std::process::Stdio::null());
        command
            .output()
            .map(|output| (output.status.success(), format!("{output:?}")))
    };
    let well = |done: std::io::Result<(bool, String)>| {
        let (is_well, said) = done.unwrap();
        assert!(is_well, "{said}");
    };
    let _ = site.picket(&["rule", "keygen", "ours", "--no-password"]).with_code(0);
    let _ = site
        .picket(&["rule", "sign", "x.wasm", "--key", "ours.key"])
        .with_code(0);
    well(minisign(&["-V", "-p", "ours.pub", "-m", "x.wasm"]));
    std::fs::remove_file(site.path("x.wasm.minisig")).unwrap();
    well(minisign(&["-S", "-s", "ours.key", "-m", "x.wasm"]));
    let _ = site
        .picket(&["rule", "verify", "x.wasm", "--key", "ours.pub"])
        .with_code(0);

    well(minisign(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]));
    let _ = site
        .picket(&["rule", "sign", "x.wasm", "--key", "theirs.key"])
        .with_code(0);
    well(minisign(&["-V", "-p", "theirs.pub", "-m", "x.wasm"]));
    let _ = site
        .picket(&["rule", "verify", "x.wasm", "--key", "theirs.pub"])
        .with_code(0);
    let _ = site
        .picket(&["rule", "verify", "x.wasm", "--key", "ours.pub"])
        .with_code(1);
}
