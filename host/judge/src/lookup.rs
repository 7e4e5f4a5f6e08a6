//! Lookup tables made of the inventory.
//!
//! | table | columns | indexes |
//! | --- | --- | --- |
//! | `inventory.users` | `user_id`, `username`, `realname`, `email`, `status`, `is_enrolled`, `groups`, `factors` | `user_id`, `username`, `email`, `alias`, `name` |
//! | `inventory.phones` | `phone_id`, `number`, `type`, `platform`, `model`, `activated`, `user_id`, `username` | `phone_id`, `number`, `username` |
//! | `inventory.tokens` | `token_id`, `serial`, `type`, `user_id`, `username` | `token_id`, `serial`, `username` |
//! | `inventory.admins` | `admin_id`, `name`, `email`, `role`, `status` | `admin_id`, `name`, `email` |
//! | `inventory.groups` | `group_id`, `name`, `status` | `group_id`, `name` |
//!
//! Keys that are names or addresses are in lower case; `name` leads to a user by user name, alias or address. A phone number is
//! a key and a cell by its pseudonym, as rules have it of any log. A device of several users has a row for each. `groups` are names
//! and `factors` a count of `phones`, `tokens` and `webauthncredentials`; nothing that moves by itself is a column, so that
//! tables, and with them the generation, change only when somebody changed something.

use std::sync::Arc;

use picket_contract::{Table, Tables};
use picket_event::Mask;
use picket_store::{InventoryRow, Store, StoreError};
use serde_json::{Map, Value};

/// A tenant's tables, and what tells them from others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lookup {
    /// A table that is absent was never read.
    pub tables: Arc<Tables>,
    /// Hash of their content; empty: there are none.
    pub hash: String,
}

/// How objects of a kind become rows.
struct Shape {
    kind: &'static str,
    table: &'static str,
    columns: &'static [&'static str],
    indexes: &'static [&'static str],
}

const SHAPES: [Shape; 5] = [
    Shape {
        kind: "users",
        table: "inventory.users",
        columns: &[
            "user_id",
            "username",
            "realname",
            "email",
            "status",
            "is_enrolled",
            "groups",
            "factors",
        ],
        indexes: &["user_id", "username", "email", "alias", "name"],
    },
    Shape {
        kind: "phones",
        table: "inventory.phones",
        columns: &[
            "phone_id",
            "number",
            "type",
            "platform",
            "model",
            "activated",
            "user_id",
            "username",
        ],
        indexes: &["phone_id", "number", "username"],
    },
    Shape {
        kind: "tokens",
        table: "inventory.tokens",
        columns: &["token_id", "serial", "type", "user_id", "username"],
        indexes: &["token_id", "serial", "username"],
    },
    Shape {
        kind: "admins",
        table: "inventory.admins",
        columns: &["admin_id", "name", "email", "role", "status"],
        indexes: &["admin_id", "name", "email"],
    },
    Shape {
        kind: "groups",
        table: "inventory.groups",
        columns: &["group_id", "name", "status"],
        indexes: &["group_id", "name"],
    },
];

impl Lookup {
    /// Of what the store holds of a tenant, whose phone numbers are masked with `mask`.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &dyn Store, tenant: &str, mask: &Arc<Mask>) -> Result<Self, StoreError> {
        let cursors = store.cursors(tenant)?;
        let was_read = |kind: &str| {
            let cursor = cursors
                .iter()
                .find(|cursor| cursor.log.strip_prefix("inventory:") == Some(kind));
            let cursor = cursor.and_then(|cursor| serde_json::from_str::<Value>(&cursor.cursor).ok());
            cursor.is_some_and(|cursor| cursor.get("taken").is_some_and(Value::is_i64))
        };
        let mut kinds: Vec<(&str, Vec<InventoryRow>)> = Vec::new();
        for shape in SHAPES.iter().filter(|shape| was_read(shape.kind)) {
            kinds.push((shape.kind, store.inventory(tenant, Some(shape.kind))?));
        }
        let kinds = kinds
            .iter()
            .map(|(kind, rows)| (*kind, rows.iter().map(|row| &*row.json)));
        Ok(Lookup::of(kinds, mask))
    }

    /// Of objects as Duo lists them (JSON), by kind. Of other kinds no tables are made; what is no object is left out.
    pub fn of<'a, O: IntoIterator<Item = &'a str>>(
        kinds: impl IntoIterator<Item = (&'a str, O)>,
        mask: &Arc<Mask>,
    ) -> Self {
        let mut tables = Tables {
            numbers: Some(mask.clone()),
            ..Tables::default()
        };
        let mut hasher = blake3::Hasher::new();
        for (kind, objects) in kinds {
            if let Some(shape) = SHAPES.iter().find(|shape| shape.kind == kind) {
                let table = shape.table(objects, mask, &mut hasher);
                tables.shared.insert(shape.table.to_owned(), Arc::new(table));
            }
        }
        let hash = if tables.shared.is_empty() {
            String::new()
        } else {
            hasher.finalize().to_hex().to_string()
        };
        Lookup {
            tables: Arc::new(tables),
            hash,
        }
    }

    /// Whether tables are made of this kind.
    #[must_use]
    pub fn is_made_of(kind: &str) -> bool {
        SHAPES.iter().any(|shape| shape.kind == kind)
    }
}

impl Shape {
    fn table<'a>(&self, objects: impl IntoIterator<Item = &'a str>, mask: &Mask, hasher: &mut blake3::Hasher) -> Table {
        let mut table = Table::new(self.columns, self.indexes);
        hasher.update(self.table.as_bytes());
        for object in objects {
            let Ok(object) = serde_json::from_str::<Map<String, Value>>(object) else {
                continue;
            };
            for owner in owners(self.kind, &object) {
                self.push(&mut table, &object, owner, mask, hasher);
            }
        }
        table.sorted()
    }

    fn push(
        &self,
        table: &mut Table,
        object: &Map<String, Value>,
        owner: &Map<String, Value>,
        mask: &Mask,
        hasher: &mut blake3::Hasher,
    ) {
        let cell = |column: &&str| match *column {
            "groups" => Some(names(object)),
            "factors" => Some(factors(object).to_string()),
            "number" => text(object, "number").map(|number| mask.number(&number)),
            "user_id" | "username" if self.kind != "users" => text(owner, column),
            column => text(object, column),
        };
        let cells: Vec<Option<String>> = self.columns.iter().map(cell).collect();
        let mut keys: Vec<(&str, String)> = Vec::new();
        for (index, cell) in self
            .columns
            .iter()
            .zip(&cells)
            .filter(|(column, _)| self.indexes.contains(column))
        {
            let Some(key) = cell else { continue };
            let is_name = matches!(*index, "username" | "email" | "name");
            keys.push((*index, if is_name { key.to_lowercase() } else { key.clone() }));
        }
        if self.kind == "users" {
            let aliases: Vec<String> = aliases(object).map(|alias| alias.to_lowercase()).collect();
            let named: Vec<String> = keys
                .iter()
                .filter(|(index, _)| matches!(*index, "username" | "email"))
                .map(|(_, key)| key.clone())
                .collect();
            keys.extend(aliases.iter().cloned().map(|alias| ("alias", alias)));
            keys.extend(named.into_iter().chain(aliases).map(|name| ("name", name)));
        }
        for text in cells
            .iter()
            .map(|cell| cell.as_deref().unwrap_or_default())
            .chain(keys.iter().map(|(_, key)| key.as_str()))
        {
            hasher.update(text.as_bytes()).update(&[0]);
        }
        let cells: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
        if !table.push(&cells, keys.iter().map(|(index, key)| (*index, key.as_str()))) {
            tracing::warn!(table = self.table, "the table is full: what comes after is left out");
        }
    }
}

/// One for each row: the users of a device, else the object itself.
fn owners<'a>(kind: &str, object: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
    static NOBODY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    if !matches!(kind, "phones" | "tokens") {
        return vec![object];
    }
    let users = object.get("users").and_then(Value::as_array).into_iter().flatten();
    let users: Vec<_> = users.filter_map(Value::as_object).collect();
    if users.is_empty() { vec![&*NOBODY] } else { users }
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match object.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(_) | Value::Number(_) => object.get(name)?.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn aliases(object: &Map<String, Value>) -> impl Iterator<Item = String> {
    let old = ["alias1", "alias2", "alias3", "alias4"]
        .into_iter()
        .filter_map(|name| text(object, name));
    let new = object.get("aliases").and_then(Value::as_object).into_iter();
    let new = new.flat_map(|aliases| aliases.keys().filter_map(|name| text(aliases, name)));
    let mut all: Vec<String> = old.chain(new).collect();
    all.sort();
    all.dedup();
    all.into_iter()
}

fn names(object: &Map<String, Value>) -> String {
    let groups = object.get("groups").and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<String> = groups.filter_map(|group| text(group.as_object()?, "name")).collect();
    names.sort();
    names.join(", ")
}

fn factors(object: &Map<String, Value>) -> usize {
    let lists = ["phones", "tokens", "webauthncredentials"].into_iter();
    lists
        .filter_map(|name| object.get(name)?.as_array())
        .map(Vec::len)
        .sum()
}

#[cfg(test)]
mod tests {
    use picket_store::{CursorRow, InventoryChange, SqliteStore, Transaction};

    use super::*;

    fn put(store: &dyn Store, kind: &str, id: &str, json: &str) {
        let row = InventoryRow {
            kind: kind.into(),
            id: id.into(),
            json: json.into(),
            seen: 1,
            missing: None,
        };
        let transaction = Transaction {
            inventory: vec![InventoryChange::Put(row)],
            cursors: vec![CursorRow {
                log: format!("inventory:{kind}").into(),
                cursor: r#"{"taken":1,"closed":false}"#.into(),
            }],
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
    }

    fn value(lookup: &Lookup, table: &str, index: &str, key: &str, column: &str) -> Option<String> {
        let rows = lookup.tables.find(table, index, key)?;
        rows.first()?
            .iter()
            .find(|(name, _)| name == column)
            .map(|(_, value)| value.clone())
    }

    #[test]
    fn a_user_a_phone_and_an_administrator_are_found() {
        let (store, mask) = (SqliteStore::in_memory().unwrap(), Mask::substitute());
        assert_eq!(Lookup::read(&store, "acme", &mask).unwrap().hash, "");
        put(
            &store,
            "users",
            "DU1",
            r#"{"user_id":"DU1","username":"Ada","email":"Ada@acme.example","status":"bypass","alias1":"countess",
                "groups":[{"name":"VPN"},{"name":"Staff"}],"phones":[{},{}],"last_login":5}"#,
        );
        put(
            &store,
            "phones",
            "DP1",
            r#"{"phone_id":"DP1","number":"+1 (503) 555-0142","type":"Mobile","users":[{"user_id":"DU1","username":"Ada"}]}"#,
        );
        put(
            &store,
            "admins",
            "DE1",
            r#"{"admin_id":"DE1","name":"Harry Helpdesk","role":"Help Desk"}"#,
        );
        let lookup = Lookup::read(&store, "acme", &mask).unwrap();
        let user = |index: &str, key: &str, column: &str| value(&lookup, "inventory.users", index, key, column);
        assert_eq!(user("username", "ada", "status").as_deref(), Some("bypass"));
        assert_eq!(user("name", "ada@acme.example", "user_id").as_deref(), Some("DU1"));
        assert_eq!(user("alias", "countess", "groups").as_deref(), Some("Staff, VPN"));
        assert_eq!(user("user_id", "DU1", "factors").as_deref(), Some("2"));
        assert_eq!(
            value(
                &lookup,
                "inventory.phones",
                "number",
                &mask.number("+15035550142"),
                "username"
            )
            .as_deref(),
            Some("Ada")
        );
        assert_eq!(
            value(&lookup, "inventory.admins", "name", "harry helpdesk", "role").as_deref(),
            Some("Help Desk")
        );
        assert_eq!(lookup.tables.find("inventory.groups", "name", "x"), None, "never read");
        assert_eq!(
            lookup.tables.find("inventory.users", "username", "bob"),
            Some(Vec::new())
        );

        // What moves by itself changes no table, what somebody changed does.
        put(
            &store,
            "users",
            "DU1",
            r#"{"user_id":"DU1","username":"Ada","email":"Ada@acme.example","status":"bypass","alias1":"countess",
                "groups":[{"name":"Staff"},{"name":"VPN"}],"phones":[{},{}],"last_login":9}"#,
        );
        assert_eq!(Lookup::read(&store, "acme", &mask).unwrap(), lookup);
        put(
            &store,
            "users",
            "DU1",
            r#"{"user_id":"DU1","username":"Ada","status":"active"}"#,
        );
        assert_ne!(Lookup::read(&store, "acme", &mask).unwrap().hash, lookup.hash);
    }
}
