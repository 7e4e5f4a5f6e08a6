//! `picket rule list`: every rule, how it stands and why.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use picket_store::SqliteStore;
use serde_json::Value;

use crate::cli::Format;
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::registry::Registry;
use crate::warming::Histories;
use crate::{rules_view, when};

/// Asks the daemon, or reads rules and store where none runs.
///
/// # Errors
/// The daemon's, or the rules directory's.
pub(crate) async fn run(config: &Config, format: Format) -> anyhow::Result<()> {
    let rules = match ask(&config.control_socket, &Request::Rules).await? {
        Some(Value::Array(rules)) => rules,
        Some(_) => anyhow::bail!("the daemon's answer is not a list: is it of another version?"),
        None => {
            let registry = Registry::new(
                config.rules_dir.clone(),
                config.sandbox.start(None)?,
                config.sandbox.clone(),
            );
            registry.scan()?;
            let store = super::store(config).or_else(|_| SqliteStore::in_memory().map_err(anyhow::Error::from))?;
            let tenants: Vec<_> = config.tenants.iter().collect();
            let mut histories = BTreeMap::new();
            for tenant in &tenants {
                histories.insert(tenant.id.clone(), Histories::of(&store, &tenant.id, None)?);
            }
            rules_view::list(&tenants, &registry, &store, &BTreeMap::new(), &histories)?
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
    if rules.is_empty() {
        out!(
            "no rules in {}; `cargo xtask rules` builds the stock ones into target/rules",
            config.rules_dir.display()
        );
    }
    Ok(())
}

/// `warming (62 %, ready 14:20)`.
fn state(rule: &Value) -> String {
    let state = rule.get("state").and_then(Value::as_str).unwrap_or_default();
    let Some(percent) = rule.get("percent").and_then(Value::as_f64) else {
        return state.to_owned();
    };
    let time = rule.get("ready").and_then(Value::as_str).and_then(when::minute);
    let ready = time.map_or(String::new(), |time| format!(", ready {time}"));
    format!("{state} ({percent:.0} %{ready})")
}
