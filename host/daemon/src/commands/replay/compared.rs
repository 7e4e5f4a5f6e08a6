//! How alerts of a replay differ from those that the store holds.

use std::collections::BTreeMap;

use picket_store::{AlertFilter, AlertRow, Store};
use serde_json::{Value, json};

use super::stored::Range;
use crate::cli::Format;
use crate::out::out;
use crate::when;

/// Prints it. Compared are id, severity, title and evidence, as of two versions; not repeats, nor when an alert was raised.
///
/// # Errors
/// The store's.
pub(super) fn run(
    store: &dyn Store,
    tenant: &str,
    replayed: &[&AlertRow],
    range: Range,
    format: Format,
) -> anyhow::Result<()> {
    let mut stored: BTreeMap<String, AlertRow> = BTreeMap::new();
    for (shadow, suppressed) in [(false, false), (true, false), (false, true)] {
        let filter = AlertFilter {
            shadow,
            suppressed,
            ..AlertFilter::default()
        };
        let found = store.alerts(tenant, &filter)?.into_iter();
        let within = found.filter(|alert| range.has(alert));
        stored.extend(within.map(|alert| (alert.id.to_string(), compact(alert))));
    }
    let has_backfills = !store.segments(tenant)?.is_empty();
    let (mut gained, mut changed, mut same) = (Vec::new(), Vec::new(), 0_u64);
    for alert in replayed {
        match stored.remove(&*alert.id) {
            None => gained.push(*alert),
            Some(was) if said(&was) == said(alert) => same += 1,
            Some(was) => changed.push((was, *alert)),
        }
    }
    // What backfills found is in journals of their own.
    let (aside, lost): (Vec<AlertRow>, Vec<AlertRow>) =
        stored.into_values().partition(|alert| alert.historic && has_backfills);
    let count = |name: &str, of: usize| format!("{of} {name}");
    match format {
        Format::Ndjson => {
            let line = |kind: &str, before: Option<&AlertRow>, after: Option<&AlertRow>| {
                out!(
                    "{}",
                    json!({"difference": kind, "before": before.map(told), "after": after.map(told)})
                );
            };
            gained.iter().for_each(|alert| line("gained", None, Some(*alert)));
            lost.iter().for_each(|alert| line("lost", Some(alert), None));
            changed
                .iter()
                .for_each(|(was, is)| line("changed", Some(was), Some(*is)));
            let all = json!({"difference": "all", "same": same, "gained": gained.len(), "lost": lost.len(),
                "changed": changed.len(), "backfilled": aside.len()});
            out!("{all}");
        }
        Format::Text => {
            let line = |sign: &str, alert: &AlertRow| {
                let (severity, title, _) = said(alert);
                let time = when::rfc3339(alert.time);
                out!("{sign} {time}  {severity:<8}  {}  {title}  {}", alert.rule, alert.id);
            };
            gained.iter().for_each(|alert| line("+", alert));
            lost.iter().for_each(|alert| line("-", alert));
            for (was, is) in &changed {
                line("<", was);
                line(">", is);
            }
            let counts = [
                format!("{same} alike"),
                count("gained", gained.len()),
                count("lost", lost.len()),
                count("changed", changed.len()),
            ];
            let aside = match aside.len() {
                0 => String::new(),
                some => format!("; {some} of before the first start or of backfills are left out"),
            };
            out!("{}{aside}", counts.join(", "));
        }
    }
    Ok(())
}

/// The alert with nothing in its JSON but what is compared: the rest is most of it, and there may be many.
pub(super) fn compact(alert: AlertRow) -> AlertRow {
    let (_, title, events) = said(&alert);
    let json = json!({"title": title, "events": events});
    AlertRow {
        json: json.to_string().into(),
        ..alert
    }
}

fn told(alert: &AlertRow) -> Value {
    let (severity, title, events) = said(alert);
    json!({"id": &*alert.id, "rule": &*alert.rule, "time": when::rfc3339(alert.time), "severity": severity, "title": title,
        "about": &*alert.about, "events": events})
}

/// What an alert says: severity, title and evidence.
fn said(alert: &AlertRow) -> (&'static str, String, Value) {
    let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    let title = json.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = json.get("events").cloned().unwrap_or_default();
    (alert.severity.as_str(), title, events)
}
