//! The SQLite engine: a directory with one database, one writer, any number of readers.
//!
//! SQLite was chosen for its record in crashes, and because a second process (`picket status`, a backup, the user's own
//! `sqlite3`) can read while the daemon writes. It is set for safety first: write-ahead log with a full flush at every commit,
//! and a group commit that makes the flush cheap (`writer`). Event bodies are compressed blocks, one for each admission;
//! everything that is asked for by key is a row.
//!
//! What is old is given up by `retention`, in small pieces; room on the disk is watched over in `room` and `ballast`.

mod answers;
mod backup;
mod ballast;
mod check;
mod connection;
mod fault;
mod held;
mod incident;
mod journal;
mod migration;
mod outbox;
mod progress;
mod proof;
mod record;
mod retention;
mod room;
mod submission;
mod unpacked;
mod versions;
mod write;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

pub use self::backup::compact;
use self::ballast::Ballast;
pub use self::check::{Checked, Finding};
use self::connection::Place;
use self::fault::Fault;
use self::journal::{Damage, Journal};
pub use self::migration::SCHEMA;
pub use self::proof::{Canaries, Found};
pub use self::room::Room;
use self::submission::Work;
use self::unpacked::Kept;
use self::writer::{Target, Writer};
use crate::StoreError;
use crate::block::Packers;

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read around what is damaged (see [`SqliteStore::problems`]) instead of failing at it.
    pub skip_damaged: bool,
    /// Called by the writing thread around each commit: for tests that crash or fail there. An error counts as the commit's.
    pub hook: Option<Hook>,
}

/// Called around each commit.
#[derive(Clone)]
pub struct Hook(pub Arc<dyn Fn(Moment) -> std::io::Result<()> + Send + Sync>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// Where the writing thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Everything of the group is written, nothing is durable.
    BeforeCommit {
        /// How many share the commit.
        submissions: usize,
    },
    /// Everything of the group is durable, nobody has been told.
    AfterCommit {
        /// How many share the commit.
        submissions: usize,
    },
}

/// The SQLite engine.
#[derive(Debug)]
pub struct SqliteStore {
    path: String,
    // Dropped in this order: the last connection to close, the writer's, folds the log into the database.
    readers: Readers,
    writer: Option<Writer>,
    damage: Damage,
    packers: Packers,
    kept: Kept,
    ballast: Option<Arc<Ballast>>,
    _lock: Option<File>,
}

/// Where reads come from.
#[derive(Debug)]
enum Readers {
    /// Connections that nobody uses at the moment; more are opened as needed.
    File { place: Place, idle: Mutex<Vec<Connection>> },
    /// The one connection to a database in memory.
    Memory(Arc<Mutex<Connection>>),
}

impl SqliteStore {
    /// Opens the store in `directory` for reading and writing; makes what is missing (directory 0700, files 0600).
    ///
    /// # Errors
    /// [`StoreError::Unusable`]: another daemon runs on it, it was written by a newer Picket, it is not a store, ...
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        SqliteStore::open_with(directory, Options::default())
    }

    /// [`SqliteStore::open`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(directory: &Path, options: Options) -> Result<Self, StoreError> {
        let place = Place::new(directory);
        place.prepare()?;
        let lock = place.lock()?;
        let migrated = place.bring_up_to_date()?;
        let ballast = Arc::new(Ballast::of(directory));
        let target = Target::file(&place)?;
        if !migrated {
            // The start after the one that made them.
            place.drop_copies();
        }
        ballast.restore();
        let path = place.name();
        Ok(SqliteStore {
            readers: Readers::File {
                place,
                idle: Mutex::default(),
            },
            writer: Some(Writer::start(
                target,
                path.clone(),
                options.hook,
                Some(ballast.clone()),
            )?),
            path,
            damage: Damage {
                skip: options.skip_damaged,
                problems: Mutex::default(),
            },
            packers: Packers::default(),
            kept: Kept::default(),
            ballast: Some(ballast),
            _lock: Some(lock),
        })
    }

    /// Opens the store in `directory` for reading only, whether a daemon runs on it or not.
    ///
    /// # Errors
    /// [`StoreError::Unusable`]: there is none, or it has another version's schema.
    pub fn open_read_only(directory: &Path) -> Result<Self, StoreError> {
        let place = Place::new(directory);
        let first = place.reader()?;
        Ok(SqliteStore {
            path: place.name(),
            readers: Readers::File {
                place,
                idle: Mutex::new(vec![first]),
            },
            writer: None,
            damage: Damage {
                skip: true,
                problems: Mutex::default(),
            },
            packers: Packers::default(),
            kept: Kept::default(),
            ballast: Some(Arc::new(Ballast::of(directory))),
            _lock: None,
        })
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// The engine's.
    pub fn in_memory() -> Result<Self, StoreError> {
        SqliteStore::in_memory_with(Options::default())
    }

    /// [`SqliteStore::in_memory`] with options.
    ///
    /// # Errors
    /// The engine's.
    pub fn in_memory_with(options: Options) -> Result<Self, StoreError> {
        let connection = Arc::new(Mutex::new(Place::memory()?));
        let path = ":memory:".to_owned();
        Ok(SqliteStore {
            readers: Readers::Memory(connection.clone()),
            writer: Some(Writer::start(
                Target::Memory(connection),
                path.clone(),
                options.hook,
                None,
            )?),
            path,
            damage: Damage {
                skip: options.skip_damaged,
                problems: Mutex::default(),
            },
            packers: Packers::default(),
            kept: Kept::default(),
            ballast: None,
            _lock: None,
        })
    }

    /// What was found damaged and left out so far, one sentence each. Stores opened for reading only always read around damage.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.damage
            .problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn write(&self, work: Work) -> Result<u64, StoreError> {
        self.writer()?.hand_over(work)?.wait()
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::Unusable {
            path: self.path.clone(),
            why: "it was opened for reading only".into(),
        })
    }

    /// Reads within one transaction, so that everything is of one moment.
    fn query<R>(&self, doing: &'static str, f: impl FnOnce(&Connection) -> Result<R, Fault>) -> Result<R, StoreError> {
        let moment = |connection: &Connection| {
            let transaction = connection.unchecked_transaction()?;
            f(&transaction)
        };
        match &self.readers {
            Readers::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                moment(&connection).map_err(|fault| fault.at(&self.path, doing))
            }
            Readers::File { place, idle } => {
                let unused = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = unused.map_or_else(|| place.reader(), Ok)?;
                let outcome = moment(&connection);
                // After an error of the engine's the connection is not trusted again.
                if !matches!(outcome, Err(Fault::Engine(_))) {
                    idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                }
                outcome.map_err(|fault| fault.at(&self.path, doing))
            }
        }
    }

    fn journal<R: Default>(
        &self,
        tenant: &str,
        doing: &'static str,
        f: impl FnOnce(Journal<'_>) -> Result<R, Fault>,
    ) -> Result<R, StoreError> {
        self.query(doing, |connection| {
            Journal::of(connection, &self.damage, &self.kept, tenant)?.map_or_else(|| Ok(R::default()), f)
        })
    }
}
