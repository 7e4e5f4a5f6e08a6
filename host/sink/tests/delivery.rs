//! From the outbox to the sinks, with crashes in between.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use picket_contract::Severity;
use picket_sink::{Courier, Delivery, Down, Fate, FileSink, Rotation, Sink, StdoutSink};
use picket_store::{AlertRow, OutboxRow, SqliteStore, Store, Transaction};

fn row(number: u64) -> OutboxRow {
    let json = format!(r#"{{"id":"al_{number:03}","title":"something of {number}"}}"#);
    OutboxRow {
        number,
        tenant: "acme".into(),
        alert: format!("al_{number:03}").into(),
        rule: "r".into(),
        severity: Severity::High,
        raised: 1,
        nth: 1,
        summary: false,
        page: false,
        json: json.into(),
    }
}

/// What every row of a file or stream comes to.
trait Whole {
    fn whole(self);
}

impl Whole for Delivery {
    fn whole(self) {
        assert_eq!(self.down, None);
        assert!(self.fates.iter().all(|fate| *fate == Fate::Taken));
    }
}

/// Delivers everything that waits; how many that were, or the sink's words.
fn drain(store: &dyn Store, sink: &mut dyn Sink, name: &str) -> Result<u64, String> {
    let mut courier = Courier::open(store, name, true).unwrap();
    let mut delivered = 0;
    // Each time much later, so that no wait is left.
    for now in (1..).map(|round| round * 10_000_000) {
        let step = courier.step(store, sink, &|_| true, now).unwrap();
        delivered += step.delivered;
        if let Some(trouble) = step.trouble {
            return Err(trouble);
        }
        if !step.more {
            return Ok(delivered);
        }
    }
    Ok(delivered)
}

fn rows(numbers: std::ops::RangeInclusive<u64>) -> Vec<OutboxRow> {
    numbers.map(row).collect()
}

/// The ids in a file, every line of which must be whole JSON.
fn ids(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let id = |line: &str| -> u64 {
        let alert: serde_json::Value = serde_json::from_str(line).unwrap();
        alert["id"].as_str().unwrap()[3..].parse().unwrap()
    };
    text.lines().map(id).collect()
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// Room for two rows a file.
const SMALL: Rotation = Rotation {
    max_bytes: 100,
    keep: 2,
};

fn store(alerts: u64) -> SqliteStore {
    let store = SqliteStore::in_memory().unwrap();
    let alert = |number| AlertRow {
        id: row(number).alert,
        rule: "r".into(),
        severity: Severity::High,
        time: 1,
        raised: 1,
        dedup_key: "ada".into(),
        dedup_until: 1,
        about: "ada".into(),
        json: row(number).json,
        repeats: 0,
        last_repeat: None,
        historic: false,
        shadow: false,
        suppressed: None,
        incident: None,
    };
    let alerts = (1..=alerts).map(alert).collect();
    store
        .transact(
            "acme",
            Transaction {
                alerts,
                ..Transaction::default()
            },
        )
        .unwrap();
    store
}

#[test]
fn the_file_is_rotated_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out/alerts.ndjson");
    let mut sink = FileSink::open(&path, SMALL).unwrap();
    sink.deliver(&rows(1..=3)).whole();
    for number in 4..=9 {
        sink.deliver(&[row(number)]).whole();
    }
    assert_eq!(ids(&path), [9]);
    assert_eq!(ids(&numbered(&path, 1)), [7, 8]);
    assert_eq!(ids(&numbered(&path, 2)), [5, 6]);
    assert!(!numbered(&path, 3).exists());
    for file in [&path, &numbered(&path, 1)] {
        assert!(file.metadata().unwrap().len() <= SMALL.max_bytes);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn no_old_files_where_none_are_wanted_and_no_limit_on_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    let mut sink = FileSink::open(&path, Rotation { max_bytes: 10, keep: 0 }).unwrap();
    sink.deliver(&rows(1..=3)).whole();
    assert_eq!(ids(&path), [3]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn rows_given_again_after_a_crash_are_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    // Wherever the file was when the process died, also right after a rotation.
    for delivered in 1..=6 {
        let path = path.with_extension(delivered.to_string());
        FileSink::open(&path, SMALL)
            .unwrap()
            .deliver(&rows(1..=delivered))
            .whole();
        let mut again = FileSink::open(&path, SMALL).unwrap();
        again
            .deliver(&rows(delivered.saturating_sub(1).max(1)..=delivered + 1))
            .whole();
        let mut found = Vec::new();
        for file in [numbered(&path, 2), numbered(&path, 1), path] {
            found.extend(if file.exists() { ids(&file) } else { vec![] });
        }
        let expected: Vec<u64> = (1..=delivered + 1).collect();
        assert!(expected.ends_with(&found), "{delivered}: {found:?}");
    }
}

#[test]
fn a_torn_last_line_is_cut_and_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    let line = format!("{}\n", row(2).json);
    for cut in 0..=line.len() {
        std::fs::write(&path, format!("{}\n{}", row(1).json, &line[..cut])).unwrap();
        let mut sink = FileSink::open(&path, Rotation::default()).unwrap();
        sink.deliver(&rows(1..=3)).whole();
        assert_eq!(ids(&path), [1, 2, 3], "cut at {cut}");
    }
}

#[test]
fn an_alert_of_several_lines_becomes_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    let mut sink = FileSink::open(&path, Rotation::default()).unwrap();
    let pretty = OutboxRow {
        json: "{\n  \"id\": \"al_001\"\n}".into(),
        ..row(1)
    };
    sink.deliver(&[pretty, row(2)]).whole();
    assert_eq!(ids(&path), [1, 2]);
}

#[test]
fn an_error_says_which_file_and_what_was_done() {
    let directory = tempfile::tempdir().unwrap();
    let error = FileSink::open(directory.path(), SMALL).unwrap_err().to_string();
    assert!(
        error.contains(&directory.path().display().to_string()) && error.contains("opening"),
        "{error}"
    );
}

/// Refuses every second time, after writing half of what it was given.
#[derive(Default)]
struct Flaky {
    calls: usize,
    got: Vec<u64>,
}

impl Sink for Flaky {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        self.calls += 1;
        let refuses = self.calls % 2 == 1;
        let taken = if refuses { rows.len() / 2 } else { rows.len() };
        self.got.extend(rows[..taken].iter().map(|row| row.number));
        if refuses {
            Delivery::down(Down::now("no room"))
        } else {
            Delivery::taken(rows.len())
        }
    }
}

#[test]
fn draining_goes_on_where_it_stopped_and_keeps_the_order() {
    let store = store(600);
    let mut sink = Flaky::default();
    let mut courier = Courier::open(&store, "flaky", true).unwrap();
    let mut delivered = 0;
    for round in 1..20 {
        let step = courier.step(&store, &mut sink, &|_| true, round * 10_000_000).unwrap();
        delivered += step.delivered;
        assert!(step.trouble.is_none() || step.trouble.as_deref() == Some("no room"));
    }
    assert!(store.outbox("flaky", 1).unwrap().is_empty());
    // At least once, each new one in order; what comes again is the beginning of what was refused.
    let mut known = std::collections::BTreeSet::new();
    sink.got.retain(|number| known.insert(*number));
    assert_eq!(sink.got, (1..=600).collect::<Vec<_>>());
    assert_eq!(delivered, 600);
}

#[test]
fn each_sink_gets_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    let store = store(300);
    let mut file = FileSink::open(&path, Rotation::default()).unwrap();
    assert_eq!(drain(&store, &mut file, "file").unwrap(), 300);
    let out = Shared::default();
    let mut stdout = StdoutSink::to(out.clone(), |row| format!("HIGH {}", row.alert));
    assert_eq!(drain(&store, &mut stdout, "stdout").unwrap(), 300);
    assert_eq!(ids(&path), (1..=300).collect::<Vec<_>>());
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 300);
    assert!(text.starts_with("HIGH al_001\nHIGH al_002\n"));
}

#[test]
fn an_output_that_is_gone_is_an_error_and_nothing_is_lost() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = store(1);
    let mut sink = StdoutSink::to(Closed, |_| String::from("text"));
    assert_eq!(
        drain(&store, &mut sink, "stdout").unwrap_err(),
        "sink stdout: writing: broken pipe"
    );
    assert_eq!(store.outbox("stdout", 10).unwrap().len(), 1);
}

/// A stream whose content can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
