//! The files of the rules directory: which there are, and their content when it has settled.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Scope;
use crate::watch::{is_hidden, is_tenants};

/// How long a file that changed while it was read is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// What was read of a file.
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// Still being written: the watcher wakes us again when it is done.
    Unsettled,
    /// So many bytes, more than any module has; they were not read.
    TooMany(u64),
}

/// Relative paths of modules and whom they judge, in the order in which they are admitted: those for everybody first, then
/// one of each tenant after the other, so that many of one tenant do not keep another's waiting.
pub(super) fn list(directory: &Path) -> std::io::Result<Vec<(PathBuf, Scope)>> {
    let mut found: BTreeMap<Scope, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().map(PathBuf::from) else {
            continue;
        };
        if path.is_dir() {
            let Some(tenant) = name.to_str().filter(|_| is_tenants(&path)) else {
                continue;
            };
            let modules = found.entry(Scope::Tenant(tenant.to_owned())).or_default();
            let entries = match std::fs::read_dir(&path) {
                // Gone since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let inner = entry?.path();
                if let Some(file) = inner.file_name().filter(|_| is_module(&inner)) {
                    modules.push(name.join(file));
                }
            }
        } else if is_module(&path) {
            found.entry(Scope::All).or_default().push(name);
        }
    }
    let mut ordered = Vec::new();
    let mut turns: Vec<(Scope, VecDeque<PathBuf>)> = Vec::new();
    for (scope, mut modules) in found {
        modules.sort();
        match scope {
            Scope::All => ordered.extend(modules.into_iter().map(|path| (path, Scope::All))),
            Scope::Tenant(_) => turns.push((scope, modules.into())),
        }
    }
    while !turns.is_empty() {
        for (scope, modules) in &mut turns {
            ordered.extend(modules.pop_front().map(|path| (path, scope.clone())));
        }
        turns.retain(|(_, modules)| !modules.is_empty());
    }
    Ok(ordered)
}

/// Editors and copying tools write hidden and temporary files first.
fn is_module(path: &Path) -> bool {
    !is_hidden(path) && path.extension().is_some_and(|extension| extension == "wasm")
}

/// The content, unless the file changed while it was read, or has more bytes than `most`.
///
/// # Errors
/// It cannot be read, or is no plain file: a pipe would keep us waiting for ever.
pub(super) fn read(path: &Path, most: u64) -> std::io::Result<Content> {
    // Opening a pipe waits for its writer, unless one says not to.
    let open = || {
        OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(path)
    };
    let look = |about: &Metadata| (about.len(), about.modified().ok(), about.ino());
    for _ in 0..3 {
        let mut file: File = open()?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(std::io::Error::other("it is not a plain file"));
        }
        if before.len() > most {
            return Ok(Content::TooMany(before.len()));
        }
        let mut bytes = Vec::new();
        (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        // The name may stand for another file by now.
        if look(&std::fs::metadata(path)?) == look(&before) && bytes.len() as u64 == before.len() {
            return Ok(Content::Bytes(bytes));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Content::Unsettled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_has_its_turn_behind_what_is_for_all() {
        let directory = tempfile::tempdir().unwrap();
        for file in [
            "z.wasm",
            "a/1.wasm",
            "a/2.wasm",
            "a/3.wasm",
            "b/1.wasm",
            "b/.2.wasm",
            "c/x.txt",
            "a/4.WASM",
            "..2026_11_22/x.wasm",
            "lost+found/x.wasm",
        ] {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let listed = list(directory.path()).unwrap();
        let listed: Vec<&str> = listed.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(listed, ["z.wasm", "a/1.wasm", "b/1.wasm", "a/2.wasm", "a/3.wasm"]);
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for_and_what_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe.wasm");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&pipe, 10).is_err_and(|error| error.to_string().contains("not a plain file")));
        let device = directory.path().join("zero.wasm");
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        assert!(read(&device, 10).is_err());
        let plain = directory.path().join("plain.wasm");
        std::fs::write(&plain, "0123456789").unwrap();
        assert!(matches!(read(&plain, 10).unwrap(), Content::Bytes(bytes) if bytes == b"0123456789"));
        assert!(matches!(read(&plain, 9).unwrap(), Content::TooMany(10)));
    }
}
