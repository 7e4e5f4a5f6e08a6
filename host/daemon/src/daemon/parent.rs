//! Following the list of an Accounts API key: new children begin, removed ones end, without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
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

/// Who reads the list of one parent's key.
pub(super) struct Follower {
    parent: ParentConfig,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Has the list of each of these read, where nobody does yet.
    pub(super) fn follow(self: &Arc<Self>, parents: Vec<ParentConfig>) {
        let mut followers = lock(&self.followers);
        for parent in parents {
            let id = parent.id.clone();
            followers.entry(id).or_insert_with(|| {
                let stop = self.fleet.shared().shutdown.child_token();
                let task = tokio::spawn(follow(self.clone(), parent.clone(), stop.clone()));
                Follower { parent, stop, task }
            });
        }
    }

    /// Has the lists of the others read no more; when this returns, nobody acts on them.
    pub(super) async fn stop_following(&self, keep: impl Fn(&ParentConfig) -> bool) {
        let gone: Vec<Follower> = {
            let mut followers = lock(&self.followers);
            let (kept, gone) = std::mem::take(&mut *followers)
                .into_iter()
                .partition(|(_, one)| keep(&one.parent));
            *followers = kept;
            let gone: BTreeMap<String, Follower> = gone;
            gone.into_values().collect()
        };
        for follower in gone {
            follower.stop.cancel();
            let _ = follower.task.await;
        }
    }
}

/// Reads the list again and again.
async fn follow(daemon: Arc<Daemon>, parent: ParentConfig, shutdown: CancellationToken) {
    let usual = Duration::from_millis(u64::try_from(parent.interval).unwrap_or(3_600_000));
    let mut pause = FIRST_PAUSE.min(usual);
    let mut said = Repeated::default();
    loop {
        let listed = tokio::select! {
            listed = list(&daemon, &parent) => listed,
            () = shutdown.cancelled() => return,
        };
        // From here on it is carried through: a tenant that is half begun is nobody's.
        let read = match listed {
            Ok(listed) => act(&daemon, &parent, listed).await,
            Err(error) => Err(error),
        };
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
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Asks once.
async fn list(daemon: &Daemon, parent: &ParentConfig) -> anyhow::Result<Vec<Listed>> {
    let account = Account::open(&parent.source, &daemon.fleet.shared().transports)?;
    account.children().await
}

/// Acts on the answer: how many children there are, and how many of them are skipped.
async fn act(daemon: &Daemon, parent: &ParentConfig, listed: Vec<Listed>) -> anyhow::Result<(usize, usize)> {
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
