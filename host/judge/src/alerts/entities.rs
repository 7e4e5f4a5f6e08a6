//! Who and what appears in the evidence, each once, and whether it was there before.

use picket_event::rfc3339;
use serde_json::{Map, Value};

use super::{Proof, Teller};
use crate::acquaintance::Trait;

/// Most entities of one alert; a spray over ten thousand users is told by its facts.
const MOST: usize = 50;

/// Whether they got in, and to what.
pub(super) fn outcome(proofs: &[Proof<'_>]) -> (&'static str, Vec<String>) {
    let of = |outcome: &'static str| proofs.iter().filter(move |proof| proof.told.outcome == Some(outcome));
    let applications = |outcome| {
        let mut to: Vec<String> = of(outcome).filter_map(|proof| proof.told.application.clone()).collect();
        to.sort();
        to.dedup();
        to
    };
    match () {
        () if of("granted").next().is_some() => ("access_granted", applications("granted")),
        () if of("denied").next().is_some() => ("access_denied", applications("denied")),
        () => ("none", Vec::new()),
    }
}

impl Teller<'_> {
    pub(super) fn entities(&self, proofs: &[Proof<'_>]) -> Vec<Value> {
        let before = proofs.first().map_or(i64::MIN, |proof| proof.event.event.time);
        let mut entities = Entities {
            teller: self,
            before,
            found: Vec::new(),
        };
        for Proof { told, .. } in proofs {
            let user = told.user.as_deref();
            if let Some(name) = user {
                let entity = entities.one("user", name);
                entity.extend(
                    told.user_key
                        .iter()
                        .map(|key| ("key".to_owned(), Value::from(key.as_str()))),
                );
            }
            if let Some(actor) = told.actor.as_deref().filter(|actor| Some(*actor) != user) {
                entities.one("actor", actor);
            }
            if let Some(ip) = &told.ip {
                let entity = entities.one("ip", ip);
                entity.extend(
                    told.country
                        .iter()
                        .map(|country| ("country".to_owned(), Value::from(country.as_str()))),
                );
                entity.extend(
                    told.place
                        .iter()
                        .map(|place| ("place".to_owned(), Value::from(place.as_str()))),
                );
                entities.seen("ip", ip, Trait::Address, user);
            }
            if let Some(country) = &told.country {
                entities.one("country", country);
                entities.seen("country", country, Trait::Country, user);
            }
            if let Some(application) = &told.application {
                entities.one("application", application);
                entities.seen("application", application, Trait::Application, user);
            }
            if let Some(device) = &told.device {
                entities.one("device", device);
            }
        }
        entities.found.truncate(MOST);
        entities.found.into_iter().map(Value::Object).collect()
    }
}

struct Entities<'a> {
    teller: &'a Teller<'a>,
    before: i64,
    found: Vec<Map<String, Value>>,
}

impl Entities<'_> {
    fn one(&mut self, kind: &str, value: &str) -> &mut Map<String, Value> {
        let is = |entity: &Map<String, Value>| {
            entity.get("kind") == Some(&kind.into()) && entity.get("value") == Some(&value.into())
        };
        let index = self.found.iter().position(is).unwrap_or_else(|| {
            self.found.push(Map::from_iter([
                ("kind".to_owned(), kind.into()),
                ("value".to_owned(), value.into()),
            ]));
            self.found.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "the index was found or made above")]
        &mut self.found[index]
    }

    /// Whether it was let in before the first of the evidence. Left out while nobody was ever let in: then nothing is usual.
    fn seen(&mut self, kind: &str, value: &str, what: Trait, user: Option<&str>) {
        let (known, before) = (self.teller.acquaintance, self.before);
        if known.since().is_none_or(|since| since >= before) {
            return;
        }
        let told = |first: Option<i64>| {
            first.map_or_else(|| "never seen".to_owned(), |first| format!("since {}", rfc3339(first)))
        };
        let for_user = user.map(|user| told(known.first_seen(what, Some(user), value, before)));
        let in_tenant = told(known.first_seen(what, None, value, before));
        let entity = self.one(kind, value);
        entity.extend(for_user.map(|for_user| ("for_user".to_owned(), for_user.into())));
        entity.insert("in_tenant".to_owned(), in_tenant.into());
    }
}
