//! A change of the inventory, told.

use serde_json::{Map, Value};

use super::Told;
use crate::clean;
use crate::phone::Mask;

/// Most properties that are named with what they were and are.
const MOST: usize = 4;
/// Longest value shown, characters.
const LONGEST: usize = 40;

/// `user ada updated: status active -> bypass`.
pub(super) fn told(log: &str, raw: &str, mask: &Mask) -> Told {
    let row: Map<String, Value> = serde_json::from_str(raw).unwrap_or_default();
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        Some(clean(text).into_owned()).filter(|text| !text.is_empty())
    };
    let of = |name: &str| text(row.get(name));
    let user = row.get("user").and_then(Value::as_object);
    let user = |name: &str| text(user.and_then(|user| user.get(name)));
    let kind = log.replace('_', " ");
    let name = of("name").or_else(|| of("object")).unwrap_or_default();
    // A name that is a number leaves the house by its pseudonym; a user's name is theirs.
    let name = mask.text(picket_catalogue::phone(log, "name"), &name);
    let what = match of("change").as_deref() {
        Some("first") => "found in the first snapshot".to_owned(),
        Some("updated") => format!("updated: {}", changed(log, &row, mask)),
        Some(other) => other.to_owned(),
        None => "changed".to_owned(),
    };
    let owner = user("name")
        .filter(|_| log != "user")
        .map(|owner| format!("of {owner}"));
    let parts = [Some(kind), Some(name.clone()), owner, Some(what)];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    Told {
        text: parts.join(" "),
        user: user("name"),
        user_key: user("key"),
        action: of("change"),
        target: Some(name).filter(|name| !name.is_empty()),
        ..Told::default()
    }
}

fn changed(log: &str, row: &Map<String, Value>, mask: &Mask) -> String {
    let names: Vec<&str> = row
        .get("changed")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let of = |side: &str, name: &str| scalar(row.get(side)?.get(name)?, &format!("{side}.{name}"), log, mask);
    let told = |name: &&str| match (of("before", name), of("after", name)) {
        (Some(before), Some(after)) => format!("{} {before} -> {after}", clean(name)),
        (None, Some(after)) => format!("{} {after}", clean(name)),
        _ => clean(name).into_owned(),
    };
    let mut parts: Vec<String> = names.iter().take(MOST).map(told).collect();
    if names.len() > MOST {
        parts.push(format!("{} more", names.len() - MOST));
    }
    parts.join(", ")
}

/// A value that says something on a line.
fn scalar(value: &Value, path: &str, log: &str, mask: &Mask) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let text = clean(&mask.text(picket_catalogue::phone(log, path), &text)).into_owned();
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    (!short.is_empty()).then(|| format!("{short}{dots}"))
}

#[cfg(test)]
mod tests {
    use crate::{Mask, narrate};

    #[test]
    fn changes_are_told_on_a_line() {
        let mask = Mask::substitute();
        for (log, raw, expected) in [
            (
                "user",
                r#"{"id":"DU1@1","ts":"2026-11-22T07:00:00.000Z","change":"updated","changed":["phones","status"],"object":"DU1","name":"ada",
                    "user":{"key":"DU1","name":"ada"},"before":{"status":"active","phones":[]},"after":{"status":"bypass","phones":[1]}}"#,
                "user ada updated: phones, status active -> bypass",
            ),
            (
                "phone",
                r#"{"ts":"2026-11-22T07:00:00.000Z","change":"created","name":"+15035550142","user":{"key":"DU1","name":"ada"},"after":{}}"#,
                &format!("phone {} of ada created", mask.number("+15035550142")),
            ),
            (
                "policy",
                r#"{"ts":"2026-11-22T07:00:00.000Z","change":"first","object":"PO1","name":"Global\u001b[31m","user":null}"#,
                "policy Global\\u{1b}[31m found in the first snapshot",
            ),
            (
                "settings",
                r#"{"ts":"2026-11-22T07:00:00.000Z","change":"deleted"}"#,
                "settings deleted",
            ),
        ] {
            let told = narrate(log, raw, &mask);
            assert_eq!(told.text, expected);
            assert_eq!(told.time, Some(1_795_330_800_000));
        }
        let told = narrate(
            "token",
            r#"{"user":{"key":"DU1","name":"ada"},"change":"deleted","name":"123456"}"#,
            &mask,
        );
        assert_eq!(
            (told.user.as_deref(), told.user_key.as_deref()),
            (Some("ada"), Some("DU1"))
        );
    }
}
