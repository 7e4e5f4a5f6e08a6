//! The task that polls one log.

use std::collections::VecDeque;
use std::sync::Arc;

use picket_duo::{DuoError, Log, Page};

use crate::admit::{Admit, AdmitError};
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::health::{Board, Standing, Trouble};
use crate::settings::Settings;
use crate::source::DuoLogs;
use crate::walk::{Step, Walk, final_at, window};

/// What the tasks of one tenant share.
pub(crate) struct Shared<D, A, C> {
    pub(crate) tenant: Arc<str>,
    pub(crate) duo: Arc<D>,
    pub(crate) admit: Arc<A>,
    pub(crate) clock: Arc<C>,
    pub(crate) board: Arc<Board>,
    pub(crate) settings: Settings,
}

impl<D, A, C> Clone for Shared<D, A, C> {
    fn clone(&self) -> Self {
        Shared {
            tenant: self.tenant.clone(),
            duo: self.duo.clone(),
            admit: self.admit.clone(),
            clock: self.clock.clone(),
            board: self.board.clone(),
            settings: self.settings,
        }
    }
}

/// Beyond this the first window, made by our clock, is made again by Duo's.
const TOLERATED_SKEW: i64 = 60_000;

pub(crate) struct Poller<D, A, C> {
    pub(crate) shared: Shared<D, A, C>,
    pub(crate) log: Log,
    /// None: to be read from the journal.
    pub(crate) cursor: Option<Cursor>,
    /// Duo's clock less ours, ms. Never too great: it is as old as the last answer was under way.
    pub(crate) skew: Option<i64>,
    /// When the last requests were sent.
    sent: VecDeque<i64>,
    pub(crate) failures: u32,
    pub(crate) last_progress: i64,
    pub(crate) stalled_to: Option<i64>,
    /// When the overlap is due to be read again.
    again_at: i64,
    is_catching_up: bool,
    /// Where a walk that was led in a circle came to.
    resume: Option<i64>,
    pub(crate) has_held: bool,
}

enum Failure {
    Duo(DuoError),
    Admit(AdmitError),
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Failure::Admit(error)
    }
}

impl<D: DuoLogs, A: Admit, C: Clock> Poller<D, A, C> {
    pub(crate) fn new(shared: Shared<D, A, C>, log: Log) -> Self {
        let now = shared.clock.now_ms();
        Poller {
            shared,
            log,
            cursor: None,
            skew: None,
            sent: VecDeque::new(),
            failures: 0,
            last_progress: now,
            stalled_to: None,
            again_at: now,
            is_catching_up: false,
            resume: None,
            has_held: false,
        }
    }

    /// Polls until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let begun = self.now();
            match self.poll().await {
                Ok(true) => {}
                Ok(false) => {
                    let passed = (self.now() - begun).max(0);
                    self.pause((self.shared.settings.poll_interval - passed).max(1), false)
                        .await;
                }
                Err(failure) => {
                    let wait = self.failed(failure).await;
                    self.pause(wait, true).await;
                }
            }
        }
    }

    /// Reads one window. True: there is more to read at once.
    async fn poll(&mut self) -> Result<bool, Failure> {
        let cursor = self.load().await?;
        let again = !self.is_catching_up && self.now() >= self.again_at;
        let duo_now = self.now().saturating_add(self.skew.unwrap_or(0));
        let back = match self.resume.take() {
            Some(at) => cursor.read_to.map_or(0, |read_to| (read_to - at).max(0)),
            None if again => self.shared.settings.overlap,
            None => 0,
        };
        let Some(window) = window(self.log, &self.shared.settings, &cursor, duo_now, back) else {
            return Ok(false);
        };
        let mut walk = Walk::new(self.log, window, self.shared.settings.page_limit);
        loop {
            let is_first = self.skew.is_none();
            let page = self.ask(&mut walk).await?;
            if is_first && self.skew.is_some_and(|skew| skew.abs() > TOLERATED_SKEW) {
                return Ok(true);
            }
            self.announce().await?;
            let taken = walk.take(&page, |raw| self.shared.admit.identify(self.log, raw));
            let (step, reached) = (taken.step, taken.reached);
            self.keep(window, walk.end, taken).await?;
            match step {
                Step::Next => {}
                Step::Restart => {
                    self.resume = reached;
                    return Ok(true);
                }
                Step::Circle => {
                    self.resume = reached;
                    let why = "the same `next_offset` comes again, with other rows".to_owned();
                    return Err(Failure::Duo(DuoError::Malformed {
                        at: self.log.path().to_owned(),
                        why,
                    }));
                }
                Step::Finished => {
                    self.is_catching_up = window.is_behind;
                    // Where the overlap alone fills pages, it is not read with each poll: that would cost more requests
                    // than Duo likes, and with them the promptness of what is new.
                    if again && walk.pages > 2 {
                        self.again_at = self.now() + self.shared.settings.overlap / 3;
                    }
                    return Ok(window.is_behind);
                }
            }
        }
    }

    /// Asks until there is an answer, or a failure that asking again does not mend.
    async fn ask(&mut self, walk: &mut Walk) -> Result<Page, Failure> {
        loop {
            self.pace().await;
            let sent = self.now();
            match self.shared.duo.page(self.log, &walk.query()).await {
                Ok(page) => {
                    if let Some(date) = page.server_date_ms {
                        self.skew = Some(date - self.now());
                        let under_way = (self.now() - sent).max(0);
                        let final_to = final_at(self.log, date - under_way, self.shared.settings.delay);
                        walk.end = walk.end.min(final_to);
                    }
                    return Ok(page);
                }
                Err(error) if error.is_configuration() || matches!(error, DuoError::BadRequest { .. }) => {
                    return Err(Failure::Duo(error));
                }
                Err(error) => {
                    let wait = self.failed_for_now(&error);
                    self.pause(wait, true).await;
                }
            }
        }
    }

    /// Keeps to the rate that Duo tolerates: `burst` requests at once, and on average one each `request_interval`.
    async fn pace(&mut self) {
        let Settings {
            burst,
            request_interval,
            ..
        } = self.shared.settings;
        if self.sent.len() >= burst.max(1)
            && let Some(oldest) = self.sent.pop_front()
        {
            let span = request_interval.saturating_mul(i64::try_from(burst.max(1)).unwrap_or(1));
            // A clock that was set back must not stop the polling.
            let wait = (oldest + span - self.now()).min(span);
            if wait > 0 {
                self.shared.clock.sleep(wait).await;
            }
        }
        self.sent.push_back(self.now());
    }

    /// Waits; while the log fails it looks after the `stalled` mark in between.
    async fn pause(&mut self, ms: i64, is_failing: bool) {
        let next = self.now().saturating_add(ms);
        self.shared
            .board
            .update(self.log, |health| health.next_poll = Some(next));
        let mut left = ms;
        while left > 0 {
            if is_failing {
                self.mark_stalled().await;
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

    /// What follows from a failure that ends a walk. Returns how long to wait, ms.
    async fn failed(&mut self, failure: Failure) -> i64 {
        let error = match failure {
            Failure::Duo(error) => error,
            Failure::Admit(error) => return self.failed_to_admit(&error),
        };
        if !error.is_configuration() {
            return self.failed_for_now(&error);
        }
        self.failures += 1;
        let is_closing = matches!(error, DuoError::Forbidden { .. } | DuoError::NotFound { .. });
        self.trouble(
            error.to_string(),
            true,
            if is_closing {
                Standing::Closed
            } else {
                Standing::Failing
            },
        );
        if is_closing && let Err(error) = self.close().await {
            return self.failed_to_admit(&error);
        }
        self.shared.settings.back_off.refused
    }

    fn failed_to_admit(&mut self, error: &AdmitError) -> i64 {
        self.failures += 1;
        // It may have been written all the same: the journal knows.
        self.cursor = None;
        self.resume = None;
        self.again_at = self.now();
        self.trouble(error.to_string(), false, Standing::Failing);
        self.shared.settings.back_off.after_failure(self.failures, &self.seed())
    }

    fn failed_for_now(&mut self, error: &DuoError) -> i64 {
        self.failures += 1;
        let back_off = self.shared.settings.back_off;
        let is_closed = self.cursor.as_ref().is_some_and(|cursor| cursor.closed);
        self.trouble(
            error.to_string(),
            false,
            if is_closed { Standing::Closed } else { Standing::Failing },
        );
        match error {
            DuoError::RateLimited { retry_after, .. } => {
                self.shared.board.update(self.log, |health| health.rate_limited += 1);
                back_off.after_rate_limit(self.failures, *retry_after)
            }
            _ => back_off.after_failure(self.failures, &self.seed()),
        }
    }

    fn trouble(&self, text: String, is_configuration: bool, standing: Standing) {
        let tenant = &self.shared.tenant;
        tracing::warn!(%tenant, log = %self.log, failures = self.failures, "{text}");
        let trouble = Trouble {
            at: self.now(),
            text,
            is_configuration,
        };
        self.shared.board.update(self.log, |health| {
            health.standing = standing;
            health.last_error = Some(trouble);
        });
    }

    fn seed(&self) -> String {
        format!("{}/{}", self.shared.tenant, self.log)
    }

    pub(crate) fn now(&self) -> i64 {
        self.shared.clock.now_ms()
    }
}
