//! Trust Monitor: what Duo's own model finds remarkable about some rows. It is not good at it, and that is believable.
//!
//! Events surface minutes to hours after what they are about, and **change** afterwards: somebody triages them. The
//! first version is a row; later versions go beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::{HOUR, MINUTE};
use super::dice::Dice;
use super::{Company, Span};
use crate::model::{Feed, Later, Row};

/// The events that go with these rows, and what becomes of them.
pub(super) fn events(company: &Company, span: &Span, rows: &[Row]) -> (Vec<Row>, Vec<Later>) {
    let mut dice = Dice::new(company.seed, "trust", 0);
    let mut made = Vec::new();
    let countries: BTreeMap<&str, &str> = company
        .users
        .iter()
        .map(|user| (user.key.as_str(), company.country(user)))
        .collect();
    let mut bypassed = Vec::new();
    for row in rows.iter().filter(|row| row.feed == Feed::Authentication) {
        let text = |pointer: &str| row.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (user, country) = (text("/user/key"), text("/access_device/location/country"));
        let abroad = countries
            .get(user)
            .is_some_and(|usual| country.len() > 1 && country != *usual);
        let (noticed, event) = if text("/event_type") == "enrollment" {
            (dice.chance(500), device_registration(row, &mut dice))
        } else if text("/reason") == "bypass_user" && !bypassed.contains(&user) {
            bypassed.push(user);
            (true, bypass_status(company, row, &mut dice))
        } else if abroad {
            (dice.chance(250), surfaced(row, "NEW_COUNTRY_CODE", &mut dice))
        } else if text("/result") == "success" {
            (dice.chance(4), surfaced(row, "UNUSUAL_NETBLOCK", &mut dice))
        } else {
            (dice.chance(60), surfaced(row, "NEW_NETBLOCK", &mut dice))
        };
        if noticed {
            let surfaced_us = row.time_us + dice.between(5 * MINUTE, 90 * MINUTE);
            made.push((surfaced_us / 1_000 * 1_000, event));
        }
    }
    let mut events = Vec::new();
    let mut later = Vec::new();
    for (surfaced_us, mut json) in made.into_iter().filter(|(at, _)| (span.start..span.end).contains(at)) {
        let id = format!("SE{}", dice.text("", 18, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
        put(&mut json, "sekey", json!(id));
        put(&mut json, "surfaced_timestamp", json!(surfaced_us / 1_000));
        put(
            &mut json,
            "triage_event_uri",
            json!(format!("https://admin.example/trust-monitor?sekey={id}")),
        );
        if dice.chance(350) {
            let mut triaged = json.clone();
            let from_us = (surfaced_us + dice.between(20 * MINUTE, 8 * HOUR)) / 1_000 * 1_000;
            put(&mut triaged, "state", json!("processed"));
            put(&mut triaged, "state_updated_timestamp", json!(from_us / 1_000));
            put(&mut triaged, "triaged_as_interesting", json!(dice.chance(300)));
            later.push(Later {
                feed: Feed::TrustMonitor,
                id: id.clone(),
                from_us,
                json: triaged,
            });
        }
        events.push(Row {
            feed: Feed::TrustMonitor,
            time_us: surfaced_us,
            id,
            json,
        });
    }
    (events, later)
}

fn put(event: &mut Value, member: &str, value: Value) {
    if let Some(members) = event.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

/// What all events have.
fn common(kind: &str, dice: &mut Dice) -> Value {
    let priority = dice.chance(100);
    let reasons = if priority {
        json!([{"label": "Priority users", "type": "group"}])
    } else {
        json!([])
    };
    json!({
        "priority_event": priority, "priority_reasons": reasons, "state": "new", "state_updated_timestamp": null,
        "triaged_as_interesting": false, "type": kind,
    })
}

/// A login that stands out.
fn surfaced(row: &Row, why: &str, dice: &mut Dice) -> Value {
    let name = row
        .json
        .pointer("/user/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let summary = match why {
        "NEW_COUNTRY_CODE" => format!("{name} has not logged in from this country recently."),
        "NEW_NETBLOCK" => format!("{name} has not logged in from this IP recently."),
        _ => format!("{name} has rarely used this IP."),
    };
    let mut auth = row.json.clone();
    put(&mut auth, "alias", json!("unknown"));
    put(&mut auth, "event_type", Value::Null);
    put(&mut auth, "trusted_endpoint_status", Value::Null);
    let mut event = common("auth", dice);
    put(&mut event, "explanations", json!([{"summary": summary, "type": why}]));
    put(&mut event, "from_common_netblock", json!(false));
    put(&mut event, "from_new_user", json!(dice.chance(50)));
    put(&mut event, "low_risk_ip", json!(dice.chance(200)));
    put(&mut event, "surfaced_auth", auth);
    event
}

/// An account in bypass that is in use.
fn bypass_status(company: &Company, row: &Row, dice: &mut Dice) -> Value {
    let by = company
        .admins
        .first()
        .map(|admin| json!({"key": admin.key, "name": admin.name}));
    let user = |member: &str| row.json.pointer(member).cloned().unwrap_or_default();
    let mut event = common("bypass_status", dice);
    put(
        &mut event,
        "bypass_status_enabled",
        json!(row.time_us / 1_000 - dice.between(1, 30) * 86_400_000),
    );
    put(&mut event, "enabled_by", json!(by));
    put(
        &mut event,
        "enabled_for",
        json!({"key": user("/user/key"), "name": user("/user/name")}),
    );
    event
}

/// A device that was enrolled.
fn device_registration(row: &Row, dice: &mut Dice) -> Value {
    let user = row.json.pointer("/user").cloned().unwrap_or_default();
    let mut event = common("device_registration", dice);
    let summary = "The device runs an operating system that is out of date.";
    put(
        &mut event,
        "explanations",
        json!([{"summary": summary, "type": "REGISTER_OS_OUTDATED"}]),
    );
    put(&mut event, "from_new_user", json!(dice.chance(500)));
    put(
        &mut event,
        "registered_device_user",
        json!({"key": user.get("key"), "name": user.get("name")}),
    );
    event
}
