//! The promise that everything rests on: kill -9 at any moment changes nothing of what comes out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use duo_simulator::company::{Options, generate};
use duo_simulator::model::{Account, Feed};
use picket_e2e::{Duo, Site, Source, incidents, until};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const SEED: u64 = 20;
const KILLS: usize = 20;
const DAY: i64 = 86_400_000;
/// Days of logs; the last is played, the others are there from the beginning.
const DAYS: u32 = 8;
/// Midnight of the last day, 2026-11-18T00:00:00Z, ms.
const LAST_DAY: i64 = 1_794_960_000_000;
/// Simulated seconds to a second: the day takes twelve.
const SPEED: f64 = 7200.0;
const TENANTS: [&str; 2] = ["acme", "globex"];
/// What is collected of each: one with the newer log of what administrators do, one with the older.
const COLLECT: [&[&str]; 2] = [
    &["authentication", "activity", "telephony"],
    &["authentication", "administrator", "telephony"],
];

fn accounts() -> Vec<Account> {
    let account = |(seed, name): (u64, &&str)| {
        generate(&Options {
            seed: SEED + seed,
            name: (*name).to_owned(),
            users: 250,
            start_us: (LAST_DAY - i64::from(DAYS - 1) * DAY) * 1000,
            days: DAYS,
            target_events: Some(8_000),
            plant: true,
        })
    };
    (0..).zip(&TENANTS).map(account).collect()
}

fn site() -> Site {
    let duo = Duo::start(accounts(), LAST_DAY);
    duo.tell(&json!({"speed": SPEED}));
    let sources: Vec<Source<'_>> = TENANTS
        .iter()
        .zip(COLLECT)
        .map(|(account, collect)| Source {
            collect,
            ..Source::of(account)
        })
        .collect();
    Site::stocked(duo, &sources)
}

/// Plays the day to its end, and an hour more; waits until every rule has seen all of it.
fn finish(site: &Site) {
    site.duo.tell(&json!({"clock": "hold"}));
    let end = LAST_DAY + DAY + 3_600_000;
    site.duo.set_clock(end);
    site.settle(end - 121_000);
}

/// Lets the day go on until so many rows were sent.
fn flow(site: &Site, served: u64) {
    site.duo.tell(&json!({"clock": "go"}));
    until(
        "rows to be collected",
        || site.log(),
        || (site.duo.served() >= served).then_some(()),
    );
}

fn collected(accounts: &[Account]) -> u64 {
    let of = |(account, logs): (&Account, &[&str])| {
        let rows = account.rows.iter().filter(|row| logs.contains(&row.feed.name()));
        rows.count() as u64
    };
    accounts.iter().zip(COLLECT).map(of).sum()
}

/// Whether the process has a handler for SIGTERM, by the mask of signals in its status.
fn listens(process: i32) -> bool {
    const SIGTERM: u32 = 15;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << (SIGTERM - 1)) != 0)
}

#[test]
fn a_signal_that_comes_before_the_daemon_answers_ends_it_in_order() {
    let mut site = site();
    for _ in 0..5 {
        site.start();
        site.wait("a handler for SIGTERM", || listens(site.pid()).then_some(()));
        site.stop();
    }
    site.run();
    site.stop();
}

#[test]
fn twenty_kills_change_nothing() {
    let accounts = accounts();
    let total = collected(&accounts);
    assert!(total >= 20_000, "{total} events");

    let mut undisturbed = site();
    undisturbed.run();
    flow(&undisturbed, total * 9 / 10);
    finish(&undisturbed);
    undisturbed.stop();

    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut killed = site();
    same_keys(&undisturbed, &killed);
    killed.start();
    for at in 0..KILLS {
        // Most while rows come in, some while the daemon is still starting on what it left behind.
        if at % 5 != 4 {
            killed.wait_until_it_answers();
            let step = (total - killed.duo.served()) / (KILLS - at) as u64;
            flow(&killed, killed.duo.served() + dice.random_range(1..=step.max(2) - 1));
        }
        std::thread::sleep(Duration::from_millis(dice.random_range(0..120)));
        killed.kill();
        killed.duo.tell(&json!({"clock": "hold"}));
        killed.start();
    }
    killed.wait_until_it_answers();
    let served = killed.duo.served();
    assert!(
        served < total,
        "all kills came before the end of the day: {served} of {total}"
    );
    finish(&killed);
    let log = std::fs::read_to_string(killed.path("err.log")).unwrap();
    killed.stop();

    let mut stored = 0;
    for tenant in TENANTS {
        let (ours, theirs) = (killed.snapshot(tenant), undisturbed.snapshot(tenant));
        ours.assert_same(&theirs, tenant);
        // Which of two logs' alerts is first is a matter of timing; what follows from it is not.
        for site in [&killed, &undisturbed] {
            let count: usize = incidents(&site.store(), tenant).values().map(Vec::len).sum();
            assert_eq!(count, theirs.alerts.len(), "{tenant}: alerts without an incident");
        }
        assert!(theirs.alerts.len() > 10, "{tenant}: {} alerts", theirs.alerts.len());
        assert!(theirs.rules.len() > 10 && theirs.rules.values().all(|(_, quarantined)| !quarantined));
        stored += ours.events.len() as u64;
        delivered(&killed, tenant, ours.alerts.keys().cloned().collect());
        replayed(&undisturbed, tenant, &accounts, ours.alerts.keys().cloned().collect());
    }
    assert_eq!(stored, total);
    assert!(!log.contains("panicked"), "{log}");
}

/// Ids of alerts about phone numbers follow from the tenant's key: the same account judged twice is judged with the same one.
fn same_keys(from: &Site, to: &Site) {
    std::fs::create_dir_all(to.path("data/keys")).unwrap();
    for tenant in TENANTS {
        let key = format!("data/keys/{tenant}.phone");
        std::fs::copy(from.path(&key), to.path(&key)).unwrap();
    }
}

/// Every alert has reached the file, and no other.
fn delivered(site: &Site, tenant: &str, ids: BTreeSet<String>) {
    let text = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_tenant = lines.filter(|alert| alert["tenant"]["id"] == tenant);
    let delivered: BTreeSet<String> = of_tenant
        .map(|alert| alert["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(delivered, ids, "{tenant}: delivered");
}

/// What was judged live is what a replay of the same logs finds.
fn replayed(site: &Site, tenant: &str, accounts: &[Account], ids: BTreeSet<String>) {
    let at = TENANTS.iter().position(|name| *name == tenant).unwrap();
    duo_simulator::write::write(&site.path("logs"), &accounts[at]).unwrap();
    let mut arguments = vec![
        "replay".to_owned(),
        "--tenant".to_owned(),
        tenant.to_owned(),
        "--phone-key".to_owned(),
        site.path(&format!("data/keys/{tenant}.phone")).display().to_string(),
        "--rules".to_owned(),
    ];
    arguments.push(site.path("rules").display().to_string());
    for feed in Feed::ALL.into_iter().filter(|feed| COLLECT[at].contains(&feed.name())) {
        let file = site.path("logs").join(tenant).join(format!("{feed}.ndjson"));
        arguments.extend(["--events".to_owned(), format!("{feed}={}", file.display())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let alerts = site.ndjson(&arguments);
    let replayed: BTreeSet<String> = alerts
        .iter()
        .map(|alert| alert["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(replayed, ids, "{tenant}: replay and live");
}
