//! New versions, watched for a while after they have taken over.
//!
//! What a shadow run cannot know is what comes next. So every failure of a version that took another's place is counted until
//! its time is over (and it has judged so many batches, if the operator says so: a quiet hour shows nothing); past the limit it
//! is taken back. Failures are heard when they are committed: the rule stands right before the row by then, and whatever goes
//! on from there misses nothing. The rule that failed judges no further batch; other rules of its module may, until the version
//! before has taken over, which is counted and told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use picket_judge::{Outcome, Said, Trouble};
use tokio::sync::Notify;

use crate::daemon::lock;

/// Failures that say nothing of the version.
const NOT_ITS_FAULT: [&str; 2] = ["host", "state-quota"];

/// All versions that are watched.
#[derive(Debug, Default)]
pub(crate) struct Probation {
    watched: Mutex<BTreeMap<PathBuf, Watched>>,
    /// Somebody has failed often enough.
    due: Notify,
}

/// A version that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) digest: Arc<str>,
    /// Wall clock, ms.
    pub(crate) until: i64,
    /// It is watched for longer than that until it has judged so many batches.
    pub(crate) least: u64,
    /// After so many failures it is taken back.
    pub(crate) limit: u32,
    /// Batches judged, by tenant and rule.
    judged: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// Of these, how many there were when it had failed too often.
    at_limit: Option<u64>,
    /// Somebody takes it back.
    is_taken: bool,
    /// In words, the first ones.
    pub(crate) failures: Vec<String>,
}

impl Watched {
    /// Batches of events that it has judged: of each tenant those of the rule that had most.
    pub(crate) fn batches(&self) -> u64 {
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        for ((tenant, _), batches) in &self.judged {
            let of = most.entry(tenant).or_default();
            *of = (*of).max(*batches);
        }
        most.values().sum()
    }

    /// Batches judged after the failure that was one too many.
    pub(crate) fn since_limit(&self) -> u64 {
        let at_limit = self.at_limit.unwrap_or_else(|| self.batches());
        self.batches().saturating_sub(at_limit)
    }
}

impl Probation {
    /// Watches a version; the one of the file before is watched no more. `least`: batches that it has to judge meanwhile.
    pub(crate) fn begin(&self, path: &Path, digest: Arc<str>, (until, least): (i64, u64), limit: u32) {
        let watched = Watched {
            digest,
            until,
            least,
            limit: limit.max(1),
            judged: BTreeMap::new(),
            at_limit: None,
            is_taken: false,
            failures: Vec::new(),
        };
        lock(&self.watched).insert(path.to_owned(), watched);
    }

    /// The version of this file is watched no more.
    pub(crate) fn end(&self, path: &Path) -> Option<Watched> {
        lock(&self.watched).remove(path)
    }

    /// Digests of all that are watched.
    pub(crate) fn digests(&self) -> BTreeSet<Arc<str>> {
        lock(&self.watched)
            .values()
            .map(|watched| watched.digest.clone())
            .collect()
    }

    /// A rule has judged a batch of a tenant's events.
    pub(crate) fn judged(&self, tenant: &str, said: &Said) {
        let mut all = lock(&self.watched);
        let Some(watched) = all.values_mut().find(|watched| watched.digest == said.module) else {
            return;
        };
        let of = (Arc::from(tenant), said.rule.clone());
        *watched.judged.entry(of).or_default() += 1;
    }

    /// A rule has failed for a tenant.
    pub(crate) fn hear(&self, tenant: &str, trouble: &Trouble) {
        if trouble.outcome == Outcome::Missed || NOT_ITS_FAULT.contains(&trouble.code) {
            return;
        }
        let mut all = lock(&self.watched);
        let Some(watched) = all.values_mut().find(|watched| watched.digest == trouble.module) else {
            return;
        };
        if is_failed(watched) {
            return;
        }
        let event = trouble.event.as_ref();
        let event = event.map_or(String::new(), |event| format!(" on event {event}"));
        let said = format!("{} failed for {tenant}{event}: {}", trouble.rule, trouble.reason);
        watched.failures.push(said);
        if is_failed(watched) {
            watched.at_limit = Some(watched.batches());
            self.due.notify_one();
        }
    }

    /// Waits until a version has failed too often.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Those that have failed too often, each once. What they judge is counted until [`Probation::end`].
    pub(crate) fn failed(&self) -> Vec<(PathBuf, Watched)> {
        let mut all = lock(&self.watched);
        let failed = all
            .iter_mut()
            .filter(|(_, watched)| is_failed(watched) && !watched.is_taken);
        let taken = failed.map(|(path, watched)| {
            watched.is_taken = true;
            (path.clone(), watched.clone())
        });
        taken.collect()
    }

    /// Those whose time is over; they are watched no more.
    pub(crate) fn over(&self, now: i64) -> Vec<(PathBuf, Watched)> {
        let mut all = lock(&self.watched);
        let is_over =
            |watched: &Watched| watched.until <= now && watched.batches() >= watched.least && !is_failed(watched);
        all.extract_if(.., |_, watched| is_over(watched)).collect()
    }
}

fn is_failed(watched: &Watched) -> bool {
    watched.failures.len() >= watched.limit as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(module: &str, code: &'static str, outcome: Outcome) -> Trouble {
        Trouble {
            rule: "r".into(),
            module: module.into(),
            code,
            reason: "integer divide by zero".to_owned(),
            report: String::new(),
            event: Some("e1".into()),
            outcome,
        }
    }

    #[test]
    fn only_failures_of_the_version_that_is_watched_count() {
        let probation = Probation::default();
        probation.begin(Path::new("a.wasm"), "sha256:new".into(), (1000, 0), 2);
        let quarantined = |module| trouble(module, "divide-by-zero", Outcome::Quarantined);
        probation.hear("acme", &quarantined("sha256:old"));
        probation.hear("acme", &trouble("sha256:new", "gap", Outcome::Missed));
        probation.hear("acme", &trouble("sha256:new", "host", Outcome::Quarantined));
        probation.hear("acme", &trouble("sha256:new", "state-quota", Outcome::Quarantined));
        probation.hear("acme", &quarantined("sha256:new"));
        assert_eq!((probation.failed(), probation.over(999)), (Vec::new(), Vec::new()));
        probation.hear("globex", &trouble("sha256:new", "divide-by-zero", Outcome::Skipped));
        probation.hear("globex", &quarantined("sha256:new"));
        assert_eq!(probation.over(5000), [], "what failed is not over");
        let (path, watched) = probation.failed().remove(0);
        assert_eq!(path, Path::new("a.wasm"));
        assert_eq!(
            watched.failures,
            [
                "r failed for acme on event e1: integer divide by zero",
                "r failed for globex on event e1: integer divide by zero"
            ]
        );
        assert_eq!(probation.failed(), [], "once");
        assert!(probation.end(Path::new("a.wasm")).is_some() && probation.digests().is_empty());
    }

    #[test]
    fn a_version_is_watched_until_it_has_judged_enough_and_told_of_what_it_judged_when_it_had_failed() {
        let probation = Probation::default();
        probation.begin(Path::new("a.wasm"), "sha256:1".into(), (1000, 3), 1);
        let batch = |tenant, rule: &str, module: &str| {
            let said = Said {
                rule: rule.into(),
                module: module.into(),
                lines: Vec::new(),
                usage: picket_contract::Usage::default(),
            };
            probation.judged(tenant, &said);
        };
        // Two rules of one page are one batch; another version's are none.
        for (tenant, rule, module) in [
            ("acme", "r", "sha256:1"),
            ("acme", "s", "sha256:1"),
            ("acme", "r", "sha256:1"),
            ("acme", "r", "sha256:0"),
        ] {
            batch(tenant, rule, module);
        }
        assert_eq!(probation.over(5000), [], "two batches of three");
        probation.hear("acme", &trouble("sha256:1", "divide-by-zero", Outcome::Quarantined));
        let failed = probation.failed().remove(0).1;
        assert_eq!((failed.batches(), failed.since_limit()), (2, 0));
        batch("acme", "s", "sha256:1");
        batch("globex", "s", "sha256:1");
        let ended = probation.end(Path::new("a.wasm")).unwrap();
        assert_eq!(
            (ended.batches(), ended.since_limit()),
            (3, 1),
            "of acme, s had one less than r"
        );

        probation.begin(Path::new("a.wasm"), "sha256:1".into(), (1000, 1), 1);
        batch("acme", "r", "sha256:1");
        assert_eq!((probation.over(999).len(), probation.over(1000).len()), (0, 1));
    }

    #[test]
    fn what_did_not_fail_in_time_is_kept() {
        let probation = Probation::default();
        probation.begin(Path::new("a.wasm"), "sha256:1".into(), (1000, 0), 1);
        probation.begin(Path::new("b.wasm"), "sha256:2".into(), (2000, 0), 1);
        probation.end(Path::new("c.wasm"));
        assert_eq!(probation.over(1000).len(), 1);
        assert_eq!(probation.digests(), BTreeSet::from(["sha256:2".into()]));
        probation.hear("acme", &trouble("sha256:1", "divide-by-zero", Outcome::Quarantined));
        assert_eq!(probation.failed(), []);
    }
}
