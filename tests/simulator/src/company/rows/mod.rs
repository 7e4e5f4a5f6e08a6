//! From what happened to what Duo would write about it: one module for each log.

pub(crate) mod activity;
pub(crate) mod administrator;
pub(crate) mod authentication;
pub(crate) mod telephony;

use serde_json::{Map, Value};

/// A JSON object being written, its keys in alphabetical order as Duo sends them.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Map::with_capacity(capacity))
    }

    pub(crate) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// JSON as Duo puts it into strings: Python's spacing, everything beyond ASCII escaped.
pub(crate) fn dumps(value: &Value) -> String {
    let mut out = String::new();
    dump(value, &mut out);
    out
}

fn dump(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push('{');
            for (number, (key, member)) in members.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                quote(key, out);
                out.push_str(": ");
                dump(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                dump(item, out);
            }
            out.push(']');
        }
        Value::String(text) => quote(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_hold_json_as_python_writes_it() {
        let value = json!({"a": [1, null, true], "city": "Île \"de\" 😀", "o": {}});
        let text = dumps(&value);
        assert_eq!(
            text,
            r#"{"a": [1, null, true], "city": "\u00cele \"de\" \ud83d\ude00", "o": {}}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
