//! All logs of one tenant.

use std::collections::HashMap;
use std::sync::Arc;

use picket_duo::Log;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admit::Admit;
use crate::blind::{Blindness, watch};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::health::{Board, Standing, Trouble};
use crate::ledger::Ledger;
use crate::poller::{Poller, Shared};
use crate::settings::Settings;
use crate::source::DuoLogs;
use crate::telling::close_uncollected;

/// Polls the logs of one tenant, each in a task of its own.
pub struct Collector<D, A, C> {
    shared: Shared<D, A, C>,
    logs: Vec<Log>,
}

impl<D: DuoLogs, A: Admit, C: Clock> Collector<D, A, C> {
    /// A collector for these logs; the others are closed in the journal.
    #[must_use]
    pub fn new(tenant: &str, logs: &[Log], settings: Settings, duo: Arc<D>, admit: Arc<A>, clock: Arc<C>) -> Self {
        let board = Arc::new(Board::new(logs));
        let mut logs = logs.to_vec();
        logs.sort_unstable();
        logs.dedup();
        Collector {
            shared: Shared {
                tenant: Arc::from(tenant),
                duo,
                admit,
                clock,
                board,
                budget: Arc::new(Budget::new(&settings)),
                ledger: Arc::new(Ledger::new()),
                blindness: Arc::new(Blindness::default()),
                settings: Arc::new(settings),
            },
            logs,
        }
    }

    /// Where to read how the logs stand.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.shared.board.clone()
    }

    /// The account's budget of calls, for whoever else asks it.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        self.shared.budget.clone()
    }

    /// Polls until `shutdown`. What is under way then is broken off, which is as good as a crash: nothing is lost.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut names: HashMap<Id, Log> = HashMap::new();
        for log in &self.logs {
            let poller = Poller::new(self.shared.clone(), *log);
            names.insert(tasks.spawn(poller.run()).id(), *log);
        }
        tasks.spawn(watch(self.shared.clone()));
        tasks.spawn(close_others(self.shared.clone(), self.others()));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = tasks.join_next_with_id() => {
                    let Err(error) = ended else { continue };
                    let Some(log) = names.remove(&error.id()) else { continue };
                    let text = format!("polling broke off ({error})");
                    let action = "this is a defect in Picket, please report it; polling goes on".to_owned();
                    tracing::error!(tenant = %self.shared.tenant, %log, "{text}: {action}");
                    let trouble = Trouble { at: self.shared.clock.now_ms(), text, action, is_configuration: false };
                    self.shared.board.update(log, |known| {
                        known.failed(Standing::Failing, trouble);
                    });
                    let shared = self.shared.clone();
                    let id = tasks.spawn(async move {
                        shared.clock.sleep(shared.settings.poll_interval).await;
                        Poller::new(shared, log).run().await;
                    }).id();
                    names.insert(id, log);
                }
            }
        }
        tasks.shutdown().await;
    }

    /// Logs that nobody asks for in any form.
    fn others(&self) -> Vec<Log> {
        let is_collected = |name| self.logs.iter().any(|log| log.journal() == name);
        Log::ALL
            .into_iter()
            .filter(|log| !is_collected(log.journal()))
            .collect()
    }
}

/// Closes the logs that are not collected, as soon as the journal lets it.
async fn close_others<D: DuoLogs, A: Admit, C: Clock>(shared: Shared<D, A, C>, logs: Vec<Log>) {
    for log in logs {
        let mut failures = 0;
        while let Err(error) = close_uncollected(&shared, log).await {
            failures += 1;
            tracing::warn!(tenant = %shared.tenant, %log, "{error}");
            shared
                .clock
                .sleep(shared.settings.back_off.after_failure(failures, log.as_str()))
                .await;
        }
    }
}
