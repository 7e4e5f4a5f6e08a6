//! How everything stands: the verdict first, then the worst first.
//!
//! The daemon makes one JSON value of it, which scripts read as it is; `text` makes of that value what people read.

mod fuel;
mod held;
mod sinks;
mod text;
mod troubles;

use picket_collect::Cursor;
use picket_store::Store;
use serde_json::{Value, json};

use crate::accounts;
use crate::config::Config;
use crate::daemon::{Daemon, lock};
use crate::{rules_view, upkeep, when};
pub(crate) use sinks::{line as sink_line, of as sinks};
pub(crate) use text::text;
use troubles::Trouble;

/// Of a running daemon.
///
/// # Errors
/// The store's.
pub(crate) fn of(daemon: &Daemon) -> anyhow::Result<Value> {
    let now = when::now();
    let mut troubles = troubles::of_daemon(daemon);
    let mut tenants = Vec::new();
    for running in &daemon.fleet.running() {
        let (id, config) = (&*running.id, running.config());
        let logs = running.board.status(now);
        let stock = running.holdings.status();
        let mut own = troubles::of_logs(running, &logs);
        own.extend(troubles::of_inventory(id, &stock));
        own.extend(troubles::of_fuel(id, &running.pipeline.ration()));
        let worst = own.iter().map(|trouble| trouble.rank).min();
        let live = daemon.registry.live(id);
        let mut told = Vec::new();
        for health in &logs {
            let mut log = serde_json::to_value(health)?;
            if let Value::Object(object) = &mut log {
                object.insert("holds_back".to_owned(), json!(held::by(health, &live)));
            }
            told.push(log);
        }
        let mut tenant = stored(&*daemon.store, id, &config.name)?;
        if let Value::Object(object) = &mut tenant {
            object.insert("host".to_owned(), json!(config.source.api_hostname));
            object.insert("logs".to_owned(), Value::Array(told));
            object.insert("inventory".to_owned(), serde_json::to_value(&stock)?);
            object.insert("fuel".to_owned(), fuel::of(&running.pipeline.ration()));
            object.insert("well".to_owned(), json!(own.is_empty()));
        }
        troubles.extend(own);
        tenants.push((worst.unwrap_or(u8::MAX), tenant));
    }
    // The worst first; else by name.
    tenants.sort_by_key(|(worst, _)| *worst);
    let rules = rules_view::of(daemon, false)?;
    troubles.extend(troubles::of_rules(&rules));
    let sinks = sinks::of(&daemon.config(), &*daemon.store)?;
    troubles.extend(troubles::of_sinks(&sinks));
    troubles.sort();
    let counted = |state: &str| {
        let is_so = |rule: &&Value| rule.get("state").and_then(Value::as_str) == Some(state);
        rules.iter().filter(is_so).count()
    };
    Ok(json!({
        "verdict": verdict(&troubles),
        "running": true,
        "since": when::rfc3339(daemon.started),
        "first_poll_ms": daemon.sight.first_poll().map(|after| after.as_millis()),
        "troubles": troubles.into_iter().map(|trouble| trouble.text).collect::<Vec<_>>(),
        "tenants": tenants.into_iter().map(|(_, tenant)| tenant).collect::<Vec<_>>(),
        "parents": parents(daemon),
        "rules": {"active": counted("active"), "shadow": counted("shadow"), "warming": counted("warming"), "learning": counted("learning"),
            "paused": counted("paused"), "quarantined": counted("quarantined"),
            "rejected": counted("rejected"), "off": counted("off")},
        "sinks": sinks,
        "reload": reloads(daemon),
        "store": upkeep::told(daemon),
    }))
}

/// What came of reloads, and how changes of files are seen.
fn reloads(daemon: &Daemon) -> Value {
    let reloads = lock(&daemon.reloads).clone();
    let seeing = lock(&daemon.seeing).clone();
    json!({
        "count": reloads.count,
        "last": reloads.last,
        "refused": reloads.refused,
        "kept": reloads.kept,
        "watch": seeing.word(),
        "watch_words": seeing.words(),
    })
}

/// Keys of the Accounts API, and what they list.
fn parents(daemon: &Daemon) -> Vec<Value> {
    let config = daemon.config();
    let health = lock(&daemon.parents).clone();
    let told = config.parents.iter().map(|parent| {
        let health = health.get(&parent.id).cloned().unwrap_or_default();
        let (accounts, skipped) = health.children.unwrap_or_else(|| {
            let children = accounts::remembered(&*daemon.store, &parent.id).unwrap_or_default();
            let listed: Vec<_> = children.iter().filter(|child| child.gone.is_none()).collect();
            let skipped = listed.iter().filter(|child| child.tenant(parent).is_none()).count();
            (listed.len(), skipped)
        });
        json!({
            "id": parent.id,
            "host": parent.source.api_hostname,
            "accounts": accounts,
            "skipped": skipped,
            "last_success": health.last_success,
            "next": health.next,
            "trouble": health.trouble,
        })
    });
    told.collect()
}

/// Of a store whose daemon does not run.
///
/// # Errors
/// The store's.
pub(crate) fn offline(config: &Config, store: &dyn Store) -> anyhow::Result<Value> {
    let mut tenants = Vec::new();
    for tenant in &config.tenants {
        let mut told = stored(store, &tenant.id, &tenant.name)?;
        let mut logs = Vec::new();
        for row in store.cursors(&tenant.id)? {
            let cursor = Cursor::read(Some(&row)).unwrap_or_default();
            if tenant.source.collect.logs.iter().any(|log| **log == *row.log) {
                logs.push(
                    json!({"log": &*row.log, "standing": if cursor.closed { "closed" } else { "stopped" },
                    "complete_to": cursor.newest()}),
                );
            }
        }
        if let Value::Object(object) = &mut told {
            object.insert("host".to_owned(), json!(tenant.source.api_hostname));
            object.insert("logs".to_owned(), Value::Array(logs));
        }
        tenants.push(told);
    }
    let alive = store.note("", upkeep::ALIVE)?;
    let alive: Value = alive
        .and_then(|note| serde_json::from_str(&note).ok())
        .unwrap_or_default();
    let of = |name: &str| alive.get(name).and_then(Value::as_str);
    let since = match (of("last"), alive.get("stopped").and_then(Value::as_bool)) {
        (Some(last), Some(true)) => format!(" since {last}, when it was stopped"),
        (Some(last), _) => format!(": it ended without a word after {last}, its last sign of life"),
        _ => String::new(),
    };
    Ok(json!({
        "verdict": "not running",
        "running": false,
        "last_started": of("started"),
        "last_alive": of("last"),
        "stopped": alive.get("stopped"),
        "troubles": [format!("picket does not run{since}. Nothing is collected and nothing is judged. Start it: picket run, or \
                    systemctl start picket")],
        "tenants": tenants,
        "sinks": sinks::of(config, store)?,
    }))
}

fn verdict(troubles: &[Trouble]) -> &'static str {
    match troubles.first() {
        None => "all well",
        Some(Trouble { rank: 0, .. }) => "needs you",
        Some(_) => "look when you can",
    }
}

/// What the store knows of a tenant.
fn stored(store: &dyn Store, id: &str, name: &str) -> anyhow::Result<Value> {
    let events = store.count(id)?;
    let (alerts, last) = store.count_alerts(id)?;
    let by_log: serde_json::Map<String, Value> = events
        .iter()
        .map(|(log, count)| (log.to_string(), Value::from(*count)))
        .collect();
    Ok(json!({
        "id": id,
        "name": name,
        "events": events.iter().map(|(_, count)| count).sum::<u64>(),
        "events_by_log": by_log,
        "alerts": alerts,
        "last_alert": last.map(when::rfc3339),
    }))
}
