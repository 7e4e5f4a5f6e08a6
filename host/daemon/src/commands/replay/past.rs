//! What judged in a generation of the past, as far as it can still be had: modules as they are kept by digest, what the operator
//! had said of rules as the store noted it, and everything else as it is now. The generation's hash tells whether that is
//! exactly what judged; where it is not, what may have been another is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picket_contract::Severity;
use picket_judge::rejudge::{Found, Journal, Judged, Rejudged, rejudge};
use picket_judge::{JudgedRule, Mode, OnPoison};
use picket_store::GenerationRow;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Config, Override, TenantConfig};
use crate::daemon::hashed;
use crate::registry::{Archive, Books, Live, Registry, Terms};
use crate::stock::Holdings;

/// Judges a tenant's whole journal as it was judged. `hear` is told what is found.
///
/// # Errors
/// The store's, or the sandbox cannot be had.
pub(super) fn rejudged(
    journal: &Journal,
    config: &Config,
    tenant: &TenantConfig,
    hear: &mut dyn FnMut(Found),
) -> anyhow::Result<Rejudged> {
    let (store, mask) = (&journal.store, &journal.tenant.mask);
    let engine = config.sandbox.start(None)?;
    let books = Books::to_read(store.clone(), Archive::new(&config.data_dir));
    let past = Past {
        registry: Registry::new(Terms::of(config), engine.clone()).with(books),
        holdings: Holdings::new(store.clone(), tenant.id.as_str().into(), mask.clone(), Arc::default()),
        tenant,
        generations: store.generations(&tenant.id)?,
        modules: RefCell::default(),
        substituted: RefCell::default(),
        hashed: Box::new(|rules| hashed(&engine, mask, rules)),
    };
    let mut rejudged = rejudge(journal, |number, hash| past.generation(number, hash), hear)?;
    let substituted = past.substituted.into_inner();
    rejudged.substituted.extend(substituted.into_iter().map(|(words, of)| {
        let first = of.first().copied().unwrap_or_default();
        match of.len() {
            1 => format!("{words} (generation {first})"),
            several => format!("{words} ({several} generations from {first} on)"),
        }
    }));
    Ok(rejudged)
}

/// One rule of a generation, as the store noted it.
#[derive(Debug, Deserialize)]
struct Noted {
    id: String,
    module: String,
    mode: String,
    severity: Severity,
    dedup_ms: i64,
    parameters: BTreeMap<String, Value>,
    exceptions: Vec<NotedException>,
    on_poison: String,
    limits: String,
}

#[derive(Debug, Deserialize)]
struct NotedException {
    exception: String,
}

/// Makes a set of rules of what is noted.
type Hashed<'a> = Box<dyn Fn(Vec<JudgedRule>) -> picket_judge::pipeline::RuleSet + 'a>;

struct Past<'a> {
    registry: Registry,
    holdings: Arc<Holdings>,
    tenant: &'a TenantConfig,
    generations: Vec<GenerationRow>,
    /// By digest.
    modules: RefCell<BTreeMap<String, Result<Arc<Live>, String>>>,
    /// What was put in whose place, and in which generations.
    substituted: RefCell<BTreeMap<String, BTreeSet<u64>>>,
    hashed: Hashed<'a>,
}

impl Past<'_> {
    fn generation(&self, number: u64, hash: &str) -> Option<Judged> {
        let mut before = self.generations.iter().filter(|row| row.number <= number);
        let row = before.next_back()?;
        let noted: Vec<Noted> = serde_json::from_str(&row.json).ok()?;
        let mut substituted = Vec::new();
        let mut live: BTreeMap<&str, Arc<Live>> = BTreeMap::new();
        for rule in &noted {
            match self.module(&rule.module) {
                Ok(module) => {
                    live.insert(&rule.module, module);
                }
                Err(why) => substituted.push(format!("rule {} does not judge: {why}", rule.id)),
            }
        }
        let live: Vec<Arc<Live>> = live.into_values().collect();
        let config = self.configured(&noted, &live);
        let terms = |mut rules: Vec<JudgedRule>| {
            for rule in &mut rules {
                let Some(noted) = noted.iter().find(|noted| noted.id == rule.manifest.id) else {
                    continue;
                };
                rule.terms.mode = mode(&noted.mode);
                rule.terms.on_poison = match noted.on_poison.as_str() {
                    "skip" => OnPoison::Skip,
                    _ => OnPoison::Quarantine,
                };
            }
            (self.hashed)(rules)
        };
        let set = match self.holdings.rules_beside(&live, &config, terms) {
            Ok(set) => set,
            Err(error) => {
                self.substitute(vec![format!("nothing judges: {error:#}")], number);
                return None;
            }
        };
        if *set.hash != *hash {
            for rule in &noted {
                substituted.extend(differences(rule, &set));
            }
            if substituted.is_empty() {
                let words = "the configuration as it is now stands in for what the store does not keep: tables, lists, \
                             permissions, the engine's version";
                substituted.push(words.to_owned());
            }
        }
        self.substitute(substituted, number);
        Some(Judged {
            set,
            since: Some(row.since).filter(|_| row.number == number),
        })
    }

    fn substitute(&self, words: Vec<String>, number: u64) {
        let mut substituted = self.substituted.borrow_mut();
        for words in words {
            substituted.entry(words).or_default().insert(number);
        }
    }

    fn module(&self, digest: &str) -> Result<Arc<Live>, String> {
        let mut modules = self.modules.borrow_mut();
        let module = modules
            .entry(digest.to_owned())
            .or_insert_with(|| self.registry.past(digest));
        module.clone()
    }

    /// The configuration, with what was said of rules then.
    fn configured(&self, noted: &[Noted], live: &[Arc<Live>]) -> TenantConfig {
        let mut config = self.tenant.clone();
        config.overrides.clear();
        for (rule, _) in live.iter().flat_map(|live| &live.rules) {
            let own = match noted.iter().find(|noted| noted.id == rule.id) {
                None => Override {
                    enabled: Some(false),
                    ..Override::default()
                },
                Some(noted) => Override {
                    severity: Some(noted.severity).filter(|severity| *severity != rule.severity),
                    dedup_ms: Some(noted.dedup_ms).filter(|ms| *ms != rule.dedup_period_ms),
                    params: noted
                        .parameters
                        .iter()
                        .map(|(name, value)| (name.clone(), (value.clone(), "noted".to_owned())))
                        .collect(),
                    ..Override::default()
                },
            };
            config.overrides.insert(rule.id.clone(), own);
        }
        let known: BTreeSet<&str> = noted
            .iter()
            .flat_map(|rule| &rule.exceptions)
            .map(|exception| exception.exception.as_str())
            .collect();
        config.exceptions.retain(|exception| known.contains(&*exception.name));
        config
    }
}

fn mode(noted: &str) -> Mode {
    match noted {
        "shadow" => Mode::Shadow,
        "paused" => Mode::Paused,
        _ => Mode::Active,
    }
}

/// What of a rule is another than it was then, in words.
fn differences(noted: &Noted, set: &picket_judge::pipeline::RuleSet) -> Vec<String> {
    let id = &noted.id;
    let Some(rule) = set.rules.iter().find(|rule| rule.manifest.id == *id) else {
        return vec![format!(
            "rule {id} does not judge: it is not let read what it needs, as the configuration is now"
        )];
    };
    let mut words = Vec::new();
    if noted.limits != *rule.terms.limits {
        words.push(format!("rule {id} has the limits that it is configured with now"));
    }
    let then: BTreeSet<&str> = noted.exceptions.iter().map(|one| one.exception.as_str()).collect();
    let now: BTreeSet<&str> = rule.terms.exceptions.iter().map(|one| &*one.name).collect();
    let gone: Vec<&str> = then.difference(&now).copied().collect();
    if !gone.is_empty() {
        words.push(format!(
            "rule {id} lacks exceptions that are not configured any more: {}",
            gone.join(", ")
        ));
    }
    words
}
