//! Reading and judging what was asked for, one backfill after the other.

use std::sync::Arc;
use std::time::Duration;

use picket_collect::{ADMIN, Backfill, BackfillError, SystemClock};
use picket_contract::Mark;
use picket_duo::Log;
use picket_judge::pipeline::{Page, Pipeline, RuleSet};
use tokio_util::sync::CancellationToken;

use super::{Backfills, Reading, Record, State, records};
use crate::account::Door;
use crate::daemon::lock;
use crate::when;

/// After the store failed.
const AGAIN: Duration = Duration::from_secs(30);

impl Backfills {
    /// Reads what is unfinished, and what is asked for from now on, until stopped. What is under way then goes on the next time.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        if let Err(error) = self.tidy() {
            tracing::warn!(tenant = %self.parts.tenant.id, "backfill: {error:#}");
        }
        loop {
            let step = async {
                match self.next() {
                    // Of its own while there is one: a thousand of these wait.
                    Ok(Some(record)) => Box::pin(self.work(&record)).await,
                    Ok(None) => {
                        self.wanted.notified().await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            };
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = step => ended,
            };
            *lock(&self.reading) = None;
            if let Err(error) = ended {
                tracing::warn!(tenant = %self.parts.tenant.id, "backfill: {error:#}; it is tried again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
    }

    fn next(&self) -> anyhow::Result<Option<Record>> {
        let mut records = records(&*self.parts.store, &self.parts.tenant.id)?.into_iter();
        Ok(records.find(|record| record.state == State::Running))
    }

    async fn work(&self, record: &Record) -> anyhow::Result<()> {
        let began = (when::now(), self.covered(record)?);
        let outcome = self.read(record, began).await?;
        let segment = self.segment(record);
        let failed = match outcome {
            Ok(()) => None,
            Err(BackfillError::Duo(error)) => Some(error.to_string()),
            Err(error @ BackfillError::Empty) => Some(error.to_string()),
        };
        let state = if failed.is_some() { State::Failed } else { State::Done };
        match &failed {
            None => tracing::info!(tenant = %self.parts.tenant.id, backfill = record.number, "backfill done"),
            Some(why) => {
                tracing::warn!(tenant = %self.parts.tenant.id, backfill = record.number, "backfill failed: {why}")
            }
        }
        self.change(|records| {
            if let Some(known) = records.iter_mut().find(|known| known.number == record.number) {
                (known.state, known.why, known.ended) = (state, failed, Some(when::now()));
            }
        })?;
        if state == State::Done {
            self.parts.store.discard(&segment)?;
        }
        Ok(())
    }

    /// What a crash right after an end left behind.
    fn tidy(&self) -> anyhow::Result<()> {
        let records = records(&*self.parts.store, &self.parts.tenant.id)?;
        for record in records.iter().filter(|record| record.state == State::Done) {
            let segment = self.segment(record);
            if !self.parts.store.rules(&segment)?.is_empty() {
                self.parts.store.discard(&segment)?;
            }
        }
        Ok(())
    }

    async fn read(&self, record: &Record, began: (i64, i64)) -> anyhow::Result<Result<(), BackfillError>> {
        let logs: Vec<Log> = record.logs.iter().map(|log| log.parse()).collect::<Result<_, _>>()?;
        let rules = (self.parts.rules)()?;
        let opening = opening(&logs, &rules);
        let pipeline = Pipeline::open_segment(
            self.parts.tenant.clone(),
            self.parts.store.clone(),
            record.number,
            rules,
            self.parts.options.clone(),
        )
        .await?;
        pipeline.admit(opening).await?;
        let door = Arc::new(Door::new(
            pipeline.clone(),
            self.parts.store.clone(),
            self.parts.gate.clone(),
        ));
        let mut boards = Vec::new();
        let mut walks = tokio::task::JoinSet::new();
        for log in logs {
            let walk = Backfill::new(
                &self.parts.tenant.id,
                log,
                (record.from, record.to),
                self.parts.settings,
                self.parts.account.clone(),
                door.clone(),
                Arc::new(SystemClock),
                self.parts.budget.clone(),
            );
            boards.push(walk.board());
            walks.spawn(walk.run());
        }
        *lock(&self.reading) = Some(Reading {
            number: record.number,
            began,
            boards,
        });
        while let Some(ended) = walks.join_next().await {
            if let Err(error) = ended? {
                return Ok(Err(error));
            }
        }
        pipeline.settle().await?;
        Ok(Ok(()))
    }
}

/// Who feeds `admin` in the segment, and that logs which it does not read are not waited for.
fn opening(logs: &[Log], rules: &RuleSet) -> Page {
    let read = |name: &str| logs.iter().any(|log| log.journal() == name);
    let feed = [Log::Activity, Log::Administrator]
        .into_iter()
        .find(|feed| logs.contains(feed));
    let mut marks = Vec::new();
    marks.extend(feed.map(|feed| Mark::Feed {
        logical: ADMIN.into(),
        log: feed.journal().into(),
        from: i64::MIN,
    }));
    let mut absent: Vec<&str> = rules.rules.iter().flat_map(|rule| rule.manifest.logs()).collect();
    absent.sort_unstable();
    absent.dedup();
    absent.retain(|log| !read(log) && (*log != ADMIN || feed.is_none()));
    marks.extend(absent.into_iter().map(|log| Mark::Closed { log: log.into() }));
    Page {
        log: logs.first().map_or("", |log| log.journal()).into(),
        rows: Vec::new().into(),
        marks,
        cursor: None,
        inventory: Vec::new(),
    }
}
