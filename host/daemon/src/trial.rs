//! What a shadow run over several tenants found, and what follows from it by the operator's policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use picket_contract::evaluate::grouped;
use picket_judge::shadow::{Difference, Failed, Shadowed, Stopped, Told};
use serde_json::{Value, json};

use crate::config::{OnDifference, ReloadPolicy};
use crate::registry::Decision;
use crate::when;

/// Fuel (of all calls of a rule in a run) below which nothing is compared: a few calls with no row in them.
const NO_FUEL: u64 = 10_000_000;
/// Alerts listed of each kind.
const MOST_LISTED: usize = 200;

/// Failures that say nothing of a version: live, they are tried again.
const NOT_ITS_FAULT: [&str; 2] = ["host", "state-quota"];

/// What was shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Stored events, all at once.
    #[default]
    Stored,
    /// Events as they came.
    Live,
}

/// What all tenants' runs found together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trial {
    /// Of which events.
    pub(crate) basis: Basis,
    /// Ids of the rules of the version that judges; empty: there is none.
    pub(crate) known: Vec<String>,
    /// Of each tenant.
    pub(crate) runs: Vec<(String, Shadowed)>,
}

/// An alert of a tenant.
type OfTenant<'a> = (&'a str, &'a Told);

#[derive(Debug, Default)]
struct Differences<'a> {
    gained: Vec<OfTenant<'a>>,
    /// Of rules that the version before did not have.
    new: Vec<OfTenant<'a>>,
    lost: Vec<OfTenant<'a>>,
    changed: Vec<(&'a str, &'a Told, &'a Told)>,
    same: u64,
}

impl Trial {
    fn events(&self) -> u64 {
        self.runs.iter().map(|(_, run)| run.events).sum()
    }

    /// `9,812 stored events of 3 tenants`.
    fn basis(&self) -> String {
        let tenants = self.runs.iter().filter(|(_, run)| run.events > 0).count();
        let events = self.events();
        format!(
            "{} {} {} of {tenants} {}",
            grouped(events),
            self.kind(),
            if events == 1 { "event" } else { "events" },
            when::plural(tenants, "tenant")
        )
    }

    fn kind(&self) -> &'static str {
        match self.basis {
            Basis::Stored => "stored",
            Basis::Live => "live",
        }
    }

    /// What always stops a version, in words: a failure, a run that had to be stopped, or fuel beyond the factor.
    pub(crate) fn stops(&self, policy: &ReloadPolicy) -> Option<String> {
        self.failed().or_else(|| self.burns(policy))
    }

    fn burns(&self, policy: &ReloadPolicy) -> Option<String> {
        for (rule, (old, new)) in self.fuel() {
            let most = old.max(NO_FUEL).saturating_mul(policy.fuel_factor);
            if self.known.iter().any(|known| known == rule) && new > most {
                return Some(format!(
                    "rule `{rule}` burns {} fuel on {}, the version before it {}: more than `fuel_factor: {}` allows",
                    grouped(new),
                    self.basis(),
                    grouped(old),
                    policy.fuel_factor
                ));
            }
        }
        None
    }

    /// Fuel by rule: of the version before, and of the new one.
    fn fuel(&self) -> BTreeMap<&str, (u64, u64)> {
        let mut fuel: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (_, run) in &self.runs {
            for (rule, burnt) in &run.old.fuel {
                let (old, _) = fuel.entry(rule).or_default();
                *old = old.saturating_add(*burnt);
            }
            for (rule, burnt) in &run.new.fuel {
                let (_, new) = fuel.entry(rule).or_default();
                *new = new.saturating_add(*burnt);
            }
        }
        fuel
    }

    /// What the operator's policy makes of it. `is_asked_for`: alerts that differ are wanted.
    pub(crate) fn decide(&self, policy: &ReloadPolicy, is_asked_for: bool, name: &str) -> (Decision, Value) {
        let found: Vec<(&str, Difference)> = self
            .runs
            .iter()
            .map(|(tenant, run)| (tenant.as_str(), run.difference()))
            .collect();
        let differences = self.differences(&found);
        let detail = self.detail(&differences);
        (self.decision(policy, is_asked_for, name, &differences), detail)
    }

    fn decision(
        &self,
        policy: &ReloadPolicy,
        is_asked_for: bool,
        name: &str,
        differences: &Differences<'_>,
    ) -> Decision {
        if let Some(why) = self.stops(policy) {
            return Decision::Refuse(why);
        }
        let Differences {
            gained,
            new,
            lost,
            changed,
            same,
        } = differences;
        let mut also = String::new();
        if !new.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(also, "; new rules would have raised {}", count(new.len()));
        }
        if self.known.is_empty() {
            return Decision::Promote(match self.events() {
                0 => format!("new, and there are no {} events to show it", self.kind()),
                _ => format!("new: it would have raised {} on {}", count(new.len()), self.basis()),
            });
        }
        if self.events() == 0 {
            return Decision::Promote(format!("there are no {} events to compare on", self.kind()));
        }
        if gained.is_empty() && lost.is_empty() && changed.is_empty() {
            return Decision::Promote(format!(
                "{} alike on {}{also}",
                count(usize::try_from(*same).unwrap_or(usize::MAX)),
                self.basis()
            ));
        }
        let differs = format!(
            "alerts differ on {}: {} gained, {} lost, {} changed, {same} alike{also}",
            self.basis(),
            gained.len(),
            lost.len(),
            changed.len()
        );
        match policy.on_difference {
            _ if is_asked_for => Decision::Promote(format!("{differs}; promoted by name")),
            OnDifference::Promote => Decision::Promote(format!("{differs}; promoted by `on_difference: promote`")),
            OnDifference::Wait => Decision::Wait(format!(
                "{differs}; look at them with `picket rule diff {name}`, then `picket rule promote {name}`, or put the old \
                 file back"
            )),
        }
    }

    fn differences<'a>(&self, found: &'a [(&'a str, Difference)]) -> Differences<'a> {
        let mut all = Differences::default();
        for (tenant, difference) in found {
            let of = |told: &'a Told| (*tenant, told);
            let (gained, new): (Vec<&Told>, Vec<&Told>) = difference
                .gained
                .iter()
                .partition(|told| self.known.contains(&told.rule));
            all.gained.extend(gained.into_iter().map(of));
            all.new.extend(new.into_iter().map(of));
            all.lost.extend(difference.lost.iter().map(of));
            all.changed
                .extend(difference.changed.iter().map(|(was, is)| (*tenant, was, is)));
            all.same += difference.same;
        }
        all
    }

    /// What always stops a version: it failed, or its run had to be stopped.
    fn failed(&self) -> Option<String> {
        for (tenant, run) in &self.runs {
            let counts =
                |failed: &&Failed| self.basis == Basis::Stored || !NOT_ITS_FAULT.contains(&failed.code.as_str());
            if let Some(failed) = run.new.failures.iter().find(counts) {
                let event = failed.event.as_ref();
                let event = event.map_or(String::new(), |event| format!(" event {event} of"));
                return Some(format!(
                    "rule `{}` fails on{event} {tenant}: {} ({} in {})",
                    failed.rule,
                    failed.reason,
                    failures(run.new.failures.len()),
                    self.basis()
                ));
            }
            match run.stopped {
                Some(Stopped::Fuel) => {
                    return Some(format!(
                        "it burnt {} fuel on {} events of {tenant} and was stopped: more than `fuel_per_minute`",
                        grouped(run.new.all_fuel()),
                        grouped(run.events)
                    ));
                }
                Some(Stopped::Alerts) if run.new.alerts.len() > run.old.alerts.len() => {
                    return Some(format!(
                        "it raised {} alerts on {} events of {tenant} and was stopped",
                        grouped(run.new.alerts.len() as u64),
                        grouped(run.events)
                    ));
                }
                _ => {}
            }
        }
        None
    }

    /// For `picket rule diff`.
    fn detail(&self, differences: &Differences<'_>) -> Value {
        let listed = |alerts: &[OfTenant<'_>]| -> Vec<Value> {
            let first = alerts.iter().take(MOST_LISTED);
            first.map(|(tenant, told)| of(tenant, told)).collect()
        };
        let changed: Vec<Value> = differences
            .changed
            .iter()
            .take(MOST_LISTED)
            .map(|(tenant, was, is)| json!({"tenant": tenant, "before": of(tenant, was), "after": of(tenant, is)}))
            .collect();
        let failures: Vec<Value> = self
            .runs
            .iter()
            .flat_map(|(tenant, run)| run.new.failures.iter().map(move |failed| (tenant, failed)))
            .take(MOST_LISTED)
            .map(|(tenant, failed)| {
                json!({"tenant": tenant, "rule": failed.rule, "code": failed.code, "reason": failed.reason,
                    "report": failed.report, "event": failed.event})
            })
            .collect();
        let fuel: serde_json::Map<String, Value> = self
            .fuel()
            .into_iter()
            .map(|(rule, (old, new))| (rule.to_owned(), json!({"before": old, "after": new})))
            .collect();
        let spans = self.runs.iter().filter_map(|(_, run)| run.span);
        let span = spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        json!({
            "basis": self.kind(),
            "events": self.events(),
            "from": span.map(|(from, _)| when::rfc3339(from)),
            "to": span.map(|(_, to)| when::rfc3339(to)),
            "tenants": self.runs.iter().map(|(tenant, _)| tenant).collect::<Vec<_>>(),
            "counts": {"gained": differences.gained.len(), "new": differences.new.len(), "lost": differences.lost.len(),
                "changed": differences.changed.len(), "same": differences.same},
            "gained": listed(&differences.gained),
            "new": listed(&differences.new),
            "lost": listed(&differences.lost),
            "changed": changed,
            "failures": failures,
            "fuel": fuel,
        })
    }
}

fn of(tenant: &str, told: &Told) -> Value {
    json!({"tenant": tenant, "id": told.id, "rule": told.rule, "time": when::rfc3339(told.time), "severity": told.severity,
        "title": told.title, "about": told.about, "events": told.events, "repeats": told.repeats})
}

fn count(alerts: usize) -> String {
    format!("{} {}", grouped(alerts as u64), when::plural(alerts, "alert"))
}

fn failures(count: usize) -> String {
    format!("{count} {}", when::plural(count, "failure"))
}

#[cfg(test)]
mod tests {
    use picket_contract::Severity;
    use picket_judge::shadow::Side;

    use super::*;
    use crate::config::ReloadPolicy;

    fn told(id: &str, title: &str) -> Told {
        Told {
            id: id.to_owned(),
            rule: "r".to_owned(),
            time: 1_795_003_200_000,
            severity: Severity::High,
            title: title.to_owned(),
            about: "ada".to_owned(),
            events: vec!["e1".to_owned()],
            repeats: 0,
        }
    }

    fn side(alerts: &[Told], fuel: u64) -> Side {
        Side {
            fuel: BTreeMap::from([("r".to_owned(), fuel)]),
            failures: Vec::new(),
            alerts: alerts.to_vec(),
        }
    }

    fn trial(old: Side, new: Side) -> Trial {
        let run = Shadowed {
            events: 1200,
            span: Some((0, 1)),
            old,
            new,
            stopped: None,
        };
        Trial {
            basis: Basis::Stored,
            known: vec!["r".to_owned()],
            runs: vec![("acme".to_owned(), run)],
        }
    }

    fn decided(trial: &Trial, on_difference: OnDifference, is_asked_for: bool) -> Decision {
        let policy = ReloadPolicy {
            on_difference,
            ..ReloadPolicy::default()
        };
        trial.decide(&policy, is_asked_for, "push-abuse.wasm").0
    }

    #[test]
    fn what_alerts_alike_takes_over_and_what_differs_waits_unless_it_is_wanted() {
        let same = trial(side(&[told("al_1", "t")], 5), side(&[told("al_1", "t")], 9));
        let Decision::Promote(why) = decided(&same, OnDifference::Wait, false) else {
            panic!("it takes over")
        };
        assert_eq!(why, "1 alert alike on 1,200 stored events of 1 tenant");

        let differs = trial(
            side(&[told("al_1", "t"), told("al_2", "t")], 5),
            side(&[told("al_1", "other"), told("al_3", "t")], 5),
        );
        let Decision::Wait(why) = decided(&differs, OnDifference::Wait, false) else {
            panic!("it waits")
        };
        assert!(
            why.contains("1 gained, 1 lost, 1 changed") && why.contains("picket rule promote push-abuse.wasm"),
            "{why}"
        );
        for (on_difference, is_asked_for) in [(OnDifference::Promote, false), (OnDifference::Wait, true)] {
            let decision = decided(&differs, on_difference, is_asked_for);
            assert!(matches!(decision, Decision::Promote(_)), "{decision:?}");
        }
        let (_, detail) = differs.decide(&ReloadPolicy::default(), false, "x");
        assert_eq!(detail["changed"][0]["after"]["title"], "other");
        assert_eq!(detail["counts"]["lost"], 1);
    }

    #[test]
    fn failures_and_fuel_stop_a_version_whatever_the_policy_says() {
        let mut fails = trial(side(&[], 5), side(&[], 5));
        fails.runs[0].1.new.failures.push(Failed {
            rule: "r".to_owned(),
            code: "divide-by-zero".to_owned(),
            reason: "trap: integer divide by zero".to_owned(),
            report: String::new(),
            event: Some("e7".to_owned()),
        });
        let burns = trial(side(&[], 20_000_000), side(&[], 80_000_001));
        let from_little = trial(side(&[], 0), side(&[], 40_000_001));
        for (trial, word) in [
            (fails, "event e7 of acme"),
            (burns, "80,000,001"),
            (from_little, "fuel_factor: 4"),
        ] {
            let Decision::Refuse(why) = decided(&trial, OnDifference::Promote, true) else {
                panic!("it is refused")
            };
            assert!(why.contains(word), "{why}");
        }
        let enough = trial(side(&[], 20_000_000), side(&[], 80_000_000));
        assert!(matches!(
            decided(&enough, OnDifference::Wait, false),
            Decision::Promote(_)
        ));
    }

    #[test]
    fn alerts_of_rules_that_were_not_there_before_are_listed_and_keep_nobody_waiting() {
        let mut grown = trial(side(&[], 5), side(&[told("al_1", "t")], 5));
        grown.known = vec!["other".to_owned()];
        let Decision::Promote(why) = decided(&grown, OnDifference::Wait, false) else {
            panic!("it takes over")
        };
        assert!(why.contains("new rules would have raised 1 alert"), "{why}");
        let mut new = grown.clone();
        new.known.clear();
        let Decision::Promote(why) = decided(&new, OnDifference::Wait, false) else {
            panic!("it goes live")
        };
        assert_eq!(
            why,
            "new: it would have raised 1 alert on 1,200 stored events of 1 tenant"
        );
    }
}
