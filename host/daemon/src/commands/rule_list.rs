//! `picket rule list`: every rule, how it stands and why.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use picket_sandbox::{Engine, Limits};
use picket_store::SqliteStore;
use serde_json::Value;

use crate::cli::Format;
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::registry::Registry;
use crate::rules_view;

/// Asks the daemon, or reads rules and store where none runs.
///
/// # Errors
/// The daemon's, or the rules directory's.
pub(crate) async fn run(config: &Config, format: Format) -> anyhow::Result<()> {
    let rules = match ask(&config.control_socket, &Request::Rules).await? {
        Some(Value::Array(rules)) => rules,
        Some(_) => anyhow::bail!("the daemon's answer is not a list: is it of another version?"),
        None => {
            let mut registry = Registry::new(config.rules_dir.clone(), Engine::new(Limits::default())?);
            registry.scan()?;
            let store = super::store(config).or_else(|_| SqliteStore::in_memory().map_err(anyhow::Error::from))?;
            rules_view::list(
                &config.tenants.iter().collect::<Vec<_>>(),
                &registry,
                &store,
                &BTreeMap::new(),
            )?
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
            text("state"),
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
