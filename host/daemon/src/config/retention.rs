//! `retention:`: for how long what is kept, and how much room it may take.
//!
//! The defaults: events as long as Duo itself keeps them (180 days), alerts and records for 400 days, so that last year can be
//! compared with this; no bound by size but the disk's. `forever` keeps.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;
use super::problem::nearest;
use crate::config::tenant::Checker;
use crate::sizes;

const DAY: i64 = 86_400_000;
/// The longest that a number stands for, ms; beyond it, `forever`.
const LONGEST: i64 = 36_500 * DAY;

/// What is kept of a tenant. Spans are ms; none: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Events of logs of which nothing else is said, by their own time.
    pub(crate) events: Option<i64>,
    /// Events of single logs.
    pub(crate) logs: BTreeMap<String, Option<i64>>,
    /// Alerts that are over and delivered.
    pub(crate) alerts: Option<i64>,
    /// What all of it may take on the disk, bytes.
    pub(crate) quota: Option<u64>,
}

impl Retention {
    /// How long events of a log are kept, ms; none: for ever.
    pub(crate) fn of(&self, log: &str) -> Option<i64> {
        self.logs.get(log).copied().unwrap_or(self.events)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            events: Some(180 * DAY),
            logs: BTreeMap::new(),
            alerts: Some(400 * DAY),
            quota: None,
        }
    }
}

/// What is kept of all tenants together. Spans are ms; none: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// The audit log, what judged when, and what became of versions.
    pub(crate) records: Option<i64>,
    /// What all events may take, packed, bytes: the oldest give way.
    pub(crate) size: Option<u64>,
    /// With less than this free on its disk Picket stops asking Duo, bytes. None: a twentieth of the disk, 1 GB at most.
    pub(crate) min_free: Option<u64>,
}

impl Default for Keeping {
    fn default() -> Self {
        Keeping {
            records: Some(400 * DAY),
            size: None,
            min_free: None,
        }
    }
}

/// The section of a tenant's file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionFile {
    events: Option<Spanned<String>>,
    #[serde(default)]
    logs: BTreeMap<String, Spanned<String>>,
    alerts: Option<Spanned<String>>,
    quota: Option<Spanned<String>>,
}

/// The section of `picket.yaml`, as written: what holds for each tenant of which nothing else is said, and for all together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepingFile {
    events: Option<Spanned<String>>,
    #[serde(default)]
    logs: BTreeMap<String, Spanned<String>>,
    alerts: Option<Spanned<String>>,
    quota: Option<Spanned<String>>,
    records: Option<Spanned<String>>,
    size: Option<Spanned<String>>,
    min_free: Option<Spanned<String>>,
}

impl Checker<'_> {
    /// A tenant's section over what holds otherwise.
    pub(super) fn retention(
        &self,
        file: &RetentionFile,
        otherwise: &Retention,
        problems: &mut Vec<Problem>,
    ) -> Retention {
        let mut logs = otherwise.logs.clone();
        for (log, given) in &file.logs {
            if !picket_event::logs().any(|known| known == log) {
                let near = nearest(log, picket_event::logs());
                let all: Vec<&str> = picket_event::logs().collect();
                let what = format!("retention: there is no log `{log}`");
                let hint = format!("{near}The logs are {}", all.join(", "));
                problems.push(self.problem(given.referenced, what).hint(hint));
            }
            logs.insert(log.clone(), self.kept("logs", Some(given), otherwise.of(log), problems));
        }
        Retention {
            events: self.kept("events", file.events.as_ref(), otherwise.events, problems),
            logs,
            alerts: self.kept("alerts", file.alerts.as_ref(), otherwise.alerts, problems),
            quota: self.amount("quota", file.quota.as_ref(), otherwise.quota, problems),
        }
    }

    /// The section of `picket.yaml`.
    pub(super) fn keeping(&self, file: KeepingFile, problems: &mut Vec<Problem>) -> (Retention, Keeping) {
        let default = Keeping::default();
        let keeping = Keeping {
            records: self.kept("records", file.records.as_ref(), default.records, problems),
            size: self.amount("size", file.size.as_ref(), default.size, problems),
            min_free: self.amount("min_free", file.min_free.as_ref(), default.min_free, problems),
        };
        let of_tenants = RetentionFile {
            events: file.events,
            logs: file.logs,
            alerts: file.alerts,
            quota: file.quota,
        };
        (self.retention(&of_tenants, &Retention::default(), problems), keeping)
    }

    fn kept(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
        otherwise: Option<i64>,
        problems: &mut Vec<Problem>,
    ) -> Option<i64> {
        let Some(written) = given else { return otherwise };
        if written.value == "forever" {
            return None;
        }
        match picket_contract::params::span(&written.value) {
            Ok(span) if (DAY..=LONGEST).contains(&span) => Some(span),
            outcome => {
                let what = match outcome {
                    Ok(_) => format!("retention: {key}: {} is out of range", written.value),
                    Err(error) => format!("retention: {key}: {error}"),
                };
                let hint = "from 1d to 36500d, as 180d; or forever";
                problems.push(self.problem(written.referenced, what).hint(hint));
                otherwise
            }
        }
    }

    fn amount(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
        otherwise: Option<u64>,
        problems: &mut Vec<Problem>,
    ) -> Option<u64> {
        const LEAST: u64 = 100_000;
        let Some(written) = given else { return otherwise };
        match sizes::parsed(&written.value) {
            Ok(bytes) if bytes >= LEAST => return Some(bytes),
            Ok(_) => {
                let what = format!("retention: {key}: {} is too little", written.value);
                problems.push(self.problem(written.referenced, what).hint("100kB at least, as 2GB"));
            }
            Err(error) => problems.push(self.problem(written.referenced, format!("retention: {key}: {error}"))),
        }
        otherwise
    }
}
