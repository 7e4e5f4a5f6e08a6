//! From an older schema to the one of now.
//!
//! What a migration does cannot be undone, and the Picket before cannot read what it leaves. So the store is copied first: a
//! whole database beside it, `picket.db.schema-<n>.<time>.bak`, which the next start deletes, when this one has succeeded.
//! Going back is: stop, put the copy in the store's place, run the Picket of before.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::connection::Place;
use super::room;
use crate::StoreError;

/// "Pckt": tells a store from any other SQLite database.
const APPLICATION_ID: i32 = 0x5063_6b74;

/// Schemas in order; the database's `user_version` says how many of them it has.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
    include_str!("schema/12.sql"),
];

/// The number of the schema of now.
pub const SCHEMA: usize = MIGRATIONS.len();

/// Between the database's name and what follows of a copy's.
const COPY: &str = "picket.db.schema-";

impl Place {
    /// How many of the migrations the database has.
    pub(super) fn version(&self, connection: &Connection) -> Result<usize, StoreError> {
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
        let objects = || connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, u64>(0));
        let doing = self.engine("reading the schema's version");
        let application = pragma("application_id").map_err(&doing)?;
        let version = pragma("user_version").map_err(&doing)?;
        let empty = application == 0 && version == 0 && objects().map_err(&doing)? == 0;
        if application != APPLICATION_ID && !empty {
            return Err(
                self.unusable("this is another program's database: move the file away, or name another directory")
            );
        }
        let version = usize::try_from(version).unwrap_or(usize::MAX);
        if version > MIGRATIONS.len() {
            return Err(self.unusable(format!(
                "it was written by a newer picket (schema {version}; this one knows {}): run that one, or restore the backup \
                 made before the upgrade ({COPY}{}.*.bak beside it, if it is still there)",
                MIGRATIONS.len(),
                MIGRATIONS.len(),
            )));
        }
        Ok(version)
    }

    pub(super) fn migrate(&self, connection: &Connection) -> Result<(), StoreError> {
        let version = self.version(connection)?;
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            let script = format!(
                "BEGIN IMMEDIATE; {migration}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
                number + 1
            );
            connection
                .execute_batch(&script)
                .map_err(self.engine("bringing the schema up to date"))?;
        }
        Ok(())
    }

    /// Copies a store of an older schema before it is brought up to date. False: it is not older.
    pub(super) fn bring_up_to_date(&self) -> Result<bool, StoreError> {
        let connection = Connection::open(self.database()).map_err(self.engine("opening"))?;
        self.set_up(&connection)?;
        let version = self.version(&connection)?;
        if version == 0 || version >= MIGRATIONS.len() {
            return Ok(false);
        }
        let copy = self.copy_beside(&connection, version)?;
        tracing::warn!(
            store = self.name(),
            "its schema goes from {version} to {}; what it was is kept as {} until the next start",
            MIGRATIONS.len(),
            copy.display()
        );
        drop(connection);
        self.writer().map(|_| true)
    }

    fn copy_beside(&self, connection: &Connection, version: usize) -> Result<PathBuf, StoreError> {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let copy = self.directory().join(format!("{COPY}{version}.{now}.bak"));
        let needed = room::size(&self.database());
        let free = room::Disk::of(self.directory()).map_or(u64::MAX, |disk| disk.free);
        // The copy, and what the migration itself writes.
        if free < needed.saturating_mul(2) {
            return Err(self.unusable(format!(
                "its schema goes from {version} to {}, and before that a copy is made: that needs {} MiB of room, there are {}; \
                 make room, or move the store to a larger disk",
                MIGRATIONS.len(),
                (needed.saturating_mul(2) >> 20) + 1,
                free >> 20
            )));
        }
        let made = copy_into(connection, &copy);
        made.map_err(|why| {
            // Half a copy is of no use to anybody.
            let _ = std::fs::remove_file(&copy);
            self.unusable(format!(
                "the copy before a change of its schema cannot be made ({}): {why}",
                copy.display()
            ))
        })?;
        Ok(copy)
    }

    /// Deletes copies that earlier migrations made: a start has succeeded since.
    pub(super) fn drop_copies(&self) {
        for path in self.copies() {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!("{}: deleted, the start after the migration succeeded", path.display()),
                Err(error) => tracing::warn!("{}: cannot be deleted: {error}", path.display()),
            }
        }
    }

    fn copies(&self) -> Vec<PathBuf> {
        let is_copy = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(COPY) && name.ends_with(".bak")
        };
        let files = std::fs::read_dir(self.directory()).into_iter().flatten().flatten();
        files.map(|file| file.path()).filter(is_copy).collect()
    }
}

/// A whole database in a file of its own, durable, for its owner alone. The error in words.
pub(super) fn copy_into(connection: &Connection, to: &Path) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let words = |error: std::io::Error| error.to_string();
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(words)?;
    let name = to.to_str().ok_or("its path is not UTF-8")?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| error.to_string())?;
    file.sync_all().map_err(words)?;
    if let Some(parent) = to.parent() {
        std::fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(words)?;
    }
    Ok(())
}
