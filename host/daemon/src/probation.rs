//! New versions, watched for a while after they have taken over.
//!
//! What a shadow run cannot know is what comes next. So every failure of a version that took another's place is counted until
//! its time is over; past the limit it is taken back. Failures are heard when they are committed: the rule stands right before
//! the row by then, and whatever goes on from there misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use picket_judge::{Outcome, Trouble};
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
    /// After so many failures it is taken back.
    pub(crate) limit: u32,
    /// In words, the first ones.
    pub(crate) failures: Vec<String>,
}

impl Probation {
    /// Watches a version; the one of the file before is watched no more.
    pub(crate) fn begin(&self, path: &Path, digest: Arc<str>, until: i64, limit: u32) {
        let watched = Watched {
            digest,
            until,
            limit: limit.max(1),
            failures: Vec::new(),
        };
        lock(&self.watched).insert(path.to_owned(), watched);
    }

    /// The version of this file is watched no more.
    pub(crate) fn end(&self, path: &Path) {
        lock(&self.watched).remove(path);
    }

    /// Digests of all that are watched.
    pub(crate) fn digests(&self) -> BTreeSet<Arc<str>> {
        lock(&self.watched)
            .values()
            .map(|watched| watched.digest.clone())
            .collect()
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
            self.due.notify_one();
        }
    }

    /// Waits until a version has failed too often.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Those that have failed too often; they are watched no more.
    pub(crate) fn failed(&self) -> Vec<(PathBuf, Watched)> {
        self.take(is_failed)
    }

    /// Those whose time is over; they are watched no more.
    pub(crate) fn over(&self, now: i64) -> Vec<(PathBuf, Watched)> {
        self.take(|watched| watched.until <= now && !is_failed(watched))
    }

    fn take(&self, is_wanted: impl Fn(&Watched) -> bool) -> Vec<(PathBuf, Watched)> {
        let mut all = lock(&self.watched);
        all.extract_if(.., |_, watched| is_wanted(watched)).collect()
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
        probation.begin(Path::new("a.wasm"), "sha256:new".into(), 1000, 2);
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
        assert!(probation.digests().is_empty());
    }

    #[test]
    fn what_did_not_fail_in_time_is_kept() {
        let probation = Probation::default();
        probation.begin(Path::new("a.wasm"), "sha256:1".into(), 1000, 1);
        probation.begin(Path::new("b.wasm"), "sha256:2".into(), 2000, 1);
        probation.end(Path::new("c.wasm"));
        assert_eq!(probation.over(1000).len(), 1);
        assert_eq!(probation.digests(), BTreeSet::from(["sha256:2".into()]));
        probation.hear("acme", &trouble("sha256:1", "divide-by-zero", Outcome::Quarantined));
        assert_eq!(probation.failed(), []);
    }
}
