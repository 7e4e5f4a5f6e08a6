//! What comes seldom: what Trust Monitor finds odd, and what Picket met while it collected.

use serde::Deserialize;

use super::{Row, Told, line, outcome};
use crate::clean;

pub(super) const TRUST_MONITOR: &[&str] = &[
    "subject.user",
    "subject.key",
    "type",
    "state",
    "explanations",
    "enabled_by.name",
    "surfaced_auth.access_device.ip",
    "access_device.ip_hostname",
    "surfaced_auth.access_device.location.city",
    "surfaced_auth.access_device.location.state",
    "surfaced_auth.access_device.location.country",
    "surfaced_auth.application.name",
    "surfaced_auth.auth_device.name",
    "surfaced_auth.factor",
    "surfaced_auth.result",
];
pub(super) const COLLECTOR: &[&str] = &["event", "log", "since", "from", "to", "was", "error", "action"];

pub(super) fn surfaced(row: &Row<'_>) -> Told {
    let sort = row.get("type");
    let actor = row.get("enabled_by.name");
    let what = match sort.as_deref() {
        Some("auth") | None => "a login surfaced".to_owned(),
        Some("bypass_status") => "bypass turned on".to_owned(),
        Some("device_registration") => "a new device surfaced".to_owned(),
        Some(other) => format!("{} surfaced", other.replace('_', " ")),
    };
    let by = actor.as_deref().map(|actor| format!("by {actor}"));
    let application = row.get("surfaced_auth.application.name");
    let ip = row.get("surfaced_auth.access_device.ip");
    let explanations = row.0.text("explanations").unwrap_or("[]");
    let explanations: Vec<Explanation> = serde_json::from_str(explanations).unwrap_or_default();
    let mut why: Vec<String> = explanations
        .into_iter()
        .filter_map(|why| why.summary.or(why.sort))
        .map(|why| clean(row.1.prose(&why).trim_end_matches('.')).into_owned())
        .collect();
    why.extend(row.words("state").filter(|state| state != "new"));
    Told {
        text: line([Some(what), by, application.clone(), row.whence(&ip)], &why.join("; ")),
        user: row.get("subject.user"),
        user_key: row.get("subject.key"),
        actor,
        action: sort,
        ip,
        country: row.get("surfaced_auth.access_device.location.country"),
        place: row.place("surfaced_auth."),
        application,
        device: row.masked("surfaced_auth.auth_device.name"),
        factor: row.get("surfaced_auth.factor"),
        outcome: outcome(row.get("surfaced_auth.result").as_deref()),
        ..Told::default()
    }
}

/// Why something surfaced.
#[derive(Deserialize)]
struct Explanation {
    summary: Option<String>,
    #[serde(rename = "type")]
    sort: Option<String>,
}

pub(super) fn collector(row: &Row<'_>) -> Told {
    let event = row.words("event").unwrap_or_else(|| "unknown".to_owned());
    let log = row.words("log").unwrap_or_else(|| "collection".to_owned());
    let span = match (row.get("from"), row.get("to"), row.get("since")) {
        (Some(from), Some(to), _) => Some(format!("{from} to {to}")),
        (_, _, since) => since.map(|since| format!("since {since}")),
    };
    let was = row.words("was").map(|was| format!("was {was}"));
    let ending = [row.get("error"), row.get("action")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ");
    Told {
        text: line([Some(format!("{log} {event}")), was, span], &ending),
        action: row.get("event"),
        target: row.get("log"),
        ..Told::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::Mask;

    fn narrate(log: &str, raw: &str) -> crate::Told {
        crate::narrate(log, raw, &Mask::substitute())
    }

    #[test]
    fn what_surfaced() {
        let surfaced = r#"{"sekey":"SE1","type":"auth","state":"processed","surfaced_timestamp":1598034349059,"explanations":[{"type":"NEW_NETBLOCK","summary":"ada has not logged in from this IP recently."},{"type":"UNUSUAL_\u001b"}],"surfaced_auth":{"access_device":{"ip":"203.0.113.9","location":{"city":"Sofia"}},"application":{"name":"VPN"},"result":"denied","user":{"name":"ada"}}}"#;
        let told = narrate("trust_monitor", surfaced);
        assert_eq!(
            told.text,
            "a login surfaced, VPN, 203.0.113.9: ada has not logged in from this IP recently; UNUSUAL_\\u{1b}; processed"
        );
        assert_eq!(
            (told.user.as_deref(), told.place.as_deref()),
            (Some("ada"), Some("Sofia"))
        );
        assert_eq!((told.time, told.outcome), (Some(1_598_034_349_059), Some("denied")));
        let bypass = narrate(
            "trust_monitor",
            r#"{"type":"bypass_status_enabled","enabled_by":{"name":"Harry"},"enabled_for":{"name":"ada"}}"#,
        );
        assert_eq!(bypass.text, "bypass turned on, by Harry");
    }

    #[test]
    fn what_the_collector_met() {
        let refused = narrate(
            "collector",
            r#"{"id":"c1","ts":"2026-11-22T07:10:02Z","event":"refused","log":"activity","since":"2026-11-22T06:55:00Z","error":"Duo says 403","action":"grant \"Grant read log\""}"#,
        );
        assert_eq!(
            refused.text,
            "activity refused, since 2026-11-22T06:55:00Z: Duo says 403; grant \"Grant read log\""
        );
        for (row, text) in [
            (
                r#"{"event":"recovered","log":"trust_monitor","was":"failing","since":"S"}"#,
                "trust monitor recovered, was failing, since S",
            ),
            (
                r#"{"event":"gap","log":"telephony","from":"F","to":"T","error":"Duo keeps 180 days"}"#,
                "telephony gap, F to T: Duo keeps 180 days",
            ),
        ] {
            assert_eq!(narrate("collector", row).text, text);
        }
    }
}
