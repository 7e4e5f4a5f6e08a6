//! One tenant at work: how its account, its journal and its rules are joined, and how it begins and ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use picket_collect::{Board, Collector, SystemClock};
use picket_duo::{Host, Log};
use picket_event::Mask;
use picket_judge::pipeline::{Options, Pipeline, RuleSet, RuleSpec, SwapReport};
use picket_judge::{Holding, JudgedRule, Ration, Settings, Tenant};
use picket_sandbox::Engine;
use picket_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lock;
use crate::account::{Account, Door, Transports};
use crate::backfill::{Backfills, Parts, Rules};
use crate::config::{Config, TenantConfig};
use crate::counts::Counts;
use crate::registry::{Live, Registry};
use crate::repeated::Repeated;
use crate::sight::Sight;
use crate::stock::{Holdings, StaleSettings};
use crate::upkeep::Gate;
use crate::warming::Paces;
use crate::{phone_key, when};

/// How long a page waits for its verdict before it is admitted alone.
const SHARE_WITHIN: Duration = Duration::from_millis(200);

/// The share of a minute's fuel that a rule burns before it lets the others go first: about a second of computing.
const AT_ONCE: u64 = 20;

/// Events of all tenants that are in memory until other logs have come as far, and the least that each may have.
const MOST_WAITING: usize = 1_000_000;
const LEAST_WAITING: usize = 10_000;

/// From the first poll of one tenant to that of the next on average, ms.
const APART: i64 = 60;

/// What all tenants of a daemon share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    /// Where the store is, and the keys beside it.
    pub(crate) data_dir: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) registry: Arc<Registry>,
    pub(crate) transports: Transports,
    /// What rules remember, of all tenants.
    pub(crate) holding: Arc<Holding>,
    /// How rules are judged, and fuel that one tenant's rules may burn in a minute.
    pub(crate) terms: Mutex<(Settings, u64)>,
    /// What rules did, of all tenants.
    pub(crate) counts: Arc<Counts>,
    /// What of what the operator says does not apply, as it was told.
    pub(crate) stale_settings: Arc<StaleSettings>,
    /// Whether Duo is asked.
    pub(crate) gate: Arc<Gate>,
    /// What is counted for machines that watch.
    pub(crate) sight: Arc<Sight>,
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    /// How a configuration has rules judged.
    pub(crate) fn terms_of(config: &Config) -> (Settings, u64) {
        let sandbox = &config.sandbox;
        let settings = Settings {
            state_bytes: sandbox.tenant_state_bytes,
            fuel_at_once: sandbox.fuel_per_minute / AT_ONCE,
            clear_numbers: config.clear_numbers,
            ..Settings::default()
        };
        (settings, sandbox.fuel_per_minute)
    }
}

/// One tenant at work.
pub(crate) struct Running {
    pub(crate) id: Arc<str>,
    /// As it is now: what concerns judging changes while the tenant runs.
    config: Arc<ArcSwap<TenantConfig>>,
    pub(crate) pipeline: Pipeline,
    pub(crate) board: Arc<Board>,
    /// What the account consists of.
    pub(crate) holdings: Arc<Holdings>,
    registry: Arc<Registry>,
    engine: Engine,
    pub(crate) backfills: Arc<Backfills>,
    /// How fast history is read.
    pub(crate) paces: Mutex<Paces>,
    /// Duo's clock less ours, ms.
    skew: Arc<AtomicI64>,
    /// Why the newest rules are not in force, if they are not.
    pub(crate) refused: Mutex<Vec<String>>,
    /// How often its rules have changed hands.
    swaps: AtomicU64,
    /// What the last tick met.
    ticking: Mutex<Repeated>,
    stop: CancellationToken,
    collecting: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Takes a tenant up where the store stands. `of`: how many tenants there are, which ask Duo one after the other at first.
    ///
    /// # Errors
    /// What is wrong with its configuration, or the store.
    pub(crate) async fn start(config: &TenantConfig, shared: &Shared, of: usize) -> anyhow::Result<Self> {
        let live = shared.registry.live(&config.id);
        let mask = phone_key::open(&shared.data_dir, &config.id, &*shared.store)?;
        let holdings = Holdings::new(
            shared.store.clone(),
            config.id.as_str().into(),
            mask.clone(),
            shared.stale_settings.clone(),
        );
        let on_terms = |rules| hashed(&shared.engine, &mask, shared.registry.on_terms(rules));
        let rules = holdings.rules(&live, config, on_terms)?;
        let now = Arc::new(ArcSwap::from_pointee(config.clone()));
        let account = Arc::new(Account::open(&config.source, &shared.transports)?.watched(&config.id, &shared.sight));
        let logs = config
            .source
            .collect
            .logs
            .iter()
            .map(|log| log.parse::<Log>())
            .collect::<Result<Vec<_>, _>>()?;
        let polling = polling(config, of)?;
        let skew = Arc::new(AtomicI64::new(0));
        let clock_skew = skew.clone();
        let (settings, fuel_per_minute) = *lock(&shared.terms);
        let options = Options {
            settings,
            share_within: SHARE_WITHIN,
            clock: Arc::new(move || when::now().saturating_add(clock_skew.load(Ordering::Relaxed))),
            observer: shared.counts.clone(),
            people: holdings.people(),
            holding: shared.holding.clone(),
            ration: Arc::new(Ration::new(fuel_per_minute)),
        };
        let tenant = Arc::new(judged_tenant(config, mask.clone()));
        let pipeline = Pipeline::open(tenant.clone(), shared.store.clone(), rules, options.clone()).await?;
        let door =
            Arc::new(Door::new(pipeline.clone(), shared.store.clone(), shared.gate.clone()).watched(&shared.sight));
        let collector = Collector::new(&config.id, &logs, polling, account.clone(), door, Arc::new(SystemClock));
        let board = collector.board();
        let stop = shared.shutdown.child_token();
        let taking_stock = holdings.start(
            config,
            &polling,
            account.clone(),
            pipeline.clone(),
            collector.budget(),
            stop.clone(),
        );
        let backfills = Arc::new(Backfills::new(Parts {
            tenant,
            store: shared.store.clone(),
            account,
            settings: polling,
            budget: collector.budget(),
            options,
            rules: in_force(now.clone(), shared, holdings.clone(), mask),
            gate: shared.gate.clone(),
        }));
        let stopped = stop.clone();
        let backfilling = tokio::spawn(backfills.clone().run(stop.clone()));
        let collecting = tokio::spawn(async move {
            collector.run(stopped).await;
            // They end by the same token.
            let _ = backfilling.await;
            let _ = taking_stock.await;
        });
        Ok(Running {
            id: config.id.as_str().into(),
            config: now,
            pipeline,
            board,
            holdings,
            registry: shared.registry.clone(),
            engine: shared.engine.clone(),
            backfills,
            paces: Mutex::default(),
            skew,
            refused: Mutex::default(),
            swaps: AtomicU64::new(0),
            ticking: Mutex::default(),
            stop,
            collecting: Mutex::new(Some(collecting)),
        })
    }

    /// Another configuration, which collects alike; to be followed by a swap.
    pub(crate) fn judge_by(&self, config: TenantConfig) {
        self.config.store(Arc::new(config));
    }

    /// Duo's clock, ms; none: Duo has not answered since the start.
    pub(crate) fn duo_now(&self) -> Option<i64> {
        let logs = self.board.status(when::now());
        let skew = logs.into_iter().filter_map(|health| health.clock_skew).max()?;
        Some(when::now().saturating_add(skew))
    }

    /// Its configuration as it is now.
    pub(crate) fn config(&self) -> Arc<TenantConfig> {
        self.config.load_full()
    }

    /// Puts the rules that are live now in force, under the configuration as it is now, with the tables as they are now.
    ///
    /// # Errors
    /// What is wrong with the rules' parameters, or the store: the rules before stay.
    pub(crate) async fn swap(&self) -> anyhow::Result<SwapReport> {
        let live = || self.registry.live(&self.id);
        let generation = |rules| {
            hashed(
                &self.engine,
                &self.pipeline.tenant().mask,
                self.registry.on_terms(rules),
            )
        };
        let config = || self.config();
        let swapped = self.holdings.swap(live, config, &self.pipeline, generation).await;
        self.swaps.fetch_add(1, Ordering::AcqRel);
        swapped
    }

    /// How often its rules have changed hands: what they consist of is another only where this is.
    pub(crate) fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }

    /// The rules of a module as they would judge this tenant, with its parameters, permissions and tables.
    ///
    /// # Errors
    /// Every parameter that is wrong; or the store's.
    pub(crate) fn judged_by(&self, live: &Arc<Live>) -> anyhow::Result<Vec<RuleSpec>> {
        let generation = |rules| hashed(&self.engine, &self.pipeline.tenant().mask, rules);
        let set = self
            .holdings
            .rules_beside(std::slice::from_ref(live), &self.config(), generation)?;
        Ok(set.rules)
    }

    /// Rules that look things up are given new tables when the inventory has changed.
    async fn renew_tables(&self) {
        if !self.holdings.may_be_stale() {
            return;
        }
        let live = self.registry.live(&self.id);
        if !self.holdings.is_stale(&live) {
            return;
        }
        match self.swap().await {
            Ok(report) => {
                tracing::info!(tenant = %self.id, generation = report.generation, pause = ?report.pause,
                "tables of the inventory renewed")
            }
            Err(error) => tracing::error!(tenant = %self.id, "the tables before stay in force: {error:#}"),
        }
    }

    /// Ends its collection; what was admitted is judged before this returns. What it has stored stays.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let collecting = lock(&self.collecting).take();
        if let Some(collecting) = collecting {
            let _ = collecting.await;
        }
        if let Err(error) = self.pipeline.catch_up().await {
            tracing::warn!(tenant = %self.id, "{error}");
        }
    }

    /// To be called every second or so: takes over Duo's clock, and lets the pipeline look after its rules.
    pub(crate) async fn tick(&self) {
        let logs = self.board.status(when::now());
        lock(&self.paces).look(&logs, when::now());
        let skews = logs.into_iter();
        if let Some(skew) = skews.filter_map(|health| health.clock_skew).max() {
            self.skew.store(skew, Ordering::Relaxed);
        }
        self.renew_tables().await;
        let met = self.pipeline.tick().await.err().map(|error| error.to_string());
        if let Some(text) = lock(&self.ticking).worth_saying(met) {
            tracing::warn!(tenant = %self.id, "{text}");
        }
    }
}

/// A tenant as it is judged.
pub(crate) fn judged_tenant(config: &TenantConfig, mask: Arc<Mask>) -> Tenant {
    let panel = config.source.api_hostname.strip_prefix("api-");
    Tenant {
        id: config.id.as_str().into(),
        name: config.name.as_str().into(),
        timezone: config.timezone.as_str().into(),
        panel: panel.map(|rest| format!("admin-{rest}").into()),
        mask,
    }
}

/// How a configuration has rules judged.
pub(crate) fn settings_of(config: &Config) -> Settings {
    Shared::terms_of(config).0
}

/// How the tenant's logs are polled, one of so many tenants.
fn polling(config: &TenantConfig, of: usize) -> anyhow::Result<picket_collect::Settings> {
    let source = &config.source;
    let host: Host = source.api_hostname.parse()?;
    let interval = i64::try_from(source.poll_interval)?;
    let settings = picket_collect::Settings::new(&host, interval)?.starting(source.start)?;
    // A single account is asked at once; a thousand over the whole interval.
    let stagger = APART.saturating_mul(i64::try_from(of.saturating_sub(1))?);
    Ok(picket_collect::Settings {
        stagger: settings.stagger.min(stagger),
        max_calls_per_minute: source.max_calls_per_minute.unwrap_or(settings.max_calls_per_minute),
        overlap: source.overlap,
        lateness: source.lateness,
        max_wait: source.max_wait,
        most_waiting: (MOST_WAITING / of.max(1)).clamp(LEAST_WAITING, settings.most_waiting),
        ..settings
    })
}

/// The rules of a tenant as they are whenever this is asked.
fn in_force(config: Arc<ArcSwap<TenantConfig>>, shared: &Shared, holdings: Arc<Holdings>, mask: Arc<Mask>) -> Rules {
    let (engine, registry) = (shared.engine.clone(), shared.registry.clone());
    Box::new(move || {
        let config = config.load_full();
        let live = registry.live(&config.id);
        holdings.rules_beside(&live, &config, |rules| hashed(&engine, &mask, registry.on_terms(rules)))
    })
}

/// A generation's rules and their hash.
pub(crate) fn hashed(engine: &Engine, mask: &Mask, rules: Vec<JudgedRule>) -> RuleSet {
    let mut hasher = blake3::Hasher::new();
    hasher.update(engine.fingerprint().as_bytes());
    hasher.update(mask.fingerprint().as_bytes());
    // In whatever order modules were found, the same rules are the same generation.
    let mut deciding: Vec<String> = rules
        .iter()
        .map(|rule| {
            let deciding = (&rule.params, &rule.terms);
            format!("{}\0{}\0{deciding:?}\0", rule.manifest.id, rule.module)
        })
        .collect();
    deciding.sort();
    for rule in &deciding {
        hasher.update(rule.as_bytes());
    }
    // Not collected, which would be done in place and keep the room that the rules' positions and memories took.
    let mut specs = Vec::with_capacity(rules.len());
    specs.extend(rules.into_iter().map(RuleSpec::from));
    RuleSet {
        rules: specs,
        hash: format!("blake3:{}", hasher.finalize().to_hex()).into(),
    }
}
