//! `picket store backup TO`: a directory that can be put in the place of `data_dir`.
//!
//! It holds everything that `data_dir` has and cannot be made again: the database as it was at one moment, the keys that mask
//! phone numbers, the contents of modules; and `manifest.json`, which says what is in it. It is secret as they are.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use picket_store::{SqliteStore, Store as _};
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::config::Config;
use crate::out::out;
use crate::sizes::shown;
use crate::when;

/// Beside the database, what is needed to go on with it.
const BESIDE: [&str; 2] = ["keys", "modules"];

/// Makes it, and looks whether it is whole. False: it is not, because the store is not.
///
/// # Errors
/// There is something already; no room; what cannot be read or written.
pub(super) fn run(config: &Config, to: &Path, format: Format) -> anyhow::Result<bool> {
    let store = super::super::store(config)?;
    let at = |what: &str| format!("{}: {what}", to.display());
    if to.exists() {
        bail!(at(
            "is there already, and nothing is written over: name another, as backup-2026-05-01"
        ));
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(to).with_context(|| at("cannot be made"))?;
    let made = fill(config, &store, to);
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            // Half a backup would be taken for one.
            let _ = std::fs::remove_dir_all(to);
            return Err(error);
        }
    };
    let is_sound = manifest.pointer("/checked/sound") == Some(&Value::Bool(true));
    if format == Format::Ndjson {
        out!("{manifest}");
        return Ok(is_sound);
    }
    let number = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    out!(
        "{}: {}, schema {}, {} events and {} alerts of {} tenants, read back and {}",
        to.display(),
        shown(number("/files/picket.db/bytes")),
        number("/schema"),
        number("/checked/events"),
        number("/checked/alerts"),
        manifest.get("tenants").and_then(Value::as_object).map_or(0, Map::len),
        if is_sound {
            "sound"
        } else {
            "NOT SOUND: so is the store, see `picket store check`"
        }
    );
    out!(
        "It holds the keys that mask phone numbers: keep it as safe as {}.",
        config.data_dir.display()
    );
    Ok(is_sound)
}

fn fill(config: &Config, store: &SqliteStore, to: &Path) -> anyhow::Result<Value> {
    let began = when::now();
    store.copy_to(&to.join("picket.db"))?;
    for name in BESIDE {
        copy(&config.data_dir.join(name), &to.join(name))?;
    }
    let copied = SqliteStore::open_read_only(to)?;
    let checked = copied.check(false, &mut |_, _| {})?;
    let mut tenants = Map::new();
    for name in copied.tenants()? {
        let mut logs = Map::new();
        for (log, events) in copied.count(&name)? {
            logs.insert(log.to_string(), events.into());
        }
        let (alerts, _) = copied.count_alerts(&name)?;
        let of = json!({"last_number": copied.last_seq(&name)?, "events": logs, "alerts": alerts,
            "segments": copied.segments(&name)?.len()});
        tenants.insert(name.to_string(), of);
    }
    let mut files = Map::new();
    listed(to, to, &mut files)?;
    let manifest = json!({
        "picket": env!("CARGO_PKG_VERSION"),
        "schema": picket_store::SCHEMA,
        "began": when::rfc3339(began),
        "ended": when::rfc3339(when::now()),
        "of": config.data_dir.display().to_string(),
        "tenants": tenants,
        "checked": super::told(&checked),
        "files": files,
    });
    // What reading it has left.
    drop(copied);
    for left in ["picket.db-wal", "picket.db-shm"] {
        let _ = std::fs::remove_file(to.join(left));
    }
    let file = to.join("manifest.json");
    std::fs::write(&file, format!("{manifest:#}\n"))
        .with_context(|| format!("{}: cannot be written", file.display()))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    std::fs::File::open(&file)?.sync_all()?;
    std::fs::File::open(to)?.sync_all()?;
    Ok(manifest)
}

/// A directory with what is in it; one that is not there is nothing.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    let cannot = |what: &Path| format!("{}: cannot be copied", what.display());
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(to)
        .with_context(|| cannot(to))?;
    for entry in std::fs::read_dir(from).with_context(|| cannot(from))? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            // With its mode: what is for its owner alone stays so.
            std::fs::copy(&path, &target).with_context(|| cannot(&path))?;
            std::fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

/// Every file by its path, with size and digest.
fn listed(root: &Path, directory: &Path, files: &mut Map<String, Value>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if path.is_dir() {
            listed(root, &path, files)?;
        } else if !name.ends_with("-wal") && !name.ends_with("-shm") {
            let mut hasher = blake3::Hasher::new();
            let bytes = std::io::copy(&mut std::fs::File::open(&path)?, &mut hasher)?;
            files.insert(
                name,
                json!({"bytes": bytes, "blake3": hasher.finalize().to_hex().as_str()}),
            );
        }
    }
    Ok(())
}
