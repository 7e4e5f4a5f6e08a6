//! One tenant at work: how its account, its journal and its rules are joined, and how it begins and ends.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use picket_collect::{Board, Collector, SystemClock};
use picket_duo::{Host, Log};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Logged, Options, Pipeline, RuleSet, RuleSpec};
use picket_judge::{JudgedRule, Settings, Tenant};
use picket_sandbox::Engine;
use picket_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lock;
use crate::account::{Account, Door, Transports};
use crate::config::TenantConfig;
use crate::registry::Registry;
use crate::repeated::Repeated;
use crate::{ruleset, when};

/// How long a page waits for its verdict before it is admitted alone.
const SHARE_WITHIN: Duration = Duration::from_millis(200);

/// What all tenants of a daemon share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Engine,
    pub(crate) registry: Arc<Mutex<Registry>>,
    pub(crate) transports: Transports,
    pub(crate) shutdown: CancellationToken,
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
    /// What the last tick met.
    ticking: Mutex<Repeated>,
    stop: CancellationToken,
    collecting: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Takes a tenant up where the store stands. Its first poll is `delay` away.
    ///
    /// # Errors
    /// What is wrong with its configuration, or the store.
    pub(crate) async fn start(config: &TenantConfig, shared: &Shared, delay: Duration) -> anyhow::Result<Self> {
        let live = lock(&shared.registry).live(&config.id);
        for stranger in ruleset::strangers(&live, &config.overrides) {
            tracing::warn!(tenant = %config.id, "{stranger}");
        }
        let rules =
            ruleset::rules(&live, &config.overrides, &config.lists).map_err(|wrong| anyhow!(wrong.join("\n")))?;
        let account = Arc::new(Account::open(&config.source, &shared.transports)?);
        let logs = config
            .source
            .collect
            .logs
            .iter()
            .map(|log| log.parse::<Log>())
            .collect::<Result<Vec<_>, _>>()?;
        let polling = polling(config)?;
        let skew = Arc::new(AtomicI64::new(0));
        let clock_skew = skew.clone();
        let options = Options {
            settings: Settings::default(),
            share_within: SHARE_WITHIN,
            clock: Arc::new(move || when::now().saturating_add(clock_skew.load(Ordering::Relaxed))),
            observer: Arc::new(Logged),
            people: Arc::new(Nobody),
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
        let rules = ruleset(&shared.engine, rules);
        let pipeline = Pipeline::open(tenant, shared.store.clone(), rules, options).await?;
        let door = Arc::new(Door {
            pipeline: pipeline.clone(),
            store: shared.store.clone(),
        });
        let collector = Collector::new(&config.id, &logs, polling, account, door, Arc::new(SystemClock));
        let board = collector.board();
        let stop = shared.shutdown.child_token();
        let stopped = stop.clone();
        let collecting = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
            collector.run(stopped).await;
        });
        Ok(Running {
            config: config.clone(),
            pipeline,
            board,
            skew,
            refused: Mutex::default(),
            ticking: Mutex::default(),
            stop,
            collecting: Mutex::new(Some(collecting)),
        })
    }

    /// Ends its collection; what was admitted is judged before this returns. What it has stored stays.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let collecting = lock(&self.collecting).take();
        if let Some(collecting) = collecting {
            let _ = collecting.await;
        }
        if let Err(error) = self.pipeline.settle().await {
            tracing::warn!(tenant = %self.config.id, "{error}");
        }
    }

    /// To be called every second or so: takes over Duo's clock, and lets the pipeline look after its rules.
    pub(crate) async fn tick(&self) {
        let skews = self.board.status(when::now()).into_iter();
        if let Some(skew) = skews.filter_map(|health| health.clock_skew).max() {
            self.skew.store(skew, Ordering::Relaxed);
        }
        let met = self.pipeline.tick().await.err().map(|error| error.to_string());
        if let Some(text) = lock(&self.ticking).worth_saying(met) {
            tracing::warn!(tenant = %self.config.id, "{text}");
        }
    }
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
pub(super) fn ruleset(engine: &Engine, rules: Vec<JudgedRule>) -> RuleSet {
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
