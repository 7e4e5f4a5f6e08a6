//! A rule's answer, checked and brought into the host's form. Text is cut to its caps, since an attacker's long device name
//! must not take a rule down; wrong numbers (too many alerts, evidence that cannot be) make the answer malformed.

use std::collections::HashMap;

use picket_contract::{About, Batch, RuleAlert};

use crate::limits::AlertLimits;
use crate::text;
use crate::wire;

/// Times an alert may have, ms: what RFC 3339 can write.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_370_764_800_000;

/// Alerts that may go on, or why the answer is malformed.
pub(crate) fn check(alerts: Vec<wire::Alert>, batch: &Batch, limits: &AlertLimits) -> Result<Vec<RuleAlert>, String> {
    if alerts.len() > limits.call {
        return Err(format!(
            "{} alerts in one call, at most {} allowed",
            alerts.len(),
            limits.call
        ));
    }
    let evidence: usize = alerts.iter().map(|alert| alert.evidence.len()).sum();
    if evidence > limits.call_evidence {
        return Err(format!(
            "{evidence} pieces of evidence in one call, at most {} allowed",
            limits.call_evidence
        ));
    }
    let mut by_row: HashMap<u64, usize> = HashMap::new();
    let mut checked = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let raised = by_row.entry(alert.raised_by).or_default();
        *raised += 1;
        if *raised > limits.row {
            return Err(format!(
                "more than {} alerts raised by one row ({})",
                limits.row, alert.raised_by
            ));
        }
        checked.push(check_one(alert, batch, limits).map_err(|problem| format!("an alert {problem}"))?);
    }
    Ok(checked)
}

fn check_one(alert: wire::Alert, batch: &Batch, limits: &AlertLimits) -> Result<RuleAlert, String> {
    let title = text::clean(alert.title.trim(), limits.title_bytes);
    if title.trim().is_empty() {
        return Err("without a title".to_owned());
    }
    if alert.evidence.is_empty() {
        return Err(format!(
            "without evidence (“{title}”): name at least the row that raised it"
        ));
    }
    if alert.evidence.len() > limits.evidence {
        let found = alert.evidence.len();
        return Err(format!(
            "with {found} pieces of evidence (“{title}”), at most {} allowed",
            limits.evidence
        ));
    }
    if alert.evidence.contains(&0) {
        return Err(format!("with 0 as evidence (“{title}”), which is no row's number"));
    }
    let in_batch = |number| batch.groups.iter().any(|group| group.events.contains(&number));
    if !alert.evidence.contains(&alert.raised_by) && !in_batch(alert.raised_by) {
        return Err(format!(
            "raised by {}, which is neither in the batch nor evidence (“{title}”)",
            alert.raised_by
        ));
    }
    if alert.facts.len() > limits.facts {
        return Err(format!(
            "with {} facts (“{title}”), at most {} allowed",
            alert.facts.len(),
            limits.facts
        ));
    }
    if !TIMES.contains(&alert.time) {
        return Err(format!(
            "at {} ms (“{title}”), which is outside the years 1 to 9999",
            alert.time
        ));
    }
    let fact = |text: &str| text::clean(text, limits.fact_bytes);
    Ok(RuleAlert {
        dedup_key: alert.dedup_key.map(|key| text::key(key, limits.key_bytes)),
        severity: alert.severity.map(Into::into),
        time: alert.time,
        about: alert.about.map(|about| About {
            kind: text::key(about.kind, 64),
            key: text::key(about.key, limits.key_bytes),
            name: fact(&about.name),
        }),
        facts: alert
            .facts
            .iter()
            .map(|(name, value)| (fact(name), fact(value)))
            .collect(),
        evidence: alert.evidence,
        raised_by: alert.raised_by,
        title,
    })
}
