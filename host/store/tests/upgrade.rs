//! A store of an earlier schema is taken over with everything that it holds, and a copy of it is kept for a while.
//!
//! `fixtures/schema-9.db.zst` was written by the Picket of schema 9 from [`history`]: never make it anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::path::Path;
use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{Mark, StateChanges};
use picket_store::conformance::{Model, admission, alert, audit, complete, object, poison, rule, shadow, suppressed};
use picket_store::{
    CursorRow, Fate, GenerationRow, Old, Repeat, SqliteStore, StepOutcome, StepRow, Store, StoreError, Transaction,
    VersionRow, VersionState,
};

/// What the store of the fixture was told, in order.
fn history() -> Vec<(&'static str, Transaction)> {
    let cursor = |log: &str| CursorRow {
        log: log.into(),
        cursor: format!("{{\"read_to\":{}}}", log.len()),
    };
    let mut changes = StateChanges {
        clock: Some(50),
        ..StateChanges::default()
    };
    let entry = StateEntry {
        value: Arc::from(*b"seen"),
        expires_at: 900,
    };
    changes.entries.insert(Arc::from(*b"ada"), Some(entry));
    changes.timers.insert(Arc::from(*b"wake"), Some(77));
    let generation = Mark::Generation {
        number: 1,
        judged: None,
        hash: "blake3:1".into(),
    };
    let names: Vec<String> = (0..200).map(|number| format!("e{number:03}")).collect();
    let page = |first: u64, from: usize| {
        let events: Vec<(&str, i64)> = names[from..from + 50]
            .iter()
            .zip(0..)
            .map(|(name, at)| (name.as_str(), (from as i64 + at) * 10))
            .collect();
        let marks = [complete("authentication", from as i64 * 10)];
        admission(first, "authentication", &events, &marks)
    };
    vec![
        (
            "acme",
            Transaction {
                admissions: vec![admission(1, "", &[], &[generation]), page(2, 0)],
                cursors: vec![cursor("authentication"), cursor("activity")],
                inventory: vec![object("users", "DU1", "active", 5), object("phones", "DP1", "lost", 5)],
                rules: vec![rule("r", 52, 400, changes), rule("slow", 1, 0, StateChanges::default())],
                alerts: vec![
                    alert("al_1", "r", "ada", 10),
                    shadow("sh_1", "s", "bob", 20),
                    suppressed("su_1", "r", 30, "vpn"),
                ],
                repeats: vec![Repeat {
                    id: "al_1".into(),
                    count: 3,
                    time: 70,
                }],
                superseded: Vec::new(),
                poison: vec![poison("r", "e003", 40, Fate::Skipped)],
            },
        ),
        (
            "acme",
            Transaction {
                admissions: vec![page(53, 50), admission(104, "activity", &[("a", 33), ("b", 34)], &[])],
                ..Transaction::default()
            },
        ),
        (
            "acme#backfill-1",
            Transaction {
                admissions: vec![page(1, 100)],
                alerts: vec![alert("al_9", "r", "eve", 1_200)],
                ..Transaction::default()
            },
        ),
        (
            "other",
            Transaction {
                admissions: vec![page(1, 150)],
                ..Transaction::default()
            },
        ),
    ]
}

fn tell(store: &dyn Store, model: &mut Model) {
    for (tenant, transaction) in history() {
        assert!(model.transact(tenant, &transaction));
        store.transact(tenant, transaction).unwrap();
    }
    let generation = GenerationRow {
        number: 1,
        since: 7,
        json: "[1]".into(),
    };
    let entries = vec![audit(3, "acme", "rule r"), audit(4, "", "lists.vpn")];
    let version = VersionRow {
        file: "r.wasm".into(),
        digest: "sha256:1".into(),
        state: VersionState::Live,
        since: 3,
        reason: "".into(),
        rules: vec![("r".into(), "1.0.0".into())],
    };
    let step = StepRow {
        file: "r.wasm".into(),
        digest: "sha256:1".into(),
        time: 3,
        step: "live".into(),
        outcome: StepOutcome::Passed,
        reason: "".into(),
        detail: None,
    };
    model.note_generation("acme", &generation);
    model.note_audit(&entries);
    store.note_generation("acme", generation).unwrap();
    store.note_audit(entries).unwrap();
    store.keep_versions(vec![version], vec![step]).unwrap();
    store.set_note("acme", "first_start", Some("0")).unwrap();
    store.delivered("file", 1).unwrap();
}

/// The fixture in a directory of its own.
fn fixture() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let database = zstd::bulk::decompress(include_bytes!("fixtures/schema-9.db.zst"), 16 << 20).unwrap();
    std::fs::write(directory.path().join("picket.db"), database).unwrap();
    directory
}

fn model() -> Model {
    let mut model = Model::new();
    tell(&SqliteStore::in_memory().unwrap(), &mut model);
    model
}

fn copies(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().flatten();
    let names = names.map(|file| file.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".bak")).collect()
}

#[test]
fn a_store_of_schema_9_has_all_that_it_had() {
    let directory = fixture();
    let message = match SqliteStore::open_read_only(directory.path()) {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("unusable is what it should be, not {other:?}"),
    };
    assert!(message.contains("its schema is 9, this picket reads"), "{message}");
    let store = SqliteStore::open(directory.path()).unwrap();
    let mut model = model();
    model.compare(&store);
    assert_eq!(store.note("acme", "first_start").unwrap().as_deref(), Some("0"));
    assert_eq!(store.versions().unwrap().len(), 1);
    assert_eq!(store.outbox("file", 9).unwrap().len(), 1, "of two, one was delivered");
    // It goes on like any other.
    let next = Transaction {
        admissions: vec![admission(106, "authentication", &[("new", 5_000)], &[])],
        ..Transaction::default()
    };
    assert!(model.transact("acme", &next));
    store.transact("acme", next).unwrap();
    let old = Old::than(2_000);
    assert_eq!(
        store.forget("acme", "authentication", &old).unwrap(),
        model.forget("acme", "authentication", &old)
    );
    model.compare(&store);
}

#[test]
fn what_it_was_is_kept_until_the_next_start() {
    let directory = fixture();
    drop(SqliteStore::open(directory.path()).unwrap());
    let kept = copies(directory.path());
    assert!(
        kept.len() == 1 && kept[0].starts_with("picket.db.schema-9."),
        "{kept:?}"
    );
    let whole = rusqlite::Connection::open(directory.path().join(&kept[0])).unwrap();
    let version: i64 = whole.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let blocks: i64 = whole
        .query_row("SELECT count(*) FROM block", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, blocks), (9, 5));
    drop(whole);
    // Reading is no start; a start is.
    drop(SqliteStore::open_read_only(directory.path()).unwrap());
    assert_eq!(copies(directory.path()), kept);
    drop(SqliteStore::open(directory.path()).unwrap());
    assert!(copies(directory.path()).is_empty());
}

#[test]
fn a_new_store_needs_no_copy() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    assert!(copies(directory.path()).is_empty());
}
