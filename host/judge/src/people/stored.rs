//! Users as the store has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use picket_event::{Mask, rfc3339};
use picket_store::{InventoryRow, Store, StoreError};
use serde_json::Value;

use super::{People, Person};

/// The inventory's name for users.
const USERS: &str = "users";
/// Users kept at hand; a storm of alerts is about few.
const MOST: usize = 1000;

/// Reads users from the store and keeps those asked for, until the inventory changes.
pub struct Stored {
    store: Arc<dyn Store>,
    tenant: Arc<str>,
    mask: Arc<Mask>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// By key.
    people: BTreeMap<String, Option<Person>>,
    /// Names, aliases and addresses in lower case, to keys. A name that two users share leads to none. None: not read yet.
    names: Option<BTreeMap<String, Option<Arc<str>>>>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl Stored {
    /// The users of one tenant, and what its phone numbers are masked with.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, tenant: Arc<str>, mask: Arc<Mask>) -> Self {
        Stored {
            store,
            tenant,
            mask,
            cache: Mutex::default(),
        }
    }

    /// The inventory has changed.
    pub fn forget(&self) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Cache::default();
    }

    fn read(&self, cache: &mut Cache, key: &str) -> Result<Option<Person>, StoreError> {
        if let Some(known) = cache.people.get(key) {
            return Ok(known.clone());
        }
        let row = self.store.inventory_object(&self.tenant, USERS, key)?;
        let person = row.as_ref().and_then(|row| person(row, &self.mask));
        if cache.people.len() >= MOST {
            cache.people.clear();
        }
        cache.people.insert(key.to_owned(), person.clone());
        Ok(person)
    }

    fn key_of(&self, cache: &mut Cache, name: &str) -> Result<Option<Arc<str>>, StoreError> {
        let names = match cache.names.take() {
            Some(names) => names,
            None => names(&self.store.inventory(&self.tenant, Some(USERS))?),
        };
        let key = names.get(&name.trim().to_lowercase()).cloned().flatten();
        cache.names = Some(names);
        Ok(key)
    }

    fn look_up(&self, key: Option<&str>, name: Option<&str>) -> Result<Option<Person>, StoreError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = key
            && let Some(person) = self.read(&mut cache, key)?
        {
            return Ok(Some(person));
        }
        let Some(name) = name else { return Ok(None) };
        match self.key_of(&mut cache, name)? {
            Some(key) => self.read(&mut cache, &key),
            None => Ok(None),
        }
    }
}

impl People for Stored {
    fn find(&self, key: Option<&str>, name: Option<&str>) -> Option<Person> {
        self.look_up(key, name).unwrap_or_else(|error| {
            // The alert goes out all the same: it is right without its user's particulars.
            tracing::warn!(tenant = %self.tenant, "an alert goes out without what is known of its user: {error}");
            None
        })
    }
}

fn person(row: &InventoryRow, mask: &Mask) -> Option<Person> {
    let changed = serde_json::from_str::<Value>(&row.json)
        .ok()
        .and_then(|json| json.pointer("/picket/factors_changed").and_then(Value::as_i64));
    Some(Person {
        factors_changed: changed.map(rfc3339),
        ..Person::read(&row.json, mask)?
    })
}

fn names(users: &[InventoryRow]) -> BTreeMap<String, Option<Arc<str>>> {
    let mut own: BTreeMap<String, Option<Arc<str>>> = BTreeMap::new();
    let mut other: BTreeMap<String, Option<Arc<str>>> = BTreeMap::new();
    for user in users {
        let Ok(row) = serde_json::from_str::<Value>(&user.json) else {
            continue;
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| text.trim().to_lowercase());
        let note = |names: &mut BTreeMap<String, Option<Arc<str>>>, name: Option<String>| {
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                let first = names.entry(name).or_insert_with(|| Some(user.id.clone()));
                if first.as_ref() != Some(&user.id) {
                    *first = None;
                }
            }
        };
        note(&mut own, text(row.get("username")));
        note(&mut other, text(row.get("email")));
        for alias in ["alias1", "alias2", "alias3", "alias4"] {
            note(&mut other, text(row.get(alias)));
        }
        for alias in row.get("aliases").and_then(Value::as_object).into_iter().flatten() {
            note(&mut other, text(Some(alias.1)));
        }
    }
    // A user name is its owner's, whatever others have as an alias.
    other.extend(own);
    other
}

#[cfg(test)]
mod tests {
    use picket_store::{InventoryChange, SqliteStore, Transaction};

    use super::*;

    fn put(store: &dyn Store, id: &str, json: &str) {
        let row = InventoryRow {
            kind: USERS.into(),
            id: id.into(),
            json: json.into(),
            seen: 1,
            missing: None,
        };
        let transaction = Transaction {
            inventory: vec![InventoryChange::Put(row)],
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
    }

    #[test]
    fn users_are_found_by_key_else_by_any_name_that_is_theirs_alone() {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        put(
            &*store,
            "DUADA",
            r#"{"user_id":"DUADA","username":"ada","email":"Ada@acme.example","aliases":{"alias1":"bob","alias2":"team"},
                "picket":{"factors_changed":1000}}"#,
        );
        put(
            &*store,
            "DUBOB",
            r#"{"user_id":"DUBOB","username":"bob","alias1":"team"}"#,
        );
        let people = Stored::new(store.clone(), "acme".into(), Mask::substitute());
        let key = |key: Option<&str>, name: Option<&str>| people.find(key, name).and_then(|person| person.key);
        assert_eq!(key(Some("DUADA"), None).as_deref(), Some("DUADA"));
        assert_eq!(
            key(Some("DUGONE"), Some("ADA")).as_deref(),
            Some("DUADA"),
            "the name helps out"
        );
        assert_eq!(key(None, Some("ada@ACME.example")).as_deref(), Some("DUADA"));
        assert_eq!(
            key(None, Some("bob")).as_deref(),
            Some("DUBOB"),
            "a user name before an alias"
        );
        assert_eq!(key(None, Some("team")), None, "two have it");
        assert_eq!(key(None, None), None);
        let ada = people.find(Some("DUADA"), None).unwrap();
        assert_eq!(ada.factors_changed.as_deref(), Some("1970-01-01T00:00:01.000Z"));

        put(&*store, "DUBOB", r#"{"user_id":"DUBOB","username":"robert"}"#);
        assert_eq!(key(None, Some("robert")), None, "as it was read");
        people.forget();
        assert_eq!(key(None, Some("robert")).as_deref(), Some("DUBOB"));
        assert!(
            Stored::new(store, "other".into(), Mask::substitute())
                .find(Some("DUADA"), Some("ada"))
                .is_none()
        );
    }
}
