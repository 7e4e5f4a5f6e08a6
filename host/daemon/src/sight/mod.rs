//! Whether data moves, for machines that watch: `/metrics`, `/livez`, `/readyz`, and systemd.
//!
//! Most figures are held by whoever they are about (how a log stands, what a rule did) and are read when somebody asks
//! ([`facts`]). What nobody else keeps is kept here as it happens: each answer of Duo's, each call of a rule, each commit.
//!
//! Ready means that data moves. A collector that runs, answers and collects nothing is the failure that nobody notices, so
//! [`readiness`] asks for what came of the work and not whether there is a process. Labels name tenants, logs, rules and sinks,
//! never a user or an address.

mod facts;
mod herald;
mod http;
mod readiness;
mod timed;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use picket_contract::Severity;
use picket_duo::{DuoError, Log};
use picket_store::{Hook, Moment};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::daemon::lock;

pub(crate) use herald::Herald;
pub(crate) use http::{listen, serve};
pub(crate) use timed::Timed;

type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Told whose journal took a page; it must not wait.
pub(crate) struct Tell(pub(crate) Box<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// What happens, counted since the start.
#[derive(Debug)]
pub(crate) struct Sight {
    /// When this process began to start.
    began: Instant,
    /// When Duo was first asked.
    first_poll: OnceLock<Duration>,
    /// Who is told whose journal took a page.
    pages: OnceLock<Tell>,
    /// When the daemon last went round, ms after `began`.
    heartbeat: AtomicU64,
    /// Tenants are not told apart.
    is_one: AtomicBool,
    polls: Family<Labels, Counter>,
    poll_seconds: Histograms,
    duplicates: Family<Labels, Counter>,
    rule_calls: Family<Labels, Counter>,
    rule_seconds: Histograms,
    alerts: Family<Labels, Counter>,
    commit_seconds: Histogram,
    commits_failed: Counter,
    /// A commit is under way since.
    committing: Mutex<Option<Instant>>,
    /// Why the journal took nothing the last time it was given something, and since when.
    refused: Mutex<Option<(Instant, String)>>,
}

impl Sight {
    /// Nothing has happened yet. `began`: when the process began.
    pub(crate) fn new(began: Instant) -> Arc<Self> {
        let from_a_ms = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let from_ten_us = || Histogram::new(exponential_buckets(0.000_01, 4.0, 12));
        Arc::new(Sight {
            began,
            first_poll: OnceLock::new(),
            pages: OnceLock::new(),
            heartbeat: AtomicU64::new(0),
            is_one: AtomicBool::new(false),
            polls: Family::default(),
            poll_seconds: Family::new_with_constructor(from_a_ms),
            duplicates: Family::default(),
            rule_calls: Family::default(),
            rule_seconds: Family::new_with_constructor(from_ten_us),
            alerts: Family::default(),
            commit_seconds: from_a_ms(),
            commits_failed: Counter::default(),
            committing: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// Whether tenants are told apart from now on. Where that changes, counting begins anew.
    pub(crate) fn tell_tenants(&self, apart: bool) {
        if self.is_one.swap(!apart, Ordering::Relaxed) == apart {
            self.polls.clear();
            self.duplicates.clear();
            self.alerts.clear();
        }
    }

    /// The labels of something of a tenant's.
    fn of(&self, tenant: &str, labels: &[(&'static str, &str)]) -> Labels {
        let tenant = [("tenant", tenant)]
            .into_iter()
            .filter(|_| !self.is_one.load(Ordering::Relaxed));
        let all = tenant.chain(labels.iter().copied());
        all.map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// Duo is about to be asked.
    pub(crate) fn asks(&self) {
        if self.first_poll.get().is_none() {
            let after = self.began.elapsed();
            if self.first_poll.set(after).is_ok() {
                tracing::info!(ms = after.as_millis(), "first poll");
            }
        }
    }

    /// From the start of the process to the first poll; none: Duo has not been asked yet.
    pub(crate) fn first_poll(&self) -> Option<Duration> {
        self.first_poll.get().copied()
    }

    /// Duo has answered, or not.
    pub(crate) fn answered<T>(&self, tenant: &str, log: Log, took: Duration, answer: &Result<T, DuoError>) {
        let code = answer.as_ref().map_or_else(code, |_| "200".to_owned());
        let labels = self.of(tenant, &[("stream", log.as_str()), ("code", &code)]);
        self.polls.get_or_create(&labels).inc();
        let labels = vec![("stream", log.as_str().to_owned())];
        self.poll_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Has somebody told whose journal took a page.
    pub(crate) fn tell_of_pages(&self, tell: Tell) {
        // There is one daemon, which asks once.
        let _ = self.pages.set(tell);
    }

    /// The journal took a page, of whose rows it knew so many, or it took nothing.
    pub(crate) fn admitted(&self, tenant: &str, log: &str, known: Result<usize, &str>) {
        if known.is_ok()
            && let Some(tell) = self.pages.get()
        {
            (tell.0)(tenant);
        }
        let mut refused = lock(&self.refused);
        match known {
            Ok(known) => {
                *refused = None;
                if known > 0 {
                    let labels = self.of(tenant, &[("stream", log)]);
                    self.duplicates.get_or_create(&labels).inc_by(known as u64);
                }
            }
            Err(why) => {
                let since = refused.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                *refused = Some((since, why.to_owned()));
            }
        }
    }

    /// Alerts are on their way to the disk.
    pub(crate) fn alert(&self, tenant: &str, rule: &str, severity: Severity) {
        let labels = self.of(tenant, &[("rule", rule), ("severity", severity.as_str())]);
        self.alerts.get_or_create(&labels).inc();
    }

    /// Told by the store of each of its commits.
    pub(crate) fn hook(self: &Arc<Self>) -> Hook {
        let sight = self.clone();
        Hook(Arc::new(move |moment| {
            let mut committing = lock(&sight.committing);
            match moment {
                Moment::BeforeCommit { .. } => {
                    // The one before never came to its end.
                    if committing.replace(Instant::now()).is_some() {
                        sight.commits_failed.inc();
                    }
                }
                Moment::AfterCommit { .. } => {
                    if let Some(since) = committing.take() {
                        sight.commit_seconds.observe(since.elapsed().as_secs_f64());
                    }
                }
            }
            Ok(())
        }))
    }

    /// The daemon goes round.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heartbeat.store(now, Ordering::Relaxed);
    }

    /// How long it has not.
    fn silence(&self) -> Duration {
        let beat = Duration::from_millis(self.heartbeat.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(beat)
    }

    /// What is counted here, to be written out.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("duo");
        registry.register(
            "poll_requests",
            "Requests to Duo, by what came of them",
            self.polls.clone(),
        );
        registry.register(
            "poll_duration_seconds",
            "How long Duo took to answer",
            self.poll_seconds.clone(),
        );
        registry.register(
            "events_duplicate",
            "Rows that Duo sent again, and the journal had: mostly the overlap that is read on purpose",
            self.duplicates.clone(),
        );
        registry.register("rule_evaluations", "Calls of a rule", self.rule_calls.clone());
        registry.register(
            "rule_duration_seconds",
            "How long a call of a rule took",
            self.rule_seconds.clone(),
        );
        registry.register(
            "alerts",
            "Alerts raised, repeats, historic, shadow and suppressed ones not counted",
            self.alerts.clone(),
        );
        registry.register(
            "store_commit_seconds",
            "How long the disk took to make a commit durable",
            self.commit_seconds.clone(),
        );
        registry.register(
            "store_commit_failures",
            "Commits whose outcome was unknown: they were read back and done again",
            self.commits_failed.clone(),
        );
        registry
    }
}

/// A short word for what Duo's answer was.
fn code(error: &DuoError) -> String {
    match error {
        DuoError::Unauthorized { .. } | DuoError::ClockSkew { .. } => "401".to_owned(),
        DuoError::Forbidden { .. } => "403".to_owned(),
        DuoError::NotFound { .. } => "404".to_owned(),
        DuoError::BadRequest { .. } => "400".to_owned(),
        DuoError::RateLimited { .. } => "429".to_owned(),
        DuoError::Server { status, .. } | DuoError::Redirected { status, .. } => status.to_string(),
        DuoError::NotJson { .. } | DuoError::Malformed { .. } => "malformed".to_owned(),
        DuoError::Transport { .. } => "unreachable".to_owned(),
    }
}
