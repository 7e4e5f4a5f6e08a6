//! What incidents must be, told from the alerts and their order alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use picket_store::{Store, Stretch};
use serde_json::Value;

const WINDOW: i64 = 4 * 3_600_000;
const LONGEST: i64 = 24 * 3_600_000;

#[derive(Debug)]
struct Incident {
    opened: i64,
    worst: usize,
    /// From when to when it has alerts, by principal.
    reaches: BTreeMap<String, (i64, i64)>,
    alerts: Vec<String>,
}

fn severity(value: &Value) -> usize {
    let all = ["info", "low", "medium", "high", "critical"];
    all.iter().position(|severity| value == severity).unwrap()
}

fn time(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

/// The alerts of each incident of a tenant, by its id. Each alert that goes out says what follows from those that were raised
/// before it: which incident, how bad, whether to page.
///
/// # Panics
/// One does not.
pub fn incidents(store: &dyn Store, tenant: &str) -> BTreeMap<String, Vec<String>> {
    let stretch = Stretch {
        tenant: Some(tenant),
        limit: usize::MAX,
        ..Stretch::default()
    };
    let mut found: BTreeMap<String, Incident> = BTreeMap::new();
    for row in store.stretch(&stretch).unwrap() {
        let alert: Value = serde_json::from_str(&row.json).unwrap();
        let (at, bad, said) = (time(&alert["time"]), severity(&alert["severity"]), &alert["incident"]);
        let lasts = |incident: &&Incident| (incident.opened - at).abs() < LONGEST;
        let principal = said["principal"].as_str().unwrap_or_default().to_owned();
        let is_near = |incident: &Incident| {
            let reach = incident.reaches.get(&principal);
            reach.is_some_and(|(first, last)| at - last < WINDOW && first - at < WINDOW)
        };
        let named = alert["related"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|related| &related["alert"]);
        let kin: Vec<&str> = named
            .chain([&alert["superseded_by"]])
            .filter_map(Value::as_str)
            .collect();
        let holds_kin = |incident: &Incident| incident.alerts.iter().any(|alert| kin.contains(&alert.as_str()));
        let first = |fits: &dyn Fn(&Incident) -> bool| {
            let fitting = found.iter().filter(|(_, incident)| lasts(incident) && fits(incident));
            let first = fitting.min_by_key(|(id, incident)| (incident.opened, (*id).clone()));
            first.map(|(id, _)| id.clone())
        };
        let joins = first(&is_near).or_else(|| first(&holds_kin));
        let id = joins.unwrap_or_else(|| row.alert.to_string());
        let is_worse = found.get(&id).is_none_or(|incident| bad > incident.worst);
        let incident = found.entry(id.clone()).or_insert_with(|| Incident {
            opened: at,
            worst: bad,
            reaches: BTreeMap::new(),
            alerts: Vec::new(),
        });
        incident.worst = incident.worst.max(bad);
        incident.alerts.push(row.alert.to_string());
        if !principal.is_empty() {
            let (first, last) = incident.reaches.entry(principal).or_insert((at, at));
            (*first, *last) = ((*first).min(at), (*last).max(at));
        }
        assert_eq!(said["id"], *id, "{tenant}: {alert}");
        assert_eq!(said["page"], is_worse, "{tenant}: {alert}");
        assert_eq!(row.page, is_worse, "{tenant}: {alert}");
        assert_eq!(severity(&said["severity"]), incident.worst, "{tenant}: {alert}");
    }
    found.into_iter().map(|(id, incident)| (id, incident.alerts)).collect()
}
