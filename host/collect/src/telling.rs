//! What a poller tells the journal, and in which order.

use std::sync::Arc;

use picket_contract::Mark;
use picket_duo::Log;
use picket_store::CursorRow;
use serde::{Deserialize, Serialize};

use crate::admit::{Admit, AdmitError, Admitted, Intake};
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::feed::{ADMIN, feeder};
use crate::health::Standing;
use crate::poller::Poller;
use crate::source::DuoLogs;
use crate::walk::{Step, Taken, Window};

/// The cursor row of the logical log.
#[derive(Serialize, Deserialize)]
struct Feed {
    feed: Log,
}

fn unreadable(error: &serde_json::Error) -> AdmitError {
    AdmitError(format!(
        "a cursor cannot be read or written ({error}): was it written by a newer version?"
    ))
}

/// Closes a log that the configuration does not ask for, unless it is closed already.
pub(crate) async fn close_uncollected<A: Admit>(admit: &A, log: Log) -> Result<(), AdmitError> {
    let row = admit.cursor(log.as_str()).await?;
    let cursor = Cursor::read(row.as_ref()).map_err(|error| unreadable(&error))?;
    if cursor.closed {
        return Ok(());
    }
    write(
        admit,
        log,
        Vec::new(),
        0,
        vec![closed(log)],
        &Cursor { closed: true, ..cursor },
    )
    .await
    .map(|_| ())
}

fn closed(log: Log) -> Mark {
    Mark::Closed {
        log: Arc::from(log.as_str()),
    }
}

async fn write<A: Admit>(
    admit: &A,
    log: Log,
    events: Vec<picket_contract::EventRecord>,
    unidentified: usize,
    marks: Vec<Mark>,
    cursor: &Cursor,
) -> Result<Admitted, AdmitError> {
    let log: Arc<str> = Arc::from(log.as_str());
    let row = cursor.row(&log).map_err(|error| unreadable(&error))?;
    admit
        .admit(Intake {
            log,
            events,
            unidentified,
            marks,
            cursor: Some(row),
        })
        .await
}

impl<D: DuoLogs, A: Admit, C: Clock> Poller<D, A, C> {
    /// The cursor; from the journal at first, and after an intake of unknown outcome.
    pub(crate) async fn load(&mut self) -> Result<Cursor, AdmitError> {
        if let Some(cursor) = &self.cursor {
            return Ok(cursor.clone());
        }
        let row = self.shared.admit.cursor(self.log.as_str()).await?;
        let cursor = Cursor::read(row.as_ref()).map_err(|error| unreadable(&error))?;
        self.shared.board.update(self.log, |health| {
            health.complete_to = cursor.complete.or(health.complete_to)
        });
        self.cursor = Some(cursor.clone());
        Ok(cursor)
    }

    /// Before the rows of an answer: that the log is open again, and who feeds `admin`.
    pub(crate) async fn announce(&mut self) -> Result<(), AdmitError> {
        let mut cursor = self.load().await?;
        if cursor.closed {
            cursor.closed = false;
            let open = Mark::Open {
                log: Arc::from(self.log.as_str()),
            };
            write(&*self.shared.admit, self.log, Vec::new(), 0, vec![open], &cursor).await?;
            self.cursor = Some(cursor);
        }
        self.shared
            .board
            .update(self.log, |health| health.standing = Standing::Working);
        let mut is_settled = self.settle_feed().await?;
        if self.log == Log::Administrator && !self.has_held {
            // Rows that nobody is said to feed would be lost to the rules on `admin`.
            let settings = self.shared.settings;
            let step = (settings.poll_interval / 10).clamp(1, 1_000);
            let mut left = settings.max_wait;
            while !is_settled && left > 0 {
                let activity = self.shared.board.standing(Log::Activity);
                if !matches!(activity, Standing::Starting | Standing::Failing) {
                    break;
                }
                self.shared.clock.sleep(step).await;
                left -= step;
                is_settled = self.settle_feed().await?;
            }
            self.has_held = true;
        }
        Ok(())
    }

    /// Writes the `feed` mark where one is due. True: somebody feeds `admin`.
    async fn settle_feed(&self) -> Result<bool, AdmitError> {
        if !matches!(self.log, Log::Activity | Log::Administrator) {
            return Ok(true);
        }
        let admit = &*self.shared.admit;
        let board = &self.shared.board;
        let mut known = board.feed.lock().await;
        let current = match known.take() {
            Some(current) => current,
            None => match admit.cursor(ADMIN).await? {
                Some(row) => Some(
                    serde_json::from_str::<Feed>(&row.cursor)
                        .map_err(|error| unreadable(&error))?
                        .feed,
                ),
                None => None,
            },
        };
        let due = feeder(board.standing(Log::Activity), board.standing(Log::Administrator));
        let Some(feed) = due.filter(|due| Some(*due) != current) else {
            *known = Some(current);
            return Ok(current.is_some());
        };
        let log: Arc<str> = Arc::from(ADMIN);
        let cursor = serde_json::to_string(&Feed { feed }).map_err(|error| unreadable(&error))?;
        let mark = Mark::Feed {
            logical: log.clone(),
            log: Arc::from(feed.as_str()),
        };
        // Should this fail, `known` stays empty and is read from the journal.
        let row = CursorRow {
            log: log.clone(),
            cursor,
        };
        admit
            .admit(Intake {
                log,
                events: Vec::new(),
                unidentified: 0,
                marks: vec![mark],
                cursor: Some(row),
            })
            .await?;
        *known = Some(Some(feed));
        Ok(true)
    }

    /// The rows of an answer, how far they complete the log, and where to go on: as one. `end`: up to where they are final.
    pub(crate) async fn keep(&mut self, window: Window, end: i64, taken: Taken) -> Result<(), AdmitError> {
        let before = self.load().await?;
        let Taken {
            events,
            unidentified,
            reached,
            step,
        } = taken;
        let is_finished = step == Step::Finished;
        let read_to = before.read_to.max(reached).max(is_finished.then_some(end));
        let page_mark = reached.map(|reached| reached - 1);
        let furthest = end - self.shared.settings.lateness;
        let complete = if is_finished {
            Some(furthest)
        } else {
            page_mark.map(|mark| mark.min(furthest))
        };
        let complete = complete.max(before.complete);
        let after = Cursor {
            start: Some(window.start),
            read_to,
            complete,
            closed: false,
        };
        let mut marks = Vec::new();
        if complete > before.complete {
            let log = Arc::from(self.log.as_str());
            marks.extend(complete.map(|to| Mark::Complete { log, to }));
        }
        let mut admitted = Admitted::default();
        if !events.is_empty() || !marks.is_empty() || after != before {
            admitted = write(&*self.shared.admit, self.log, events, unidentified, marks, &after).await?;
        }
        self.cursor = Some(after);
        self.failures = 0;
        self.last_progress = self.now();
        let (now, skew) = (self.now(), self.skew);
        self.shared.board.update(self.log, |health| {
            health.last_success = Some(now);
            health.events += admitted.new as u64;
            health.unidentified += if admitted.new > 0 { unidentified as u64 } else { 0 };
            health.complete_to = complete;
            health.clock_skew = skew;
        });
        Ok(())
    }

    /// Duo forbids the log: readers need not wait for it.
    pub(crate) async fn close(&mut self) -> Result<(), AdmitError> {
        let cursor = self.load().await?;
        if !cursor.closed {
            let cursor = Cursor { closed: true, ..cursor };
            write(
                &*self.shared.admit,
                self.log,
                Vec::new(),
                0,
                vec![closed(self.log)],
                &cursor,
            )
            .await?;
            self.cursor = Some(cursor);
        }
        self.settle_feed().await.map(|_| ())
    }

    /// After `max_wait` without progress: up to where the other logs have come, readers go on without this one.
    pub(crate) async fn mark_stalled(&mut self) {
        let is_waited_for = self.cursor.as_ref().is_some_and(|cursor| !cursor.closed);
        if !is_waited_for || self.now() - self.last_progress < self.shared.settings.max_wait {
            return;
        }
        let own = self
            .cursor
            .as_ref()
            .and_then(|cursor| cursor.complete)
            .max(self.stalled_to);
        let Some(to) = self.shared.board.furthest_but(self.log).filter(|to| Some(*to) > own) else {
            return;
        };
        let log: Arc<str> = Arc::from(self.log.as_str());
        let marks = vec![Mark::Stalled { log: log.clone(), to }];
        let intake = Intake {
            log,
            events: Vec::new(),
            unidentified: 0,
            marks,
            cursor: None,
        };
        // If the journal fails too, the next pause tries again.
        if self.shared.admit.admit(intake).await.is_ok() {
            self.stalled_to = Some(to);
        }
    }
}
