//! The task that reads an account's inventory, kind by kind.

mod asking;
mod beating;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::Mark;
use picket_duo::{Context, DuoError, Inventory};
use tokio_util::sync::CancellationToken;

use super::board::StockBoard;
use super::diff::{Change, Changes, Taken, diff};
use super::keep::{
    Cursor, DuoInventory, Keep, MARKED, Marked, Part, close, close_stock, cursor_name, cursor_of, load, row,
};
use super::object::log_of;
use super::settings::StockSettings;
use crate::admit::AdmitError;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::health::{Standing, Trouble};

/// Walks over one kind before it is left for later because its rows keep moving.
const MOST_WALKS: u32 = 3;
/// Attempts at one page: beginning a long walk anew for one bad answer would cost more.
const MOST_ATTEMPTS: u32 = 3;
/// Changes written at once.
const ROWS_AT_ONCE: usize = 500;

/// Which logs of changes some rule reads. Shared with whoever knows the rules.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<BTreeSet<String>>>);

impl Listeners {
    /// From now on these logs are read, others not.
    pub fn set(&self, logs: impl IntoIterator<Item = String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = logs.into_iter().collect();
    }

    fn has(&self, log: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(log)
    }
}

/// Reads the inventory of one tenant.
pub struct Stock<D, K, C> {
    tenant: Arc<str>,
    duo: Arc<D>,
    keep: Arc<K>,
    clock: Arc<C>,
    budget: Arc<Budget>,
    settings: StockSettings,
    board: Arc<StockBoard>,
    listeners: Listeners,
    kinds: Vec<Kind>,
    /// Duo's clock less ours, ms.
    skew: i64,
    marked: Marked,
    begun: i64,
    beat_at: i64,
}

/// One kind's place in the schedule.
#[derive(Debug, Clone, Copy)]
struct Kind {
    kind: Inventory,
    due: i64,
    failures: u32,
    cursor: Option<Cursor>,
}

enum Failure {
    Duo(DuoError),
    /// Rows keep moving between the pages.
    Restless,
    Keep(AdmitError),
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Failure::Keep(error)
    }
}

impl<D: DuoInventory, K: Keep, C: Clock> Stock<D, K, C> {
    /// A reader of an account's inventory. Calls are made within `budget`.
    #[must_use]
    pub fn new(
        tenant: &str,
        settings: StockSettings,
        duo: Arc<D>,
        keep: Arc<K>,
        clock: Arc<C>,
        budget: Arc<Budget>,
    ) -> Self {
        let now = clock.now_ms();
        let begin = now.saturating_add(spread(tenant, settings.stagger));
        let kind = |kind: &Inventory| Kind {
            kind: *kind,
            due: begin,
            failures: 0,
            cursor: None,
        };
        Stock {
            tenant: tenant.into(),
            board: Arc::new(StockBoard::new(&settings.kinds)),
            kinds: settings.kinds.iter().map(kind).collect(),
            duo,
            keep,
            clock,
            budget,
            settings,
            listeners: Listeners::default(),
            skew: 0,
            marked: Marked::default(),
            begun: now,
            beat_at: now,
        }
    }

    /// Where to read how the kinds stand.
    #[must_use]
    pub fn board(&self) -> Arc<StockBoard> {
        self.board.clone()
    }

    /// With who says which logs of changes some rule reads: these are marked as complete with every heartbeat.
    #[must_use]
    pub fn heard_by(self, listeners: Listeners) -> Self {
        Stock { listeners, ..self }
    }

    /// Reads until `shutdown`. What is under way then is broken off, which is as good as a crash: nothing is lost.
    pub async fn run(mut self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut failures = 0;
        while let Err(error) = self.start().await {
            failures += 1;
            tracing::warn!(tenant = %self.tenant, "inventory: {error}");
            let wait = self.settings.back_off.after_failure(failures, &self.tenant);
            self.clock.sleep(wait).await;
        }
        loop {
            let Some(place) = (0..self.kinds.len()).min_by_key(|place| self.kinds.get(*place).map(|kind| kind.due))
            else {
                return;
            };
            let Some(due) = self.kinds.get(place).map(|kind| kind.due) else {
                return;
            };
            let wait = due.min(self.beat_at) - self.clock.now_ms();
            if wait > 0 {
                self.clock.sleep(wait).await;
            }
            self.beat_if_due().await;
            if self.clock.now_ms() >= due {
                self.take(place).await;
            }
        }
    }

    async fn start(&mut self) -> Result<(), AdmitError> {
        self.marked = load(&*self.keep, MARKED).await?;
        let now = self.clock.now_ms();
        for kind in &mut self.kinds {
            let cursor = cursor_of(&*self.keep, kind.kind).await?;
            kind.cursor = Some(cursor);
            // A restart is no reason for another snapshot; the schedule goes on, never later than it would begin anew.
            if let Some(taken) = cursor.taken.filter(|_| !cursor.closed) {
                let next = taken.saturating_add(self.settings.interval);
                kind.due = next.min(now.saturating_add(self.settings.interval)).max(kind.due);
            }
            self.board.update(kind.kind, |health| {
                health.taken = cursor.taken;
                health.next = Some(kind.due);
                if cursor.taken.is_some() && !cursor.closed {
                    health.standing = Standing::Working;
                }
            });
        }
        close_stock(&*self.keep, &self.settings.kinds).await
    }

    /// Takes a snapshot of the kind at this place, and says when the next is due.
    async fn take(&mut self, place: usize) {
        let Some(Kind { kind, failures, .. }) = self.kinds.get(place).copied() else {
            return;
        };
        let begun = self.clock.now_ms();
        let (wait, failures) = match self.snapshot(place).await {
            Ok(missing) => {
                let next = if missing {
                    self.settings.recheck
                } else {
                    self.settings.interval
                };
                // Not all kinds and accounts at once for ever.
                let jitter = spread(&format!("{}/{kind}/{begun}", self.tenant), next / 20);
                (begun + next - jitter - self.clock.now_ms(), 0)
            }
            Err(failure) => (self.failed(place, &failure).await, failures.saturating_add(1)),
        };
        let due = self.clock.now_ms().saturating_add(wait.max(1));
        if let Some(kind) = self.kinds.get_mut(place) {
            kind.due = due;
            kind.failures = failures;
        }
        self.board.update(kind, |health| health.next = Some(due));
    }

    /// True: an object was missing for the first time.
    async fn snapshot(&mut self, place: usize) -> Result<bool, Failure> {
        let Some(Kind { kind, cursor, .. }) = self.kinds.get(place).copied() else {
            return Ok(false);
        };
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => cursor_of(&*self.keep, kind).await?,
        };
        let snapshot = self.walk(kind).await?;
        let at = self
            .duo_now()
            .max(self.marked.to.max(cursor.taken).map_or(i64::MIN, |last| last + 1));
        let known = self.keep.stock(kind).await?;
        let taken = Taken {
            at,
            is_first: cursor.taken.is_none(),
        };
        let (objects, odd) = (snapshot.objects.len(), snapshot.odd);
        // Tens of thousands of objects take their time to compare.
        let compared = tokio::task::spawn_blocking(move || diff(kind, &known, &snapshot, taken)).await;
        let changes = compared.map_err(|error| AdmitError(format!("comparing {kind} broke off: {error}")))?;
        let missing = changes.missing > 0;
        let told = changes.changes.iter().filter(|change| change.row.is_some()).count();
        let is_changed = !changes.changes.is_empty();
        self.write(kind, cursor, at, changes).await?;
        if let Some(place) = self.kinds.get_mut(place) {
            place.cursor = Some(Cursor {
                taken: Some(at),
                closed: false,
            });
        }
        self.board.update(kind, |health| {
            health.standing = Standing::Working;
            health.taken = Some(at);
            health.objects = Some(objects);
            health.unidentified = odd;
            health.changes += told as u64;
        });
        if is_changed {
            tracing::info!(tenant = %self.tenant, %kind, objects, changes = told, "inventory read");
            self.keep.changed(kind).await;
        }
        if odd > 0 {
            tracing::warn!(tenant = %self.tenant, %kind, rows = odd, "rows of the inventory without an id: they are left out, and no deletion is believed");
        }
        Ok(missing)
    }

    /// Writes rows, then what concludes from them.
    async fn write(&mut self, kind: Inventory, cursor: Cursor, at: i64, changes: Changes) -> Result<(), AdmitError> {
        let name = cursor_name(kind);
        let log: Arc<str> = log_of(kind).unwrap_or("").into();
        if cursor.closed && log_of(kind).is_some() {
            let opened = Cursor {
                closed: false,
                ..cursor
            };
            self.keep
                .keep(Part {
                    log: log.clone(),
                    marks: vec![Mark::Open { log: log.clone() }],
                    cursor: Some(row(&name, &opened)?),
                    ..Part::default()
                })
                .await?;
        }
        let mut rest = changes.changes.into_iter().peekable();
        loop {
            let mut part = Part {
                log: log.clone(),
                ..Part::default()
            };
            for Change { row, stock } in rest.by_ref().take(ROWS_AT_ONCE) {
                part.rows.extend(row);
                part.inventory.push(stock);
            }
            let is_last = rest.peek().is_none();
            if is_last {
                let taken = Cursor {
                    taken: Some(at),
                    closed: false,
                };
                part.cursor = Some(row(&name, &taken)?);
                if log_of(kind).is_some() {
                    part.marks = vec![Mark::Complete {
                        log: log.clone(),
                        to: at,
                    }];
                }
            }
            self.keep.keep(part).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// What follows from a snapshot that could not be taken. Returns how long to wait, ms.
    async fn failed(&mut self, place: usize, failure: &Failure) -> i64 {
        let Some(Kind {
            kind, failures, cursor, ..
        }) = self.kinds.get(place).copied()
        else {
            return self.settings.interval;
        };
        let seed = format!("{}/{kind}", self.tenant);
        let soon = self.settings.back_off.after_failure(failures.saturating_add(1), &seed);
        let (text, action, is_configuration, standing, wait) = match failure {
            Failure::Duo(error) => {
                let is_closing = matches!(error, DuoError::Forbidden { .. } | DuoError::NotFound { .. });
                let standing = if is_closing {
                    Standing::Closed
                } else {
                    Standing::Failing
                };
                let wait = if is_closing { self.settings.refused } else { soon };
                let context = Context {
                    secret: None,
                    others_answer: self.board.is_granted(kind),
                };
                let action = error.advice(&context);
                let text = format!("{}: {}; {action}", error.at(), error.problem());
                (text, action, error.is_configuration(), standing, wait)
            }
            Failure::Restless => {
                let text = format!("{kind} changed {MOST_WALKS} times while they were read");
                let action = "nothing: they are read again later".to_owned();
                (text, action, false, Standing::Failing, soon)
            }
            Failure::Keep(error) => {
                // It may have been written all the same: the store knows.
                if let Some(place) = self.kinds.get_mut(place) {
                    place.cursor = None;
                }
                let action = "make room on the disk, or mend the store; reading goes on by itself".to_owned();
                (error.to_string(), action, false, Standing::Failing, soon)
            }
        };
        // Said once, and again now and then while it lasts.
        if failures.saturating_add(1).is_power_of_two() {
            tracing::warn!(tenant = %self.tenant, %kind, failures = failures.saturating_add(1), "inventory: {text}");
        }
        let trouble = Trouble {
            at: self.clock.now_ms(),
            text,
            action,
            is_configuration,
        };
        self.board.update(kind, |health| {
            health.standing = standing;
            health.last_error = Some(trouble);
        });
        if standing == Standing::Closed && !cursor.is_some_and(|cursor| cursor.closed) {
            let closed = match close(&*self.keep, kind).await {
                Ok(()) => cursor_of(&*self.keep, kind).await,
                Err(error) => Err(error),
            };
            match (closed, self.kinds.get_mut(place)) {
                (Ok(cursor), Some(place)) => place.cursor = Some(cursor),
                (Err(error), _) => {
                    tracing::warn!(tenant = %self.tenant, %kind, "inventory: {error}");
                    return soon;
                }
                _ => {}
            }
        }
        wait
    }

    fn duo_now(&self) -> i64 {
        self.clock.now_ms().saturating_add(self.skew)
    }
}

/// A number from 0 to `most`, the same for equal seeds.
fn spread(seed: &str, most: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    i64::try_from(hasher.finish() >> 1).unwrap_or(0) % (most.max(0) + 1)
}
