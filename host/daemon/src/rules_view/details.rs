//! What `--verbose` adds of one rule.

use std::collections::BTreeMap;

use picket_contract::RuleManifest;
use picket_judge::gap_words;
use picket_sandbox::Module;
use picket_store::{AlertFilter, PoisonRow, RuleRow, Store};
use serde_json::{Value, json};

use super::Seen;
use crate::config::TenantConfig;
use crate::when;

/// The limits in force, and the most that was used of them.
pub(super) fn limits_and_use(rule: &RuleManifest, module: &Module, seen: Seen<'_>) -> serde_json::Map<String, Value> {
    let limits = module.limits;
    let highest = module.highest(&rule.id);
    let counts = seen.counts.map(|counts| counts.of(&rule.id));
    let value = json!({
        "limits": {
            "fuel": limits.fuel,
            "memory_bytes": limits.memory_bytes,
            "alerts": limits.alerts.call,
            "log_lines": limits.log.lines,
            "state_bytes": limits.state.total_bytes,
            "state_entries": limits.state.entries,
        },
        "highest": {
            "calls": highest.calls,
            "fuel": highest.fuel,
            "memory_bytes": highest.memory,
            "alerts": highest.alerts,
            "log_lines": highest.log_lines,
            "state_bytes": highest.state_bytes,
            "state_entries": highest.state_entries,
        },
        "counts": counts,
        "late_calls": seen.late.get(&rule.id).copied().unwrap_or_default(),
    });
    match value {
        Value::Object(object) => object,
        _ => serde_json::Map::new(),
    }
}

/// Where the rule stands still and why, what it failed on, what it missed, and what it raised in shadow.
pub(super) fn failures(
    rule: &RuleManifest,
    tenants: &[&TenantConfig],
    progress: &BTreeMap<&str, Vec<RuleRow>>,
    poison: &BTreeMap<&str, Vec<PoisonRow>>,
    store: &dyn Store,
) -> anyhow::Result<serde_json::Map<String, Value>> {
    let (mut quarantines, mut gaps, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut shadow = 0;
    for tenant in tenants {
        let id = tenant.id.as_str();
        let of_rule = progress.get(id).into_iter().flatten();
        for row in of_rule.filter(|row| *row.rule == *rule.id && row.state_version == rule.state.version) {
            if let Some(quarantine) = &row.standing.quarantine {
                quarantines.push(json!({
                    "tenant": id,
                    "code": quarantine.code,
                    "report": quarantine.report,
                    "event": quarantine.event,
                    "since": when::rfc3339(quarantine.since),
                    "attempts": quarantine.attempts,
                    "next_probe": when::rfc3339(quarantine.retry_at),
                }));
            }
            for gap in &row.standing.gaps {
                gaps.push(json!({
                    "tenant": id,
                    "log": gap.log,
                    "from": gap.from.map(when::rfc3339),
                    "to": when::rfc3339(gap.to),
                    "found": when::rfc3339(gap.found),
                    "text": gap_words(gap),
                }));
            }
        }
        let failed_on = poison.get(id).into_iter().flatten();
        for row in failed_on.filter(|row| *row.rule == *rule.id) {
            rows.push(json!({
                "tenant": id,
                "log": row.log,
                "event": row.event,
                "code": row.code,
                "reason": row.reason,
                "time": when::rfc3339(row.time),
                "fate": row.fate,
            }));
        }
        let filter = AlertFilter {
            rule: Some(rule.id.clone()),
            shadow: true,
            ..AlertFilter::default()
        };
        shadow += store.alerts(id, &filter)?.len();
    }
    let value = json!({"quarantines": quarantines, "gaps": gaps, "poison": rows, "shadow_alerts": shadow});
    Ok(match value {
        Value::Object(object) => object,
        _ => serde_json::Map::new(),
    })
}
