//! The v1 logs: no cursor and no end, only "from this second on"; and rows in the older shape.
//!
//! Rows are kept in their v2 shape and turned into v1's here. Administrator rows have only ever had v1's.

use serde_json::{Map, Value, json};

use super::answer::ApiError;
use super::archive::{Log, Visibility};
use super::spoilt::Spoilt;
use super::v2::{spoil, values};
use crate::json::dumps;
use crate::model::Feed;

/// "The 1000 earliest events will be returned."
const PAGE: usize = 1000;

const RETENTION_S: i64 = 180 * 86_400;

/// The second from which rows are wanted.
pub(super) fn from(parameters: &[(String, String)]) -> Result<i64, ApiError> {
    match values(parameters, "mintime").next().map(str::parse::<i64>) {
        None => Ok(0),
        Some(Ok(from)) if from >= 0 => Ok(from),
        Some(_) => Err(ApiError::InvalidParameters("mintime")),
    }
}

/// The places of the rows that answer.
pub(super) fn page(log: &Log, from_s: i64, visibility: &Visibility, finish_second: bool) -> Vec<usize> {
    let retained = visibility.now_ms.div_euclid(1_000).saturating_sub(RETENTION_S);
    log.earliest(from_s.max(retained), PAGE, finish_second, |row| visibility.shows(row))
}

/// The `response` for those rows, as JSON text: a bare array.
pub(super) fn render(feed: Feed, log: &Log, rows: &[usize], spoilt: Spoilt) -> String {
    let rows = if spoilt.empty { &[] } else { rows };
    let texts: Vec<String> = rows
        .iter()
        .filter_map(|at| log.get(*at))
        .map(|row| match feed {
            Feed::Authentication => converted(&row.text(i64::MAX), row.second(), authentication),
            Feed::Telephony => converted(&row.text(i64::MAX), row.second(), telephony),
            _ => row.text(i64::MAX).into_owned(),
        })
        .map(|text| spoil(feed, &text, spoilt))
        .collect();
    format!("[{}]", spoilt.rows(texts).join(", "))
}

fn converted(text: &str, second: i64, convert: fn(&Value) -> Map<String, Value>) -> String {
    let row: Value = serde_json::from_str(text).unwrap_or_default();
    let mut old = convert(&row);
    let iso = jiff::Timestamp::from_second(second).map(|at| at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string());
    old.insert("timestamp".to_owned(), json!(second));
    old.insert("isotimestamp".to_owned(), json!(iso.unwrap_or_default()));
    dumps(&Value::Object(old))
}

fn authentication(row: &Value) -> Map<String, Value> {
    let at = |pointer: &str| row.pointer(pointer).cloned().unwrap_or(Value::Null);
    let mut device = at("/access_device");
    if let Some(members) = device.as_object_mut() {
        // These two stood beside the device in v1.
        members.remove("ip");
        members.remove("location");
    }
    let result = old_result(row);
    let members = json!({
        "access_device": device,
        "alias": at("/alias"),
        "device": at("/auth_device/name"),
        "email": at("/email"),
        "factor": row.pointer("/factor").and_then(Value::as_str).map_or("n/a".to_owned(), old_factor),
        "integration": at("/application/name"),
        "ip": at("/access_device/ip"),
        "location": at("/access_device/location"),
        "new_enrollment": row.pointer("/event_type").and_then(Value::as_str) == Some("enrollment"),
        "reason": row.pointer("/reason").and_then(Value::as_str).map(|reason| capitalised(&reason.replace('_', " "))),
        "result": result,
        "trusted_endpoint_status": at("/trusted_endpoint_status"),
        "username": at("/user/name"),
    });
    object(members)
}

/// `success` was `SUCCESS`, and there were four of them.
pub(super) fn old_result(row: &Value) -> &'static str {
    let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
    match (text("/result"), text("/reason")) {
        (Some("success"), _) => "SUCCESS",
        (Some("fraud"), _) => "FRAUD",
        (_, Some("error")) => "ERROR",
        _ => "FAILURE",
    }
}

fn telephony(row: &Value) -> Map<String, Value> {
    let at = |pointer: &str| row.pointer(pointer).cloned().unwrap_or(Value::Null);
    object(json!({"context": at("/context"), "credits": at("/credits"), "phone": at("/phone"), "type": at("/type")}))
}

/// `duo_push` was `Duo Push`; the WebAuthn factors were always spelt with spaces.
fn old_factor(factor: &str) -> String {
    match factor {
        "not_available" => "n/a".to_owned(),
        _ => factor.split('_').map(capitalised).collect::<Vec<_>>().join(" "),
    }
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authentication_takes_its_old_shape() {
        let row = json!({
            "access_device": {"browser": "Chrome", "ip": "198.51.100.7", "location": {"city": "Ghent"}},
            "application": {"key": "DI1", "name": "VPN"}, "auth_device": {"name": "+32 470 00 00 01"},
            "event_type": "authentication", "factor": "duo_push", "reason": "user_marked_fraud", "result": "denied",
            "timestamp": 1_789_990_000, "txid": "x", "user": {"key": "DU1", "name": "ann"},
        });
        let old: Value = serde_json::from_str(&converted(&dumps(&row), 1_789_990_000, authentication)).unwrap();
        assert_eq!(old["username"], "ann");
        assert_eq!(old["factor"], "Duo Push");
        assert_eq!(old["reason"], "User marked fraud");
        assert_eq!(old["result"], "FAILURE");
        assert_eq!(old["ip"], "198.51.100.7");
        assert_eq!(old["location"], json!({"city": "Ghent"}));
        assert_eq!(old["access_device"], json!({"browser": "Chrome"}));
        assert_eq!(old["isotimestamp"], "2026-09-21T11:26:40+00:00");
        assert_eq!(old["new_enrollment"], false);
        assert!(old.get("txid").is_none());
    }

    #[test]
    fn mintime_is_seconds_and_may_be_absent() {
        let of = |text: &str| from(&[("mintime".to_owned(), text.to_owned())]);
        assert_eq!(from(&[]), Ok(0));
        assert_eq!(of("1789990000"), Ok(1_789_990_000));
        assert_eq!(of("yesterday"), Err(ApiError::InvalidParameters("mintime")));
    }
}
