//! `exceptions:`: what nobody wants to be told of, who says so, why, and until when.
//!
//! They stand in `picket.yaml` (for all tenants, or those named), in a tenant's file (for that one), and in files of their own in
//! `exceptions.d`, where `picket except` writes them, so that a version control that holds the configuration holds them too. A
//! mistake in any of them is a mistake of the configuration: nothing of it takes effect.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use picket_judge::exceptions::{Hours, Kind};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::overrides::{Groups, Tenants, texts};
use super::tenant::Checker;
use super::{Problem, edits};

/// A file in `exceptions.d`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExceptionsFile {
    pub(super) exceptions: Vec<Spanned<ExceptionFile>>,
}

/// One, as an operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExceptionFile {
    name: Spanned<String>,
    rules: Spanned<Value>,
    tenants: Option<Spanned<Value>>,
    #[serde(default)]
    fields: BTreeMap<String, Spanned<Value>>,
    #[serde(default)]
    entities: BTreeMap<String, Spanned<Value>>,
    networks: Option<Spanned<Value>>,
    groups: Option<Spanned<Value>>,
    hours: Option<Spanned<Value>>,
    owner: Option<Spanned<String>>,
    reason: Option<Spanned<String>>,
    ticket: Option<Spanned<Value>>,
    from: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
}

/// One exception; what it refers to by `$name` is looked up for each tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Unique.
    pub(crate) name: String,
    /// Ids; empty: all rules.
    pub(crate) rules: Vec<String>,
    /// Path, and the values of which one must be met.
    pub(crate) fields: Vec<(String, Vec<String>)>,
    pub(crate) entities: Vec<(Kind, Vec<String>)>,
    /// CIDR, or single addresses.
    pub(crate) networks: Vec<String>,
    /// Names of groups of the inventory.
    pub(crate) groups: Vec<String>,
    pub(crate) hours: Vec<Hours>,
    pub(crate) owner: String,
    pub(crate) reason: String,
    pub(crate) ticket: Option<String>,
    /// First moment covered, ms; none: it was always so.
    pub(crate) from: Option<i64>,
    /// First moment not covered any more, ms; none: never.
    pub(crate) until: Option<i64>,
    /// `file:line:column`.
    pub(crate) place: String,
}

impl Exception {
    /// Whether it is about a rule.
    pub(crate) fn is_of(&self, rule: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|id| id == rule)
    }
}

/// Where a file of exceptions stands, which decides for whom they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// `picket.yaml`: for all unless it says otherwise.
    Common,
    /// A tenant's file: for that one.
    Tenant,
    /// `exceptions.d`: it must say for whom.
    Apart,
}

impl Checker<'_> {
    pub(super) fn exceptions(
        &self,
        files: &[Spanned<ExceptionFile>],
        standing: Standing,
        groups: &Groups,
        problems: &mut Vec<Problem>,
    ) -> Vec<(Tenants, Arc<Exception>)> {
        let mut all = Vec::new();
        for file in files {
            let before = problems.len();
            let tenants = match (&file.value.tenants, standing) {
                (Some(value), Standing::Tenant) => {
                    let what = "`tenants` in a tenant's file: it is for that tenant";
                    let hint = "leave it out, or write the exception into a file in exceptions.d";
                    problems.push(self.problem(value.referenced, what).hint(hint));
                    Tenants::All
                }
                (Some(value), _) => self.tenants(value, groups, problems),
                (None, Standing::Apart) => {
                    let what = format!("exception `{}` does not say for whom it is", file.value.name.value);
                    problems.push(self.problem(file.referenced, what).hint("tenants: all, or their ids"));
                    Tenants::All
                }
                (None, _) => Tenants::All,
            };
            let exception = self.exception(&file.value, file.referenced, problems);
            if problems.len() == before {
                all.push((tenants, Arc::new(exception)));
            }
        }
        all
    }

    fn exception(&self, file: &ExceptionFile, whole: Location, problems: &mut Vec<Problem>) -> Exception {
        let name = file.name.value.trim().to_owned();
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            let what = "the name of an exception has 1 to 100 characters";
            problems.push(
                self.problem(file.name.referenced, what)
                    .hint("alerts and `picket rule list --noise` show it"),
            );
        }
        let fields = file.fields.iter();
        let fields = fields
            .map(|(path, value)| (path.clone(), self.values(path, value, problems)))
            .collect();
        let mut entities = Vec::new();
        for (kind, value) in &file.entities {
            let known = Kind::ALL.iter().find(|(name, _)| name == kind);
            let Some((_, of)) = known else {
                let names: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
                let near = names
                    .iter()
                    .map(|name| (edits(kind, name), name))
                    .min()
                    .filter(|(distance, _)| *distance <= 2);
                let near = near.map_or(String::new(), |(_, name)| format!("did you mean `{name}`? "));
                let what = format!("there are no entities `{kind}`");
                let hint = format!("{near}The kinds are {}", names.join(", "));
                problems.push(self.problem(value.referenced, what).hint(hint));
                continue;
            };
            entities.push((*of, self.values(kind, value, problems)));
        }
        let mut values = |name: &str, value: &Option<Spanned<Value>>| {
            value
                .as_ref()
                .map_or_else(Vec::new, |value| self.values(name, value, problems))
        };
        let networks = values("networks", &file.networks);
        let groups = values("groups", &file.groups);
        let hours = values("hours", &file.hours);
        let at = |value: &Option<Spanned<Value>>| value.as_ref().map_or(whole, |value| value.referenced);
        for network in networks.iter().filter(|network| !network.starts_with('$')) {
            if let Err(why) = network_of(network) {
                problems.push(self.problem(at(&file.networks), why));
            }
        }
        let read = hours.iter().map(|text| Hours::read(text));
        let (hours, wrong): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        for why in wrong.into_iter().filter_map(Result::err) {
            problems.push(self.problem(at(&file.hours), why));
        }
        let exception = Exception {
            rules: self.rules_of(&file.rules, problems),
            hours: hours.into_iter().flatten().collect(),
            fields,
            entities,
            networks,
            groups,
            owner: self.required(
                &name,
                "owner",
                file.owner.as_ref(),
                whole,
                "who answers for it",
                problems,
            ),
            reason: self.required(
                &name,
                "reason",
                file.reason.as_ref(),
                whole,
                "why, for whoever reads it next year",
                problems,
            ),
            ticket: file
                .ticket
                .as_ref()
                .and_then(|ticket| texts(&ticket.value))
                .map(|texts| texts.join(", ")),
            from: file.from.as_ref().and_then(|from| self.moment(from, false, problems)),
            until: self.until(&name, file.until.as_ref(), whole, problems),
            place: self.place(whole),
            name,
        };
        let is_empty = exception.fields.is_empty()
            && exception.entities.is_empty()
            && exception.networks.is_empty()
            && exception.groups.is_empty()
            && exception.hours.is_empty();
        if is_empty {
            let what = format!("exception `{}` says nothing of what it is about", exception.name);
            let hint = "one of fields, entities, networks, groups, hours; to silence a rule altogether: rules: RULE: {mode: shadow}";
            problems.push(self.problem(whole, what).hint(hint));
        }
        if let (Some(from), Some(until), Some(given)) = (exception.from, exception.until, &file.until)
            && until <= from
        {
            let what = format!("exception `{}` ends before it begins", exception.name);
            problems.push(self.problem(given.referenced, what));
        }
        exception
    }

    /// Texts, at least one.
    fn values(&self, name: &str, value: &Spanned<Value>, problems: &mut Vec<Problem>) -> Vec<String> {
        let values =
            texts(&value.value).filter(|values| !values.is_empty() && values.iter().all(|text| !text.is_empty()));
        values.unwrap_or_else(|| {
            let hint = "a text, `$name` for one of `lists`, or a list of these";
            let what = format!("`{name}` has no value to be met");
            problems.push(self.problem(value.referenced, what).hint(hint));
            Vec::new()
        })
    }

    fn rules_of(&self, value: &Spanned<Value>, problems: &mut Vec<Problem>) -> Vec<String> {
        match texts(&value.value) {
            Some(rules) if rules == ["all"] => Vec::new(),
            Some(rules) if !rules.is_empty() && !rules.iter().any(|rule| rule == "all" || rule.is_empty()) => rules,
            _ => {
                let what = "`rules` names no rule";
                problems.push(
                    self.problem(value.referenced, what)
                        .hint("a rule's id, a list of ids, or `all`"),
                );
                Vec::new()
            }
        }
    }

    fn required(
        &self,
        exception: &str,
        key: &str,
        value: Option<&Spanned<String>>,
        whole: Location,
        hint: &str,
        problems: &mut Vec<Problem>,
    ) -> String {
        let text = value.map_or("", |value| value.value.trim());
        if text.is_empty() {
            let what = format!("exception `{exception}` has no `{key}`");
            let at = value.map_or(whole, |value| value.referenced);
            problems.push(self.problem(at, what).hint(format!("{key}: {hint}")));
        }
        text.to_owned()
    }

    fn until(
        &self,
        exception: &str,
        value: Option<&Spanned<String>>,
        whole: Location,
        problems: &mut Vec<Problem>,
    ) -> Option<i64> {
        match value {
            Some(value) if value.value == "never" => None,
            Some(value) => self.moment(value, true, problems),
            None => {
                let what = format!("exception `{exception}` has no `until`");
                let hint = "until: 2027-03-31 (that day included, UTC), an RFC 3339 time, or never";
                problems.push(self.problem(whole, what).hint(hint));
                None
            }
        }
    }

    /// A day (its beginning, or its end), or a time; ms.
    fn moment(&self, value: &Spanned<String>, is_end: bool, problems: &mut Vec<Problem>) -> Option<i64> {
        let text = value.value.trim();
        let day = text.parse::<Date>().ok().filter(|_| !text.contains('T'));
        let day = day.map(|day| if is_end { day.tomorrow().unwrap_or(day) } else { day });
        let of_day = day.and_then(|day| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp()));
        let moment = of_day.or_else(|| text.parse::<Timestamp>().ok());
        if moment.is_none() {
            let never = if is_end { ", or never" } else { "" };
            let what = format!("`{text}` is no time");
            let hint = format!("a day as 2027-03-31 (UTC), or an RFC 3339 time as 2027-03-31T18:00:00+02:00{never}");
            problems.push(self.problem(value.referenced, what).hint(hint));
        }
        moment.map(Timestamp::as_millisecond)
    }
}

/// `10.0.0.0/8`, or one address.
///
/// # Errors
/// Neither; in words.
pub(crate) fn network_of(text: &str) -> Result<ipnet::IpNet, String> {
    let text = text.trim();
    let alone = text.parse::<IpAddr>().map(ipnet::IpNet::from);
    alone.or_else(|_| text.parse()).map_err(|_| {
        format!("`{text}` is no network: write one like 203.0.113.0/24, 2001:db8::/32, or a single address")
    })
}

#[cfg(test)]
mod tests;
