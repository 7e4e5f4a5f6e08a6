//! What people get: a rule's title, facts and evidence, and everything that the host derives from the evidence.
//!
//! The rule says what is wrong; who, from where, to what, whether they got in and whether that is usual is derived here, for
//! every rule alike and in no rule's code. The JSON (schema `picket.alert/1`) is the alert; [`text`](fn@text) renders it for
//! people, [`line`] for scripts. Phone numbers leave the house by their pseudonyms, with a legend that tells calling code and last
//! four digits; control characters not at all.

mod entities;
mod json;
mod person;
mod text;

use std::sync::Arc;

use picket_contract::{About, RuleAlert, Severity};
use picket_event::{Known, Mask, Told, clean, narrate};
use picket_store::{AlertRow, StoreError, StoredEvent, Superseded};

use crate::acquaintance::Acquaintance;
use crate::exceptions::{self, Exception, Matter};
use crate::historic::Historic;
use crate::incidents::{Incidents, Joined, Newcomer, principal};
use crate::people::People;
use crate::rule::{JudgedRule, Mode, Tenant};

pub use json::line;
pub(crate) use json::parameters;
pub use text::text;

/// Schema of the JSON.
pub const SCHEMA: &str = "picket.alert/1";

/// The id of an alert: the same for the same evidence, whenever and by whatever version it is raised.
#[must_use]
pub fn id(tenant: &str, rule: &str, dedup_key: &str, first_event: &str) -> Arc<str> {
    let mut hash = blake3::Hasher::new();
    for (index, part) in [tenant, rule, dedup_key, first_event].into_iter().enumerate() {
        if index > 0 {
            hash.update(&[0]);
        }
        hash.update(part.as_bytes());
    }
    let hex = hash.finalize().to_hex();
    format!("al_{}", hex.get(..16).unwrap_or(&hex)).into()
}

/// What an alert is about unless its rule says so, and its dedup key.
pub(crate) fn subject(event: Option<&StoredEvent>) -> Option<About> {
    let event = event?;
    let subject = picket_event::subject(&event.log, &event.event.raw)?;
    let key = subject.key.clone().or(subject.name.clone())?;
    let name = subject.name.unwrap_or_else(|| key.clone());
    Some(About {
        kind: "user".to_owned(),
        key,
        name,
    })
}

/// An alert that is no repeat, with what proves it.
#[derive(Debug)]
pub(crate) struct Raised {
    /// Index of the rule.
    pub(crate) rule: usize,
    pub(crate) id: Arc<str>,
    pub(crate) dedup_key: Arc<str>,
    /// Others like it repeat it until then, ms.
    pub(crate) dedup_until: i64,
    /// With pseudonyms in place of the phone numbers of its evidence.
    pub(crate) alert: RuleAlert,
    /// By time.
    pub(crate) evidence: Vec<StoredEvent>,
    /// The row that raised it came late.
    pub(crate) late: bool,
    /// Number of the journal's entry with which the row that raised it was let go.
    pub(crate) released: u64,
    /// What covers it, so that nobody is told.
    pub(crate) exception: Option<Exception>,
}

impl Raised {
    /// Title and facts with pseudonyms: of an alert that is a repeat nobody would read them.
    pub(crate) fn shield(&mut self, mask: &Mask) {
        let facts = self.alert.facts.iter_mut().flat_map(|(name, value)| [name, value]);
        let texts = facts.chain([&mut self.alert.title]);
        let mut suspects: Vec<&mut String> = texts.filter(|text| Known::may_hold_number(text)).collect();
        if !suspects.is_empty() {
            shield(&mut suspects, &self.evidence, mask);
        }
    }

    /// The exception that covers it, if the rule has one that does. Its facts are compared as the rule wrote them, but for phone
    /// numbers.
    pub(crate) fn exception<'r>(
        &self,
        tenant: &Tenant,
        rule: &'r JudgedRule,
        people: &dyn People,
    ) -> Option<&'r Exception> {
        let exceptions = &rule.terms.exceptions;
        if exceptions.is_empty() {
            return None;
        }
        let alert = &self.alert;
        let about = alert.about.clone().or_else(|| subject(trigger(self)));
        let (key, name) = about.map_or((None, None), |about| (Some(about.key), Some(about.name)));
        let proofs = proofs(&self.evidence, &tenant.mask);
        let own = [
            ("about.key", key),
            ("about.name", name),
            ("dedup_key", Some(self.dedup_key.to_string())),
            ("severity", Some(severity(rule, alert).as_str().to_owned())),
            ("outcome", Some(entities::outcome(&proofs).0.to_owned())),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let facts = alert
            .facts
            .iter()
            .map(|(name, value)| (format!("facts.{name}"), value.clone()));
        let rows = self
            .evidence
            .iter()
            .map(|event| (event.log.clone(), event.event.raw.clone()));
        let matter = Matter::new(tenant, alert.time, rows.collect(), own.chain(facts).collect());
        exceptions::first(exceptions, &matter, people)
    }
}

/// The operator's word on how bad it is, else the alert's, else the rule's.
pub(crate) fn severity(rule: &JudgedRule, alert: &RuleAlert) -> Severity {
    let said = rule.terms.severity.or(alert.severity);
    said.unwrap_or(rule.manifest.severity)
}

fn proofs<'e>(evidence: &'e [StoredEvent], mask: &Mask) -> Vec<Proof<'e>> {
    let proof = |event: &'e StoredEvent| Proof {
        event,
        told: narrate(&event.log, &event.event.raw, mask),
    };
    evidence.iter().map(proof).collect()
}

/// Whether a rule's alerts are kept to the house.
pub(crate) fn is_shadow(rule: &JudgedRule) -> bool {
    rule.terms.mode == Mode::Shadow
}

/// Puts pseudonyms in place of the phone numbers of the evidence.
pub(crate) fn shield(texts: &mut [&mut String], evidence: &[StoredEvent], mask: &Mask) {
    let mut known = Known::new(mask);
    for event in evidence {
        known.row(&event.log, &event.event.raw);
    }
    for text in texts {
        **text = known.text(text);
    }
}

/// Tells alerts of one rule.
pub(crate) struct Teller<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) generation: u64,
    pub(crate) rule: &'a JudgedRule,
    pub(crate) acquaintance: &'a Acquaintance,
    pub(crate) people: &'a dyn People,
    pub(crate) historic: &'a Historic,
    /// Rules whose alerts take the place of this one's.
    pub(crate) superseders: &'a [&'a str],
    /// Wall clock, ms.
    pub(crate) now: i64,
    /// The journal is made up from files.
    pub(crate) replay: bool,
    /// The evidence is kept as it was received.
    pub(crate) clear_numbers: bool,
}

/// A piece of evidence, told.
struct Proof<'a> {
    event: &'a StoredEvent,
    told: Told,
}

impl Teller<'_> {
    /// Whether it is about the past.
    fn is_historic(&self, raised: &Raised) -> bool {
        self.historic.is(log(raised), raised.alert.time)
    }

    fn is_shadow(&self) -> bool {
        is_shadow(self.rule)
    }

    /// The alert as it is written, and whose place it takes.
    pub(crate) fn tell(
        &self,
        raised: Raised,
        incidents: &mut Incidents,
    ) -> Result<(AlertRow, Vec<Superseded>), StoreError> {
        let manifest = &self.rule.manifest;
        let alert = &raised.alert;
        let about = alert.about.clone().or_else(|| subject(trigger(&raised)));
        let about = about.map(|about| About {
            key: clean(&about.key).into_owned(),
            name: clean(&about.name).into_owned(),
            ..about
        });
        let proofs = proofs(&raised.evidence, &self.tenant.mask);
        let joined = self.join(&raised, about.as_ref(), &proofs, incidents)?;
        let json = self.json(&raised, about.as_ref(), &proofs, joined.as_ref());
        let superseded = joined.iter().flat_map(|joined| joined.superseded(&raised.id)).collect();
        let row = AlertRow {
            rule: manifest.id.as_str().into(),
            severity: severity(self.rule, alert),
            time: alert.time,
            raised: self.now,
            dedup_until: raised.dedup_until,
            about: about.map_or_else(|| "".into(), |about| about.name.into()),
            json: json.into(),
            repeats: 0,
            last_repeat: None,
            historic: self.is_historic(&raised),
            shadow: self.is_shadow(),
            suppressed: raised.exception.as_ref().map(|exception| exception.name.clone()),
            incident: joined.map(|joined| joined.incident),
            id: raised.id,
            dedup_key: raised.dedup_key,
        };
        Ok((row, superseded))
    }

    /// The incident that it is part of; none where nobody is told of it.
    fn join(
        &self,
        raised: &Raised,
        about: Option<&About>,
        proofs: &[Proof<'_>],
        incidents: &mut Incidents,
    ) -> Result<Option<Joined>, StoreError> {
        if self.is_shadow() || raised.exception.is_some() {
            return Ok(None);
        }
        let (manifest, alert) = (&self.rule.manifest, &raised.alert);
        let raised_by = proofs.iter().find(|proof| proof.event.seq == alert.raised_by);
        let actor = raised_by.and_then(|proof| proof.told.actor.as_deref()).map(clean);
        let since = proofs.first().map_or(alert.time, |proof| proof.event.event.time);
        incidents.join(Newcomer {
            id: &raised.id,
            rule: &manifest.id,
            time: alert.time,
            since,
            severity: severity(self.rule, alert),
            historic: self.is_historic(raised),
            principal: principal(manifest, about, actor.as_deref()).map(Arc::from),
            about: about.map_or("", |about| &about.name),
            supersedes: &manifest.supersedes,
            superseders: self.superseders,
        })
    }
}

/// The log of the row that raised it.
fn log(raised: &Raised) -> &str {
    let event = trigger(raised).or_else(|| raised.evidence.last());
    event.map_or("", |event| &event.log)
}

fn trigger(raised: &Raised) -> Option<&StoredEvent> {
    raised.evidence.iter().find(|event| event.seq == raised.alert.raised_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_tenant_rule_key_and_first_event_alone() {
        let one = id("acme", "r", "ada", "e1");
        assert_eq!(one, id("acme", "r", "ada", "e1"));
        assert!(one.starts_with("al_") && one.len() == 19, "{one}");
        for other in [
            id("acne", "r", "ada", "e1"),
            id("acme", "s", "ada", "e1"),
            id("acme", "r", "bob", "e1"),
            id("acme", "r", "ada", "e2"),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(id("a", "bc", "", ""), id("ab", "c", "", ""), "the parts are kept apart");
    }
}
