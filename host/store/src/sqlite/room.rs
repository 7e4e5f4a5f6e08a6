//! How much room there is, and what takes it.

use std::path::Path;

use super::submission::Work;
use super::{Readers, SqliteStore};
use crate::StoreError;

/// How large a file is, bytes; one that is not there takes nothing.
pub(super) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The file system that something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    /// Bytes that we may still write.
    pub(super) free: u64,
    pub(super) total: u64,
}

impl Disk {
    /// None: the system does not tell.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let known = nix::sys::statvfs::statvfs(path).ok()?;
        let block = known.fragment_size();
        Some(Disk {
            free: known.blocks_available().saturating_mul(block),
            total: known.blocks().saturating_mul(block),
        })
    }
}

/// How much room a store has, and what it takes. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is free on its disk; none: the system does not tell.
    pub free: Option<u64>,
    /// How large its disk is.
    pub total: Option<u64>,
    /// The database.
    pub database: u64,
    /// Of the database, what is free within it.
    pub unused: u64,
    /// Its write-ahead log.
    pub log: u64,
    /// What was laid by for a full disk is there. False: the disk was full, and has not had enough room since.
    pub has_ballast: bool,
}

impl SqliteStore {
    /// Gives free pages (16 KiB each) back to the disk, at most so many at once. Returns how many are left.
    ///
    /// # Errors
    /// The engine's.
    pub fn vacuum(&self, pages: u32) -> Result<u64, StoreError> {
        self.write(Work::Vacuum { pages })
    }

    /// Folds the write-ahead log into the database. False: another program reads what only the log has.
    ///
    /// # Errors
    /// The engine's.
    pub fn fold(&self) -> Result<bool, StoreError> {
        self.write(Work::Fold).map(|held| held == 0)
    }

    /// How much room there is. Lays by again what was given up when the disk was full, if there is enough now.
    ///
    /// # Errors
    /// The engine's.
    pub fn room(&self) -> Result<Room, StoreError> {
        let (pages, page, unused) = self.query("reading its size", |connection| {
            let pragma = |name: &str| {
                let value: u64 = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?;
                Ok::<_, rusqlite::Error>(value)
            };
            Ok((pragma("page_count")?, pragma("page_size")?, pragma("freelist_count")?))
        })?;
        let (disk, log) = match &self.readers {
            Readers::Memory(_) => (None, 0),
            Readers::File { place, .. } => (Disk::of(place.directory()), size(&place.log())),
        };
        Ok(Room {
            free: disk.map(|disk| disk.free),
            total: disk.map(|disk| disk.total),
            database: pages.saturating_mul(page),
            unused: unused.saturating_mul(page),
            log,
            has_ballast: self.ballast.as_ref().is_none_or(|ballast| {
                // Of a store that is read only another process takes care.
                if self.writer.is_some() {
                    ballast.restore()
                } else {
                    ballast.is_there()
                }
            }),
        })
    }
}
