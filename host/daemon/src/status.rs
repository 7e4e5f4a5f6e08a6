//! How everything stands: the verdict first, then the worst first.

use picket_collect::{LogHealth, Standing};
use picket_store::{AlertFilter, Store};
use serde_json::{Value, json};

use crate::config::Config;
use crate::daemon::{Daemon, Running};
use crate::{rules_view, when};

/// How long a log may be behind before it is worth a word, ms: Duo's two minutes and three polls.
fn patience(running: &Running) -> i64 {
    let interval = i64::try_from(running.config.source.poll_interval).unwrap_or(i64::MAX);
    interval.saturating_mul(3).saturating_add(180_000)
}

/// Of a running daemon.
///
/// # Errors
/// The store's.
pub(crate) fn of(daemon: &Daemon) -> anyhow::Result<Value> {
    let now = when::now();
    let mut troubles: Vec<(u8, String)> = Vec::new();
    for damage in daemon.damage.problems() {
        troubles.push((
            0,
            format!(
                "store: {damage}; it is left out, the rest goes on: restore a backup, or let Duo's 180 days refill it"
            ),
        ));
    }
    for (tenant, broken) in daemon.fleet.broken() {
        let why = broken.why;
        troubles.push((
            0,
            format!("{tenant}: not collected, not judged: {why}; mend it: it is tried again every minute, and at `picket reload`"),
        ));
    }
    let mut tenants = Vec::new();
    for running in &daemon.fleet.running() {
        let id = &running.config.id;
        let logs = running.board.status(now);
        for health in &logs {
            troubles
                .extend(trouble(running, health).map(|(rank, text)| (rank, format!("{id}: {}: {text}", health.log))));
        }
        let mut tenant = stored(&*daemon.store, id, &running.config.name)?;
        if let Value::Object(object) = &mut tenant {
            object.insert("logs".to_owned(), serde_json::to_value(&logs)?);
        }
        tenants.push(tenant);
    }
    let rules = rules_view::of(daemon)?;
    for rule in &rules {
        let of = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        match of("state") {
            "rejected" => troubles.push((1, format!("module {} is refused: {}", of("module"), of("reason")))),
            "quarantined" => troubles.push((1, format!("rule {} is quarantined: {}", of("id"), of("reason")))),
            _ => {}
        }
    }
    for (sink, text) in daemon.delivery.troubles() {
        troubles.push((0, format!("{sink}: alerts wait: {text}")));
    }
    troubles.sort();
    let counted = |state: &str| {
        rules
            .iter()
            .filter(|rule| rule.get("state").and_then(Value::as_str) == Some(state))
            .count()
    };
    Ok(json!({
        "verdict": verdict(&troubles),
        "running": true,
        "since": when::rfc3339(daemon.started),
        "troubles": troubles.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
        "tenants": tenants,
        "rules": {"active": counted("active"), "quarantined": counted("quarantined"),
            "rejected": counted("rejected"), "off": counted("off")},
        "sinks": daemon.delivery.names().collect::<Vec<_>>(),
    }))
}

/// Of a store whose daemon does not run.
///
/// # Errors
/// The store's.
pub(crate) fn offline(config: &Config, store: &dyn Store) -> anyhow::Result<Value> {
    let tenants = config
        .tenants
        .iter()
        .map(|tenant| stored(store, &tenant.id, &tenant.name));
    Ok(json!({
        "verdict": "not running",
        "running": false,
        "troubles": ["picket does not run: nothing is collected and nothing is judged. Start it: picket run, or systemctl start picket"],
        "tenants": tenants.collect::<anyhow::Result<Vec<_>>>()?,
    }))
}

fn verdict(troubles: &[(u8, String)]) -> &'static str {
    match troubles.first() {
        None => "all well",
        Some((0, _)) => "needs you",
        Some(_) => "look when you can",
    }
}

/// What the store knows of a tenant.
fn stored(store: &dyn Store, id: &str, name: &str) -> anyhow::Result<Value> {
    let events = store.count(id)?;
    let alerts = store.alerts(id, &AlertFilter::default())?;
    let by_log: serde_json::Map<String, Value> = events
        .iter()
        .map(|(log, count)| (log.to_string(), Value::from(*count)))
        .collect();
    Ok(json!({
        "id": id,
        "name": name,
        "events": events.iter().map(|(_, count)| count).sum::<u64>(),
        "events_by_log": by_log,
        "alerts": alerts.len(),
        "last_alert": alerts.last().map(|alert| when::rfc3339(alert.time)),
    }))
}

/// What is wrong with a log, if anything, and how bad it is (0: somebody has to act).
fn trouble(running: &Running, health: &LogHealth) -> Option<(u8, String)> {
    let error = health
        .last_error
        .as_ref()
        .filter(|error| health.last_success.is_none_or(|success| success < error.at));
    match (health.standing, error) {
        (Standing::NotCollected, _) => None,
        (Standing::Closed, error) => Some((0, error.map_or("closed".to_owned(), |error| error.text.clone()))),
        (_, Some(error)) if error.is_configuration => Some((0, error.text.clone())),
        (_, Some(error)) => Some((1, error.text.clone())),
        _ => {
            let lag = health.lag.filter(|lag| *lag > patience(running))?;
            Some((2, format!("is {} behind Duo and catching up", when::long(lag))))
        }
    }
}

/// For people.
pub(crate) fn text(status: &Value) -> String {
    let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut lines = vec![of(status, "verdict").to_uppercase()];
    for trouble in status
        .get("troubles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        lines.push(format!("  ! {trouble}"));
    }
    let now = when::now();
    for tenant in status.get("tenants").and_then(Value::as_array).into_iter().flatten() {
        lines.push(String::new());
        let (name, id) = (of(tenant, "name"), of(tenant, "id"));
        lines.push(format!(
            "{id}  {name}: {} events, {} alerts",
            number(tenant, "events"),
            number(tenant, "alerts")
        ));
        for log in tenant.get("logs").and_then(Value::as_array).into_iter().flatten() {
            let standing = of(log, "standing");
            if standing == "not_collected" {
                continue;
            }
            let time = |name: &str| log.get(name).and_then(Value::as_i64);
            let complete = time("complete_to").map_or_else(
                || "nothing yet".to_owned(),
                |to| format!("complete to {}", when::short(to, now)),
            );
            let lag = time("lag").map_or(String::new(), |lag| format!(", {} behind", when::long(lag)));
            let next = time("next_poll").map_or(String::new(), |next| {
                format!(", next poll in {}", when::long(next - now))
            });
            lines.push(format!(
                "    {:<15} {standing:<9} {complete}{lag}{next}",
                of(log, "log")
            ));
        }
    }
    if let Some(rules) = status.get("rules") {
        lines.push(String::new());
        lines.push(format!(
            "rules: {} active, {} quarantined, {} refused, {} off",
            number(rules, "active"),
            number(rules, "quarantined"),
            number(rules, "rejected"),
            number(rules, "off"),
        ));
    }
    lines.join("\n")
}
