//! All logs of one tenant.

use std::collections::HashMap;
use std::sync::Arc;

use picket_duo::Log;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admit::Admit;
use crate::clock::Clock;
use crate::health::{Board, Standing, Trouble};
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
                settings,
            },
            logs,
        }
    }

    /// Where to read how the logs stand.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.shared.board.clone()
    }

    /// Polls until `shutdown`. What is under way then is broken off, which is as good as a crash: nothing is lost.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut names: HashMap<Id, Log> = HashMap::new();
        for log in Log::ALL {
            let id = if self.logs.contains(&log) {
                tasks.spawn(Poller::new(self.shared.clone(), log).run()).id()
            } else if self.logs.iter().any(|collected| collected.journal() == log.journal()) {
                // Another form of it is collected: its rows are not closed.
                continue;
            } else {
                tasks.spawn(close(self.shared.clone(), log)).id()
            };
            names.insert(id, log);
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = tasks.join_next_with_id() => {
                    let Err(error) = ended else { continue };
                    let Some(log) = names.remove(&error.id()).filter(|log| self.logs.contains(log)) else { continue };
                    let text = format!("polling broke off ({error}); this is a defect in Picket, please report it. It goes on");
                    tracing::error!(tenant = %self.shared.tenant, %log, "{text}");
                    let trouble = Trouble { at: self.shared.clock.now_ms(), text, is_configuration: false };
                    self.shared.board.update(log, |health| {
                        health.standing = Standing::Failing;
                        health.last_error = Some(trouble);
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
}

/// Closes a log that is not collected, as soon as the journal lets it.
async fn close<D: DuoLogs, A: Admit, C: Clock>(shared: Shared<D, A, C>, log: Log) {
    let mut failures = 0;
    while let Err(error) = close_uncollected(&*shared.admit, log).await {
        failures += 1;
        tracing::warn!(tenant = %shared.tenant, %log, "{error}");
        shared
            .clock
            .sleep(shared.settings.back_off.after_failure(failures, log.as_str()))
            .await;
    }
}
