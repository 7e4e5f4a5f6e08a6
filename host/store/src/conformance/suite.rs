//! One test for each promise of the trait.

use std::sync::Arc;

use picket_contract::{RuleState, StateChanges};

use super::{admission, alert, incident, journal, object, progress, record, rule, versions};
use crate::{AlertFilter, CursorRow, Store, StoreError, Transaction};

/// Runs every test of the suite, each on an empty store of its own.
///
/// # Panics
/// Where the engine breaks a promise.
pub fn check(empty: &dyn Fn() -> Box<dyn Store>) {
    nothing_is_an_answer(&*empty());
    journal::the_journal_is_numbered_without_gaps(&*empty());
    journal::a_refused_transaction_leaves_nothing(&*empty());
    journal::an_event_is_held_once(&*empty());
    journal::an_event_is_known_around_its_time(&*empty());
    journal::an_admission_is_never_cut(&*empty());
    journal::idle_marks_are_merged(&*empty());
    journal::live_and_complete_marks_are_merged_each_by_itself(&*empty());
    journal::marks_between_which_something_stands_are_not_merged(&*empty());
    progress::state_is_what_the_rule_left(&*empty());
    progress::a_rollback_finds_the_old_state(&*empty());
    progress::alerts_are_raised_once_and_repeated_in_place(&*empty());
    progress::alerts_are_found(&*empty());
    progress::what_is_historic_is_kept_and_not_delivered(&*empty());
    progress::a_segment_is_a_journal_of_its_own_whose_alerts_are_the_tenants(&*empty());
    progress::each_sink_has_a_place_of_its_own(&*empty());
    progress::the_inventory_is_what_the_last_snapshot_said(&*empty());
    tenants_do_not_see_each_other(&*empty());
    progress::notes_are_kept(&*empty());
    versions::a_version_is_one_row_and_its_steps_are_told_in_order(&*empty());
    versions::what_is_kept_of_versions_is_bounded(&*empty());
    versions::a_time_is_found_in_the_journal(&*empty());
    journal::ids_are_forgotten_by_age(&*empty());
    progress::shadow_is_kept_apart(&*empty());
    progress::poison_is_bounded_and_its_fate_changes(&*empty());
    record::what_is_suppressed_is_kept_apart_and_counted(&*empty());
    record::the_audit_log_is_kept_in_order_and_bounded(&*empty());
    record::what_judges_is_noted_when_it_changes(&*empty());
    journal::what_is_forgotten_leaves_its_marks_and_is_told(&*empty());
    incident::an_incident_outlives_its_alerts(&*empty());
    incident::incidents_of_the_past_stand_apart(&*empty());
    incident::an_alert_is_superseded_once(&*empty());
    odd_texts_come_back(&*empty());
    journal::concurrent_transactions_are_all_written(&*empty());
}

pub(super) fn ok(store: &dyn Store, tenant: &str, transaction: Transaction) {
    store.transact(tenant, transaction).expect("the transaction is sound");
}

pub(super) fn admit(admissions: impl IntoIterator<Item = picket_contract::Admission>) -> Transaction {
    Transaction {
        admissions: admissions.into_iter().collect(),
        ..Transaction::default()
    }
}

pub(super) fn refused(store: &dyn Store, transaction: Transaction) -> String {
    match store.transact("acme", transaction) {
        Err(StoreError::Refused { why, .. }) => why,
        other => panic!("refused is what it should be, not {other:?}"),
    }
}

fn nothing_is_an_answer(store: &dyn Store) {
    assert!(store.tenants().expect("tenants").is_empty());
    assert_eq!(store.last_seq("acme").expect("last_seq"), 0);
    assert_eq!(
        store
            .known("acme", "authentication", &[("a", 1), ("b", 1)], 0)
            .expect("known"),
        [false, false]
    );
    assert!(store.read("acme", 0, 10).expect("read").is_empty());
    assert!(
        store
            .pending("acme", 10, &[("authentication", 0)])
            .expect("pending")
            .is_empty()
    );
    assert_eq!(store.events("acme", &[1]).expect("events"), [None]);
    assert!(store.rules("acme").expect("rules").is_empty());
    assert!(store.inventory("acme", None).expect("inventory").is_empty());
    assert_eq!(store.inventory_object("acme", "users", "DU1").expect("object"), None);
    assert_eq!(store.state("acme", "r", 1).expect("state"), RuleState::default());
    assert!(store.outbox("file", 10).expect("outbox").is_empty());
    ok(store, "acme", Transaction::default());
    assert!(store.tenants().expect("tenants").is_empty());
}

fn tenants_do_not_see_each_other(store: &dyn Store) {
    let whole = |name: &str| Transaction {
        admissions: vec![admission(1, "authentication", &[(name, 1)], &[])],
        cursors: vec![CursorRow {
            log: "authentication".into(),
            cursor: name.into(),
        }],
        inventory: vec![object("users", "DU1", name, 1)],
        rules: vec![rule(name, 1, 1, StateChanges::default())],
        alerts: vec![alert(&format!("al_{name}"), "r", name, 1)],
        repeats: vec![],
        superseded: vec![],
        poison: vec![],
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
    let objects = store.inventory("b", None).expect("inventory");
    assert!(objects.len() == 1 && objects[0].json.contains(r#""b""#));
    let known = store.known("b", "authentication", &[("a", 1)], i64::MAX);
    assert_eq!(known.expect("known"), [false]);
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
            inventory: vec![object(text, text, text, i64::MIN)],
            rules: vec![rule(text, number, i64::MIN, StateChanges::default())],
            alerts: vec![alert(&format!("al_{number}"), text, text, i64::MIN)],
            repeats: vec![],
            superseded: vec![],
            poison: vec![],
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
    assert_eq!(store.inventory("acme", None).expect("inventory").len(), texts.len());
}
