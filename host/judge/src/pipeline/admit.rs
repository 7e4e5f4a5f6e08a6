//! A page from collection: identified, freed of what is known, numbered, judged, committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use picket_contract::{Admission, EventRecord, Mark, RawRow};
use picket_event::{Identity, Occurrences, Problem, Reading};
use picket_store::{CursorRow, InventoryChange, StoreError};
use tokio::sync::OwnedMutexGuard;

use super::follow::Along;
use super::{Inner, Pipeline, PipelineError};
use crate::sheet::{Place, UNREADABLE};
use crate::verdict::Verdict;

/// What collection brings at once.
#[derive(Debug)]
pub struct Page {
    /// Duo's own log.
    pub log: Arc<str>,
    /// In the order Duo gave them.
    pub rows: Rows,
    /// To stand after the rows.
    pub marks: Vec<Mark>,
    /// Where polling goes on; stored in the same transaction.
    pub cursor: Option<CursorRow>,
    /// What the rows say of the inventory; stored in the same transaction.
    pub inventory: Vec<InventoryChange>,
}

/// The rows of a page.
#[derive(Debug)]
pub enum Rows {
    /// As received: which event each is remains to be seen.
    Received(Vec<RawRow>),
    /// Events, each id once.
    Events {
        /// Their text is that of the rows in `reading`.
        events: Vec<EventRecord>,
        /// What [`Pipeline::read`] made of the rows that these came from.
        reading: Option<Box<Reading>>,
    },
}

impl From<Vec<RawRow>> for Rows {
    fn from(rows: Vec<RawRow>) -> Self {
        Rows::Received(rows)
    }
}

impl FromIterator<RawRow> for Rows {
    fn from_iter<I: IntoIterator<Item = RawRow>>(rows: I) -> Self {
        Rows::Received(rows.into_iter().collect())
    }
}

/// What became of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Rows in the page.
    pub received: usize,
    /// Of these, new to the journal.
    pub new: usize,
    /// The journal held them already.
    pub known: usize,
    /// Twice in the page, as it was received.
    pub doubles: usize,
    /// New, kept as they came, but no event that rules could be shown.
    pub unreadable: usize,
    /// Alerts raised, if the verdict shared the commit.
    pub alerts: usize,
    /// The verdict was not there in time and follows.
    pub judged_later: bool,
}

impl Pipeline {
    /// Takes a page. It is stored, with its cursor, when this returns.
    ///
    /// # Errors
    /// [`PipelineError`]: whether the page was stored is unknown; ask for the cursor and go on from there.
    pub async fn admit(&self, page: Page) -> Result<Admitted, PipelineError> {
        // A task of its own: whoever waits may give up, but a page half-way through must not be dropped.
        let inner = self.inner.clone();
        tokio::spawn(async move { inner.admit(page).await }).await?
    }

    /// Reads rows of one of Duo's logs in one pass: which event each is, and what judging will want to know of it. To be given
    /// back with the events that come of it.
    #[must_use]
    pub fn read(&self, log: &str, rows: Vec<RawRow>) -> Reading {
        Reading::new(&self.inner.plan(), log, rows)
    }
}

/// A page's journal entry, and where its rows are, if they have been read already.
struct Numbered {
    admission: Admission,
    places: Vec<Place>,
}

impl Inner {
    async fn admit(self: Arc<Self>, page: Page) -> Result<Admitted, PipelineError> {
        let head = self.head.clone().lock_owned().await;
        let inner = self.clone();
        let (mut head, numbered, along, mut admitted) =
            tokio::task::spawn_blocking(move || inner.number(head, page)).await??;
        let Some(Numbered { admission, places }) = numbered else {
            let inner = self.clone();
            tokio::task::spawn_blocking(move || inner.commit(Vec::new(), along, Verdict::default())).await??;
            return Ok(admitted);
        };
        let before = head.take().unwrap_or_default();
        let after = admission.last_seq();

        let all_wait = self.options.ration.all_wait((self.options.clock)());
        let desk = self.judge.clone().try_lock_owned().ok().filter(|_| !all_wait);
        let level = |desk: &OwnedMutexGuard<super::Desk>| {
            desk.judge.as_ref().is_some_and(|judge| judge.behind(before).is_none())
        };
        let Some(mut desk) = desk.filter(level) else {
            self.clone().store_alone(admission, along).await?;
            *head = Some(after);
            admitted.judged_later = true;
            let judge = self.judge.clone();
            tokio::spawn(async move {
                let desk = judge.lock_owned().await;
                // An error has been reported to the observer, and the next page or tick takes it up.
                let _ = tokio::task::spawn_blocking(move || self.follow(desk)).await;
            });
            return Ok(admitted);
        };

        let inner = self.clone();
        let page = admission.clone();
        let mut judging = tokio::task::spawn_blocking(move || {
            // Out of its place until it is done: if it panics, the next to come finds none and reads back.
            let judge = desk.judge.take();
            let verdict = judge.map(|mut judge| {
                let now = (inner.options.clock)();
                let verdict = judge.feed_read(before, &[page], &[places], &inner.journal, now);
                verdict.map(|verdict| (judge, verdict))
            });
            (desk, verdict.transpose())
        });
        let in_time = tokio::time::timeout(self.options.share_within, &mut judging).await;
        match in_time {
            Ok(Ok((mut desk, Ok(Some((mut judge, verdict)))))) => {
                let committed = tokio::task::spawn_blocking(move || -> Result<usize, StoreError> {
                    let alerts = verdict.alerts.len();
                    self.commit(vec![admission], along, verdict)?;
                    judge.put_down();
                    self.options.ration.set_held(judge.held());
                    self.waiting.store(judge.waiting(), Ordering::Relaxed);
                    desk.judge = Some(judge);
                    Ok(alerts)
                });
                admitted.alerts = committed.await??;
                *head = Some(after);
                return Ok(admitted);
            }
            // Judging failed: that is no reason to lose the page. The judge's place is empty, so it is made anew.
            Ok(failed) => {
                let error = match failed {
                    Ok((_, Err(error))) => error.into(),
                    Ok(_) => PipelineError::CutShort("there is no judge".to_owned()),
                    Err(error) => error.into(),
                };
                self.options.observer.interrupted(&self.tenant.id, &error);
                self.store_alone(admission, along).await?;
                *head = Some(after);
                admitted.judged_later = true;
                return Ok(admitted);
            }
            Err(_too_late) => {}
        }

        let stored = self.clone().store_alone(admission, along).await;
        let is_stored = stored.is_ok();
        tokio::spawn(async move {
            let Ok((mut desk, Ok(Some((mut judge, verdict))))) = judging.await else {
                return;
            };
            // Not stored, or not for certain: what was judged in memory may never have happened.
            if is_stored {
                let _ = tokio::task::spawn_blocking(move || {
                    if self.commit(Vec::new(), Vec::new(), verdict).is_ok() {
                        judge.put_down();
                        self.options.ration.set_held(judge.held());
                        self.waiting.store(judge.waiting(), Ordering::Relaxed);
                        desk.judge = Some(judge);
                    }
                    self.follow(desk)
                })
                .await;
            }
        });
        stored?;
        *head = Some(after);
        admitted.judged_later = true;
        Ok(admitted)
    }

    async fn store_alone(self: Arc<Self>, admission: Admission, along: Along) -> Result<(), PipelineError> {
        let commit = move || self.commit(vec![admission], along, Verdict::default());
        Ok(tokio::task::spawn_blocking(commit).await??)
    }

    /// Makes a journal entry of a page: none if there is nothing new in it.
    #[allow(clippy::type_complexity, reason = "what one step hands to the next, in one place")]
    fn number(
        &self,
        mut head: OwnedMutexGuard<Option<u64>>,
        page: Page,
    ) -> Result<(OwnedMutexGuard<Option<u64>>, Option<Numbered>, Along, Admitted), StoreError> {
        let last = match *head {
            Some(last) => last,
            None => self.journal.store.last_seq(&self.journal.tenant)?,
        };
        *head = Some(last);
        let mut admitted = Admitted::default();
        let (mut events, reading) = match page.rows {
            Rows::Events { events, reading } => {
                admitted.received = events.len();
                (events, reading.map(|reading| *reading))
            }
            Rows::Received(rows) => {
                admitted.received = rows.len();
                let reading = Reading::new(&self.plan(), &page.log, rows);
                let mut events = identified(&page.log, &reading);
                let mut seen: HashSet<Arc<str>> = HashSet::with_capacity(events.len());
                events.retain(|event| seen.insert(event.id.clone()));
                admitted.doubles = admitted.received - events.len();
                (events, Some(reading))
            }
        };
        if !events.is_empty() {
            let mut known = self.known(&page.log, &events)?.into_iter();
            events.retain(|_| known.next() == Some(false));
            admitted.known = admitted.received - admitted.doubles - events.len();
        }
        admitted.new = events.len();
        admitted.unreadable = events.iter().filter(|event| event.id.starts_with(UNREADABLE)).count();
        let along = Along {
            cursors: page.cursor.into_iter().collect(),
            inventory: page.inventory,
        };
        if events.is_empty() && page.marks.is_empty() {
            return Ok((head, None, along, admitted));
        }
        let admission = Admission {
            first_seq: last + 1,
            log: page.log,
            events,
            marks: page.marks,
        };
        let placed = reading.and_then(|reading| reading.place(&admission.events));
        let places = placed.map(|(page, rows)| {
            let page = Arc::new(page);
            rows.into_iter().map(|row| (page.clone(), row)).collect()
        });
        let numbered = Numbered {
            admission,
            places: places.unwrap_or_default(),
        };
        Ok((head, Some(numbered), along, admitted))
    }
}

/// Rows with their ids and times. One that cannot be placed is kept under the hash of its content, next to its neighbour.
fn identified(log: &str, reading: &Reading) -> Vec<EventRecord> {
    let mut neighbour = reading
        .rows()
        .find_map(|(_, identity)| identity.ok())
        .map_or(0, |identity| identity.time);
    let mut seen = Occurrences::default();
    let record = |(raw, identity): (&RawRow, Result<&Identity, &Problem>)| {
        let id = match identity {
            Ok(identity) => {
                let identity = seen.next(log, identity.clone());
                neighbour = identity.time;
                identity.id
            }
            Err(_) => format!("{UNREADABLE}{}", blake3::hash(raw.as_bytes()).to_hex()).into(),
        };
        EventRecord {
            id,
            time: neighbour,
            raw: raw.clone(),
        }
    };
    reading.rows().map(record).collect()
}
