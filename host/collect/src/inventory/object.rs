//! One object of the inventory: which one it is, whose, and what of it counts as a change.
//!
//! Duo repeats itself: a user lists their phones with every property, a phone its users. So an object inside another one is
//! what its id says and no more; a new model of a phone is a change of the phone and not of its owner. What moves by itself
//! (the time of the last login) is no change at all, nor is another order of a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_duo::Inventory;
use serde_json::{Map, Value};

/// Where a stored object has what Picket knows of it besides.
pub(crate) const OWN: &str = "picket";

/// Properties that move without anybody changing anything, at any depth.
const VOLATILE: [&str; 8] = [
    "health_data_last_collected",
    "last_directory_sync",
    "last_login",
    "last_seen",
    "last_updated",
    "last_used",
    "sms_passcodes_sent",
    "totp_step",
];

/// What names an object inside another one.
const IDS: [&str; 11] = [
    "admin_id",
    "bypass_code_id",
    "compkey",
    "desktop_authenticator_id",
    "epkey",
    "group_id",
    "phone_id",
    "registration_id",
    "token_id",
    "user_id",
    "webauthnkey",
];

/// Properties of a user that are second factors.
const FACTORS: [&str; 6] = [
    "desktop_authenticators",
    "desktoptokens",
    "phones",
    "tokens",
    "u2ftokens",
    "webauthncredentials",
];

/// The log that tells changes of a kind; none: it is kept and not compared, since it only counts.
#[must_use]
pub fn log_of(kind: Inventory) -> Option<&'static str> {
    Some(match kind {
        Inventory::Users => "user",
        Inventory::Phones => "phone",
        Inventory::Endpoints => "endpoint",
        Inventory::RegisteredDevices => "registered_device",
        Inventory::Tokens => "token",
        Inventory::WebauthnCredentials => "webauthn_credential",
        Inventory::Groups => "group",
        Inventory::BypassCodes => "bypass_code",
        // `admin` is the log of what administrators do.
        Inventory::Admins => "admin_account",
        Inventory::Integrations => "integration",
        Inventory::Policies => "policy",
        Inventory::Settings => "settings",
        Inventory::Summary => "summary",
        Inventory::TelephonyCredits | Inventory::AuthenticationAttempts => return None,
    })
}

/// An object as a snapshot has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) id: Arc<str>,
    pub(crate) row: Map<String, Value>,
}

impl Object {
    /// From a row of Duo's. None: it is no object, or does not say which.
    pub(crate) fn read(kind: Inventory, raw: &str) -> Option<Self> {
        let mut row: Map<String, Value> = serde_json::from_str(raw).ok()?;
        row.remove(OWN);
        let id = match kind.id_field() {
            None => kind.as_str().into(),
            Some(field) => match row.get(field)? {
                Value::String(text) if !text.is_empty() => text.as_str().into(),
                Value::Number(number) => number.to_string().into(),
                _ => return None,
            },
        };
        Some(Object { id, row })
    }

    /// From what the store keeps, with what Picket knows besides. None: it cannot be read.
    pub(crate) fn stored(id: &Arc<str>, json: &str) -> Option<(Self, Option<Value>)> {
        let mut row: Map<String, Value> = serde_json::from_str(json).ok()?;
        let own = row.remove(OWN);
        Some((Object { id: id.clone(), row }, own))
    }

    /// As the store keeps it.
    pub(crate) fn to_json(&self, own: Option<&Value>) -> Arc<str> {
        match own {
            None => Value::Object(self.row.clone()).to_string().into(),
            Some(own) => {
                let mut row = self.row.clone();
                row.insert(OWN.to_owned(), own.clone());
                Value::Object(row).to_string().into()
            }
        }
    }

    /// Whether nothing at all is otherwise, volatile or not, but perhaps the order.
    pub(crate) fn is_same_as(&self, other: &Object) -> bool {
        self.row.len() == other.row.len()
            && self.row.iter().all(|(name, value)| {
                other
                    .row
                    .get(name)
                    .is_some_and(|other| text(value, true) == text(other, true))
            })
    }

    /// The properties that somebody changed, sorted.
    pub(crate) fn changed_from(&self, before: &Object) -> Vec<String> {
        let names: BTreeMap<&str, ()> = self
            .row
            .keys()
            .chain(before.row.keys())
            .map(|name| (name.as_str(), ()))
            .collect();
        let of = |object: &Object, name: &str| object.row.get(name).map(|value| text(value, false));
        let differs = |name: &&str| !VOLATILE.contains(name) && of(self, name) != of(before, name);
        names.into_keys().filter(differs).map(str::to_owned).collect()
    }

    /// What people call it.
    pub(crate) fn name(&self) -> Option<&str> {
        let names = [
            "username",
            "name",
            "policy_name",
            "credential_name",
            "device_name",
            "hostname",
            "number",
            "serial",
        ];
        names.into_iter().find_map(|name| self.word(&self.row, name))
    }

    /// Users whose it is: key and name, where known.
    pub(crate) fn users(&self) -> Vec<(Option<&str>, Option<&str>)> {
        let user = |row| (self.word(row, "user_id"), self.word(row, "username"));
        let listed = self.row.get("users").and_then(Value::as_array).into_iter().flatten();
        let single = self.row.get("user").into_iter();
        let mut users: Vec<_> = listed.chain(single).filter_map(Value::as_object).map(user).collect();
        users.push(user(&self.row));
        users.retain(|user| *user != (None, None));
        users.dedup();
        users
    }

    fn word<'a>(&self, row: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
        row.get(name)?.as_str().map(str::trim).filter(|word| !word.is_empty())
    }
}

/// Whether a change of these properties is one of a user's second factors.
pub(crate) fn touches_factors(changed: &[String]) -> bool {
    changed.iter().any(|name| FACTORS.contains(&name.as_str()))
}

/// A value as text that is equal for what means the same: keys and lists sorted; and unless `whole`, objects with an id by
/// that alone and without what moves by itself.
fn text(value: &Value, whole: bool) -> String {
    match value {
        Value::Object(members) => {
            let id = IDS.iter().find_map(|name| Some((*name, members.get(*name)?.as_str()?)));
            if let (false, Some((name, id))) = (whole, id) {
                return format!("{name}={id:?}");
            }
            let mut parts: Vec<String> = members
                .iter()
                .filter(|(name, _)| whole || !VOLATILE.contains(&name.as_str()))
                .map(|(name, value)| format!("{name:?}:{}", text(value, whole)))
                .collect();
            parts.sort_unstable();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(elements) => {
            let mut parts: Vec<String> = elements.iter().map(|element| text(element, whole)).collect();
            parts.sort_unstable();
            format!("[{}]", parts.join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(raw: &str) -> Object {
        Object::read(Inventory::Users, raw).unwrap()
    }

    #[test]
    fn what_moves_by_itself_or_in_order_alone_is_no_change() {
        let before = user(
            r#"{"user_id":"DU1","username":"ada","status":"active","last_login":5,"groups":[{"group_id":"A","name":"x"},{"group_id":"B"}],
                "phones":[{"phone_id":"DP1","model":"old","last_seen":""}],"notes":"","custom_attributes":{"a":"1","b":"2"}}"#,
        );
        let after = user(
            r#"{"status":"active","username":"ada","user_id":"DU1","last_login":9,"groups":[{"group_id":"B"},{"group_id":"A","name":"renamed"}],
                "phones":[{"phone_id":"DP1","model":"new","last_seen":"now"}],"notes":"","custom_attributes":{"b":"2","a":"1"}}"#,
        );
        assert_eq!(after.changed_from(&before), [""; 0]);
        assert!(
            !after.is_same_as(&before),
            "the store keeps the last login all the same"
        );
        assert!(before.is_same_as(&before));
    }

    #[test]
    fn what_somebody_changed_is_named() {
        let before =
            user(r#"{"user_id":"DU1","status":"active","phones":[{"phone_id":"DP1"}],"email":"a@x","gone":1}"#);
        let after =
            user(r#"{"user_id":"DU1","status":"bypass","phones":[{"phone_id":"DP2"}],"email":"a@x","new":null}"#);
        let changed = after.changed_from(&before);
        assert_eq!(changed, ["gone", "new", "phones", "status"]);
        assert!(touches_factors(&changed) && !touches_factors(&["status".to_owned()]));
    }

    #[test]
    fn objects_say_who_they_are_and_whose() {
        let phone =
            r#"{"phone_id":"DP1","number":"+15035550142","name":"","users":[{"user_id":"DU1","username":"ada"}]}"#;
        let phone = Object::read(Inventory::Phones, phone).unwrap();
        assert_eq!((&*phone.id, phone.name()), ("DP1", Some("+15035550142")));
        assert_eq!(phone.users(), [(Some("DU1"), Some("ada"))]);
        let code = r#"{"bypass_code_id":"DB1","user":{"user_id":"DU1","username":"ada"}}"#;
        assert_eq!(Object::read(Inventory::BypassCodes, code).unwrap().users().len(), 1);
        let endpoint = Object::read(
            Inventory::Endpoints,
            r#"{"epkey":"EP1","username":"ada","device_name":"mac"}"#,
        )
        .unwrap();
        assert_eq!(endpoint.users(), [(None, Some("ada"))]);
        assert_eq!(Object::read(Inventory::Settings, "{}").unwrap().id, "settings".into());
        for odd in [
            "[]",
            "7",
            "{}",
            r#"{"user_id":null}"#,
            r#"{"user_id":""}"#,
            "{\"user_id\":\"x\"",
        ] {
            assert_eq!(Object::read(Inventory::Users, odd), None, "{odd}");
        }
    }

    #[test]
    fn what_picket_adds_is_kept_apart() {
        let ada = user(r#"{"user_id":"DU1","picket":{"forged":1}}"#);
        let json = ada.to_json(Some(&serde_json::json!({"factors_changed": 5})));
        let (back, own) = Object::stored(&ada.id, &json).unwrap();
        assert_eq!((back, own), (ada, Some(serde_json::json!({"factors_changed": 5}))));
    }
}
