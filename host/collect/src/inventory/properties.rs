//! What holds of snapshots and their differences, for any inventory.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_duo::{Inventory, InventoryPage};
use picket_store::{InventoryChange, InventoryRow};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::diff::{Changes, Taken, diff};
use super::snapshot::{Snapshot, Step, Walk};

const KIND: Inventory = Inventory::Users;

/// A user: what may differ between two of them.
type Form = (u8, u8, Vec<u8>, Option<u8>);

fn forms() -> impl Strategy<Value = BTreeMap<u8, Form>> {
    let phones = prop::collection::btree_set(0..4_u8, 0..3).prop_map(|set| set.into_iter().collect());
    let form = (0..3_u8, 0..4_u8, phones, prop::option::of(0..2_u8));
    prop::collection::btree_map(0..8_u8, form, 0..8)
}

fn user(id: u8, form: &Form, turn: bool) -> Value {
    let (status, login, phones, notes) = form;
    let mut phones: Vec<Value> = phones
        .iter()
        .map(|phone| json!({"phone_id": format!("DP{phone}"), "model": login}))
        .collect();
    if turn {
        phones.reverse();
    }
    let status = ["active", "bypass", "pending deletion"]
        .get(usize::from(*status))
        .copied();
    json!({"user_id": format!("DU{id}"), "username": format!("u{id}"), "status": status, "last_login": login, "phones": phones, "notes": notes})
}

fn rows(forms: &BTreeMap<u8, Form>) -> Vec<Value> {
    forms.iter().map(|(id, form)| user(*id, form, false)).collect()
}

/// The rows as pages of these sizes, and what they make.
fn snapshot(rows: &[Value], sizes: &[usize]) -> Snapshot {
    let mut walk = Walk::new(KIND);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(3));
    let mut from = 0;
    loop {
        let to = (from + sizes.next().unwrap().max(1)).min(rows.len());
        let page = InventoryPage {
            rows: rows[from..to]
                .iter()
                .map(|row| RawValue::from_string(row.to_string()).unwrap())
                .collect(),
            next_offset: (to < rows.len()).then_some(to as u64),
            total: Some(rows.len() as u64),
            server_date_ms: None,
        };
        from = to;
        match walk.take(&page) {
            Step::Next => {}
            Step::Finished => return walk.finish(),
            Step::Moved => panic!("nothing moved"),
        }
    }
}

fn apply(store: &mut BTreeMap<Arc<str>, InventoryRow>, changes: &Changes) {
    for change in &changes.changes {
        match change.stock.clone() {
            InventoryChange::Put(row) => store.insert(row.id.clone(), row),
            InventoryChange::Delete { id, .. } => store.remove(&id),
        };
    }
}

fn known(store: &BTreeMap<Arc<str>, InventoryRow>) -> Vec<InventoryRow> {
    store.values().cloned().collect()
}

fn taken(at: i64) -> Taken {
    Taken { at, is_first: at == 1 }
}

fn told(changes: &Changes) -> Vec<Value> {
    let rows = changes.changes.iter().filter_map(|change| change.row.as_ref());
    rows.map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// What the store says of an object, without what Picket adds.
fn plain(row: &InventoryRow) -> Value {
    let mut json: Value = serde_json::from_str(&row.json).unwrap();
    json.as_object_mut().unwrap().remove("picket");
    json
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_into_pages_and_any_order_make_the_same_snapshot(
        forms in forms(), sizes in prop::collection::vec(1..5_usize, 0..5), turned in any::<bool>(),
    ) {
        let whole = snapshot(&rows(&forms), &[100]);
        let mut shuffled: Vec<Value> = forms.iter().map(|(id, form)| user(*id, form, turned)).collect();
        shuffled.reverse();
        let cut = snapshot(&shuffled, &sizes);
        prop_assert_eq!(whole.objects.keys().collect::<Vec<_>>(), cut.objects.keys().collect::<Vec<_>>());
        let mut store = BTreeMap::new();
        apply(&mut store, &diff(KIND, &[], &whole, taken(1)));
        prop_assert_eq!(diff(KIND, &known(&store), &cut, taken(2)), Changes::default());
    }

    #[test]
    fn what_is_kept_is_the_latest_snapshot_and_every_change_is_told_once(history in prop::collection::vec(forms(), 1..6)) {
        let mut store: BTreeMap<Arc<str>, InventoryRow> = BTreeMap::new();
        // The journal's rows alone make the same users: what a rule believes that reads every row.
        let mut believed: BTreeMap<String, Value> = BTreeMap::new();
        let mut missing: BTreeMap<u8, bool> = BTreeMap::new();
        for (at, forms) in (1..).zip(&history) {
            let before = store.clone();
            let changes = diff(KIND, &known(&store), &snapshot(&rows(forms), &[]), taken(at));
            apply(&mut store, &changes);
            for (id, form) in forms {
                let row = &store[format!("DU{id}").as_str()];
                prop_assert_eq!(plain(row), user(*id, form, false));
                prop_assert_eq!(row.missing, None);
            }
            for row in told(&changes) {
                let id = row["object"].as_str().unwrap().to_owned();
                prop_assert_eq!(&row["id"], &json!(format!("{id}@{at}")));
                let change = row["change"].as_str().unwrap();
                let held = before.get(id.as_str());
                prop_assert_eq!(change == "first" || change == "created", held.is_none(), "{}", row);
                prop_assert_eq!(change == "first", at == 1);
                prop_assert_eq!(row["before"].is_null(), held.is_none());
                prop_assert_eq!(row["changed"].as_array().unwrap().is_empty(), change != "updated");
                match change {
                    "deleted" => { believed.remove(&id); }
                    _ => { believed.insert(id, row["after"].clone()); }
                }
            }
            // A user who is missing once is still there; twice, or announced, and they are gone.
            for id in 0..8_u8 {
                let key = format!("DU{id}");
                let was_missing = missing.insert(id, !forms.contains_key(&id)).unwrap_or(false);
                let announced = before.get(key.as_str()).is_some_and(|row| plain(row)["status"] == "pending deletion");
                let is_there = forms.contains_key(&id)
                    || (before.contains_key(key.as_str()) && !was_missing && !announced);
                prop_assert_eq!(store.contains_key(key.as_str()), is_there);
                prop_assert_eq!(believed.contains_key(&key), is_there);
            }
            for (id, row) in &store {
                let told = &believed[&**id];
                for stable in ["status", "username", "notes"] {
                    prop_assert_eq!(&told[stable], &plain(row)[stable]);
                }
            }
            // The same snapshot again says nothing new of who is there.
            let again = diff(KIND, &known(&store), &snapshot(&rows(forms), &[]), taken(at + 100));
            prop_assert!(told(&again).iter().all(|row| row["change"] == "deleted"));
        }
    }

    #[test]
    fn rows_without_an_id_stop_deletions_alone(before in forms(), after in forms()) {
        let mut store = BTreeMap::new();
        apply(&mut store, &diff(KIND, &[], &snapshot(&rows(&before), &[]), taken(1)));
        let odd = Snapshot { odd: 1, ..snapshot(&rows(&after), &[]) };
        for at in 2..5 {
            let changes = diff(KIND, &known(&store), &odd, taken(at));
            prop_assert_eq!(changes.missing, 0);
            prop_assert!(told(&changes).iter().all(|row| row["change"] != "deleted"));
            apply(&mut store, &changes);
        }
        let kept = before.keys().chain(after.keys()).all(|id| store.contains_key(format!("DU{id}").as_str()));
        prop_assert!(kept);
    }
}

#[test]
fn a_change_of_factors_is_remembered() {
    let mut store = BTreeMap::new();
    let at = |store: &BTreeMap<Arc<str>, InventoryRow>| -> Value {
        let json: Value = serde_json::from_str(&store["DU1"].json).unwrap();
        json["picket"]["factors_changed"].clone()
    };
    let form = |phones: &[u8], login: u8| BTreeMap::from([(1, (0, login, phones.to_vec(), None))]);
    for (time, form, changed) in [
        (1, form(&[1], 0), Value::Null),
        (2, form(&[1, 2], 0), json!(2)),
        (3, form(&[1, 2], 1), json!(2)),
        (4, form(&[2], 1), json!(4)),
    ] {
        let changes = diff(KIND, &known(&store), &snapshot(&rows(&form), &[]), taken(time));
        apply(&mut store, &changes);
        assert_eq!(at(&store), changed);
        assert!(told(&changes).iter().all(|row| !row.to_string().contains("picket")));
    }
}

#[test]
fn a_row_reads_as_documented() {
    let phone = |number: &str| {
        let raw = json!({"phone_id": "DP1", "number": number, "users": [{"user_id": "DU1", "username": "ada"}]});
        let mut walk = Walk::new(Inventory::Phones);
        let page = InventoryPage {
            rows: vec![RawValue::from_string(raw.to_string()).unwrap()],
            next_offset: None,
            total: Some(1),
            server_date_ms: None,
        };
        walk.take(&page);
        walk.finish()
    };
    let mut store = BTreeMap::new();
    apply(
        &mut store,
        &diff(Inventory::Phones, &[], &phone("+15035550100"), taken(1)),
    );
    let changes = diff(
        Inventory::Phones,
        &known(&store),
        &phone("+15035550199"),
        taken(1_800_000_000_000),
    );
    assert_eq!(
        told(&changes),
        [json!({
            "id": "DP1@1800000000000",
            "ts": "2027-01-15T08:00:00.000Z",
            "change": "updated",
            "changed": ["number"],
            "object": "DP1",
            "name": "+15035550199",
            "user": {"key": "DU1", "name": "ada"},
            "users": ["ada"],
            "before": {"phone_id": "DP1", "number": "+15035550100", "users": [{"user_id": "DU1", "username": "ada"}]},
            "after": {"phone_id": "DP1", "number": "+15035550199", "users": [{"user_id": "DU1", "username": "ada"}]},
        })]
    );
}
