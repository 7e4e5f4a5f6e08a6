//! What judges one tenant: modules, less what is switched off, with parameters from configuration and defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{ParamValue, RuleManifest, params};
use picket_judge::{JudgedRule, Terms};
use serde_json::Value;

use crate::config::{Override, Permissions, edits};
use crate::registry::Live;

/// The rules of a tenant that are switched on and see what they need, at no position yet.
///
/// # Errors
/// Every parameter that is wrong, with the place it was written at and what would be right.
pub(crate) fn rules(
    live: &[Arc<Live>],
    overrides: &BTreeMap<String, Override>,
    lists: &BTreeMap<String, Vec<String>>,
    permissions: &Permissions,
) -> Result<Vec<JudgedRule>, Vec<String>> {
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
                judged.attack_version = module.manifest.attack_version.as_str().into();
                judged.terms = Terms {
                    mode: own.and_then(|own| own.mode).unwrap_or_default(),
                    on_poison: live.policy.on_poison,
                    limits: module.allowed().into(),
                    permission: Arc::new(permission),
                    ..Terms::default()
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
    for (name, (value, place)) in &own.params {
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

/// Overrides of rules that no module has: likely a slip of the pen.
pub(crate) fn strangers(live: &[Arc<Live>], overrides: &BTreeMap<String, Override>) -> Vec<String> {
    let known: Vec<&str> = live
        .iter()
        .flat_map(|live| &live.rules)
        .map(|(rule, _)| rule.id.as_str())
        .collect();
    let unknown = overrides.keys().filter(|id| !known.contains(&id.as_str()));
    let say = |id: &String| {
        let near = known
            .iter()
            .map(|name| (edits(id, name), name))
            .min()
            .filter(|(distance, _)| *distance <= 4);
        let near = near.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"));
        format!("rules: there is no rule `{id}`{near}")
    };
    unknown.map(say).collect()
}
