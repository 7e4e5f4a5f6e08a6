//! Which rules wait for a log that is behind.

use std::sync::Arc;

use picket_collect::LogHealth;
use picket_duo::Log;

use crate::registry::Live;

/// The logical log of administrators' actions, which two of Duo's feed.
const ADMIN: &str = "admin";

/// Rules that read this log and others too, and are kept waiting by it alone; by id.
pub(super) fn by(health: &LogHealth, live: &[Arc<Live>]) -> Vec<String> {
    if !health.holds_others {
        return Vec::new();
    }
    let feeds_admin = matches!(health.log, Log::Activity | Log::Administrator);
    let reads = |log: &str| log == health.log.journal() || (feeds_admin && log == ADMIN);
    let rules = live.iter().flat_map(|live| &live.rules);
    let waiting = rules.filter(|(rule, _)| {
        let logs = rule.logs();
        logs.len() > 1 && logs.iter().any(|log| reads(log))
    });
    waiting.map(|(rule, _)| rule.id.clone()).collect()
}
