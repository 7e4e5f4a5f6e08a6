//! Promises about the journal.

use std::sync::Barrier;

use picket_contract::{Mark, StateChanges};

use super::suite::{admit, ok, refused};
use super::{Model, admission, alert, complete, object, rule};
use crate::Old;
use crate::{CursorRow, Store, Transaction};

pub(super) fn the_journal_is_numbered_without_gaps(store: &dyn Store) {
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

pub(super) fn a_refused_transaction_leaves_nothing(store: &dyn Store) {
    let whole = Transaction {
        admissions: vec![admission(1, "authentication", &[("a", 1)], &[])],
        cursors: vec![CursorRow {
            log: "authentication".into(),
            cursor: "{}".into(),
        }],
        alerts: vec![alert("al_1", "r", "ada", 1)],
        inventory: vec![object("users", "DU1", "active", 1)],
        // Ahead of the journal: what it claims to have read was never stored.
        rules: vec![rule("r", 2, 1, StateChanges::default())],
        repeats: vec![],
        superseded: vec![],
        poison: vec![],
    };
    assert!(refused(store, whole).contains("rule r of acme has read up to 2, but the journal ends at 1"));
    assert_eq!(store.last_seq("acme").expect("last_seq"), 0);
    assert_eq!(
        store.known("acme", "authentication", &[("a", 1)], 0).expect("known"),
        [false]
    );
    assert!(store.cursors("acme").expect("cursors").is_empty());
    assert!(store.inventory("acme", None).expect("inventory").is_empty());
    assert!(store.outbox("file", 10).expect("outbox").is_empty());
    assert!(store.tenants().expect("tenants").is_empty());
}

pub(super) fn an_event_is_held_once(store: &dyn Store) {
    ok(store, "acme", admit([admission(1, "authentication", &[("a", 1)], &[])]));
    assert_eq!(
        store
            .known("acme", "authentication", &[("b", 1), ("a", 1), ("b", 1)], 0)
            .expect("known"),
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

/// What the overlap meets again: at the borders of an admission, in the same ms, and in another log.
pub(super) fn an_event_is_known_around_its_time(store: &dyn Store) {
    let rows = [("first", 10), ("a", 20), ("b", 20), ("last", 30)];
    ok(store, "acme", admit([admission(1, "authentication", &rows, &[])]));
    ok(
        store,
        "acme",
        admit([admission(5, "authentication", &[("c", 30), ("d", 40)], &[])]),
    );
    ok(store, "acme", admit([admission(7, "activity", &[("a", 20)], &[])]));
    let known = |log: &str, near: i64, ids: &[(&str, i64)]| store.known("acme", log, ids, near).expect("known");
    let all: Vec<(&str, i64)> = rows.into_iter().chain([("c", 30), ("d", 40)]).collect();
    assert_eq!(known("authentication", 0, &all), [true; 6]);
    assert_eq!(
        known(
            "authentication",
            0,
            &[("x", 20), ("first", 9), ("last", 31), ("d", 30), ("a", 25)]
        ),
        [false, false, false, true, true],
        "by id, where the times of an admission reach"
    );
    assert_eq!(
        known("authentication", 1, &[("first", 9), ("last", 31), ("first", 8)]),
        [true, true, false]
    );
    assert_eq!(
        known(
            "authentication",
            i64::MAX,
            &[("first", -9_000_000), ("first", 9_000_000)]
        ),
        [true, true]
    );
    assert_eq!(known("activity", 0, &all), [false, true, false, false, false, false]);
    assert_eq!(known("telephony", i64::MAX, &all), [false; 6]);
    assert_eq!(known("authentication", 0, &[]), [] as [bool; 0]);
    let again = |log: &str, rows: &[(&str, i64)]| refused(store, admit([admission(8, log, rows, &[])]));
    assert!(again("authentication", &[("new", 5), ("last", 30)]).contains("event last of authentication"));
    assert!(again("activity", &[("x", 20), ("y", 20), ("x", 20)]).contains("event x of activity"));
    ok(
        store,
        "acme",
        admit([admission(8, "activity", &[("b", 20), ("a", 21)], &[])]),
    );
}

pub(super) fn an_admission_is_never_cut(store: &dyn Store) {
    let one = admission(
        1,
        "authentication",
        &[("a", 10), ("b", 20), ("c", 30)],
        &[complete("authentication", 30)],
    );
    let two = admission(5, "activity", &[("d", 5)], &[]);
    ok(store, "acme", admit([one.clone(), two.clone()]));
    assert_eq!(store.read("acme", 0, 1).expect("read"), std::slice::from_ref(&one));
    assert_eq!(store.read("acme", 2, 1).expect("read"), std::slice::from_ref(&one));
    assert_eq!(store.read("acme", 3, 100).expect("read"), [one.clone(), two.clone()]);
    assert_eq!(store.read("acme", 4, 100).expect("read"), [two]);
    assert!(store.read("acme", 5, 100).expect("read").is_empty());
    // What is pending may end within an admission: then its marks have not been read.
    let pending = store.pending("acme", 2, &[("authentication", 15)]).expect("pending");
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].events, [(2, one.events[1].clone())]);
    assert!(pending[0].marks.is_empty());
    // Another log has nothing there, however far back it is asked for; marks are everybody's.
    assert!(
        store
            .pending("acme", 2, &[("telephony", i64::MIN)])
            .expect("pending")
            .is_empty()
    );
    let marks = store.pending("acme", 4, &[]).expect("pending");
    assert!(
        marks
            .iter()
            .all(|entry| entry.events.is_empty() && !entry.marks.is_empty())
    );
    assert_eq!(marks.len(), 1);
}

pub(super) fn idle_marks_are_merged(store: &dyn Store) {
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

pub(super) fn live_and_complete_marks_are_merged_each_by_itself(store: &dyn Store) {
    let live = |to| Mark::Live {
        log: "authentication".into(),
        to,
    };
    let idle = |seq, mark| admission(seq, "authentication", &[], &[mark]);
    ok(
        store,
        "acme",
        admit([
            idle(1, live(100)),
            idle(2, complete("authentication", 10)),
            idle(3, live(110)),
            idle(4, complete("authentication", 120)),
        ]),
    );
    let read = store.read("acme", 0, 100).expect("read");
    // History that ends does not speak for where live is, nor the other way round.
    assert_eq!(read.iter().map(|entry| entry.first_seq).collect::<Vec<_>>(), [3, 4]);
    let pending = store.pending("acme", 4, &[("authentication", 0)]).expect("pending");
    let marks: Vec<Mark> = pending.into_iter().flat_map(|entry| entry.marks).collect();
    assert_eq!(marks, [live(110), complete("authentication", 120)]);
}

pub(super) fn marks_between_which_something_stands_are_not_merged(store: &dyn Store) {
    let idle = |seq, to| admission(seq, "authentication", &[], &[complete("authentication", to)]);
    let generation = Mark::Generation {
        number: 1,
        judged: None,
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

pub(super) fn ids_are_forgotten_by_age(store: &dyn Store) {
    ok(
        store,
        "acme",
        admit([admission(1, "authentication", &[("old", 10), ("new", 19)], &[])]),
    );
    ok(
        store,
        "other",
        admit([admission(1, "authentication", &[("old", 10)], &[])]),
    );
    ok(
        store,
        "acme",
        admit([admission(3, "authentication", &[("later", 20)], &[])]),
    );
    let known = |tenant: &str| {
        let ids = [("old", 10), ("new", 19), ("later", 20)];
        store.known(tenant, "authentication", &ids, 0).expect("known")
    };
    let prune = |before, most| {
        store
            .forget_ids("acme", "authentication", before, most)
            .expect("forget_ids")
    };
    assert_eq!(prune(19, u64::MAX), 0, "an admission as a whole");
    assert_eq!(prune(20, u64::MAX), 2);
    // What the journal holds is known by reading it.
    assert_eq!(known("acme"), [true, true, true]);
    assert!(refused(store, admit([admission(4, "authentication", &[("old", 10)], &[])])).contains("event old"));
    assert_eq!(
        store.forget("acme", "authentication", &Old::than(20)).expect("forget"),
        2
    );
    assert_eq!(known("acme"), [false, false, true]);
    assert_eq!(known("other"), [true, false, false]);
    ok(
        store,
        "acme",
        admit([admission(4, "authentication", &[("old", 10)], &[])]),
    );
    assert_eq!(known("acme"), [true, false, true]);
    // The oldest first, and no more than asked for.
    assert_eq!(prune(i64::MAX, 1), 1);
    assert_eq!(prune(i64::MAX, 1), 1);
    assert_eq!(prune(i64::MAX, 1), 0);
    assert_eq!(known("acme"), [true, false, true]);
}

pub(super) fn what_is_forgotten_leaves_its_marks_and_is_told(store: &dyn Store) {
    let mut model = Model::new();
    let entries = [
        admission(
            1,
            "authentication",
            &[("a", 10), ("b", 20)],
            &[complete("authentication", 20)],
        ),
        admission(4, "activity", &[("c", 10)], &[]),
        admission(5, "authentication", &[("d", 15), ("e", 30)], &[]),
        admission(7, "authentication", &[("f", 40)], &[complete("authentication", 40)]),
    ];
    for entry in entries {
        model.transact("acme", &admit([entry.clone()]));
        ok(store, "acme", admit([entry]));
    }
    assert_eq!(
        store.forget("acme", "telephony", &Old::than(i64::MAX)).expect("forget"),
        0
    );
    assert_eq!(
        store
            .forget("nobody", "authentication", &Old::than(i64::MAX))
            .expect("forget"),
        0
    );
    // An admission goes as a whole: one event that is young enough keeps it.
    assert_eq!(
        store.forget("acme", "authentication", &Old::than(25)).expect("forget"),
        2
    );
    model.forget("acme", "authentication", &Old::than(25));
    model.compare(store);
    assert_eq!(
        store.forget("acme", "authentication", &Old::than(31)).expect("forget"),
        2
    );
    model.forget("acme", "authentication", &Old::than(31));
    model.compare(store);
    let forgotten = store.forgotten("acme").expect("forgotten");
    assert_eq!((forgotten[0].seq, forgotten[0].time, forgotten.len()), (6, 30, 1));
    // What comes again is known still, and numbers go on.
    assert_eq!(
        store.known("acme", "authentication", &[("a", 10)], 0).expect("known"),
        [true]
    );
    let few = Old {
        up_to: 7,
        ..Old::than(i64::MAX)
    };
    assert_eq!(
        store.forget("acme", "authentication", &few).expect("forget"),
        0,
        "8 is its last number"
    );
    let next = admission(9, "authentication", &[("g", 50)], &[]);
    model.transact("acme", &admit([next.clone()]));
    ok(store, "acme", admit([next]));
    model.compare(store);
}

pub(super) fn concurrent_transactions_are_all_written(store: &dyn Store) {
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
