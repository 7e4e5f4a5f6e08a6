//! The alert as JSON, schema `picket.alert/1`.

use std::fmt::Write as _;

use picket_contract::manifest::ParamType;
use picket_contract::params::show_span;
use picket_contract::{About, ParamValue, Params, RuleManifest};
use picket_event::{clean, masked_row_text, own_id, rfc3339};
use picket_store::{AlertRow, Kin};
use serde_json::{Value, json};

use super::entities::outcome;
use super::{Proof, Raised, SCHEMA, Teller, severity};
use crate::incidents::Joined;

/// Duo holds events back for two minutes, and a poll may come two minutes later: up to here a delay is ordinary.
const ORDINARY_MS: i64 = 5 * 60_000;
/// Most lines of a timeline. The first and the last are kept; in between it is told how many are left out.
const MOST_LINES: usize = 60;

impl Teller<'_> {
    pub(super) fn json(
        &self,
        raised: &Raised,
        about: Option<&About>,
        proofs: &[Proof<'_>],
        joined: Option<&Joined>,
    ) -> String {
        let (rule, manifest, alert) = (self.rule, &self.rule.manifest, &raised.alert);
        let times = || proofs.iter().map(|proof| proof.event.event.time);
        let first = times().min().unwrap_or(alert.time);
        let last = times().max().unwrap_or(alert.time).max(alert.time);
        let (outcome, to) = outcome(proofs);
        let facts: serde_json::Map<String, Value> = alert
            .facts
            .iter()
            .map(|(name, value)| (clean(name).into_owned(), clean(value).into_owned().into()))
            .collect();
        let told = json!({
            "schema": SCHEMA,
            "id": *raised.id,
            "kind": if self.replay { "replay" } else { "live" },
            "tenant": {"id": *self.tenant.id, "name": *self.tenant.name, "timezone": *self.tenant.timezone},
            "rule": {
                "id": manifest.id,
                "version": manifest.version,
                "title": manifest.title,
                "module": *rule.module,
                "generation": self.generation,
            },
            "severity": severity(rule, alert),
            "attack": {"version": *rule.attack_version, "techniques": manifest.attack},
            "title": clean(&alert.title),
            "outcome": outcome,
            "outcome_to": to,
            "time": rfc3339(alert.time),
            "happened": {"first": rfc3339(first), "last": rfc3339(last)},
            "raised": rfc3339(self.now),
            "historic": self.is_historic(raised),
            "delay": self.delay(raised, last),
            "dedup_key": clean(&raised.dedup_key),
            "about": about.map(|about| json!({
                "kind": clean(&about.kind), "key": clean(&about.key), "name": clean(&about.name),
            })),
            "entities": self.entities(proofs),
            // Only what came before, as with the entities: how far else it has read depends on how rows were cut into calls.
            "known_since": self.acquaintance.since().filter(|since| *since < first).map(rfc3339),
            "facts": facts,
            "parameters": parameters(manifest, &rule.params),
            "timeline": timeline(raised, proofs),
            "check": manifest.check,
            "act": manifest.act,
            "false_positives": manifest.false_positives,
            "links": self.links(about, proofs),
            "repeats": 0,
            "events": proofs.iter().map(|proof| own_id(&proof.event.log, &proof.event.event.id)).collect::<Vec<_>>(),
        });
        // Members are written as they come. The rows are most of it, and nobody needs them as a tree.
        let mut text = told.to_string();
        self.raw(proofs, &mut text);
        if let Some(person) = self.person(about, proofs) {
            member("user", &json!(person), &mut text);
        }
        if let Some(joined) = joined {
            part_of(joined, &mut text);
        }
        if self.is_shadow() {
            member("shadow", &true.into(), &mut text);
        }
        // What people may see of the numbers whose pseudonyms stand in the alert.
        let phones = self.tenant.mask.legend(&text);
        if !phones.is_empty() {
            member("phones", &json!(phones), &mut text);
        }
        if let Some(exception) = &raised.exception {
            member("suppressed", &exception.json(), &mut text);
        }
        text
    }

    /// The rows as received, but for their phone numbers; kept as long as the alert.
    fn raw(&self, proofs: &[Proof<'_>], text: &mut String) {
        text.pop();
        text.push_str(",\"raw\":[");
        for (place, proof) in proofs.iter().enumerate() {
            let (log, raw) = (&proof.event.log, &proof.event.event.raw);
            let row = match self.clear_numbers {
                true => serde_json::from_str(raw)
                    .unwrap_or_else(|_| Value::from(&**raw))
                    .to_string(),
                false => masked_row_text(log, raw, &self.tenant.mask),
            };
            let (log, id) = (Value::from(&**log), Value::from(&*proof.event.event.id));
            let comma = if place == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{{\"log\":{log},\"id\":{id},\"row\":{row}}}");
        }
        text.push_str("]}");
    }

    /// What a replay raises is not late: its events may be of last spring.
    fn delay(&self, raised: &Raised, last: i64) -> Value {
        if self.replay {
            return Value::Null;
        }
        let seconds = (self.now.saturating_sub(last) / 1000).max(0);
        json!({"seconds": seconds, "because": self.because(raised, last)})
    }

    fn because(&self, raised: &Raised, last: i64) -> &'static str {
        match self.now.saturating_sub(last) {
            _ if self.is_historic(raised) => self.historic.why(),
            _ if raised.late => "a row of the evidence came late",
            ..=ORDINARY_MS => "Duo publishes after 2 minutes",
            _ => "backlog: collection or judging stood still, or began later",
        }
    }

    fn links(&self, about: Option<&About>, proofs: &[Proof<'_>]) -> Value {
        let about = about
            .map(|about| about.key.as_str())
            .filter(|key| key.starts_with("DU"));
        let key = about.or_else(|| proofs.iter().rev().find_map(|proof| proof.told.user_key.as_deref()));
        let plain = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match (&self.tenant.panel, key.filter(plain)) {
            (Some(panel), Some(key)) => json!({"user": format!("https://{panel}/users/{key}")}),
            _ => json!({}),
        }
    }
}

/// As an operator writes them: a span is `30m`, not so many ms.
pub(crate) fn parameters(manifest: &RuleManifest, params: &Params) -> Value {
    let is_span = |name: &str| {
        let param = manifest.params.iter().find(|param| param.name == name);
        param.is_some_and(|param| param.kind == ParamType::Duration)
    };
    let shown = |(name, value): (&String, &ParamValue)| {
        let value = match value {
            ParamValue::Integer(ms) if is_span(name) => Value::from(show_span(*ms)),
            value => json!(value),
        };
        (name.clone(), value)
    };
    Value::Object(params.iter().map(shown).collect())
}

/// Which incident it is part of, and what it takes the place of.
fn part_of(joined: &Joined, text: &mut String) {
    let incident = &joined.incident;
    let told = json!({
        "id": *incident.id,
        "severity": incident.severity,
        "page": incident.page,
        "opened": rfc3339(incident.opened),
        "principal": incident.principal.as_deref(),
    });
    member("incident", &told, text);
    let superseded = |kin: &Kin| json!({"alert": *kin.alert, "rule": *kin.rule, "relation": "superseded"});
    if !joined.supersedes.is_empty() {
        let related: Vec<Value> = joined.supersedes.iter().map(superseded).collect();
        member("related", &related.into(), text);
    }
    if let Some(by) = &incident.superseded_by {
        member("superseded_by", &Value::from(&**by), text);
    }
}

/// One more member at the end of an object's text.
fn member(name: &str, value: &Value, text: &mut String) {
    text.pop();
    let _ = write!(text, ",\"{name}\":{value}}}");
}

fn timeline(raised: &Raised, proofs: &[Proof<'_>]) -> Vec<Value> {
    let line = |proof: &Proof<'_>| {
        json!({
            "time": rfc3339(proof.event.event.time),
            "log": *proof.event.log,
            "id": own_id(&proof.event.log, &proof.event.event.id),
            "text": proof.told.text,
            "proof": true,
            "raised": proof.event.seq == raised.alert.raised_by,
        })
    };
    let left_out = proofs.len().saturating_sub(MOST_LINES);
    let (head, tail) = proofs.split_at(if left_out == 0 { proofs.len() } else { MOST_LINES / 2 });
    let mut lines: Vec<Value> = head.iter().map(line).collect();
    if left_out > 0 {
        lines.push(json!({"text": format!("({left_out} more)"), "proof": false, "raised": false}));
    }
    lines.extend(tail.iter().skip(left_out).map(line));
    lines
}

/// An alert as `picket replay` prints it, one line: the keys that scripts rely on, flat.
#[must_use]
pub fn line(alert: &AlertRow) -> Value {
    let whole: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    let of = |name: &str| whole.get(name).cloned().unwrap_or_default();
    json!({
        "rule": *alert.rule,
        "severity": alert.severity,
        "title": of("title"),
        "time": rfc3339(alert.time),
        "events": of("events"),
        "id": *alert.id,
        "tenant": of("tenant").get("id"),
        "about": of("about"),
        "outcome": of("outcome"),
        "facts": of("facts"),
        "repeats": alert.repeats,
        "incident": of("incident"),
        "superseded_by": alert.incident.as_ref().and_then(|incident| incident.superseded_by.as_deref()),
    })
}
