//! The thread of one sink.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use picket_sink::Step;
use picket_store::{OutboxRow, Store, StoreError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::events::{self, Masks, Used};
use super::{OwnSinks, Shared};
use crate::daemon::lock;
use crate::when;

/// How long a thread sleeps that nobody wakes: a commit does, so this is for a word that went astray.
const ASLEEP: Duration = Duration::from_secs(60);
/// After the store failed.
const AFTER_STORE: Duration = Duration::from_secs(5);

pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<dyn Store>,
    pub(super) own: OwnSinks,
    pub(super) masks: Masks,
    /// Masks that were used.
    pub(super) used: Used,
    pub(super) stop: CancellationToken,
    pub(super) woken: Receiver<()>,
    pub(super) end: Option<oneshot::Sender<()>>,
}

impl Work {
    pub(super) fn run(mut self) {
        loop {
            // Once more when it is over: what was committed until then need not wait for the next start.
            let is_last = self.stop.is_cancelled();
            let step = std::panic::catch_unwind(AssertUnwindSafe(|| self.both()));
            let pause = match step {
                Ok(Ok(step)) => match step.next {
                    _ if step.more && !is_last => Duration::ZERO,
                    Some(next) => until(next),
                    None => ASLEEP,
                },
                Ok(Err(error)) => {
                    tracing::error!(sink = self.shared.name, "delivery goes on when the store does: {error}");
                    AFTER_STORE
                }
                Err(_) => {
                    tracing::error!(
                        sink = self.shared.name,
                        "delivering panicked; this is a fault of picket's"
                    );
                    ASLEEP
                }
            };
            if is_last {
                break;
            }
            if !pause.is_zero() {
                // Time out, woken, or nobody left who could: all the same.
                let _ = self.woken.recv_timeout(pause.min(ASLEEP));
            }
        }
        if let Some(end) = self.end.take() {
            // Nobody may wait for it any more.
            let _ = end.send(());
        }
    }

    /// Alerts go before events: while more of them wait, or the sink takes none, events wait.
    fn both(&mut self) -> Result<Step, StoreError> {
        let mut step = self.step()?;
        self.tell(&step);
        let is_down = lock(&self.shared.courier).is_down(when::now());
        if !step.more && !is_down {
            let events = self.events()?;
            self.tell_events(&events);
            step.more = events.more;
            step.next = step.next.into_iter().chain(events.next).min();
        }
        Ok(step)
    }

    fn events(&mut self) -> Result<Step, StoreError> {
        let route = lock(&self.shared.route).clone();
        let mut courier = lock(&self.shared.events);
        let (Some(courier), Some(wanted)) = (&mut *courier, &route.events) else {
            return Ok(Step::default());
        };
        courier.look(std::mem::take(&mut *lock(&self.shared.admitted)));
        let name = &self.shared.name;
        let wants = |tenant: &str| route.has(name, tenant, (self.own)(tenant).as_deref());
        let used = std::cell::RefCell::new(&mut self.used);
        let written = |tenant: &Arc<str>, log: &str, number: u64, event: &picket_contract::EventRecord| {
            let mask = wanted.has(log).then(|| used.borrow_mut().of(tenant, &self.masks))?;
            Some(events::row(tenant, log, number, event, &mask))
        };
        let mut sink = lock(&self.shared.sink);
        let step = courier.step(&*self.store, &mut *sink, &wants, &written, when::now());
        let positions = courier.positions().map(|(tenant, after)| (tenant.clone(), after));
        *lock(&self.shared.positions) = positions.collect();
        step
    }

    fn tell_events(&self, step: &Step) {
        self.shared.event_tally.add(step);
        let sink = &self.shared.name;
        if let Some((event, reason)) = step.refused.first() {
            let events = step.refused.len();
            tracing::error!(sink, event = %event, events, "events never delivered: {reason}; `picket outbox list` counts them");
        }
        if let Some(trouble) = &step.trouble {
            tracing::warn!(sink, "events not delivered, tried again: {trouble}");
        }
    }

    fn step(&self) -> Result<Step, StoreError> {
        let route = lock(&self.shared.route).clone();
        let name = &self.shared.name;
        let wants =
            |row: &OutboxRow| route.wants(row) && route.has(name, &row.tenant, (self.own)(&row.tenant).as_deref());
        let mut courier = lock(&self.shared.courier);
        let mut sink = lock(&self.shared.sink);
        courier.step(&*self.store, &mut *sink, &wants, when::now())
    }

    fn tell(&self, step: &Step) {
        self.shared.tally.add(step);
        let sink = &self.shared.name;
        for (alert, reason) in &step.refused {
            tracing::error!(sink, alert = %alert, "never delivered: {reason}; `picket outbox list` shows it");
        }
        if let Some(trouble) = &step.trouble {
            tracing::warn!(sink, "not delivered, tried again: {trouble}");
        }
    }
}

fn until(next: i64) -> Duration {
    let wait = u64::try_from(next.saturating_sub(when::now())).unwrap_or_default();
    // A clock that has not moved since is no reason to spin.
    Duration::from_millis(wait.max(10))
}
