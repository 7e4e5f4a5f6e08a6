//! Numbers inside JSON: in what a path that ends at an object gives, in JSON within a string, in rows as received.

use picket_catalogue::Phone;
use serde_json::Value;

use super::{Known, Mask, write};
use crate::parse::MAX_EMBEDDED_BYTES;

/// A text that is a JSON object or array, masked inside. None: it is none.
pub(super) fn masked_text(mask: &Mask, text: &str) -> Option<String> {
    let mut value = json(text)?;
    within(mask, Phone::Within, &mut value);
    Some(value.to_string())
}

/// A row as received, with pseudonyms in place of phone numbers wherever the catalogue of Duo's own log `log` says that one is
/// or may stand; the rest is as it was. What is no JSON is masked as text.
#[must_use]
pub fn masked_row(log: &str, raw: &str, mask: &Mask) -> Value {
    let mut row = serde_json::from_str(raw).unwrap_or_else(|_| Value::from(raw));
    match &mut row {
        Value::String(text) => *text = mask.prose(text),
        row => walk(log, "", row, &mut |phone, value| within(mask, phone, value)),
    }
    row
}

/// Learns every number of a row.
pub(super) fn learn(log: &str, raw: &str, known: &mut Known<'_>) {
    match write::suspects(log, raw) {
        Some(texts) => texts.iter().for_each(|text| known.learn(text)),
        None => learn_tree(log, raw, known),
    }
}

fn learn_tree(log: &str, raw: &str, known: &mut Known<'_>) {
    let row = serde_json::from_str(raw).unwrap_or_else(|_| Value::from(raw));
    if let Value::String(text) = &row {
        return known.learn(text);
    }
    let mut row = row;
    walk(log, "", &mut row, &mut |_, value| {
        each_text(value, &mut |text| known.learn(text))
    });
}

/// Visits the places of a row where phone numbers are or may stand, as high up as the catalogue says so.
fn walk(log: &str, path: &str, value: &mut Value, visit: &mut impl FnMut(Phone, &mut Value)) {
    let Value::Object(members) = value else {
        let phone = picket_catalogue::phone(log, path);
        if phone != Phone::Never {
            visit(phone, value);
        }
        return;
    };
    for (key, member) in members {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        walk(log, &path, member, visit);
    }
}

/// The texts and numbers in a text: itself, or those of the JSON that it is.
pub(super) fn each_in_text(text: &str, visit: &mut impl FnMut(&str)) {
    match json(text) {
        Some(inner) => each_text(&inner, visit),
        None => visit(text),
    }
}

pub(super) fn each_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => each_in_text(text, visit),
        Value::Number(number) => visit(&number.to_string()),
        Value::Array(elements) => elements.iter().for_each(|element| each_text(element, visit)),
        Value::Object(members) => members.values().for_each(|member| each_text(member, visit)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Masks a value, and what is in it. Below an object the keys say what is a number.
pub(super) fn within(mask: &Mask, phone: Phone, value: &mut Value) {
    match value {
        Value::String(text) => *text = mask.text(phone, text),
        Value::Number(number) if phone == Phone::Number => {
            let text = number.to_string();
            let masked = mask.number(&text);
            if masked != text {
                *value = masked.into();
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| within(mask, phone, element)),
        Value::Object(members) => {
            for (key, member) in members {
                // No log has a field of nothing: what is not in the catalogue is told by its key.
                within(mask, picket_catalogue::phone("", key), member);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn json(text: &str) -> Option<Value> {
    let inside = text.len() <= MAX_EMBEDDED_BYTES && text.trim_ascii_start().starts_with(['{', '[']);
    inside.then(|| serde_json::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_learned_as_from_the_tree() {
        let mask = Mask::new(&[7; 32]);
        for raw in [
            r#"{"phone":"+15035550142","telephony_id":"5035550199","txid":7345552342}"#,
            r#"{"phone":"+15035550142","phone":"+15035550143"}"#,
            r#"{"target":{"name":"x 503-555-0142","details":"{\"number\":\"\\u002b44 20 7946 0123\",\"n\":[7345552342]}"}}"#,
            r#"{"access_device":{"ip":"203.0.113.77"},"new":["503-555-0142",{"a":15035550143}],"other":"198.51.100.77"}"#,
            "+15035550142",
        ] {
            for log in ["telephony", "activity", "authentication", "nowhere"] {
                let (mut known, mut of_tree) = (Known::new(&mask), Known::new(&mask));
                learn(log, raw, &mut known);
                learn_tree(log, raw, &mut of_tree);
                assert_eq!(format!("{known:?}"), format!("{of_tree:?}"), "{log}: {raw}");
            }
        }
    }

    #[test]
    fn rows_keep_everything_but_numbers() {
        let mask = Mask::new(&[7; 32]);
        let number = mask.number("+15035550142");
        let details =
            json!({"number": "+1 (503) 555-0142", "user_id": "DU1", "created": 1_795_331_402, "valid_secs": 3600})
                .to_string();
        let row = json!({
            "activity_id": "92141773-899d-42a7-bf90-62dd4de348a3", "ts": "2026-11-22T07:10:02.114000+00:00",
            "access_device": {"ip": {"address": "198.51.100.7"}, "os_version": "10.0.22631.4602"},
            "action": {"name": "phone_create"}, "target": {"type": "phone", "name": "503-555-0142", "details": details},
            "old_target": {"details": {"phone": 15_035_550_142_i64}}, "new": ["call +1 503 555 0142, ticket 4711 of 2026-11-22"],
        });
        let masked = masked_row("activity", &row.to_string(), &mask);
        let mut expected = row.clone();
        expected["target"]["name"] = number.clone().into();
        let inner = json!({"number": number, "user_id": "DU1", "created": 1_795_331_402, "valid_secs": 3600});
        expected["target"]["details"] = inner.to_string().into();
        expected["old_target"]["details"]["phone"] = number.clone().into();
        expected["new"][0] = format!("call {number}, ticket 4711 of 2026-11-22").into();
        assert_eq!(masked, expected);
        assert_eq!(
            masked_row("activity", &masked.to_string(), &mask),
            masked,
            "masked once is masked for good"
        );
        assert_eq!(
            masked_row("telephony", "no JSON +15035550142", &mask),
            json!(format!("no JSON {number}"))
        );
    }
}
