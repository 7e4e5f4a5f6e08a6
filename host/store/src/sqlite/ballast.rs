//! A file that is there to be given up.
//!
//! A full disk keeps SQLite from more than writing: even to open a database again, to fold its log in, or to say how it stands
//! takes some room. So a store lays some by while there is enough. When a write finds the disk full the file is deleted, and
//! what is in hand can be brought to an end; it is made again when there is room again. What may grow the store in between is
//! not the store's to say: see [`super::SqliteStore::room`].

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use super::room::{self, Disk};

/// How much is laid by, bytes; on a small disk a thirty-second of it.
const MOST: u64 = 64 << 20;

/// The file.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Ballast {
    pub(super) fn of(directory: &Path) -> Self {
        Ballast {
            path: directory.join("picket.ballast"),
            changing: Mutex::default(),
        }
    }

    fn wanted(&self) -> Option<(u64, Disk)> {
        let disk = Disk::of(self.path.parent()?)?;
        Some(((disk.total / 32).min(MOST), disk))
    }

    /// Whether it is there.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Gives it up. False: there was none to give.
    pub(super) fn release(&self) -> bool {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let released = std::fs::remove_file(&self.path).is_ok();
        if released {
            tracing::error!("{}: given up, the disk is full", self.path.display());
        }
        released
    }

    /// Makes it, if it is not there and twice as much is free. True: it is there.
    pub(super) fn restore(&self) -> bool {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((wanted, disk)) = self.wanted() else {
            return false;
        };
        if room::size(&self.path) >= wanted {
            return true;
        }
        if disk.free < wanted.saturating_mul(2) {
            return false;
        }
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path);
        let laid = file.and_then(|file| {
            let length = i64::try_from(wanted).unwrap_or(i64::MAX);
            Ok(nix::fcntl::posix_fallocate(&file, 0, length)?)
        });
        if let Err(error) = laid {
            tracing::warn!("{}: cannot be laid by: {error}", self.path.display());
            // A part of it would look like the whole.
            let _ = std::fs::remove_file(&self.path);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_given_up_and_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(directory.path());
        let (wanted, disk) = ballast.wanted().unwrap();
        assert!(
            wanted > 0 && wanted <= MOST && wanted * 2 < disk.free,
            "this machine's disk is full"
        );
        assert!(!ballast.is_there() && !ballast.release());
        assert!(ballast.restore() && ballast.is_there() && ballast.restore());
        assert_eq!(room::size(&ballast.path), wanted);
        assert!(ballast.release() && !ballast.is_there());
        assert!(ballast.restore());
    }
}
