//! Authentication rows, v2 shape: some 31 fields, with the nulls and gaps of real ones.
//!
//! What is in the access device depends on how the application asks (see `world::Prompt`). Now and then a row has what a
//! reader of the documentation does not expect: a location of nulls or dashes, an address with a port, `"null"` as a
//! host's name, a field or a value nobody has documented yet. Rows that tell a planted story are left plain, so that what
//! was planted is certain to stand in them.

use serde_json::{Value, json};

use super::Object;
use crate::company::clock::{SECOND, iso_micros};
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::{Machine, User};
use crate::company::world::{Prompt, SSO_TARGETS};
use crate::company::{Application, Company};
use crate::model::{Feed, Row};

/// One attempt to get in, and how it ended.
#[derive(Clone)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a User,
    pub(crate) time_us: i64,
    pub(crate) application: &'a Application,
    pub(crate) site: Site,
    pub(crate) machine: &'a Machine,
    pub(crate) factor: &'static str,
    pub(crate) result: &'static str,
    /// Null for an enrolment.
    pub(crate) reason: Option<&'static str>,
    /// What answered.
    pub(crate) device: Device<'a>,
    /// Enrolment of a device, not a login.
    pub(crate) enrollment: bool,
    /// The factor behind a remembered device.
    pub(crate) remembered: Option<&'static str>,
    /// No oddities: the row belongs to a planted story.
    pub(crate) plain: bool,
}

/// The authentication device.
#[derive(Clone, Copy)]
pub(crate) enum Device<'a> {
    /// A phone that answered over the network, from here.
    Phone {
        key: &'a str,
        label: &'a str,
        site: Option<Site>,
    },
    /// A key or token, by its name.
    Named(&'a str),
    None,
}

/// Writes it down.
pub(crate) fn row(login: &Login<'_>, company: &Company, dice: &mut Dice) -> Row {
    let txid = dice.uuid();
    row_with(login, txid, company, dice)
}

/// Writes it down under a `txid` that a telephony row knows already.
pub(crate) fn row_with(login: &Login<'_>, txid: String, company: &Company, dice: &mut Dice) -> Row {
    let odd = !login.plain;
    let mut row = Object::new(24);
    row.put("access_device", access_device(login, dice));
    if !(odd && dice.chance(120)) {
        row.put("adaptive_trust_assessments", assessments(login, odd, dice));
    }
    row.put("alias", *dice.pick(&["", "", "", "unknown", login.user.email.as_str()]));
    row.put("application", application(login, dice));
    row.put("auth_device", auth_device(login, dice));
    row.put(
        "email",
        if odd && dice.chance(30) {
            Value::Null
        } else {
            Value::from(login.user.email.as_str())
        },
    );
    row.put(
        "event_type",
        if login.enrollment {
            "enrollment"
        } else {
            "authentication"
        },
    );
    row.put("factor", login.factor);
    row.put("isotimestamp", iso_micros(login.time_us));
    row.put("ood_software", *dice.pick(&[None, None, Some(""), Some("null")]));
    if odd && dice.chance(100) {
        row.put(
            "passport_assessment",
            json!({"is_supported": false, "reason": "absent_health_report"}),
        );
    }
    if odd && dice.chance(250) {
        row.put(
            "rbfs_triggered_attacks",
            if dice.chance(500) { json!([]) } else { Value::Null },
        );
    }
    row.put("reason", login.reason);
    if let Some(remembered) = login.remembered {
        row.put("remembered_factor", remembered);
    }
    row.put("result", login.result);
    if odd && dice.chance(3) {
        row.put(
            "session_assurance",
            json!({"level": dice.between(1, 4), "profile": null}),
        );
    }
    row.put("timestamp", login.time_us.div_euclid(SECOND));
    row.put(
        "trusted_endpoint_status",
        if odd && dice.chance(2) {
            "evaluation_pending"
        } else {
            login.machine.trusted
        },
    );
    if login.application.prompt == Prompt::Browser && dice.chance(150) {
        row.put("trusted_session_info", json!({"trusted_session_uuid": dice.uuid()}));
    }
    row.put("txid", txid.as_str());
    let mut user = Object::new(3);
    user.put("groups", login.user.groups.clone());
    user.put("key", login.user.key.as_str());
    user.put("name", login.user.name.as_str());
    row.put("user", user.done());
    debug_assert!(company.owns(&login.application.key));
    Row {
        feed: Feed::Authentication,
        time_us: login.time_us,
        id: txid,
        json: row.done(),
    }
}

fn access_device(login: &Login<'_>, dice: &mut Dice) -> Value {
    let (machine, prompt) = (login.machine, login.application.prompt);
    let browser = prompt == Prompt::Browser;
    let odd = !login.plain;
    // A terminal often knows no address at all.
    let nowhere = odd && prompt == Prompt::Shell && dice.chance(400);
    let mut device = Object::new(15);
    let text = |shown: bool, text: &'static str| if shown { Value::from(text) } else { Value::Null };
    device.put("browser", text(browser, machine.software.browser));
    device.put("browser_version", text(browser, machine.software.browser_version));
    device.put("epkey", if browser { machine.epkey.clone() } else { None });
    let plugin = if browser && machine.software.browser == "Firefox" {
        Value::from("uninstalled")
    } else {
        Value::Null
    };
    device.put("flash_version", plugin.clone());
    let hostname = match prompt {
        Prompt::Logon | Prompt::Shell => machine.hostname.as_deref().map_or(Value::Null, Value::from),
        _ if odd && dice.chance(40) => Value::from("null"),
        _ => Value::Null,
    };
    device.put("hostname", hostname);
    let address = if nowhere {
        if dice.chance(400) {
            Value::from("0.0.0.0")
        } else {
            Value::Null
        }
    } else if odd && login.remembered.is_none() && login.site.ip.is_ipv4() && dice.chance(2) {
        Value::from(format!("{}:{}", login.site.ip, dice.between(1_024, 65_535)))
    } else {
        Value::from(login.site.ip.to_string())
    };
    device.put("ip", address);
    let health = || {
        if browser && machine.reports {
            Value::from(true)
        } else {
            Value::from("unknown")
        }
    };
    device.put("is_encryption_enabled", health());
    device.put("is_firewall_enabled", health());
    device.put(
        "is_password_set",
        if odd && machine.reports && dice.chance(50) {
            Value::from("true")
        } else {
            health()
        },
    );
    device.put("java_version", plugin);
    if let Some(location) = location(login.site, nowhere, odd, dice) {
        device.put("location", location);
    }
    device.put("os", text(browser || prompt == Prompt::Logon, machine.software.os));
    device.put(
        "os_version",
        text(browser || prompt == Prompt::Logon, machine.software.os_version),
    );
    match dice.below(20) {
        0 => {}
        1 => device.put("security_agents", Value::Null),
        2 | 3 => device.put("security_agents", json!([])),
        4 | 5 if machine.reports => device.put(
            "security_agents",
            json!([{"security_agent": "cisco-amp", "version": "1.24.0.967"}]),
        ),
        _ => device.put("security_agents", "unknown"),
    }
    device.done()
}

/// City, state and country, or what Duo sends where it does not know them.
fn location(site: Site, nowhere: bool, odd: bool, dice: &mut Dice) -> Option<Value> {
    let mut location = Object::new(3);
    let mut same = |value: Value| {
        location.put("city", value.clone());
        location.put("country", value.clone());
        location.put("state", value);
    };
    let chance = if odd { dice.below(1_000) } else { 999 };
    match chance {
        _ if nowhere => same(Value::Null),
        0..8 => same(Value::Null),
        8..16 => same(Value::from("-")),
        16..20 => return None,
        20..30 => {
            location.put("city", Value::Null);
            location.put("country", site.city.country);
            location.put("state", site.city.state);
        }
        _ => {
            location.put("city", site.city.name);
            location.put("country", site.city.country);
            location.put("state", site.city.state);
        }
    }
    Some(location.done())
}

fn auth_device(login: &Login<'_>, dice: &mut Dice) -> Value {
    let mut device = Object::new(5);
    let (ip, key, place, name) = match login.device {
        Device::Phone { key, label, site } => (site.map(|site| site.ip.to_string()), Some(key), site, Some(label)),
        Device::Named(name) => (None, Some(name), None, Some(name)),
        Device::None => (None, None, None, None),
    };
    device.put("ip", ip);
    device.put("key", key);
    let place = match place {
        Some(site) => location(site, false, !login.plain, dice),
        None => Some(json!({"city": null, "country": null, "state": null})),
    };
    if let Some(place) = place {
        device.put("location", place);
    }
    device.put("name", name);
    device.done()
}

fn application(login: &Login<'_>, dice: &mut Dice) -> Value {
    let mut application = Object::new(3);
    if login.application.name == "Single Sign-On" {
        application.put("destination_name", *dice.pick(&SSO_TARGETS));
    }
    application.put("key", login.application.key.as_str());
    application.put("name", login.application.name);
    application.done()
}

/// The verdicts of risk-based authentication, which only some logins carry.
fn assessments(login: &Login<'_>, odd: bool, dice: &mut Dice) -> Value {
    if !odd || login.enrollment || !dice.chance(120) {
        return json!({});
    }
    let verdict = |reason: &str| {
        json!({
            "features_version": "3.0", "model_version": "2022.07.19.001", "policy_enabled": false,
            "reason": reason, "trust_level": "NORMAL",
        })
    };
    if login.remembered.is_some() {
        json!({"remember_me": verdict("Known Access IP")})
    } else {
        let mut more = verdict("Normal level of trust; no detection of known attack pattern.");
        if let Some(members) = more.as_object_mut() {
            members.insert(
                "detected_attack_detectors".to_owned(),
                if dice.chance(500) { json!([]) } else { Value::Null },
            );
            members.insert("preview_mode_enabled".to_owned(), Value::from(false));
            members.sort_keys();
        }
        json!({"more_secure_auth": more})
    }
}
