//! A page from collection: identified, freed of what is known, numbered, judged, committed.

use std::collections::HashSet;
use std::sync::Arc;

use picket_contract::{Admission, EventRecord, Mark};
use picket_event::{Occurrences, identify};
use picket_store::{CursorRow, InventoryChange, StoreError};
use tokio::sync::OwnedMutexGuard;

use super::follow::Along;
use super::{Inner, Pipeline, PipelineError};
use crate::sheet::UNREADABLE;
use crate::verdict::Verdict;

/// What collection brings at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Duo's own log.
    pub log: Arc<str>,
    /// Rows as received, in the order Duo gave them.
    pub rows: Vec<Arc<str>>,
    /// To stand after the rows.
    pub marks: Vec<Mark>,
    /// Where polling goes on; stored in the same transaction.
    pub cursor: Option<CursorRow>,
    /// What the rows say of the inventory; stored in the same transaction.
    pub inventory: Vec<InventoryChange>,
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
    /// Twice in the page.
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
}

impl Inner {
    async fn admit(self: Arc<Self>, page: Page) -> Result<Admitted, PipelineError> {
        let head = self.head.clone().lock_owned().await;
        let inner = self.clone();
        let (mut head, admission, along, mut admitted) =
            tokio::task::spawn_blocking(move || inner.number(head, page)).await??;
        let Some(admission) = admission else {
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
                let verdict = judge.feed(before, &[page], &inner.journal, (inner.options.clock)());
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
    ) -> Result<(OwnedMutexGuard<Option<u64>>, Option<Admission>, Along, Admitted), StoreError> {
        let last = match *head {
            Some(last) => last,
            None => self.journal.store.last_seq(&self.journal.tenant)?,
        };
        *head = Some(last);
        let mut admitted = Admitted {
            received: page.rows.len(),
            ..Admitted::default()
        };
        let mut events = identified(&page);
        let mut seen: HashSet<Arc<str>> = HashSet::with_capacity(events.len());
        events.retain(|event| seen.insert(event.id.clone()));
        admitted.doubles = admitted.received - events.len();
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
        Ok((head, Some(admission), along, admitted))
    }
}

/// Rows with their ids and times. One that cannot be placed is kept under the hash of its content, next to its neighbour.
fn identified(page: &Page) -> Vec<EventRecord> {
    let mut neighbour = page
        .rows
        .iter()
        .find_map(|row| identify(&page.log, row).ok())
        .map_or(0, |identity| identity.time);
    let mut seen = Occurrences::default();
    let record = |raw: &Arc<str>| match identify(&page.log, raw) {
        Ok(identity) => {
            let identity = seen.next(&page.log, identity);
            neighbour = identity.time;
            EventRecord {
                id: identity.id,
                time: identity.time,
                raw: raw.clone(),
            }
        }
        Err(_) => {
            let hash = blake3::hash(raw.as_bytes()).to_hex();
            EventRecord {
                id: format!("{UNREADABLE}{hash}").into(),
                time: neighbour,
                raw: raw.clone(),
            }
        }
    };
    page.rows.iter().map(record).collect()
}
