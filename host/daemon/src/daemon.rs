//! `picket run`: wires collection, judging and delivery together, and keeps them running.
//!
//! Everything that matters is in the store; what is here may be killed at any instruction. Tasks end together: one token is
//! cancelled by SIGTERM or SIGINT, and what is under way then is as good as a crash.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use picket_collect::{Board, Collector, SystemClock};
use picket_duo::{Host, Log};
use picket_judge::pipeline::{Logged, Options, Pipeline, RuleSet, RuleSpec, SwapReport};
use picket_judge::{JudgedRule, Settings, Tenant};
use picket_sandbox::{Engine, Limits, Module};
use picket_store::{Options as StoreOptions, SqliteStore, Store};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{Account, Door};
use crate::config::{Config, TenantConfig};
use crate::control::{self, Handler, Request};
use crate::deliver::Delivery;
use crate::registry::{Changes, Registry};
use crate::{rules_view, ruleset, status, watch, when};

/// How long a page waits for its verdict before it is admitted alone.
const SHARE_WITHIN: Duration = Duration::from_millis(200);
/// How often quarantined rules are looked at, and skews taken over.
const TICK: Duration = Duration::from_secs(1);

/// The running daemon.
pub(crate) struct Daemon {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    /// The same store, asked for what it found damaged.
    pub(crate) damage: Arc<SqliteStore>,
    pub(crate) engine: Engine,
    pub(crate) registry: Arc<Mutex<Registry>>,
    pub(crate) tenants: Vec<Running>,
    /// Tenants that could not be started, and why.
    pub(crate) broken: Vec<(String, String)>,
    pub(crate) delivery: Delivery,
    /// One reload at a time.
    reloading: AsyncMutex<()>,
    pub(crate) started: i64,
}

/// One tenant at work.
pub(crate) struct Running {
    pub(crate) config: TenantConfig,
    pub(crate) pipeline: Pipeline,
    pub(crate) board: Arc<Board>,
    /// Duo's clock less ours, ms.
    skew: Arc<AtomicI64>,
    /// Why the newest rules are not in force, if they are not.
    pub(crate) refused: Mutex<Vec<String>>,
}

/// Runs until a signal.
///
/// # Errors
/// What keeps the daemon from starting.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let daemon = Arc::new(start(config, &shutdown, &tasks).await?);
    let listener = control::listen(&daemon.config.control_socket)?;
    tasks.spawn(control::serve(listener, daemon.clone(), shutdown.clone()));
    tasks.spawn(tick(daemon.clone(), shutdown.clone()));
    tasks.spawn(daemon.delivery.clone().run(shutdown.clone()));
    // Watching ends when the watcher is dropped.
    let _watcher = watch::watch(daemon.clone(), &tasks, &shutdown);
    tracing::info!(tenants = daemon.tenants.len(), store = %daemon.config.data_dir.display(), "picket runs");
    signals(&daemon, &shutdown).await?;
    tracing::info!("stopping");
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(10), tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some tasks did not end in 10 s; what they did is in the store or will be done again");
    }
    let _ = std::fs::remove_file(&daemon.config.control_socket);
    Ok(())
}

async fn start(config: Config, shutdown: &CancellationToken, tasks: &TaskTracker) -> anyhow::Result<Daemon> {
    // A rotten block must not stop what does not need it; what is left out is named in the log and in `status`.
    let options = StoreOptions {
        skip_damaged: true,
        ..StoreOptions::default()
    };
    let engine_of_store = Arc::new(SqliteStore::open_with(&config.data_dir, options)?);
    let store: Arc<dyn Store> = engine_of_store.clone();
    let limits = Limits {
        cache: Some(config.data_dir.join("compiled")),
        ..Limits::default()
    };
    let engine = Engine::new(limits)?;
    if let Some(loss) = engine.host().losses() {
        tracing::warn!("{loss}");
    }
    let mut registry = Registry::new(config.rules_dir.clone(), engine.clone());
    let changes = registry.scan().with_context(|| {
        format!(
            "rules_dir {}: cannot be read; make it, or copy the stock rules there",
            config.rules_dir.display()
        )
    })?;
    say(&changes);
    let delivery = Delivery::open(&config.sinks, store.clone())?;
    let (mut tenants, mut broken) = (Vec::new(), Vec::new());
    for tenant in &config.tenants {
        let running = tenant_start(tenant, &store, &registry, &engine, shutdown, tasks);
        match running.await {
            Ok(running) => tenants.push(running),
            // One customer's slip of the pen is no reason to leave the others unwatched.
            Err(error) => {
                tracing::error!(tenant = %tenant.id, "not collected, not judged: {error:#}");
                broken.push((tenant.id.clone(), format!("{error:#}")));
            }
        }
    }
    if tenants.is_empty() {
        let why: Vec<String> = broken
            .iter()
            .map(|(tenant, why)| format!("tenant {tenant}: {why}"))
            .collect();
        bail!(why.join("\n"));
    }
    Ok(Daemon {
        config,
        store,
        damage: engine_of_store,
        engine,
        registry: Arc::new(Mutex::new(registry)),
        tenants,
        broken,
        delivery,
        reloading: AsyncMutex::new(()),
        started: when::now(),
    })
}

async fn tenant_start(
    config: &TenantConfig,
    store: &Arc<dyn Store>,
    registry: &Registry,
    engine: &Engine,
    shutdown: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<Running> {
    let modules = registry.modules(&config.id);
    for stranger in ruleset::strangers(&modules, &config.overrides) {
        tracing::warn!(tenant = %config.id, "{stranger}");
    }
    let rules =
        ruleset::rules(&modules, &config.overrides, &config.lists).map_err(|wrong| anyhow!(wrong.join("\n")))?;
    let skew = Arc::new(AtomicI64::new(0));
    let clock_skew = skew.clone();
    let options = Options {
        settings: Settings::default(),
        share_within: SHARE_WITHIN,
        clock: Arc::new(move || when::now().saturating_add(clock_skew.load(Ordering::Relaxed))),
        observer: Arc::new(Logged),
    };
    let panel = config
        .source
        .api_hostname
        .strip_prefix("api-")
        .map(|rest| format!("admin-{rest}").into());
    let tenant = Arc::new(Tenant {
        id: config.id.as_str().into(),
        name: config.name.as_str().into(),
        timezone: config.timezone.as_str().into(),
        panel,
    });
    let pipeline = Pipeline::open(tenant, store.clone(), ruleset(engine, rules), options).await?;
    let account = Arc::new(Account::open(&config.source)?);
    let door = Arc::new(Door {
        pipeline: pipeline.clone(),
        store: store.clone(),
    });
    let logs = config
        .source
        .collect
        .iter()
        .map(|log| log.parse::<Log>())
        .collect::<Result<Vec<_>, _>>()?;
    let collector = Collector::new(
        &config.id,
        &logs,
        polling(config)?,
        account,
        door,
        Arc::new(SystemClock),
    );
    let board = collector.board();
    tasks.spawn(collector.run(shutdown.clone()));
    Ok(Running {
        config: config.clone(),
        pipeline,
        board,
        skew,
        refused: Mutex::default(),
    })
}

/// How the tenant's logs are polled.
fn polling(config: &TenantConfig) -> anyhow::Result<picket_collect::Settings> {
    let source = &config.source;
    let host: Host = source.api_hostname.parse()?;
    let interval = i64::try_from(source.poll_interval)?;
    let settings = picket_collect::Settings::new(&host, interval)?.starting(source.start)?;
    Ok(picket_collect::Settings {
        overlap: source.overlap,
        lateness: source.lateness,
        max_wait: source.max_wait,
        ..settings
    })
}

/// A generation's rules and their hash.
fn ruleset(engine: &Engine, rules: Vec<JudgedRule>) -> RuleSet {
    let mut hasher = blake3::Hasher::new();
    hasher.update(engine.fingerprint().as_bytes());
    let mut specs = Vec::new();
    for rule in rules {
        hasher.update(format!("{}\0{}\0{:?}\0", rule.manifest.id, rule.module, rule.params).as_bytes());
        specs.push(RuleSpec {
            manifest: rule.manifest,
            evaluator: rule.evaluator,
            module: rule.module,
            attack_version: rule.attack_version,
            params: rule.params,
            tables: rule.tables,
        });
    }
    RuleSet {
        rules: specs,
        hash: format!("blake3:{}", hasher.finalize().to_hex()).into(),
    }
}

impl Daemon {
    /// Reads the rules directory again and puts what changed in force, between two calls.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) async fn reload(&self) -> anyhow::Result<Value> {
        let _one = self.reloading.lock().await;
        let began = Instant::now();
        let registry = self.registry.clone();
        let changes = tokio::task::spawn_blocking(move || lock(&registry).scan()).await??;
        say(&changes);
        let mut swaps = Vec::new();
        for tenant in self.tenants.iter().filter(|tenant| {
            // A swap that failed is tried again, changes or none.
            changes.touch(&tenant.config.id) || !lock(&tenant.refused).is_empty()
        }) {
            let modules = lock(&self.registry).modules(&tenant.config.id);
            let swapped = self.swap(tenant, &modules).await;
            *lock(&tenant.refused) = swapped
                .as_ref()
                .err()
                .map(|error| format!("{error:#}"))
                .into_iter()
                .collect();
            match swapped {
                Ok(report) => {
                    tracing::info!(tenant = %tenant.config.id, generation = report.generation, kept = report.kept.len(),
                        begun = report.begun.len(), retired = report.retired.len(), pause = ?report.pause, "rules swapped");
                    swaps.push(swap_json(&tenant.config.id, &report));
                }
                Err(error) => {
                    tracing::error!(tenant = %tenant.config.id, "the rules before stay in force: {error:#}");
                    swaps.push(json!({"tenant": tenant.config.id, "error": format!("{error:#}")}));
                }
            }
        }
        let took = began.elapsed();
        Ok(json!({"changes": changes, "tenants": swaps, "took_ms": took.as_secs_f64() * 1000.0}))
    }

    async fn swap(&self, tenant: &Running, modules: &[Arc<Module>]) -> anyhow::Result<SwapReport> {
        let rules = ruleset::rules(modules, &tenant.config.overrides, &tenant.config.lists);
        let rules = rules.map_err(|wrong| anyhow!(wrong.join("\n")))?;
        Ok(tenant.pipeline.replace_rules(ruleset(&self.engine, rules)).await?)
    }
}

fn swap_json(tenant: &str, report: &SwapReport) -> Value {
    let begun: Vec<&String> = report.begun.iter().map(|(rule, _)| rule).collect();
    json!({
        "tenant": tenant,
        "generation": report.generation,
        "kept": report.kept,
        "begun": begun,
        "retired": report.retired,
        "pause_ms": report.pause.as_secs_f64() * 1000.0,
    })
}

impl Handler for Daemon {
    async fn handle(&self, request: Request) -> anyhow::Result<Value> {
        match request {
            // Both read the store, and may wait for a module that is being tested.
            Request::Status => tokio::task::block_in_place(|| status::of(self)),
            Request::Rules => tokio::task::block_in_place(|| Ok(Value::Array(rules_view::of(self)?))),
            Request::Reload => self.reload().await,
        }
    }
}

fn say(changes: &Changes) {
    for path in &changes.live {
        tracing::info!(module = %path, "module live: it passes its own tests");
    }
    for (path, reason) in &changes.refused {
        tracing::error!(module = %path, "module refused, what ran before still runs: {reason}");
    }
    for path in &changes.retired {
        tracing::info!(module = %path, "module retired: its file is gone");
    }
}

async fn tick(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        for tenant in &daemon.tenants {
            let skews = tenant
                .board
                .status(when::now())
                .into_iter()
                .filter_map(|health| health.clock_skew);
            if let Some(skew) = skews.max() {
                tenant.skew.store(skew, Ordering::Relaxed);
            }
            if let Err(error) = tenant.pipeline.tick().await {
                tracing::warn!(tenant = %tenant.config.id, "{error}");
            }
        }
    }
}

async fn signals(daemon: &Arc<Daemon>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                if let Err(error) = daemon.reload().await {
                    tracing::error!("reload: {error:#}");
                }
            }
        }
    }
    shutdown.cancel();
    Ok(())
}

/// A panic elsewhere leaves at worst a stale view, which the next scan mends.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
