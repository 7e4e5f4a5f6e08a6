//! `picket rule list`: every rule, how it stands and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use comfy_table::{ContentArrangement, Table, presets};
use picket_contract::evaluate::{grouped, mebibytes};
use picket_store::SqliteStore;
use serde_json::Value;

use crate::cli::Format;
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::registry::{Archive, Books, Registry, Terms};
use crate::warming::Histories;
use crate::{rules_view, when};

/// Asks the daemon, or reads rules and store where none runs.
///
/// # Errors
/// The daemon's, or the rules directory's.
pub(crate) async fn run(config: &Config, format: Format, verbose: bool) -> anyhow::Result<()> {
    let rules = match ask(&config.control_socket, &Request::Rules { verbose }).await? {
        Some(Value::Array(rules)) => rules,
        Some(_) => anyhow::bail!("the daemon's answer is not a list: is it of another version?"),
        None => {
            let store = super::store(config).or_else(|_| SqliteStore::in_memory().map_err(anyhow::Error::from))?;
            let store = Arc::new(store);
            let registry = Registry::new(Terms::of(config), config.sandbox.start(None)?);
            let registry = registry.with(Books::to_read(store.clone(), Archive::new(&config.data_dir)));
            registry.restore();
            registry.scan()?;
            let tenants: Vec<_> = config.tenants.iter().collect();
            let mut histories = BTreeMap::new();
            for tenant in &tenants {
                histories.insert(tenant.id.clone(), Histories::of(&*store, &tenant.id, None)?);
            }
            let late = BTreeMap::new();
            let details = verbose.then_some(rules_view::Seen {
                counts: None,
                late: &late,
            });
            rules_view::list(&tenants, &registry, &*store, &BTreeMap::new(), &histories, details)?
        }
    };
    if format == Format::Ndjson {
        for rule in rules {
            out!("{rule}");
        }
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["STATE", "RULE", "VERSION", "SEVERITY", "LOGS", "MODULE", "FOR", "WHY"]);
    for rule in &rules {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let logs: Vec<&str> = rule
            .get("logs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        table.add_row([
            state(rule),
            text("id"),
            text("version"),
            text("severity"),
            logs.join(", "),
            text("module"),
            text("tenants"),
            text("reason"),
        ]);
    }
    out!("{table}");
    if verbose {
        rules.iter().for_each(details);
    }
    if rules.is_empty() {
        out!(
            "no rules in {}; `cargo xtask rules` builds the stock ones into target/rules",
            config.rules_dir.display()
        );
    }
    Ok(())
}

/// What one rule may use and has used, and what went wrong with it; nothing of a module that was refused.
fn details(rule: &Value) {
    let Some(limits) = rule.get("limits") else { return };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |part: &str, name: &str| {
        rule.get(part)
            .and_then(|part| part.get(name)?.as_u64())
            .unwrap_or_default()
    };
    let list = |name: &str| rule.get(name).and_then(Value::as_array).into_iter().flatten();
    out!(
        "\n{}: {} calls since the start",
        text(rule, "id"),
        grouped(number("highest", "calls"))
    );
    for (name, says) in [
        ("fuel", "fuel"),
        ("memory_bytes", "memory"),
        ("alerts", "alerts"),
        ("log_lines", "log lines"),
        ("state_bytes", "state"),
        ("state_entries", "state entries"),
    ] {
        let shown = |number: u64| {
            if name.ends_with("bytes") {
                mebibytes(number)
            } else {
                grouped(number)
            }
        };
        let most = limits.get(name).and_then(Value::as_u64).unwrap_or_default();
        out!(
            "  {says:<14} {:>14} at most, of {}",
            shown(number("highest", name)),
            shown(most)
        );
    }
    for (part, name, says) in [
        ("counts", "fuel", "fuel in all"),
        ("counts", "log_dropped", "log dropped"),
    ] {
        if number(part, name) > 0 {
            out!("  {says:<14} {:>14}", grouped(number(part, name)));
        }
    }
    if let Some(late) = rule.get("late_calls").and_then(Value::as_u64).filter(|late| *late > 0) {
        out!("  {:<14} {late:>14}", "late calls");
    }
    if let Some(shadow) = rule
        .get("shadow_alerts")
        .and_then(Value::as_u64)
        .filter(|shadow| *shadow > 0)
    {
        out!("  {:<14} {shadow:>14} (picket alerts --shadow)", "in shadow");
    }
    for quarantine in list("quarantines") {
        let attempts = quarantine.get("attempts").and_then(Value::as_u64).unwrap_or_default();
        out!(
            "  quarantined for {} since {}, {attempts} probes failed, next {}",
            text(quarantine, "tenant"),
            text(quarantine, "since"),
            text(quarantine, "next_probe")
        );
        for line in text(quarantine, "report").lines() {
            out!("    {line}");
        }
    }
    for row in list("poison") {
        out!(
            "  {} {} event {} of {}: {} ({}, {})",
            text(row, "fate"),
            text(row, "log"),
            text(row, "event"),
            text(row, "tenant"),
            text(row, "reason"),
            text(row, "code"),
            text(row, "time")
        );
    }
    for gap in list("gaps") {
        out!("  missed for {}: {}", text(gap, "tenant"), text(gap, "text"));
    }
}

/// `warming (62 %, ready 14:20)`, `shadow (until 14:20)`.
fn state(rule: &Value) -> String {
    let state = rule.get("state").and_then(Value::as_str).unwrap_or_default();
    if let Some(until) = rule.get("until").and_then(Value::as_str).and_then(when::minute) {
        return format!("{state} (until {until})");
    }
    let Some(percent) = rule.get("percent").and_then(Value::as_f64) else {
        return state.to_owned();
    };
    let time = rule.get("ready").and_then(Value::as_str).and_then(when::minute);
    let ready = time.map_or(String::new(), |time| format!(", ready {time}"));
    format!("{state} ({percent:.0} %{ready})")
}
