//! `picket check`: configuration, rules, one signed call for each account and log, sinks.
//!
//! What is well is printed as it is found, what is wrong at the end, the worst last, and then how many of each. Several
//! accounts are asked at once; of one account one thing after another, each once, so that a check takes next to nothing of
//! the rate that Duo grants. An account whose key, host or network is wrong is asked no further.

mod online;
mod report;
mod sinks;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::account::Transports;
use crate::accounts;
use crate::cli::Format;
use crate::config::{Config, ParentConfig, TenantConfig};
use crate::registry::{Registry, Terms};
use crate::{ruleset, when};
use online::{Probed, list, no_secret, probe};
use report::{Finding, Report};
pub(crate) use sinks::Sending;

/// Accounts asked at once.
const AT_ONCE: usize = 16;
/// A clock further off than this makes signatures fail sooner or later, ms.
const SKEW: i64 = 60_000;

/// Checks everything; true: nothing is wrong. `known`: the configuration with the children that the store remembers.
///
/// # Errors
/// The sandbox cannot be started, or a sink is named that is not there.
pub(crate) async fn run(
    config: &Config,
    known: &Config,
    offline: bool,
    sending: Sending<'_>,
    format: Format,
) -> anyhow::Result<bool> {
    let mut report = Report::new(format);
    report.add(Finding::ok(format!("configuration {}", config.path.display())));
    for warning in &config.warnings {
        report.add(Finding::warning(
            format!("configuration {}", config.path.display()),
            warning.to_string(),
        ));
    }
    let registry = Registry::new(Terms::of(config), config.sandbox.start(None)?);
    let what = format!("rules directory {}", config.rules_dir.display());
    report.add(match registry.scan() {
        Ok(_) => Finding::ok(what),
        Err(error) => Finding::wrong(what, format!("{error}; make it, or copy the stock rules there")),
    });
    for (path, slot) in registry.slots().iter() {
        let cases = slot.live.as_ref().map_or(0, |live| live.cases);
        let what = format!(
            "module {} ({cases} {} pass)",
            path.display(),
            when::plural(cases, "case")
        );
        report.add(match &slot.refusal {
            None => Finding::ok(what),
            Some(refusal) => Finding::wrong(what, refusal.reason.clone()),
        });
    }
    let mut tenants = config.tenants.clone();
    let transports = Arc::new(Transports::default());
    if offline {
        tenants.clone_from(&known.tenants);
    } else {
        for parent in &config.parents {
            tenants.extend(children(parent, &tenants, known, &transports, &mut report).await);
        }
    }
    for stray in registry.strays(tenants.iter().map(|tenant| tenant.id.as_str())) {
        report.add(Finding::warning(
            format!("rules directory {}", config.rules_dir.display()),
            stray,
        ));
    }
    for tenant in &tenants {
        let live = registry.live(&tenant.id);
        let wrong = ruleset::rules(&live, &tenant.into()).err().unwrap_or_default();
        for (_, text) in ruleset::stale(&live, tenant) {
            let what = format!("{}: rules, parameters and exceptions", tenant.id);
            let advice =
                "a module was updated, or this is a slip of the pen; nothing else is kept from working".to_owned();
            report.add(Finding {
                advice: Some(advice),
                ..Finding::warning(what, format!("does not apply: {text}"))
            });
        }
        let what = format!("{}: rules and parameters", tenant.id);
        report.add(if wrong.is_empty() {
            Finding::ok(what)
        } else {
            Finding::wrong(what, wrong.join("\n"))
        });
        if offline {
            let what = format!("{}: secret key", tenant.id);
            report.add(match tenant.source.secret.read() {
                Ok(_) => Finding::ok(what),
                Err(why) => no_secret(&what, why),
            });
        }
    }
    sinks::look(config, sending, &mut report).await?;
    if !offline {
        ask(tenants, &transports, &mut report).await;
    }
    Ok(report.end())
}

/// Asks every account, and holds this machine's clock against Duo's.
async fn ask(tenants: Vec<TenantConfig>, transports: &Arc<Transports>, report: &mut Report) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for tenant in tenants {
        let (slots, transports) = (slots.clone(), transports.clone());
        asking.spawn(async move {
            let _slot = slots.acquire().await;
            probe(&tenant, &transports).await
        });
    }
    let mut worst: Option<i64> = None;
    while let Some(ended) = asking.join_next().await {
        let Ok(Probed { account, skew_ms }) = ended else {
            continue;
        };
        report.account(account);
        worst = [worst, skew_ms].into_iter().flatten().max_by_key(|skew| skew.abs());
    }
    if let Some(skew) = worst {
        let what = "this machine's clock".to_owned();
        report.add(if skew.abs() <= SKEW {
            Finding::ok(what)
        } else {
            Finding {
                kind: Some(picket_duo::Kind::Clock.as_str()),
                advice: Some("set it right (NTP; `timedatectl status` tells whether it is synchronised)".to_owned()),
                ..Finding::wrong(what, picket_duo::clock_is_off(skew))
            }
        });
    }
}

/// The children of a parent's key as they are now; if it does not answer, as they were.
async fn children(
    parent: &ParentConfig,
    tenants: &[TenantConfig],
    known: &Config,
    transports: &Transports,
    report: &mut Report,
) -> Vec<TenantConfig> {
    let what = format!("{} at {}: list of accounts", parent.id, parent.source.api_hostname);
    match list(parent, transports).await {
        Ok(listed) => {
            let remembered = super::store(known)
                .ok()
                .and_then(|store| accounts::remembered(&store, &parent.id).ok());
            let taken: BTreeSet<String> = tenants.iter().map(|tenant| tenant.id.clone()).collect();
            let children = accounts::joined(remembered.unwrap_or_default(), &listed, parent, &taken, when::now());
            let wanted: Vec<TenantConfig> = children.iter().filter_map(|child| child.tenant(parent)).collect();
            let count = wanted.len();
            report.add(Finding::ok(format!(
                "{what}: {count} {}",
                when::plural(count, "account")
            )));
            for unknown in parent
                .children
                .keys()
                .filter(|id| !listed.iter().any(|child| child.account_id == **id))
            {
                report.add(Finding::warning(
                    what.clone(),
                    format!("`accounts` names {unknown}, which the key does not list"),
                ));
            }
            wanted
        }
        Err(finding) => {
            report.add(Finding { what, ..*finding });
            let own: BTreeSet<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
            let host = &parent.source.integration_key;
            let is_child =
                |tenant: &&TenantConfig| tenant.source.account_id.is_some() && tenant.source.integration_key == *host;
            let children = known.tenants.iter().filter(is_child);
            children
                .filter(|tenant| !own.contains(tenant.id.as_str()))
                .cloned()
                .collect()
        }
    }
}
