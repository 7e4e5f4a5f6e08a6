//! The task that polls one log: its live walk and, after a first start, the walk through its history beside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use picket_duo::{Context, DuoError, Log, Page, Shape};
use picket_failpoint::{Point, reach};
use tokio::sync::Notify;

use crate::admit::{Admit, AdmitError};
use crate::back_off::spread;
use crate::blind::Blindness;
use crate::budget::{Budget, Class};
use crate::clock::Clock;
use crate::health::{Board, Standing, Trouble};
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::settings::Settings;
use crate::source::DuoLogs;
use crate::walk::{Step, Walk};
use crate::window::{Window, final_at, history_window, is_aged, window};

/// What the tasks of one tenant share.
pub(crate) struct Shared<D, A, C> {
    pub(crate) tenant: Arc<str>,
    pub(crate) duo: Arc<D>,
    pub(crate) admit: Arc<A>,
    pub(crate) clock: Arc<C>,
    pub(crate) board: Arc<Board>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) blindness: Arc<Blindness>,
    pub(crate) settings: Arc<Settings>,
}

impl<D, A, C> Clone for Shared<D, A, C> {
    fn clone(&self) -> Self {
        Shared {
            tenant: self.tenant.clone(),
            duo: self.duo.clone(),
            admit: self.admit.clone(),
            clock: self.clock.clone(),
            board: self.board.clone(),
            budget: self.budget.clone(),
            ledger: self.ledger.clone(),
            blindness: self.blindness.clone(),
            settings: self.settings.clone(),
        }
    }
}

/// Beyond this the first window, made by our clock, is made again by Duo's.
const TOLERATED_SKEW: i64 = 60_000;

/// An overlap that fills pages is not read more rarely than this, ms.
const RAREST_OVERLAP: i64 = 3_600_000;

/// How often a log that is held back looks whether it may go on, ms at most.
const LOOK_AGAIN: i64 = 1_000;

pub(crate) struct Poller<D, A, C> {
    pub(crate) shared: Shared<D, A, C>,
    pub(crate) log: Log,
    /// It speaks for the account's log: a backfill does not.
    speaks: bool,
    seen: Mutex<Seen>,
    /// The log's cursor is there.
    begun: Notify,
}

#[derive(Debug)]
struct Seen {
    /// Duo's clock less the one that nobody sets, ms: so a wall clock that is set moves no window. Never too great: it is as
    /// old as the last answer was under way.
    ahead: Option<i64>,
    /// By the clock that nobody sets, ms.
    last_progress: i64,
}

pub(crate) enum Failure {
    Duo(DuoError),
    /// The account's signature is refused: so long to wait, ms.
    Signature(DuoError, i64),
    /// Met Duo's rate limit: so long to wait, ms.
    Limited(DuoError, i64),
    Admit(AdmitError),
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Failure::Admit(error)
    }
}

/// How long to wait after a failure, ms.
pub(crate) struct Wait {
    ms: i64,
    /// Another log's good answer ends it.
    for_signature: bool,
}

impl<D: DuoLogs, A: Admit, C: Clock> Poller<D, A, C> {
    pub(crate) fn new(shared: Shared<D, A, C>, log: Log) -> Self {
        let last_progress = shared.clock.steady_ms();
        Poller {
            shared,
            log,
            speaks: true,
            seen: Mutex::new(Seen {
                ahead: None,
                last_progress,
            }),
            begun: Notify::new(),
        }
    }

    /// A poller that writes a segment, and nothing about the account's log.
    pub(crate) fn apart(shared: Shared<D, A, C>, log: Log) -> Self {
        Poller {
            speaks: false,
            ..Poller::new(shared, log)
        }
    }

    /// Polls until it is dropped.
    pub(crate) async fn run(self) {
        let stagger = spread(self.shared.settings.stagger, &(&*self.shared.tenant, self.log.as_str()));
        if stagger > 0 {
            self.pause(stagger, false).await;
        }
        tokio::join!(self.poll_live(), self.read_history());
    }

    async fn poll_live(&self) {
        let mut lane = Lane::new(Class::Live);
        loop {
            let begun = self.steady();
            // Of its own only while it is under way: most of the time thousands of these sleep.
            let read = Box::pin(async {
                match self.read_window(&mut lane).await {
                    Ok(is_behind) => Ok(is_behind),
                    Err(failure) => Err(self.failed(&mut lane, failure).await),
                }
            });
            match read.await {
                Ok(is_behind) => {
                    self.begun.notify_one();
                    if !is_behind {
                        let passed = (self.steady() - begun).max(0);
                        self.pause((self.shared.settings.poll_interval - passed).max(1), false)
                            .await;
                    }
                }
                Err(wait) => self.wait(wait).await,
            }
        }
    }

    /// Reads what lies before the first start, beside live polling.
    async fn read_history(&self) {
        loop {
            self.begun.notified().await;
            if Box::pin(self.cursor()).await.is_ok_and(|cursor| cursor.start.is_some()) {
                break;
            }
        }
        // Most of the time there is none: it takes no room then.
        Box::pin(async {
            let mut lane = Lane::new(Class::History);
            loop {
                match self.read_window(&mut lane).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(failure) => {
                        let wait = self.failed(&mut lane, failure).await;
                        self.wait(wait).await;
                    }
                }
            }
        })
        .await;
    }

    /// Reads one window. True: there is more to read at once.
    pub(crate) async fn read_window(&self, lane: &mut Lane) -> Result<bool, Failure> {
        let cursor = self.cursor().await?;
        if let Some(pace) = &cursor.pace {
            self.shared.budget.restore(lane.class(), self.log.path(), pace);
        }
        let settings = &self.shared.settings;
        let overlap = match self.log.shape() {
            Shape::Opaque => settings.trust_monitor_overlap,
            _ => settings.overlap,
        };
        let duo_now = self.duo_now();
        let again = !lane.is_behind && !lane.rests.contains(&duo_now);
        let read_to = match cursor.live.filter(|_| !lane.is_past) {
            Some(live) => Some(live.read_to),
            None => cursor.read_to,
        };
        let back = match lane.resume.take() {
            Some(at) => read_to.map_or(0, |read_to| (read_to - at).max(0)),
            None if again => overlap,
            None => 0,
        };
        let window = if lane.is_past {
            history_window(self.log, settings, &cursor, duo_now)
        } else {
            window(self.log, settings, &cursor, duo_now, back)
        };
        let Some(window) = window else { return Ok(false) };
        let mut walk = Walk::new(self.log, window, settings.page_limit);
        loop {
            self.hold_back().await;
            let is_first = self.skew().is_none();
            let Some(page) = self.ask(lane, &window, &mut walk).await? else {
                return Ok(true);
            };
            reach(Point::FetchAfter);
            if is_first && self.skew().is_some_and(|skew| skew.abs() > TOLERATED_SKEW) {
                return Ok(true);
            }
            // What Duo no longer keeps and was not read is said before it is passed over.
            if let Some(read_to) = read_to.filter(|read_to| self.speaks && walk.pages == 0 && *read_to < window.min) {
                self.shared
                    .blindness
                    .tell_gap(&self.shared, self.log, read_to, window.min)
                    .await?;
            }
            self.announce().await?;
            let taken = walk.take(page.next_offset, self.shared.admit.read(self.log, page.rows));
            reach(Point::NormaliseAfter);
            let (step, reached) = (taken.step, taken.reached);
            self.keep(lane, window, walk.end, taken).await?;
            lane.failures = 0;
            match step {
                Step::Next => {}
                Step::Restart => {
                    lane.resume = reached;
                    return Ok(true);
                }
                Step::Circle => {
                    lane.resume = reached;
                    // Its pages are good, and yet it fails: each time a longer pause.
                    lane.failures = lane.circles;
                    lane.circles += 1;
                    let why = "the same `next_offset` comes again, with other rows".to_owned();
                    return Err(Failure::Duo(DuoError::Malformed {
                        at: self.log.path().to_owned(),
                        why,
                    }));
                }
                Step::Finished => {
                    lane.circles = 0;
                    lane.is_behind = window.is_behind;
                    // Where the overlap alone fills pages, it is not read with each poll: that would cost more requests
                    // than Duo likes, and with them the promptness of what is new.
                    if again && walk.pages > 2 {
                        lane.rests = duo_now..duo_now.saturating_add((overlap / 3).min(RAREST_OVERLAP));
                    }
                    // A past that reaches into what is not final yet is waited for.
                    if lane.is_past && walk.end < window.end {
                        let wait = (window.end - walk.end).min(settings.poll_interval);
                        self.shared.clock.sleep(wait).await;
                    }
                    // A walk through the past is over when there is nothing left to ask for.
                    return Ok(window.is_behind || lane.is_past);
                }
            }
        }
    }

    /// Waits while too much is in memory until other logs have come as far: they are asked, and this one is not. Nothing is lost
    /// by it: Duo keeps 180 days. One that fails is waited for `max_wait` at most.
    async fn hold_back(&self) {
        let mut is_held = false;
        loop {
            let waiting = self.shared.admit.waiting();
            if waiting < self.shared.settings.most_waiting || !self.speaks || !self.shared.board.is_ahead(self.log) {
                break;
            }
            if !is_held {
                is_held = true;
                tracing::info!(tenant = %self.shared.tenant, log = %self.log, waiting,
                    "not asked for more until the other logs have come as far");
            }
            self.shared
                .board
                .update(self.log, |known| known.health.waits_with = Some(waiting));
            self.shared
                .clock
                .sleep(self.shared.settings.poll_interval.clamp(1, LOOK_AGAIN))
                .await;
        }
        if is_held {
            self.shared
                .board
                .update(self.log, |known| known.health.waits_with = None);
        }
    }

    /// Asks until there is an answer, or a failure that asking again does not mend. None: the window has aged; what is left
    /// of it is asked for in another.
    async fn ask(&self, lane: &mut Lane, window: &Window, walk: &mut Walk) -> Result<Option<Page>, Failure> {
        let (path, clock) = (self.log.path(), &*self.shared.clock);
        loop {
            self.shared.admit.takes()?;
            let permit = self.shared.budget.acquire(clock, lane.class(), path).await;
            if walk.pages > 0 && is_aged(window, self.duo_now()) {
                return Ok(None);
            }
            let sent = self.steady();
            let error = match self.shared.duo.page(self.log, &walk.query()).await {
                Ok(page) => {
                    permit.good();
                    if let Some(date) = page.server_date_ms {
                        let now = self.steady();
                        self.lock().ahead = Some(date - now);
                        let under_way = (now - sent).max(0);
                        let final_to = final_at(self.log, date - under_way, self.shared.settings.delay);
                        walk.end = walk.end.min(final_to);
                    }
                    return Ok(Some(page));
                }
                Err(error) => error,
            };
            let failure = match error {
                DuoError::RateLimited { retry_after, .. } => {
                    let wait = permit.limited(self.now(), retry_after, &self.seed());
                    self.keep_pace().await;
                    Failure::Limited(error, wait)
                }
                DuoError::Unauthorized { code: 40103, .. } => {
                    return Err(Failure::Signature(error, permit.refused(self.now())));
                }
                DuoError::Forbidden { .. } | DuoError::NotFound { .. } => {
                    permit.good();
                    return Err(Failure::Duo(error));
                }
                error if error.is_configuration() || matches!(error, DuoError::BadRequest { .. }) => {
                    return Err(Failure::Duo(error));
                }
                error => Failure::Duo(error),
            };
            let wait = self.failed(lane, failure).await;
            self.wait(wait).await;
        }
    }

    pub(crate) async fn wait(&self, wait: Wait) {
        if !wait.for_signature {
            return self.pause(wait.ms, true).await;
        }
        tokio::select! {
            () = self.pause(wait.ms, true) => {}
            () = self.shared.budget.mended() => {}
        }
    }

    /// Waits; while the log fails it looks after the `stalled` mark in between.
    pub(crate) async fn pause(&self, ms: i64, is_failing: bool) {
        let next = self.now().saturating_add(ms);
        self.shared
            .board
            .update(self.log, |known| known.health.next_poll = Some(next));
        let mut left = ms;
        while left > 0 {
            if is_failing {
                Box::pin(self.mark_stalled()).await;
            }
            let step = if is_failing {
                left.min(self.shared.settings.poll_interval.max(1))
            } else {
                left
            };
            self.shared.clock.sleep(step).await;
            left -= step;
        }
    }

    /// What follows from a failure. Returns how long to wait.
    pub(crate) async fn failed(&self, lane: &mut Lane, failure: Failure) -> Wait {
        lane.failures += 1;
        let back_off = self.shared.settings.back_off;
        let mut for_signature = false;
        let ms = match failure {
            Failure::Admit(error) => self.failed_to_admit(lane, &error),
            Failure::Limited(error, wait) => {
                let now = self.now();
                self.shared.board.update(self.log, |known| known.limited(now));
                self.trouble(lane, &error, false);
                wait
            }
            Failure::Signature(error, wait) => {
                for_signature = true;
                self.trouble(lane, &error, false);
                wait
            }
            Failure::Duo(error) if !error.is_configuration() => {
                self.trouble(lane, &error, false);
                back_off.after_failure(lane.failures, &self.seed())
            }
            Failure::Duo(error) => {
                // Live polling speaks for the log: its history only waits.
                let is_closing = is_closing(&error) && self.speaks && !lane.is_past;
                self.trouble(lane, &error, is_closing);
                match is_closing {
                    true => match self.close().await {
                        Ok(()) => back_off.refused,
                        Err(error) => self.failed_to_admit(lane, &error),
                    },
                    false => back_off.refused,
                }
            }
        };
        Wait { ms, for_signature }
    }

    fn failed_to_admit(&self, lane: &mut Lane, error: &AdmitError) -> i64 {
        // It may have been written all the same: the journal knows.
        lane.resume = None;
        lane.rests = 0..0;
        let trouble = Trouble {
            at: self.now(),
            text: error.to_string(),
            action: "make room on the disk, or mend the store; polling goes on by itself".to_owned(),
            is_configuration: false,
        };
        self.report(lane, Standing::Failing, trouble);
        self.shared.settings.back_off.after_failure(lane.failures, &self.seed())
    }

    fn trouble(&self, lane: &Lane, error: &DuoError, is_closing: bool) {
        let mut standing = if is_closing {
            Standing::Closed
        } else {
            Standing::Failing
        };
        self.shared.board.update(self.log, |known| {
            if known.closed {
                standing = Standing::Closed;
            }
        });
        let secret = self.shared.duo.secret_place();
        let action = error.advice(&Context {
            secret: secret.as_deref(),
            others_answer: self.shared.board.others_work(self.log),
        });
        let trouble = Trouble {
            at: self.now(),
            text: format!("{}: {}; {action}", error.at(), error.problem()),
            action,
            is_configuration: error.is_configuration(),
        };
        self.report(lane, standing, trouble);
    }

    fn report(&self, lane: &Lane, standing: Standing, trouble: Trouble) {
        let (tenant, log, failures) = (&self.shared.tenant, self.log, lane.failures);
        let text = trouble.text.clone();
        let mut is_new = true;
        self.shared.board.update(self.log, |known| {
            is_new = if lane.is_past && self.speaks {
                known.failed_beside(trouble)
            } else {
                known.failed(standing, trouble)
            };
        });
        // Said when it changes, and again now and then while it lasts.
        if is_new || failures.is_power_of_two() {
            tracing::warn!(%tenant, %log, failures, "{text}");
        } else {
            tracing::debug!(%tenant, %log, failures, "{text}");
        }
    }

    pub(crate) fn is_of_account(&self) -> bool {
        self.speaks
    }

    fn seed(&self) -> String {
        format!("{}/{}", self.shared.tenant, self.log)
    }

    pub(crate) fn now(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// By the clock that nobody sets, ms.
    pub(crate) fn steady(&self) -> i64 {
        self.shared.clock.steady_ms()
    }

    /// Duo's clock, as far as it is known.
    pub(crate) fn duo_now(&self) -> i64 {
        let ahead = self.lock().ahead;
        // Before the first page a refusal may have shown it: where our clock is years behind, Duo refuses windows made by it.
        let told = || self.now().saturating_add(self.shared.duo.skew_ms().unwrap_or(0));
        ahead.map_or_else(told, |ahead| self.steady().saturating_add(ahead))
    }

    /// Duo's clock less ours, ms, if Duo's is known.
    pub(crate) fn skew(&self) -> Option<i64> {
        let ahead = self.lock().ahead?;
        Some(self.steady().saturating_add(ahead).saturating_sub(self.now()))
    }

    pub(crate) fn last_progress(&self) -> i64 {
        self.lock().last_progress
    }

    pub(crate) fn progressed(&self) {
        self.lock().last_progress = self.steady();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere leaves at worst a stale clock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether readers need not wait for the log.
pub(crate) fn is_closing(error: &DuoError) -> bool {
    matches!(error, DuoError::Forbidden { .. } | DuoError::NotFound { .. })
}
