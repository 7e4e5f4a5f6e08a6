//! How one rule stands over the tenants it judges, and what it is let read.

use std::collections::BTreeMap;

use picket_contract::RuleManifest;
use picket_judge::Mode;
use picket_store::RuleRow;

use crate::config::{Permissions, TenantConfig};
use crate::registry::Live;

/// What the operator lets a rule read.
pub(super) struct Sight {
    /// It judges nobody, because it cannot do without what it is refused.
    pub(super) is_blind: bool,
    /// What is refused it, and why.
    pub(super) words: String,
}

impl Sight {
    pub(super) fn of(live: &Live, rule: &RuleManifest, tenants: &[&TenantConfig]) -> Self {
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

pub(super) fn is_off(tenant: &TenantConfig, rule: &str) -> bool {
    tenant.overrides.get(rule).is_some_and(|own| own.enabled == Some(false))
}

/// How a rule stands over the tenants it judges: state, reason, and the tenants with whom it is in trouble.
pub(super) fn standing(
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
    let on_duty: Vec<(&str, Mode)> = tenants
        .iter()
        .filter(|tenant| !is_off(tenant, rule))
        .map(|tenant| (tenant.id.as_str(), mode(tenant, rule)))
        .collect();
    let all = |wanted: Mode| !on_duty.is_empty() && on_duty.iter().all(|(_, mode)| *mode == wanted);
    let state = match () {
        () if !troubled.is_empty() => "quarantined",
        () if all(Mode::Shadow) => "shadow",
        () if all(Mode::Paused) => "paused",
        () => "active",
    };
    if state == "active" || state == "quarantined" {
        for (tenant, mode) in &on_duty {
            match mode {
                Mode::Active => {}
                Mode::Shadow => reasons.push(format!("{tenant}: in shadow")),
                Mode::Paused => reasons.push(format!("{tenant}: paused")),
            }
        }
    }
    for (field, count) in unreadable {
        reasons.push(format!("unreadable: {count}, {field} null"));
    }
    (state, reasons.join("; "), troubled)
}

fn mode(tenant: &TenantConfig, rule: &str) -> Mode {
    let own = tenant.overrides.get(rule);
    own.and_then(|own| own.mode).unwrap_or_default()
}
