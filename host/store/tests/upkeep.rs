//! What an operator does with a store: check it, copy it, make it small, delete a customer from it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::path::Path;
use std::sync::Arc;

use picket_contract::StateChanges;
use picket_contract::state::StateEntry;
use picket_store::conformance::{Model, admission, alert, audit, complete, object, poison, rule, suppressed};
use picket_store::{
    CursorRow, Fate, GenerationRow, Old, SqliteStore, StepOutcome, StepRow, Store, StoreError, Transaction, compact,
    segment,
};

fn sqlite(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("picket.db")).unwrap()
}

fn why<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("unusable is what it should be, not {other:?}"),
    }
}

/// Some of everything of a tenant; its name is in all that is told of it.
fn filled(tenant: &str) -> Vec<(Arc<str>, Transaction)> {
    let names: Vec<String> = (0..600).map(|number| format!("{tenant}-event-{number}")).collect();
    let page = |first: u64, from: usize| {
        let events: Vec<(&str, i64)> = names[from..from + 100]
            .iter()
            .zip(0..)
            .map(|(name, at)| (name.as_str(), (from as i64 + at) * 10))
            .collect();
        admission(
            first,
            "authentication",
            &events,
            &[complete("authentication", from as i64 * 10)],
        )
    };
    let mut changes = StateChanges {
        clock: Some(50),
        ..StateChanges::default()
    };
    let entry = StateEntry {
        value: tenant.as_bytes().into(),
        expires_at: 900_000,
    };
    changes.entries.insert(tenant.as_bytes().into(), Some(entry));
    changes.timers.insert(tenant.as_bytes().into(), Some(77));
    let cursor = CursorRow {
        log: "authentication".into(),
        cursor: "{}".into(),
    };
    let whole = Transaction {
        admissions: (0..5).map(|n| page(n * 101 + 1, n as usize * 100)).collect(),
        cursors: vec![cursor],
        inventory: vec![object("users", &format!("{tenant}-user"), "active", 5)],
        rules: vec![rule("r", 404, 400, changes)],
        alerts: vec![
            alert(&format!("al_{tenant}"), "r", "ada", 10),
            suppressed(&format!("su_{tenant}"), "r", 20, "vpn"),
        ],
        repeats: vec![],
        superseded: vec![],
        poison: vec![poison("r", &format!("{tenant}-event-3"), 40, Fate::Skipped)],
    };
    let piece = Transaction {
        admissions: vec![page(1, 500)],
        alerts: vec![alert(&format!("al_{tenant}_old"), "r", "eve", 1_200)],
        ..Transaction::default()
    };
    vec![(tenant.into(), whole), (segment::name(tenant, 1), piece)]
}

fn store(directory: &Path, tenants: &[&str]) -> (SqliteStore, Model) {
    let store = SqliteStore::open(directory).unwrap();
    let mut model = Model::new();
    for (number, tenant) in (1..).zip(tenants) {
        for (journal, transaction) in filled(tenant) {
            assert!(model.transact(&journal, &transaction));
            store.transact(&journal, transaction).unwrap();
        }
        let generation = GenerationRow {
            number,
            since: 7,
            json: format!("[\"{tenant}\"]").into(),
        };
        let entries = vec![audit(3, tenant, "rule r")];
        model.note_generation(tenant, &generation);
        model.note_audit(&entries);
        store.note_generation(tenant, generation).unwrap();
        store.note_audit(entries).unwrap();
        store.set_note(tenant, "first_start", Some("0")).unwrap();
        let step = StepRow {
            file: "r.wasm".into(),
            digest: "sha256:1".into(),
            time: number as i64,
            step: "shadow".into(),
            outcome: StepOutcome::Waits,
            reason: "alerts differ".into(),
            detail: Some(format!("{{\"gained\":[{{\"tenant\":\"{tenant}\"}}]}}").into()),
        };
        store.keep_versions(vec![], vec![step]).unwrap();
    }
    (store, model)
}

#[test]
fn a_sound_store_is_found_sound_beside_its_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = store(directory.path(), &["acme", "globex"]);
    // Whatever upkeep does to it.
    assert_eq!(
        store.forget_ids("acme", "authentication", 2_000, u64::MAX).unwrap(),
        200
    );
    assert_eq!(store.forget("acme", "authentication", &Old::than(1_000)).unwrap(), 100);
    assert_eq!(
        store.forget("globex", "authentication", &Old::than(1_000)).unwrap(),
        100
    );
    let reader = SqliteStore::open_read_only(directory.path()).unwrap();
    for quick in [true, false] {
        let mut told = Vec::new();
        let checked = reader.check(quick, &mut |done, all| told.push((done, all))).unwrap();
        assert_eq!((checked.findings.as_slice(), checked.more), (&[][..], 0));
        assert_eq!((checked.journals, checked.entries, checked.events), (4, 12, 1_000));
        assert_eq!(checked.alerts, 6);
        assert_eq!(told, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    }
    assert_eq!(
        SqliteStore::in_memory()
            .unwrap()
            .check(false, &mut |_, _| {})
            .unwrap()
            .findings,
        []
    );
}

/// Each damage by itself is told, with where it is and what to do; and everything else is looked at all the same.
#[test]
fn every_damage_is_found() {
    let damages = [
        ("UPDATE block SET body = cast('x' || substr(body, 2) AS BLOB) WHERE admission = 2", "journal entry 102 to 202 of authentication: its 100 events cannot be read: checksum"),
        ("DELETE FROM block WHERE admission = 2", "its block is missing"),
        ("DELETE FROM admission WHERE id = 2", "acme: authentication: 100 of 500 events are gone"),
        ("UPDATE admission SET first_seq = 101 WHERE id = 2", "its numbers do not follow on 101"),
        ("UPDATE admission SET marks = NULL WHERE id = 2", "100 events and its marks take 100 numbers"),
        ("UPDATE admission SET marks = '[{' WHERE id = 2", "its marks cannot be read"),
        ("UPDATE admission SET t_min = 0 WHERE id = 2", "other times"),
        ("DELETE FROM held WHERE number = 2", "not all of its ids are remembered"),
        ("UPDATE volume SET bytes = bytes + 1", "are counted as 500 of"),
        ("UPDATE rule SET seq = 1000000", "acme: rule r has read up to 1000000, the journal ends at 505"),
        ("UPDATE rule SET standing = '{'", "acme: the standing of rule r of acme is damaged"),
        ("UPDATE alert SET json = '{' WHERE id = 'al_acme'", "acme: alert al_acme cannot be read"),
        ("UPDATE alert SET severity = 'very' WHERE id = 'al_acme'", "severity \"very\" is none"),
        ("PRAGMA foreign_keys = OFF; INSERT INTO cursor VALUES (99, 'a', '{}')", "an orphan: row"),
        ("PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON;
          UPDATE sqlite_schema SET sql = replace(sql, '(tenant, log, t_max)', '(tenant, log, t_min)') WHERE name = 'admission_by_age'", "admission_by_age"),
    ];
    for (damage, expected) in damages {
        let directory = tempfile::tempdir().unwrap();
        drop(store(directory.path(), &["acme"]).0);
        sqlite(directory.path()).execute_batch(damage).unwrap();
        let reader = SqliteStore::open_read_only(directory.path()).unwrap();
        let checked = reader.check(false, &mut |_, _| {}).unwrap();
        let told: Vec<&str> = checked.findings.iter().map(|finding| &*finding.what).collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{damage}: {told:#?}");
        assert!(checked.findings.iter().all(|finding| !finding.action.is_empty()));
        assert_eq!(checked.journals, 2);
    }
}

#[test]
fn pages_that_are_overwritten_are_found() {
    use std::os::unix::fs::FileExt as _;
    let directory = tempfile::tempdir().unwrap();
    drop(store(directory.path(), &["acme"]).0);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(directory.path().join("picket.db"))
        .unwrap();
    let pages = file.metadata().unwrap().len() / 16_384;
    for page in pages / 2..pages {
        file.write_all_at(&[0x5a; 4_096], page * 16_384).unwrap();
    }
    let found = match SqliteStore::open_read_only(directory.path()) {
        Ok(reader) => reader
            .check(false, &mut |_, _| {})
            .map(|checked| checked.findings.len() as u64 + checked.more),
        Err(error) => Err(error),
    };
    assert!(found.as_ref().map_or(true, |found| *found > 0), "{found:?}");
}

#[test]
fn a_copy_is_the_store_of_one_moment_and_never_written_over_anything() {
    let directory = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let (store, model) = store(directory.path(), &["acme", "globex"]);
    let reader = SqliteStore::open_read_only(directory.path()).unwrap();
    let copy = copies.path().join("picket.db");
    reader.copy_to(&copy).unwrap();
    // What comes afterwards is not in it.
    let later = Transaction {
        admissions: vec![admission(506, "activity", &[("later", 9)], &[])],
        ..Transaction::default()
    };
    store.transact("acme", later).unwrap();
    assert!(why(reader.copy_to(&copy)).contains("File exists"));
    drop((reader, store));
    let restored = SqliteStore::open(copies.path()).unwrap();
    model.compare(&restored);
    assert_eq!(restored.check(false, &mut |_, _| {}).unwrap().findings, []);
}

#[test]
fn what_is_compacted_is_smaller_and_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut model) = store(directory.path(), &["acme", "globex", "third"]);
    assert!(why(compact(directory.path())).contains("another picket"));
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 59) as u8 % 26)
    };
    let mut large = admission(506, "activity", &[("large", 9)], &[]);
    large.events[0].raw = (0..300_000).map(|_| next()).collect::<String>().into();
    let large = Transaction {
        admissions: vec![large],
        ..Transaction::default()
    };
    store.transact("third", large).unwrap();
    store.purge("third").unwrap();
    model.purge("third");
    let reader = sqlite(directory.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM tenant").unwrap();
    drop(store);
    assert!(why(compact(directory.path())).contains("another program reads it"));
    drop(reader);
    let (before, after) = compact(directory.path()).unwrap();
    assert!(after + 100_000 < before, "{after} of {before}");
    let database = sqlite(directory.path());
    let get = |name: &str| {
        database
            .query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            })
            .unwrap()
    };
    assert_eq!(get("auto_vacuum"), rusqlite::types::Value::Integer(2));
    assert_eq!(get("page_size"), rusqlite::types::Value::Integer(16_384));
    assert_eq!(get("journal_mode"), rusqlite::types::Value::Text("wal".into()));
    drop(database);
    let store = SqliteStore::open(directory.path()).unwrap();
    model.compare(&store);
    assert_eq!(store.check(false, &mut |_, _| {}).unwrap().findings, []);
}

/// Rows are gone, pieces of what they held are nowhere in the files, and the others have everything.
#[test]
fn a_purged_tenant_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut model) = store(directory.path(), &["acme", "globex"]);
    let before = store.rows_of("acme").unwrap();
    let of = |what: &str| before.iter().find(|rows| rows.what == what).map_or(0, |rows| rows.rows);
    assert_eq!(
        (of("events"), of("alerts"), of("state entries"), of("timers")),
        (600, 3, 1, 1)
    );
    assert_eq!(
        (of("notes"), of("audit entries"), of("comparisons of versions")),
        (1, 1, 1)
    );
    let canaries = store.canaries("acme").unwrap();
    assert!(canaries.len() >= 6, "{}", canaries.len());
    store.fold().unwrap();
    assert_eq!(
        store.look_for(&canaries, "acme").unwrap().pieces,
        canaries.len() as u64,
        "the search finds what is there"
    );
    let others = store.canaries("globex").unwrap();
    assert!(store.taken("acme").unwrap().bytes() > 0);

    store.purge("acme").unwrap();
    model.purge("acme");
    store.tighten().unwrap();
    assert_eq!(store.rows_of("acme").unwrap(), []);
    assert_eq!(store.taken("acme").unwrap().bytes(), 0);
    let found = store.look_for(&canaries, "acme").unwrap();
    assert_eq!(found.pieces, 0);
    assert!(found.bytes > 16_384);
    assert_eq!(store.look_for(&others, "globex").unwrap().pieces, others.len() as u64);
    let names = ["acme-event", "acme-user", "al_acme"];
    let bytes = std::fs::read(directory.path().join("picket.db")).unwrap();
    for name in names {
        assert!(
            !bytes.windows(name.len()).any(|window| window == name.as_bytes()),
            "{name}"
        );
    }
    model.compare(&store);
    assert_eq!(store.check(false, &mut |_, _| {}).unwrap().findings, []);
    // Its steps are the module's; what was compared is not.
    let steps = store.version_steps("r.wasm").unwrap();
    assert_eq!(
        steps.iter().map(|step| step.detail.is_some()).collect::<Vec<_>>(),
        [false, true]
    );

    // It begins anew under the same name, perhaps under the same number: nothing of before shows.
    for (journal, transaction) in filled("acme") {
        assert!(model.transact(&journal, &transaction));
        store.transact(&journal, transaction).unwrap();
    }
    model.compare(&store);
    store.purge("nobody").unwrap();
    store.rebuild().unwrap();
    model.compare(&store);
}
