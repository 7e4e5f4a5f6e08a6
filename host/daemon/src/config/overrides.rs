//! What operators change about rules: in which file it may stand, for whom it holds, and how several go over each other.
//!
//! ```yaml
//! rules:                                  # picket.yaml: for every tenant
//!   new-access-country: {severity: low, dedup: 12h, learning: 40d}
//! overrides:                              # picket.yaml: for several
//!   - tenants: [emea, initech]            # ids, and names of tenant_groups
//!     rules: {new-access-country: {mode: shadow}}
//! ```
//!
//! A tenant's own file goes over `overrides`, a later one of them over an earlier, all over `rules`; setting by setting.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::Severity;
use picket_judge::Mode;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::exceptions::Exception;
use super::file::Overrides;
use super::tenant::Checker;
use super::{Override, Problem};

/// Overrides by rule id.
pub(crate) type AllOverrides = BTreeMap<String, Override>;

/// `overrides:` of picket.yaml, one of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopedFile {
    tenants: Spanned<Value>,
    rules: Overrides,
}

/// Named groups of tenants.
pub(super) type Groups = BTreeMap<String, Vec<Spanned<String>>>;

/// For whom something holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// Everybody.
    #[default]
    All,
    /// These, by id.
    These(Vec<String>),
}

impl Tenants {
    pub(crate) fn has(&self, tenant: &str) -> bool {
        match self {
            Tenants::All => true,
            Tenants::These(ids) => ids.iter().any(|id| id == tenant),
        }
    }
}

/// What the files for all say of rules, for all tenants and for some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(super) overrides: AllOverrides,
    pub(super) scoped: Vec<(Tenants, AllOverrides)>,
    /// Shared by all who have them: a provider may have a thousand tenants.
    pub(super) exceptions: Vec<(Tenants, Arc<Exception>)>,
}

impl Common {
    /// With what is said of one tenant alone on top.
    pub(crate) fn overrides(&self, tenant: &str, own: AllOverrides) -> AllOverrides {
        let scoped = self.scoped.iter().filter(|(tenants, _)| tenants.has(tenant));
        let shared = scoped.fold(self.overrides.clone(), |below, (_, above)| over(&below, above.clone()));
        over(&shared, own)
    }

    /// With those of one tenant alone.
    pub(crate) fn exceptions(&self, tenant: &str, own: &[Arc<Exception>]) -> Vec<Arc<Exception>> {
        let shared = self.exceptions.iter().filter(|(tenants, _)| tenants.has(tenant));
        shared.map(|(_, exception)| exception).chain(own).cloned().collect()
    }

    /// Everybody named.
    pub(super) fn named(&self) -> impl Iterator<Item = &String> {
        let scoped = self.scoped.iter().map(|(tenants, _)| tenants);
        let scopes = scoped.chain(self.exceptions.iter().map(|(tenants, _)| tenants));
        scopes.flat_map(|tenants| match tenants {
            Tenants::All => &[][..],
            Tenants::These(ids) => ids,
        })
    }
}

/// Overrides go over others, setting by setting.
pub(super) fn over(below: &AllOverrides, above: AllOverrides) -> AllOverrides {
    let mut overrides = below.clone();
    for (rule, own) in above {
        let all = overrides.entry(rule).or_default();
        all.enabled = own.enabled.or(all.enabled);
        all.mode = own.mode.or(all.mode);
        all.severity = own.severity.or(all.severity);
        all.dedup_ms = own.dedup_ms.or(all.dedup_ms);
        all.params.extend(own.params);
        all.place = own.place;
    }
    overrides
}

impl Checker<'_> {
    pub(super) fn overrides(&self, rules: &Overrides, problems: &mut Vec<Problem>) -> AllOverrides {
        let mut overrides = BTreeMap::new();
        for (rule, settings) in rules {
            let mut own = Override::default();
            for (name, value) in settings {
                own.place = self.place(value.referenced);
                match name.as_str() {
                    "enabled" => {
                        own.enabled = value.value.as_bool();
                        if own.enabled.is_none() {
                            let what = format!("rules: {rule}: `enabled` is neither true nor false");
                            problems.push(self.problem(value.referenced, what));
                        }
                    }
                    "mode" => own.mode = self.mode(rule, value, problems),
                    "severity" => own.severity = self.severity(rule, value, problems),
                    "dedup" => own.dedup_ms = self.dedup(rule, value, problems),
                    "params" => match &value.value {
                        Value::Object(params) => {
                            let place = self.place(value.referenced);
                            let params = params
                                .iter()
                                .map(|(name, value)| (name.clone(), (value.clone(), place.clone())));
                            own.params.extend(params);
                        }
                        _ => {
                            let what = format!("rules: {rule}: `params` is no mapping");
                            let hint = "name: value; parameters may also stand beside `mode` and the like";
                            problems.push(self.problem(value.referenced, what).hint(hint));
                        }
                    },
                    _ => {
                        let place = self.place(value.referenced);
                        own.params.insert(name.clone(), (value.value.clone(), place));
                    }
                }
            }
            overrides.insert(rule.clone(), own);
        }
        overrides
    }

    fn mode(&self, rule: &str, value: &Spanned<Value>, problems: &mut Vec<Problem>) -> Option<Mode> {
        let mode = match value.value.as_str() {
            Some("active") => Some(Mode::Active),
            Some("shadow") => Some(Mode::Shadow),
            Some("paused") => Some(Mode::Paused),
            _ => None,
        };
        if mode.is_none() {
            let what = format!("rules: {rule}: there is no such `mode`");
            problems.push(self.problem(value.referenced, what).hint(
                "active; shadow (it judges, its alerts are kept apart and not sent); paused (it stops where it is, and catches \
                 up when it is active again)",
            ));
        }
        mode
    }

    fn severity(&self, rule: &str, value: &Spanned<Value>, problems: &mut Vec<Problem>) -> Option<Severity> {
        let severity = serde_json::from_value(value.value.clone()).ok();
        if severity.is_none() {
            let what = format!("rules: {rule}: there is no such `severity`");
            let hint = "info, low, medium, high, critical";
            problems.push(self.problem(value.referenced, what).hint(hint));
        }
        severity
    }

    /// ms; 0: off.
    fn dedup(&self, rule: &str, value: &Spanned<Value>, problems: &mut Vec<Problem>) -> Option<i64> {
        let period = match &value.value {
            // YAML of before 2009 reads `off` as false.
            Value::Bool(false) => Ok(0),
            Value::String(text) if text == "off" => Ok(0),
            Value::String(text) => picket_contract::params::span(text),
            other => Err(format!("{other} is not a span of time")),
        };
        match period {
            Ok(period) => Some(period),
            Err(why) => {
                let what = format!("rules: {rule}: dedup: {why}");
                let hint = "a span such as 6h, within which alerts with one key are one; or `off`: each is an alert of its own";
                problems.push(self.problem(value.referenced, what).hint(hint));
                None
            }
        }
    }

    pub(super) fn scoped(
        &self,
        scoped: &[ScopedFile],
        groups: &Groups,
        problems: &mut Vec<Problem>,
    ) -> Vec<(Tenants, AllOverrides)> {
        let of = |file: &ScopedFile| {
            let tenants = self.tenants(&file.tenants, groups, problems);
            (tenants, self.overrides(&file.rules, problems))
        };
        scoped.iter().map(of).collect()
    }

    /// `all`, or ids and names of groups.
    pub(super) fn tenants(&self, value: &Spanned<Value>, groups: &Groups, problems: &mut Vec<Problem>) -> Tenants {
        let hint = "`all`, a tenant's id, the name of one of `tenant_groups`, or a list of these";
        let Some(names) = texts(&value.value).filter(|names| !names.is_empty()) else {
            problems.push(self.problem(value.referenced, "`tenants` names nobody").hint(hint));
            return Tenants::These(Vec::new());
        };
        if names == ["all"] {
            return Tenants::All;
        }
        let mut ids = Vec::new();
        for name in names {
            match groups.get(&name) {
                Some(group) => ids.extend(group.iter().map(|id| id.value.clone())),
                None if name == "all" => {
                    problems.push(self.problem(value.referenced, "`all` beside others").hint(hint));
                }
                None => {
                    self.tenant_id(&name, value.referenced, problems);
                    ids.push(name);
                }
            }
        }
        Tenants::These(ids)
    }

    /// `file:line:column`.
    pub(super) fn place(&self, location: serde_saphyr::Location) -> String {
        format!("{}:{}:{}", self.path.display(), location.line(), location.column())
    }
}

/// A text, number or boolean, or a list of these; as texts. None: neither.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().map(one).collect(),
        value => Some(vec![one(value)?]),
    }
}
