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

use picket_contract::{About, Severity};
use picket_event::{Known, Told, clean, narrate};
use picket_store::{AlertRow, StoredEvent};

use crate::acquaintance::Acquaintance;
use crate::call::Raised;
use crate::exceptions::{self, Exception, Matter};
use crate::historic::Historic;
use crate::people::People;
use crate::rule::{JudgedRule, Mode, Tenant};

pub use json::line;
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

/// Tells alerts of one rule.
pub(crate) struct Teller<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) generation: u64,
    pub(crate) rule: &'a JudgedRule,
    pub(crate) acquaintance: &'a Acquaintance,
    pub(crate) people: &'a dyn People,
    pub(crate) historic: &'a Historic,
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

    /// Alerts on the other side of this time (ms) are not repeats of this one, nor is this one of them.
    pub(crate) fn border(&self, raised: &Raised) -> Option<i64> {
        self.historic.start(log(raised))
    }

    /// What tells an alert apart, with pseudonyms in place of the phone numbers of its evidence: so its id does not depend on
    /// whether the rule was shown them in clear.
    pub(crate) fn shielded(&self, mut raised: Raised) -> Raised {
        let Raised { alert, evidence, .. } = &mut raised;
        let about = alert.about.iter_mut();
        let about = about.flat_map(|about| [&mut about.key, &mut about.name]);
        self.shield(about.chain(alert.dedup_key.as_mut()), evidence);
        raised
    }

    /// The same with the rest of what the rule wrote: of an alert that is a repeat nobody reads it.
    pub(crate) fn shielded_throughout(&self, mut raised: Raised) -> Raised {
        let Raised { alert, evidence, .. } = &mut raised;
        let facts = alert.facts.iter_mut().flat_map(|(name, value)| [name, value]);
        self.shield(facts.chain([&mut alert.title]), evidence);
        raised
    }

    fn shield<'t>(&self, texts: impl Iterator<Item = &'t mut String>, evidence: &[StoredEvent]) {
        let suspects: Vec<&mut String> = texts.filter(|text| Known::may_hold_number(text)).collect();
        if suspects.is_empty() {
            return;
        }
        let mut known = Known::new(&self.tenant.mask);
        for event in evidence {
            known.row(&event.log, &event.event.raw);
        }
        for text in suspects {
            *text = known.text(text);
        }
    }

    pub(crate) fn dedup_key(&self, raised: &Raised) -> Arc<str> {
        if let Some(key) = &raised.alert.dedup_key {
            return key.as_str().into();
        }
        subject(trigger(raised)).map_or_else(|| "".into(), |about| about.key.into())
    }

    /// In shadow it is called otherwise, so that the same alert may go out when the rule does.
    pub(crate) fn id(&self, raised: &Raised, dedup_key: &str) -> Arc<str> {
        let first = raised.evidence.first().map_or("", |event| &event.event.id);
        let id = id(&self.tenant.id, &self.rule.manifest.id, dedup_key, first);
        if self.is_shadow() {
            id.replacen("al_", "sh_", 1).into()
        } else {
            id
        }
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.rule.terms.mode == Mode::Shadow
    }

    /// The exception that covers an alert, if the rule has one that does. Its facts are compared as the rule wrote them, but for
    /// phone numbers.
    pub(crate) fn exception(&self, raised: &Raised, dedup_key: &str) -> Option<&Exception> {
        let exceptions = &self.rule.terms.exceptions;
        if exceptions.is_empty() {
            return None;
        }
        let alert = &raised.alert;
        let about = alert.about.clone().or_else(|| subject(trigger(raised)));
        let (key, name) = about.map_or((None, None), |about| (Some(about.key), Some(about.name)));
        let proofs: Vec<Proof<'_>> = raised.evidence.iter().map(|event| self.proof(event)).collect();
        let own = [
            ("about.key", key),
            ("about.name", name),
            ("dedup_key", Some(dedup_key.to_owned())),
            ("severity", Some(self.severity(raised).as_str().to_owned())),
            ("outcome", Some(self.outcome(&proofs).0.to_owned())),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let facts = alert
            .facts
            .iter()
            .map(|(name, value)| (format!("facts.{name}"), value.clone()));
        let rows = raised
            .evidence
            .iter()
            .map(|event| (event.log.clone(), event.event.raw.clone()));
        let matter = Matter::new(self.tenant, alert.time, rows.collect(), own.chain(facts).collect());
        exceptions::first(exceptions, &matter, self.people)
    }

    /// The operator's word on how bad it is, else the alert's, else the rule's.
    fn severity(&self, raised: &Raised) -> Severity {
        let said = self.rule.terms.severity.or(raised.alert.severity);
        said.unwrap_or(self.rule.manifest.severity)
    }

    fn proof<'e>(&self, event: &'e StoredEvent) -> Proof<'e> {
        Proof {
            event,
            told: narrate(&event.log, &event.event.raw, &self.tenant.mask),
        }
    }

    pub(crate) fn tell(
        &self,
        raised: &Raised,
        id: Arc<str>,
        dedup_key: Arc<str>,
        exception: Option<&Exception>,
    ) -> AlertRow {
        let manifest = &self.rule.manifest;
        let alert = &raised.alert;
        let about = alert.about.clone().or_else(|| subject(trigger(raised)));
        let about = about.map(|about| About {
            key: clean(&about.key).into_owned(),
            name: clean(&about.name).into_owned(),
            ..about
        });
        let proofs: Vec<Proof<'_>> = raised.evidence.iter().map(|event| self.proof(event)).collect();
        let mut json = self.json(raised, &id, &dedup_key, about.as_ref(), &proofs);
        if let (Some(exception), Some(told)) = (exception, json.as_object_mut()) {
            told.insert("suppressed".to_owned(), exception.json());
        }
        let period = self.rule.terms.dedup_period_ms.unwrap_or(manifest.dedup_period_ms);
        // What nobody was told of makes nothing a repeat.
        let period = if exception.is_some() { 0 } else { period.max(0) };
        AlertRow {
            id,
            rule: manifest.id.as_str().into(),
            severity: self.severity(raised),
            time: alert.time,
            raised: self.now,
            dedup_key,
            dedup_until: alert.time.saturating_add(period),
            about: about.map_or_else(|| "".into(), |about| about.name.into()),
            json: json.to_string().into(),
            repeats: 0,
            last_repeat: None,
            historic: self.is_historic(raised),
            shadow: self.is_shadow(),
            suppressed: exception.map(|exception| exception.name.clone()),
        }
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
