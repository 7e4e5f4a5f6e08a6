//! Every rule and how it stands: what `picket rule list` shows.

use std::collections::BTreeMap;
use std::path::Path;

use picket_contract::RuleManifest;
use picket_store::{RuleRow, Store};
use serde_json::{Value, json};

use crate::config::{Permissions, TenantConfig};
use crate::daemon::{Daemon, lock};
use crate::registry::{Live, Registry, Slot};
use crate::warming::{Histories, Warming};
use crate::when;

/// Of a running daemon.
///
/// # Errors
/// The store's.
pub(crate) fn of(daemon: &Daemon) -> anyhow::Result<Vec<Value>> {
    let refused: BTreeMap<String, Vec<String>> = daemon
        .fleet
        .running()
        .iter()
        .map(|tenant| (tenant.config.id.clone(), lock(&tenant.refused).clone()))
        .collect();
    let running = daemon.fleet.running();
    let tenants: Vec<&TenantConfig> = running.iter().map(|tenant| &tenant.config).collect();
    let mut histories = BTreeMap::new();
    for tenant in &running {
        let of = Histories::of(&*daemon.store, &tenant.config.id, Some(&lock(&tenant.paces)))?;
        histories.insert(tenant.config.id.clone(), of);
    }
    list(&tenants, &daemon.registry, &*daemon.store, &refused, &histories)
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
) -> anyhow::Result<Vec<Value>> {
    let mut progress: BTreeMap<&str, Vec<RuleRow>> = BTreeMap::new();
    for tenant in configured {
        progress.insert(&tenant.id, store.rules(&tenant.id)?);
    }
    let mut rules: Vec<(u8, Value)> = Vec::new();
    for (path, slot) in registry.slots().iter() {
        if let Some(refusal) = &slot.refusal {
            let still = slot
                .live
                .as_ref()
                .map(|live| format!(" (what ran before still runs: {})", live.module.digest));
            let reason = format!("{}{}", refusal.reason, still.unwrap_or_default());
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            rules.push((0, row(id, path, "", "rejected", &reason, &refusal.digest, &[], &[])));
        }
        let Some(live) = &slot.live else { continue };
        let tenants: Vec<&TenantConfig> = configured
            .iter()
            .copied()
            .filter(|tenant| slot.scope.covers(&tenant.id))
            .collect();
        for rule in &live.module.manifest.rules {
            let (mut state, mut reason, troubled) =
                standing(&rule.id, rule.state.version, &tenants, &progress, refused);
            let warming = tenants
                .iter()
                .filter(|tenant| !is_off(tenant, &rule.id))
                .filter_map(|tenant| histories.get(&tenant.id)?.of_rule(rule))
                .reduce(Warming::later)
                .filter(|_| state == "active");
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
                object.insert("severity".to_owned(), json!(rule.severity));
                object.insert("cases".to_owned(), json!(live.cases));
                if let Some(warming) = warming {
                    object.insert("percent".to_owned(), json!(warming.percent));
                    object.insert("ready".to_owned(), json!(warming.ready.map(when::rfc3339)));
                }
            }
            rules.push((rank, value));
        }
    }
    rules.sort_by_key(|(rank, _)| *rank);
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
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

/// What the operator lets a rule read.
struct Sight {
    /// It judges nobody, because it cannot do without what it is refused.
    is_blind: bool,
    /// What is refused it, and why.
    words: String,
}

impl Sight {
    fn of(live: &Live, rule: &RuleManifest, tenants: &[&TenantConfig]) -> Self {
        let mut words: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let none = Permissions::new();
        let told = tenants.iter().map(|tenant| (tenant.id.as_str(), &tenant.permissions));
        // Without a tenant it is told what holds for all.
        let told: Vec<(&str, &Permissions)> = if tenants.is_empty() {
            vec![("", &none)]
        } else {
            told.collect()
        };
        let mut blind = 0;
        for (tenant, permissions) in &told {
            let permission = live.permission(permissions);
            let refusals = permission.refusals(rule);
            blind += usize::from(!refusals.is_empty());
            let absences = if refusals.is_empty() {
                permission.absences(rule)
            } else {
                Vec::new()
            };
            for sentence in refusals.into_iter().chain(absences) {
                words.entry(sentence).or_default().push(tenant);
            }
        }
        let said = words.into_iter().map(|(sentence, of)| {
            if of.len() == told.len() {
                sentence
            } else {
                format!("{}: {sentence}", of.join(", "))
            }
        });
        Sight {
            is_blind: blind == told.len(),
            words: said.collect::<Vec<_>>().join("; "),
        }
    }
}

fn is_off(tenant: &TenantConfig, rule: &str) -> bool {
    tenant.overrides.get(rule).is_some_and(|own| own.enabled == Some(false))
}

/// How a rule stands over the tenants it judges: state, reason, and the tenants with whom it is in trouble.
fn standing(
    rule: &str,
    state_version: u32,
    tenants: &[&TenantConfig],
    progress: &BTreeMap<&str, Vec<RuleRow>>,
    refused: &BTreeMap<String, Vec<String>>,
) -> (&'static str, String, Vec<String>) {
    if !tenants.is_empty() && tenants.iter().all(|tenant| is_off(tenant, rule)) {
        return ("off", "switched off in the configuration".to_owned(), Vec::new());
    }
    let mut reasons = Vec::new();
    let mut troubled = Vec::new();
    let mut unreadable: BTreeMap<String, u64> = BTreeMap::new();
    for tenant in tenants {
        for why in refused.get(&tenant.id).into_iter().flatten() {
            reasons.push(format!("{}: the newest rules are not in force: {why}", tenant.id));
            troubled.push(tenant.id.clone());
        }
        let rows = progress.get(tenant.id.as_str()).into_iter().flatten();
        for row in rows.filter(|row| *row.rule == *rule && row.state_version == state_version) {
            if let Some(quarantine) = &row.standing.quarantine {
                let event = quarantine
                    .event
                    .as_ref()
                    .map_or(String::new(), |event| format!(" on event {event}"));
                reasons.push(format!("{}: {}{event}", tenant.id, quarantine.reason));
                troubled.push(tenant.id.clone());
            }
            for (field, count) in &row.standing.unreadable {
                *unreadable.entry(field.clone()).or_default() += count;
            }
        }
    }
    let state = if troubled.is_empty() { "active" } else { "quarantined" };
    for (field, count) in unreadable {
        reasons.push(format!("unreadable: {count}, {field} null"));
    }
    (state, reasons.join("; "), troubled)
}
