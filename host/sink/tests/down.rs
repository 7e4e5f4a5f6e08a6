//! A sink that is down while alerts are raised: it costs disk and no memory, and catches up fast and in order.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test")]

use std::time::Instant;

use picket_sink::{Courier, Delivery, Down, FileSink, Rotation, Sink};
use picket_store::conformance::alert;
use picket_store::{AlertRow, OutboxRow, SqliteStore, Store as _, Transaction};

const ALERTS: usize = 40_000;
/// Of each commit.
const AT_ONCE: usize = 500;
/// An alert's JSON, bytes: what a stock rule's comes to.
const BYTES: usize = 3_000;

struct Unreachable;

impl Sink for Unreachable {
    fn deliver(&mut self, _: &[OutboxRow]) -> Delivery {
        Delivery::down(Down::now("connection refused"))
    }
}

/// Resident memory, bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn id(number: usize) -> String {
    format!("al_{number:016}")
}

#[test]
fn hours_of_alerts_wait_on_the_disk_and_are_delivered_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("store")).unwrap();
    let mut courier = Courier::open(&store, "file", true).unwrap();
    let filler = "x".repeat(BYTES);
    let (mut now, mut before) = (1_000_000, 0);
    for first in (0..ALERTS).step_by(AT_ONCE) {
        let row = |number: usize| AlertRow {
            json: format!(r#"{{"id":"{}","filler":"{filler}"}}"#, id(number)).into(),
            ..alert(&id(number), "r", "ada", 1)
        };
        let alerts = (first..first + AT_ONCE).map(row).collect();
        let transaction = Transaction {
            alerts,
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
        now += 60_000;
        assert!(
            courier
                .step(&store, &mut Unreachable, &|_| true, now)
                .unwrap()
                .trouble
                .is_some()
        );
        if first == ALERTS / 4 {
            before = resident();
        }
    }
    let growth = resident().saturating_sub(before);
    let path = directory.path().join("alerts.ndjson");
    let rotation = Rotation {
        max_bytes: 1 << 30,
        keep: 1,
    };
    let mut file = FileSink::open(&path, rotation).unwrap();
    let (began, mut delivered) = (Instant::now(), 0);
    now += 100_000;
    loop {
        let step = courier.step(&store, &mut file, &|_| true, now).unwrap();
        delivered += step.delivered;
        if !step.more {
            break;
        }
    }
    let rate = delivered as f64 / began.elapsed().as_secs_f64();
    println!("{ALERTS} alerts waited: resident memory grew by {growth} bytes; drained at {rate:.0} alerts/s");
    let text = std::fs::read_to_string(&path).unwrap();
    let in_order = text
        .lines()
        .zip(0..)
        .all(|(line, number)| line.starts_with(&format!(r#"{{"id":"{}""#, id(number))));
    assert!(in_order && text.lines().count() == ALERTS);
    // The three quarters that were raised meanwhile are 90 MB: what grew is caches.
    assert!(growth < 32 << 20, "{growth}");
}
