//! A past that somebody asked for: one log from one time to another, read into a journal of its own.
//!
//! It walks as a log's history does, below everything else in the account's budget, and keeps its cursor under the log's
//! name in the journal it is given; so it goes on where it stopped, and its progress can be read there.

use std::sync::Arc;

use picket_duo::{DuoError, Log};

use crate::admit::{Admit, AdmitError};
use crate::blind::Blindness;
use crate::budget::{Budget, Class};
use crate::clock::Clock;
use crate::cursor::{Cursor, Reach};
use crate::health::Board;
use crate::lane::Lane;
use crate::ledger::{Entry, Ledger};
use crate::poller::{Failure, Poller, Shared, is_closing};
use crate::settings::Settings;
use crate::source::DuoLogs;

/// One log, from one time to another.
pub struct Backfill<D, A, C> {
    poller: Poller<D, A, C>,
    from: i64,
    to: i64,
}

/// Why a backfill ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// Duo forbids the log, or does not have it.
    #[error(transparent)]
    Duo(#[from] DuoError),
    /// Nothing to read.
    #[error("there is nothing to read: the backfill's end lies before its beginning")]
    Empty,
}

impl<D: DuoLogs, A: Admit, C: Clock> Backfill<D, A, C> {
    /// A walk over the rows from `from` to `to` (ms by Duo's clock, inclusive). What Duo no longer keeps is left out.
    #[must_use]
    #[allow(
        clippy::too_many_arguments,
        reason = "the same parts that a collector has, each of a type of its own"
    )]
    pub fn new(
        tenant: &str,
        log: Log,
        (from, to): (i64, i64),
        settings: Settings,
        duo: Arc<D>,
        admit: Arc<A>,
        clock: Arc<C>,
        budget: Arc<Budget>,
    ) -> Self {
        let settings = Settings {
            lateness: 0,
            ..settings
        };
        let shared = Shared {
            tenant: Arc::from(tenant),
            duo,
            admit,
            clock,
            board: Arc::new(Board::new(&[log])),
            budget,
            ledger: Arc::new(Ledger::new()),
            blindness: Arc::new(Blindness::default()),
            settings: Arc::new(settings),
        };
        Backfill {
            poller: Poller::apart(shared, log),
            from,
            to,
        }
    }

    /// How the walk stands: how far it is, its last error, when it asks next.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.poller.shared.board.clone()
    }

    /// Walks to the end. What fails is tried again; dropped, it is gone on with by another one on the same journal.
    ///
    /// # Errors
    /// [`BackfillError`]: what trying again does not mend.
    pub async fn run(self) -> Result<(), BackfillError> {
        if self.to < self.from {
            return Err(BackfillError::Empty);
        }
        let mut lane = Lane::new(Class::Backfill);
        loop {
            let failure = match self.step(&mut lane).await {
                Ok(true) => continue,
                Ok(false) => return Ok(()),
                Err(Failure::Duo(error)) if is_closing(&error) => return Err(error.into()),
                Err(failure) => failure,
            };
            let wait = self.poller.failed(&mut lane, failure).await;
            self.poller.wait(wait).await;
        }
    }

    async fn step(&self, lane: &mut Lane) -> Result<bool, Failure> {
        self.begin().await?;
        self.poller.read_window(lane).await
    }

    /// The cursor of a history that ends at `to`, unless there is one.
    async fn begin(&self) -> Result<(), AdmitError> {
        let shared = &self.poller.shared;
        let mut held = shared.ledger.hold(&*shared.admit, self.poller.log).await?;
        if held.cursor().start.is_some() {
            return Ok(());
        }
        let after = Cursor {
            start: Some(self.from),
            first: Some(self.to),
            live: Some(Reach {
                read_to: self.to,
                complete: None,
            }),
            ..Cursor::default()
        };
        held.write(Entry::default(), after).await.map(|_| ())
    }
}
