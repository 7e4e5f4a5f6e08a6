//! Computers: endpoints, devices registered by Duo Desktop, and the few desktop tokens.

use serde_json::{Value, json};

use super::Ledger;
use crate::company::Span;
use crate::company::clock::DAY;
use crate::company::dice::Dice;
use crate::inventory::{Inventory, Kind};

/// Puts down every computer that Duo knows before the first row.
pub(super) fn stand(ledger: &mut Ledger<'_>, span: &Span, dice: &mut Dice) {
    let company = ledger.company;
    for user in &company.users {
        let machine = &user.machine;
        let software = &machine.software;
        let hostname = machine.hostname.as_deref();
        if let Some(key) = &machine.epkey {
            let seen = Seen {
                key,
                user: &user.name,
                email: &user.email,
                os: software.os,
                os_version: software.os_version,
                browser: software.browser,
                browser_version: software.browser_version,
            };
            let json = endpoint(&seen, hostname, machine.reports, machine.trusted);
            ledger.endpoints.insert(key.clone(), user.name.clone());
            ledger.out.put(Kind::Endpoint, key, i64::MIN, &[&user.key], Some(&json));
        }
        let registered = (span.start - dice.between(10, 400) * DAY).div_euclid(1_000_000);
        if machine.reports {
            let key = dice.key("CP");
            let serial = dice.text("", 10, b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ");
            let json = json!({
                "compkey": key, "device_id": dice.uuid(), "device_name": hostname, "device_serial": serial,
                "email": user.email, "last_updated": format!("@last:{}", user.key), "os_family": software.os,
                "os_version": software.os_version, "registered_at": registered,
                "status": if dice.chance(20) { "blocked" } else { "active" }, "user_id": user.key, "username": user.name,
            });
            put(&mut ledger.out, Kind::RegisteredDevice, &key, &user.key, &json);
            if dice.chance(120) {
                let key = dice.key("DA");
                let json = json!({
                    "dakey": key, "daid": key, "device_name": hostname, "enrolled": registered, "last_updated": registered,
                    "user": {"user_id": user.key, "username": user.name},
                });
                put(&mut ledger.out, Kind::DesktopAuthenticator, &key, &user.key, &json);
            }
        }
        if dice.chance(15) {
            let key = dice.key("DP");
            let json = json!({
                "desktoptoken_id": key, "name": "", "platform": software.os, "type": "Desktop Token",
                "users": [{"user_id": user.key, "username": user.name}],
            });
            put(&mut ledger.out, Kind::DesktopToken, &key, &user.key, &json);
        }
    }
}

fn put(out: &mut Inventory, kind: Kind, key: &str, user: &str, json: &Value) {
    out.put(kind, key, i64::MIN, &[user], Some(json));
}

/// What a login shows of a computer.
pub(super) struct Seen<'a> {
    pub(super) key: &'a str,
    pub(super) user: &'a str,
    pub(super) email: &'a str,
    pub(super) os: &'a str,
    pub(super) os_version: &'a str,
    pub(super) browser: &'a str,
    pub(super) browser_version: &'a str,
}

/// An endpoint's JSON.
pub(super) fn endpoint(seen: &Seen<'_>, hostname: Option<&str>, reports: bool, trusted: &str) -> Value {
    let known = |value: &'static str| if reports { value } else { "Unknown" };
    let trusted = match trusted {
        "trusted" => "yes",
        "not trusted" => "no",
        _ => "unknown",
    };
    let kind = match seen.os {
        "iOS" | "Android" => "mobile",
        "Windows" | "Mac OS X" => seen.os,
        _ => "computer",
    };
    let browsers = json!([{
        "browser_family": seen.browser, "browser_version": seen.browser_version, "flash_version": "uninstalled",
        "java_version": "uninstalled", "last_used": format!("@last:{}", seen.key),
    }]);
    json!({
        "browsers": browsers, "computer_sid": "", "cpu_id": "", "device_id": "", "device_identifier": "",
        "device_identifier_type": "", "device_name": hostname.filter(|_| reports).unwrap_or_default(), "device_udid": "",
        "device_username": "", "device_username_type": "", "disk_encryption_status": known("On"), "domain_sid": "",
        "email": seen.email, "epkey": seen.key, "firewall_status": known("On"), "hardware_uuid": "",
        "health_app_client_version": if reports { "6.9.0.0" } else { "" },
        "health_data_last_collected": if reports { format!("@last:{}", seen.key) } else { "@last:never".to_owned() },
        "last_updated": format!("@last:{}", seen.key), "machine_guid": "", "model": "", "os_build": "",
        "os_family": seen.os, "os_version": seen.os_version, "password_status": if reports { "Set" } else { "Unknown" },
        "security_agents": [], "trusted_endpoint": trusted, "type": kind, "username": seen.user,
    })
}
