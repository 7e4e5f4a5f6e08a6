//! Administrator v1 read as activity v2: the logical log `admin` where only the old log is permitted.
//!
//! | activity's path | from administrator's |
//! | --- | --- |
//! | `action.name` | `action`, under activity's name where it differs ([`action`]) |
//! | `action.details`, `target.details` and below | `description` and below; `auth_method` is `primary_auth_method`, `auth_device` is `device` |
//! | `actor.name` | `username` |
//! | `actor.type` | `api` for `API` and `API (...)`; `system` for `System`; `directory_sync` for `... Sync: ...`; null for none; else `admin` |
//! | `actor.details.email` | `description.admin_email` |
//! | `target.name` | `object` |
//! | `target.type` | by the action's first word ([`target_type`]) |
//! | `access_device.ip.address` | `description.ip_address` |
//! | `outcome.result` | `denied` for errors and lockouts, `success` for `admin_login`, else null |
//! | `ts` | `isotimestamp`, else `timestamp` |
//! | any other | null |

use crate::normal::{Mapping, NullWords};

/// The places where administrator v1 has what activity v2 has at `path`, and how to read it.
pub(crate) fn source(path: &str) -> Option<(Vec<String>, Mapping)> {
    let below = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    if let Some(key) = below("action.details").or_else(|| below("target.details")) {
        let key = match key {
            "auth_method" => "primary_auth_method",
            "auth_device" => "device",
            same => same,
        };
        return Some((vec![format!("description.{key}")], Mapping::of("admin", path)));
    }
    let (from, mapping) = match path {
        "action.name" => ("action", Mapping::V1Action),
        "action.details" | "target.details" => ("description", Mapping::Plain(NullWords::Empty)),
        "actor.name" => ("username", Mapping::Plain(NullWords::Empty)),
        "actor.type" => ("username", Mapping::V1ActorType),
        "actor.details.email" => ("description.admin_email", Mapping::Plain(NullWords::Unknown)),
        "target.name" => ("object", Mapping::Plain(NullWords::Empty)),
        "target.type" => ("action", Mapping::V1TargetType),
        "access_device.ip.address" => ("description.ip_address", Mapping::Address),
        "outcome.result" => ("action", Mapping::V1Outcome),
        "ts" => return Some((vec!["isotimestamp".to_owned(), "timestamp".to_owned()], Mapping::Time)),
        _ => return None,
    };
    Some((vec![from.to_owned()], mapping))
}

/// Activity's name of an administrator v1 action (a normalised word).
pub(crate) fn action(name: &str) -> &str {
    match name {
        "update_admin_factor_restrictions" | "admin_factor_restrictions_update" => "admin_factor_restrictions",
        "admin_reactivates_duo_push" => "admin_rectivates_duo_push",
        "regen_mobile" => "phone_activation_code_regenerated",
        "regen_sms" => "phone_new_sms_passcode",
        "ad_sync_failed" => "ad_sync_failure",
        "azure_sync_fail" => "azure_sync_failure",
        "openldap_sync_failed" => "openldap_sync_failure",
        same => same,
    }
}

/// What sort of actor a `username` is. None: it is empty, as at a login that failed.
pub(crate) fn actor_type(username: &str) -> Option<&'static str> {
    let username = username.trim();
    if username.is_empty() {
        None
    } else if username == "API" || username.starts_with("API (") {
        Some("api")
    } else if username == "System" {
        Some("system")
    } else if username.contains(" Sync: ") {
        Some("directory_sync")
    } else {
        Some("admin")
    }
}

/// What sort of thing an action acts on, as activity says it. None: it cannot be told from the name.
pub(crate) fn target_type(action: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 17] = [
        ("deregister_devices", "user"),
        ("admin_login", "admin_login"),
        ("admin_2fa_error", "admin_login"),
        ("admin_", "admin"),
        ("user_bulk_", "user_bulk"),
        ("user_import", "user_bulk"),
        ("user_", "user"),
        ("bypass_", "user_bypass"),
        ("phone_", "phone"),
        ("regen_", "phone"),
        ("hardtoken_", "hardtoken"),
        ("u2ftoken_", "u2ftoken"),
        ("webauthncredential_", "webauthn_credential"),
        ("policy_", "policy"),
        ("integration_", "integration"),
        ("application_install", "integration"),
        ("group_", "group"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| action.starts_with(prefix))
        .map(|(_, sort)| *sort)
}

pub(crate) fn outcome(action: &str) -> Option<&'static str> {
    match action {
        "admin_login" => Some("success"),
        "admin_login_error" | "admin_2fa_error" | "admin_lockout" | "adminapi_request_ip_denied" => Some("denied"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors() {
        for (username, sort) in [
            ("API (Admin API)", Some("api")),
            ("API", Some("api")),
            ("System", Some("system")),
            ("AD Sync: Corp", Some("directory_sync")),
            ("Azure Sync: Corp", Some("directory_sync")),
            ("Harry Helpdesk", Some("admin")),
            ("Apia Smith", Some("admin")),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(actor_type(username), sort, "{username}");
        }
    }

    #[test]
    fn targets() {
        for (action, sort) in [
            ("user_delete", Some("user")),
            ("user_bulk_enroll", Some("user_bulk")),
            ("bypass_create", Some("user_bypass")),
            ("admin_login_error", Some("admin_login")),
            ("admin_create", Some("admin")),
            ("customer_update", None),
        ] {
            assert_eq!(target_type(action), sort, "{action}");
        }
    }
}
