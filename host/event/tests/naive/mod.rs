//! What the crate's documentation says of paths and coercions, over `serde_json::Value`, slowly and plainly.

use picket_contract::{FieldType, When, when::Op};
use serde_json::Value;

/// The value at a path without quotes: objects by key, text that holds a JSON object likewise.
pub(crate) fn at(value: &Value, path: &str) -> Value {
    let mut found = value.clone();
    for key in path.split('.') {
        if let Value::String(text) = &found {
            found = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        found = match found {
            Value::Object(map) => map.get(key).cloned().unwrap_or(Value::Null),
            _ => Value::Null,
        };
    }
    found
}

/// A value as text; arrays and objects as JSON.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= 9e15 => (float as i64).to_string(),
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        }),
        other => Some(other.to_string()),
    }
}

/// A value as one of the types, printed for comparison.
pub(crate) fn coerced(value: &Value, kind: FieldType) -> String {
    let words = value.as_str().filter(|text| !text.trim().is_empty()).map(str::trim);
    let float = match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) => number.as_f64(),
        _ => words
            .and_then(|text| text.parse().ok())
            .filter(|number: &f64| number.is_finite()),
    };
    match kind {
        FieldType::Text => format!("{:?}", text(value).filter(|text| !text.trim().is_empty())),
        FieldType::F64 => format!("{float:?}"),
        FieldType::S64 => {
            let exact = value.as_i64().or_else(|| words.and_then(|text| text.parse().ok()));
            let large = value.is_u64() && exact.is_none();
            let whole = float
                .filter(|float| float.fract() == 0.0 && float.abs() < 9.2e18 && !large)
                .map(|float| float as i64);
            format!("{:?}", exact.or(whole))
        }
        FieldType::Bool => {
            let spelt = words.and_then(|text| text.to_ascii_lowercase().parse().ok());
            let number = float.filter(|_| !value.is_string());
            let counted = number.and_then(|float| (float == 0.0 || float == 1.0).then_some(float == 1.0));
            format!("{:?}", value.as_bool().or(spelt).or(counted))
        }
        FieldType::Texts => {
            let elements = match value {
                Value::Array(elements) => elements.clone(),
                other => vec![other.clone()],
            };
            let texts = elements.iter().filter_map(text).filter(|text| !text.trim().is_empty());
            format!("{:?}", texts.collect::<Vec<String>>())
        }
    }
}

/// Whether a `when` without parameters holds, given each field's texts (none: null).
pub(crate) fn holds(when: &When, field: &dyn Fn(&str) -> Vec<String>) -> bool {
    match when {
        When::All { all } => all.iter().all(|branch| holds(branch, field)),
        When::Any { any } => any.iter().any(|branch| holds(branch, field)),
        When::Not { not } => !holds(not, field),
        When::Test(test) => field(&test.field).iter().any(|text| match test.op {
            Op::Present => true,
            Op::In => test.values.contains(text),
            Op::Prefix => test.values.iter().any(|value| text.starts_with(value.as_str())),
            Op::Suffix => test.values.iter().any(|value| text.ends_with(value.as_str())),
            Op::Contains => test.values.iter().any(|value| text.contains(value.as_str())),
        }),
    }
}
