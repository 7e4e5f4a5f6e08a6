//! What judges one tenant: modules, less what is switched off, with parameters from configuration and defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{ParamValue, RuleManifest, params};
use picket_judge::{JudgedRule, Terms};
use serde_json::Value;

use crate::config::{AllOverrides, Exception, Override, Permissions, TenantConfig, edits};
use crate::exceptions;
use crate::registry::Live;

/// What an operator wants of a tenant's rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes<'a> {
    pub(crate) overrides: &'a AllOverrides,
    pub(crate) exceptions: &'a [Arc<Exception>],
    pub(crate) lists: &'a BTreeMap<String, Vec<String>>,
    pub(crate) permissions: &'a Permissions,
}

impl<'a> From<&'a TenantConfig> for Wishes<'a> {
    fn from(config: &'a TenantConfig) -> Self {
        Wishes {
            overrides: &config.overrides,
            exceptions: &config.exceptions,
            lists: &config.lists,
            permissions: &config.permissions,
        }
    }
}

/// The rules of a tenant that are switched on and see what they need, at no position yet.
///
/// # Errors
/// Every parameter that is wrong, with the place it was written at and what would be right.
pub(crate) fn rules(live: &[Arc<Live>], wishes: &Wishes<'_>) -> Result<Vec<JudgedRule>, Vec<String>> {
    let Wishes {
        overrides,
        exceptions,
        lists,
        permissions,
    } = *wishes;
    let exceptions = exceptions::of_tenant(exceptions, lists);
    let mut rules = Vec::new();
    let mut wrong = Vec::new();
    for (live, (rule, defaults)) in live
        .iter()
        .flat_map(|live| live.rules.iter().map(move |rule| (live, rule)))
    {
        let module = &live.module;
        let own = overrides.get(&rule.id);
        if !own.is_none_or(|own| own.enabled.unwrap_or(true)) {
            continue;
        }
        let permission = live.permission(permissions);
        if !permission.refusals(rule).is_empty() {
            continue;
        }
        let params = match own.filter(|own| !own.params.is_empty()) {
            None => Ok(defaults.clone()),
            Some(own) => resolve(rule, own, lists).map(Arc::new),
        };
        match params {
            Ok(params) => {
                let mut judged = JudgedRule::new(rule.clone(), module.clone(), module.digest.clone(), params);
                judged.attack_version = live.attack_version.clone();
                judged.terms = Terms {
                    mode: own.and_then(|own| own.mode).unwrap_or_default(),
                    on_poison: live.policy.on_poison,
                    limits: live.allowed.clone(),
                    permission,
                    severity: own.and_then(|own| own.severity),
                    dedup_period_ms: own.and_then(|own| own.dedup_ms),
                    exceptions: exceptions::of_rule(&exceptions, rule),
                };
                rules.push(judged);
            }
            Err(problems) => wrong.extend(problems),
        }
    }
    if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
}

fn resolve(
    rule: &RuleManifest,
    own: &Override,
    lists: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, ParamValue>, Vec<String>> {
    let place = |name: &str| own.params.get(name).map_or("", |(_, place)| place.as_str());
    let mut values = BTreeMap::new();
    // What a module has no more is told of, and keeps nobody from judging.
    for (name, (value, place)) in own.params.iter().filter(|(name, _)| has(rule, name)) {
        let value = with_lists(value, lists).map_err(|list| vec![format!("{place}: there is no list `{list}`")])?;
        values.insert(name.clone(), value);
    }
    params::resolve(rule, &values).map_err(|wrong| {
        wrong
            .into_iter()
            .map(|(name, why)| format!("{}: {why}", place(&name)))
            .collect()
    })
}

/// `$vpn` stands for the list `vpn`, alone or within a list.
fn with_lists(value: &Value, lists: &BTreeMap<String, Vec<String>>) -> Result<Value, String> {
    let list = |text: &str| -> Result<Option<Vec<Value>>, String> {
        let Some(name) = text.strip_prefix('$') else {
            return Ok(None);
        };
        let list = lists.get(name).ok_or_else(|| name.to_owned())?;
        Ok(Some(list.iter().map(|item| Value::String(item.clone())).collect()))
    };
    match value {
        Value::String(text) => Ok(list(text)?.map_or_else(|| value.clone(), Value::Array)),
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.as_str().map(list).transpose()?.flatten() {
                    Some(items) => all.extend(items),
                    None => all.push(item.clone()),
                }
            }
            Ok(Value::Array(all))
        }
        _ => Ok(value.clone()),
    }
}

/// Rules that do not judge because the operator lets them not read what they cannot do without, and why.
pub(crate) fn blind(live: &[Arc<Live>], permissions: &Permissions) -> Vec<(String, String)> {
    let of_module = |live: &Arc<Live>| {
        let permission = live.permission(permissions);
        let refused = |(rule, _): &(Arc<RuleManifest>, _)| {
            let why = permission.refusals(rule).join("; ");
            (!why.is_empty()).then(|| (rule.id.clone(), why))
        };
        live.rules.iter().filter_map(refused).collect::<Vec<_>>()
    };
    live.iter().flat_map(of_module).collect()
}

fn has(rule: &RuleManifest, param: &str) -> bool {
    rule.params.iter().any(|own| own.name == param)
}

/// What the operator says of rules that does not apply to the modules as they are: rules that no module has, parameters that a
/// rule has no more, exceptions that hold for nothing. Each with the rule that it is about, if it is about one.
pub(crate) fn stale(live: &[Arc<Live>], config: &TenantConfig) -> Vec<(Option<String>, String)> {
    let rules = live.iter().flat_map(|live| &live.rules).map(|(rule, _)| &**rule);
    let nearest = |name: &str, known: &mut dyn Iterator<Item = &str>| {
        let near = known.map(|known| (edits(name, known), known)).min();
        let near = near.filter(|(distance, _)| *distance <= 4);
        near.map_or(String::new(), |(_, near)| format!("; did you mean `{near}`?"))
    };
    let mut stale = Vec::new();
    for (id, own) in &config.overrides {
        let Some(rule) = rules.clone().find(|rule| rule.id == *id) else {
            let near = nearest(id, &mut rules.clone().map(|rule| rule.id.as_str()));
            let text = format!("{}: rules: there is no rule `{id}`{near}", own.place);
            stale.push((Some(id.clone()), text));
            continue;
        };
        for (name, (_, place)) in own.params.iter().filter(|(name, _)| !has(rule, name)) {
            let near = nearest(name, &mut rule.params.iter().map(|param| param.name.as_str()));
            let known: Vec<&str> = rule.params.iter().map(|param| param.name.as_str()).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            let text = format!(
                "{place}: rule {id} {} has no parameter `{name}`; it has: {known}{near}",
                rule.version
            );
            stale.push((Some(id.clone()), text));
        }
    }
    stale.extend(exceptions::stale(&config.exceptions, rules, &config.lists));
    stale
}
