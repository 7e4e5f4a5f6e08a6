//! `picket timeline TENANT/USER`: everything about one user, events and alerts, in order.

use anyhow::bail;
use picket_event::{narrate, own_id};
use picket_store::{AlertFilter, EventFilter, Store as _};
use serde_json::{Value, json};

use super::{search, store, tenants};
use crate::cli::{Format, Timeline};
use crate::config::Config;
use crate::out::out;
use crate::{phone_key, when};

/// Prints it.
///
/// # Errors
/// A tenant or time that is not there; the store.
pub(crate) fn run(config: &Config, arguments: &Timeline) -> anyhow::Result<()> {
    let (tenant, user) = match (arguments.subject.split_once('/'), config.tenants.as_slice()) {
        (Some((tenant, user)), _) => (tenant.to_owned(), user),
        (None, [only]) => (only.id.clone(), arguments.subject.as_str()),
        (None, _) => bail!(
            "`{}`: there are several tenants; write TENANT/USER, as in acme/ada",
            arguments.subject
        ),
    };
    tenants(config, Some(&tenant))?;
    let now = when::now();
    let since = when::since(&arguments.since, now)?;
    let store = store(config)?;
    let mask = phone_key::to_read(&config.data_dir, &tenant);
    let mut lines: Vec<(i64, u8, String, Value)> = Vec::new();
    for event in search(
        &store,
        &tenant,
        &EventFilter {
            since: Some(since),
            ..EventFilter::default()
        },
    )? {
        let told = narrate(&event.log, &event.event.raw, &mask);
        let is_about = |name: &Option<String>| name.as_deref() == Some(user);
        if !is_about(&told.user) && !is_about(&told.user_key) && !is_about(&told.target) && !is_about(&told.actor) {
            continue;
        }
        let time = event.event.time;
        let by = told
            .actor
            .filter(|actor| actor != user)
            .map_or(String::new(), |actor| format!(" (by {actor})"));
        let json = json!({"kind": "event", "time": when::rfc3339(time), "log": &*event.log,
            "id": own_id(&event.log, &event.event.id), "text": told.text});
        lines.push((time, 0, format!("   {:<14}  {}{by}", event.log, told.text), json));
    }
    let filter = AlertFilter {
        about: Some(user.to_owned()),
        since: Some(since),
        ..AlertFilter::default()
    };
    for alert in store.alerts(&tenant, &filter)? {
        let whole: Value = serde_json::from_str(&alert.json).unwrap_or_default();
        let title = whole.get("title").and_then(Value::as_str).unwrap_or_default();
        let text = format!(
            ">  {:<14}  {title}  {}",
            alert.severity.as_str().to_uppercase(),
            alert.id
        );
        let json = json!({"kind": "alert", "time": when::rfc3339(alert.time), "id": &*alert.id, "rule": &*alert.rule,
            "severity": alert.severity.as_str(), "text": title});
        lines.push((alert.time, 1, text, json));
    }
    lines.sort_by_key(|(time, kind, ..)| (*time, *kind));
    for (time, _, text, json) in &lines {
        match arguments.output.format {
            Format::Ndjson => out!("{json}"),
            Format::Text => out!("{}  {text}", when::short(*time, now)),
        }
    }
    if lines.is_empty() && arguments.output.format == Format::Text {
        out!("nothing about {user} since {}", when::rfc3339(since));
    }
    Ok(())
}
