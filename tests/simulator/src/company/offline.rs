//! The offline enrolment log (v1): who may log in to a computer without a network from now on.
//!
//! Most of it repeats activity rows in another shape; some enrolments happen at the logon itself and stand only here.

use serde_json::{Value, json};

use super::clock::{HOUR, MINUTE, SECOND, iso_seconds};
use super::dice::Dice;
use super::rows::dumps;
use super::{Company, Span};
use crate::model::{Feed, Row};

/// The log that goes with these rows.
pub(super) fn rows(company: &Company, span: &Span, rows: &[Row]) -> Vec<Row> {
    let mut dice = Dice::new(company.seed, "offline", 0);
    let mut made = Vec::new();
    for row in rows {
        let text = |pointer: &str| row.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if row.feed == Feed::Activity && text("/action/name").starts_with("o2fa_") {
            let details = text("/action/details").to_owned();
            let told = if details.is_empty() { None } else { Some(details) };
            let entry = (text("/action/name"), text("/target/name"), text("/actor/name"));
            made.push(write(row.time_us, entry, told, &mut dice));
        }
        // At the end of a logon to Windows the offer to enrol is taken up now and then.
        let logon = row.feed == Feed::Authentication
            && text("/application/name") == "Microsoft RDP"
            && text("/result") == "success";
        if logon && dice.chance(60) {
            let action = *dice.pick(&["o2fa_user_provisioned", "o2fa_user_provisioned", "o2fa_user_reenrolled"]);
            let about = json!({
                "factor": dice.pick(&["duo_otp", "duo_otp", "security_key"]), "hostname": text("/access_device/hostname"),
                "user_agent": "DuoCredProv/5.0.0.1 (Windows NT 10.0.22631; x64)",
            });
            let entry = (action, text("/application/name"), text("/user/name"));
            let later = dice.between(20 * SECOND, 3 * MINUTE);
            made.push(write(row.time_us + later, entry, Some(dumps(&about)), &mut dice));
            if dice.chance(150) {
                let entry = ("o2fa_user_deprovisioned", text("/application/name"), text("/user/name"));
                let later = later + dice.between(HOUR, 9 * HOUR);
                made.push(write(row.time_us + later, entry, None, &mut dice));
            }
        }
    }
    made.retain(|row| (span.start..span.end).contains(&row.time_us));
    made
}

fn write(time_us: i64, entry: (&str, &str, &str), description: Option<String>, dice: &mut Dice) -> Row {
    let time_us = time_us.div_euclid(SECOND) * SECOND;
    let (action, object, username) = entry;
    Row {
        feed: Feed::OfflineEnrollment,
        time_us,
        id: format!("offline_enrollment {}", dice.uuid()),
        json: json!({
            "action": action, "description": description, "isotimestamp": iso_seconds(time_us), "object": object,
            "timestamp": time_us / SECOND, "username": username,
        }),
    }
}
