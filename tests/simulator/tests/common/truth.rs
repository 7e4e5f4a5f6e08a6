//! What a generated account holds, told without the server: what a client must get, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use duo_simulator::inventory::Kind;
use duo_simulator::model::{Account, Feed};
use serde_json::{Value, json};

/// Everything, whatever the order, each as often as it comes.
pub(crate) fn bag<'a>(values: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut bag = BTreeMap::new();
    for value in values {
        *bag.entry(duo_simulator::json::dumps(value)).or_default() += 1;
    }
    bag
}

/// What the account holds at the time of the test.
pub(crate) struct Truth {
    account: Account,
    now_us: i64,
    lists: BTreeMap<Kind, Vec<Value>>,
}

impl Truth {
    pub(crate) fn of(account: Account, now_us: i64) -> Self {
        let inventory = &account.inventory;
        let list = |kind| -> Vec<Value> {
            let shown = inventory.at(kind, now_us);
            shown
                .map(|one| serde_json::from_str(&inventory.text(&one, now_us)).unwrap())
                .collect()
        };
        let lists = Kind::ALL.into_iter().map(|kind| (kind, list(kind))).collect();
        Self { account, now_us, lists }
    }

    pub(crate) fn all(&self, kind: Kind) -> Vec<Value> {
        self.lists[&kind].clone()
    }

    /// The first ones.
    pub(crate) fn some(&self, kind: Kind, many: usize) -> Vec<Value> {
        self.all(kind).into_iter().take(many).collect()
    }

    /// The first ones' ids.
    pub(crate) fn ids(&self, kind: Kind, many: usize) -> Vec<Value> {
        let first = self.some(kind, many);
        first.iter().map(|one| one[kind.id_field()].clone()).collect()
    }

    /// A log's rows as they are by now.
    pub(crate) fn rows(&self, feed: Feed) -> Vec<Value> {
        let now_us = self.now_us;
        let rows = self.account.rows.iter().filter(|row| row.feed == feed);
        rows.map(|row| {
            let later = self.account.later.iter();
            let mut later = later.filter(|later| later.feed == feed && later.id == row.id && later.from_us <= now_us);
            later.next_back().map_or(&row.json, |later| &later.json).clone()
        })
        .collect()
    }

    /// What hangs on users: (user_id, object), told by the objects.
    pub(crate) fn carried(&self, kind: Kind) -> Vec<Value> {
        let mut pairs = Vec::new();
        for one in self.all(kind) {
            let users = match kind {
                Kind::Phone | Kind::Token => one["users"].as_array().unwrap().clone(),
                _ => vec![one["user"].clone()],
            };
            let ids = users.iter().map(|user| user["user_id"].clone());
            pairs.extend(ids.filter(|id| id.is_string()).map(|id| json!([id, one])));
        }
        pairs
    }

    /// Who is in which group, told by the users: (user, group).
    pub(crate) fn memberships(&self) -> Vec<(Value, Value)> {
        let users = self.all(Kind::User).into_iter();
        let of = |user: Value| {
            let groups = user["groups"].as_array().unwrap().clone();
            groups.into_iter().map(move |group| (user.clone(), group))
        };
        users.flat_map(of).collect()
    }

    pub(crate) fn secrets(&self, many: usize) -> Vec<Value> {
        let told = |one: &Value| json!({"integration_key": one["integration_key"], "secret_key": one["secret_key"]});
        self.some(Kind::Integration, many).iter().map(told).collect()
    }

    pub(crate) fn external_passwords(&self) -> Vec<Value> {
        let told = |one: &Value| json!({"admin_id": one["admin_id"], "has_external_password_mgmt": false, "has_password": true});
        self.all(Kind::Admin).iter().map(told).collect()
    }

    /// Rows of the authentication log by their result, and users by theirs.
    pub(crate) fn attempts(&self) -> [Value; 2] {
        let mut rows: BTreeMap<&str, usize> = ["ERROR", "FAILURE", "FRAUD", "SUCCESS"].map(|name| (name, 0)).into();
        let mut users: BTreeMap<&str, BTreeSet<String>> = rows.keys().map(|name| (*name, BTreeSet::new())).collect();
        for row in self.rows(Feed::Authentication) {
            let name = match (row["result"].as_str(), row["reason"].as_str()) {
                (Some("success"), _) => "SUCCESS",
                (Some("fraud"), _) => "FRAUD",
                (_, Some("error")) => "ERROR",
                _ => "FAILURE",
            };
            *rows.get_mut(name).unwrap() += 1;
            users.get_mut(name).unwrap().insert(row["user"]["key"].to_string());
        }
        let users: BTreeMap<&str, usize> = users.into_iter().map(|(name, users)| (name, users.len())).collect();
        [json!(rows), json!(users)]
    }

    pub(crate) fn credits(&self) -> u64 {
        let rows = self.rows(Feed::Telephony);
        rows.iter().map(|row| row["credits"].as_u64().unwrap()).sum()
    }
}

/// A v1 row of a log that has a v2: what can be compared, from either shape.
pub(crate) fn gist(row: &Value) -> Value {
    if row.get("context").is_some() {
        return json!([row["phone"], row["credits"], row["context"], row["type"]]);
    }
    let old = row.get("username").is_some();
    let at = |old_name: &str, new_name: &str| match old {
        true => row.get(old_name).cloned().unwrap_or_default(),
        false => row.pointer(new_name).cloned().unwrap_or_default(),
    };
    json!([
        row["timestamp"],
        at("username", "/user/name"),
        at("device", "/auth_device/name"),
        at("ip", "/access_device/ip"),
        at("integration", "/application/name"),
    ])
}
