//! `picket run`: wires collection, judging and delivery together, and keeps them running.
//!
//! Everything that matters is in the store; what is here may be killed at any instruction. Tasks end together: one token is
//! cancelled by SIGTERM or SIGINT, and what is under way then is as good as a crash.

mod again;
mod configuration;
mod fleet;
mod live_shadow;
mod outbox;
mod parent;
mod reload;
mod signals;
mod tenant;
mod versions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use picket_judge::Holding;
use picket_sandbox::Engine;
use picket_store::{Options as StoreOptions, SqliteStore, Store};
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::Transports;
use crate::accounts;
use crate::audit::{self, Who};
use crate::config::{Config, Loaded, Problems};
use crate::control::{self, Handler, Request};
use crate::counts::Counts;
use crate::deliver::Delivery;
use crate::filed::Cabinet;
use crate::phone_key;
use crate::registry::{Archive, Books, Changes, Registry, Terms};
use crate::sight::{self, Herald, Sight};
use crate::upkeep::Upkeep;
use crate::watch::{Seeing, Settling};
use crate::{purge, rules_view, status, upkeep, watch, when};
pub(crate) use again::{Areas, Reloads, Trigger};
use fleet::Fleet;
use live_shadow::Shadows;
use parent::{Follower, ParentHealth};
use tenant::Shared;
pub(crate) use tenant::{Running, hashed, judged_tenant, settings_of};
use versions::{Trials, try_again, watch_versions};

/// How often quarantined rules are looked at, and skews taken over.
const TICK: Duration = Duration::from_secs(1);
/// How often, in ticks, a tenant that could not be started is tried again.
const RETRY: u64 = 60;
/// How long what is under way has to end at a signal. With the second that threads are given after it, less than ten.
const ENDING: Duration = Duration::from_secs(8);

/// The running daemon.
pub(crate) struct Daemon {
    config: RwLock<Arc<Config>>,
    pub(crate) store: Arc<dyn Store>,
    /// The same store, asked for what it found damaged.
    pub(crate) damage: Arc<SqliteStore>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) fleet: Fleet,
    /// How the keys of the Accounts API stand, by the parent's id.
    pub(crate) parents: Mutex<BTreeMap<String, ParentHealth>>,
    /// Who reads the list of each parent's key, by the parent's id.
    followers: Mutex<BTreeMap<String, Follower>>,
    pub(crate) delivery: Delivery,
    pub(crate) engine: Engine,
    /// What rules did since the start.
    pub(crate) counts: Arc<Counts>,
    /// What is counted for machines that watch.
    pub(crate) sight: Arc<Sight>,
    /// One reload at a time; the next waits its turn.
    reloading: AsyncMutex<()>,
    /// What came of reloads.
    pub(crate) reloads: Mutex<Reloads>,
    /// The files of tables.
    cabinet: Cabinet,
    /// Since when files are as they are.
    pub(crate) settling: Mutex<Settling>,
    /// How changes of files are seen.
    pub(crate) seeing: Mutex<Seeing>,
    trials: Trials,
    shadows: Shadows,
    /// The daemon ends.
    stopping: CancellationToken,
    /// What is done for the store.
    pub(crate) upkeep: Upkeep,
    /// For tasks that outlive the call which began them.
    me: Weak<Daemon>,
    pub(crate) started: i64,
}

/// Runs until a signal.
///
/// # Errors
/// What keeps the daemon from starting.
pub(crate) async fn run(loaded: Loaded, began: Instant) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let sight = Sight::new(began);
    let http = loaded.config.http;
    let (daemon, unfinished) = start(loaded, sight, &shutdown).await?;
    // From here on it is ended in order: before anybody is told that it runs. Until here a signal ends it at once.
    let signals = signals::Signals::listen()?;
    let daemon = Arc::new_cyclic(|me| Daemon {
        me: me.clone(),
        ..daemon
    });
    daemon.watch_again();
    let config = daemon.config();
    let listener = control::listen(&config.control_socket)?;
    tasks.spawn(control::serve(listener, Arc::new(daemon.clone()), shutdown.clone()));
    if let Some(listener) = sight::listen(&http).await? {
        tasks.spawn(sight::serve(listener, daemon.clone(), shutdown.clone()));
    }
    tasks.spawn(tick(daemon.clone(), shutdown.clone()));
    tasks.spawn(upkeep::keep(daemon.clone(), shutdown.clone()));
    let me = Arc::downgrade(&daemon);
    let own_sinks = move |tenant: &str| me.upgrade()?.fleet.find(tenant)?.config().sinks.clone();
    let data_dir = config.data_dir.clone();
    let masks = move |tenant: &str| phone_key::to_read(&data_dir, tenant);
    daemon.delivery.begin(&shutdown, Arc::new(own_sinks), Arc::new(masks));
    let me = Arc::downgrade(&daemon);
    daemon.sight.tell_of_pages(sight::Tell(Box::new(move |tenant| {
        if let Some(daemon) = me.upgrade() {
            daemon.delivery.admitted(tenant);
        }
    })));
    tasks.spawn(summarise(daemon.clone(), shutdown.clone()));
    daemon.follow(config.parents.clone());
    tasks.spawn(watch_versions(daemon.clone(), shutdown.clone()));
    tasks.spawn(try_again(daemon.clone(), shutdown.clone()));
    daemon.try_out(daemon.registry.candidates());
    daemon.shadow_live();
    if unfinished {
        // The modules that took too long to wait for.
        let daemon = daemon.clone();
        tasks.spawn(async move {
            if let Err(error) = daemon.reload_rules().await {
                tracing::error!("reload: {error:#}");
            }
        });
    }
    tasks.spawn(watch::watch(daemon.clone(), shutdown.clone()));
    tracing::info!(tenants = daemon.fleet.running().len(), store = %config.data_dir.display(), "picket runs");
    Herald::ready();
    tasks.spawn(Herald::go_on(daemon.clone(), shutdown.clone()));
    let mut ends = signals.last(&daemon, &tasks).await;
    shutdown.cancel();
    tracing::info!("stopping; a second signal ends it at once");
    Herald::stopping();
    daemon.stop_trials();
    tasks.close();
    let ended = async {
        for tenant in daemon.fleet.running() {
            tenant.stop().await;
        }
        daemon.stop_following(|_| false).await;
        daemon.delivery.ended().await;
        tasks.wait().await;
    };
    tokio::select! {
        in_time = tokio::time::timeout(ENDING, ended) => if in_time.is_err() {
            tracing::warn!("some tasks did not end in time; what they did is in the store or will be done again");
        },
        () = ends.again() => {
            tracing::warn!("ended at once; what was under way is in the store or will be done again");
            std::process::exit(1);
        }
    }
    let _ = std::fs::remove_file(&config.control_socket);
    Ok(())
}

/// The daemon, and whether there are modules that are still to be admitted.
async fn start(loaded: Loaded, sight: Arc<Sight>, shutdown: &CancellationToken) -> anyhow::Result<(Daemon, bool)> {
    let (mut loaded, cabinet) = (loaded, Cabinet::default());
    cabinet.fill(&mut loaded)?;
    let Loaded { config, broken } = loaded;
    if config.tenants.is_empty() && config.parents.is_empty() {
        return Err(Problems(broken.into_iter().flat_map(|(_, problems)| problems.0).collect()).into());
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // A rotten block must not stop what does not need it; what is left out is named in the log and in `status`.
    let options = StoreOptions {
        skip_damaged: true,
        hook: Some(sight.hook()),
    };
    let engine_of_store = Arc::new(SqliteStore::open_with(&config.data_dir, options)?);
    let store: Arc<dyn Store> = engine_of_store.clone();
    let engine = config.sandbox.start(Some(config.data_dir.join("compiled")))?;
    for loss in engine.host().losses() {
        tracing::warn!("{loss}");
    }
    let books = Books::new(store.clone(), Archive::new(&config.data_dir), config.reload.keep);
    let registry = Registry::new(Terms::of(&config), engine.clone())
        .with(books)
        .timed(&sight);
    registry.restore();
    let changes = registry.scan().with_context(|| {
        format!(
            "rules_dir {}: cannot be read; make it, or copy the stock rules there",
            config.rules_dir.display()
        )
    })?;
    say(&changes);
    let delivery = Delivery::open(&config.sinks, store.clone())?;
    let registry = Arc::new(registry);
    let upkeep = Upkeep::default();
    sight.tell_tenants(config.tenant_label);
    let counts = Arc::new(Counts::watched(sight.clone()));
    let fleet = Fleet::new(Arc::new(Shared {
        store: store.clone(),
        data_dir: config.data_dir.clone(),
        engine: engine.clone(),
        registry: registry.clone(),
        transports: Transports::default(),
        holding: Arc::new(Holding::new(config.sandbox.holding_bytes)),
        terms: Mutex::new(Shared::terms_of(&config)),
        counts: counts.clone(),
        stale_settings: Arc::default(),
        gate: upkeep.gate.clone(),
        sight: sight.clone(),
        shutdown: shutdown.clone(),
    }));
    for (id, problems) in broken {
        fleet.fails(id, problems.to_string(), None);
    }
    let left_out: Vec<String> = fleet.broken().into_keys().collect();
    audit::configuration(&*store, &config.stated, &left_out, None, "");
    let mut tenants = config.tenants.clone();
    // Without a word from the parent, its children are those of last time.
    for parent in &config.parents {
        let children = accounts::remembered(&*store, &parent.id)?;
        tenants.extend(children.iter().filter_map(|child| child.tenant(parent)));
    }
    for stray in registry.strays(tenants.iter().map(|tenant| tenant.id.as_str())) {
        tracing::warn!("{stray}");
    }
    fleet.start(tenants).await;
    if fleet.running().is_empty() && config.parents.is_empty() {
        let broken = fleet.broken();
        let why: Vec<String> = broken
            .iter()
            .map(|(tenant, broken)| format!("tenant {tenant}: {}", broken.why))
            .collect();
        bail!(why.join("\n"));
    }
    let daemon = Daemon {
        config: RwLock::new(Arc::new(config)),
        store,
        damage: engine_of_store,
        registry,
        fleet,
        parents: Mutex::default(),
        followers: Mutex::default(),
        delivery,
        engine,
        counts,
        sight,
        reloading: AsyncMutex::new(()),
        reloads: Mutex::default(),
        cabinet,
        settling: Mutex::default(),
        seeing: Mutex::default(),
        trials: Trials::default(),
        shadows: Shadows::default(),
        stopping: shutdown.clone(),
        upkeep,
        me: Weak::new(),
        started: when::now(),
    };
    Ok((daemon, changes.is_unfinished))
}

impl Daemon {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_config(&self, config: Config) {
        self.sight.tell_tenants(config.tenant_label);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The tenant that is meant: the one named, or the only one.
    fn tenant(&self, named: Option<&str>) -> anyhow::Result<Arc<Running>> {
        let running = self.fleet.running();
        match (named, running.as_slice()) {
            (None, [only]) => Ok(only.clone()),
            (None, _) => bail!("there are several tenants: name one with --tenant"),
            (Some(id), all) => {
                let found = all.iter().find(|tenant| *tenant.id == *id);
                found.cloned().with_context(|| format!("tenant `{id}` does not run"))
            }
        }
    }

    /// Has everything judged from now on as a configuration says of all tenants; to be followed by a swap of each.
    fn judge_by(&self, config: &Config) {
        let shared = self.fleet.shared();
        let terms = Shared::terms_of(config);
        *lock(&shared.terms) = terms;
        shared.holding.set_budget(config.sandbox.holding_bytes);
        for tenant in self.fleet.running() {
            tenant.pipeline.set_terms(terms.0, terms.1);
        }
    }
}

impl Handler for Arc<Daemon> {
    async fn handle(&self, request: Request, uid: Option<u32>) -> anyhow::Result<Value> {
        match request {
            // Both read the store, and may wait for a module that is being tested.
            Request::Status => tokio::task::block_in_place(|| status::of(self)),
            Request::Rules { verbose } => {
                tokio::task::block_in_place(|| Ok(Value::Array(rules_view::of(self, verbose)?)))
            }
            Request::Reload => Ok(self.reload(&Trigger::Asked(Who::asked(uid, "reload"))).await),
            Request::Version { what, name, reason } => self.version(what, &name, &reason, uid).await,
            Request::Backfill { tenant, logs, from, to } => {
                let running = self.tenant(tenant.as_deref())?;
                tokio::task::block_in_place(|| running.backfills.ask(&logs, from, to))
            }
            asked @ Request::Outbox { .. } => tokio::task::block_in_place(|| self.outbox(&asked, uid)),
            // The sink may be at something, and take its time.
            Request::Sample { sink } => tokio::task::block_in_place(|| self.delivery.sample(&sink)),
            Request::Compact => {
                let store = self.damage.clone();
                tokio::task::spawn_blocking(move || {
                    let before = store.room()?.database;
                    store.tighten()?;
                    Ok(serde_json::json!({"before": before, "after": store.room()?.database}))
                })
                .await?
            }
            Request::Purge { tenant } => {
                // Reloads wait: nobody begins to collect it meanwhile.
                let _reloading = self.reloading.lock().await;
                let config = self.config();
                purge::may_go(&config, &tenant)?;
                if self.fleet.find(&tenant).is_some() {
                    bail!("tenant {tenant} still runs: `picket reload` first");
                }
                let store = self.damage.clone();
                let who = Who::asked(uid, "purge");
                tokio::task::spawn_blocking(move || purge::purge(&store, &config.data_dir, &tenant, who)).await?
            }
            Request::Backfills => tokio::task::block_in_place(|| {
                let mut all = Vec::new();
                for tenant in self.fleet.running() {
                    all.extend(tenant.backfills.list()?);
                }
                Ok(Value::Array(all))
            }),
        }
    }
}

fn say(changes: &Changes) {
    for path in &changes.live {
        tracing::info!(module = %path, "module live");
    }
    for (path, reason) in &changes.waiting {
        tracing::warn!(module = %path, "module waits, what ran before still runs: {reason}");
    }
    for (path, words) in &changes.shadow {
        tracing::info!(module = %path, "module in shadow: {words}");
    }
    for (path, reason) in &changes.refused {
        tracing::error!(module = %path, "module refused, what ran before still runs: {reason}");
    }
    for path in &changes.retired {
        tracing::info!(module = %path, "module retired: its file is gone");
    }
}

async fn summarise(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    let me = Arc::downgrade(&daemon);
    let names = move |tenant: &str| Some(me.upgrade()?.fleet.find(tenant)?.config().name.clone());
    daemon.delivery.summarise(Box::new(names), shutdown).await;
}

async fn tick(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    for tick in 1_u64.. {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        daemon.sight.beat();
        for tenant in daemon.fleet.running() {
            tenant.tick().await;
            daemon.sight.beat();
        }
        if tick.is_multiple_of(RETRY) {
            daemon.fleet.retry().await;
        }
    }
}

/// A panic elsewhere leaves at worst a stale view, which the next scan mends.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
