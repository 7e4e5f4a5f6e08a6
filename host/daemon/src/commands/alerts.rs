//! `picket alerts`, `picket alerts show ID`.

use std::sync::Arc;

use anyhow::bail;
use picket_judge::alerts::text;
use picket_store::{AlertFilter, AlertRow, SqliteStore, Store as _};
use serde_json::Value;

use super::{store, tenants};
use crate::cli::{Alerts, Format};
use crate::config::Config;
use crate::out::out;
use crate::when;

/// Lists alerts, the newest last.
///
/// # Errors
/// A tenant or time that is not there; the store.
pub(crate) fn list(config: &Config, arguments: &Alerts) -> anyhow::Result<()> {
    let now = when::now();
    let since = arguments
        .since
        .as_deref()
        .map(|since| when::since(since, now))
        .transpose()?;
    let store = store(config)?;
    let mut alerts = Vec::new();
    for tenant in tenants(config, arguments.tenant.as_deref())? {
        let filter = AlertFilter {
            rule: arguments.rule.clone(),
            since,
            shadow: arguments.shadow,
            suppressed: arguments.suppressed,
            incident: arguments.incident.clone(),
            ..AlertFilter::default()
        };
        alerts.extend(
            store
                .alerts(&tenant, &filter)?
                .into_iter()
                .map(|alert| (tenant.clone(), alert)),
        );
    }
    alerts.sort_by(|(_, one), (_, other)| (one.time, &one.id).cmp(&(other.time, &other.id)));
    let surplus = arguments.tail.map_or(0, |tail| alerts.len().saturating_sub(tail));
    for (tenant, alert) in alerts.iter().skip(surplus) {
        match arguments.output.format {
            Format::Ndjson => out!("{}", whole(alert)),
            Format::Text => {
                let json = whole(alert);
                let title = json.get("title").and_then(Value::as_str).unwrap_or_default();
                let repeats = if alert.repeats > 0 {
                    format!("  (+{} more)", alert.repeats)
                } else {
                    String::new()
                };
                let severity = alert.severity.as_str().to_uppercase();
                out!(
                    "{}  {severity:<8}  {tenant}  {title}{repeats}{}{}{}  {}",
                    when::short(alert.time, now),
                    if alert.historic { "  (historic)" } else { "" },
                    superseded_by(alert).map_or(String::new(), |by| format!("  (replaced by {by})")),
                    alert
                        .suppressed
                        .as_ref()
                        .map_or(String::new(), |exception| format!("  (exception {exception})")),
                    alert.id
                );
            }
        }
    }
    if alerts.is_empty() && arguments.output.format == Format::Text {
        let kind = match arguments {
            Alerts { shadow: true, .. } => " of rules in shadow",
            Alerts { suppressed: true, .. } => " that an exception suppressed",
            Alerts { incident: Some(_), .. } => " of such an incident",
            _ => "",
        };
        out!("no alerts{kind}");
    }
    Ok(())
}

/// Shows one whole.
///
/// # Errors
/// There is none, or more than one, whose id begins so; the store.
pub(crate) fn show(config: &Config, id: &str, format: Format) -> anyhow::Result<()> {
    let (_, alert) = find(config, &store(config)?, id)?;
    match format {
        Format::Ndjson => out!("{}", whole(&alert)),
        Format::Text => out!("{}", text(&whole(&alert).to_string(), alert.repeats)),
    }
    Ok(())
}

/// The one whose id begins so, and whose it is.
///
/// # Errors
/// There is none, or more than one; the store.
pub(crate) fn find(config: &Config, store: &SqliteStore, id: &str) -> anyhow::Result<(Arc<str>, AlertRow)> {
    let mut found = Vec::new();
    for tenant in tenants(config, None)? {
        for (shadow, suppressed) in [(false, false), (true, false), (false, true)] {
            let filter = AlertFilter {
                id_prefix: Some(id.to_owned()),
                shadow,
                suppressed,
                ..AlertFilter::default()
            };
            let alerts = store.alerts(&tenant, &filter)?;
            found.extend(alerts.into_iter().map(|alert| (tenant.clone(), alert)));
        }
    }
    match found.len() {
        0 => bail!("there is no alert whose id begins with `{id}`; `picket alerts` lists them"),
        1 => {}
        several => {
            let ids: Vec<&str> = found.iter().map(|(_, alert)| &*alert.id).collect();
            bail!("`{id}` begins the ids of {several} alerts: {}", ids.join(", "));
        }
    }
    found.pop().ok_or_else(|| anyhow::anyhow!("there is no alert `{id}`"))
}

/// What took its place.
pub(super) fn superseded_by(alert: &AlertRow) -> Option<&str> {
    alert.incident.as_ref()?.superseded_by.as_deref()
}

/// The alert with its repeats, and what took its place, of now.
fn whole(alert: &AlertRow) -> Value {
    let mut json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    if let Value::Object(object) = &mut json {
        object.insert("repeats".to_owned(), alert.repeats.into());
        object.insert("last_repeat".to_owned(), alert.last_repeat.map(when::rfc3339).into());
        object.extend(superseded_by(alert).map(|by| ("superseded_by".to_owned(), by.into())));
    }
    json
}
