//! The content of versions, by digest: what a rollback, a restart and a comparison work from, whatever lies in the rules
//! directory by then.
//!
//! Files are the owner's alone. What is read back is believed only if its digest is the one asked for. The signature that a
//! version came with is kept beside it, and counts when the version comes back: whoever is trusted then may be another.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use picket_sandbox::Engine;

use super::signed;

/// `data_dir/modules`.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    directory: PathBuf,
}

impl Archive {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Archive {
            directory: data_dir.join("modules"),
        }
    }

    /// Keeps content, on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, digest: &str, bytes: &[u8], signature: Option<&[u8]>) -> std::io::Result<()> {
        if self.read(digest)?.is_none() {
            self.write(&self.path(digest), bytes)?;
        }
        if let Some(signature) = signature.filter(|signature| self.signature(digest).as_deref() != Some(signature)) {
            self.write(&self.beside(digest), signature)?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let fresh = path.with_extension("fresh");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        std::fs::File::open(&self.directory)?.sync_all()
    }

    /// The signature that a version came with; none: it came without, or it cannot be read.
    pub(super) fn signature(&self, digest: &str) -> Option<Vec<u8>> {
        std::fs::read(self.beside(digest)).ok()
    }

    /// The content; none if it is not there, or is not what it was.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self, digest: &str) -> std::io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path(digest)) {
            Ok(bytes) => Ok(Some(bytes).filter(|bytes| Engine::digest(bytes) == digest)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes everything else.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be deleted.
    pub(super) fn keep_only(&self, digests: &BTreeSet<&str>) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let with_signature = |digest: &&str| [self.path(digest), self.beside(digest)];
        let wanted: BTreeSet<PathBuf> = digests.iter().flat_map(with_signature).collect();
        for entry in entries {
            let path = entry?.path();
            if !wanted.contains(&path) && path.is_file() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn beside(&self, digest: &str) -> PathBuf {
        signed::path(&self.path(digest))
    }

    fn path(&self, digest: &str) -> PathBuf {
        // Nothing but hexadecimal digits comes to be part of a path.
        let hex = digest
            .trim_start_matches("sha256:")
            .chars()
            .filter(char::is_ascii_hexdigit);
        self.directory.join(format!("{}.wasm", hex.collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::new(directory.path());
        let (one, other) = (Engine::digest(b"one"), Engine::digest(b"other"));
        assert_eq!(archive.read(&one).unwrap(), None);
        archive.keep_only(&BTreeSet::new()).unwrap();
        archive.keep(&one, b"one", None).unwrap();
        archive.keep(&one, b"one", None).unwrap();
        archive.keep(&other, b"other", Some(b"sig")).unwrap();
        assert_eq!(archive.read(&one).unwrap().as_deref(), Some(&b"one"[..]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&archive.path(&one)), 0o600);
        assert_eq!(mode(&archive.directory), 0o700);

        // What somebody put in its place is not it, and is mended when it is kept again.
        std::fs::write(archive.path(&one), "two").unwrap();
        assert_eq!(archive.read(&one).unwrap(), None);
        archive.keep(&one, b"one", None).unwrap();
        assert_eq!(archive.read(&one).unwrap().as_deref(), Some(&b"one"[..]));

        archive.keep_only(&BTreeSet::from([other.as_str()])).unwrap();
        assert_eq!(archive.read(&one).unwrap(), None);
        assert_eq!(archive.read(&other).unwrap().as_deref(), Some(&b"other"[..]));
        assert_eq!(archive.signature(&other).as_deref(), Some(&b"sig"[..]));
        archive.keep(&other, b"other", Some(b"of another key")).unwrap();
        assert_eq!(archive.signature(&other).as_deref(), Some(&b"of another key"[..]));
        archive.keep_only(&BTreeSet::new()).unwrap();
        assert_eq!(archive.signature(&other), None);
        assert_eq!(
            archive.path("sha256:../../etc/passwd"),
            archive.directory.join("ecad.wasm")
        );
    }
}
