//! Secrets leave an inventory row before anybody sees it.
//!
//! Duo lists with some objects what opens doors: an application's secret key, a link that activates a phone, a directory's
//! password. None of it is needed for detection, so none of it gets as far as the journal, an alert or an error message.
//! What is removed is removed with its key, at any depth, also where Duo is not known to send it: a property that Duo adds
//! tomorrow under one of these names must not be the leak.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Names that hold a secret under any kind of object.
const NAMES: [&str; 18] = [
    "activation_barcode",
    "activation_code",
    "activation_link",
    "activation_msg",
    "activation_url",
    "aes_key",
    "bypass_code",
    "bypass_codes",
    "code",
    "codes",
    "enroll_code",
    "installation_msg",
    "passcode",
    "passcodes",
    "private_id",
    "seed",
    "skey",
    "valid_passcode",
];

/// Endings of names that hold a secret, whatever is in front.
const ENDINGS: [&str; 6] = [
    "password",
    "passphrase",
    "private_key",
    "secret",
    "secret_key",
    "secrets",
];

/// Parts of a link or a QR code that activates an authenticator.
const LINKS: [&str; 3] = ["duo://", "duo%3a%2f%2f", "://m-"];

/// A row without its secrets: untouched if there are none. `None`: it cannot be read, so nobody can say what is in it.
pub(crate) fn without_secrets(row: Box<RawValue>) -> Option<Box<RawValue>> {
    if !is_suspect(row.get()) {
        return Some(row);
    }
    let mut value: Value = serde_json::from_str(row.get()).ok()?;
    if !strip(&mut value) {
        return Some(row);
    }
    RawValue::from_string(serde_json::to_string(&value).ok()?).ok()
}

/// Whether a text may hold a secret: cheap, and wrong on the safe side. An escape may hide a name or a link.
fn is_suspect(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("\\u")
        || lower.contains("\\/")
        || NAMES.iter().any(|name| lower.contains(name))
        || ENDINGS.iter().any(|ending| lower.contains(ending))
        || LINKS.iter().any(|link| lower.contains(link))
}

/// True: something was removed.
fn strip(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => strip_object(members),
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| !is_link(item));
            let removed = items.len() != before;
            items.iter_mut().fold(removed, |removed, item| strip(item) || removed)
        }
        Value::String(text) => strip_nested(text),
        _ => false,
    }
}

fn strip_object(members: &mut Map<String, Value>) -> bool {
    let before = members.len();
    members.retain(|name, value| !(is_link(value) || is_secret(name) && tells(value)));
    let removed = members.len() != before;
    members
        .values_mut()
        .fold(removed, |removed, value| strip(value) || removed)
}

/// JSON inside a text, as Duo likes it.
fn strip_nested(text: &mut String) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    let Ok(mut inner) = serde_json::from_str::<Value>(text) else {
        return false;
    };
    let removed = strip(&mut inner);
    if removed {
        *text = inner.to_string();
    }
    removed
}

fn is_secret(name: &str) -> bool {
    let name: Cow<'_, str> = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    };
    NAMES.contains(&&*name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether something may be learnt from a value: not from a switch or from nothing, and a list of objects is looked through
/// on its own.
fn tells(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(tells),
    }
}

fn is_link(value: &Value) -> bool {
    let Value::String(text) = value else { return false };
    let lower = text.to_ascii_lowercase();
    !text.trim_start().starts_with(['{', '[']) && LINKS.iter().any(|link| lower.contains(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(row: &str) -> String {
        let row = RawValue::from_string(row.to_owned()).unwrap();
        without_secrets(row).unwrap().get().to_owned()
    }

    #[test]
    fn what_opens_doors_is_removed_at_any_depth_and_in_any_spelling() {
        for row in [
            r#"{"integration_key":"DIX","secret_key":"hunter2"}"#,
            r#"{"sso":{"oauth":{"client_secret":"hunter2"},"Client_Secret":"hunter2"}}"#,
            r#"{"phones":[{"phone_id":"DPX","activation_url":"hunter2","activation_barcode":"hunter2"}]}"#,
            r#"{"x":"https://m-abcdef.duosecurity.com/iphone/hunter2"}"#,
            r#"{"x":["https:\/\/api-a.duosecurity.com\/frame\/qr?value=duo%3A%2F%2Fhunter2"]}"#,
            r#"{"directory":{"service_account_password":"hunter2"}}"#,
            r#"{"bypass_codes":["hunter2",12345678],"codes":[["hunter2"]]}"#,
            r#"{"sec\u0072et_key":"hunter2"}"#,
            r#"{"details":"{\"secret_key\": \"hunter2\"}"}"#,
        ] {
            let out = stripped(row);
            assert!(!out.contains("hunter2") && !out.contains("12345678"), "{row} -> {out}");
        }
    }

    #[test]
    fn everything_else_stays_as_duo_wrote_it() {
        for row in [
            r#"{"user_id": "DUX",  "n": 1e400, "username": "ann"}"#,
            r#"{"minimum_password_length": 12, "password_change_required": true, "password_status": "Set"}"#,
            r#"{"bypass_code_id": "DBX", "country_code": "DE", "bypass_codes": [{"bypass_code_id": "DB1"}]}"#,
            r#"{"secret_key": null, "has_password": false, "password": ""}"#,
            r#""a row that is none, password""#,
        ] {
            assert_eq!(stripped(row), row);
        }
    }
}
