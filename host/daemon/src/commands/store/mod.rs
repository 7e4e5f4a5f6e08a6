//! `picket store`: what is stored, whether it is whole, and how it is copied, made small and taken out.
//!
//! Everything but `compact` only reads, beside a running daemon or without one.

mod backup;
mod export;

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use picket_store::{Checked, Store as _, compact};
use serde_json::{Value, json};

use crate::cli::{Format, StoreVerb};
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::sizes::shown;
use crate::when;

/// Does it. False: something is wrong with the store.
///
/// # Errors
/// There is none, it cannot be read, or there is no room.
pub(crate) async fn run(config: &Config, verb: &StoreVerb) -> anyhow::Result<bool> {
    match verb {
        StoreVerb::Check { quick, output } => check(config, *quick, output.format),
        StoreVerb::Backup { to, output } => backup::run(config, to, output.format),
        StoreVerb::Compact { output } => small(config, output.format).await,
        StoreVerb::Export(arguments) => export::run(config, arguments).map(|()| true),
        StoreVerb::Info { tenant, output } => info(config, tenant.as_deref(), output.format),
    }
}

fn check(config: &Config, quick: bool, format: Format) -> anyhow::Result<bool> {
    let store = super::store(config)?;
    let bar = bar(format);
    let checked = store.check(quick, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let is_sound = checked.findings.is_empty();
    if format == Format::Ndjson {
        out!("{}", told(&checked));
        return Ok(is_sound);
    }
    for finding in &checked.findings {
        out!("DAMAGED  {}\n         -> {}", finding.what, finding.action);
    }
    if checked.more > 0 {
        out!("         and {} more of these", checked.more);
    }
    out!(
        "{}: {} journals, {} entries, {} events in {}, {} alerts",
        if is_sound { "sound" } else { "NOT SOUND" },
        checked.journals,
        checked.entries,
        checked.events,
        shown(checked.bytes),
        checked.alerts
    );
    Ok(is_sound)
}

/// For scripts, and for the manifest of a backup.
fn told(checked: &Checked) -> Value {
    let findings: Vec<Value> = checked
        .findings
        .iter()
        .map(|finding| json!({"what": finding.what, "action": finding.action}))
        .collect();
    json!({
        "sound": checked.findings.is_empty(),
        "journals": checked.journals,
        "entries": checked.entries,
        "events": checked.events,
        "bytes": checked.bytes,
        "alerts": checked.alerts,
        "findings": findings,
        "more_findings": checked.more,
    })
}

/// Progress for whoever looks at a terminal.
fn bar(format: Format) -> ProgressBar {
    if format == Format::Ndjson || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} journals, {eta} left") {
        bar.set_style(style);
    }
    bar
}

async fn small(config: &Config, format: Format) -> anyhow::Result<bool> {
    let (before, after, how) = match ask(&config.control_socket, &Request::Compact).await? {
        Some(answer) => {
            let of = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
            (of("before"), of("after"), "running")
        }
        None => {
            let (before, after) = compact(&config.data_dir)?;
            (before, after, "stopped")
        }
    };
    if format == Format::Ndjson {
        out!("{}", json!({"before": before, "after": after, "daemon": how}));
        return Ok(true);
    }
    out!("{} before, {} now", shown(before), shown(after));
    if how == "running" {
        out!(
            "What pages have free stays free for what comes; with the daemon stopped, `picket store compact` gives that back too."
        );
    }
    Ok(true)
}

fn info(config: &Config, named: Option<&str>, format: Format) -> anyhow::Result<bool> {
    let store = super::store(config)?;
    let mut names = store.tenants()?;
    if let Some(named) = named {
        names.retain(|name| **name == *named);
        if names.is_empty() {
            anyhow::bail!(
                "nothing is stored of a tenant `{named}`; `picket store info` lists those of whom something is"
            );
        }
    }
    let mut rows = Vec::new();
    for name in &names {
        let taken = store.taken(name)?;
        let mut volumes = store.volumes(name)?;
        for segment in store.segments(name)? {
            volumes.extend(store.volumes(&segment)?);
        }
        let events: u64 = volumes.iter().map(|volume| volume.events).sum();
        let oldest = volumes.iter().filter_map(|volume| volume.oldest).min();
        let logs: Vec<Value> = volumes
            .iter()
            .map(|volume| {
                json!({"log": &*volume.log, "events": volume.events, "admitted": volume.admitted, "bytes": volume.bytes,
                    "oldest": volume.oldest.map(when::rfc3339)})
            })
            .collect();
        let configured = config.tenants.iter().any(|tenant| tenant.id == **name);
        rows.push(
            json!({"tenant": &**name, "configured": configured, "events": events, "bytes": taken.bytes(),
            "taken": {"events": taken.events, "ids": taken.ids, "alerts": taken.alerts, "state": taken.state,
                "inventory": taken.inventory},
            "oldest": oldest.map(when::rfc3339), "logs": logs}),
        );
    }
    let room = store.room()?;
    let whole = json!({"database": room.database, "unused": room.unused, "write_ahead_log": room.log, "disk_free": room.free,
        "disk": room.total, "ballast": room.has_ballast});
    if format == Format::Ndjson {
        rows.iter().for_each(|row| out!("{row}"));
        out!("{}", json!({"store": whole}));
        return Ok(true);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["TENANT", "EVENTS", "TAKES", "OLDEST", ""]);
    for row in &rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
        let is_configured = row.get("configured") == Some(&Value::Bool(true));
        table.add_row([
            text("tenant"),
            number("events").to_string(),
            shown(number("bytes")),
            text("oldest").get(..10).unwrap_or_default().to_owned(),
            if is_configured { "" } else { "not in the configuration" }.to_owned(),
        ]);
    }
    if !rows.is_empty() {
        out!("{table}\n");
    }
    out!(
        "{}: {}, of which {} is free for what comes; write-ahead log {}; disk: {} free",
        config.data_dir.display(),
        shown(room.database),
        shown(room.unused),
        shown(room.log),
        room.free.map_or_else(|| "?".to_owned(), shown)
    );
    Ok(true)
}
