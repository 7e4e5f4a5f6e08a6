//! Events by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use picket_contract::{Admission, EventRecord, Mark};
use picket_judge::pipeline::{Page, Pipeline, Rows};

use super::EVENTS_PER_S;

const DAY: i64 = 86_400_000;

/// How far offering events is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// By the clock.
    due: AtomicU64,
    admitted: AtomicU64,
    /// Of these, in pages whose verdict was not there in time.
    followed: AtomicU64,
}

impl Progress {
    /// Events that the pipeline took.
    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::SeqCst)
    }

    /// For the person who waits.
    pub(super) fn words(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} events of {} due, {} judged later",
            self.admitted(),
            of(&self.due),
            of(&self.followed)
        )
    }
}

/// Offers pages by the clock until it is over. One that is late is offered at once.
pub(super) async fn feed(
    pipeline: Pipeline,
    given: Vec<Admission>,
    progress: Arc<Progress>,
    is_over: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let times = || given.iter().flat_map(|entry| &entry.events).map(|event| event.time);
    let (first, last) = (times().min(), times().max());
    let span = (last.context("a company")? - first.context("a company")?) / DAY * DAY + 2 * DAY;
    let (began, mut offered) = (Instant::now(), 0_u64);
    for round in 0.. {
        for entry in &given {
            if is_over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let due = Duration::from_micros(offered.saturating_mul(1_000_000) / EVENTS_PER_S);
            tokio::time::sleep_until((began + due).into()).await;
            let now = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            progress
                .due
                .store(now.saturating_mul(EVENTS_PER_S) / 1_000_000, Ordering::Relaxed);
            offered += entry.events.len() as u64;
            let admitted = pipeline.admit(later(entry, round, span)).await?;
            let new = admitted.new as u64;
            if admitted.judged_later {
                progress.followed.fetch_add(new, Ordering::Relaxed);
            }
            progress.admitted.fetch_add(new, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// A page as it comes so many rounds later.
fn later(entry: &Admission, round: i64, span: i64) -> Page {
    let by = round * span;
    let event = |event: &EventRecord| EventRecord {
        id: format!("{}#{round}", event.id).into(),
        time: event.time + by,
        raw: event.raw.clone(),
    };
    let mark = |mark: &Mark| match mark {
        Mark::Complete { log, to } => Some(Mark::Complete {
            log: log.clone(),
            to: to.saturating_add(by),
        }),
        // Who feeds what, and which logs there are, is said once.
        other => (round == 0).then(|| other.clone()),
    };
    Page {
        log: entry.log.clone(),
        rows: Rows::Events {
            events: entry.events.iter().map(event).collect(),
            reading: None,
        },
        marks: entry.marks.iter().filter_map(mark).collect(),
        cursor: None,
        inventory: Vec::new(),
    }
}
