//! What is the SQLite engine's own: files, locks, versions, shared and failed commits, damage.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test are a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use picket_contract::{Admission, StateChanges};
use picket_store::conformance::{Model, admission, alert, complete, object, rule};
use picket_store::{AlertFilter, EventFilter, Hook, Moment, Old, Options, SqliteStore, Store, StoreError, Transaction};

fn admit(admission: Admission) -> Transaction {
    Transaction {
        admissions: vec![admission],
        ..Transaction::default()
    }
}

fn one(seq: u64) -> Transaction {
    admit(admission(
        seq,
        "authentication",
        &[(&format!("e{seq}"), seq as i64)],
        &[],
    ))
}

fn why(store: Result<SqliteStore, StoreError>) -> String {
    match store {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("unusable is what it should be, not {other:?}"),
    }
}

fn sqlite(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("picket.db")).unwrap()
}

#[test]
fn files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("lib/picket");
    let store = SqliteStore::open(&directory).unwrap();
    store.transact("acme", one(1)).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[test]
fn a_file_that_others_may_read_is_made_private() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    let file = directory.path().join("picket.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn two_daemons_do_not_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(directory.path()).unwrap();
    let message = why(SqliteStore::open(directory.path()));
    assert!(
        message.contains(&format!(
            "another picket (process {}) is running on it",
            std::process::id()
        )),
        "{message}"
    );
    drop(first);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn others_read_beside_the_daemon_and_after_it() {
    let directory = tempfile::tempdir().unwrap();
    assert!(why(SqliteStore::open_read_only(directory.path())).contains("there is no store"));
    let store = SqliteStore::open(directory.path()).unwrap();
    let reader = SqliteStore::open_read_only(directory.path()).unwrap();
    for seq in 1..=3 {
        store.transact("acme", one(seq)).unwrap();
        assert_eq!(reader.last_seq("acme").unwrap(), seq);
    }
    let refusal = reader.transact("acme", one(4)).unwrap_err().to_string();
    assert!(refusal.contains("opened for reading only"), "{refusal}");
    drop(store);
    assert_eq!(reader.last_seq("acme").unwrap(), 3);
    drop(reader);
    assert_eq!(
        SqliteStore::open_read_only(directory.path())
            .unwrap()
            .last_seq("acme")
            .unwrap(),
        3
    );
}

#[test]
fn what_is_not_this_pickets_store_is_refused_with_words() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("picket.db"),
        "not a database, but long enough to look at".repeat(100),
    )
    .unwrap();
    assert!(why(SqliteStore::open(directory.path())).contains("not an SQLite database"));
    assert!(why(SqliteStore::open_read_only(directory.path())).contains("not an SQLite database"));

    let directory = tempfile::tempdir().unwrap();
    sqlite(directory.path())
        .execute_batch("CREATE TABLE cookies (name)")
        .unwrap();
    assert!(why(SqliteStore::open(directory.path())).contains("another program's database"));

    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    sqlite(directory.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for message in [
        why(SqliteStore::open(directory.path())),
        why(SqliteStore::open_read_only(directory.path())),
    ] {
        assert!(
            message.contains("written by a newer picket (schema 99; this one knows"),
            "{message}"
        );
    }

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(why(SqliteStore::open(&file)).contains("cannot make its directory"));
}

#[test]
fn a_store_of_the_first_schema_is_taken_over_with_all_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let old = sqlite(directory.path());
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    let first = include_str!("../src/sqlite/schema/1.sql");
    old.execute_batch(&format!(
        "BEGIN; {first}; PRAGMA application_id = 1348692852; PRAGMA user_version = 1;
         INSERT INTO tenant (name, last_seq) VALUES ('acme', 7);
         INSERT INTO cursor VALUES (1, 'activity', '{{}}'); COMMIT;"
    ))
    .unwrap();
    drop(old);
    let message = why(SqliteStore::open_read_only(directory.path()));
    assert!(message.contains("its schema is 1, this picket reads"), "{message}");
    let store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.last_seq("acme").unwrap(), 7);
    assert_eq!(store.cursors("acme").unwrap().len(), 1);
    assert!(store.inventory("acme", None).unwrap().is_empty());
    let taken = Transaction {
        inventory: vec![object("users", "DU1", "active", 1)],
        ..Transaction::default()
    };
    store.transact("acme", taken).unwrap();
    let reader = SqliteStore::open_read_only(directory.path()).unwrap();
    assert_eq!(reader.inventory("acme", Some("users")).unwrap().len(), 1);
}

#[test]
fn what_schema_3_remembers_of_events_is_known_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let old = sqlite(directory.path());
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    let schemas = [
        include_str!("../src/sqlite/schema/1.sql"),
        include_str!("../src/sqlite/schema/2.sql"),
        include_str!("../src/sqlite/schema/3.sql"),
    ];
    let (id, time) = (|n: i64| format!("e{n}"), |n: i64| (n * 7_919) % 5_000);
    let log = |n: i64| if n % 3 == 0 { "activity" } else { "authentication" };
    old.execute_batch(&format!(
        "BEGIN; {}; PRAGMA application_id = 1348692852; PRAGMA user_version = 3;
         INSERT INTO tenant (name, last_seq) VALUES ('acme', 0), ('other', 0), ('empty', 0);",
        schemas.join(";")
    ))
    .unwrap();
    for n in 0..2_500 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(log(n).as_bytes()).update(&[0]).update(id(n).as_bytes());
        let tenant = if n % 5 == 0 { 2 } else { 1 };
        old.execute(
            "INSERT INTO seen (tenant, id, time) VALUES (?1, ?2, ?3)",
            rusqlite::params![tenant, &hasher.finalize().as_bytes()[..16], time(n)],
        )
        .unwrap();
    }
    old.execute_batch("COMMIT").unwrap();
    drop(old);

    let store = SqliteStore::open(directory.path()).unwrap();
    let known = |tenant: &str, of: &str, n: i64| store.known(tenant, of, &[(&id(n), time(n))], 0).unwrap() == [true];
    for n in 0..2_500 {
        let (own, foreign) = if n % 5 == 0 {
            ("other", "acme")
        } else {
            ("acme", "other")
        };
        assert!(known(own, log(n), n), "{n}");
        assert!(!known(foreign, log(n), n) && !known("empty", log(n), n), "{n}");
        assert!(!known(own, "telephony", n), "{n}");
    }
    let again = admit(admission(1, log(1), &[("new", 1), (&id(1), time(1))], &[]));
    let refusal = store.transact("acme", again).unwrap_err().to_string();
    assert!(
        refusal.contains("holds event e1 of authentication already"),
        "{refusal}"
    );
    // What is admitted from now on stands beside it, and is forgotten by age.
    store
        .transact("acme", admit(admission(1, "activity", &[("new", 4_000)], &[])))
        .unwrap();
    assert_eq!(store.forget_ids("acme", "activity", i64::MAX, u64::MAX).unwrap(), 1);
    assert!(known("acme", log(1), 1) && known("other", log(5), 5));
}

/// A store whose next commit fails at `when`, with what had been written, after which it works.
fn fails_once(directory: &Path, when: fn(Moment) -> bool) -> (SqliteStore, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let trigger = armed.clone();
    let hook = Hook(Arc::new(move |moment| {
        if when(moment) && trigger.swap(false, Ordering::SeqCst) {
            return Err(std::io::Error::other("the disk went away"));
        }
        Ok(())
    }));
    (
        SqliteStore::open_with(
            directory,
            Options {
                hook: Some(hook),
                ..Options::default()
            },
        )
        .unwrap(),
        armed,
    )
}

#[test]
fn a_failed_commit_is_an_unknown_outcome_and_the_store_goes_on() {
    let before: fn(Moment) -> bool = |moment| matches!(moment, Moment::BeforeCommit { .. });
    let after: fn(Moment) -> bool = |moment| matches!(moment, Moment::AfterCommit { .. });
    for (when, written) in [(before, 1), (after, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let (store, armed) = fails_once(directory.path(), when);
        store.transact("acme", one(1)).unwrap();
        armed.store(true, Ordering::SeqCst);
        let error = store.transact("acme", one(2)).unwrap_err();
        assert!(matches!(error, StoreError::Engine { .. }));
        assert!(error.to_string().ends_with("committing: the disk went away"), "{error}");
        // Read back, go on from there.
        let last = store.last_seq("acme").unwrap();
        assert_eq!(last, written);
        store.transact("acme", one(last + 1)).unwrap();
        drop(store);
        assert_eq!(
            SqliteStore::open(directory.path()).unwrap().last_seq("acme").unwrap(),
            last + 1
        );
    }
}

/// What was laid by is given up, so that there is room to open the store again; and laid by again when there is enough.
#[test]
fn a_full_disk_is_survived_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let is_full = full.clone();
    let hook = Hook(Arc::new(move |moment| match moment {
        Moment::BeforeCommit { .. } if is_full.load(Ordering::SeqCst) => Err(std::io::Error::from_raw_os_error(28)),
        _ => Ok(()),
    }));
    let options = Options {
        hook: Some(hook),
        ..Options::default()
    };
    let store = SqliteStore::open_with(directory.path(), options).unwrap();
    let ballast = directory.path().join("picket.ballast");
    store.transact("acme", one(1)).unwrap();
    assert!(ballast.exists() && store.room().unwrap().has_ballast);
    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.transact("acme", one(2)), Err(StoreError::Engine { .. })));
        assert!(!ballast.exists());
        assert_eq!(store.last_seq("acme").unwrap(), 1, "it can be read");
    }
    let reader = SqliteStore::open_read_only(directory.path()).unwrap();
    assert!(
        !reader.room().unwrap().has_ballast && !ballast.exists(),
        "who only reads makes none"
    );
    full.store(false, Ordering::SeqCst);
    store.transact("acme", one(2)).unwrap();
    assert!(store.room().unwrap().has_ballast && ballast.exists());
    assert_eq!(store.last_seq("acme").unwrap(), 2);
}

/// What others read keeps the log from being folded in; nobody waits for them for long.
#[test]
fn the_log_is_folded_in_when_nobody_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store.transact("acme", one(1)).unwrap();
    let foreign = sqlite(directory.path());
    foreign.execute_batch("BEGIN; SELECT count(*) FROM tenant").unwrap();
    store.transact("acme", one(2)).unwrap();
    assert!(!store.fold().unwrap() && store.room().unwrap().log > 0);
    store.transact("acme", one(3)).unwrap();
    foreign.execute_batch("COMMIT").unwrap();
    assert!(store.fold().unwrap());
    assert_eq!(store.room().unwrap().log, 0);
    assert_eq!(store.last_seq("acme").unwrap(), 3);
}

#[test]
fn what_is_forgotten_gives_its_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let noise = |seed: u64| -> String {
        let mut state = seed + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 59) as u8 % 26)
        };
        (0..200_000).map(|_| next()).collect()
    };
    for seq in 1..=30 {
        let mut page = admission(seq, "authentication", &[(&format!("e{seq}"), seq as i64)], &[]);
        page.events[0].raw = noise(seq).into();
        store.transact("acme", admit(page)).unwrap();
    }
    store.fold().unwrap();
    let before = store.room().unwrap();
    assert_eq!(store.forget("acme", "authentication", &Old::than(29)).unwrap(), 28);
    store.fold().unwrap();
    let forgotten = store.room().unwrap();
    assert!(forgotten.unused * 2 > before.database && forgotten.database == before.database);
    assert!(store.vacuum(10).unwrap() > 0, "as much as was asked for");
    assert_eq!(store.vacuum(u32::MAX).unwrap(), 0);
    store.fold().unwrap();
    let after = store.room().unwrap();
    assert!(
        after.unused == 0 && after.database * 2 < before.database,
        "{before:?} {after:?}"
    );
    let file = directory.path().join("picket.db").metadata().unwrap().len();
    assert_eq!(file, after.database);
    assert_eq!(store.read("acme", 0, 100).unwrap().len(), 2);
}

#[test]
fn a_database_that_cannot_be_written_fails_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store.transact("acme", one(1)).unwrap();
    // A foreign trigger stands for whatever SQLite may find wrong with one tenant's row.
    let foreign = sqlite(directory.path());
    foreign
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON cursor BEGIN SELECT RAISE(ABORT, 'no cursor today'); END")
        .unwrap();
    let cursor = picket_store::CursorRow {
        log: "authentication".into(),
        cursor: "{}".into(),
    };
    let both = || Transaction {
        cursors: vec![cursor.clone()],
        ..one(2)
    };
    let error = store.transact("acme", both()).unwrap_err().to_string();
    assert!(error.ends_with("writing: no cursor today"), "{error}");
    assert_eq!(store.last_seq("acme").unwrap(), 1);
    store.transact("other", one(1)).unwrap();
    foreign.execute_batch("DROP TRIGGER no").unwrap();
    store.transact("acme", both()).unwrap();
    assert_eq!(store.last_seq("acme").unwrap(), 2);
}

/// Three entries of which the second's block is damaged.
fn damaged(directory: &Path) {
    let store = SqliteStore::open(directory).unwrap();
    for (first, name) in [(1, "a"), (3, "b"), (5, "c")] {
        let events = [(name, first as i64)];
        let whole = admit(admission(
            first,
            "authentication",
            &events,
            &[complete("authentication", first as i64)],
        ));
        store.transact("acme", whole).unwrap();
    }
    drop(store);
    let changed = sqlite(directory)
        .execute(
            "UPDATE block SET body = cast('x' || substr(body, 2) AS BLOB)
             WHERE admission = (SELECT id FROM admission WHERE first_seq = 3)",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn a_damaged_block_is_named_and_the_rest_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    damaged(directory.path());
    let store = SqliteStore::open(directory.path()).unwrap();
    // What comes before it is read; at it the error says where to go on.
    assert_eq!(store.read("acme", 0, 100).unwrap().len(), 1);
    let error = store.read("acme", 2, 100).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("journal entry 3 to 4 of authentication is damaged: checksum"),
        "{error}"
    );
    let StoreError::Damaged {
        last_seq: Some(last), ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(store.read("acme", last, 100).unwrap()[0].first_seq, 5);
    assert!(store.events("acme", &[1, 5]).unwrap().iter().all(Option::is_some));
    assert!(store.events("acme", &[3]).is_err());
    assert!(store.search("acme", &EventFilter::default()).is_err());
    assert_eq!(
        store
            .search(
                "acme",
                &EventFilter {
                    since: Some(4),
                    ..EventFilter::default()
                }
            )
            .unwrap()
            .len(),
        1
    );
    store.transact("acme", one(7)).unwrap();
}

#[test]
fn damage_is_read_around_where_asked() {
    let directory = tempfile::tempdir().unwrap();
    damaged(directory.path());
    let store = SqliteStore::open_with(
        directory.path(),
        Options {
            skip_damaged: true,
            ..Options::default()
        },
    )
    .unwrap();
    let read = store.read("acme", 0, 100).unwrap();
    assert_eq!(
        read.iter().map(|entry| entry.events.len()).collect::<Vec<_>>(),
        [1, 0, 1]
    );
    assert_eq!(read[1].marks, [complete("authentication", 3)]);
    assert_eq!(store.search("acme", &EventFilter::default()).unwrap().len(), 2);
    assert_eq!(store.pending("acme", 6, &[("authentication", 0)]).unwrap().len(), 2);
    assert_eq!(store.problems().len(), 1, "{:?}", store.problems());
    assert!(store.problems()[0].contains("journal entry 3 to 4 of authentication is damaged and left out"));
}

#[test]
fn damaged_marks_and_standings_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store
        .transact("acme", admit(admission(1, "activity", &[], &[complete("activity", 1)])))
        .unwrap();
    let progress = Transaction {
        rules: vec![rule("r", 1, 1, StateChanges::default())],
        ..Transaction::default()
    };
    store.transact("acme", progress).unwrap();
    sqlite(directory.path())
        .execute_batch("UPDATE admission SET marks = '[{'; UPDATE rule SET standing = '{'")
        .unwrap();
    let error = store.read("acme", 0, 10).unwrap_err().to_string();
    assert!(
        error.contains("journal entry 1 to 1 of activity is damaged: marks:"),
        "{error}"
    );
    let error = store.rules("acme").unwrap_err().to_string();
    assert!(error.contains("the standing of rule r of acme is damaged"), "{error}");
    // Marks that cannot be read are not merged away.
    store
        .transact("acme", admit(admission(2, "activity", &[], &[complete("activity", 2)])))
        .unwrap();
    assert_eq!(store.read("acme", 1, 10).unwrap().len(), 1);
}

#[test]
fn a_year_of_idle_polls_stays_small() {
    let store = SqliteStore::in_memory().unwrap();
    let mut model = Model::new();
    for poll in 0..2_000_u64 {
        let log = ["authentication", "activity", "telephony"][poll as usize % 3];
        let idle = admit(admission(poll + 1, log, &[], &[complete(log, poll as i64)]));
        assert!(model.transact("acme", &idle));
        store.transact("acme", idle).unwrap();
    }
    assert_eq!(store.read("acme", 0, usize::MAX).unwrap().len(), 3);
    model.compare(&store);
}

#[test]
fn bodies_are_compressed() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let names: Vec<String> = (0..1000).map(|n| format!("event-{n}")).collect();
    let events: Vec<(&str, i64)> = names
        .iter()
        .zip(0..)
        .map(|(name, time)| (name.as_str(), time))
        .collect();
    store
        .transact("acme", admit(admission(1, "authentication", &events, &[])))
        .unwrap();
    let sizes = sqlite(directory.path())
        .query_row("SELECT sum(size), sum(length(body)) FROM block", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))
        })
        .unwrap();
    assert!(sizes.1 * 4 < sizes.0, "{sizes:?}");
}

#[test]
fn alerts_survive_with_everything_on_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    store
        .transact(
            "acme",
            Transaction {
                alerts: vec![alert("al_1", "r", "ada", 5)],
                ..Transaction::default()
            },
        )
        .unwrap();
    drop(store);
    let store = SqliteStore::open_read_only(directory.path()).unwrap();
    assert_eq!(
        store.alerts("acme", &AlertFilter::default()).unwrap(),
        [alert("al_1", "r", "ada", 5)]
    );
}

#[test]
fn how_much_rules_remembered_before_schema_5_is_known_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let old = sqlite(directory.path());
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    let schemas = [
        include_str!("../src/sqlite/schema/1.sql"),
        include_str!("../src/sqlite/schema/2.sql"),
        include_str!("../src/sqlite/schema/3.sql"),
        include_str!("../src/sqlite/schema/4.sql"),
    ];
    old.execute_batch(&format!(
        "BEGIN; {}; PRAGMA application_id = 1348692852; PRAGMA user_version = 4;
         INSERT INTO tenant (name) VALUES ('acme');
         INSERT INTO rule (tenant, rule, state_version, seq, released_time, released_log, released_id, clock, standing)
             VALUES (1, 'r', 1, 0, 5, '', '', 40, '{{\"unreadable\":[]}}'), (1, 's', 1, 0, 5, '', '', NULL, '{{\"unreadable\":[]}}');
         INSERT INTO state VALUES (1, x'6161', x'010203', 90), (1, x'62', x'', 91);
         INSERT INTO timer VALUES (1, x'6161', 70), (1, x'62', 60); COMMIT;",
        schemas.join(";")
    ))
    .unwrap();
    drop(old);
    let store = SqliteStore::open(directory.path()).unwrap();
    for row in store.rules("acme").unwrap() {
        let state = store.state("acme", &row.rule, 1).unwrap();
        assert_eq!(row.remembers, state.summary(), "{}", row.rule);
        assert_eq!(state.next_timer(), (&*row.rule == "r").then_some(60));
    }
}
