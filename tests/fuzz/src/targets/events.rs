//! Bytes of Duo's JSON through the event reader, held against `serde_json`: what that can read is read, and texts are the same.

use picket_contract::manifest::Field;
use picket_contract::{EventRecord, FieldType, RawRow, Source, When};
use picket_event::{Mask, Permission, Plan, identify, narrate};
use serde_json::Value;

use super::Target;
use super::house::hash;

/// Paths that are read as received, and where they are.
const PATHS: [(&str, &[&str]); 6] = [
    ("raw.result", &["result"]),
    ("raw.user.name", &["user", "name"]),
    ("raw.user.key", &["user", "key"]),
    (
        "raw.access_device.location.city",
        &["access_device", "location", "city"],
    ),
    ("raw.x", &["x"]),
    ("raw.application.name", &["application", "name"]),
];

const ROW: &str = r#"{"access_device": {"browser": "Firefox", "ip": "198.51.100.7", "location": {"city": "Lyon", "country": "France"}},
"application": {"key": "DIAPP", "name": "VPN \u00e9\ud83d\ude00"}, "email": "ada@example.com", "event_type": "authentication",
"isotimestamp": "2026-11-18T12:00:00.123456+00:00", "reason": "user_approved", "result": "success", "timestamp": 1795003200,
"txid": "0123", "user": {"groups": ["a", "b"], "key": "DUADA", "name": "ada\t\"\\"}, "x": {"y": [1, 2.5e3, null, true]}}"#;

const ACTION: &str = r#"{"action": {"details": null, "name": "user_update"}, "activity_id": "a1", "actor": {"details": "{\"created\": \"2026\"}",
"key": "DE1", "name": "root", "type": "admin"}, "target": {"details": "{\"status\": \"Bypass\"}", "key": "DU1", "name": "ada", "type": "user"},
"ts": "2026-11-18T12:00:00.123456+00:00", "result": "x", "x": "y"}"#;

const MESSAGE: &str = r#"{"context": "authentication", "credits": 1, "phone": "+13125558544", "telephony_id": "t1", "ts": "2026-11-18T12:00:00+00:00",
"txid": "0123", "type": "sms", "result": "", "user": {"name": 17, "key": null}}"#;

const LOGS: [&str; 4] = ["authentication", "activity", "telephony", "administrator"];

pub(crate) struct Events;

impl Target for Events {
    fn execute(&mut self, input: &[u8]) -> Result<u64, String> {
        let Some((choice, rest)) = input.split_first() else {
            return Ok(0);
        };
        let log = LOGS
            .get(usize::from(*choice) % LOGS.len())
            .copied()
            .unwrap_or("authentication");
        let raw: RawRow = String::from_utf8_lossy(rest).as_ref().into();
        let identity = identify(log, &raw);
        let record = EventRecord {
            id: identity
                .as_ref()
                .map_or_else(|_| "?".into(), |identity| identity.id.clone()),
            time: identity.as_ref().map_or(0, |identity| identity.time),
            raw: raw.clone(),
        };
        let field = |(path, _): &(&str, &[&str])| Field {
            path: (*path).to_owned(),
            kind: FieldType::Text,
            required: false,
        };
        let source = Source {
            log: log.to_owned(),
            name: String::new(),
            fields: PATHS.iter().map(field).collect(),
            when: When::always(),
        };
        // Of a module that is granted everything, for whom nothing is masked.
        let all = Permission::default().granting_clear().granting_raw();
        let page = Plan::of([(&source, &all)], &Mask::substitute()).parse(log, log, std::slice::from_ref(&record));
        let told = narrate(log, &record.raw, &Mask::substitute());
        drop(told);
        let parsed: Option<Value> = serde_json::from_str(&raw).ok();
        let is_object = matches!(parsed, Some(Value::Object(_)));
        if is_object && page.broken(0) {
            return Err(format!(
                "serde_json reads this row and the event reader does not: {raw}"
            ));
        }
        let mut texts = 0;
        if let Some(value) = parsed.filter(Value::is_object) {
            for (path, place) in PATHS {
                let expected = place.iter().try_fold(&value, |value, key| value.as_object()?.get(*key));
                let found = page.text(0, path);
                let fits = match expected {
                    Some(Value::String(text)) if !text.trim().is_empty() => found == Some(text.as_str()),
                    Some(Value::String(_)) => found.is_none_or(|found| found.trim().is_empty()),
                    Some(Value::Bool(yes)) => found == Some(if *yes { "true" } else { "false" }),
                    Some(Value::Null) | None => found.is_none(),
                    Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => found.is_some(),
                };
                if !fits {
                    return Err(format!(
                        "{path}: serde_json reads {expected:?}, the event reader {found:?} in {raw}"
                    ));
                }
                texts = texts * 8 + u64::from(found.is_some());
            }
        }
        let words = |error: &dyn std::fmt::Display| error.to_string().chars().take(24).collect::<String>();
        let refused = identity.err().map(|problem| words(&problem));
        Ok(hash(&(log, is_object, page.broken(0), refused, texts)))
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let row = |(choice, text): (u8, &str)| [&[choice][..], text.as_bytes()].concat();
        [
            (0, ROW),
            (1, ACTION),
            (2, MESSAGE),
            (3, ACTION),
            (0, "{}"),
            (0, "[1]"),
            (1, "{\"x\":\"\\ud83d\"}"),
        ]
        .map(row)
        .into()
    }

    fn most(&self) -> usize {
        4096
    }
}
