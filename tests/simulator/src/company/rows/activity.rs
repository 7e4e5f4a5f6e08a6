//! Activity rows, v2 shape: what administrators, users, synchronisations and the system did; and beside each the row that
//! the administrator log (v1) has of the same action, spelled its own way.
//!
//! Details are JSON inside a string, sometimes cut off, sometimes null, sometimes an object after all.

use serde_json::{Value, json};

use super::administrator::{Description, Entry, cut};
use super::{Object, administrator, dumps};
use crate::company::Company;
use crate::company::clock::{DAY, iso_micros};
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::{Admin, Machine, User};
use crate::model::{Feed, Row};

/// Who did it.
#[derive(Clone, Copy)]
pub(crate) enum Actor<'a> {
    /// Somebody in the admin panel, from this place.
    Admin(&'a Admin, Site),
    /// A user at the self-service portal.
    User(&'a User, Site),
    /// A directory synchronisation.
    Sync,
    /// Duo itself.
    System,
    /// A program, by the Admin API.
    Api(&'a str),
}

/// What it was done to.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    User(&'a User),
    /// A user's ways around the second factor.
    Bypass(&'a User),
    Phone {
        key: &'a str,
        number: &'a str,
    },
    Other {
        kind: &'static str,
        key: Option<&'a str>,
        name: &'a str,
    },
    Kind(&'static str),
}

/// An action.
pub(crate) struct Action<'a> {
    pub(crate) time_us: i64,
    pub(crate) actor: Actor<'a>,
    /// As the activity log spells it.
    pub(crate) name: &'static str,
    /// As the administrator log spells it. None: that log does not have it.
    pub(crate) v1: Option<&'static str>,
    pub(crate) target: Target<'a>,
    /// What is said of the action, if anything.
    pub(crate) details: Option<Value>,
    /// What is said of the target, if anything.
    pub(crate) about_target: Option<Value>,
    /// No oddities: the row belongs to a planted story.
    pub(crate) plain: bool,
}

/// Writes it down: the activity row and, where there is one, the administrator row.
pub(crate) fn rows(action: &Action<'_>, company: &Company, dice: &mut Dice) -> (Row, Option<Row>) {
    let v1 = action
        .v1
        .map(|name| administrator::row(entry(action, name, company, dice), dice));
    (activity(action, company, dice), v1)
}

fn activity(action: &Action<'_>, company: &Company, dice: &mut Dice) -> Row {
    let id = dice.uuid();
    let odd = !action.plain;
    let (machine, site) = match action.actor {
        Actor::Admin(admin, site) => (Some(&admin.machine), Some(site)),
        Actor::User(user, site) => (Some(&user.machine), Some(site)),
        _ => (None, None),
    };
    let mut row = Object::new(10);
    match machine.zip(site) {
        Some((machine, site)) => row.put("access_device", access_device(machine, site, odd, dice)),
        None if dice.chance(500) => row.put("access_device", Value::Null),
        None => {}
    }
    let mut what = Object::new(2);
    what.put("details", in_string(action.details.as_ref(), odd, dice));
    what.put("name", action.name);
    row.put("action", what.done());
    row.put("activity_id", id.as_str());
    row.put("actor", actor(action, company, odd, dice));
    row.put("akey", company.akey.as_str());
    match action.actor {
        Actor::User(..) => {
            let portal = company.application("User Portal");
            row.put(
                "application",
                json!({"key": portal.key, "name": portal.name, "type": "websdk"}),
            );
        }
        _ => row.put("application", Value::Null),
    }
    if odd && dice.chance(5) {
        row.put("correlation", json!({"request": dice.uuid()}));
    }
    row.put("old_target", Value::Null);
    row.put(
        "outcome",
        if action.name == "admin_login" {
            json!({"result": "SUCCESS"})
        } else {
            Value::Null
        },
    );
    row.put("target", target(action, odd, dice));
    row.put("ts", iso_micros(action.time_us));
    Row {
        feed: Feed::Activity,
        time_us: action.time_us,
        id,
        json: row.done(),
    }
}

fn access_device(machine: &Machine, site: Site, odd: bool, dice: &mut Dice) -> Value {
    let known = !(odd && dice.chance(20));
    let place = if known {
        json!({"city": site.city.name, "country": site.city.country, "state": site.city.state})
    } else {
        json!({"city": "-", "country": "-", "state": "-"})
    };
    json!({
        "browser": machine.software.browser, "browser_version": machine.software.browser_version,
        "ip": {"address": site.ip.to_string()}, "location": place,
        "os": machine.software.os, "os_version": machine.software.os_version,
    })
}

fn actor(action: &Action<'_>, company: &Company, odd: bool, dice: &mut Dice) -> Value {
    let made = |earlier: i64| iso_micros((action.time_us - earlier).div_euclid(1_000_000) * 1_000_000);
    let mut actor = Object::new(4);
    let (details, key, name, kind) = match action.actor {
        Actor::Admin(admin, _) => {
            let details = json!({"created": made(400 * DAY), "email": admin.email, "groups": null, "last_login": made(DAY / 3), "status": null});
            (Some(details), Some(admin.key.as_str()), admin.name.as_str(), "admin")
        }
        Actor::User(user, _) => {
            let groups: Vec<Value> = user
                .groups
                .iter()
                .map(|name| json!({"key": null, "name": name}))
                .collect();
            let details = json!({"created": made(300 * DAY), "email": user.email, "groups": groups, "last_login": made(DAY), "status": "Active"});
            (Some(details), Some(user.key.as_str()), user.name.as_str(), "user")
        }
        Actor::Sync => (None, None, company.directory.as_str(), "system"),
        Actor::System => (None, None, "System", "system"),
        Actor::Api(name) => (None, None, name, "api"),
    };
    actor.put("details", in_string(details.as_ref(), odd, dice));
    actor.put("key", key);
    actor.put("name", name);
    actor.put("type", kind);
    actor.done()
}

fn target(action: &Action<'_>, odd: bool, dice: &mut Dice) -> Value {
    let (key, name, kind) = match action.target {
        Target::User(user) => (Some(user.key.as_str()), Some(user.name.as_str()), "user"),
        Target::Bypass(user) => (Some(user.key.as_str()), Some(user.name.as_str()), "user_bypass"),
        Target::Phone { key, number } => (Some(key), Some(number), "phone"),
        Target::Other { kind, key, name } => (key, Some(name), kind),
        Target::Kind(kind) => (None, None, kind),
    };
    let mut target = Object::new(4);
    target.put("details", in_string(action.about_target.as_ref(), odd, dice));
    target.put("key", key);
    target.put("name", name);
    target.put("type", kind);
    target.done()
}

/// JSON in a string; in some rows cut off, null or not in a string at all.
fn in_string(value: Option<&Value>, odd: bool, dice: &mut Dice) -> Value {
    let Some(value) = value else { return Value::Null };
    match if odd { dice.below(200) } else { 199 } {
        0..3 => Value::from(cut(&dumps(value))),
        3..6 => Value::Null,
        6 => value.clone(),
        _ => Value::from(dumps(value)),
    }
}

/// The same action as the v1 log has it.
fn entry(action: &Action<'_>, name: &str, company: &Company, dice: &mut Dice) -> Entry {
    let username = match action.actor {
        Actor::Admin(admin, _) => admin.name.clone(),
        Actor::User(user, _) => user.name.clone(),
        Actor::Sync => company.directory.clone(),
        Actor::System => "System".to_owned(),
        Actor::Api(name) => name.to_owned(),
    };
    let object = match action.target {
        Target::User(user) | Target::Bypass(user) => Some(user.name.clone()),
        Target::Phone { number, .. } => Some(number.to_owned()),
        Target::Other { name, .. } => Some(name.to_owned()),
        Target::Kind(_) => None,
    };
    let said = match (action.actor, action.name, action.about_target.as_ref()) {
        // A login says here what the activity row has in other places.
        (Actor::Admin(admin, site), "admin_login", _) => Some(
            json!({"device": "+1 734-555-0100", "factor": "push", "ip_address": site.ip.to_string(), "primary_auth_method": "Password", "role": admin.role}),
        ),
        (_, _, Some(about)) => Some(about.clone()),
        _ => action.details.clone(),
    };
    let description = match (said, if action.plain { 99 } else { dice.below(100) }) {
        (Some(value), 0..2) => Description::Cut(value),
        (Some(_), 2) => Description::Text("Changed in the admin panel".to_owned()),
        (Some(value), _) => Description::Json(value),
        (None, 0..50) => Description::Absent,
        (None, _) => Description::Null,
    };
    Entry {
        time_us: action.time_us,
        action: name.to_owned(),
        username,
        object,
        description,
    }
}
