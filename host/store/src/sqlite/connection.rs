//! Opening the database: where it lies, who may read it, how it is set, which schema it has, and that one daemon alone writes.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migration::MIGRATIONS;
use crate::StoreError;

/// 3.51.3 is the first library without the bug that loses commits when a write-ahead log is reset under two connections.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// How long one connection waits for another's lock. Only a foreign process (`sqlite3`, a backup) can make one wait.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The store's directory and what lies in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn new(directory: &Path) -> Self {
        Place {
            directory: directory.to_owned(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn database(&self) -> PathBuf {
        self.directory.join("picket.db")
    }

    /// The write-ahead log.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("picket.db-wal")
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.database().display().to_string()
    }

    pub(super) fn unusable(&self, why: impl Into<String>) -> StoreError {
        StoreError::Unusable {
            path: self.name(),
            why: why.into(),
        }
    }

    pub(super) fn engine(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                self.unusable("this is not an SQLite database: move the file away, or name another directory")
            }
            _ => StoreError::Engine {
                path: self.name(),
                doing,
                source: Box::new(source),
            },
        }
    }

    /// Makes directory and files where they are missing, readable for their owner alone.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        let doing = |doing: &str, error: std::io::Error| self.unusable(format!("cannot {doing}: {error}"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| doing("make its directory", error))?;
        let file = self
            .open_private("picket.db")
            .map_err(|error| doing("open it for writing", error))?;
        let mode = file
            .metadata()
            .map_err(|error| doing("read its permissions", error))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                store = self.name(),
                "other users could read the store; now its owner alone may"
            );
            file.set_permissions(Permissions::from_mode(0o600))
                .map_err(|error| doing("make it private", error))?;
        }
        Ok(())
    }

    fn open_private(&self, name: &str) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(self.directory.join(name))
    }

    /// Holds the store for this process until the file is dropped (or the process dies, however).
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let refuse = |error: std::io::Error| self.unusable(format!("cannot lock it: {error}"));
        let mut file = self.open_private("picket.lock").map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it wrote its number; without it the message is still clear.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() {
                    String::new()
                } else {
                    format!(" (process {holder})")
                };
                return Err(self.unusable(format!(
                    "another picket{holder} is running on it: stop that one first, or give this one a directory of its own"
                )));
            }
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(refuse)?;
        Ok(file)
    }

    /// The one connection that writes. Brings the schema up to date.
    pub(super) fn writer(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(
            self.database(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(self.engine("opening"))?;
        self.set_up(&connection)?;
        // Before the first table is made: neither can be changed afterwards. WAL last, since it fixes the page size. What is
        // deleted is overwritten: privacy, and the proof of a purge.
        connection
            .execute_batch(
                "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864;
                 PRAGMA secure_delete = ON;",
            )
            .map_err(self.engine("setting up"))?;
        self.migrate(&connection)?;
        Ok(connection)
    }

    /// A connection that cannot write, also for other processes.
    pub(super) fn reader(&self) -> Result<Connection, StoreError> {
        let database = self.database();
        if !database.exists() {
            return Err(self.unusable("there is no store: `picket run` makes it, the configuration says where it is"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).map_err(self.engine("opening for reading"))?;
        self.set_up(&connection)?;
        let version = self.version(&connection)?;
        if version < MIGRATIONS.len() {
            let why = format!(
                "its schema is {version}, this picket reads {}: start `picket run` once",
                MIGRATIONS.len()
            );
            return Err(self.unusable(why));
        }
        Ok(connection)
    }

    /// A database that is gone with its connection.
    pub(super) fn memory() -> Result<Connection, StoreError> {
        let place = Place::new(Path::new(":memory:"));
        let connection = Connection::open_in_memory().map_err(place.engine("opening"))?;
        place.set_up(&connection)?;
        place.migrate(&connection)?;
        Ok(connection)
    }

    pub(super) fn set_up(&self, connection: &Connection) -> Result<(), StoreError> {
        let library = rusqlite::version_number();
        if library < OLDEST_LIBRARY {
            let why = format!(
                "this picket was built with SQLite {}, which can lose commits: build it with 3.51.3 or newer",
                rusqlite::version()
            );
            return Err(self.unusable(why));
        }
        connection.set_prepared_statement_cache_capacity(64);
        connection
            // Plans do not depend on what is bound: else each step with other values prepares its statement anew.
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .and_then(|_| connection.busy_timeout(BUSY_TIMEOUT))
            .and_then(|()| connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"))
            .map_err(self.engine("setting up"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_new_enough() {
        assert!(rusqlite::version_number() >= OLDEST_LIBRARY, "{}", rusqlite::version());
    }

    #[test]
    fn the_settings_hold() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path());
        place.prepare().unwrap();
        let writer = place.writer().unwrap();
        let get = |name: &str| -> String {
            let value = writer.query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            });
            format!("{:?}", value.unwrap())
        };
        assert_eq!(get("page_size"), "Integer(16384)");
        assert_eq!(get("auto_vacuum"), "Integer(2)");
        assert_eq!(get("journal_mode"), "Text(\"wal\")");
        assert_eq!(get("synchronous"), "Integer(2)");
        assert_eq!(get("foreign_keys"), "Integer(1)");
        assert_eq!(get("trusted_schema"), "Integer(0)");
        assert_eq!(get("secure_delete"), "Integer(1)");
        assert_eq!(get("wal_autocheckpoint"), "Integer(2000)");
        assert_eq!(get("journal_size_limit"), "Integer(67108864)");
        assert_eq!(get("user_version"), format!("Integer({})", MIGRATIONS.len()));
        let reader = place.reader().unwrap();
        assert!(reader.execute("DELETE FROM tenant", []).is_err());
    }
}
