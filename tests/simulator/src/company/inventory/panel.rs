//! What the Admin Panel keeps: administrators and their units, applications with their secret keys, policies, settings.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Reader;
use crate::company::clock::DAY;
use crate::company::dice::Dice;
use crate::company::world::Prompt;
use crate::company::{Company, Span};
use crate::inventory::{Inventory, Kind};

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What of it changes later.
pub(super) struct Panel {
    integrations: BTreeMap<String, Value>,
    /// By name.
    policies: BTreeMap<String, (String, Value)>,
}

impl Panel {
    /// The state before the first row.
    pub(super) fn furnish(
        company: &Company,
        span: &Span,
        reader: &Reader<'_>,
        out: &mut Inventory,
        dice: &mut Dice,
    ) -> Self {
        let policies = policies(out, dice);
        let staff = policies.get("Staff policy").map_or("", |(key, _)| key).to_owned();
        let integrations = integrations(company, reader, &staff, out, dice);
        admins(company, span, out, dice);
        let settings = settings(company);
        out.put(Kind::Settings, "settings", i64::MIN, &[], Some(&settings));
        Self { integrations, policies }
    }

    /// An application's notes are changed.
    pub(super) fn annotate(&mut self, out: &mut Inventory, key: &str, notes: &str, now_us: i64) {
        if let Some(integration) = self.integrations.get_mut(key) {
            set(integration, "notes", notes.into());
            out.put(Kind::Integration, key, now_us, &[], Some(integration));
        }
    }

    /// A policy allows browsers to be so many days out of date.
    pub(super) fn tolerate(&mut self, out: &mut Inventory, policy: &str, days: i64, now_us: i64) {
        if let Some((key, policy)) = self.policies.get_mut(policy) {
            if let Some(browsers) = policy.pointer_mut("/sections/browsers") {
                set(browsers, "out_of_date_days", days.into());
            }
            out.put(Kind::Policy, key, now_us, &[], Some(policy));
        }
    }
}

fn set(object: &mut Value, member: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

fn policies(out: &mut Inventory, dice: &mut Dice) -> BTreeMap<String, (String, Value)> {
    let mut made = BTreeMap::new();
    for (name, global, days) in [
        ("Global Policy", true, 0),
        ("Staff policy", false, 30),
        ("Contractors", false, 0),
    ] {
        let key = dice.key("PO");
        let policy = json!({
            "is_global_policy": global, "policy_key": key, "policy_name": name,
            "sections": {
                "authentication_policy": {"user_auth_behavior": "enforce"},
                "browsers": {"blocked_browsers_list": [], "out_of_date_days": days},
                "new_user": {"new_user_behavior": if global { "enroll" } else { "no-mfa-deny" }},
                "remembered_devices": {"browser_apps": {"enabled": true, "user_based": {"max_time_units": "days", "max_time_value": 7}}},
            },
        });
        out.put(Kind::Policy, &key, i64::MIN, &[], Some(&policy));
        made.insert(name.to_owned(), (key, policy));
    }
    made
}

fn integrations(
    company: &Company,
    reader: &Reader<'_>,
    policy: &str,
    out: &mut Inventory,
    dice: &mut Dice,
) -> BTreeMap<String, Value> {
    let mut made = BTreeMap::new();
    for application in &company.applications {
        let kind = match application.prompt {
            Prompt::Browser => "websdk",
            Prompt::Radius => "radius",
            Prompt::Logon => "rdp",
            Prompt::Shell => "unix",
        };
        let skey = dice.text("", 40, ALPHABET);
        let integration = integration(&application.key, &skey, application.name, kind, Some(policy));
        out.put(Kind::Integration, &application.key, i64::MIN, &[], Some(&integration));
        made.insert(application.key.clone(), integration);
    }
    let mut own = integration(reader.ikey, reader.skey, "Admin API: log collector", "adminapi", None);
    for (member, granted) in [
        ("adminapi_admins_read", 1),
        ("adminapi_info", 1),
        ("adminapi_integrations", 1),
        ("adminapi_read_log", 1),
        ("adminapi_read_resource", 1),
        ("adminapi_settings", 1),
        ("adminapi_admins", 0),
        ("adminapi_write_resource", 0),
    ] {
        set(&mut own, member, granted.into());
    }
    out.put(Kind::Integration, reader.ikey, i64::MIN, &[], Some(&own));
    made.insert(reader.ikey.to_owned(), own);
    made
}

fn integration(key: &str, skey: &str, name: &str, kind: &str, policy: Option<&str>) -> Value {
    json!({
        "enroll_policy": "enroll", "frameless_auth_prompt_enabled": 1, "greeting": "", "groups_allowed": [],
        "integration_key": key, "ip_whitelist": [], "ip_whitelist_enroll_policy": "", "name": name,
        "networks_for_api_access": "", "notes": "", "policy_key": policy, "prompt_v4_enabled": 1, "secret_key": skey,
        "self_service_allowed": 0, "trusted_device_days": 0, "type": kind, "username_normalization_policy": "None",
    })
}

fn admins(company: &Company, span: &Span, out: &mut Inventory, dice: &mut Dice) {
    let unit = dice.key("DR");
    let mut members = Vec::new();
    for admin in &company.admins {
        let restricted = admin.role == "Help Desk";
        if restricted {
            members.push(admin.key.clone());
        }
        let four = dice.between(0, 9_999);
        let mut json = json!({
            "admin_id": admin.key, "admin_units": if restricted { vec![unit.clone()] } else { Vec::new() },
            "email": admin.email, "hardtoken": null, "has_external_password_mgmt": false,
            "last_login": format!("@last:{}", admin.key), "name": admin.name, "password_change_required": false,
            "phone": format!("+1734555{four:04}"), "restricted_by_admin_units": restricted, "role": admin.role,
            "status": "Active",
        });
        // Administrators older than October 2021 have no such member.
        if admin.role != "Owner" {
            let created = (span.start - dice.between(80, 1_200) * DAY).div_euclid(1_000_000);
            set(&mut json, "created", created.into());
        }
        out.put(Kind::Admin, &admin.key, i64::MIN, &[], Some(&json));
    }
    let json = json!({
        "admin_unit_id": unit, "admins": members, "description": "Those who answer the phone", "groups": [],
        "integrations": [], "name": "Service desk", "restrict_by_groups": true, "restrict_by_integrations": false,
    });
    out.put(Kind::AdministrativeUnit, &unit, i64::MIN, &[], Some(&json));
    let key = dice.key("DA");
    let domain = company.users.first().and_then(|user| user.email.split_once('@'));
    let domain = domain.map_or("company.example", |(_, domain)| domain);
    let code = dice.text("", 20, ALPHABET);
    let json = json!({
        "admin_activation_id": key, "admin_role": "Read-only", "email": format!("auditor@{domain}"),
        "expires": span.end.div_euclid(1_000_000), "link": format!("https://admin.example/activate/{code}"),
        "code": code, "message": "", "valid_days": 7,
    });
    out.put(Kind::Activation, &key, i64::MIN, &[], Some(&json));
}

fn settings(company: &Company) -> Value {
    let name = company
        .directory
        .trim_start_matches("AD Sync: ")
        .trim_end_matches(" directory");
    json!({
        "caller_id": "+15035551000", "duo_mobile_otp_type": "totp", "email_activity_notification_enabled": true,
        "enrollment_universal_prompt_enabled": true, "fraud_email": "", "fraud_email_enabled": false,
        "global_ssp_policy_enforced": true, "helpdesk_bypass": "limit", "helpdesk_bypass_expiration": 60,
        "helpdesk_can_send_enroll_email": true, "inactive_user_expiration": 0, "keypress_confirm": "#",
        "keypress_fraud": "*", "language": "EN", "lockout_expire_duration": 0, "lockout_threshold": 10,
        "log_retention_days": 365, "minimum_password_length": 12, "name": name, "password_requires_lower_alpha": true,
        "password_requires_numeric": true, "password_requires_special": false, "password_requires_upper_alpha": true,
        "pending_deletion_days": 7, "push_activity_notification_enabled": true, "security_checkup_enabled": 1,
        "sms_batch": 1, "sms_expiration": 10, "sms_message": "SMS passcodes", "sms_refresh": 0,
        "telephony_warning_min": 100, "timezone": "UTC", "unenrolled_user_lockout_threshold": 0,
        "user_managers_can_put_users_in_bypass": true,
        "user_telephony_cost_max": 20,
    })
}
