//! What plans that read the same share.
//!
//! A thousand tenants mostly have the same rules with the same parameters. What is compiled of those (how a log is read, what
//! the conditions ask, which rows a rule gets) is large and the same for all of them, so it is there once and found again by
//! what it was made of; the last plan that drops it forgets it. A tenant's own are the key that its phone numbers are masked
//! with and its inventory. Where a condition may compare pseudonyms, which that key decides, nothing is shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use picket_contract::{Params, RuleManifest, Source};

use crate::filter::Questions;
use crate::layout::{Reads, Slot};
use crate::permission::Permission;
use crate::plan::tested_as;
use crate::select::{Compiled, SelectError, may_be_number};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Family {
    /// By log, sorted.
    reads: Vec<Arc<Reads>>,
    questions: Questions,
    /// Nobody else is of it: what is compiled is not kept, as nobody would ask for it.
    is_alone: bool,
    rules: Mutex<Vec<Known>>,
}

/// A rule as it was compiled, and of what.
#[derive(Debug)]
struct Known {
    id: String,
    sources: Vec<Source>,
    params: Params,
    permission: Permission,
    compiled: Arc<[Compiled]>,
}

/// What decides what a family consists of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Made {
    slots: BTreeMap<String, Vec<Slot>>,
    decided: String,
}

/// Those that somebody is of.
static FAMILIES: LazyLock<Mutex<HashMap<Made, Weak<Family>>>> = LazyLock::new(Mutex::default);

/// What is half-way done when somebody panics here is at worst compiled once more.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Family {
    /// One of its own.
    pub(crate) fn new<'a>(sources: impl IntoIterator<Item = (&'a Source, &'a Permission)>) -> Self {
        let slots = slots(sources.into_iter());
        Family {
            is_alone: true,
            ..Family::of(&slots)
        }
    }

    /// That of whoever reads the same, where the rest that was `decided` is the same.
    pub(crate) fn known<'a>(
        sources: impl IntoIterator<Item = (&'a Source, &'a Permission)>,
        decided: &str,
    ) -> Arc<Self> {
        let sources: Vec<(&Source, &Permission)> = sources.into_iter().collect();
        if sources
            .iter()
            .any(|(source, permission)| asks_of_numbers(source, permission))
        {
            return Arc::new(Family::new(sources));
        }
        let made = Made {
            slots: slots(sources.into_iter()),
            decided: decided.to_owned(),
        };
        let mut families = lock(&FAMILIES);
        if let Some(family) = families.get(&made).and_then(Weak::upgrade) {
            return family;
        }
        families.retain(|_, family| family.strong_count() > 0);
        let family = Arc::new(Family::of(&made.slots));
        families.insert(made, Arc::downgrade(&family));
        family
    }

    fn of(slots: &BTreeMap<String, Vec<Slot>>) -> Self {
        let reads = slots
            .iter()
            .map(|(log, slots)| Arc::new(Reads::new(log, slots.clone())));
        Family {
            reads: reads.collect(),
            ..Family::default()
        }
    }

    pub(crate) fn reads(&self) -> impl Iterator<Item = &Arc<Reads>> {
        self.reads.iter()
    }

    /// What the conditions of its rules ask.
    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// A rule's sources as they were compiled before of the same, or as they are compiled now.
    pub(crate) fn compiled(
        &self,
        rule: &RuleManifest,
        params: &Params,
        permission: &Permission,
        compile: impl FnOnce() -> Result<Arc<[Compiled]>, SelectError>,
    ) -> Result<Arc<[Compiled]>, SelectError> {
        if self.is_alone {
            return compile();
        }
        let is_it = |known: &&Known| {
            known.id == rule.id
                && known.sources == rule.sources
                && known.params == *params
                && known.permission == *permission
        };
        if let Some(known) = lock(&self.rules).iter().find(is_it) {
            return Ok(known.compiled.clone());
        }
        let compiled = compile()?;
        lock(&self.rules).push(Known {
            id: rule.id.clone(),
            sources: rule.sources.clone(),
            params: params.clone(),
            permission: permission.clone(),
            compiled: compiled.clone(),
        });
        Ok(compiled)
    }
}

/// Whether a condition may compare pseudonyms.
fn asks_of_numbers(source: &Source, permission: &Permission) -> bool {
    let mut asked = source.when.fields().into_iter();
    asked.any(|path| may_be_number(&source.log, path, permission))
}

/// The columns that sources declare and that their conditions ask for, by log; each log's sorted, each once.
fn slots<'a>(sources: impl Iterator<Item = (&'a Source, &'a Permission)>) -> BTreeMap<String, Vec<Slot>> {
    let mut slots: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
    for (source, permission) in sources {
        let of_log = slots.entry(source.log.clone()).or_default();
        let declared = source.fields.iter().map(|field| (field.path.as_str(), field.kind));
        let tested = source.when.fields();
        let tested = tested.into_iter().map(|path| (path, tested_as(source, path)));
        of_log.extend(declared.chain(tested).map(|(path, kind)| Slot {
            path: path.to_owned(),
            kind: kind.into(),
            view: permission.view(&source.log, path),
        }));
    }
    for of_log in slots.values_mut() {
        of_log.sort();
        of_log.dedup();
    }
    slots
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use picket_contract::{FieldType, ParamValue};
    use serde_json::json;

    use super::*;
    use crate::{Mask, Plan, Selector};

    fn rule(field: &str) -> RuleManifest {
        serde_json::from_value(json!({
            "id": "r", "version": "1.0.0", "title": "t", "severity": "low",
            "params": [{"name": "factors", "type": "texts", "default": ["duo_push"]}],
            "sources": [{
                "log": "authentication",
                "fields": [{"path": field, "type": "text", "required": true}],
                "when": {"field": field, "op": "in", "param": "factors"},
            }],
        }))
        .unwrap()
    }

    fn of(rule: &RuleManifest, value: &str, mask: &Arc<Mask>) -> Selector {
        let params = BTreeMap::from([("factors".to_owned(), ParamValue::Texts(vec![value.to_owned()]))]);
        let all = Permission::default();
        let sources = rule.sources.iter().map(|source| (source, &all));
        let plan = Plan::shared(sources, mask, &format!("{params:?}"));
        Selector::permitted(rule, &params, &plan, &all).unwrap()
    }

    #[test]
    fn tenants_with_the_same_rules_share_what_is_compiled_and_others_do_not() {
        let (one, other) = (Mask::substitute(), Arc::new(Mask::new(&[7; 32])));
        let factor = rule("factor");
        let first = of(&factor, "duo_push", &one);
        assert!(first.shares_with(&of(&factor, "duo_push", &other)));
        assert!(!first.shares_with(&of(&factor, "sms", &one)), "another parameter");
        assert!(
            !first.shares_with(&of(&rule("reason"), "duo_push", &one)),
            "other fields"
        );
        let name = rule("auth_device.name");
        assert!(
            !of(&name, "+15550100", &one).shares_with(&of(&name, "+15550100", &other)),
            "a number is another one's pseudonym"
        );
    }

    #[test]
    fn a_column_is_read_once_however_often_it_is_declared() {
        let rules = [rule("factor"), rule("factor")];
        let all = Permission::default();
        let slots = slots(rules.iter().flat_map(|rule| &rule.sources).map(|source| (source, &all)));
        assert_eq!(slots["authentication"].len(), 1);
        assert_eq!(slots["authentication"][0].kind, FieldType::Text.into());
    }
}
