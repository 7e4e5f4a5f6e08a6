//! `picket logs`: collected events, the newest last.

use std::collections::BTreeMap;

use anyhow::bail;
use picket_event::{narrate, own_id};
use picket_store::{EventFilter, StoredEvent};
use serde_json::{Value, json};

use super::{search, store, tenants};
use crate::cli::{Format, Logs};
use crate::config::Config;
use crate::out::out;
use crate::{phone_key, when};

/// Prints them.
///
/// # Errors
/// A source, log, tenant or time that is not there; the store.
pub(crate) fn run(config: &Config, arguments: &Logs) -> anyhow::Result<()> {
    if arguments.source != "duo" {
        bail!("--source {}: the only source is duo", arguments.source);
    }
    super::known_logs(&arguments.logs)?;
    let now = when::now();
    let since = arguments
        .since
        .as_deref()
        .map(|since| when::since(since, now))
        .transpose()?;
    let filter = EventFilter {
        logs: arguments.logs.clone(),
        since,
        until: None,
        tail: Some(arguments.tail),
    };
    let store = store(config)?;
    let mut events = Vec::new();
    for tenant in tenants(config, arguments.tenant.as_deref())? {
        events.extend(
            search(&store, &tenant, &filter)?
                .into_iter()
                .map(|event| (tenant.clone(), event)),
        );
    }
    events.sort_by_key(|(_, event)| event.event.time);
    let mut masks = BTreeMap::new();
    let surplus = events.len().saturating_sub(arguments.tail);
    for (tenant, event) in events.iter().skip(surplus) {
        match arguments.output.format {
            Format::Ndjson => out!("{}", line(tenant, event)),
            Format::Text => {
                let mask = masks
                    .entry(tenant.clone())
                    .or_insert_with(|| phone_key::to_read(&config.data_dir, tenant));
                let told = narrate(&event.log, &event.event.raw, mask);
                let who = told.user.or(told.actor).unwrap_or_else(|| "-".to_owned());
                let time = when::short(event.event.time, now);
                out!("{time}  {tenant}  {:<14}  {who:<16}  {}", event.log, told.text);
            }
        }
    }
    if events.is_empty() && arguments.output.format == Format::Text {
        out!("no events; `picket status` says how collection stands");
    }
    Ok(())
}

/// One event for scripts. What is no JSON stays a text.
fn line(tenant: &str, event: &StoredEvent) -> Value {
    let raw: Value =
        serde_json::from_str(&event.event.raw).unwrap_or_else(|_| Value::String(event.event.raw.to_string()));
    json!({
        "tenant": tenant,
        "log": &*event.log,
        "id": own_id(&event.log, &event.event.id),
        "time": when::rfc3339(event.event.time),
        "number": event.seq,
        "event": raw,
    })
}
