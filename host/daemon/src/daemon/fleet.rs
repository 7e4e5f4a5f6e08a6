//! The tenants that run: they come and go while the daemon runs.
//!
//! A tenant that cannot be started leaves the others alone; it is tried again every minute and whenever the rules or the
//! configuration are read again, so that a secret put in its place or a parameter mended needs no restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::JoinSet;

use super::lock;
use super::tenant::{Running, Shared};
use crate::config::TenantConfig;

/// How many tenants are started at once: enough that the store joins their commits.
const AT_ONCE: usize = 32;

/// All tenants of a daemon.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    running: RwLock<BTreeMap<String, Arc<Running>>>,
    broken: Mutex<BTreeMap<String, Broken>>,
    /// Who begins or ends tenants. Reload, the parents' lists and the minute's retry all do: two at once could start one
    /// tenant twice, or leave one running that was to end.
    changing: AsyncMutex<()>,
}

/// A tenant that is not collected.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// Why, in words.
    pub(crate) why: String,
    /// What to try again with; none: its file has to be mended.
    config: Option<TenantConfig>,
}

/// What bringing tenants in line came to.
#[derive(Default)]
pub(super) struct Reconciled {
    /// New.
    pub(super) started: Vec<String>,
    /// Gone.
    pub(super) stopped: Vec<String>,
    /// Collected otherwise than before.
    pub(super) restarted: Vec<String>,
    /// Judged otherwise, with what is otherwise of each, in words; to be swapped.
    pub(super) rejudged: Vec<(Arc<Running>, String)>,
}

impl Fleet {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Fleet {
            shared,
            running: RwLock::default(),
            broken: Mutex::default(),
            changing: AsyncMutex::default(),
        }
    }

    /// What the tenants share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Those that run, by id.
    pub(crate) fn running(&self) -> Vec<Arc<Running>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.values().cloned().collect()
    }

    /// Those that do not, and why.
    pub(crate) fn broken(&self) -> BTreeMap<String, Broken> {
        lock(&self.broken).clone()
    }

    /// Starts tenants, many at once; the ids of those that run now. Who runs already is left alone.
    pub(crate) async fn start(&self, configs: Vec<TenantConfig>) -> Vec<String> {
        let _one = self.changing.lock().await;
        self.begin(configs).await
    }

    async fn begin(&self, configs: Vec<TenantConfig>) -> Vec<String> {
        let known = self.running().len();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut starting = JoinSet::new();
        let of = known + configs.len();
        for config in configs {
            if self.is_running(&config.id) {
                continue;
            }
            let (shared, slots) = (self.shared.clone(), slots.clone());
            starting.spawn(async move {
                let _slot = slots.acquire().await;
                let started = Running::start(&config, &shared, of).await;
                (config, started)
            });
        }
        let mut started = Vec::new();
        while let Some(ended) = starting.join_next().await {
            match ended {
                Ok((config, Ok(running))) => {
                    started.push(config.id.clone());
                    lock(&self.broken).remove(&config.id);
                    let mut all = self.running.write().unwrap_or_else(PoisonError::into_inner);
                    all.insert(config.id, Arc::new(running));
                }
                // One customer's slip of the pen is no reason to leave the others unwatched.
                Ok((config, Err(error))) => self.fails(config.id.clone(), format!("{error:#}"), Some(config)),
                Err(error) => tracing::error!("a tenant's start was cut short: {error}"),
            }
        }
        started.sort();
        if known > 0 && !started.is_empty() {
            tracing::info!(tenants = started.join(", "), "started");
        }
        started
    }

    /// Notes that a tenant is not collected.
    pub(crate) fn fails(&self, id: String, why: String, config: Option<TenantConfig>) {
        let mut broken = lock(&self.broken);
        if broken.get(&id).is_none_or(|known| known.why != why) {
            tracing::error!(tenant = %id, "not collected, not judged: {why}");
        }
        broken.insert(id, Broken { why, config });
    }

    /// A tenant that is not wanted any more is not missed.
    pub(crate) fn forgive(&self, id: &str) {
        lock(&self.broken).remove(id);
    }

    /// Tries those again that could not be started.
    pub(crate) async fn retry(&self) -> Vec<String> {
        let _one = self.changing.lock().await;
        let again: Vec<TenantConfig> = self.broken().into_values().filter_map(|broken| broken.config).collect();
        if again.is_empty() {
            return Vec::new();
        }
        self.begin(again).await
    }

    /// Ends a tenant; what it has stored stays. False: it did not run.
    pub(crate) async fn stop(&self, id: &str) -> bool {
        let _one = self.changing.lock().await;
        self.forgive(id);
        let running = {
            let mut all = self.running.write().unwrap_or_else(PoisonError::into_inner);
            all.remove(id)
        };
        let Some(running) = running else { return false };
        running.stop().await;
        tracing::info!(tenant = id, "no longer collected; what is stored stays");
        true
    }

    /// Brings the tenants in line with these: who is not among them ends, who is new begins, whose collection is another begins
    /// anew, and who is only judged otherwise is told so. `all`: everybody is to be judged anew.
    pub(super) async fn reconcile(&self, wanted: Vec<TenantConfig>, all: bool) -> Reconciled {
        let _one = self.changing.lock().await;
        let mut reconciled = Reconciled::default();
        let mut ending = JoinSet::new();
        let mut again = Vec::new();
        for running in self.running() {
            let config = wanted.iter().find(|config| *config.id == *running.id);
            let before = running.config();
            match config {
                Some(config) if before.is_collected_like(config) => {
                    let words = before.judged_otherwise(config).join(", ");
                    if !words.is_empty() || all {
                        running.judge_by(config.clone());
                        reconciled.rejudged.push((running, words));
                    }
                }
                config => {
                    let id = running.id.to_string();
                    if config.is_some() {
                        &mut again
                    } else {
                        &mut reconciled.stopped
                    }
                    .push(id.clone());
                    self.running.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    ending.spawn(async move { running.stop().await });
                }
            }
        }
        while ending.join_next().await.is_some() {}
        if !reconciled.stopped.is_empty() {
            tracing::info!(
                tenants = reconciled.stopped.join(", "),
                "no longer collected; what is stored stays"
            );
        }
        // Who could not be started and is not wanted any more is not missed; what is tried again is what is wanted now.
        lock(&self.broken).retain(|id, _| wanted.iter().any(|config| config.id == *id));
        let begun = self
            .begin(
                wanted
                    .into_iter()
                    .filter(|config| !self.is_running(&config.id))
                    .collect(),
            )
            .await;
        (reconciled.restarted, reconciled.started) = begun.into_iter().partition(|id| again.contains(id));
        reconciled
    }

    /// One that runs.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Running>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.get(id).cloned()
    }

    /// Whether it does not run, for something that was wrong.
    pub(super) fn is_left_out(&self, id: &str) -> bool {
        lock(&self.broken).contains_key(id) && !self.is_running(id)
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.contains_key(id)
    }
}
