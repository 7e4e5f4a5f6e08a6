//! What a set of rules consists of, in words that outlive it: so that somebody can ask next year what judged on a certain day.
//!
//! It is noted in the store when the set has taken over, beside the generation's number, which alerts carry. What makes another
//! generation and says nothing of the rules (new tables of the inventory) is no other composition.

use picket_store::GenerationRow;
use serde_json::{Value, json};

use super::{RuleSet, RuleSpec};
use crate::alerts::parameters;
use crate::rule::{Mode, OnPoison};

/// The rules of a set that began to judge as this generation at this time (wall clock, ms).
pub(super) fn row(set: &RuleSet, number: u64, since: i64) -> GenerationRow {
    let mut rules: Vec<&RuleSpec> = set.rules.iter().collect();
    rules.sort_by(|one, other| one.manifest.id.cmp(&other.manifest.id));
    let json: Value = rules.into_iter().map(rule).collect();
    GenerationRow {
        number,
        since,
        json: json.to_string().into(),
    }
}

fn rule(spec: &RuleSpec) -> Value {
    let (manifest, terms) = (&spec.manifest, &spec.terms);
    let exceptions = terms.exceptions.iter().map(|exception| exception.json());
    json!({
        "id": manifest.id,
        "version": manifest.version,
        "module": *spec.module,
        "state_version": manifest.state.version,
        "mode": match terms.mode {
            Mode::Active => "active",
            Mode::Shadow => "shadow",
            Mode::Paused => "paused",
        },
        "severity": terms.severity.unwrap_or(manifest.severity),
        "dedup_ms": terms.dedup_period_ms.unwrap_or(manifest.dedup_period_ms),
        "parameters": parameters(manifest, &spec.params),
        "exceptions": exceptions.collect::<Vec<_>>(),
        "on_poison": match terms.on_poison {
            OnPoison::Quarantine => "quarantine",
            OnPoison::Skip => "skip",
        },
        "limits": *terms.limits,
    })
}
