//! Following the list of an Accounts API key: new children begin, removed ones end, without a restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Daemon, lock};
use crate::account::Account;
use crate::accounts::{self, Child, Listed};
use crate::config::{ParentConfig, TenantConfig};
use crate::repeated::Repeated;
use crate::when;

/// After a failure the list is asked for again so much later, doubling up to the usual interval.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// How a parent's key stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParentHealth {
    /// When the list was last read, ms since the Unix epoch.
    pub(crate) last_success: Option<i64>,
    /// What is wrong since then, and what to do.
    pub(crate) trouble: Option<String>,
    /// Children that are listed, and how many of those the configuration skips; none: not listed since the start.
    pub(crate) children: Option<(usize, usize)>,
    /// When the list is read next, ms since the Unix epoch.
    pub(crate) next: Option<i64>,
}

/// Reads the list again and again.
pub(super) async fn follow(daemon: Arc<Daemon>, parent: ParentConfig, shutdown: CancellationToken) {
    let usual = Duration::from_millis(u64::try_from(parent.interval).unwrap_or(3_600_000));
    let mut pause = FIRST_PAUSE.min(usual);
    let mut said = Repeated::default();
    loop {
        let read = read(&daemon, &parent).await;
        let trouble = read.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(text) = said.worth_saying(trouble.clone()) {
            tracing::error!(parent = %parent.id, "the list of accounts: {text}; those known are collected");
        }
        let wait = if trouble.is_none() { usual } else { pause };
        pause = if trouble.is_none() {
            FIRST_PAUSE.min(usual)
        } else {
            (pause * 2).min(usual)
        };
        {
            let mut parents = lock(&daemon.parents);
            let health = parents.entry(parent.id.clone()).or_default();
            let now = when::now();
            if let Ok(children) = read {
                health.last_success = Some(now);
                health.children = Some(children);
            }
            health.trouble = trouble;
            health.next = Some(now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = daemon.parents_wanted.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Asks once and acts on the answer: how many children there are, and how many of them are skipped.
async fn read(daemon: &Daemon, parent: &ParentConfig) -> anyhow::Result<(usize, usize)> {
    let account = Account::open(&parent.source, &daemon.fleet.shared().transports)?;
    let listed = account.children().await?;
    let store = daemon.store.clone();
    let (id, of, taken) = (parent.id.clone(), parent.clone(), taken(daemon, parent));
    let (before, children) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let before = accounts::remembered(&*store, &id)?;
        let children = accounts::joined(before.clone(), &listed, &of, &taken, when::now());
        if children != before {
            accounts::remember(&*store, &id, &children)?;
        }
        Ok((before, children))
    })
    .await??;
    let wanted: Vec<TenantConfig> = children.iter().filter_map(|child| child.tenant(parent)).collect();
    for child in &before {
        let now = children.iter().find(|now| now.account_id == child.account_id);
        // Moved, renamed or of another id: it begins anew as what it is now.
        let is_same = now == Some(child);
        if !is_same || !wanted.iter().any(|tenant| tenant.id == child.tenant) {
            daemon.fleet.stop(&child.tenant).await;
        }
    }
    daemon.fleet.start(wanted).await;
    let listed: Vec<&Child> = children.iter().filter(|child| child.gone.is_none()).collect();
    let skipped = listed.iter().filter(|child| child.tenant(parent).is_none()).count();
    Ok((listed.len(), skipped))
}

/// Ids of tenants that are not this parent's children.
fn taken(daemon: &Daemon, parent: &ParentConfig) -> BTreeSet<String> {
    let config = daemon.config();
    let own = config.tenants.iter().map(|tenant| tenant.id.clone());
    let parents = config.parents.iter().map(|other| other.id.clone());
    let others = config.parents.iter().filter(|other| other.id != parent.id);
    let children = others.flat_map(|other| accounts::remembered(&*daemon.store, &other.id).unwrap_or_default());
    own.chain(parents).chain(children.map(|child| child.tenant)).collect()
}

impl From<picket_duo::ChildAccount> for Listed {
    fn from(child: picket_duo::ChildAccount) -> Self {
        Listed {
            account_id: child.account_id,
            api_hostname: child.api_hostname,
            name: child.name,
        }
    }
}
