//! What rules did since the daemon started, counted: for `picket rule list --verbose`, and for whoever exports metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use picket_contract::Severity;
use picket_judge::pipeline::{Logged, Observe, PipelineError};
use picket_judge::{Outcome, Said, Trouble};
use serde::Serialize;

use crate::daemon::lock;
use crate::probation::Probation;
use crate::sight::Sight;

/// Of every rule and tenant. Hears what happens while judging, and has it logged.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    rules: Mutex<BTreeMap<Arc<str>, OfTenant>>,
    /// New versions that are watched.
    pub(crate) probation: Probation,
    logged: Logged,
    /// What is counted for machines that watch; none: nobody does.
    sight: Option<Arc<Sight>>,
}

/// What each rule did for one tenant.
type OfTenant = BTreeMap<Arc<str>, RuleCounts>;

/// What one rule did, for one tenant or for several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RuleCounts {
    /// Fuel burnt.
    pub(crate) fuel: u64,
    /// Lines logged and kept.
    pub(crate) log_lines: u64,
    /// Lines logged past the limit, and dropped.
    pub(crate) log_dropped: u64,
    /// Failures that stopped it or cost a row, by code.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    /// Rows left out.
    pub(crate) skipped: u64,
    /// How often it was quarantined, failed probes included.
    pub(crate) quarantined: u64,
    /// Gaps found.
    pub(crate) gaps: u64,
}

impl RuleCounts {
    fn add(&mut self, other: &RuleCounts) {
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.log_lines += other.log_lines;
        self.log_dropped += other.log_dropped;
        for (code, count) in &other.failures {
            *self.failures.entry(code).or_default() += count;
        }
        self.skipped += other.skipped;
        self.quarantined += other.quarantined;
        self.gaps += other.gaps;
    }
}

impl Counts {
    /// Nothing yet; alerts are counted there, too.
    pub(crate) fn watched(sight: Arc<Sight>) -> Self {
        Counts {
            sight: Some(sight),
            ..Counts::default()
        }
    }

    /// Of one rule, over all tenants.
    pub(crate) fn of(&self, rule: &str) -> RuleCounts {
        let mut all = RuleCounts::default();
        for tenant in lock(&self.rules).values() {
            if let Some(counts) = tenant.get(rule) {
                all.add(counts);
            }
        }
        all
    }

    /// Of every rule, over all tenants.
    pub(crate) fn all(&self) -> BTreeMap<Arc<str>, RuleCounts> {
        let mut all: BTreeMap<Arc<str>, RuleCounts> = BTreeMap::new();
        for tenant in lock(&self.rules).values() {
            for (rule, counts) in tenant {
                all.entry(rule.clone()).or_default().add(counts);
            }
        }
        all
    }

    fn change(&self, tenant: &str, rule: &Arc<str>, change: impl FnOnce(&mut RuleCounts)) {
        let mut rules = lock(&self.rules);
        if let Some(counts) = rules.get_mut(tenant).and_then(|tenant| tenant.get_mut(rule)) {
            return change(counts);
        }
        change(rules.entry(tenant.into()).or_default().entry(rule.clone()).or_default());
    }
}

impl Observe for Counts {
    fn trouble(&self, tenant: &str, trouble: &Trouble) {
        self.change(tenant, &trouble.rule, |counts| match trouble.outcome {
            Outcome::Missed => counts.gaps += 1,
            Outcome::Skipped => {
                *counts.failures.entry(trouble.code).or_default() += 1;
                counts.skipped += 1;
            }
            Outcome::Quarantined => {
                *counts.failures.entry(trouble.code).or_default() += 1;
                counts.quarantined += 1;
            }
        });
        self.probation.hear(tenant, trouble);
        self.logged.trouble(tenant, trouble);
    }

    fn said(&self, tenant: &str, said: &Said) {
        self.change(tenant, &said.rule, |counts| {
            counts.fuel = counts.fuel.saturating_add(said.usage.fuel);
            counts.log_lines += said.lines.len() as u64;
            counts.log_dropped += said.usage.log_dropped;
        });
        self.probation.judged(tenant, said);
        self.logged.said(tenant, said);
    }

    fn alert(&self, tenant: &str, rule: &str, severity: Severity) {
        if let Some(sight) = &self.sight {
            sight.alert(tenant, rule, severity);
        }
    }

    fn interrupted(&self, tenant: &str, error: &PipelineError) {
        self.logged.interrupted(tenant, error);
    }
}
