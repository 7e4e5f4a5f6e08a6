//! `picket incidents`, `picket incidents show ID`.

use std::sync::Arc;

use anyhow::bail;
use picket_store::{AlertFilter, AlertRow, IncidentFilter, IncidentRow, SqliteStore, Store as _};
use serde_json::{Value, json};

use super::alerts::superseded_by;
use super::{store, tenants};
use crate::cli::{Format, Incidents};
use crate::config::Config;
use crate::out::out;
use crate::when;

/// Lists incidents, the one with the newest alert last.
///
/// # Errors
/// A tenant or time that is not there; the store.
pub(crate) fn list(config: &Config, arguments: &Incidents) -> anyhow::Result<()> {
    let now = when::now();
    let since = arguments.since.as_deref();
    let filter = IncidentFilter {
        since: since.map(|since| when::since(since, now)).transpose()?,
        latest: arguments.tail,
        ..IncidentFilter::default()
    };
    let store = store(config)?;
    let mut found: Vec<(Arc<str>, IncidentRow)> = Vec::new();
    for tenant in tenants(config, arguments.tenant.as_deref())? {
        let incidents = store.incidents(&tenant, &filter)?.into_iter();
        found.extend(incidents.map(|incident| (tenant.clone(), incident)));
    }
    found.sort_by(|(_, one), (_, other)| (one.last, &one.id).cmp(&(other.last, &other.id)));
    let surplus = arguments.tail.map_or(0, |tail| found.len().saturating_sub(tail));
    for (tenant, incident) in found.iter().skip(surplus) {
        let alerts = alerts(&store, tenant, incident)?;
        match arguments.output.format {
            Format::Ndjson => out!("{}", told(tenant, incident, &alerts)),
            Format::Text => out!("{}", line(tenant, incident, &alerts, now)),
        }
    }
    if found.is_empty() && arguments.output.format == Format::Text {
        out!("no incidents");
    }
    Ok(())
}

/// Shows one, and its alerts in the order in which they happened.
///
/// # Errors
/// There is none, or more than one, whose id begins so; the store.
pub(crate) fn show(config: &Config, id: &str, format: Format) -> anyhow::Result<()> {
    let now = when::now();
    let store = store(config)?;
    let filter = IncidentFilter {
        id_prefix: Some(id.to_owned()),
        ..IncidentFilter::default()
    };
    let mut found: Vec<(Arc<str>, IncidentRow)> = Vec::new();
    for tenant in tenants(config, None)? {
        let incidents = store.incidents(&tenant, &filter)?.into_iter();
        found.extend(incidents.map(|incident| (tenant.clone(), incident)));
    }
    let [(tenant, incident)] = &found[..] else {
        if found.is_empty() {
            bail!("there is no incident whose id begins with `{id}`; `picket incidents` lists them");
        }
        let ids: Vec<&str> = found.iter().map(|(_, incident)| &*incident.id).collect();
        bail!("`{id}` begins the ids of {} incidents: {}", found.len(), ids.join(", "));
    };
    let alerts = alerts(&store, tenant, incident)?;
    if format == Format::Ndjson {
        let mut told = told(tenant, incident, &alerts);
        if let Value::Object(told) = &mut told {
            told.insert("members".to_owned(), alerts.iter().map(member).collect());
        }
        out!("{told}");
        return Ok(());
    }
    out!("{}", line(tenant, incident, &alerts, now));
    let gone = incident.alerts.saturating_sub(alerts.len() as u64);
    if gone > 0 {
        out!("  ({gone} more, forgotten)");
    }
    for alert in &alerts {
        let pages = alert.incident.as_ref().is_some_and(|of| of.page);
        out!(
            "  {} {}  {:<8}  {}{}{}  {}",
            if pages { "!" } else { " " },
            when::short(alert.time, now),
            alert.severity.as_str().to_uppercase(),
            title(alert),
            if alert.repeats > 0 {
                format!("  (+{} more)", alert.repeats)
            } else {
                String::new()
            },
            superseded_by(alert).map_or(String::new(), |by| format!("  (replaced by {by})")),
            alert.id
        );
    }
    Ok(())
}

/// What is stored of its alerts.
fn alerts(store: &SqliteStore, tenant: &str, incident: &IncidentRow) -> anyhow::Result<Vec<AlertRow>> {
    let filter = AlertFilter {
        incident: Some(incident.id.to_string()),
        ..AlertFilter::default()
    };
    let mut alerts = store.alerts(tenant, &filter)?;
    alerts.retain(|alert| alert.historic == incident.historic);
    Ok(alerts)
}

fn title(alert: &AlertRow) -> String {
    let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    let title = json.get("title").and_then(Value::as_str).unwrap_or_default();
    title.to_owned()
}

/// What its worst alert says, the first of several.
fn says(alerts: &[AlertRow]) -> String {
    let worst = alerts.iter().rev().max_by_key(|alert| alert.severity);
    worst.map_or_else(|| "its alerts are forgotten".to_owned(), title)
}

fn line(tenant: &str, incident: &IncidentRow, alerts: &[AlertRow], now: i64) -> String {
    let count = incident.alerts;
    format!(
        "{}  {:<8}  {tenant}  {}  ({count} {}{}{})  {}",
        when::short(incident.last, now),
        incident.severity.as_str().to_uppercase(),
        says(alerts),
        if count == 1 { "alert" } else { "alerts" },
        if incident.principals.is_empty() { "" } else { ", " },
        incident.principals.join(", "),
        incident.id
    ) + if incident.historic { "  (historic)" } else { "" }
}

fn told(tenant: &str, incident: &IncidentRow, alerts: &[AlertRow]) -> Value {
    json!({
        "id": *incident.id,
        "tenant": tenant,
        "severity": incident.severity,
        "title": says(alerts),
        "opened": when::rfc3339(incident.opened),
        "first": when::rfc3339(incident.first),
        "last": when::rfc3339(incident.last),
        "alerts": incident.alerts,
        "pages": incident.pages,
        "principals": incident.principals.iter().map(|principal| &**principal).collect::<Vec<_>>(),
        "historic": incident.historic,
    })
}

fn member(alert: &AlertRow) -> Value {
    json!({
        "id": *alert.id,
        "rule": *alert.rule,
        "severity": alert.severity,
        "title": title(alert),
        "time": when::rfc3339(alert.time),
        "page": alert.incident.as_ref().is_some_and(|of| of.page),
        "superseded_by": superseded_by(alert),
        "repeats": alert.repeats,
    })
}
