//! `picket replay`: rules over exported events, or over those that a store holds; no daemon.

mod compared;
mod past;
mod stored;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use picket_contract::RawRow;
use picket_event::{Mask, Permission, reads_numbers};
use picket_judge::replay::{ReplayError, Rows};
use picket_judge::{JudgedRule, Settings, Tenant, Trouble, alerts, replay};
use picket_sandbox::Module;
use picket_store::AlertRow;

use crate::cli::{Format, Grant, Replay};
use crate::config::Sandbox;
use crate::out::out;
use crate::registry::Live;
use crate::ruleset::Wishes;
use crate::{phone_key, ruleset, when};

/// Runs it. Alerts or not, it is a success; bad input is an error that names file and line.
///
/// # Errors
/// Bad input.
pub(crate) fn run(arguments: &Replay, config: &Path) -> anyhow::Result<()> {
    if let Some(directory) = &arguments.store {
        return stored::run(arguments, directory.as_deref(), config);
    }
    let path = arguments.rules.as_deref().context("name the rules with --rules DIR")?;
    let rules = rules(path, &granted(&arguments.grant))?;
    let mut inputs: Vec<Input> = Vec::new();
    for given in &arguments.events {
        let input = read(given)?;
        match inputs.iter_mut().find(|other| other.log == input.log) {
            Some(other) => other.lines.extend(input.lines),
            None => inputs.push(input),
        }
    }
    let rows: Vec<Rows> = inputs
        .iter()
        .map(|input| Rows {
            log: input.log.as_str().into(),
            rows: input.lines.iter().map(|line| line.text.clone()).collect(),
        })
        .collect();
    let mask = match &arguments.phone_key {
        Some(path) => phone_key::named(path)?,
        None => {
            if rules.iter().any(|rule| reads_numbers(&rule.manifest)) {
                eprintln!(
                    "phone numbers are masked with a substitute key: their pseudonyms, and the ids of alerts about them, are not \
                 those of the daemon; --phone-key names the tenant's"
                );
            }
            Mask::substitute()
        }
    };
    let id: Arc<str> = arguments.tenant.as_deref().unwrap_or("default").into();
    let tenant = Arc::new(Tenant {
        id: id.clone(),
        name: id,
        timezone: "UTC".into(),
        panel: None,
        mask,
    });
    let replayed = match replay::replay(tenant, Settings::default(), rules, &rows, when::now()) {
        Ok(replayed) => replayed,
        Err(ReplayError::Row(bad)) => {
            let line = inputs
                .iter()
                .find(|input| *input.log == *bad.log)
                .and_then(|input| input.lines.get(bad.number - 1));
            let place = line.map_or(String::new(), |line| {
                format!("{}:{}: ", line.file.display(), line.number)
            });
            bail!("{place}not an event of Duo's {} log: {}", bad.log, bad.why);
        }
        Err(error) => return Err(error.into()),
    };
    let alerts: Vec<&AlertRow> = replayed.alerts.iter().collect();
    replayed.troubles.iter().for_each(stopped);
    print(&alerts, replayed.events as u64, arguments.output.format);
    Ok(())
}

fn stopped(trouble: &Trouble) {
    eprintln!("rule {} stopped: {}", trouble.rule, trouble.reason);
}

fn print(alerts: &[&AlertRow], events: u64, format: Format) {
    for alert in alerts {
        match format {
            Format::Ndjson => out!("{}", alerts::line(alert)),
            Format::Text => out!("{}\n", alerts::text(&alert.json, alert.repeats)),
        }
    }
    if format == Format::Text {
        out!("{events} events, {} alerts", alerts.len());
    }
}

/// The modules of a directory (or one module), admitted by the production sandbox.
///
/// # Errors
/// The first module that is refused, and why.
pub(crate) fn modules(path: &Path) -> anyhow::Result<Vec<(PathBuf, Arc<Module>)>> {
    let engine = Sandbox::default().start(None)?;
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| format!("{}: cannot be read", path.display()))? {
            files.push(entry?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    if files.is_empty() {
        bail!(
            "{}: there is no module (*.wasm); `cargo xtask rules` builds the stock ones into target/rules",
            path.display()
        );
    }
    let load = |file: PathBuf| {
        let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let module = engine
            .load(&bytes)
            .map_err(|rejected| anyhow!("{}: refused: {}", file.display(), rejected.line()))?;
        Ok((file, Arc::new(module)))
    };
    files.into_iter().map(load).collect()
}

/// What modules are granted here.
fn granted(grants: &[Grant]) -> Permission {
    grants.iter().fold(Permission::default(), |granted, grant| match grant {
        Grant::Phone => granted.granting_clear(),
        Grant::Raw => granted.granting_raw(),
    })
}

fn rules(path: &Path, granted: &Permission) -> anyhow::Result<Vec<JudgedRule>> {
    let live = modules(path)?.into_iter().map(|(_, module)| Live::untested(module));
    let live = live.collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
    // Outside the rules directory a module's file is nothing that a configuration could name.
    let permissions = BTreeMap::from([(String::new(), granted.clone())]);
    for (rule, why) in ruleset::blind(&live, &permissions) {
        eprintln!("rule {rule} does not judge: {why} (--grant)");
    }
    let wishes = Wishes {
        overrides: &BTreeMap::new(),
        exceptions: &[],
        lists: &BTreeMap::new(),
        permissions: &permissions,
    };
    let rules = ruleset::rules(&live, &wishes);
    rules.map_err(|wrong| anyhow::anyhow!(wrong.join("\n")))
}

struct Input {
    log: String,
    lines: Vec<Line>,
}

struct Line {
    file: Arc<Path>,
    number: usize,
    text: RawRow,
}

fn read(given: &str) -> anyhow::Result<Input> {
    let Some((log, file)) = given.split_once('=') else {
        bail!("--events {given}: write LOG=FILE, as in authentication=auth.ndjson");
    };
    if !picket_event::logs().any(|name| name == log) {
        let names: Vec<&str> = picket_event::logs().collect();
        bail!(
            "--events {given}: there is no log `{log}`; the logs are {}",
            names.join(", ")
        );
    }
    let path: Arc<Path> = Path::new(file).into();
    let bytes = std::fs::read(&path).with_context(|| format!("--events {given}: cannot be read"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let read = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let number = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        anyhow::anyhow!("{file}:{number}: not UTF-8")
    })?;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(replay::lines(&RawRow::from(text))) {
        let text = line.slice_ref(line.trim());
        if !text.is_empty() {
            lines.push(Line {
                file: path.clone(),
                number,
                text,
            });
        }
    }
    Ok(Input {
        log: log.to_owned(),
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.ndjson");
        let given = format!("authentication={}", file.display());
        std::fs::write(&file, b"{}\n\n  {\"a\":1} \r\n").unwrap();
        let input = read(&given).unwrap();
        let found: Vec<(usize, &str)> = input.lines.iter().map(|line| (line.number, &*line.text)).collect();
        assert_eq!(found, [(1, "{}"), (3, "{\"a\":1}")]);
        std::fs::write(&file, b"{}\n\n{\"a\":\"\xff\"}\n").unwrap();
        let said = read(&given).err().unwrap().to_string();
        assert!(said.ends_with("events.ndjson:3: not UTF-8"), "{said}");
    }
}
