//! Alerts say what the inventory knows of their user, and nothing else changes by it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;

use common::{Does, Event, LOGS, NOW, record, rule, settings, tenant};
use picket_contract::{Admission, Mark};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::people::{Nobody, People, Stored};
use picket_judge::{TenantJudge, alerts};
use picket_store::{AlertRow, InventoryChange, InventoryRow, SqliteStore, Store, Transaction};
use serde_json::Value;

fn store() -> Arc<SqliteStore> {
    let store = SqliteStore::in_memory().unwrap();
    let row = InventoryRow {
        kind: "users".into(),
        id: "DUu1".into(),
        json: r#"{"user_id":"DUu1","username":"u1","realname":"Una Eins","email":"u1@acme.example","status":"active",
            "phones":[{"number":"+15035550142","type":"Mobile","platform":"Apple iOS"}],"groups":[{"name":"VPN"}]}"#
            .into(),
        seen: 1,
        missing: None,
    };
    let transaction = Transaction {
        inventory: vec![InventoryChange::Put(row)],
        ..Transaction::default()
    };
    store.transact("acme", transaction).unwrap();
    Arc::new(store)
}

/// Three denials of each user, and the alerts about them.
fn alerts_of(people: Arc<dyn People>) -> Vec<AlertRow> {
    let events = [1, 2].iter().flat_map(|user| (0..3).map(move |second| (*user, second)));
    let row = |(number, (user, second)): (usize, (u8, i64))| {
        let event = Event {
            phase: 0,
            offset: second * 2,
            log: 0,
            user,
            word: false,
            late: false,
        };
        record(number, &event)
    };
    let mark = Mark::Complete {
        log: LOGS[0].into(),
        to: 60_000,
    };
    let journal = [Admission {
        first_seq: 1,
        log: LOGS[0].into(),
        events: events.enumerate().map(row).collect(),
        marks: vec![mark],
    }];
    let nothing: &[Admission] = &[];
    let judge = TenantJudge::new(
        tenant(),
        settings(1000),
        1,
        vec![rule(Does::Windows)],
        Dedup::default(),
        Acquaintance::default(),
        &nothing,
    );
    let journal: &[Admission] = &journal;
    let mut judge = judge.unwrap().knowing(people);
    judge.feed(0, journal, &journal, NOW).unwrap().alerts
}

#[test]
fn an_alert_tells_who_its_user_is() {
    let plain = alerts_of(Arc::new(Nobody));
    let told = alerts_of(Arc::new(Stored::new(store(), "acme".into(), tenant().mask.clone())));
    assert_eq!(plain.len(), 2);
    for (plain, told) in plain.iter().zip(&told) {
        let without = |row: &AlertRow| {
            let mut json: Value = serde_json::from_str(&row.json).unwrap();
            let user = json.as_object_mut().unwrap().remove("user");
            // The legend of the numbers in it.
            json.as_object_mut().unwrap().remove("phones");
            (json, user)
        };
        let ((plain_json, none), (told_json, user)) = (without(plain), without(told));
        assert_eq!(none, None, "no inventory, no user");
        assert_eq!(plain_json, told_json, "nothing else changes");
        assert_eq!((&plain.id, &plain.dedup_key), (&told.id, &told.dedup_key));
        if plain_json["about"]["name"] != "u1" {
            assert_eq!(user, None, "somebody whom the inventory does not know");
            assert!(!alerts::text(&told.json, 0).contains("\nuser "));
            continue;
        }
        let user = user.unwrap();
        assert_eq!(user["real_name"], "Una Eins");
        let number = tenant().mask.number("+15035550142");
        assert_eq!(user["factors"][0]["name"], *number);
        assert!(!told.json.contains("15035550142"));
        let text = alerts::text(&told.json, 0);
        let line =
            format!("user      Una Eins, u1@acme.example, active; groups VPN; factors mobile {number} (Apple iOS)");
        let legend = format!("phone     {number} is +1 •••0142");
        assert!(
            [line, legend].iter().all(|line| text.lines().any(|read| read == line)),
            "{text}"
        );
    }
}
