//! The key that masks a tenant's phone numbers: made when it is first needed, kept beside the store, never printed.
//!
//! `<data_dir>/keys/<tenant>.phone`, 64 hexadecimal digits, for its owner alone. With another key every number has another
//! pseudonym, so what rules remember of numbers no longer joins and alerts about numbers get other ids. That must never happen
//! by itself: the store remembers which key it has seen, and a tenant whose key is gone does not start until the file is back,
//! or somebody has said, by putting another there, that the old one is lost.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use picket_event::Mask;
use picket_store::Store;
use zeroize::Zeroizing;

use crate::config::readers;

/// Where the store keeps which key it has seen.
const NOTE: &str = "phone-key";

/// A tenant's key, made if it never had one.
///
/// # Errors
/// It is gone, cannot be read or written, or is no key; or the store's.
pub(crate) fn open(data_dir: &Path, tenant: &str, store: &dyn Store) -> anyhow::Result<Arc<Mask>> {
    let path = path(data_dir, tenant);
    let seen = store.note(tenant, NOTE)?;
    let mask = match (read(&path)?, &seen) {
        (Some(mask), _) => mask,
        (None, None) => make(&path)?,
        (None, Some(seen)) => bail!(
            "{}: the key that masks phone numbers (fingerprint {seen}) is gone; put it back from a backup. If it is lost, write \
             a new one, `openssl rand -hex 32 > {0}`: then every phone number gets another pseudonym, what rules remember of \
             numbers no longer counts, and alerts about numbers have new ids",
            path.display()
        ),
    };
    if let Some(who) = readers(&path) {
        tracing::warn!(tenant, "{} can be read by {who}: chmod 600 it", path.display());
    }
    if seen.as_deref() != Some(mask.fingerprint()) {
        if let Some(seen) = seen {
            tracing::warn!(
                tenant,
                "{} holds another key than before (fingerprint {}, it was {seen}): every phone number has another pseudonym \
                 from here on, what rules remember of numbers no longer counts, and alerts about numbers have new ids",
                path.display(),
                mask.fingerprint()
            );
        }
        store.set_note(tenant, NOTE, Some(mask.fingerprint()))?;
    }
    Ok(Arc::new(mask))
}

/// A tenant's key for verbs that only read; where it cannot be read the substitute, which is said on standard error.
pub(crate) fn to_read(data_dir: &Path, tenant: &str) -> Arc<Mask> {
    let path = path(data_dir, tenant);
    match read(&path) {
        Ok(Some(mask)) => return Arc::new(mask),
        Ok(None) => eprintln!(
            "{}: there is no key: phone numbers are masked with a substitute",
            path.display()
        ),
        Err(error) => eprintln!("{error:#}: phone numbers are masked with a substitute"),
    }
    Mask::substitute()
}

/// The key in a file that somebody names.
///
/// # Errors
/// It is not there, cannot be read, or is no key.
pub(crate) fn named(path: &Path) -> anyhow::Result<Arc<Mask>> {
    match read(path)? {
        Some(mask) => Ok(Arc::new(mask)),
        None => bail!("{}: there is no such file", path.display()),
    }
}

/// Deletes a tenant's key, for one that is purged. False: there is none.
///
/// # Errors
/// It cannot be deleted.
pub(crate) fn delete(data_dir: &Path, tenant: &str) -> anyhow::Result<bool> {
    let path = path(data_dir, tenant);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be deleted", path.display())),
    }
}

fn path(data_dir: &Path, tenant: &str) -> PathBuf {
    data_dir.join("keys").join(format!("{tenant}.phone"))
}

/// None: there is no such file.
fn read(path: &Path) -> anyhow::Result<Option<Mask>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    };
    let Some(key) = key(text.trim()) else {
        bail!(
            "{}: is no key: it holds 64 hexadecimal digits, as `openssl rand -hex 32` prints them",
            path.display()
        );
    };
    Ok(Some(Mask::new(&key)))
}

fn key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Writes a new key so that it is there whole, or not at all, whatever happens.
fn make(path: &Path) -> anyhow::Result<Mask> {
    let doing = || format!("{}: cannot be written", path.display());
    let directory = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(doing)?;
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *key).map_err(|error| anyhow::anyhow!("no random numbers from the system: {error}"))?;
    let text: Zeroizing<String> = Zeroizing::new(key.iter().map(|byte| format!("{byte:02x}")).collect());
    let draft = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(doing)?;
    writeln!(file, "{}", *text).with_context(doing)?;
    file.sync_all().with_context(doing)?;
    std::fs::rename(&draft, path).with_context(doing)?;
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(doing)?;
    Ok(Mask::new(&key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use picket_store::SqliteStore;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::in_memory().unwrap();
        let open = |tenant: &str| open(dir.path(), tenant, &store);
        let made = open("acme").unwrap();
        assert_eq!(open("acme").unwrap(), made, "the same in every run");
        assert_ne!(open("other").unwrap(), made, "one for each tenant");
        assert_ne!(*made, *Mask::substitute());
        let path = path(dir.path(), "acme");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!((*to_read(dir.path(), "acme")).clone(), *made);

        // Gone: nothing is made in its place.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = open("acme").unwrap_err().to_string();
        assert!(
            error.contains("is gone; put it back") && error.contains(made.fingerprint()),
            "{error}"
        );
        assert!(!path.exists());
        assert_eq!(to_read(dir.path(), "acme"), Mask::substitute());
        std::fs::write(&path, &text).unwrap();
        assert_eq!(open("acme").unwrap(), made, "put back, all is as before");

        // Broken: said, and not overwritten; no error holds any of it.
        std::fs::write(&path, &text[..40]).unwrap();
        let error = open("acme").unwrap_err().to_string();
        assert!(
            error.contains("64 hexadecimal digits") && !error.contains(&text[..8]),
            "{error}"
        );
        // Another, on purpose.
        std::fs::write(&path, format!("{}\n", "7f".repeat(32))).unwrap();
        let other = open("acme").unwrap();
        assert_ne!(other, made);
        assert_eq!(store.note("acme", NOTE).unwrap().as_deref(), Some(other.fingerprint()));
    }
}
