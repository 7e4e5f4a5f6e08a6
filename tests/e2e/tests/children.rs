//! One key of the Accounts API: its child accounts come and go, and one's trouble is its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_e2e::{Duo, Said, Site, Story};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;

fn story(name: &str) -> Story {
    Story::of(name)
        .refusals(NOON, "ada", 6)
        .refusals(NOON + 60 * MINUTE, "eve", 6)
}

/// A site whose one key is the parent's.
fn site() -> Site {
    let accounts = ["Acme Bank", "globex", "initech"].map(|name| story(name).account());
    let duo = Duo::family(Some("msp"), accounts.to_vec(), NOON + 30 * MINUTE);
    let site = Site::stocked(duo, &[]);
    let (ikey, skey) = site.duo.keys("msp");
    site.secret_file("msp.secret", skey);
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let host = site.duo.host();
    site.write(
        "picket.yaml",
        &format!(
            "{root}tenant: msp\nsource:\n  type: duo_accounts\n  api_hostname: \"{host}\"\n  integration_key: {ikey}\n  \
             secret_key_file: ./msp.secret\n  ca_file: ./ca.pem\n  poll_interval: 0.1\n  start: 60d\n  accounts_interval: 200ms\n\
             accounts:\n  DAINITECHXXXXXXXXXXX: {{tenant: initech-us, name: Initech Inc}}\n"
        ),
    );
    site
}

fn tenants(site: &Site) -> Vec<String> {
    let status = site.ndjson(&["status"]).remove(0);
    let mut ids: Vec<String> = status["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| tenant["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn alerts(site: &Site, tenant: &str) -> usize {
    let said = site.picket(&["alerts", "--tenant", tenant, "--format", "ndjson"]);
    if said.code == 0 { said.lines().len() } else { 0 }
}

fn wait_for(site: &Site, expected: &[&str]) {
    site.wait(&format!("tenants {expected:?}"), || {
        (tenants(site) == expected).then_some(())
    });
}

#[test]
fn children_come_and_go_without_a_restart_and_one_that_fails_fails_alone() {
    let mut site = site();
    site.duo.tell(&json!({"hidden": ["initech"]}));
    let check: Said = site.picket(&["check"]);
    assert!(check.out.contains("list of accounts: 2 accounts"), "{check:?}");
    assert!(check.out.contains("ok     acme-bank at 127.0.0.1:"), "{check:?}");
    assert!(
        check.out.contains("DAINITECHXXXXXXXXXXX, which the key does not list"),
        "{check:?}"
    );

    site.run();
    wait_for(&site, &["acme-bank", "globex"]);
    for tenant in ["acme-bank", "globex"] {
        site.wait(tenant, || (alerts(&site, tenant) > 0).then_some(()));
    }
    // A new child begins.
    site.duo.tell(&json!({"hidden": []}));
    wait_for(&site, &["acme-bank", "globex", "initech-us"]);
    site.wait("initech's alert", || (alerts(&site, "initech-us") > 0).then_some(()));
    let status = site.picket(&["status"]);
    assert!(status.out.contains("Initech Inc"), "{status:?}");
    assert!(
        status.out.contains("msp  127.0.0.1:") && status.out.contains("3 accounts"),
        "{status:?}"
    );

    // One child's trouble is its own.
    site.duo
        .tell(&json!({"fault": {"kind": "deleted_ikey", "account": "Acme Bank"}}));
    let before = alerts(&site, "globex");
    site.duo.set_clock(NOON + 120 * MINUTE);
    site.wait("globex to go on", || (alerts(&site, "globex") > before).then_some(()));
    let status = site.wait("acme's trouble", || {
        let said = site.picket(&["status", "--tenant", "acme-bank"]);
        said.out.contains("! acme-bank: ").then_some(said)
    });
    assert!(!status.out.contains("globex"), "{status:?}");
    site.duo.tell(&json!({"faults": []}));

    // A child that is gone ends; what is stored of it can be read.
    site.duo.tell(&json!({"hidden": ["globex"]}));
    wait_for(&site, &["acme-bank", "initech-us"]);
    assert!(alerts(&site, "globex") > 0);
    site.stop();
}

#[test]
fn what_is_said_of_a_parents_key_is_taken_over_while_the_daemon_runs() {
    let mut site = site();
    site.run();
    wait_for(&site, &["acme-bank", "globex", "initech-us"]);
    for tenant in ["acme-bank", "globex", "initech-us"] {
        site.wait(tenant, || (alerts(&site, tenant) > 0).then_some(()));
    }
    // One child is left out, and all are collected otherwise.
    let before = alerts(&site, "globex");
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let others = root
        .replace("{tenant: initech-us, name: Initech Inc}", "{skip: true}")
        .replace(
            "accounts_interval: 200ms\n",
            "accounts_interval: 200ms\n  collect: [authentication]\n",
        );
    site.write("picket.yaml", &others);
    let said = site.picket(&["reload"]).with_code(0);
    assert!(said.out.contains("msp"), "{said:?}");
    wait_for(&site, &["acme-bank", "globex"]);
    site.duo.set_clock(NOON + 120 * MINUTE);
    site.wait("globex to go on", || (alerts(&site, "globex") > before).then_some(()));
    let logs = |site: &Site| {
        let status = site.ndjson(&["status", "--tenant", "globex"]).remove(0);
        let of = |log: &Value| (log["log"].as_str().unwrap().to_owned(), log["standing"].to_string());
        let logs = status["tenants"][0]["logs"].as_array().unwrap().iter().map(of);
        logs.filter(|(_, state)| !state.contains("not_collected"))
            .map(|(log, _)| log)
            .collect::<Vec<_>>()
    };
    assert_eq!(logs(&site), ["authentication"]);

    // A key that nobody knows is refused, and what was in force stays: whole.
    let wrong = others.replace("secret_key_file: ./msp.secret", "secret_key_file: ./nowhere.secret");
    site.write("picket.yaml", &wrong);
    let said = site.picket(&["reload"]).with_code(1);
    assert!(said.out.contains("nowhere.secret"), "{said:?}");
    assert_eq!(tenants(&site), ["acme-bank", "globex"]);
    // And back.
    site.write("picket.yaml", &root);
    let _ = site.picket(&["reload"]).with_code(0);
    wait_for(&site, &["acme-bank", "globex", "initech-us"]);
    site.stop();
}

#[test]
fn a_start_without_the_parent_collects_the_children_of_last_time() {
    let mut site = site();
    site.run();
    wait_for(&site, &["acme-bank", "globex", "initech-us"]);
    site.kill();
    site.duo
        .tell(&json!({"fault": {"kind": "bad_gateway", "path": "/accounts/v1/account/list"}}));
    site.duo.set_clock(NOON + 120 * MINUTE);
    site.run();
    for tenant in ["acme-bank", "globex", "initech-us"] {
        site.wait(tenant, || (alerts(&site, tenant) >= 2).then_some(()));
    }
    let status = site.wait("the parent's trouble", || {
        let said = site.picket(&["status"]);
        said.out.contains("! msp: the list of accounts").then_some(said)
    });
    assert!(status.out.starts_with("NEEDS YOU"), "{status:?}");
    let told: Value = site.ndjson(&["status"]).remove(0);
    assert_eq!(told["parents"][0]["accounts"], 3, "{told}");
    let offline = site.picket(&["check", "--offline"]);
    assert!(offline.out.contains("ok     acme-bank: secret key"), "{offline:?}");
    site.stop();
}
