//! A store copied while it is in use, and a store made as small as it can be.

use std::path::Path;

use rusqlite::Connection;

use super::connection::Place;
use super::migration::copy_into;
use super::room::{self, Disk};
use super::{Readers, SqliteStore};
use crate::StoreError;

/// Pages given back in one go: others write in between.
const PAGES_AT_ONCE: u32 = 256;

impl SqliteStore {
    /// Copies the whole store, as it is at one moment, into a new database file, durably. A daemon may run on it meanwhile; its
    /// write-ahead log grows until the copy is done.
    ///
    /// # Errors
    /// [`StoreError::Unusable`]: there is something of that name, or no room; the engine's.
    pub fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let unusable = |why: String| StoreError::Unusable {
            path: self.path.clone(),
            why,
        };
        let copied = match &self.readers {
            Readers::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                copy_into(&connection, file)
            }
            Readers::File { place, .. } => {
                let needed = room::size(&place.database());
                let disk = file.parent().and_then(Disk::of);
                if let Some(disk) = disk.filter(|disk| disk.free < needed) {
                    let (needed, free) = ((needed >> 20) + 1, disk.free >> 20);
                    return Err(unusable(format!("a copy needs {needed} MiB of room, there are {free}")));
                }
                copy_into(&place.reader()?, file)
            }
        };
        copied.map_err(|why| unusable(format!("it cannot be copied to {}: {why}", file.display())))
    }

    /// Gives back to the disk what is free within the store, a little at a time, and folds the write-ahead log in. What pages
    /// have free is not joined: that takes [`compact`].
    ///
    /// # Errors
    /// The engine's.
    pub fn tighten(&self) -> Result<(), StoreError> {
        let mut left = u64::MAX;
        loop {
            let now = self.vacuum(PAGES_AT_ONCE)?;
            if now == 0 || now >= left {
                break;
            }
            left = now;
        }
        self.fold().map(|_| ())
    }

    /// Writes the whole database anew, in its place, and folds the write-ahead log in: nothing is left of what was deleted. Who
    /// writes waits until it is done.
    ///
    /// # Errors
    /// No room; the engine's.
    pub fn rebuild(&self) -> Result<(), StoreError> {
        if let Readers::File { place, .. } = &self.readers {
            let needed = room::size(&place.database()).saturating_mul(2);
            let free = Disk::of(place.directory()).map_or(u64::MAX, |disk| disk.free);
            if free < needed {
                return Err(place.unusable(format!(
                    "to write it anew needs {} MiB of room, there are {}",
                    (needed >> 20) + 1,
                    free >> 20
                )));
            }
        }
        self.write(super::submission::Work::Rebuild)?;
        self.fold().map(|_| ())
    }
}

/// Writes the store of `directory` anew into a file as small as it can be, and puts that in its place when it has been found
/// whole. Nobody may use it meanwhile. Returns its size before and after, bytes.
///
/// # Errors
/// [`StoreError::Unusable`]: a daemon runs on it, somebody reads it, there is no room, or what was written is not whole; then
/// it is as it was.
pub fn compact(directory: &Path) -> Result<(u64, u64), StoreError> {
    let place = Place::new(directory);
    // Whoever reads checks that it is there, and of which schema.
    drop(place.reader()?);
    let _lock = place.lock()?;
    let connection = place.writer()?;
    let (old, new) = (place.database(), directory.join("picket.db.compact"));
    let before = room::size(&old);
    let free = Disk::of(directory).map_or(u64::MAX, |disk| disk.free);
    if free < before {
        let (needed, free) = ((before >> 20) + 1, free >> 20);
        return Err(place.unusable(format!("to compact it needs {needed} MiB of room, there are {free}")));
    }
    // Alone: another's log would be of the file before.
    let mode = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0));
    if !matches!(mode.as_deref(), Ok("delete")) {
        return Err(place.unusable("another program reads it: end that first"));
    }
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
        .map_err(place.engine("taking it for itself"))?;
    // Left over where an earlier one was cut short.
    let _ = std::fs::remove_file(&new);
    let made = copy_into(&connection, &new).and_then(|()| is_whole(&connection, &new));
    if let Err(why) = made {
        let _ = std::fs::remove_file(&new);
        return Err(place.unusable(format!("it cannot be written anew: {why}; it is as it was")));
    }
    let after = room::size(&new);
    let replaced = std::fs::rename(&new, &old).and_then(|()| std::fs::File::open(directory)?.sync_all());
    replaced.map_err(|error| place.unusable(format!("what was written anew cannot be put in its place: {error}")))?;
    drop(connection);
    // Sets up what the file itself does not keep.
    drop(place.writer()?);
    Ok((before, after))
}

/// Whether a copy has as many rows in each table, and pages that fit together. The error in words.
fn is_whole(connection: &Connection, copy: &Path) -> Result<(), String> {
    let copy = Connection::open(copy).map_err(|error| error.to_string())?;
    let words = |error: rusqlite::Error| error.to_string();
    let said: String = copy
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(words)?;
    if said != "ok" {
        return Err(said);
    }
    let count = |connection: &Connection| -> rusqlite::Result<Vec<(String, u64)>> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = connection.prepare(sql)?;
        let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let count = |name: String| {
            let sql = format!("SELECT count(*) FROM {name}");
            let rows = connection.query_row(&sql, [], |row| row.get(0))?;
            Ok((name, rows))
        };
        names.into_iter().map(count).collect()
    };
    let (is, was) = (count(&copy).map_err(words)?, count(connection).map_err(words)?);
    match was.iter().zip(&is).find(|(was, is)| was != is) {
        None if was.len() == is.len() => Ok(()),
        Some(((table, was), (_, is))) => Err(format!("{is} rows of {was} in {table}")),
        None => Err("tables are missing".to_owned()),
    }
}
