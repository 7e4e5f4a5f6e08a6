//! `picket except`: an exception from an alert's own values, written into the configuration.
//!
//! It writes a file of its own in `exceptions_dir`, so that whoever keeps the configuration in a version control finds it there.
//! A file that would make the configuration wrong is taken back before anybody sees it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use nix::unistd::{Uid, User};
use picket_event::clean;
use picket_judge::exceptions::{Exception as Judged, Kind, Matter, OF_ALERT};
use picket_judge::people::Nobody;
use picket_store::{AlertFilter, AlertRow, SqliteStore, Store as _};
use serde_json::{Value, json};

use super::alerts;
use crate::cli::{Except, Format};
use crate::config::{self, Config, Exception, TenantConfig};
use crate::control::{Request, ask};
use crate::exceptions::judged;
use crate::out::out;
use crate::{phone_key, when};

/// The past that a new exception is tried on.
const LOOK_BACK: i64 = 30 * 86_400_000;
/// Alerts of it that are listed; `ndjson` has all.
const MOST_LISTED: usize = 10;

/// Writes one, and says what it would have suppressed. False: the daemon did not take it.
///
/// # Errors
/// There is no such alert, it has no such field, or the file cannot be written.
pub(crate) async fn run(config: &Config, arguments: &Except) -> anyhow::Result<bool> {
    let store = super::store(config)?;
    let (tenant, alert) = alerts::find(config, &store, &arguments.alert)?;
    let json: Value = serde_json::from_str(&alert.json).with_context(|| format!("alert {} is damaged", alert.id))?;
    let mask = phone_key::to_read(&config.data_dir, &tenant);
    let matter = Matter::stored(&json, &mask).with_context(|| format!("alert {} is damaged", alert.id))?;
    let now = when::now();
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => free_name(config, &alert),
    };
    let text = text(arguments, &name, &alert, &tenant, &matter, now)?;
    let path = config.exceptions_dir.join(format!("{}.yaml", file_name(&name)));
    write(&path, &text)?;
    let taken = taken(config, &name);
    let (loaded, exception) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            // Nobody has read it yet, or whoever has was told what is wrong with it.
            let _ = std::fs::remove_file(&path);
            return Err(error.context(format!("{} was not kept", path.display())));
        }
    };
    let effect = Effect::of(&loaded, &store, &exception, &alert.rule, now)?;
    let reloaded = ask(&config.control_socket, &Request::Reload).await?;
    let wrong = reloaded.as_ref().map(|report| {
        let wrong = report.pointer("/configuration/wrong").and_then(Value::as_array);
        wrong
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let is_taken = wrong.as_ref().is_none_or(Vec::is_empty);
    if arguments.output.format == Format::Ndjson {
        let told = json!({
            "exception": name,
            "file": path.display().to_string(),
            "in_force": wrong.as_ref().map(Vec::is_empty),
            "wrong": wrong.unwrap_or_default(),
            "would_have_suppressed": effect.suppressed.iter().map(|(_, alert)| &*alert.id).collect::<Vec<_>>(),
            "of": effect.of,
        });
        out!("{told}");
        return Ok(is_taken);
    }
    out!("{}:", path.display());
    text.lines().for_each(|line| out!("  {line}"));
    effect.say(&alert.rule, now);
    match wrong {
        None => out!("no daemon runs: it takes effect when one starts"),
        Some(wrong) if wrong.is_empty() => out!("in force"),
        Some(wrong) => out!(
            "the daemon has read it, and found this wrong elsewhere:\n{}",
            wrong.join("\n")
        ),
    }
    Ok(is_taken)
}

/// What it would have suppressed.
struct Effect {
    /// With whose it is; the newest last.
    suppressed: Vec<(Arc<str>, AlertRow)>,
    /// Alerts of the rule, in all.
    of: usize,
}

impl Effect {
    fn of(
        config: &Config,
        store: &SqliteStore,
        exception: &Arc<Exception>,
        rule: &str,
        now: i64,
    ) -> anyhow::Result<Self> {
        let mut effect = Effect {
            suppressed: Vec::new(),
            of: 0,
        };
        let filter = AlertFilter {
            rule: Some(rule.to_owned()),
            since: Some(now - LOOK_BACK),
            ..AlertFilter::default()
        };
        let has_it = |tenant: &&TenantConfig| tenant.exceptions.contains(exception);
        for tenant in config.tenants.iter().filter(has_it) {
            let judged = judged(exception, &tenant.lists).map_err(anyhow::Error::msg)?;
            let mask = phone_key::to_read(&config.data_dir, &tenant.id);
            let found = store.alerts(&tenant.id, &filter)?;
            effect.of += found.len();
            let covered = found.into_iter().filter(|alert| covers(&judged, alert, &mask));
            effect
                .suppressed
                .extend(covered.map(|alert| (Arc::from(tenant.id.as_str()), alert)));
        }
        effect
            .suppressed
            .sort_by(|(_, one), (_, other)| (one.time, &one.id).cmp(&(other.time, &other.id)));
        Ok(effect)
    }

    fn say(&self, rule: &str, now: i64) {
        let count = self.suppressed.len();
        out!(
            "would have suppressed {count} of the {} {} of {rule} in the last 30 days",
            self.of,
            when::plural(self.of, "alert")
        );
        for (tenant, alert) in self.suppressed.iter().skip(count.saturating_sub(MOST_LISTED)) {
            let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
            let title = json.get("title").and_then(Value::as_str).unwrap_or_default();
            out!("  {}  {tenant}  {title}  {}", when::short(alert.time, now), alert.id);
        }
        if count > MOST_LISTED {
            out!("  (and {} before these)", count - MOST_LISTED);
        }
    }
}

fn covers(exception: &Judged, alert: &AlertRow, mask: &Arc<picket_event::Mask>) -> bool {
    let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    Matter::stored(&json, mask).is_some_and(|matter| exception.covers(&matter, &Nobody))
}

/// The file, as somebody might have written it by hand.
fn text(
    arguments: &Except,
    name: &str,
    alert: &AlertRow,
    tenant: &str,
    matter: &Matter<'_>,
    now: i64,
) -> anyhow::Result<String> {
    let (mut fields, mut entities) = (Vec::new(), Vec::new());
    for field in &arguments.fields {
        let kind = Kind::ALL.iter().find(|(name, _)| name == field);
        let (values, to) = match kind {
            Some((_, kind)) => {
                let first = |names: Vec<String>| names.into_iter().next();
                (
                    matter.entities(*kind).into_iter().filter_map(first).collect(),
                    &mut entities,
                )
            }
            None => (matter.field(field), &mut fields),
        };
        if values.is_empty() {
            bail!("alert {} has no `{field}`; it has {}", alert.id, offers(matter, alert));
        }
        to.push((field, values));
    }
    let quoted = |text: &str| Value::from(text).to_string();
    let tenants = match (arguments.all_tenants, arguments.tenants.as_slice()) {
        (true, _) => "all".to_owned(),
        (false, []) => format!("[{tenant}]"),
        (false, named) => format!("[{}]", named.join(", ")),
    };
    let until = match &arguments.lasts {
        lasts if lasts == "never" => "never".to_owned(),
        lasts => {
            let span = picket_contract::params::span(lasts).map_err(anyhow::Error::msg)?;
            // Nobody needs the milliseconds.
            when::rfc3339((now + span) / 1000 * 1000).replace(".000Z", "Z")
        }
    };
    let owner = arguments.owner.clone().or_else(|| {
        let user = User::from_uid(Uid::current()).ok().flatten();
        user.map(|user| user.name)
    });
    let owner = owner.context("who answers for it? --owner NAME")?;
    let mut text = format!(
        "# picket except {}, {}\nexceptions:\n  - name: {}\n    rules: {}\n    tenants: {tenants}\n",
        alert.id,
        when::rfc3339(now / 1000 * 1000).replace(".000Z", "Z"),
        quoted(name),
        alert.rule
    );
    for (section, pairs) in [("fields", fields), ("entities", entities)] {
        if !pairs.is_empty() {
            text.push_str(&format!("    {section}:\n"));
        }
        for (field, values) in pairs {
            text.push_str(&format!("      {}: {}\n", quoted(field), json!(values)));
        }
    }
    text.push_str(&format!(
        "    owner: {}\n    reason: {}\n",
        quoted(&owner),
        quoted(&arguments.reason)
    ));
    if let Some(ticket) = &arguments.ticket {
        text.push_str(&format!("    ticket: {}\n", quoted(ticket)));
    }
    text.push_str(&format!("    until: {until}\n"));
    Ok(text)
}

/// What an exception could be made of.
fn offers(matter: &Matter<'_>, alert: &AlertRow) -> String {
    let kinds = Kind::ALL.iter().filter(|(_, kind)| !matter.entities(*kind).is_empty());
    let mut names: Vec<String> = kinds.map(|(name, _)| (*name).to_owned()).collect();
    let own = OF_ALERT.iter().filter(|name| !matter.field(name).is_empty());
    names.extend(own.map(|name| (*name).to_owned()));
    let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    let facts = json.get("facts").and_then(Value::as_object).into_iter().flatten();
    names.extend(facts.map(|(name, _)| format!("facts.{}", clean(name))));
    format!(
        "{}, and the fields of its events, as access_device.ip",
        names.join(", ")
    )
}

/// The rule and the beginning of the alert's id; a number behind it where that is taken.
fn free_name(config: &Config, alert: &AlertRow) -> String {
    let hex = alert.id.split_once('_').map_or(&*alert.id, |(_, hex)| hex);
    let name = format!("{}-{}", alert.rule, hex.get(..8).unwrap_or(hex));
    let is_taken = |name: &str| {
        let mut exceptions = config.tenants.iter().flat_map(|tenant| &tenant.exceptions);
        exceptions.any(|exception| exception.name == name)
            || config.exceptions_dir.join(format!("{}.yaml", file_name(name))).exists()
    };
    let mut free = name.clone();
    for number in 2.. {
        if !is_taken(&free) {
            break;
        }
        free = format!("{name}-{number}");
    }
    free
}

/// Of letters that no file system minds.
fn file_name(name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_".contains(letter) {
            letter
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

/// In one go, and never over what is there.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let doing = || format!("{}: cannot be written", path.display());
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    std::fs::create_dir_all(&directory).with_context(doing)?;
    let mut draft = tempfile::Builder::new()
        .prefix(".picket-except-")
        .tempfile_in(&directory)
        .with_context(doing)?;
    draft.write_all(text.as_bytes()).with_context(doing)?;
    draft.as_file().sync_all().with_context(doing)?;
    // As the rest of the configuration: the daemon may be another user than whoever writes this.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    draft.as_file().set_permissions(readable).with_context(doing)?;
    let kept = draft.persist_noclobber(path);
    kept.map_err(|error| error.error).with_context(|| {
        format!(
            "{}: is there already; give the exception another name with --name",
            path.display()
        )
    })?;
    Ok(())
}

/// The configuration as it is with the new file, and the exception in it.
fn taken(config: &Config, name: &str) -> anyhow::Result<(Config, Arc<Exception>)> {
    let loaded = config::load_for_run(&config.path)?;
    let loaded = super::with_children(loaded.config);
    let mut exceptions = loaded.tenants.iter().flat_map(|tenant| &tenant.exceptions);
    let Some(exception) = exceptions.find(|exception| exception.name == name).cloned() else {
        bail!("exception `{name}` is for no tenant that there is: see --tenant");
    };
    Ok((loaded, exception))
}
