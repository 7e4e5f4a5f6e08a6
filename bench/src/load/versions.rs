//! All versions of the rules, and what they did live.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::{Call, Evaluate, Failure, Outcome, ParamValue};
use picket_judge::pipeline::RuleSet;
use picket_sandbox::{CallLimits, Module};

use super::shown::Shown;
use crate::rules;

/// Fuel with which no call of any rule ends.
const STARVED: u64 = 100;

pub(super) struct Versions {
    pub(super) stock: RuleSet,
    /// The same, none of which can end a call.
    starved: RuleSet,
    /// By hash, those that took over.
    pub(super) sets: Mutex<BTreeMap<String, RuleSet>>,
    /// Live.
    pub(super) shown: Arc<Shown>,
    /// Live, of versions that are bad.
    pub(super) bad_calls: Arc<AtomicU64>,
}

impl Versions {
    /// # Errors
    /// The sandbox's.
    pub(super) fn of(modules: &[Arc<Module>]) -> anyhow::Result<Self> {
        let starved = modules.iter().map(|module| {
            let limits = CallLimits {
                fuel: STARVED,
                ..module.limits
            };
            Ok(Arc::new(module.under(limits)?))
        });
        let starved: Vec<Arc<Module>> = starved.collect::<anyhow::Result<_>>()?;
        Ok(Versions {
            stock: rules::set(modules, "")?,
            starved: rules::set(&starved, "")?,
            sets: Mutex::default(),
            shown: Arc::default(),
            bad_calls: Arc::default(),
        })
    }

    /// One version, as it is shown stored events.
    pub(super) fn version(&self, number: u64, is_bad: bool) -> RuleSet {
        let mut set = if is_bad {
            self.starved.clone()
        } else {
            self.stock.clone()
        };
        set.hash = format!("version {number}").into();
        for rule in &mut set.rules {
            rule.module = format!("sha256:{number}").into();
            let mut params = rule.params.as_ref().clone();
            if let Some(ParamValue::Integer(count)) = params.get_mut("count") {
                *count += i64::try_from(number % 3).unwrap_or_default();
            }
            rule.params = Arc::new(params);
        }
        set
    }

    /// The same as it judges live, where what it is shown is written down.
    pub(super) fn live(&self, set: &RuleSet, is_bad: bool) -> RuleSet {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.insert(set.hash.to_string(), set.clone());
        recorded(set, &self.shown, is_bad.then(|| self.bad_calls.clone()))
    }
}

/// The same, and what it is shown is written down; calls are counted of a version that is bad.
pub(super) fn recorded(set: &RuleSet, shown: &Arc<Shown>, bad_calls: Option<Arc<AtomicU64>>) -> RuleSet {
    let mut set = set.clone();
    for rule in &mut set.rules {
        rule.evaluator = Arc::new(Recorded {
            version: rule.evaluator.clone(),
            shown: shown.clone(),
            bad_calls: bad_calls.clone(),
        });
    }
    set
}

/// A rule whose calls are written down.
#[derive(Debug)]
struct Recorded {
    version: Arc<dyn Evaluate>,
    shown: Arc<Shown>,
    /// Of a version that is bad.
    bad_calls: Option<Arc<AtomicU64>>,
}

impl Evaluate for Recorded {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if let Some(bad_calls) = &self.bad_calls {
            bad_calls.fetch_add(1, Ordering::SeqCst);
        }
        let groups = call.batch.groups.iter();
        let rows: Vec<u64> = groups.flat_map(|group| group.events.iter().copied()).collect();
        let rule = call.rule.to_owned();
        let outcome = self.version.evaluate(call)?;
        self.shown.add(&rule, rows);
        Ok(outcome)
    }
}
