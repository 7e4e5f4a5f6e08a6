//! From what an operator wrote to the parameters a rule gets: typed, within their range, every declared one present.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::{Param, ParamType, RuleManifest};
use crate::{ParamValue, Params};

/// A span such as `90s`, `1h30m`, `36d`, `250ms`, in ms.
///
/// # Errors
/// What is wrong, in words.
pub fn span(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a span of time; write one like 40s, 15m, 24h1m or 35d");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(unit_ms))
            .ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// A span (ms) as people write it: what [`span`] reads.
#[must_use]
pub fn show_span(ms: i64) -> String {
    let mut text = String::new();
    let mut rest = ms.max(0);
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = rest / unit_ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The parameters of a rule: what is given, and the defaults for the rest.
///
/// # Errors
/// For each value that is wrong: the parameter's name and, in words, what is wrong and what would be right.
pub fn resolve(rule: &RuleManifest, given: &BTreeMap<String, Value>) -> Result<Params, Vec<(String, String)>> {
    let mut params = Params::new();
    let mut wrong = Vec::new();
    for name in given.keys() {
        if !rule.params.iter().any(|param| param.name == *name) {
            let known: Vec<&str> = rule.params.iter().map(|param| param.name.as_str()).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            wrong.push((
                name.clone(),
                format!("rule {} has no parameter `{name}`; it has: {known}", rule.id),
            ));
        }
    }
    for param in &rule.params {
        match read(param, given.get(&param.name).unwrap_or(&param.default)) {
            Ok(value) => {
                params.insert(param.name.clone(), value);
            }
            Err(error) => wrong.push((param.name.clone(), format!("rule {}: {}: {error}", rule.id, param.name))),
        }
    }
    if wrong.is_empty() { Ok(params) } else { Err(wrong) }
}

/// One value: its type and its range.
fn read(param: &Param, value: &Value) -> Result<ParamValue, String> {
    let typed = typed(param.kind, value)?;
    let bound = |bound: &Option<Value>| bound.as_ref().and_then(|bound| typed_number(param.kind, bound));
    let (min, max) = (bound(&param.min), bound(&param.max));
    if let Some(number) = typed_number(param.kind, value)
        && (min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max))
    {
        let show = |bound: &Option<Value>, none: &str| bound.as_ref().map_or(none.to_owned(), plain);
        let (min, max) = (show(&param.min, "any"), show(&param.max, "any"));
        return Err(format!("{} is out of range: from {min} to {max}", plain(value)));
    }
    Ok(typed)
}

fn typed(kind: ParamType, value: &Value) -> Result<ParamValue, String> {
    let wrong = |right: &str| Err(format!("{} is not {right}", plain(value)));
    match (kind, value) {
        (ParamType::Boolean, Value::Bool(value)) => Ok(ParamValue::Boolean(*value)),
        (ParamType::Boolean, _) => wrong("true or false"),
        (ParamType::Integer, value) => value
            .as_i64()
            .map_or_else(|| wrong("a whole number"), |number| Ok(ParamValue::Integer(number))),
        (ParamType::Number, value) => value
            .as_f64()
            .map_or_else(|| wrong("a number"), |number| Ok(ParamValue::Number(number))),
        (ParamType::Duration, Value::String(text)) => span(text).map(ParamValue::Integer),
        (ParamType::Duration, _) => wrong("a span of time such as 30m"),
        (ParamType::Text, Value::String(text)) => Ok(ParamValue::Text(text.clone())),
        (ParamType::Text, _) => wrong("a text: put it in quotes"),
        (ParamType::Texts, Value::Array(texts)) => {
            let texts: Option<Vec<String>> = texts.iter().map(|text| text.as_str().map(str::to_owned)).collect();
            texts.map_or_else(|| wrong("a list of texts"), |texts| Ok(ParamValue::Texts(texts)))
        }
        (ParamType::Texts, _) => wrong("a list of texts"),
    }
}

/// A value as a number, where its kind has a range.
fn typed_number(kind: ParamType, value: &Value) -> Option<f64> {
    match kind {
        #[allow(clippy::cast_precision_loss, reason = "a span above 2^53 ms is 285,000 years")]
        ParamType::Duration => span(value.as_str()?).ok().map(|ms| ms as f64),
        ParamType::Integer | ParamType::Number => value.as_f64(),
        ParamType::Boolean | ParamType::Text | ParamType::Texts => None,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule() -> RuleManifest {
        serde_json::from_value(json!({
            "id": "r", "version": "1.0.0", "title": "t", "severity": "low", "sources": [],
            "params": [
                {"name": "count", "type": "integer", "default": 3, "min": 2, "max": 100},
                {"name": "window", "type": "duration", "default": "30m", "min": "1m", "max": "24h"},
                {"name": "quiet", "type": "boolean", "default": false},
                {"name": "allow", "type": "texts", "default": []},
            ],
        }))
        .unwrap()
    }

    fn given(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_span_is_shown_as_it_is_written() {
        for text in ["30m", "35d", "1d12h", "24h", "90s", "250ms", "0s"] {
            let ms = span(text).unwrap();
            assert_eq!(span(&show_span(ms)).unwrap(), ms, "{text}");
        }
        assert_eq!(show_span(1_800_000), "30m");
        assert_eq!(show_span(3_024_000_000), "35d");
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let params = resolve(&rule(), &given(json!({"count": 5}))).unwrap();
        assert_eq!(params["count"], ParamValue::Integer(5));
        assert_eq!(params["window"], ParamValue::Integer(1_800_000));
        assert_eq!(params["quiet"], ParamValue::Boolean(false));
        assert_eq!(params["allow"], ParamValue::Texts(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (value, said) in [
            (json!({"count": 1}), "1 is out of range: from 2 to 100"),
            (json!({"count": "5"}), "5 is not a whole number"),
            (json!({"window": "25h"}), "25h is out of range: from 1m to 24h"),
            (json!({"window": 30}), "30 is not a span of time such as 30m"),
            (json!({"quiet": "yes"}), "yes is not true or false"),
            (json!({"allow": "ada"}), "ada is not a list of texts"),
            (json!({"cuont": 5}), "it has: count, window, quiet, allow"),
        ] {
            let wrong = resolve(&rule(), &given(value)).unwrap_err();
            assert!(wrong[0].1.contains(said), "{wrong:?}");
        }
    }
}
