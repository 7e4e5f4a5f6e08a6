//! Promises about rules, their state, alerts, the outbox and notes.

use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{RuleState, StateChanges};

use super::suite::ok;
use super::{Model, alert, key, object, poison, rule, shadow};
use crate::{
    AlertFilter, Fate, Gap, InventoryChange, InventoryRow, MOST_POISON, PoisonRow, Quarantine, Repeat, Standing, Store,
    Transaction,
};

pub(super) fn state_is_what_the_rule_left(store: &dyn Store) {
    let mut model = RuleState::default();
    let steps = [
        StateChanges {
            clock: Some(10),
            entries: [(key("a"), entry("1", 20)), (key("b"), entry("2", 100))]
                .into_iter()
                .collect(),
            timers: [(key("t"), Some(50)), (key("u"), Some(5))].into(),
        },
        StateChanges {
            clock: None,
            entries: [(key("c"), entry("", i64::MAX))].into_iter().collect(),
            timers: [(key("u"), None)].into(),
        },
        StateChanges {
            clock: Some(20),
            entries: [(key("b"), None), (key("d"), entry("9", 15))].into_iter().collect(),
            ..Default::default()
        },
        StateChanges {
            clock: Some(15),
            entries: [(key("c"), entry("x", 21))].into_iter().collect(),
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

pub(super) fn a_rollback_finds_the_old_state(store: &dyn Store) {
    let changes = |value| StateChanges {
        entries: [(key("k"), entry(value, 100))].into_iter().collect(),
        ..StateChanges::default()
    };
    let quarantine = Quarantine {
        reason: "out of fuel".into(),
        event: Some("a".into()),
        module: "sha256:00".into(),
        since: 1,
        attempts: 2,
        retry_at: 3,
        ..Quarantine::default()
    };
    let standing = Standing {
        quarantine: Some(quarantine),
        unreadable: vec![("user.key".into(), 12)],
        gaps: vec![Gap {
            log: "activity".into(),
            from: None,
            to: 7,
            found: 9,
        }],
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

pub(super) fn alerts_are_raised_once_and_repeated_in_place(store: &dyn Store) {
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

pub(super) fn alerts_are_found(store: &dyn Store) {
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

pub(super) fn what_is_historic_is_kept_and_not_delivered(store: &dyn Store) {
    let historic = crate::AlertRow {
        historic: true,
        ..alert("al_1", "r", "ada", 10)
    };
    let transaction = Transaction {
        alerts: vec![historic.clone(), alert("al_2", "r", "ada", 20)],
        ..Transaction::default()
    };
    ok(store, "acme", transaction);
    // Once kept as historic it stays so.
    let again = Transaction {
        alerts: vec![alert("al_1", "r", "ada", 10)],
        ..Transaction::default()
    };
    ok(store, "acme", again);
    let sent: Vec<Arc<str>> = store
        .outbox("file", 10)
        .expect("outbox")
        .into_iter()
        .map(|row| row.alert)
        .collect();
    assert_eq!(sent, ["al_2".into()] as [Arc<str>; 1]);
    let kept = store.alerts("acme", &AlertFilter::default()).expect("alerts");
    assert_eq!(kept, [historic, alert("al_2", "r", "ada", 20)]);
}

pub(super) fn a_segment_is_a_journal_of_its_own_whose_alerts_are_the_tenants(store: &dyn Store) {
    let name = crate::segment::name("acme", 1);
    let whole = |seq| Transaction {
        admissions: vec![super::admission(seq, "authentication", &[("a", 1)], &[])],
        cursors: vec![crate::CursorRow {
            log: "authentication".into(),
            cursor: "{}".into(),
        }],
        rules: vec![rule("r", seq, 1, StateChanges::default())],
        alerts: vec![alert("al_1", "r", "ada", 10)],
        ..Transaction::default()
    };
    ok(store, &name, whole(1));
    assert_eq!(store.tenants().expect("tenants"), ["acme".into()] as [Arc<str>; 1]);
    assert_eq!(store.segments("acme").expect("segments"), std::slice::from_ref(&name));
    assert_eq!(store.last_seq("acme").expect("last_seq"), 0);
    let known = |name: &str| store.known(name, "authentication", &[("a", 1)], 0).expect("known");
    assert_eq!(known("acme"), [false]);
    assert_eq!(known(&name), [true]);
    assert_eq!(store.alerts("acme", &AlertFilter::default()).expect("alerts").len(), 1);
    // A dedup window that a segment opened is its own: what the tenant itself raises is not taken for a repeat of it.
    assert!(store.dedup("acme", i64::MIN).expect("dedup").is_empty());
    assert_eq!(store.dedup(&name, i64::MIN).expect("dedup").len(), 1);

    store.discard(&name).expect("discard");
    assert!(store.rules(&name).expect("rules").is_empty());
    assert!(store.cursors(&name).expect("cursors").is_empty());
    assert_eq!(
        (known(&name), store.last_seq(&name).expect("last_seq")),
        (vec![true], 1)
    );
    ok(store, "acme", whole(1));
    store.discard("acme").expect("discard");
    assert_eq!(
        store.rules("acme").expect("rules").len(),
        1,
        "a tenant is not discarded"
    );
}

pub(super) fn each_sink_has_a_place_of_its_own(store: &dyn Store) {
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

pub(super) fn the_inventory_is_what_the_last_snapshot_said(store: &dyn Store) {
    let stock = |inventory: Vec<InventoryChange>| Transaction {
        inventory,
        ..Transaction::default()
    };
    let ids = |kind: Option<&str>| -> Vec<(String, String, i64)> {
        let rows = store.inventory("acme", kind).expect("inventory");
        let told = |row: InventoryRow| (row.kind.to_string(), row.id.to_string(), row.seen);
        rows.into_iter().map(told).collect()
    };
    let told = |kind: &str, id: &str, seen: i64| (kind.to_owned(), id.to_owned(), seen);
    let first = vec![
        object("users", "DU2", "active", 5),
        object("users", "DU1", "active", 5),
        object("phones", "DP1", "active", 6),
    ];
    ok(store, "acme", stock(first));
    assert_eq!(ids(Some("users")), [told("users", "DU1", 5), told("users", "DU2", 5)]);
    assert_eq!(ids(None).len(), 3);
    let gone = |kind: &str, id: &str| InventoryChange::Delete {
        kind: kind.into(),
        id: id.into(),
    };
    let missing = InventoryChange::Put(InventoryRow {
        kind: "users".into(),
        id: "DU1".into(),
        json: "{}".into(),
        seen: 5,
        missing: Some(9),
    });
    // An id of one kind is no id of another, and what is not there is gone already.
    let then = vec![
        missing,
        gone("users", "DU2"),
        gone("users", "DP1"),
        gone("users", "DU9"),
    ];
    ok(store, "acme", stock(then));
    assert_eq!(ids(None), [told("phones", "DP1", 6), told("users", "DU1", 5)]);
    let one = store.inventory_object("acme", "users", "DU1").expect("object");
    assert_eq!(
        one.map(|row| (row.missing, row.json.to_string())),
        Some((Some(9), "{}".to_owned()))
    );
    // In the order given: the last word counts.
    let twice = vec![gone("phones", "DP1"), object("phones", "DP1", "back", 12)];
    ok(store, "acme", stock(twice));
    assert_eq!(ids(Some("phones")), [told("phones", "DP1", 12)]);
}

pub(super) fn notes_are_kept(store: &dyn Store) {
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

fn entry(value: &str, expires_at: i64) -> Option<StateEntry> {
    Some(StateEntry {
        value: key(value),
        expires_at,
    })
}

pub(super) fn shadow_is_kept_apart(store: &dyn Store) {
    let mut model = Model::new();
    let both = Transaction {
        alerts: vec![alert("al_1", "r", "ada", 10), shadow("sh_1", "r", "ada", 10)],
        repeats: vec![Repeat {
            id: "sh_1".into(),
            count: 2,
            time: 20,
        }],
        ..Transaction::default()
    };
    model.transact("acme", &both);
    ok(store, "acme", both);
    model.compare(store);
    let outbox = store.outbox("file", 10).expect("outbox");
    assert_eq!(outbox.iter().map(|row| &*row.alert).collect::<Vec<_>>(), ["al_1"]);
    let of = |prefix: &str, shadow| {
        let filter = AlertFilter {
            id_prefix: Some(prefix.to_owned()),
            shadow,
            ..AlertFilter::default()
        };
        store.alerts("acme", &filter).expect("alerts").len()
    };
    assert_eq!(
        (of("1", false), of("1", true), of("sh_1", true), of("sh_1", false)),
        (1, 1, 1, 0)
    );
    assert_eq!(store.count_alerts("acme").expect("count").0, 1);
}

pub(super) fn poison_is_bounded_and_its_fate_changes(store: &dyn Store) {
    let mut model = Model::new();
    let recorded = |rows: Vec<PoisonRow>| Transaction {
        poison: rows,
        ..Transaction::default()
    };
    let many = (0..MOST_POISON as i64 + 20).map(|number| poison("r", &format!("e{number}"), number, Fate::Skipped));
    for part in [
        vec![poison("s", "e1", 1, Fate::Held)],
        many.collect(),
        vec![poison("s", "e1", 5, Fate::Judged), poison("r", "e50", 9, Fate::Skipped)],
    ] {
        model.transact("acme", &recorded(part.clone()));
        ok(store, "acme", recorded(part));
        model.compare(store);
    }
    let rows = store.poison("acme").expect("poison");
    assert_eq!(rows.len(), MOST_POISON + 1);
    assert_eq!((rows[0].fate, rows[0].time), (Fate::Judged, 5));
    assert_eq!(&*rows[1].event, "e20", "the oldest gave way");
}
