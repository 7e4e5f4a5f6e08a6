//! One tenant, live, over a store.
//!
//! [`Pipeline::admit`] takes a page from collection: rows are identified, what the journal holds already is dropped, the rest
//! is numbered and judged in memory. If judging is done soon, page, cursor, positions, state and alerts share one commit. If
//! not, the page is admitted alone, so that no rule, however slow, holds collection up, and the judge follows: its verdict is
//! committed when it is there, and what was admitted meanwhile is read back from the journal.
//!
//! What is in memory is only ever ahead of the store by what is on its way there, in order. When a commit fails its outcome
//! is unknown, so everything in memory is thrown away and read back; the same happens when a judge panics. What was not
//! committed is judged again with the same result.
//!
//! Locks: `swapping` before `judge` (who is fed) before `head` (who gives numbers). Admission holds `head` and only tries for
//! `judge`; following holds `judge` alone.

mod admit;
mod composition;
mod follow;
mod history;
mod learning;
mod load;
mod swap;

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use picket_contract::{Evaluate, Params, RuleManifest, Severity, Tables};
use picket_event::Plan;
use picket_store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::evidence::InJournal;
use crate::historic::Historic;
use crate::holding::Holding;
use crate::judge::TenantJudge;
use crate::people::People;
use crate::ration::{Ration, RationView};
use crate::rule::{Tenant, Terms};
use crate::verdict::{JudgeError, Outcome, Said, Settings, Trouble};

pub use admit::{Admitted, Page, Rows};
pub(crate) use history::starts;
pub use history::{FIRST_START, first_start};
pub use learning::learning;
pub use swap::{Beginning, SwapReport};

/// Wall clock, ms since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A rule as configured for one tenant.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// What it says of itself.
    pub manifest: Arc<RuleManifest>,
    /// How it is called.
    pub evaluator: Arc<dyn Evaluate>,
    /// Digest of its module, `sha256:...`.
    pub module: Arc<str>,
    /// The version of ATT&CK whose ids it carries.
    pub attack_version: Arc<str>,
    /// Its parameters, every declared one present.
    pub params: Arc<Params>,
    /// The tenant's lookup tables.
    pub tables: Arc<Tables>,
    /// On what terms it judges.
    pub terms: Terms,
}

/// Everything that judges a tenant.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// Ids are unique.
    pub rules: Vec<RuleSpec>,
    /// Hash of modules, parameters, tables, limits and engine version.
    pub hash: Arc<str>,
}

/// What the pipeline is given.
#[derive(Clone)]
pub struct Options {
    /// How rules are judged.
    pub settings: Settings,
    /// How long a page waits for its verdict before it is admitted alone.
    pub share_within: Duration,
    /// Wall clock.
    pub clock: Clock,
    /// Told of everything worth a line in the log or a count.
    pub observer: Arc<dyn Observe>,
    /// What is known of the tenant's users, for alerts about them.
    pub people: Arc<dyn People>,
    /// Memory for what rules remember, shared by all tenants.
    pub holding: Arc<Holding>,
    /// What the tenant's rules may burn.
    pub ration: Arc<Ration>,
}

/// Hears what happens while judging.
pub trait Observe: Send + Sync {
    /// A rule failed on a row.
    fn trouble(&self, tenant: &str, trouble: &Trouble);
    /// A rule logged something, or cost something.
    fn said(&self, tenant: &str, said: &Said);
    /// An alert that somebody is to be told of is on its way to the disk.
    fn alert(&self, _tenant: &str, _rule: &str, _severity: Severity) {}
    /// Judging could not go on and starts anew from the store.
    fn interrupted(&self, tenant: &str, error: &PipelineError);
}

/// Writes to the program's log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logged;

impl Observe for Logged {
    fn trouble(&self, tenant: &str, trouble: &Trouble) {
        let what = match trouble.outcome {
            Outcome::Skipped => "row skipped",
            Outcome::Quarantined => "quarantined",
            Outcome::Missed => "events missed",
        };
        tracing::warn!(tenant, rule = %trouble.rule, code = trouble.code, event = trouble.event.as_deref(),
            "{what}: {}", trouble.report);
    }

    fn said(&self, tenant: &str, said: &Said) {
        for line in &said.lines {
            tracing::info!(tenant, rule = %said.rule, level = line.level, "{}", line.message);
        }
    }

    fn interrupted(&self, tenant: &str, error: &PipelineError) {
        tracing::error!(tenant, "judging starts anew from the store: {error}");
    }
}

/// Why the pipeline could not do what was asked. It reads back from the store before it goes on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules cannot be judged.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// A thread ended before its time; a rule's native code may have panicked.
    #[error("judging was cut short: {0}")]
    CutShort(String),
}

impl From<tokio::task::JoinError> for PipelineError {
    fn from(error: tokio::task::JoinError) -> Self {
        PipelineError::CutShort(error.to_string())
    }
}

/// One tenant's way from page to alert.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    tenant: Arc<Tenant>,
    options: Options,
    /// The tenant's journal, or that of one of its segments.
    journal: InJournal,
    historic: Historic,
    /// The journal's last number; none: to be read back.
    head: Arc<Mutex<Option<u64>>>,
    judge: Arc<Mutex<Desk>>,
    /// How rules are judged; at first as the options say.
    settings: RwLock<Settings>,
    /// What is read of events: that of the judge, or, for a moment, of the one before it.
    plan: RwLock<Plan>,
    /// Rows in memory that wait for marks.
    waiting: AtomicUsize,
    /// One change of rules at a time.
    swapping: Arc<Mutex<()>>,
}

/// The judge, and what it is made of.
struct Desk {
    /// None: to be made from the store.
    judge: Option<TenantJudge>,
    rules: RuleSet,
}

/// What is put by for a journal that nobody judges is of no use.
impl Drop for Inner {
    fn drop(&mut self) {
        self.options.holding.forget(&self.journal.tenant);
    }
}

impl Inner {
    fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> Plan {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on rows are read as this judge wants them.
    fn read_for(&self, judge: &TenantJudge) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = judge.plan().clone();
    }
}

impl Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("tenant", &self.inner.tenant.id)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Takes up where the store stands. What was admitted and not judged is being judged when this returns
    /// ([`Pipeline::settle`] waits for it).
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn open(
        tenant: Arc<Tenant>,
        store: Arc<dyn Store>,
        rules: RuleSet,
        options: Options,
    ) -> Result<Self, PipelineError> {
        let name = tenant.id.clone();
        Pipeline::open_at(tenant, name, store, rules, options, Historic::default()).await
    }

    async fn open_at(
        tenant: Arc<Tenant>,
        name: Arc<str>,
        store: Arc<dyn Store>,
        rules: RuleSet,
        options: Options,
        historic: Historic,
    ) -> Result<Self, PipelineError> {
        let journal = InJournal { store, tenant: name };
        let desk = Desk {
            judge: None,
            rules: RuleSet::default(),
        };
        let head = Arc::new(Mutex::new(None));
        let inner = Inner {
            tenant,
            settings: RwLock::new(options.settings),
            options,
            journal,
            historic,
            head,
            judge: Arc::new(Mutex::new(desk)),
            plan: RwLock::default(),
            waiting: AtomicUsize::new(0),
            swapping: Arc::default(),
        };
        let pipeline = Pipeline { inner: Arc::new(inner) };
        let inner = pipeline.inner.clone();
        tokio::task::spawn_blocking(move || inner.recall()).await??;
        pipeline.replace_rules(rules).await?;
        Ok(pipeline)
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.inner.tenant
    }

    /// The name of the journal in the store: the tenant's, or a segment's.
    #[must_use]
    pub fn journal(&self) -> &Arc<str> {
        &self.inner.journal.tenant
    }

    /// To be called now and then (every second or so): probes quarantined rules that are due, and takes up again what a failed
    /// commit interrupted.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn tick(&self) -> Result<(), PipelineError> {
        let Ok(desk) = self.inner.judge.clone().try_lock_owned() else {
            return Ok(());
        };
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.follow(desk)).await?
    }

    /// Waits until everything admitted so far has been judged, also where rules have to wait for the tenant's fuel.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn settle(&self) -> Result<(), PipelineError> {
        loop {
            self.catch_up().await?;
            let ration = &self.inner.options.ration;
            if !ration.is_holding() && !ration.all_wait((self.inner.options.clock)()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Judges what has been admitted so far, as far as the tenant's fuel goes.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn catch_up(&self) -> Result<(), PipelineError> {
        let desk = self.inner.judge.clone().lock_owned().await;
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.follow(desk)).await?
    }

    /// How rules are judged, and what they may burn in a minute, from now on: at the latest with the next change of rules.
    pub fn set_terms(&self, settings: Settings, fuel_per_minute: u64) {
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.inner.options.ration.set_per_minute(fuel_per_minute);
    }

    /// The time by the tenant's clock, ms.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.inner.options.clock)()
    }

    /// How the tenant's rules are judged.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.inner.settings()
    }

    /// Events in memory that wait until other logs have come as far.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::Relaxed)
    }

    /// How the tenant's fuel stands.
    #[must_use]
    pub fn ration(&self) -> RationView {
        self.inner.options.ration.view((self.inner.options.clock)())
    }
}
