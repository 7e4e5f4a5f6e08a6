//! The SQLite engine: a directory with one database, one writer, any number of readers.
//!
//! SQLite was chosen for its record in crashes, and because a second process (`picket status`, a backup, the user's own
//! `sqlite3`) can read while the daemon writes. It is set for safety first: write-ahead log with a full flush at every commit,
//! and a group commit that makes the flush cheap (`writer`). Event bodies are compressed blocks, one for each admission;
//! everything that is asked for by key is a row.
//!
//! Retention, archive and backup are not here.

mod connection;
mod fault;
mod held;
mod journal;
mod progress;
mod record;
mod submission;
mod unpacked;
mod versions;
mod write;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::{Admission, RuleState};
use rusqlite::Connection;

use self::connection::Place;
use self::fault::Fault;
use self::journal::{Damage, Journal};
use self::submission::{Submission, Work};
use self::unpacked::Kept;
use self::writer::{Target, Writer};
use crate::block::Packers;
use crate::segment;
use crate::{
    AlertFilter, AlertRow, AuditFilter, AuditRow, Committing, CursorRow, DedupRow, EventFilter, EventHead, Forgotten,
    GenerationRow, InventoryRow, OutboxRow, PoisonRow, RuleRow, StepRow, Store, StoreError, StoredAdmission,
    StoredEvent, SuppressedCount, Transaction, VersionRow,
};

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
        let target = Target::file(&place)?;
        let path = place.name();
        Ok(SqliteStore {
            readers: Readers::File {
                place,
                idle: Mutex::default(),
            },
            writer: Some(Writer::start(target, path.clone(), options.hook)?),
            path,
            damage: Damage {
                skip: options.skip_damaged,
                problems: Mutex::default(),
            },
            packers: Packers::default(),
            kept: Kept::default(),
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
            writer: Some(Writer::start(Target::Memory(connection), path.clone(), options.hook)?),
            path,
            damage: Damage {
                skip: options.skip_damaged,
                problems: Mutex::default(),
            },
            packers: Packers::default(),
            kept: Kept::default(),
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

impl Store for SqliteStore {
    fn transact(&self, tenant: &str, transaction: Transaction) -> Result<(), StoreError> {
        self.begin(tenant, transaction)?.wait()
    }

    fn begin(&self, tenant: &str, transaction: Transaction) -> Result<Committing, StoreError> {
        if transaction.is_empty() {
            return Ok(Committing::new(|| Ok(())));
        }
        let submission =
            Submission::new(transaction, &self.packers).map_err(|fault| fault.at(&self.path, "encoding"))?;
        let answer = self.writer()?.hand_over(Work::Transact {
            tenant: tenant.to_owned(),
            submission,
        })?;
        Ok(Committing::new(move || answer.wait().map(|_| ())))
    }

    fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError> {
        let mut names = self.query("listing tenants", progress::names)?;
        names.retain(|name| segment::owner(name).is_none());
        Ok(names)
    }

    fn segments(&self, tenant: &str) -> Result<Vec<Arc<str>>, StoreError> {
        let mut names = self.query("listing segments", progress::names)?;
        names.retain(|name| segment::owner(name) == Some(tenant));
        Ok(names)
    }

    fn discard(&self, segment: &str) -> Result<(), StoreError> {
        if segment::owner(segment).is_none() {
            return Ok(());
        }
        let segment = segment.to_owned();
        self.write(Work::Discard { segment }).map(|_| ())
    }

    fn last_seq(&self, tenant: &str) -> Result<u64, StoreError> {
        self.journal(tenant, "reading the journal's last number", |journal| {
            journal.last_seq()
        })
    }

    fn known(&self, tenant: &str, log: &str, ids: &[(&str, i64)], near: i64) -> Result<Vec<bool>, StoreError> {
        let known = self.journal(tenant, "looking up event ids", |journal| {
            journal.known(log, ids, near).map(Some)
        })?;
        Ok(known.unwrap_or_else(|| vec![false; ids.len()]))
    }

    fn read(&self, tenant: &str, after: u64, max_events: usize) -> Result<Vec<Admission>, StoreError> {
        self.journal(tenant, "reading the journal", |journal| journal.read(after, max_events))
    }

    fn pending(&self, tenant: &str, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError> {
        self.journal(tenant, "reading what is pending", |journal| {
            journal.pending(up_to, from)
        })
    }

    fn events(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        let found = self.journal(tenant, "reading events", |journal| journal.events(seqs).map(Some))?;
        Ok(found.unwrap_or_else(|| vec![None; seqs.len()]))
    }

    fn heads(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError> {
        let found = self.journal(tenant, "reading which events", |journal| journal.heads(seqs).map(Some))?;
        Ok(found.unwrap_or_else(|| vec![None; seqs.len()]))
    }

    fn search(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        self.journal(tenant, "searching events", |journal| journal.search(filter))
    }

    fn count(&self, tenant: &str) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        self.journal(tenant, "counting events", |journal| journal.count())
    }

    fn cursors(&self, tenant: &str) -> Result<Vec<CursorRow>, StoreError> {
        self.query("reading cursors", |connection| progress::cursors(connection, tenant))
    }

    fn inventory(&self, tenant: &str, kind: Option<&str>) -> Result<Vec<InventoryRow>, StoreError> {
        self.query("reading the inventory", |connection| {
            progress::inventory(connection, tenant, kind, None)
        })
    }

    fn inventory_object(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<InventoryRow>, StoreError> {
        self.query("reading an object of the inventory", |connection| {
            progress::inventory(connection, tenant, Some(kind), Some(id)).map(|mut rows| rows.pop())
        })
    }

    fn rules(&self, tenant: &str) -> Result<Vec<RuleRow>, StoreError> {
        self.query("reading the rules' progress", |connection| {
            progress::rules(connection, tenant)
        })
    }

    fn state(&self, tenant: &str, rule: &str, state_version: u32) -> Result<RuleState, StoreError> {
        self.query("reading a rule's state", |connection| {
            progress::state(connection, tenant, rule, state_version)
        })
    }

    fn alerts(&self, tenant: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError> {
        self.query("reading alerts", |connection| {
            progress::alerts(connection, tenant, filter)
        })
    }

    fn count_alerts(&self, tenant: &str) -> Result<(u64, Option<i64>), StoreError> {
        self.query("counting alerts", |connection| {
            progress::count_alerts(connection, tenant)
        })
    }

    fn dedup(&self, tenant: &str, since: i64) -> Result<Vec<DedupRow>, StoreError> {
        self.query("reading dedup windows", |connection| {
            progress::dedup(connection, tenant, since)
        })
    }

    fn outbox(&self, sink: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.query("reading the outbox", |connection| {
            progress::outbox(connection, sink, limit)
        })
    }

    fn delivered(&self, sink: &str, up_to: u64) -> Result<(), StoreError> {
        self.write(Work::Delivered {
            sink: sink.to_owned(),
            up_to,
        })
        .map(|_| ())
    }

    fn set_note(&self, tenant: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let value = value.map(str::to_owned);
        self.write(Work::Note {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            value,
        })
        .map(|_| ())
    }

    fn note(&self, tenant: &str, name: &str) -> Result<Option<String>, StoreError> {
        self.query("reading a note", |connection| progress::note(connection, tenant, name))
    }

    fn keep_versions(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) -> Result<(), StoreError> {
        self.write(Work::Versions { versions, steps }).map(|_| ())
    }

    fn versions(&self) -> Result<Vec<VersionRow>, StoreError> {
        self.query("reading the versions of modules", versions::all)
    }

    fn version_steps(&self, file: &str) -> Result<Vec<StepRow>, StoreError> {
        self.query("reading what became of versions", |connection| {
            versions::steps(connection, file)
        })
    }

    fn since(&self, tenant: &str, from: i64, most: u64) -> Result<u64, StoreError> {
        self.journal(tenant, "looking for a time in the journal", |journal| {
            journal.since(from, most)
        })
    }

    fn earliest(&self, tenant: &str, logs: &[&str]) -> Result<Option<i64>, StoreError> {
        self.journal(tenant, "looking for the journal's beginning", |journal| {
            journal.earliest(logs)
        })
    }

    fn forget_ids(&self, tenant: &str, before: i64) -> Result<u64, StoreError> {
        self.write(Work::ForgetIds {
            tenant: tenant.to_owned(),
            before,
        })
    }

    fn forget(&self, tenant: &str, log: &str, before: i64) -> Result<u64, StoreError> {
        self.write(Work::Forget {
            tenant: tenant.to_owned(),
            log: log.to_owned(),
            before,
        })
    }

    fn forgotten(&self, tenant: &str) -> Result<Vec<Forgotten>, StoreError> {
        self.query("reading what is forgotten", |connection| {
            progress::forgotten(connection, tenant)
        })
    }

    fn suppressed(&self, tenant: &str) -> Result<Vec<SuppressedCount>, StoreError> {
        self.query("counting what exceptions suppressed", |connection| {
            record::suppressed(connection, tenant)
        })
    }

    fn note_audit(&self, entries: Vec<AuditRow>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(Work::Audit { entries }).map(|_| ())
    }

    fn audit(&self, filter: &AuditFilter<'_>) -> Result<Vec<AuditRow>, StoreError> {
        self.query("reading the audit log", |connection| {
            record::audited(connection, filter)
        })
    }

    fn note_generation(&self, tenant: &str, generation: GenerationRow) -> Result<(), StoreError> {
        self.write(Work::Generation {
            tenant: tenant.to_owned(),
            generation,
        })
        .map(|_| ())
    }

    fn generations(&self, tenant: &str) -> Result<Vec<GenerationRow>, StoreError> {
        self.query("reading what judged when", |connection| {
            record::generations(connection, tenant)
        })
    }

    fn poison(&self, tenant: &str) -> Result<Vec<PoisonRow>, StoreError> {
        self.query("reading what rules fail on", |connection| {
            progress::poison(connection, tenant)
        })
    }
}
