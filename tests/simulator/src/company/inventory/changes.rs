//! What the rows of the logs do to the inventory.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Ledger;
use super::codes::Code;
use super::machines::{Seen, endpoint};
use super::people::{Handset, Person};
use crate::company::Span;
use crate::company::clock::{DAY, MINUTE, SECOND};
use crate::company::dice::Dice;
use crate::inventory::Kind;
use crate::model::{Feed, Row};

/// How long before an administrator clears it somebody was locked out.
const LOCKED: i64 = 4 * MINUTE;

/// A member's text; empty where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What is said of an action's target: JSON in a string, or bare; null where it was cut off.
fn about(row: &Row) -> Value {
    match row.json.pointer("/target/details") {
        Some(Value::String(inner)) => serde_json::from_str(inner).unwrap_or_default(),
        Some(bare @ Value::Object(_)) => bare.clone(),
        _ => Value::Null,
    }
}

fn action(row: &Row) -> &str {
    match row.feed {
        Feed::Activity => text(&row.json, "/action/name"),
        _ => "",
    }
}

/// What must have been so before the first row, since the rows live on it: accounts in bypass, codes in drawers, and users
/// who left long ago and are only now removed.
pub(super) fn before(ledger: &mut Ledger<'_>, rows: &[Row], span: &Span, dice: &mut Dice) {
    let mut bypassed = BTreeSet::new();
    let mut drawers: BTreeMap<&str, i64> = BTreeMap::new();
    let mut made = BTreeSet::new();
    let mut created = BTreeSet::new();
    for row in rows {
        let user = text(&row.json, "/target/key");
        match (row.feed, action(row)) {
            (Feed::Authentication, _) => {
                let user = text(&row.json, "/user/key");
                if text(&row.json, "/reason") == "bypass_user" {
                    bypassed.insert(user);
                }
                if text(&row.json, "/factor") == "bypass_code" && !made.contains(user) {
                    *drawers.entry(user).or_default() += 1;
                }
            }
            (_, "bypass_create") => {
                made.insert(user);
            }
            (_, "bypass_delete") if !made.contains(user) => {
                *drawers.entry(user).or_default() += 1;
            }
            (_, "user_create") => {
                created.insert(user);
            }
            (_, "user_delete") if !ledger.people.persons.contains_key(user) && !created.contains(user) => {
                let person = former(row, span, dice);
                ledger.people.add(&mut ledger.out, person, i64::MIN);
            }
            _ => {}
        }
    }
    for user in bypassed {
        ledger
            .people
            .change(&mut ledger.out, user, i64::MIN, |person| person.status = "bypass");
    }
    let admin_email = ledger.company.admins.first().map_or("", |admin| &admin.email);
    for (user, count) in drawers {
        for _ in 0..count {
            let code = Code {
                user: user.to_owned(),
                admin_email: admin_email.to_owned(),
                created: (span.start - dice.between(40, 300) * DAY).div_euclid(SECOND),
                expires: None,
                left: Some(1),
            };
            let id = dice.key("DB");
            ledger.codes.make(&mut ledger.out, &ledger.people, &id, code, i64::MIN);
        }
    }
}

/// Somebody who is only in the logs by being removed.
fn former(row: &Row, span: &Span, dice: &mut Dice) -> Person {
    let about = about(row);
    Person {
        status: "disabled",
        ..stranger(
            row,
            &about,
            (span.start - dice.between(400, 2_000) * DAY).div_euclid(SECOND),
        )
    }
}

/// A user as an action's row tells of them, without groups or devices.
fn stranger(row: &Row, about: &Value, created: i64) -> Person {
    Person {
        key: text(&row.json, "/target/key").to_owned(),
        name: text(&row.json, "/target/name").to_owned(),
        real_name: text(about, "/realname").to_owned(),
        email: text(about, "/email").to_owned(),
        groups: Vec::new(),
        phones: Vec::new(),
        token: None,
        credential: None,
        u2f: None,
        status: "active",
        lockout: None,
        notes: String::new(),
        created,
        enrolled: false,
        gone: false,
    }
}

/// Reads all rows, oldest first.
pub(super) fn read(ledger: &mut Ledger<'_>, rows: &[Row]) {
    let mut locks: Vec<(i64, &str)> = rows
        .iter()
        .filter(|row| action(row) == "user_lockout_cleared")
        .map(|row| (row.time_us - LOCKED, text(&row.json, "/target/key")))
        .collect();
    locks.sort_unstable();
    let mut locks = locks.into_iter().peekable();
    for row in rows {
        while let Some((at, user)) = locks.next_if(|(at, _)| *at <= row.time_us) {
            ledger.codes.expire(&mut ledger.out, at);
            ledger.people.change(&mut ledger.out, user, at, |person| {
                if person.status == "active" {
                    person.status = "locked out";
                    person.lockout = Some("Failed Attempts");
                }
            });
        }
        ledger.codes.expire(&mut ledger.out, row.time_us);
        match row.feed {
            Feed::Authentication => login(ledger, row),
            Feed::Activity => done(ledger, row),
            Feed::Administrator if text(&row.json, "/action") == "ad_sync_finish" => {
                ledger.out.note("sync", row.time_s());
            }
            _ => {}
        }
    }
    ledger.codes.expire(&mut ledger.out, i64::MAX);
}

/// What a login leaves behind.
fn login(ledger: &mut Ledger<'_>, row: &Row) {
    let (user, phone) = (text(&row.json, "/user/key"), text(&row.json, "/auth_device/key"));
    if text(&row.json, "/event_type") == "enrollment" {
        enrolled(ledger, row, user, phone);
        return;
    }
    if text(&row.json, "/result") != "success" {
        return;
    }
    if text(&row.json, "/factor") == "bypass_code" {
        ledger.codes.used(&mut ledger.out, &ledger.people, user, row.time_us);
    }
    ledger.out.note(user, row.time_s());
    if ledger.people.phones.contains_key(phone) {
        ledger.out.note(phone, row.time_s());
    }
    let key = text(&row.json, "/access_device/epkey");
    if key.is_empty() {
        return;
    }
    ledger.out.note(key, row.time_s());
    if !ledger.endpoints.contains_key(key) {
        let device = |member: &str| text(&row.json, &format!("/access_device/{member}"));
        let seen = Seen {
            key,
            user: text(&row.json, "/user/name"),
            email: text(&row.json, "/email"),
            os: device("os"),
            os_version: device("os_version"),
            browser: device("browser"),
            browser_version: device("browser_version"),
        };
        let json = endpoint(&seen, None, false, text(&row.json, "/trusted_endpoint_status"));
        ledger.out.put(Kind::Endpoint, key, row.time_us, &[user], Some(&json));
        ledger.endpoints.insert(key.to_owned(), seen.user.to_owned());
    }
}

/// A device becomes one of the user's.
fn enrolled(ledger: &mut Ledger<'_>, row: &Row, user: &str, phone: &str) {
    if phone.is_empty() {
        return;
    }
    if !ledger.people.phones.contains_key(phone) {
        let label = text(&row.json, "/auth_device/name");
        let digits: String = label.chars().filter(char::is_ascii_digit).collect();
        let handset = Handset {
            number: if digits.len() < 7 {
                String::new()
            } else {
                format!("+{digits}")
            },
            name: label.split_once(" (").map_or("", |(name, _)| name).to_owned(),
            model: "Unknown".to_owned(),
            platform: "Generic Smartphone",
            activated: false,
            owners: Vec::new(),
        };
        ledger.people.phones.insert(phone.to_owned(), handset);
    }
    if let Some(person) = ledger
        .people
        .persons
        .get_mut(user)
        .filter(|person| person.groups.is_empty())
    {
        let groups = row.json.pointer("/user/groups").and_then(Value::as_array);
        let names = groups.into_iter().flatten().filter_map(Value::as_str);
        person.groups = names.map(str::to_owned).collect();
    }
    ledger.people.hand_over(&mut ledger.out, phone, user, row.time_us);
}

/// What an administrator, a synchronisation or a user did.
fn done(ledger: &mut Ledger<'_>, row: &Row) {
    let (now, target) = (row.time_us, text(&row.json, "/target/key"));
    let out = &mut ledger.out;
    match action(row) {
        "admin_login" => out.note(text(&row.json, "/actor/key"), row.time_s()),
        "user_create" => {
            let mut person = stranger(row, &about(row), row.time_s());
            text(&about(row), "/notes").clone_into(&mut person.notes);
            ledger.people.add(out, person, now);
        }
        "user_delete" => {
            ledger.codes.forget(out, target, now);
            ledger.people.remove(out, target, now);
        }
        "user_update" => {
            let about = about(row);
            if let Some(notes) = about.get("notes").and_then(Value::as_str) {
                ledger
                    .people
                    .change(out, target, now, |person| notes.clone_into(&mut person.notes));
            }
        }
        "user_lockout_cleared" => ledger.people.change(out, target, now, |person| {
            if person.status == "locked out" {
                person.status = "active";
            }
            person.lockout = None;
        }),
        "deregister_devices" => ledger.people.strip(out, target, now),
        "phone_create" => phone_created(ledger, row, target),
        "phone_update" => {
            if let Some((platform, model)) = described(&about(row)) {
                ledger.people.change_phone(out, target, now, |phone| {
                    phone.platform = platform;
                    phone.model = model;
                });
            }
        }
        "bypass_create" => minted(ledger, row, target),
        "bypass_delete" => ledger.codes.revoke(out, target, now),
        "integration_update" => {
            if let Some(notes) = about(row).get("notes").and_then(Value::as_str) {
                ledger.panel.annotate(out, target, notes, now);
            }
        }
        "policy_update" => {
            if let Some(days) = about(row).get("browsers_max_ood").and_then(Value::as_i64) {
                ledger.panel.tolerate(out, text(&row.json, "/target/name"), days, now);
            }
        }
        _ => {}
    }
}

/// A phone is entered; if its owner did it, it is theirs at once.
fn phone_created(ledger: &mut Ledger<'_>, row: &Row, key: &str) {
    let (platform, model) = described(&about(row)).unwrap_or(("Generic Smartphone", "Unknown".to_owned()));
    let handset = Handset {
        number: text(&row.json, "/target/name").to_owned(),
        name: String::new(),
        model,
        platform,
        activated: false,
        owners: Vec::new(),
    };
    ledger.people.phones.insert(key.to_owned(), handset);
    ledger.people.show_phone(&mut ledger.out, key, row.time_us);
    if text(&row.json, "/actor/type") == "user" {
        let owner = text(&row.json, "/actor/key");
        ledger.people.hand_over(&mut ledger.out, key, owner, row.time_us);
    }
}

/// Platform and model, as a phone's row tells them.
fn described(about: &Value) -> Option<(&'static str, String)> {
    let platform = match text(about, "/os") {
        "iOS" => "Apple iOS",
        "Android" => "Google Android",
        _ => return None,
    };
    Some((
        platform,
        format!("{} {}", text(about, "/manufacturer"), text(about, "/model")),
    ))
}

/// Bypass codes are handed out.
fn minted(ledger: &mut Ledger<'_>, row: &Row, user: &str) {
    let about = about(row);
    let number = |member: &str| about.get(member).and_then(Value::as_i64).filter(|number| *number > 0);
    let actor = text(&row.json, "/actor/name");
    let admin = ledger.company.admins.iter().find(|admin| admin.name == actor);
    let code = Code {
        user: user.to_owned(),
        admin_email: admin.map_or("", |admin| &admin.email).to_owned(),
        created: row.time_s(),
        expires: number("valid_secs").map(|valid| row.time_s() + valid),
        left: number("remaining_uses"),
    };
    let ids = about.get("bypass_code_ids").and_then(Value::as_array);
    for id in ids.into_iter().flatten().filter_map(Value::as_str) {
        ledger
            .codes
            .make(&mut ledger.out, &ledger.people, id, code.clone(), row.time_us);
    }
}
