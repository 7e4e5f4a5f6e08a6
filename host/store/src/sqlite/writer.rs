//! The one thread that writes, with group commit.
//!
//! A durable commit costs a flush of the disk, whatever is in it. So the writer takes everything that waits, writes it in one
//! transaction (each of several submissions in a savepoint of its own, so that a refused one takes nothing with it), commits
//! once and then answers everybody. The queue is bounded: who submits faster than the disk flushes waits.
//!
//! An error of the engine before the commit makes the writer try each submission of the group alone, so that one tenant's
//! impossible row fails that tenant's transaction and no other. An error at the commit itself leaves the outcome unknown (the
//! commit may be on disk although it was reported as failed): connection and error are passed on, the next submission finds
//! a new connection, and whoever submitted reads back where it stands.
//!
//! It also folds the write-ahead log into the database, which SQLite does by itself unless somebody reads without end; and it
//! gives up what was laid by when it finds the disk full.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use picket_failpoint::{Point, reach};
use rusqlite::{Connection, ErrorCode};

use super::ballast::Ballast;
use super::connection::{BUSY_TIMEOUT, Place};
use super::fault::Fault;
use super::submission::Work;
use super::{Hook, Moment, room, write};
use crate::{StoreError, Wake};

/// Submissions that wait before the next one has to.
const QUEUE: usize = 256;

/// A write-ahead log of this size (bytes) is folded in on purpose: SQLite has been kept from it.
const LARGE_LOG: u64 = 256 << 20;
/// How often that is tried.
const FOLD_EVERY: Duration = Duration::from_secs(30);
/// How long folding waits for readers: others wait meanwhile.
const FOLD_WAITS: Duration = Duration::from_secs(1);

/// What a submission's owner hears.
type Reply = Result<u64, StoreError>;

#[derive(Debug)]
struct Job {
    work: Work,
    reply: Sender<Reply>,
}

/// The handle to the thread; dropping it lets the thread finish what waits.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    path: String,
    wakes: Wakes,
}

/// Who is called when there is more to deliver.
type Wakes = Arc<Mutex<Vec<Wake>>>;

/// What the thread writes to.
pub(super) enum Target {
    /// A file; the connection is opened anew after a failure.
    File(Place, Option<Connection>),
    /// The one connection to a database in memory.
    Memory(Arc<Mutex<Connection>>),
}

impl Writer {
    /// `ballast`: what may be given up when the disk is full.
    pub(super) fn start(
        target: Target,
        path: String,
        hook: Option<Hook>,
        ballast: Option<Arc<Ballast>>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let wakes = Wakes::default();
        let mut group = GroupCommit {
            target,
            path: path.clone(),
            hook,
            ballast,
            folded: Instant::now(),
            wakes: wakes.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || group.run(&jobs));
        match thread {
            Ok(thread) => Ok(Writer {
                queue: Some(queue),
                thread: Some(thread),
                path,
                wakes,
            }),
            Err(error) => Err(StoreError::Unusable {
                path,
                why: format!("cannot start its writing thread: {error}"),
            }),
        }
    }

    /// Has somebody called whenever alerts are on the disk.
    pub(super) fn on_alerts(&self, wake: Wake) {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }

    /// Work is done in the order it is handed over.
    pub(super) fn hand_over(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = channel();
        let gone = || gone(&self.path);
        self.queue
            .as_ref()
            .ok_or_else(gone)?
            .send(Job { work, reply })
            .map_err(|_| gone())?;
        Ok(Answer {
            answer,
            path: self.path.clone(),
        })
    }
}

/// What became of work, once it is done.
pub(super) struct Answer {
    answer: Receiver<Reply>,
    path: String,
}

impl Answer {
    pub(super) fn wait(self) -> Reply {
        self.answer.recv().map_err(|_| gone(&self.path))?
    }
}

fn gone(path: &str) -> StoreError {
    StoreError::Engine {
        path: path.to_owned(),
        doing: "submitting",
        source: "the writing thread has stopped; restart picket".into(),
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

struct GroupCommit {
    target: Target,
    path: String,
    hook: Option<Hook>,
    ballast: Option<Arc<Ballast>>,
    /// When the log was last folded in on purpose.
    folded: Instant,
    wakes: Wakes,
}

/// Why a whole group failed.
enum Failed {
    /// Before anything was committed, perhaps by one submission's fault.
    Writing(rusqlite::Error),
    /// The store cannot be opened, or the commit failed: trying each alone is of no use.
    Whole(&'static str, Arc<dyn std::error::Error + Send + Sync>),
}

impl GroupCommit {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut group = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter().take(QUEUE)) {
                if job.work.is_upkeep() {
                    self.commit(std::mem::take(&mut group));
                    self.keep_up(&job);
                } else {
                    group.push(job);
                }
            }
            self.commit(group);
            self.fold_a_large_log();
        }
    }

    fn commit(&mut self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        let outcome = self.attempt(&group);
        if let Err(failed) = &outcome {
            self.make_room(failed);
        }
        match outcome {
            Ok(replies) => {
                let has_alerts = group.iter().any(|job| job.work.has_alerts());
                for (job, reply) in group.into_iter().zip(replies) {
                    // Who no longer waits for the answer finds it in the store.
                    let _ = job.reply.send(reply);
                }
                if has_alerts {
                    let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
                    wakes.iter().for_each(|wake| (wake.0)());
                }
            }
            Err(Failed::Writing(_)) if group.len() > 1 => {
                for job in group {
                    self.commit(vec![job]);
                }
            }
            Err(Failed::Writing(error)) => self.fail(&group, "writing", &Arc::new(error)),
            Err(Failed::Whole(doing, error)) => self.fail(&group, doing, &Arc::new(error)),
        }
    }

    /// Upkeep is no transaction of anybody's.
    fn keep_up(&mut self, job: &Job) {
        let reply = self.with_connection(|connection| match job.work {
            Work::Vacuum { pages } => vacuum(connection, pages),
            Work::Rebuild => connection.execute_batch("VACUUM").map(|()| 0),
            _ => fold(connection).map(u64::from),
        });
        match reply {
            Ok(count) => {
                let _ = job.reply.send(Ok(count));
            }
            Err(failed) => {
                self.make_room(&failed);
                let (doing, error): (_, Arc<dyn std::error::Error + Send + Sync>) = match failed {
                    Failed::Writing(error) => ("keeping it tidy", Arc::new(error)),
                    Failed::Whole(doing, error) => (doing, error),
                };
                self.fail(std::slice::from_ref(job), doing, &Arc::new(error));
            }
        }
    }

    /// Where somebody has read for so long that SQLite could not fold its log in, it is tried with more patience.
    fn fold_a_large_log(&mut self) {
        let Target::File(place, _) = &self.target else { return };
        let size = room::size(&place.log());
        if size < LARGE_LOG || self.folded.elapsed() < FOLD_EVERY {
            return;
        }
        self.folded = Instant::now();
        match self.with_connection(fold) {
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                store = self.path,
                "the write-ahead log has {} MiB and grows: another program reads the store without end; end it",
                size >> 20
            ),
            Err(failed) => self.make_room(&failed),
        }
    }

    /// A full disk: what was laid by is given up, so that the store can be opened again and brought to an end.
    fn make_room(&self, failed: &Failed) {
        let error: &(dyn std::error::Error + 'static) = match failed {
            Failed::Writing(error) => error,
            Failed::Whole(_, error) => &**error,
        };
        if let Some(ballast) = self.ballast.as_ref().filter(|_| is_full(error)) {
            ballast.release();
        }
    }

    /// The connection, opened again where there is none; gone after an error.
    fn with_connection<R>(&mut self, f: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Result<R, Failed> {
        match &mut self.target {
            Target::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                f(&connection).map_err(Failed::Writing)
            }
            Target::File(place, kept) => {
                let connection = opened(place, kept)?;
                let done = f(&connection).map_err(Failed::Writing)?;
                *kept = Some(connection);
                Ok(done)
            }
        }
    }

    fn fail<E>(&self, group: &[Job], doing: &'static str, error: &Arc<E>)
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        tracing::error!(store = self.path, doing, %error, submissions = group.len(), "the store failed");
        for job in group {
            let source = Box::new(error.clone());
            let _ = job.reply.send(Err(StoreError::Engine {
                path: self.path.clone(),
                doing,
                source,
            }));
        }
    }

    /// One transaction for the whole group. After an error the connection is gone.
    fn attempt(&mut self, group: &[Job]) -> Result<Vec<Reply>, Failed> {
        let GroupCommit { target, path, hook, .. } = self;
        match target {
            Target::Memory(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let replies = write_all(&connection, group, path, hook.as_ref());
                if replies.is_err() && !connection.is_autocommit() {
                    // It cannot fail where a transaction is open, and there is no second connection to turn to.
                    let _ = connection.execute_batch("ROLLBACK");
                }
                replies
            }
            Target::File(place, kept) => {
                let connection = opened(place, kept)?;
                let replies = write_all(&connection, group, path, hook.as_ref())?;
                *kept = Some(connection);
                Ok(replies)
            }
        }
    }
}

fn opened(place: &Place, kept: &mut Option<Connection>) -> Result<Connection, Failed> {
    match kept.take() {
        Some(connection) => Ok(connection),
        None => place
            .writer()
            .map_err(|error| Failed::Whole("opening again", Arc::new(error))),
    }
}

/// Gives free pages back to the disk; returns how many are left.
fn vacuum(connection: &Connection, pages: u32) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))
}

/// Folds the whole write-ahead log into the database. True: somebody reads what only the log has.
fn fold(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(FOLD_WAITS)?;
    let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(folded? != 0)
}

/// Whether the disk has no room left.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    const NO_SPACE: i32 = nix::errno::Errno::ENOSPC as i32;
    let of = |error: &(dyn std::error::Error + 'static)| {
        let engine = error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code);
        let system = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        engine == Some(ErrorCode::DiskFull) || system == Some(NO_SPACE)
    };
    std::iter::successors(Some(error), |error| error.source()).any(of)
}

fn write_all(connection: &Connection, group: &[Job], path: &str, hook: Option<&Hook>) -> Result<Vec<Reply>, Failed> {
    let run = |sql: &str| connection.execute_batch(sql).map_err(Failed::Writing);
    let call = |moment: Moment| match hook {
        Some(hook) => (hook.0)(moment).map_err(|error| Failed::Whole("committing", Arc::new(error))),
        None => Ok(()),
    };
    // Fails where a foreign process holds the database too long: then for each of the group alike.
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(|error| Failed::Whole("beginning", Arc::new(error)))?;
    let mut replies = Vec::with_capacity(group.len());
    // One alone needs no savepoint, which would copy every page that it changes: the transaction is its own.
    let (set, keep, undo) = match group {
        [_] => ("", "", "ROLLBACK; BEGIN IMMEDIATE"),
        _ => (
            "SAVEPOINT submission",
            "RELEASE submission",
            "ROLLBACK TO submission; RELEASE submission",
        ),
    };
    for job in group {
        run(set)?;
        match write::apply(connection, &job.work) {
            Ok(count) => {
                run(keep)?;
                replies.push(Ok(count));
            }
            Err(Fault::Engine(error)) => return Err(Failed::Writing(error)),
            Err(refused) => {
                run(undo)?;
                replies.push(Err(refused.at(path, "writing")));
            }
        }
    }
    call(Moment::BeforeCommit {
        submissions: group.len(),
    })?;
    reach(Point::CommitBefore);
    connection
        .execute_batch("COMMIT")
        .map_err(|error| Failed::Whole("committing", Arc::new(error)))?;
    reach(Point::CommitAfter);
    call(Moment::AfterCommit {
        submissions: group.len(),
    })?;
    Ok(replies)
}

impl Target {
    pub(super) fn file(place: &Place) -> Result<Self, StoreError> {
        let connection = place.writer()?;
        Ok(Target::File(place.clone(), Some(connection)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::submission::Submission;
    use crate::{CursorRow, Transaction};

    fn job(tenant: &str, transaction: Transaction) -> (Job, Receiver<Reply>) {
        let (reply, answer) = channel();
        let submission = Submission::new(transaction, &crate::block::Packers::default()).unwrap();
        (
            Job {
                work: Work::Transact {
                    tenant: tenant.into(),
                    submission,
                },
                reply,
            },
            answer,
        )
    }

    fn cursor(log: &str) -> Transaction {
        let cursor = CursorRow {
            log: log.into(),
            cursor: "{}".into(),
        };
        Transaction {
            cursors: vec![cursor],
            ..Transaction::default()
        }
    }

    /// Lets the writer find all these waiting; returns the answers and how many submissions each commit had.
    fn run(connection: Connection, jobs: Vec<(Job, Receiver<Reply>)>) -> (Vec<Reply>, Vec<usize>) {
        let commits: Arc<Mutex<Vec<usize>>> = Arc::default();
        let seen = commits.clone();
        let hook = Hook(Arc::new(move |moment| {
            if let Moment::AfterCommit { submissions } = moment {
                seen.lock().unwrap().push(submissions);
            }
            Ok(())
        }));
        let (queue, waiting) = sync_channel(QUEUE);
        let mut answers = Vec::new();
        for (job, answer) in jobs {
            queue.send(job).unwrap();
            answers.push(answer);
        }
        drop(queue);
        let target = Target::Memory(Arc::new(Mutex::new(connection)));
        GroupCommit {
            target,
            path: ":memory:".into(),
            hook: Some(hook),
            ballast: None,
            folded: Instant::now(),
            wakes: Wakes::default(),
        }
        .run(&waiting);
        let commits = commits.lock().unwrap().clone();
        (
            answers.into_iter().map(|answer| answer.recv().unwrap()).collect(),
            commits,
        )
    }

    #[test]
    fn what_waits_shares_a_commit_and_who_is_refused_is_refused_alone() {
        let wrong = Transaction {
            admissions: vec![crate::conformance::admission(7, "a", &[("e", 1)], &[])],
            ..cursor("a")
        };
        let jobs = (0..9)
            .map(|n| job(&n.to_string(), if n == 3 { wrong.clone() } else { cursor("a") }))
            .collect();
        let (answers, commits) = run(Place::memory().unwrap(), jobs);
        assert_eq!(commits, [9]);
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(
                matches!(answer, Err(StoreError::Refused { .. })),
                number == 3,
                "{answer:?}"
            );
            assert_eq!(answer.is_ok(), number != 3);
        }
    }

    #[test]
    fn what_the_engine_cannot_write_fails_alone() {
        let connection = Place::memory().unwrap();
        let trigger = "CREATE TRIGGER no BEFORE INSERT ON cursor WHEN new.log = 'bad'
                       BEGIN SELECT RAISE(ROLLBACK, 'not this one'); END";
        connection.execute_batch(trigger).unwrap();
        let jobs = ["a", "bad", "b"].map(|log| job("acme", cursor(log))).into();
        let (answers, commits) = run(connection, jobs);
        assert_eq!(commits, [1, 1]);
        assert_eq!(
            answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
    }
}
