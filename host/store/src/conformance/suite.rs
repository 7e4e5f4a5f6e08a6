//! One test for each promise of the trait.

use std::sync::{Arc, Barrier};

use picket_contract::state::StateEntry;
use picket_contract::{Mark, RuleState, StateChanges};

use super::{admission, alert, complete, key, rule};
use crate::{AlertFilter, CursorRow, Quarantine, Repeat, Standing, Store, StoreError, Transaction};

/// Runs every test of the suite, each on an empty store of its own.
///
/// # Panics
/// Where the engine breaks a promise.
pub fn check(empty: &dyn Fn() -> Box<dyn Store>) {
    nothing_is_an_answer(&*empty());
    the_journal_is_numbered_without_gaps(&*empty());
    a_refused_transaction_leaves_nothing(&*empty());
    an_event_is_held_once(&*empty());
    an_admission_is_never_cut(&*empty());
    idle_marks_are_merged(&*empty());
    marks_between_which_something_stands_are_not_merged(&*empty());
    state_is_what_the_rule_left(&*empty());
    a_rollback_finds_the_old_state(&*empty());
    alerts_are_raised_once_and_repeated_in_place(&*empty());
    alerts_are_found(&*empty());
    each_sink_has_a_place_of_its_own(&*empty());
    tenants_do_not_see_each_other(&*empty());
    notes_are_kept(&*empty());
    ids_are_forgotten_by_age(&*empty());
    odd_texts_come_back(&*empty());
    concurrent_transactions_are_all_written(&*empty());
}

fn ok(store: &dyn Store, tenant: &str, transaction: Transaction) {
    store.transact(tenant, transaction).expect("the transaction is sound");
}

fn admit(admissions: impl IntoIterator<Item = picket_contract::Admission>) -> Transaction {
    Transaction {
        admissions: admissions.into_iter().collect(),
        ..Transaction::default()
    }
}

fn refused(store: &dyn Store, transaction: Transaction) -> String {
    match store.transact("acme", transaction) {
        Err(StoreError::Refused { why, .. }) => why,
        other => panic!("refused is what it should be, not {other:?}"),
    }
}

fn nothing_is_an_answer(store: &dyn Store) {
    assert!(store.tenants().expect("tenants").is_empty());
    assert_eq!(store.last_seq("acme").expect("last_seq"), 0);
    assert_eq!(
        store.known("acme", "authentication", &["a", "b"]).expect("known"),
        [false, false]
    );
    assert!(store.read("acme", 0, 10).expect("read").is_empty());
    assert!(store.pending("acme", 10, 0).expect("pending").is_empty());
    assert_eq!(store.events("acme", &[1]).expect("events"), [None]);
    assert!(store.rules("acme").expect("rules").is_empty());
    assert_eq!(store.state("acme", "r", 1).expect("state"), RuleState::default());
    assert!(store.outbox("file", 10).expect("outbox").is_empty());
    ok(store, "acme", Transaction::default());
    assert!(store.tenants().expect("tenants").is_empty());
}

fn the_journal_is_numbered_without_gaps(store: &dyn Store) {
    assert!(
        refused(store, admit([admission(2, "authentication", &[("a", 1)], &[])])).contains("goes on with number 1")
    );
    let first = admission(
        1,
        "authentication",
        &[("a", 1), ("b", 2)],
        &[complete("authentication", 1)],
    );
    assert_eq!(first.last_seq(), 3);
    ok(
        store,
        "acme",
        admit([first.clone(), admission(4, "activity", &[("a", 3)], &[])]),
    );
    for wrong in [0, 1, 3, 4, 6] {
        refused(store, admit([admission(wrong, "activity", &[("z", 3)], &[])]));
    }
    assert_eq!(store.last_seq("acme").expect("last_seq"), 4);
    let read = store.read("acme", 0, 100).expect("read");
    assert_eq!(read, [first, admission(4, "activity", &[("a", 3)], &[])]);
}

fn a_refused_transaction_leaves_nothing(store: &dyn Store) {
    let whole = Transaction {
        admissions: vec![admission(1, "authentication", &[("a", 1)], &[])],
        cursors: vec![CursorRow {
            log: "authentication".into(),
            cursor: "{}".into(),
        }],
        alerts: vec![alert("al_1", "r", "ada", 1)],
        // Ahead of the journal: what it claims to have read was never stored.
        rules: vec![rule("r", 2, 1, StateChanges::default())],
        repeats: vec![],
    };
    assert!(refused(store, whole).contains("rule r of acme has read up to 2, but the journal ends at 1"));
    assert_eq!(store.last_seq("acme").expect("last_seq"), 0);
    assert_eq!(store.known("acme", "authentication", &["a"]).expect("known"), [false]);
    assert!(store.cursors("acme").expect("cursors").is_empty());
    assert!(store.outbox("file", 10).expect("outbox").is_empty());
    assert!(store.tenants().expect("tenants").is_empty());
}

fn an_event_is_held_once(store: &dyn Store) {
    ok(store, "acme", admit([admission(1, "authentication", &[("a", 1)], &[])]));
    assert_eq!(
        store.known("acme", "authentication", &["b", "a", "b"]).expect("known"),
        [false, true, false]
    );
    assert!(
        refused(
            store,
            admit([admission(2, "authentication", &[("b", 1), ("a", 1)], &[])])
        )
        .contains("event a")
    );
    ok(store, "acme", admit([admission(2, "activity", &[("a", 1)], &[])]));
    ok(
        store,
        "other",
        admit([admission(1, "authentication", &[("a", 1)], &[])]),
    );
}

fn an_admission_is_never_cut(store: &dyn Store) {
    let one = admission(
        1,
        "authentication",
        &[("a", 10), ("b", 20), ("c", 30)],
        &[complete("authentication", 30)],
    );
    let two = admission(5, "activity", &[("d", 5)], &[]);
    ok(store, "acme", admit([one.clone(), two.clone()]));
    assert_eq!(store.read("acme", 0, 1).expect("read"), [one.clone()]);
    assert_eq!(store.read("acme", 2, 1).expect("read"), [one.clone()]);
    assert_eq!(store.read("acme", 3, 100).expect("read"), [one.clone(), two.clone()]);
    assert_eq!(store.read("acme", 4, 100).expect("read"), [two]);
    assert!(store.read("acme", 5, 100).expect("read").is_empty());
    // What is pending may end within an admission: then its marks have not been read.
    let pending = store.pending("acme", 2, 15).expect("pending");
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].events, [(2, one.events[1].clone())]);
    assert!(pending[0].marks.is_empty());
}

fn idle_marks_are_merged(store: &dyn Store) {
    ok(
        store,
        "acme",
        admit([admission(
            1,
            "authentication",
            &[("a", 1)],
            &[complete("authentication", 1)],
        )]),
    );
    ok(
        store,
        "acme",
        admit([admission(3, "authentication", &[], &[complete("authentication", 10)])]),
    );
    ok(
        store,
        "acme",
        admit([admission(4, "activity", &[], &[complete("activity", 11)])]),
    );
    ok(
        store,
        "acme",
        admit([admission(5, "authentication", &[], &[complete("authentication", 20)])]),
    );
    ok(
        store,
        "acme",
        admit([admission(6, "activity", &[], &[complete("activity", 21)])]),
    );
    let read = store.read("acme", 2, 100).expect("read");
    assert_eq!(read.iter().map(|entry| entry.first_seq).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(read[0].marks, [complete("authentication", 20)]);
    assert_eq!(store.last_seq("acme").expect("last_seq"), 6);
}

fn marks_between_which_something_stands_are_not_merged(store: &dyn Store) {
    let idle = |seq, to| admission(seq, "authentication", &[], &[complete("authentication", to)]);
    let generation = Mark::Generation {
        number: 1,
        hash: "h".into(),
    };
    ok(
        store,
        "acme",
        admit([idle(1, 10), admission(2, "activity", &[("a", 5)], &[]), idle(3, 20)]),
    );
    ok(
        store,
        "acme",
        admit([
            admission(4, "", &[], &[generation]),
            idle(5, 30),
            idle(6, 25),
            idle(7, 28),
        ]),
    );
    let numbers: Vec<u64> = store
        .read("acme", 0, 100)
        .expect("read")
        .iter()
        .map(|entry| entry.first_seq)
        .collect();
    // Number 6 said less than 5; 7 says more than 6, but not than 5.
    assert_eq!(numbers, [1, 2, 3, 4, 5, 7]);
}

fn entry(value: &str, expires_at: i64) -> Option<StateEntry> {
    Some(StateEntry {
        value: key(value),
        expires_at,
    })
}

fn state_is_what_the_rule_left(store: &dyn Store) {
    let mut model = RuleState::default();
    let steps = [
        StateChanges {
            clock: Some(10),
            entries: [(key("a"), entry("1", 20)), (key("b"), entry("2", 100))].into(),
            timers: [(key("t"), Some(50)), (key("u"), Some(5))].into(),
        },
        StateChanges {
            clock: None,
            entries: [(key("c"), entry("", i64::MAX))].into(),
            timers: [(key("u"), None)].into(),
        },
        StateChanges {
            clock: Some(20),
            entries: [(key("b"), None), (key("d"), entry("9", 15))].into(),
            ..Default::default()
        },
        StateChanges {
            clock: Some(15),
            entries: [(key("c"), entry("x", 21))].into(),
            timers: [(key("t"), Some(60))].into(),
        },
    ];
    for changes in steps {
        model.apply(&changes);
        ok(
            store,
            "acme",
            Transaction {
                rules: vec![rule("r", 0, 1, changes)],
                ..Transaction::default()
            },
        );
        assert_eq!(store.state("acme", "r", 1).expect("state"), model);
    }
    assert_eq!(model.clock(), Some(20));
    assert_eq!(model.entries().count(), 1);
}

fn a_rollback_finds_the_old_state(store: &dyn Store) {
    let changes = |value| StateChanges {
        entries: [(key("k"), entry(value, 100))].into(),
        ..StateChanges::default()
    };
    let quarantine = Quarantine {
        reason: "out of fuel".into(),
        event: Some("a".into()),
        module: "sha256:00".into(),
        since: 1,
        attempts: 2,
        retry_at: 3,
    };
    let standing = Standing {
        quarantine: Some(quarantine),
        unreadable: vec![("user.key".into(), 12)],
    };
    let old = crate::RuleCommit {
        standing: standing.clone(),
        ..rule("r", 0, 1, changes("old"))
    };
    let new = crate::RuleCommit {
        state_version: 2,
        ..rule("r", 0, 7, changes("new"))
    };
    ok(
        store,
        "acme",
        Transaction {
            rules: vec![old, new],
            ..Transaction::default()
        },
    );
    let rules = store.rules("acme").expect("rules");
    assert_eq!(rules.iter().map(|row| row.state_version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(rules[0].standing, standing);
    assert_eq!(rules[1].position.released.time, 7);
    let value = |version| {
        store
            .state("acme", "r", version)
            .expect("state")
            .entries()
            .map(|(_, e)| e.value.clone())
            .next()
    };
    assert_eq!(
        (value(1), value(2), value(3)),
        (Some(key("old")), Some(key("new")), None)
    );
}

fn alerts_are_raised_once_and_repeated_in_place(store: &dyn Store) {
    let first = alert("al_1", "r", "ada", 100);
    let again = crate::AlertRow {
        json: "{}".into(),
        ..first.clone()
    };
    let repeat = |count, time| Repeat {
        id: "al_1".into(),
        count,
        time,
    };
    ok(
        store,
        "acme",
        Transaction {
            alerts: vec![first.clone()],
            repeats: vec![repeat(2, 130)],
            ..Transaction::default()
        },
    );
    let gone = Repeat {
        id: "al_gone".into(),
        count: 1,
        time: 1,
    };
    ok(
        store,
        "acme",
        Transaction {
            alerts: vec![again],
            repeats: vec![repeat(1, 120), gone],
            ..Transaction::default()
        },
    );
    let stored = store.alerts("acme", &AlertFilter::default()).expect("alerts");
    assert_eq!(
        stored,
        [crate::AlertRow {
            repeats: 3,
            last_repeat: Some(130),
            ..first
        }]
    );
    assert_eq!(store.outbox("file", 10).expect("outbox").len(), 1);
    // Both windows of a key: a late row may belong to the earlier.
    ok(
        store,
        "acme",
        Transaction {
            alerts: vec![alert("al_2", "r", "ada", 300)],
            ..Transaction::default()
        },
    );
    let times = |since| {
        store
            .dedup("acme", since)
            .expect("dedup")
            .iter()
            .map(|row| row.time)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(199), [100, 300]);
    assert_eq!(times(200), [300]);
}

fn alerts_are_found(store: &dyn Store) {
    let alerts = vec![
        alert("al_aa", "r", "ada", 3),
        alert("al_ab", "s", "ada", 1),
        alert("al_b", "r", "bo", 2),
    ];
    ok(
        store,
        "acme",
        Transaction {
            alerts,
            ..Transaction::default()
        },
    );
    let ids = |filter: AlertFilter| {
        let found = store.alerts("acme", &filter).expect("alerts");
        found.iter().map(|alert| alert.id.to_string()).collect::<Vec<_>>()
    };
    let any = AlertFilter::default;
    assert_eq!(ids(any()), ["al_ab", "al_b", "al_aa"]);
    assert_eq!(
        ids(AlertFilter {
            latest: Some(2),
            ..any()
        }),
        ["al_aa", "al_b"]
    );
    assert_eq!(
        ids(AlertFilter {
            id_prefix: Some("a".into()),
            ..any()
        }),
        ["al_ab", "al_aa"]
    );
    assert_eq!(
        ids(AlertFilter {
            id_prefix: Some("al_b".into()),
            ..any()
        }),
        ["al_b"]
    );
    assert_eq!(
        ids(AlertFilter {
            id_prefix: Some("%".into()),
            ..any()
        }),
        [""; 0]
    );
    assert_eq!(
        ids(AlertFilter {
            rule: Some("r".into()),
            about: Some("ada".into()),
            ..any()
        }),
        ["al_aa"]
    );
    assert_eq!(
        ids(AlertFilter {
            since: Some(2),
            ..any()
        }),
        ["al_b", "al_aa"]
    );
}

fn each_sink_has_a_place_of_its_own(store: &dyn Store) {
    ok(
        store,
        "acme",
        Transaction {
            alerts: vec![alert("al_1", "r", "ada", 9)],
            ..Transaction::default()
        },
    );
    ok(
        store,
        "other",
        Transaction {
            alerts: vec![alert("al_1", "r", "ada", 1)],
            ..Transaction::default()
        },
    );
    ok(
        store,
        "acme",
        Transaction {
            alerts: vec![alert("al_2", "r", "ada", 1)],
            ..Transaction::default()
        },
    );
    let ids = |sink, limit| {
        let rows = store.outbox(sink, limit).expect("outbox");
        rows.iter()
            .map(|row| format!("{}/{}", row.tenant, row.alert))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("file", 10), ["acme/al_1", "other/al_1", "acme/al_2"]);
    assert_eq!(ids("file", 1), ["acme/al_1"]);
    let second = store.outbox("file", 2).expect("outbox")[1].number;
    store.delivered("file", second).expect("delivered");
    store.delivered("file", second - 1).expect("delivered");
    assert_eq!(ids("file", 10), ["acme/al_2"]);
    assert_eq!(ids("stdout", 10).len(), 3);
}

fn tenants_do_not_see_each_other(store: &dyn Store) {
    let whole = |name: &str| Transaction {
        admissions: vec![admission(1, "authentication", &[(name, 1)], &[])],
        cursors: vec![CursorRow {
            log: "authentication".into(),
            cursor: name.into(),
        }],
        rules: vec![rule(name, 1, 1, StateChanges::default())],
        alerts: vec![alert(&format!("al_{name}"), "r", name, 1)],
        repeats: vec![],
    };
    ok(store, "a", whole("a"));
    ok(store, "b", whole("b"));
    assert_eq!(
        store.tenants().expect("tenants"),
        ["a".into(), "b".into()] as [Arc<str>; 2]
    );
    assert_eq!(&*store.read("b", 0, 10).expect("read")[0].events[0].id, "b");
    assert_eq!(store.cursors("b").expect("cursors")[0].cursor, "b");
    assert_eq!(&*store.rules("b").expect("rules")[0].rule, "b");
    assert_eq!(store.alerts("b", &AlertFilter::default()).expect("alerts").len(), 1);
    assert_eq!(store.known("b", "authentication", &["a"]).expect("known"), [false]);
}

fn notes_are_kept(store: &dyn Store) {
    store.set_note("", "generation", Some("1")).expect("set_note");
    store.set_note("acme", "generation", Some("2")).expect("set_note");
    store.set_note("acme", "generation", Some("3")).expect("set_note");
    let note = |tenant| store.note(tenant, "generation").expect("note");
    assert_eq!(
        (note("").as_deref(), note("acme").as_deref(), note("b")),
        (Some("1"), Some("3"), None)
    );
    store.set_note("", "generation", None).expect("set_note");
    assert_eq!(note(""), None);
    assert_eq!(store.tenants().expect("tenants"), ["acme".into()] as [Arc<str>; 1]);
}

fn ids_are_forgotten_by_age(store: &dyn Store) {
    ok(
        store,
        "acme",
        admit([admission(1, "authentication", &[("old", 10), ("new", 20)], &[])]),
    );
    ok(
        store,
        "other",
        admit([admission(1, "authentication", &[("old", 10)], &[])]),
    );
    assert_eq!(store.forget_ids("acme", 20).expect("forget_ids"), 1);
    assert_eq!(
        store.known("acme", "authentication", &["old", "new"]).expect("known"),
        [false, true]
    );
    assert_eq!(store.known("other", "authentication", &["old"]).expect("known"), [true]);
    assert_eq!(store.read("acme", 0, 10).expect("read")[0].events.len(), 2);
}

fn odd_texts_come_back(store: &dyn Store) {
    let texts = [
        "",
        "\0",
        "a\0b",
        "Zoë \u{1f600}",
        "'; DROP TABLE alert; --",
        "\u{10ffff}",
    ];
    for (number, text) in (1..).zip(texts) {
        let transaction = Transaction {
            admissions: vec![admission(number, "authentication", &[(text, i64::MAX - 1)], &[])],
            cursors: vec![CursorRow {
                log: text.into(),
                cursor: text.into(),
            }],
            rules: vec![rule(text, number, i64::MIN, StateChanges::default())],
            alerts: vec![alert(&format!("al_{number}"), text, text, i64::MIN)],
            repeats: vec![],
        };
        ok(
            store,
            text,
            Transaction {
                admissions: vec![admission(1, "activity", &[(text, 1)], &[])],
                ..Default::default()
            },
        );
        ok(store, "acme", transaction);
    }
    let read = store.read("acme", 0, 100).expect("read");
    assert!(read.iter().zip(texts).all(|(entry, text)| *entry.events[0].id == *text));
    assert!(texts.iter().all(|text| store.last_seq(text).expect("last_seq") == 1));
    assert_eq!(store.cursors("acme").expect("cursors").len(), texts.len());
    assert_eq!(
        store.alerts("acme", &AlertFilter::default()).expect("alerts").len(),
        texts.len()
    );
    assert_eq!(store.rules("acme").expect("rules").len(), texts.len());
}

fn concurrent_transactions_are_all_written(store: &dyn Store) {
    let (tenants, each) = (8, 20);
    let start = Barrier::new(tenants);
    std::thread::scope(|scope| {
        for number in 0..tenants {
            let start = &start;
            scope.spawn(move || {
                let tenant = format!("tenant-{number}");
                start.wait();
                for seq in 1..=each {
                    let name = format!("e{seq}");
                    let one = admission(seq, "authentication", &[(&name, 1)], &[]);
                    ok(
                        store,
                        &tenant,
                        Transaction {
                            rules: vec![rule("r", seq, 1, StateChanges::default())],
                            ..admit([one])
                        },
                    );
                    assert_eq!(
                        store.last_seq(&tenant).expect("last_seq"),
                        seq,
                        "what was acknowledged is seen"
                    );
                }
            });
        }
    });
    for number in 0..tenants {
        assert_eq!(
            store.read(&format!("tenant-{number}"), 0, 1000).expect("read").len(),
            each as usize
        );
    }
}
