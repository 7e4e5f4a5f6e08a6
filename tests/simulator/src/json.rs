//! JSON as Duo's servers write it: Python's `json.dumps(value, sort_keys=True)`.
//!
//! Separators are `", "` and `": "`, keys are sorted, everything outside ASCII is escaped as `\uXXXX` (UTF-16 halves
//! beyond the basic plane). Error bodies are compared byte for byte, so this is done by hand.

use std::fmt::Write;

use serde_json::Value;

/// The value as Python writes it.
#[must_use]
pub fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// The text as a JSON string, quotes included.
#[must_use]
pub fn dumps_str(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_str(&mut out, text);
    out
}

/// A time in ms since the epoch as RFC 3339; empty if it is beyond all calendars.
pub(crate) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|at| at.to_string())
        .unwrap_or_default()
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            // Writing to a String cannot fail; the same holds below.
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_str(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (at, (key, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_str(out, key);
                out.push_str(": ");
                write_value(out, member);
            }
            out.push('}');
        }
    }
}

fn write_str(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for half in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{half:04x}");
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
    fn writes_what_python_writes() {
        let value = json!({"b": [1, 2.5, null, true], "a": {"z": "é😀\u{7f}\"\\\n\u{1}", "Z": {}}, "c": []});
        // python3 -c 'import json; print(json.dumps({...}, sort_keys=True))'
        let python =
            r#"{"a": {"Z": {}, "z": "\u00e9\ud83d\ude00\u007f\"\\\n\u0001"}, "b": [1, 2.5, null, true], "c": []}"#;
        assert_eq!(dumps(&value), python);
        assert_eq!(dumps_str("a\tb"), r#""a\tb""#);
    }
}
