//! Alerts of two runs, side by side: of each its id, a digest of what it says, and how often it was repeated.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use picket_judge::pipeline::RuleSet;
use picket_judge::rejudge::Found;
use picket_store::{AlertFilter, AlertRow, Store};

/// How many that differ are named.
const NAMED: usize = 10;

/// By id.
#[derive(Debug, Default)]
pub(super) struct Told {
    by_id: BTreeMap<Arc<str>, One>,
}

#[derive(Debug, PartialEq, Eq)]
struct One {
    rule: Arc<str>,
    digest: u64,
    repeats: u64,
}

impl Told {
    /// What a store has of these rules' alerts: rule by rule, since all of them at once are many.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn stored(store: &dyn Store, tenant: &str, rules: &RuleSet) -> anyhow::Result<Self> {
        let mut told = Told::default();
        for rule in &rules.rules {
            let filter = AlertFilter {
                rule: Some(rule.manifest.id.clone()),
                ..AlertFilter::default()
            };
            store.alerts(tenant, &filter)?.iter().for_each(|row| told.add(row));
        }
        Ok(told)
    }

    /// What judging again found.
    pub(super) fn hear(&mut self, found: &Found) {
        found.alerts.iter().for_each(|row| self.add(row));
        for repeat in &found.repeats {
            if let Some(one) = self.by_id.get_mut(&repeat.id) {
                one.repeats += repeat.count;
            }
        }
    }

    fn add(&mut self, row: &AlertRow) {
        let mut digest = DefaultHasher::new();
        (row.severity.as_str(), &row.json).hash(&mut digest);
        let one = One {
            rule: row.rule.clone(),
            digest: digest.finish(),
            repeats: row.repeats,
        };
        self.by_id.insert(row.id.clone(), one);
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Alerts that only one of them has, or has otherwise. Some are named.
    pub(super) fn differences(&self, again: &Told) -> u64 {
        let of_live = self.by_id.iter().filter(|(id, one)| again.by_id.get(*id) != Some(*one));
        let gained = again.by_id.iter().filter(|(id, _)| !self.by_id.contains_key(*id));
        let mut differences = 0;
        for (id, _) in of_live.chain(gained) {
            differences += 1;
            if differences <= NAMED {
                let (live, again) = (self.by_id.get(id), again.by_id.get(id));
                eprintln!("bench:   {id} differs: live {live:?}, again {again:?}");
            }
        }
        differences as u64
    }
}
