//! Promises about what tells an operator what was done: suppressed alerts, the audit log, what judged when.

use super::suite::ok;
use super::{Model, alert, audit, suppressed};
use crate::{
    AlertFilter, AlertRow, AuditFilter, GenerationRow, MOST_AUDIT, MOST_GENERATIONS, Repeat, Store, SuppressedCount,
    Transaction,
};

pub(super) fn what_is_suppressed_is_kept_apart_and_counted(store: &dyn Store) {
    let mut model = Model::new();
    let in_shadow = AlertRow {
        shadow: true,
        ..suppressed("sh_1", "r", 50, "vpn")
    };
    let mixed = Transaction {
        alerts: vec![
            alert("al_1", "r", "ada", 10),
            suppressed("su_1", "r", 20, "vpn"),
            suppressed("su_2", "s", 30, "vpn"),
            suppressed("su_3", "r", 40, "a scanner"),
            in_shadow,
        ],
        repeats: vec![Repeat {
            id: "su_1".into(),
            count: 2,
            time: 99,
        }],
        ..Transaction::default()
    };
    model.transact("acme", &mixed);
    ok(store, "acme", mixed);
    model.compare(store);
    let outbox = store.outbox("file", 10).expect("outbox");
    assert_eq!(outbox.iter().map(|row| &*row.alert).collect::<Vec<_>>(), ["al_1"]);
    assert_eq!(store.count_alerts("acme").expect("count"), (1, Some(10)));
    let count = |exception: &str, alerts, last| SuppressedCount {
        exception: exception.into(),
        alerts,
        last,
    };
    assert_eq!(
        store.suppressed("acme").expect("suppressed"),
        [count("a scanner", 1, 40), count("vpn", 4, 99)]
    );
    let of = |prefix: &str| {
        let filter = AlertFilter {
            id_prefix: Some(prefix.to_owned()),
            suppressed: true,
            ..AlertFilter::default()
        };
        store.alerts("acme", &filter).expect("alerts").len()
    };
    assert_eq!((of("1"), of("su_1"), of("al_1"), of("")), (1, 1, 0, 3));
}

pub(super) fn the_audit_log_is_kept_in_order_and_bounded(store: &dyn Store) {
    let all = |filter: AuditFilter<'_>| store.audit(&filter).expect("audit");
    assert!(all(AuditFilter::default()).is_empty());
    store.note_audit(Vec::new()).expect("nothing is no work");
    let first = vec![audit(10, "", "picket.yaml: lists.vpn"), audit(10, "acme", "rule r")];
    store.note_audit(first.clone()).expect("note");
    // A clock that was set back changes no order.
    let second = vec![audit(5, "other", "rule s")];
    store.note_audit(second.clone()).expect("note");
    assert_eq!(all(AuditFilter::default()), [first.clone(), second.clone()].concat());
    let acme = AuditFilter {
        tenant: Some("acme"),
        ..AuditFilter::default()
    };
    assert_eq!(all(acme), first, "what concerns all concerns each");
    let since = AuditFilter {
        since: Some(6),
        ..AuditFilter::default()
    };
    assert_eq!(all(since), first);
    let latest = AuditFilter {
        latest: Some(1),
        ..AuditFilter::default()
    };
    assert_eq!(all(latest), second);
    assert!(store.tenants().expect("tenants").is_empty(), "it makes nobody a tenant");

    let many = (0..MOST_AUDIT as i64).map(|time| audit(time, "acme", "x")).collect();
    store.note_audit(many).expect("note");
    let kept = all(AuditFilter::default());
    assert_eq!(kept.len() as u64, MOST_AUDIT);
    assert_eq!((kept[0].time, &*kept[0].what), (0, "x"), "the oldest gave way");
}

pub(super) fn what_judges_is_noted_when_it_changes(store: &dyn Store) {
    let note = |tenant: &str, number, since, json: &str| {
        let row = GenerationRow {
            number,
            since,
            json: json.into(),
        };
        store.note_generation(tenant, row).expect("note");
    };
    let told = |tenant: &str| -> Vec<(u64, i64, String)> {
        let rows = store.generations(tenant).expect("generations");
        rows.into_iter()
            .map(|row| (row.number, row.since, row.json.to_string()))
            .collect()
    };
    let row = |number, since, json: &str| (number, since, json.to_owned());
    note("acme", 1, 10, "[1]");
    note("acme", 2, 20, "[1]");
    note("acme", 3, 30, "[2]");
    note("other", 1, 15, "[2]");
    note("acme", 4, 40, "[1]");
    let expected = [row(1, 10, "[1]"), row(3, 30, "[2]"), row(4, 40, "[1]")];
    assert_eq!(told("acme"), expected, "a generation of the same rules is no news");
    assert_eq!(told("other"), [row(1, 15, "[2]")]);
    for number in 0..MOST_GENERATIONS {
        note("acme", 5 + number, 50 + number as i64, &format!("[{number}, 0]"));
    }
    let rows = told("acme");
    assert_eq!(rows.len() as u64, MOST_GENERATIONS);
    assert_eq!(rows[0], row(5, 50, "[0, 0]"), "the oldest gave way");
    assert_eq!(told("other"), [row(1, 15, "[2]")], "and nobody else's");
}
