//! The ordinary work of administrators, synchronisations and the system, and what users do to their own devices.
//!
//! None of it opens an account: no bypass codes, no deletions by people, no status changes. Where the helpdesk helps
//! somebody with a phone, that somebody is not one of those who enrol a new device of their own.

use serde_json::{Value, json};

use super::clock::{DAY, HOUR, MINUTE, SECOND, weekend};
use super::dice::Dice;
use super::people::{Admin, User};
use super::rows::activity::{self, Action, Actor, Target};
use super::rows::administrator::{self, Description, Entry};
use super::{Company, Span};
use crate::model::Row;

/// What happens, as the activity log and the administrator log spell it, and how often.
static CHORES: [(Chore, u32); 15] = [
    (
        Chore {
            name: "admin_login",
            v1: Some("admin_login"),
        },
        26,
    ),
    (
        Chore {
            name: "user_update",
            v1: Some("user_update"),
        },
        8,
    ),
    (
        Chore {
            name: "phone_update",
            v1: Some("phone_update"),
        },
        7,
    ),
    (
        Chore {
            name: "group_update",
            v1: Some("group_update"),
        },
        4,
    ),
    (
        Chore {
            name: "policy_update",
            v1: Some("policy_update"),
        },
        2,
    ),
    (
        Chore {
            name: "integration_update",
            v1: Some("integration_update"),
        },
        2,
    ),
    (
        Chore {
            name: "phone_activation_code_regenerated",
            v1: None,
        },
        4,
    ),
    (
        Chore {
            name: "hardtoken_resync",
            v1: Some("hardtoken_resync"),
        },
        2,
    ),
    (
        Chore {
            name: "user_lockout_cleared",
            v1: Some("user_lockout_cleared"),
        },
        3,
    ),
    (
        Chore {
            name: "log_export_start",
            v1: None,
        },
        2,
    ),
    (
        Chore {
            name: "webauthncredential_rename",
            v1: None,
        },
        4,
    ),
    (
        Chore {
            name: "webauthncredential_create",
            v1: None,
        },
        4,
    ),
    (
        Chore {
            name: "o2fa_user_provisioned",
            v1: None,
        },
        3,
    ),
    (
        Chore {
            name: "management_system_sync_success",
            v1: None,
        },
        9,
    ),
    (
        Chore {
            name: "passkey_provider_refresh",
            v1: None,
        },
        1,
    ),
];

#[derive(Clone, Copy)]
struct Chore {
    name: &'static str,
    v1: Option<&'static str>,
}

/// Writes down every day's chores.
pub(crate) fn ordinary(company: &Company, span: &Span, rows: &mut Vec<Row>) {
    for day in 0..=span.last_day() {
        let mut dice = Dice::new(company.seed, "chores", day as u64);
        let begin = span.start + day * DAY;
        let last = day == span.last_day();
        let usual = if last {
            10 + company.users.len() / 8
        } else {
            4 + company.users.len() / 40
        };
        let count = if weekend(begin) && !last { 2 } else { usual as i64 };
        for _ in 0..dice.around(count, count / 5) {
            chore(company, begin, &mut dice, rows);
        }
        for run in 0..4 {
            synchronisation(
                company,
                begin + run * 6 * HOUR + dice.between(MINUTE, 3 * MINUTE),
                &mut dice,
                rows,
            );
        }
    }
}

fn chore(company: &Company, begin: i64, dice: &mut Dice, rows: &mut Vec<Row>) {
    let chore = dice.weighted(&CHORES);
    let time_us = begin + dice.between(6 * HOUR, 22 * HOUR);
    let admin: &Admin = dice.pick(&company.admins);
    let at_desk = Actor::Admin(admin, company.office(admin.office).desk(admin.number));
    // Even numbers get help from the helpdesk, odd ones look after themselves.
    let user = helped(company, dice);
    let own = selfreliant(company, dice);
    let himself = Actor::User(own, company.desk(own));
    let phone = Target::Phone {
        key: &user.phone.key,
        number: &user.phone.number,
    };
    let (actor, target, details, about): (Actor<'_>, Target<'_>, Option<Value>, Option<Value>) = match chore.name {
        "admin_login" => {
            let details = json!({"auth_device": "+1 734-555-0100", "auth_method": "Password", "factor": "push", "role": admin.role});
            (at_desk, Target::Kind("admin_login"), Some(details), None)
        }
        "user_update" => (
            at_desk,
            Target::User(user),
            None,
            Some(json!({"email": user.email, "notes": dice.pick(&NOTES), "realname": user.real_name})),
        ),
        "phone_update" => (at_desk, phone, None, Some(about_phone(user, dice))),
        "phone_activation_code_regenerated" => (at_desk, phone, None, Some(about_phone(user, dice))),
        "group_update" => {
            let name = user.groups.first().map_or("Staff", String::as_str);
            (
                at_desk,
                Target::Other {
                    kind: "group",
                    key: None,
                    name,
                },
                None,
                Some(json!({"desc": "", "name": name})),
            )
        }
        "policy_update" => {
            let about =
                json!({"admin_email": admin.email, "browsers_max_ood": dice.between(14, 60), "name": "Staff policy"});
            (
                at_desk,
                Target::Other {
                    kind: "policy",
                    key: None,
                    name: "Staff policy",
                },
                None,
                Some(about),
            )
        }
        "integration_update" => {
            let application = dice.pick(&company.applications);
            let about = json!({"greeting": "", "name": application.name, "notes": dice.pick(&NOTES)});
            (
                at_desk,
                Target::Other {
                    kind: "integration",
                    key: Some(&application.key),
                    name: application.name,
                },
                None,
                Some(about),
            )
        }
        "hardtoken_resync" => (
            at_desk,
            Target::Other {
                kind: "hardtoken",
                key: None,
                name: "HOTP 6-digit 123456",
            },
            None,
            None,
        ),
        "user_lockout_cleared" => (at_desk, Target::User(user), None, None),
        "log_export_start" => (
            at_desk,
            Target::Kind("log_export"),
            Some(json!({"format": "csv", "log": "authentication"})),
            None,
        ),
        "webauthncredential_create" | "webauthncredential_rename" => {
            let key = own.webauthn.as_deref();
            (
                himself,
                Target::Other {
                    kind: "webauthn_credential",
                    key,
                    name: "Security key",
                },
                None,
                Some(json!({"label": "Security Key"})),
            )
        }
        "o2fa_user_provisioned" => {
            let details =
                json!({"factor": "duo_otp", "hostname": own.machine.hostname, "user_agent": "DuoCredProv/5.0"});
            (
                himself,
                Target::Other {
                    kind: "integration",
                    key: None,
                    name: "Microsoft RDP",
                },
                Some(details),
                None,
            )
        }
        "passkey_provider_refresh" => (
            Actor::Api("API (Inventory script)"),
            Target::Kind("passkey_provider"),
            None,
            None,
        ),
        _ => (
            Actor::System,
            Target::Other {
                kind: "management_system",
                key: None,
                name: "Intune",
            },
            Some(json!({"devices": dice.between(40, 900)})),
            None,
        ),
    };
    let action = Action {
        time_us,
        actor,
        name: chore.name,
        v1: chore.v1,
        target,
        details,
        about_target: about,
        plain: false,
    };
    let (row, v1) = activity::rows(&action, company, dice);
    rows.push(row);
    rows.extend(v1);
}

static NOTES: [&str; 4] = [
    "",
    "asked for a new name plate",
    "on leave until the end of the month",
    "moved to the second floor",
];

fn helped<'a>(company: &'a Company, dice: &mut Dice) -> &'a User {
    company.user(dice.index(company.users.len() / 2) * 2)
}

fn selfreliant<'a>(company: &'a Company, dice: &mut Dice) -> &'a User {
    company.user(dice.index(company.users.len() / 2) * 2 + 1)
}

/// What the logs tell of a phone.
pub(crate) fn about_phone(user: &User, dice: &mut Dice) -> Value {
    let ios = dice.chance(550);
    json!({
        "biometrics_status": "Configured", "extension": "", "manufacturer": if ios { "Apple" } else { "Samsung" },
        "model": if ios { "iPhone 15" } else { "SM-S921B" }, "number": user.phone.number, "os": if ios { "iOS" } else { "Android" },
        "os_version": if ios { "18.6.2" } else { "15" }, "passcode_status": "Locked", "tampered_status": "Not tampered",
    })
}

/// A run of the directory synchronisation, which only the administrator log tells of.
fn synchronisation(company: &Company, time_us: i64, dice: &mut Dice, rows: &mut Vec<Row>) {
    let code = dice.text("", 8, b"0123456789abcdef");
    let told = json!({"Sync Ref. Code": code, "directory": company.directory.trim_start_matches("AD Sync: ")});
    for (later, action) in [(0, "ad_sync_begin"), (dice.between(4, 50) * SECOND, "ad_sync_finish")] {
        let description = if dice.chance(30) {
            Description::Cut(told.clone())
        } else {
            Description::Json(told.clone())
        };
        let entry = Entry {
            time_us: time_us + later,
            action: action.to_owned(),
            username: company.directory.clone(),
            object: None,
            description,
        };
        rows.push(administrator::row(entry, dice));
    }
}
