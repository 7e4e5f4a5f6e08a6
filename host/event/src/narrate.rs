//! An event in an analyst's words: a line for a timeline, and the entities that the line is about.
//!
//! Every text is cleaned ([`clean`]) and every phone number is its pseudonym, since both leave the house here.

mod inventory;
mod rare;

use crate::permission::Permission;
use crate::phone::Mask;
use crate::single::{Readers, Single};
use crate::subject::texts;
use crate::time::rfc3339_to_ms;
use crate::{Plan, clean};

/// One event, told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Order time, ms since the Unix epoch; none where the row does not say.
    pub time: Option<i64>,
    /// `push, VPN, 203.0.113.9: no response`.
    pub text: String,
    /// Name of the Duo user it is about.
    pub user: Option<String>,
    /// Their key, where known.
    pub user_key: Option<String>,
    /// Who did it, where that is somebody else than the user: an administrator, the API, the system.
    pub actor: Option<String>,
    /// What was done, for administrative logs: `bypass_create`.
    pub action: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
    /// Address that the user or the actor came from.
    pub ip: Option<String>,
    /// Country of the address, by Duo.
    pub country: Option<String>,
    /// City, state and country of the address, by Duo, as far as known.
    pub place: Option<String>,
    /// Name of the application.
    pub application: Option<String>,
    /// The second factor's device; a phone number by its pseudonym.
    pub device: Option<String>,
    /// The factor, normalised: `duo_push`.
    pub factor: Option<String>,
    /// `granted` or `denied`, where it says so.
    pub outcome: Option<&'static str>,
}

/// Tells one event of a log (Duo's own, or `admin`). `mask`: what the tenant's phone numbers are masked with.
#[must_use]
pub fn narrate(log: &str, raw: &str, mask: &Mask) -> Told {
    static READERS: Readers = Readers::new(|| {
        let sources = [
            texts("authentication", AUTHENTICATION),
            texts("admin", ADMIN),
            texts("telephony", TELEPHONY),
            texts("offline_enrollment", OFFLINE),
            texts("trust_monitor", rare::TRUST_MONITOR),
            texts("collector", rare::COLLECTOR),
        ];
        // The house reads clear numbers; they are masked before they are told.
        let house = Permission::default().granting_clear();
        Plan::of(sources.iter().map(|source| (source, &house)), &Mask::substitute())
    });
    let (read_as, duo_log) = match log {
        "activity" | "admin" => ("admin", "activity"),
        "administrator" => ("admin", "administrator"),
        own => (own, own),
    };
    READERS.read(read_as, duo_log, raw, |row, identity| {
        let time = identity.ok().map(|identity| identity.time);
        let time = time.or_else(|| rfc3339_to_ms(row.text("ts")?));
        let told = if row.is_broken() {
            Told {
                text: "a row that cannot be read".to_owned(),
                ..Told::default()
            }
        } else {
            let row = Row(row, mask);
            match read_as {
                "authentication" => authentication(&row),
                "admin" => administration(&row),
                "telephony" => telephony(&row),
                "offline_enrollment" => offline(&row),
                "trust_monitor" => rare::surfaced(&row),
                "collector" => rare::collector(&row),
                log if picket_catalogue::is_inventory(log) => inventory::told(log, raw, mask),
                _ => Told {
                    text: format!("an event of {}", clean(log)),
                    ..Told::default()
                },
            }
        };
        Told { time, ..told }
    })
}

const AUTHENTICATION: &[&str] = &[
    "subject.user",
    "subject.key",
    "access_device.ip",
    "access_device.location.city",
    "access_device.location.state",
    "access_device.location.country",
    "application.name",
    "auth_device.name",
    "factor",
    "result",
    "reason",
    "event_type",
    "email",
    "alias",
    "access_device.ip_hostname",
];
const ADMIN: &[&str] = &[
    "subject.user",
    "subject.key",
    "access_device.ip.address",
    "access_device.ip_hostname",
    "access_device.location.city",
    "access_device.location.state",
    "access_device.location.country",
    "action.name",
    "actor.name",
    "actor.type",
    "application.name",
    "target.name",
    "target.type",
    "outcome.result",
    "action.details.factor",
    "target.details.status",
    "ts",
];
const TELEPHONY: &[&str] = &["context", "credits", "phone", "type"];
const OFFLINE: &[&str] = &[
    "subject.user",
    "action",
    "object",
    "description.hostname",
    "description.factor",
];
/// A row, cleaned.
struct Row<'a>(&'a Single, &'a Mask);

impl Row<'_> {
    fn get(&self, path: &str) -> Option<String> {
        self.0.text(path).map(|text| clean(text).into_owned())
    }

    fn masked(&self, path: &str) -> Option<String> {
        self.0.text(path).map(|text| clean(&self.1.label(text)).into_owned())
    }

    fn words(&self, path: &str) -> Option<String> {
        self.get(path).map(|word| word.replace('_', " "))
    }

    /// The address, else the host name in its place.
    fn whence(&self, ip: &Option<String>) -> Option<String> {
        ip.clone().or_else(|| self.get("access_device.ip_hostname"))
    }

    /// The access device's place, below a path that ends in a dot or is empty.
    fn place(&self, of: &str) -> Option<String> {
        let parts = ["city", "state", "country"].map(|part| self.get(&format!("{of}access_device.location.{part}")));
        let known: Vec<String> = parts.into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.join(", "))
    }
}

/// `granted` or `denied`.
fn outcome(result: Option<&str>) -> Option<&'static str> {
    match result {
        Some("success") => Some("granted"),
        Some("denied" | "fraud") => Some("denied"),
        _ => None,
    }
}

fn authentication(row: &Row<'_>) -> Told {
    let result = row.get("result");
    let outcome = outcome(result.as_deref());
    let reason = row.words("reason");
    let enrolment = row.get("event_type").as_deref() == Some("enrollment");
    let factor = row.get("factor");
    let what = match factor.as_deref() {
        _ if enrolment => Some("enrolment".to_owned()),
        Some("duo_push") => Some("push".to_owned()),
        Some("verified_duo_push") => Some("verified push".to_owned()),
        Some("phone_call") => Some("call".to_owned()),
        Some("not_available") | None => Some("login".to_owned()),
        Some(other) => Some(other.replace('_', " ")),
    };
    let ending = match (result.as_deref(), reason) {
        (Some("success"), Some(reason)) if reason == "user approved" => "APPROVED".to_owned(),
        (Some("success"), Some(reason)) => format!("LET IN ({reason})"),
        (Some("success"), None) if enrolment => "enrolled".to_owned(),
        (Some("success"), None) => "LET IN".to_owned(),
        (Some("fraud"), Some(reason)) if reason == "user marked fraud" => "reported as FRAUD".to_owned(),
        (Some("fraud"), _) => "FRAUD".to_owned(),
        (_, Some(reason)) => reason,
        (Some(result), None) => result.to_owned(),
        (None, None) => "no result".to_owned(),
    };
    let application = row.get("application.name");
    let ip = row.get("access_device.ip");
    Told {
        text: line([what, application.clone(), row.whence(&ip)], &ending),
        user: row
            .get("subject.user")
            .or_else(|| row.get("email"))
            .or_else(|| row.get("alias")),
        user_key: row.get("subject.key"),
        ip,
        country: row.get("access_device.location.country"),
        place: row.place(""),
        application,
        device: row.masked("auth_device.name"),
        factor,
        outcome,
        ..Told::default()
    }
}

fn administration(row: &Row<'_>) -> Told {
    let action = row.get("action.name");
    let actor = row.get("actor.name");
    let target = row.masked("target.name");
    let ip = row.get("access_device.ip.address");
    let outcome = outcome(row.get("outcome.result").as_deref());
    let mut what = action
        .as_deref()
        .unwrap_or("an action without a name")
        .replace('_', " ");
    for (word, name) in [(" of ", &target), (" by ", &actor)] {
        if let Some(name) = name {
            what.push_str(word);
            what.push_str(name);
        }
    }
    let status = row
        .get("target.details.status")
        .map(|status| format!("status {status}"));
    let failed = (outcome == Some("denied")).then(|| "failed".to_owned());
    let ending = [status, failed].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let user = row.get("subject.user");
    Told {
        text: line([Some(what), row.whence(&ip)], &ending),
        actor: actor.filter(|actor| user.as_ref() != Some(actor)),
        user,
        user_key: row.get("subject.key"),
        action,
        target,
        ip,
        country: row.get("access_device.location.country"),
        place: row.place(""),
        application: row.get("application.name"),
        factor: row.get("action.details.factor"),
        outcome,
        ..Told::default()
    }
}

fn telephony(row: &Row<'_>) -> Told {
    let device = row.masked("phone");
    let sort = match row.get("type").as_deref() {
        Some("phone") => "call".to_owned(),
        Some(other) => other.replace('_', " "),
        None => "message".to_owned(),
    };
    let what = format!("{sort} to {}", device.as_deref().unwrap_or("an unknown number"));
    let credits = row
        .get("credits")
        .map(|credits| format!("{credits} {}", if credits == "1" { "credit" } else { "credits" }))
        .unwrap_or_default();
    Told {
        text: line([Some(what), row.words("context")], &credits),
        device,
        ..Told::default()
    }
}

fn offline(row: &Row<'_>) -> Told {
    let action = row.get("action");
    let what = match action.as_deref() {
        Some("o2fa_user_provisioned") => "set up for offline access",
        Some("o2fa_user_deprovisioned") => "offline access removed",
        Some("o2fa_user_reenrolled") => "set up anew for offline access",
        _ => "offline access",
    };
    let application = row.get("object");
    let host = row.get("description.hostname");
    Told {
        text: line([Some(what.to_owned()), application.clone(), host], ""),
        user: row.get("subject.user"),
        action,
        application,
        factor: row.get("description.factor"),
        ..Told::default()
    }
}

/// `a, b, c: ending`.
fn line<const N: usize>(parts: [Option<String>; N], ending: &str) -> String {
    let line = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if ending.is_empty() {
        line
    } else {
        format!("{line}: {ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let mask = Mask::substitute();
        let push = r#"{"txid":"t","isotimestamp":"2026-11-22T07:10:02.114000+00:00","factor":"duo_push","result":"denied","reason":"no_response","event_type":"authentication","application":{"name":"VPN"},"user":{"name":"ada","key":"DUADA"},"access_device":{"ip":"203.0.113.9","location":{"city":"Sofia","state":"-","country":"Bulgaria"}},"auth_device":{"name":"My phone (555-555-0142)"}}"#;
        let told = narrate("authentication", push, &mask);
        assert_eq!(told.text, "push, VPN, 203.0.113.9: no response");
        assert_eq!(told.device, Some(format!("My phone ({})", mask.number("+15555550142"))));
        assert_eq!(told.place.as_deref(), Some("Sofia, Bulgaria"));
        assert_eq!((told.time, told.outcome), (Some(1_795_331_402_114), Some("denied")));
        assert_eq!(told.user.as_deref(), Some("ada"));
        for (result, reason, text) in [
            ("success", "user_approved", "push, VPN, 203.0.113.9: APPROVED"),
            ("success", "bypass_user", "push, VPN, 203.0.113.9: LET IN (bypass user)"),
            (
                "FRAUD",
                "User marked fraud",
                "push, VPN, 203.0.113.9: reported as FRAUD",
            ),
        ] {
            let raw = push.replace("denied", result).replace("no_response", reason);
            assert_eq!(narrate("authentication", &raw, &mask).text, text);
        }
    }

    #[test]
    fn administration_in_both_shapes() {
        let v2 = r#"{"activity_id":"a","ts":"2026-11-22T07:10:02.114000+00:00","action":{"name":"bypass_create"},"actor":{"type":"admin","name":"Harry"},"target":{"type":"user_bypass","name":"ada"},"access_device":{"ip":{"address":"198.51.100.7"}}}"#;
        let v1 = r#"{"action":"bypass_create","username":"Harry","object":"ada","description":"{\"ip_address\":\"198.51.100.7\"}","timestamp":1795331402}"#;
        for (log, raw) in [("activity", v2), ("administrator", v1)] {
            let told = narrate(log, raw, &Mask::substitute());
            assert_eq!(told.text, "bypass create of ada by Harry, 198.51.100.7", "{log}");
            assert_eq!(
                (told.user.as_deref(), told.actor.as_deref()),
                (Some("ada"), Some("Harry"))
            );
        }
    }

    #[test]
    fn the_rest_and_what_cannot_be_read() {
        let mask = Mask::substitute();
        let call = narrate(
            "telephony",
            r#"{"type":"phone","phone":"+15035550100","context":"authentication","credits":2}"#,
            &mask,
        );
        let number = mask.number("+15035550100");
        assert_eq!(call.text, format!("call to {number}, authentication: 2 credits"));
        let offline = narrate(
            "offline_enrollment",
            r#"{"action":"o2fa_user_provisioned","username":"ada","object":"RDP","description":"{\"hostname\":\"H\\u001b[2J\"}"}"#,
            &mask,
        );
        assert_eq!(offline.text, "set up for offline access, RDP, H\\u{1b}[2J");
        assert_eq!(
            narrate("authentication", "nonsense", &mask).text,
            "a row that cannot be read"
        );
        assert_eq!(narrate("authentication", "{}", &mask).text, "login: no result");
    }
}
