//! Every rule and how it stands: what `picket rule list` shows.

mod details;
mod standing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use picket_contract::{RuleManifest, Severity};
use picket_store::{PoisonRow, RuleRow, Store};
use serde_json::{Value, json};

use crate::config::TenantConfig;
use crate::counts::Counts;
use crate::daemon::{Daemon, lock};
use crate::registry::{Candidate, Registry, Slot};
use crate::warming::{Histories, Warming};
use crate::{ruleset, when};
use details::{failures, limits_and_use};
use standing::{Sight, is_off, standing};

/// Of a running daemon.
///
/// # Errors
/// The store's.
pub(crate) fn of(daemon: &Daemon, verbose: bool) -> anyhow::Result<Vec<Value>> {
    let refused: BTreeMap<String, Vec<String>> = daemon
        .fleet
        .running()
        .iter()
        .map(|tenant| (tenant.id.to_string(), lock(&tenant.refused).clone()))
        .collect();
    let running = daemon.fleet.running();
    let configs: Vec<Arc<TenantConfig>> = running.iter().map(|tenant| tenant.config()).collect();
    let tenants: Vec<&TenantConfig> = configs.iter().map(|config| &**config).collect();
    let mut histories = BTreeMap::new();
    for tenant in &running {
        let of = Histories::of(&*daemon.store, &tenant.id, Some(&lock(&tenant.paces)))?;
        histories.insert(tenant.id.to_string(), of);
    }
    let late = daemon.engine.late_calls();
    let seen = Seen {
        counts: Some(&daemon.counts),
        late: &late,
    };
    let details = verbose.then_some(seen);
    list(
        &tenants,
        &daemon.registry,
        &*daemon.store,
        &refused,
        &histories,
        details,
    )
}

/// What a daemon has seen of its rules since it started.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// None: no daemon runs.
    pub(crate) counts: Option<&'a Counts>,
    /// Late calls, by rule.
    pub(crate) late: &'a BTreeMap<String, u64>,
}

/// One object for each rule (and for each module that was refused), the worst first.
///
/// # Errors
/// The store's.
pub(crate) fn list(
    configured: &[&TenantConfig],
    registry: &Registry,
    store: &dyn Store,
    refused: &BTreeMap<String, Vec<String>>,
    histories: &BTreeMap<String, Histories>,
    details: Option<Seen<'_>>,
) -> anyhow::Result<Vec<Value>> {
    let mut progress: BTreeMap<&str, Vec<RuleRow>> = BTreeMap::new();
    for tenant in configured {
        progress.insert(&tenant.id, store.rules(&tenant.id)?);
    }
    let mut poison: BTreeMap<&str, Vec<PoisonRow>> = BTreeMap::new();
    if details.is_some() {
        for tenant in configured {
            poison.insert(&tenant.id, store.poison(&tenant.id)?);
        }
    }
    let mut learning = BTreeMap::new();
    for tenant in configured {
        learning.insert(tenant.id.as_str(), picket_judge::pipeline::learning(store, &tenant.id)?);
    }
    let now = when::now();
    let pauses = registry.pauses();
    let mut rules: Vec<(u8, Value)> = Vec::new();
    let mut stale = stale(configured, registry);
    for (path, slot) in registry.slots().iter() {
        if let Some(refusal) = &slot.refusal {
            let still = slot
                .live
                .as_ref()
                .map(|live| format!(" (what ran before still runs: {})", live.module.digest));
            let reason = format!("{}{}", refusal.reason, still.unwrap_or_default());
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let mut value = row(id, path, "", "rejected", &reason, &refusal.digest, &[], &[]);
            if let Value::Object(object) = &mut value {
                object.insert("code".to_owned(), json!(refusal.code));
            }
            rules.push((0, value));
        }
        rules.extend(to_come(path, slot).map(|value| (1, value)));
        let Some(live) = &slot.live else { continue };
        let tenants: Vec<&TenantConfig> = configured
            .iter()
            .copied()
            .filter(|tenant| slot.scope.covers(&tenant.id))
            .collect();
        for rule in &live.module.manifest.rules {
            let (mut state, mut reason, troubled) =
                standing(&rule.id, rule.state.version, &tenants, &progress, refused);
            if let Some(pause) = pauses
                .get(&rule.id)
                .filter(|_| state != "off" && state != "quarantined")
            {
                state = "paused";
                let why = if pause.reason.is_empty() { "" } else { ": " };
                let words = format!(
                    "by {} since {}{why}{}",
                    pause.by,
                    when::rfc3339(pause.since),
                    pause.reason
                );
                reason = if reason.is_empty() {
                    words
                } else {
                    format!("{words}; {reason}")
                };
            }
            let warming = tenants
                .iter()
                .filter(|tenant| !is_off(tenant, &rule.id))
                .filter_map(|tenant| histories.get(&tenant.id)?.of_rule(rule))
                .reduce(Warming::later)
                .filter(|_| state == "active");
            let learns_until = tenants
                .iter()
                .filter_map(|tenant| {
                    learning
                        .get(&*tenant.id)?
                        .get(&(rule.id.clone(), rule.state.version))
                        .copied()
                })
                .filter(|until| *until > now)
                .max()
                .filter(|_| state == "active");
            if let Some(until) = learns_until.filter(|_| warming.is_none()) {
                let learns = format!(
                    "it looked back as far as the journal goes, which is less than it wants: it learns until {}",
                    when::rfc3339(until)
                );
                state = "learning";
                reason = [learns, reason]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join("; ");
            }
            if warming.is_some() {
                let learns = "it reads its logs' past first; alerts of live events follow";
                state = "warming";
                reason = if reason.is_empty() {
                    learns.to_owned()
                } else {
                    format!("{learns}; {reason}")
                };
            }
            let sight = Sight::of(live, rule, &tenants);
            if sight.is_blind && state != "off" {
                state = "blind";
            }
            reason = [reason, sight.words]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; ");
            let useless = stale.remove(&Some(rule.id.clone())).unwrap_or_default();
            if !useless.is_empty() {
                let told = format!("does not apply: {}", useless.join("; "));
                reason = if reason.is_empty() {
                    told
                } else {
                    format!("{reason}; {told}")
                };
            }
            let logs: Vec<&str> = rule.logs();
            let mut fields: Vec<&str> = rule
                .sources
                .iter()
                .flat_map(|source| &source.fields)
                .map(|field| field.path.as_str())
                .collect();
            fields.sort_unstable();
            fields.dedup();
            let rank = if state == "active" { 2 } else { 1 };
            let mut value = row(
                &rule.id,
                path,
                &rule.version,
                state,
                &reason,
                &live.module.digest,
                &logs,
                &fields,
            );
            if let Value::Object(object) = &mut value {
                object.insert("tenants".to_owned(), json!(scope(slot)));
                object.insert("troubled".to_owned(), json!(troubled));
                object.insert("severity".to_owned(), json!(severity(&tenants, rule)));
                object.insert("does_not_apply".to_owned(), json!(useless));
                object.insert("cases".to_owned(), json!(live.cases));
                object.insert("signed".to_owned(), json!(live.signed.by));
                if let Some(warming) = warming {
                    object.insert("percent".to_owned(), json!(warming.percent));
                    object.insert("ready".to_owned(), json!(warming.ready.map(when::rfc3339)));
                }
                if let Some(seen) = details {
                    object.extend(limits_and_use(rule, &live.module, seen));
                    object.extend(failures(rule, &tenants, &progress, &poison, store)?);
                }
            }
            rules.push((rank, value));
        }
    }
    // What is said of rules that nobody has.
    for (id, useless) in stale {
        let reason = format!("does not apply: {}", useless.join("; "));
        let id = id.unwrap_or_else(|| "(exceptions)".to_owned());
        let mut value = row(&id, Path::new(""), "", "off", &reason, "", &[], &[]);
        if let Value::Object(object) = &mut value {
            object.insert("does_not_apply".to_owned(), json!(useless));
        }
        rules.push((1, value));
    }
    rules.sort_by_key(|(rank, _)| *rank);
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
}

/// What the operator says of rules that does not apply, by the rule that it is about; each sentence once.
fn stale(configured: &[&TenantConfig], registry: &Registry) -> BTreeMap<Option<String>, Vec<String>> {
    let mut stale: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    let says = configured
        .iter()
        .filter(|tenant| !tenant.overrides.is_empty() || !tenant.exceptions.is_empty());
    for tenant in says {
        for (rule, text) in ruleset::stale(&registry.live(&tenant.id), tenant) {
            let of_rule = stale.entry(rule).or_default();
            if !of_rule.contains(&text) {
                of_rule.push(text);
            }
        }
    }
    stale
}

/// The operator's word, where it is the same for all whom the rule judges; else the rule's.
fn severity(tenants: &[&TenantConfig], rule: &RuleManifest) -> Severity {
    let said = |tenant: &&TenantConfig| tenant.overrides.get(&rule.id).and_then(|own| own.severity);
    let mut all = tenants.iter().map(said);
    let first = all.next().flatten();
    first
        .filter(|first| all.all(|other| other == Some(*first)))
        .unwrap_or(rule.severity)
}

/// A version that is being tried, is in shadow, or waits for somebody to decide.
fn to_come(path: &Path, slot: &Slot) -> Option<Value> {
    let of = |candidate: &Candidate| {
        let rules = candidate.live.module.manifest.rules.iter();
        let rules: Vec<(String, String)> = rules.map(|rule| (rule.id.clone(), rule.version.clone())).collect();
        (candidate.live.module.digest.to_string(), rules)
    };
    let (digest, rules, reason) = match (&slot.candidate, &slot.shadowing, &slot.waiting) {
        (Some(candidate), _, _) => {
            let (digest, rules) = of(candidate);
            (digest, rules, "it is tried on stored events".to_owned())
        }
        (None, Some(shadow), _) => {
            let (digest, rules) = of(&shadow.candidate);
            (
                digest,
                rules,
                format!("since {}: {}", when::rfc3339(shadow.since), shadow.words()),
            )
        }
        (None, None, Some(waiting)) => {
            let reason = format!("since {}: {}", when::rfc3339(waiting.since), waiting.reason);
            (waiting.digest.clone(), waiting.rules.clone(), reason)
        }
        (None, None, None) => return None,
    };
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut versions: Vec<&str> = rules
        .iter()
        .map(|(_, version): &(String, String)| version.as_str())
        .collect();
    versions.dedup();
    let mut value = row(id, path, &versions.join(", "), "shadow", &reason, &digest, &[], &[]);
    if let Value::Object(object) = &mut value {
        let waits = slot.candidate.is_none() && slot.shadowing.is_none();
        object.insert("waits".to_owned(), json!(waits));
        if let Some(shadow) = slot.shadowing.as_ref().filter(|_| slot.candidate.is_none()) {
            object.insert("until".to_owned(), json!(when::rfc3339(shadow.until)));
        }
    }
    Some(value)
}

fn scope(slot: &Slot) -> String {
    match &slot.scope {
        crate::registry::Scope::All => "all".to_owned(),
        crate::registry::Scope::Tenant(tenant) => tenant.clone(),
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "the columns that scripts rely on, in one place"
)]
fn row(
    id: &str,
    path: &Path,
    version: &str,
    state: &str,
    reason: &str,
    digest: &str,
    logs: &[&str],
    fields: &[&str],
) -> Value {
    json!({
        "id": id,
        "module": path.display().to_string(),
        "version": version,
        "state": state,
        "reason": reason,
        "digest": digest,
        "logs": logs,
        "fields": fields,
    })
}
