//! kill -9: nothing acknowledged is lost, nothing is torn, nothing is written twice.
//!
//! The test runs itself as a child that writes from several threads and says what was acknowledged. The parent kills it after
//! so many lines (other moments each round), opens the store and looks at both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use picket_contract::StateChanges;
use picket_contract::state::StateEntry;
use picket_store::conformance::{admission, alert, complete, object, rule};
use picket_store::{AlertFilter, CursorRow, Options, SqliteStore, Store, Transaction};

const CHILD: &str = "PICKET_STORE_KILL_TEST";
const TENANTS: [&str; 4] = ["a", "b", "c", "d"];

/// Everything that changes together in step `step` of a tenant: an admission of two events and a mark, and what follows of it.
fn transaction(step: u64) -> Transaction {
    let first = (step - 1) * 3 + 1;
    let (one, two) = (format!("{step}-one"), format!("{step}-two"));
    let time = i64::try_from(step).unwrap();
    let value = StateEntry {
        value: step.to_le_bytes().as_slice().into(),
        expires_at: i64::MAX,
    };
    let changes = StateChanges {
        clock: Some(time),
        entries: [(b"step".as_slice().into(), Some(value))].into_iter().collect(),
        ..StateChanges::default()
    };
    Transaction {
        admissions: vec![admission(
            first,
            "authentication",
            &[(&one, time), (&two, time)],
            &[complete("authentication", time)],
        )],
        cursors: vec![CursorRow {
            log: "authentication".into(),
            cursor: step.to_string(),
        }],
        inventory: vec![object("users", "DU1", "active", time)],
        poison: Vec::new(),
        rules: vec![rule("r", first + 2, time, changes)],
        alerts: vec![alert(&format!("al_{step}"), "r", "ada", time)],
        repeats: vec![],
        superseded: vec![],
    }
}

fn steps(store: &SqliteStore, tenant: &str) -> u64 {
    let last = store.last_seq(tenant).unwrap();
    assert_eq!(last % 3, 0, "an admission was torn");
    last / 3
}

#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let store = SqliteStore::open_with(Path::new(&directory), Options::default()).unwrap();
    std::thread::scope(|scope| {
        for tenant in TENANTS {
            let store = &store;
            scope.spawn(move || {
                for step in steps(store, tenant) + 1.. {
                    store.transact(tenant, transaction(step)).unwrap();
                    writeln!(std::io::stdout().lock(), "acknowledged {tenant} {step}").unwrap();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_torn() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..12_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut said = lines.filter(|line| line.contains("acknowledged"));
        let mut hear = |line: String| {
            let words: Vec<&str> = line.split("acknowledged").nth(1).unwrap().split_whitespace().collect();
            acknowledged.insert(words[0].to_owned(), words[1].parse().unwrap());
        };
        said.by_ref().take(1 + round * 7 % 31).for_each(&mut hear);
        child.kill().unwrap();
        // What it said before it died counts too, but for a last line that may be cut.
        let rest: Vec<String> = said.collect();
        rest.into_iter().rev().skip(1).rev().for_each(&mut hear);
        child.wait().unwrap();
        // Now and then `picket status` is there before the next daemon: it reads what the log holds.
        let open = if round % 3 == 0 {
            SqliteStore::open_read_only
        } else {
            SqliteStore::open
        };
        let store = open(directory.path()).unwrap();
        for tenant in TENANTS {
            examine(&store, tenant, acknowledged.get(tenant).copied().unwrap_or(0));
        }
    }
}

fn examine(store: &SqliteStore, tenant: &str, acknowledged: u64) {
    let steps = steps(store, tenant);
    assert!(
        steps >= acknowledged,
        "{tenant}: {acknowledged} acknowledged, {steps} stored"
    );
    if steps == 0 {
        return;
    }
    let expected: Vec<_> = (1..=steps).flat_map(|step| transaction(step).admissions).collect();
    assert_eq!(store.read(tenant, 0, usize::MAX).unwrap(), expected);
    let last = transaction(steps);
    assert_eq!(store.cursors(tenant).unwrap(), last.cursors);
    assert_eq!(store.rules(tenant).unwrap()[0].position, last.rules[0].position);
    let state = store.state(tenant, "r", 1).unwrap();
    assert_eq!(state.clock(), last.rules[0].changes.clock);
    let value = state.entries().map(|(_, entry)| entry.value.to_vec()).next();
    assert_eq!(value, Some(steps.to_le_bytes().to_vec()));
    let alerts: Vec<_> = (1..=steps).flat_map(|step| transaction(step).alerts).collect();
    assert_eq!(store.alerts(tenant, &AlertFilter::default()).unwrap(), alerts);
    let outbox = store.outbox("file", usize::MAX).unwrap();
    assert_eq!(outbox.iter().filter(|row| &*row.tenant == tenant).count() as u64, steps);
}
