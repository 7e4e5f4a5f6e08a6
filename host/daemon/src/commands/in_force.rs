//! `picket rule list --at TIME`: which rules, versions and overrides judged at a moment of the past.

use comfy_table::{ContentArrangement, Table, presets};
use picket_contract::params::show_span;
use picket_store::Store as _;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::config::Config;
use crate::out::out;
use crate::when;

/// Lists what judged each tenant, by what the store noted of each generation.
///
/// # Errors
/// A time that is none; the store.
pub(crate) fn run(config: &Config, at: &str, format: Format) -> anyhow::Result<()> {
    let now = when::now();
    let at = when::point(at, now)?;
    let store = super::store(config)?;
    let mut rules: Vec<Value> = Vec::new();
    let mut unknown = Vec::new();
    for tenant in super::tenants(config, None)? {
        let mut generations = store.generations(&tenant)?;
        generations.retain(|generation| generation.since <= at);
        let Some(generation) = generations.pop() else {
            unknown.push(tenant);
            continue;
        };
        let of: Vec<Value> = serde_json::from_str(&generation.json).unwrap_or_default();
        for mut rule in of {
            if let Value::Object(rule) = &mut rule {
                rule.insert("tenant".to_owned(), json!(tenant));
                rule.insert("generation".to_owned(), json!(generation.number));
                rule.insert("since".to_owned(), json!(when::rfc3339(generation.since)));
            }
            rules.push(rule);
        }
    }
    if format == Format::Ndjson {
        rules.iter().for_each(|rule| out!("{rule}"));
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "TENANT",
        "SINCE",
        "RULE",
        "VERSION",
        "MODE",
        "SEVERITY",
        "DEDUP",
        "WITH",
        "EXCEPTIONS",
    ]);
    for rule in &rules {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let since = text("since");
        let dedup = match rule.get("dedup_ms").and_then(Value::as_i64) {
            None | Some(0) => "off".to_owned(),
            Some(ms) => show_span(ms),
        };
        table.add_row([
            text("tenant"),
            since.get(..16).unwrap_or(&since).replace('T', " "),
            text("id"),
            text("version"),
            text("mode"),
            text("severity"),
            dedup,
            with(rule),
            exceptions(rule).join(", "),
        ]);
    }
    if !rules.is_empty() {
        out!("{table}");
    }
    for tenant in unknown {
        out!("{tenant}: nothing is known of what judged at {}", when::rfc3339(at));
    }
    Ok(())
}

fn with(rule: &Value) -> String {
    let parameters = rule.get("parameters").and_then(Value::as_object).into_iter().flatten();
    let told = parameters.map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        value => format!("{name} {value}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn exceptions(rule: &Value) -> Vec<&str> {
    let all = rule.get("exceptions").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|exception| exception.get("exception")?.as_str())
        .collect()
}
