//! What a poller tells the journal, and in which order.

use std::sync::Arc;

use picket_contract::Mark;
use picket_duo::Log;

use crate::admit::{Admit, AdmitError, Admitted};
use crate::clock::Clock;
use crate::cursor::{Cursor, Reach};
use crate::feed::settle;
use crate::health::Standing;
use crate::lane::Lane;
use crate::ledger::Entry;
use crate::poller::{Poller, Shared};
use crate::source::DuoLogs;
use crate::walk::{Step, Taken};
use crate::window::{Window, final_at};

/// Closes a log that the configuration does not ask for, unless it is closed already.
pub(crate) async fn close_uncollected<D, A: Admit, C>(shared: &Shared<D, A, C>, log: Log) -> Result<(), AdmitError> {
    if matches!(log, Log::Activity | Log::Administrator) {
        settle(shared, None).await?;
    }
    close(shared, log).await
}

async fn close<D, A: Admit, C>(shared: &Shared<D, A, C>, log: Log) -> Result<(), AdmitError> {
    let mut held = shared.ledger.hold(&*shared.admit, log).await?;
    // A form that was never asked for is closed with the other one.
    let is_other_form = log.journal() != log.as_str() && held.cursor().start.is_none();
    if held.cursor().closed || (is_other_form && shared.board.standing(log) == Standing::NotCollected) {
        return Ok(());
    }
    let after = Cursor {
        closed: true,
        ..held.cursor().clone()
    };
    let mark = Mark::Closed {
        log: Arc::from(log.journal()),
    };
    held.write(marks(vec![mark]), after).await.map(|_| ())
}

fn marks(marks: Vec<Mark>) -> Entry {
    Entry {
        marks,
        ..Entry::default()
    }
}

impl<D: DuoLogs, A: Admit, C: Clock> Poller<D, A, C> {
    /// The cursor as it is now.
    pub(crate) async fn cursor(&self) -> Result<Cursor, AdmitError> {
        let cursor = self.shared.ledger.read(&*self.shared.admit, self.log).await?;
        self.shared.board.update(self.log, |known| known.read(&cursor));
        Ok(cursor)
    }

    /// Before the rows of an answer: that the log is open again, and who feeds `admin`.
    pub(crate) async fn announce(&self) -> Result<(), AdmitError> {
        let mut held = self.shared.ledger.hold(&*self.shared.admit, self.log).await?;
        if held.cursor().closed {
            let after = Cursor {
                closed: false,
                ..held.cursor().clone()
            };
            let open = Mark::Open {
                log: Arc::from(self.log.journal()),
            };
            held.write(marks(vec![open]), after).await?;
        }
        drop(held);
        self.shared
            .board
            .update(self.log, |known| known.health.standing = Standing::Working);
        self.settle_feed(None).await
    }

    async fn settle_feed(&self, stalling: Option<Log>) -> Result<(), AdmitError> {
        if self.is_of_account() && matches!(self.log, Log::Activity | Log::Administrator) {
            settle(&self.shared, stalling).await?;
        }
        Ok(())
    }

    /// The rows of an answer, how far they complete the log, and where to go on: as one. `end`: up to where they are final.
    pub(crate) async fn keep(
        &self,
        lane: &Lane,
        window: Window,
        end: i64,
        taken: Taken,
    ) -> Result<Admitted, AdmitError> {
        let Taken {
            events,
            reading,
            unidentified,
            reached,
            step,
        } = taken;
        let is_finished = step == Step::Finished;
        let mut held = self.shared.ledger.hold(&*self.shared.admit, self.log).await?;
        let before = held.cursor().clone();
        let is_first = before.start.is_none();
        let mut after = Cursor {
            start: Some(before.start.unwrap_or(window.start)),
            first: before.first.or(window.first.filter(|_| is_first)),
            closed: false,
            pace: self.shared.budget.learned(self.log.path(), self.now()),
            ..before.clone()
        };
        // A row that claims to be of next year must not make the log look busy, or silent, until then.
        events
            .iter()
            .for_each(|event| after.busy.note(event.time.min(window.end)));
        if is_first && let Some(first) = after.first {
            after.live = Some(Reach {
                read_to: first,
                complete: None,
            });
        }
        let final_to = final_at(self.log, self.duo_now(), self.shared.settings.delay);
        let progress = Progress {
            reached,
            finished: is_finished.then_some(end),
            // What is long past is complete to its end.
            furthest: end.min(end.max(final_to) - self.shared.settings.lateness),
        };
        let log: Arc<str> = Arc::from(self.log.journal());
        let mut said = Vec::new();
        match after.live {
            Some(live) if !lane.is_past => {
                let (read_to, complete) = progress.on(Some(live.read_to), live.complete);
                after.live = Some(Reach {
                    read_to: read_to.unwrap_or(live.read_to),
                    complete,
                });
                said.extend(risen(live.complete, complete).map(|to| Mark::Live { log, to }));
            }
            live => {
                (after.read_to, after.complete) = progress.on(before.read_to, before.complete);
                if let Some(live) = live.filter(|_| is_finished && after.first <= Some(end)) {
                    // All of history is in the journal: the log is as complete as live polling is.
                    after.read_to = after.read_to.max(Some(live.read_to));
                    after.complete = after.complete.max(live.complete);
                    after.live = None;
                }
                said.extend(risen(before.complete, after.complete).map(|to| Mark::Complete { log, to }));
            }
        }
        let mut admitted = Admitted::default();
        if !events.is_empty() || !said.is_empty() || after != before {
            let entry = Entry {
                events,
                reading,
                unidentified,
                marks: said,
            };
            admitted = held.write(entry, after).await?;
        }
        let now = self.now();
        self.progressed();
        let skew = self.skew();
        let cursor = held.cursor();
        self.shared.board.update(self.log, |known| {
            known.succeeded(now, skew, admitted.new, unidentified);
            known.read(cursor);
        });
        drop(held);
        if is_finished {
            self.settle_feed(None).await?;
        }
        Ok(admitted)
    }

    /// Duo forbids the log: readers need not wait for it.
    pub(crate) async fn close(&self) -> Result<(), AdmitError> {
        // Whoever feeds `admin` in its place is named first.
        self.settle_feed(None).await?;
        close(&self.shared, self.log).await
    }

    /// What the last 429 taught, for after a restart. Should it not be written, a restart asks a little too early.
    pub(crate) async fn keep_pace(&self) {
        let Ok(mut held) = self.shared.ledger.hold(&*self.shared.admit, self.log).await else {
            return;
        };
        let after = Cursor {
            pace: self.shared.budget.learned(self.log.path(), self.now()),
            ..held.cursor().clone()
        };
        if let Err(error) = held.write(Entry::default(), after).await {
            tracing::debug!(tenant = %self.shared.tenant, log = %self.log, "{error}");
        }
    }

    /// After `max_wait` without progress: up to where the other logs have come, readers go on without this one.
    pub(crate) async fn mark_stalled(&self) {
        if !self.is_of_account() || self.steady() - self.last_progress() < self.shared.settings.max_wait {
            return;
        }
        // If the journal fails too, the next pause tries again.
        if let Err(error) = self.stall().await {
            tracing::debug!(tenant = %self.shared.tenant, log = %self.log, "{error}");
        }
    }

    async fn stall(&self) -> Result<(), AdmitError> {
        if self.cursor().await?.closed {
            return Ok(());
        }
        self.settle_feed(Some(self.log)).await?;
        let mut held = self.shared.ledger.hold(&*self.shared.admit, self.log).await?;
        let own = held.cursor().complete.max(held.cursor().stalled);
        let Some(to) = self.shared.board.furthest_but(self.log).filter(|to| Some(*to) > own) else {
            return Ok(());
        };
        let after = Cursor {
            stalled: Some(to),
            ..held.cursor().clone()
        };
        let mark = Mark::Stalled {
            log: Arc::from(self.log.journal()),
            to,
        };
        held.write(marks(vec![mark]), after).await.map(|_| ())
    }
}

/// What an answer adds. Times in ms.
struct Progress {
    reached: Option<i64>,
    /// The window's end, if it has been read.
    finished: Option<i64>,
    /// No mark goes further.
    furthest: i64,
}

impl Progress {
    /// The high-water mark and what is complete, after it.
    fn on(&self, read_to: Option<i64>, complete: Option<i64>) -> (Option<i64>, Option<i64>) {
        let said = match self.finished {
            Some(_) => Some(self.furthest),
            None => self.reached.map(|reached| (reached - 1).min(self.furthest)),
        };
        (read_to.max(self.reached).max(self.finished), complete.max(said))
    }
}

fn risen(before: Option<i64>, after: Option<i64>) -> Option<i64> {
    after.filter(|_| after > before)
}
