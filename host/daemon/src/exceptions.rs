//! Exceptions as they hold for one rule of one tenant: lists looked up, networks read.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::RuleManifest;
use picket_event::field_of;
use picket_judge::exceptions::{Condition, Exception as Judged, Texts, is_of_alert};

use crate::config::{Exception, network_of};

/// The tenant's named lists.
type Lists = BTreeMap<String, Vec<String>>;

/// Those of a tenant that can hold at all, with the tenant's lists in them.
pub(crate) fn of_tenant(exceptions: &[Arc<Exception>], lists: &Lists) -> Vec<(Arc<Exception>, Arc<Judged>)> {
    let judged = |exception: &Arc<Exception>| Some((exception.clone(), Arc::new(judged(exception, lists).ok()?)));
    exceptions.iter().filter_map(judged).collect()
}

/// Those that are about a rule and can hold for it.
pub(crate) fn of_rule(exceptions: &[(Arc<Exception>, Arc<Judged>)], rule: &RuleManifest) -> Arc<[Arc<Judged>]> {
    let about = exceptions.iter().filter(|(exception, _)| exception.is_of(&rule.id));
    let may_hold = about.filter(|(exception, _)| unknown_fields(exception, rule).is_empty());
    may_hold.map(|(_, judged)| judged.clone()).collect()
}

/// Why exceptions do not hold, or not for all of their rules, although they name them. Nothing that they were to suppress is
/// suppressed.
pub(crate) fn stale<'a>(
    exceptions: &[Arc<Exception>],
    rules: impl Iterator<Item = &'a RuleManifest> + Clone,
    lists: &Lists,
) -> Vec<(Option<String>, String)> {
    let mut stale = Vec::new();
    for exception in exceptions {
        let told = |why: String| format!("{}: exception `{}`: {why}", exception.place, exception.name);
        if let Err(why) = judged(exception, lists) {
            let about: Vec<Option<String>> = match exception.rules.as_slice() {
                [] => vec![None],
                rules => rules.iter().cloned().map(Some).collect(),
            };
            stale.extend(about.into_iter().map(|rule| (rule, told(why.clone()))));
        }
        for id in &exception.rules {
            match rules.clone().find(|rule| rule.id == *id) {
                None => stale.push((Some(id.clone()), told(format!("there is no rule `{id}`")))),
                Some(rule) => {
                    let unknown = unknown_fields(exception, rule).into_iter();
                    stale.extend(unknown.map(|why| (Some(id.clone()), told(why))));
                }
            }
        }
    }
    stale
}

/// Fields that no log of the rule has.
fn unknown_fields(exception: &Exception, rule: &RuleManifest) -> Vec<String> {
    let paths = exception
        .fields
        .iter()
        .map(|(path, _)| path)
        .filter(|path| !is_of_alert(path));
    let logs = rule.logs();
    let is_declared = |path: &str| {
        let mut fields = rule.sources.iter().flat_map(|source| &source.fields);
        fields.any(|field| field.path == path)
    };
    let why = |path: &String| {
        if is_declared(path) || logs.iter().any(|log| field_of(log, path).is_ok()) {
            return None;
        }
        let near = logs.iter().find_map(|log| field_of(log, path).err().flatten());
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Some(format!(
            "rule {} has no field `{path}`, so it holds for nothing of it{near}",
            rule.id
        ))
    };
    paths.filter_map(why).collect()
}

/// With the tenant's lists in place of their names.
///
/// # Errors
/// A list that the tenant has not, or a network in one that is none.
pub(crate) fn judged(exception: &Exception, lists: &Lists) -> Result<Judged, String> {
    let mut conditions = Vec::new();
    for (path, values) in &exception.fields {
        conditions.push(Condition::Field {
            path: path.clone(),
            values: texts(values, lists)?,
        });
    }
    for (kind, values) in &exception.entities {
        conditions.push(Condition::Entity {
            kind: *kind,
            values: texts(values, lists)?,
        });
    }
    if !exception.networks.is_empty() {
        let networks = with_lists(&exception.networks, lists)?;
        let networks = networks.iter().map(|network| network_of(network));
        conditions.push(Condition::Networks(networks.collect::<Result<_, _>>()?));
    }
    if !exception.groups.is_empty() {
        conditions.push(Condition::Groups(texts(&exception.groups, lists)?));
    }
    if !exception.hours.is_empty() {
        conditions.push(Condition::Hours(exception.hours.clone()));
    }
    Ok(Judged {
        name: exception.name.as_str().into(),
        owner: exception.owner.as_str().into(),
        reason: exception.reason.as_str().into(),
        ticket: exception.ticket.as_deref().map(Arc::from),
        from: exception.from,
        until: exception.until,
        conditions,
    })
}

fn texts(values: &[String], lists: &Lists) -> Result<Texts, String> {
    Ok(with_lists(values, lists)?.into_iter().collect())
}

/// `$vpn` stands for the list `vpn`.
fn with_lists<'a>(values: &'a [String], lists: &'a Lists) -> Result<Vec<&'a String>, String> {
    let mut all = Vec::new();
    for value in values {
        match value.strip_prefix('$') {
            Some(name) => all.extend(lists.get(name).ok_or_else(|| format!("there is no list `{name}`"))?),
            None => all.push(value),
        }
    }
    Ok(all)
}
