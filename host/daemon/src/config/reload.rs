//! `reload:`: what a new version of a module has to show before it judges, and for how long it is watched afterwards.
//!
//! The defaults are those of somebody who does not want to think of it: a day of stored events, nothing goes live that alerts
//! otherwise without being asked for, and what fails on live data within the hour is taken back.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::Problem;
use super::tenant::Checker;

/// What holds for new versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reload {
    /// Of every module.
    pub(crate) policy: ReloadPolicy,
    /// Versions of each module whose content is kept, besides those that judge or wait.
    pub(crate) keep: usize,
    /// Of single modules, by file relative to the rules directory.
    pub(crate) modules: BTreeMap<String, ReloadPolicy>,
}

/// What holds for new versions of a module. Spans are ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReloadPolicy {
    /// How far back stored events are shown to a new version and to the one it replaces; 0: no shadow run.
    pub(crate) history: i64,
    /// The same for a module that replaces nothing.
    pub(crate) new_history: i64,
    /// How long a new version judges live events beside the one it replaces before it takes over; 0: not at all.
    pub(crate) live_shadow: i64,
    /// The same for a module that replaces nothing.
    pub(crate) new_live_shadow: i64,
    /// Of one tenant, at most so many events: the latest.
    pub(crate) events: u64,
    /// Of at most so many tenants: those with most events.
    pub(crate) tenants: usize,
    /// What becomes of a version that alerts otherwise.
    pub(crate) on_difference: OnDifference,
    /// A version that burns more than so many times the fuel of the one it replaces is refused.
    pub(crate) fuel_factor: u64,
    /// How long a version is watched when it judges; 0 (with no `batches`): not at all.
    pub(crate) watch: i64,
    /// It is watched for longer than that until it has judged so many batches of events.
    pub(crate) batches: u64,
    /// After so many failures while it is watched it is taken back.
    pub(crate) failures: u32,
}

/// What becomes of a version whose alerts differ from those of the one it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDifference {
    /// It waits until somebody promotes it.
    Wait,
    /// It goes live.
    Promote,
}

impl Default for Reload {
    fn default() -> Self {
        Reload {
            policy: ReloadPolicy::default(),
            keep: 10,
            modules: BTreeMap::new(),
        }
    }
}

const DAY: i64 = 86_400_000;

impl Default for ReloadPolicy {
    fn default() -> Self {
        ReloadPolicy {
            history: DAY,
            new_history: DAY,
            live_shadow: 0,
            new_live_shadow: 0,
            events: 10_000,
            tenants: 10,
            on_difference: OnDifference::Wait,
            fuel_factor: 4,
            watch: 3_600_000,
            batches: 0,
            failures: 1,
        }
    }
}

impl ReloadPolicy {
    /// How long a version judges live events in shadow, ms: one that replaces another, or not.
    pub(crate) fn live_span(&self, replaces: bool) -> i64 {
        if replaces {
            self.live_shadow
        } else {
            self.new_live_shadow
        }
    }
}

impl Reload {
    /// What holds for a module, by its file relative to the rules directory.
    pub(crate) fn of(&self, file: &str) -> ReloadPolicy {
        self.modules.get(file).copied().unwrap_or(self.policy)
    }
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadFile {
    #[serde(default)]
    shadow: ShadowFile,
    #[serde(default)]
    new_rule: NewRuleFile,
    live_shadow: Option<Spanned<String>>,
    on_difference: Option<Spanned<String>>,
    fuel_factor: Option<Spanned<Value>>,
    #[serde(default)]
    watch: WatchFile,
    keep: Option<Spanned<Value>>,
    #[serde(default)]
    modules: BTreeMap<String, Spanned<ModuleFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowFile {
    history: Option<Spanned<String>>,
    events: Option<Spanned<Value>>,
    tenants: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRuleFile {
    history: Option<Spanned<String>>,
    live_shadow: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchFile {
    time: Option<Spanned<String>>,
    batches: Option<Spanned<Value>>,
    failures: Option<Spanned<Value>>,
}

/// One module, as written. Flat: what an operator says of one module is a line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleFile {
    history: Option<Spanned<String>>,
    live_shadow: Option<Spanned<String>>,
    events: Option<Spanned<Value>>,
    tenants: Option<Spanned<Value>>,
    on_difference: Option<Spanned<String>>,
    fuel_factor: Option<Spanned<Value>>,
    watch: Option<Spanned<String>>,
    batches: Option<Spanned<Value>>,
    failures: Option<Spanned<Value>>,
}

/// One policy, as written in either place.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    history: Option<&'a Spanned<String>>,
    new_history: Option<&'a Spanned<String>>,
    live_shadow: Option<&'a Spanned<String>>,
    new_live_shadow: Option<&'a Spanned<String>>,
    events: Option<&'a Spanned<Value>>,
    tenants: Option<&'a Spanned<Value>>,
    on_difference: Option<&'a Spanned<String>>,
    fuel_factor: Option<&'a Spanned<Value>>,
    watch: Option<&'a Spanned<String>>,
    batches: Option<&'a Spanned<Value>>,
    failures: Option<&'a Spanned<Value>>,
}

impl Checker<'_> {
    /// The section, checked; what is not said is as it is by default.
    pub(super) fn reload(&self, file: &ReloadFile, problems: &mut Vec<Problem>) -> Reload {
        let default = Reload::default();
        let given = Given {
            history: file.shadow.history.as_ref(),
            new_history: file.new_rule.history.as_ref(),
            live_shadow: file.live_shadow.as_ref(),
            new_live_shadow: file.new_rule.live_shadow.as_ref(),
            events: file.shadow.events.as_ref(),
            tenants: file.shadow.tenants.as_ref(),
            on_difference: file.on_difference.as_ref(),
            fuel_factor: file.fuel_factor.as_ref(),
            watch: file.watch.time.as_ref(),
            batches: file.watch.batches.as_ref(),
            failures: file.watch.failures.as_ref(),
        };
        let policy = self.reload_policy("", given, default.policy, problems);
        let mut modules = BTreeMap::new();
        for (name, module) in &file.modules {
            self.module_file("reload", name, module.referenced, problems);
            let of = &module.value;
            let given = Given {
                history: of.history.as_ref(),
                // Said of one module, it holds whether it is new or not.
                new_history: of.history.as_ref(),
                live_shadow: of.live_shadow.as_ref(),
                new_live_shadow: of.live_shadow.as_ref(),
                events: of.events.as_ref(),
                tenants: of.tenants.as_ref(),
                on_difference: of.on_difference.as_ref(),
                fuel_factor: of.fuel_factor.as_ref(),
                watch: of.watch.as_ref(),
                batches: of.batches.as_ref(),
                failures: of.failures.as_ref(),
            };
            let place = format!("modules: {name}: ");
            modules.insert(name.clone(), self.reload_policy(&place, given, policy, problems));
        }
        let keep = self.count("keep", file.keep.as_ref(), (1, 1000), default.keep as u64, problems);
        Reload {
            policy,
            keep: usize::try_from(keep).unwrap_or(usize::MAX),
            modules,
        }
    }

    fn reload_policy(
        &self,
        place: &str,
        given: Given<'_>,
        otherwise: ReloadPolicy,
        problems: &mut Vec<Problem>,
    ) -> ReloadPolicy {
        let mut span = |key: &str, given: Option<&Spanned<String>>, most: (i64, &str), otherwise: i64| {
            let Some(written) = given else { return otherwise };
            let before = problems.len();
            let span = self.span(given, "", problems);
            if problems.len() == before && !(0..=most.0).contains(&span) {
                let what = format!("reload: {place}`{key}` is out of range");
                let hint = format!("from 0s (none) to {}", most.1);
                problems.push(self.problem(written.referenced, what).hint(hint));
            }
            span
        };
        let history = span("history", given.history, (180 * DAY, "180d"), otherwise.history);
        let new_history = span("history", given.new_history, (180 * DAY, "180d"), otherwise.new_history);
        let live_shadow = span(
            "live_shadow",
            given.live_shadow,
            (30 * DAY, "30d"),
            otherwise.live_shadow,
        );
        let new_live_shadow = span(
            "live_shadow",
            given.new_live_shadow,
            (30 * DAY, "30d"),
            otherwise.new_live_shadow,
        );
        let watch = span("watch", given.watch, (30 * DAY, "30d"), otherwise.watch);
        let mut count = |key: &str, given, range, otherwise| {
            self.count(&format!("{place}{key}"), given, range, otherwise, problems)
        };
        let events = count("events", given.events, (1, 10_000_000), otherwise.events);
        let tenants = count("tenants", given.tenants, (1, 100_000), otherwise.tenants as u64);
        let fuel_factor = count("fuel_factor", given.fuel_factor, (1, 1_000_000), otherwise.fuel_factor);
        let batches = count("batches", given.batches, (0, 1_000_000), otherwise.batches);
        let failures = count("failures", given.failures, (1, 1000), u64::from(otherwise.failures));
        ReloadPolicy {
            history,
            new_history,
            live_shadow,
            new_live_shadow,
            events,
            tenants: usize::try_from(tenants).unwrap_or(usize::MAX),
            on_difference: self.on_difference(place, given.on_difference, otherwise.on_difference, problems),
            fuel_factor,
            watch,
            batches,
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
        }
    }

    fn on_difference(
        &self,
        place: &str,
        given: Option<&Spanned<String>>,
        otherwise: OnDifference,
        problems: &mut Vec<Problem>,
    ) -> OnDifference {
        match given.map(|given| given.value.as_str()) {
            None => otherwise,
            Some("wait") => OnDifference::Wait,
            Some("promote") => OnDifference::Promote,
            Some(other) => {
                let at = given.map_or(Location::UNKNOWN, |given| given.referenced);
                let what = format!("reload: {place}`on_difference: {other}` is not known");
                let hint = "wait (until `picket rule promote NAME`) or promote (it goes live, and what differs is in its history)";
                problems.push(self.problem(at, what).hint(hint));
                otherwise
            }
        }
    }

    /// A whole number within a range.
    fn count(
        &self,
        key: &str,
        given: Option<&Spanned<Value>>,
        (least, most): (u64, u64),
        otherwise: u64,
        problems: &mut Vec<Problem>,
    ) -> u64 {
        let Some(given) = given else { return otherwise };
        match given.value.as_u64() {
            Some(number) if (least..=most).contains(&number) => number,
            _ => {
                let what = format!("reload: `{key}` is no whole number from {least} to {most}");
                let hint = format!("leave it out for {otherwise}");
                problems.push(self.problem(given.referenced, what).hint(hint));
                otherwise
            }
        }
    }
}
