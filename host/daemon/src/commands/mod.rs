//! The verbs that only read: the store, a running daemon, or files.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backfill;
pub(crate) mod check;
pub(crate) mod except;
pub(crate) mod in_force;
pub(crate) mod incidents;
pub(crate) mod logs;
pub(crate) mod noise;
pub(crate) mod outbox;
pub(crate) mod replay;
pub(crate) mod rule_list;
pub(crate) mod rule_sign;
pub(crate) mod rule_test;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod tenant;
pub(crate) mod timeline;
pub(crate) mod versions;

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::bail;
use picket_store::{EventFilter, SqliteStore, Store as _, StoredEvent};

use crate::accounts;
use crate::config::{Config, edits};

/// The store, to read only: beside a running daemon or without one.
///
/// # Errors
/// There is none yet, or it cannot be read.
pub(crate) fn store(config: &Config) -> anyhow::Result<SqliteStore> {
    Ok(SqliteStore::open_read_only(&config.data_dir)?)
}

/// The configuration with the children of parents' keys as the store remembers them, so that a verb needs no network to know
/// them. Children that are gone are among them: what is stored of them can still be read.
pub(crate) fn with_children(mut config: Config) -> Config {
    if config.parents.is_empty() {
        return config;
    }
    let Ok(store) = store(&config) else { return config };
    for parent in config.parents.clone() {
        let children = accounts::remembered(&store, &parent.id).unwrap_or_default();
        config.tenants.extend(children.iter().map(|child| child.whole(&parent)));
    }
    config
}

/// The tenants that a verb is about: the one named, or all.
///
/// # Errors
/// There is no such tenant.
pub(crate) fn tenants(config: &Config, named: Option<&str>) -> anyhow::Result<Vec<Arc<str>>> {
    let all: Vec<Arc<str>> = config.tenants.iter().map(|tenant| tenant.id.as_str().into()).collect();
    let Some(named) = named else { return Ok(all) };
    if !all.iter().any(|tenant| **tenant == *named) {
        bail!("there is no tenant `{named}`; {}", those_near(named, all));
    }
    Ok(vec![named.into()])
}

/// The logs that a verb is about are logs of Duo's.
///
/// # Errors
/// One is not.
pub(crate) fn known_logs(logs: &[String]) -> anyhow::Result<()> {
    let Some(log) = logs.iter().find(|log| !picket_event::logs().any(|name| name == *log)) else {
        return Ok(());
    };
    let names: Vec<&str> = picket_event::logs().collect();
    bail!("--log {log}: there is no such log; the logs are {}", names.join(", "));
}

/// Which tenants there are: of many, those whose ids are the most like the one named.
fn those_near(named: &str, mut all: Vec<Arc<str>>) -> String {
    const MOST: usize = 10;
    let count = all.len();
    if count <= MOST {
        return format!("there are: {}", all.join(", "));
    }
    all.sort_by_key(|id| edits(named, id));
    all.truncate(MOST);
    format!("of the {count} there are, the nearest: {}", all.join(", "))
}

/// Events of a tenant's own journal and of its backfills, oldest first. Numbers are each journal's own.
///
/// # Errors
/// The store's.
pub(crate) fn search(store: &SqliteStore, tenant: &str, filter: &EventFilter) -> anyhow::Result<Vec<StoredEvent>> {
    let mut events = store.search(tenant, filter)?;
    for segment in store.segments(tenant)? {
        events.extend(store.search(&segment, filter)?);
    }
    events.sort_by_key(|event| (event.event.time, event.seq));
    // What the tenant read after a backfill had is held twice.
    let mut shown = HashSet::new();
    events.retain(|event| shown.insert((event.log.clone(), event.event.id.clone())));
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_tenants_the_nearest_are_named() {
        let all = |count: usize| {
            (0..count)
                .map(|number| format!("customer-{number:03}").into())
                .collect()
        };
        assert_eq!(those_near("x", all(2)), "there are: customer-000, customer-001");
        let near = those_near("custmer-512", all(1000));
        assert!(
            near.starts_with("of the 1000 there are, the nearest: customer-512, "),
            "{near}"
        );
        assert!(near.len() < 250, "{near}");
    }
}
