//! Judges cases and compares what was raised with what was expected.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use picket_contract::{Admission, Evaluate, Manifest, RuleManifest, Tables, params};
use picket_event::{Mask, Permission};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::lookup::Lookup;
use picket_judge::{JudgedRule, Settings, Tenant, TenantJudge, Verdict};
use picket_store::{AlertRow, DedupRow, InIncident, RuleCommit};
use serde_json::Value;

use crate::arrival::{Arrival, journal};
use crate::cases::{Case, Expected, parse};
use crate::time;

/// What came of a rule's cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases that raised what they expect, however they arrived.
    pub passed: usize,
    /// The others.
    pub failures: Vec<CaseFailure>,
    /// By what the alerts of its cases join incidents: `user:ada`. With an empty text among them: one of them by nothing.
    pub principals: BTreeSet<String>,
}

/// A case that did not raise what it expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// Its name.
    pub case: String,
    /// In which order the events arrived.
    pub arrival: Arrival,
    /// What was expected and what came.
    pub why: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "  FAILED  {}  ({})", failure.case, failure.arrival.as_str())?;
            for line in failure.why.lines() {
                writeln!(f, "          {line}")?;
            }
        }
        write!(f, "  {} passed, {} failed", self.passed, self.failures.len())
    }
}

/// Runs the cases that travel with a rule.
///
/// # Errors
/// The rule has no cases, or they cannot be read.
pub fn run(rule: &RuleManifest, evaluator: &Arc<dyn Evaluate>) -> Result<Report, String> {
    if rule.tests.trim().is_empty() {
        return Err(format!(
            "rule `{}` has no tests: add #[rule(tests = \"cases.yaml\")]",
            rule.id
        ));
    }
    run_yaml(&rule.tests, rule, evaluator)
}

/// Runs cases against a rule.
///
/// # Errors
/// The cases cannot be read, or are another rule's.
pub fn run_yaml(yaml: &str, rule: &RuleManifest, evaluator: &Arc<dyn Evaluate>) -> Result<Report, String> {
    let suite = parse(yaml).map_err(|error| format!("the tests of rule `{}`: {error}", rule.id))?;
    if suite.rule != rule.id {
        return Err(format!(
            "the tests of rule `{}` are for a rule `{}`",
            rule.id, suite.rule
        ));
    }
    let mut report = Report::default();
    for case in &suite.cases {
        let failed = Arrival::ALL.into_iter().find_map(|arrival| {
            let why = check(case, rule, evaluator, arrival, &mut report.principals).err()?;
            Some(CaseFailure {
                case: case.name.clone(),
                arrival,
                why,
            })
        });
        match failed {
            Some(failure) => report.failures.push(failure),
            None => report.passed += 1,
        }
    }
    Ok(report)
}

/// Runs cases against a natively compiled rule: what `cargo test` in a rule's crate does.
///
/// # Errors
/// A readable report of what failed.
pub fn run_native(yaml: &str, manifest: &str, evaluator: Arc<dyn Evaluate>) -> Result<(), String> {
    let manifest: Manifest = serde_json::from_str(manifest).map_err(|error| format!("the manifest: {error}"))?;
    let rule = manifest.rules.first().ok_or("the manifest has no rule")?;
    let report = run_yaml(yaml, rule, &evaluator)?;
    if report.failures.is_empty() {
        Ok(())
    } else {
        Err(format!("rule `{}`:\n{report}", rule.id))
    }
}

fn check(
    case: &Case,
    rule: &RuleManifest,
    evaluator: &Arc<dyn Evaluate>,
    arrival: Arrival,
    principals: &mut BTreeSet<String>,
) -> Result<(), String> {
    let params = params::resolve(rule, &case.params)
        .map_err(|wrong| wrong.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; "))?;
    let mut judged = JudgedRule::new(
        Arc::new(rule.clone()),
        evaluator.clone(),
        "test".into(),
        Arc::new(params),
    );
    judged.tables = Arc::new(tables(case));
    // A rule that asks for what is received is tested as if it were granted; numbers in fields are masked, as for nearly all.
    judged.terms.permission = Arc::new(Permission::default().granting_raw());
    let journal = journal(case, rule, arrival)?;
    let alerts = judge(judged, &journal, arrival)?;
    let incidents = alerts.iter().filter_map(|alert| alert.incident.as_ref());
    let principal = |incident: &InIncident| incident.principal.as_deref().unwrap_or_default().to_owned();
    principals.extend(incidents.map(principal));
    compare(&case.expect, &alerts)
}

fn tables(case: &Case) -> Tables {
    let objects = |objects: &Vec<String>| objects.clone();
    let inventory: Vec<(&str, Vec<String>)> = case
        .inventory
        .iter()
        .map(|(kind, all)| (kind.as_str(), objects(all)))
        .collect();
    let inventory = inventory
        .iter()
        .map(|(kind, all)| (*kind, all.iter().map(String::as_str)));
    let mut tables = Tables::clone(&Lookup::of(inventory, &Mask::substitute()).tables);
    for (name, keys) in &case.tables {
        let row = |(key, value): (&String, &String)| (key.clone(), vec![("value".to_owned(), value.clone())]);
        tables.write(name, keys.iter().map(row));
    }
    tables
}

/// The rule between two calls: what a restart finds again.
fn judge(mut rule: JudgedRule, journal: &[Admission], arrival: Arrival) -> Result<Vec<AlertRow>, String> {
    let settings = match arrival {
        Arrival::OneRowACall => Settings {
            batch_rows: 1,
            ..Settings::default()
        },
        _ => Settings::default(),
    };
    let mut alerts: Vec<AlertRow> = Vec::new();
    let mut tenant_judge = start(&rule, &alerts, settings, journal)?;
    let mut after = 0;
    for admission in journal {
        let now = admission
            .events
            .iter()
            .map(|event| event.time)
            .max()
            .unwrap_or(time::DAY_ZERO);
        let fed = tenant_judge.feed(after, std::slice::from_ref(admission), &journal, now);
        let verdict = fed.map_err(|error| error.to_string())?;
        after = admission.last_seq();
        if let Some(trouble) = verdict.troubles.first() {
            return Err(format!("the rule failed\n{}", trouble.report));
        }
        take(&mut rule, &mut alerts, verdict);
        if arrival == Arrival::Restarted {
            tenant_judge = start(&rule, &alerts, settings, journal)?;
        }
    }
    Ok(alerts)
}

fn start(
    rule: &JudgedRule,
    alerts: &[AlertRow],
    settings: Settings,
    journal: &[Admission],
) -> Result<TenantJudge, String> {
    let tenant = Arc::new(Tenant {
        id: "test".into(),
        name: "Test".into(),
        timezone: "UTC".into(),
        panel: None,
        mask: Mask::substitute(),
    });
    let dedup = Dedup::restore(alerts.iter().map(|alert| DedupRow {
        rule: alert.rule.clone(),
        key: alert.dedup_key.clone(),
        alert: alert.id.clone(),
        time: alert.time,
        until: alert.dedup_until,
        shadow: alert.shadow,
    }));
    // The host's acquaintance only colours alerts; a case does not look at it.
    let known = Acquaintance::restore(rule.position.clone(), &picket_contract::RuleState::default());
    TenantJudge::new(tenant, settings, 1, vec![rule.clone()], dedup, known, &journal).map_err(|error| error.to_string())
}

fn take(rule: &mut JudgedRule, alerts: &mut Vec<AlertRow>, verdict: Verdict) {
    for RuleCommit {
        position,
        changes,
        standing,
        ..
    } in verdict
        .commits
        .into_iter()
        .filter(|commit| *commit.rule == *rule.manifest.id)
    {
        rule.position = position;
        rule.state.apply(&changes);
        rule.standing = standing;
    }
    alerts.extend(verdict.alerts);
    for repeat in verdict.repeats {
        if let Some(alert) = alerts.iter_mut().find(|alert| alert.id == repeat.id) {
            alert.repeats += repeat.count;
        }
    }
}

fn compare(expected: &[Expected], alerts: &[AlertRow]) -> Result<(), String> {
    let came = || {
        alerts
            .iter()
            .map(|alert| format!("  {}", show(alert)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    if expected.len() != alerts.len() {
        let came = if alerts.is_empty() {
            String::new()
        } else {
            format!(":\n{}", came())
        };
        return Err(format!(
            "expected {} alerts, came {}{came}",
            expected.len(),
            alerts.len()
        ));
    }
    let mut wrong = Vec::new();
    for (index, (expected, alert)) in expected.iter().zip(alerts).enumerate() {
        let json: Value =
            serde_json::from_str(&alert.json).map_err(|error| format!("the alert is no JSON: {error}"))?;
        // A case is written with phone numbers, and alerts have pseudonyms.
        let mut differ = |what: &str, expected: String, came: String| {
            if expected != came && Mask::substitute().label(&expected) != came {
                wrong.push(format!("alert {}: {what}: expected {expected}, came {came}", index + 1));
            }
        };
        if let Some(title) = &expected.title {
            differ("title", title.clone(), plain(json.get("title")));
        }
        if let Some(severity) = &expected.severity {
            differ("severity", severity.clone(), alert.severity.as_str().to_owned());
        }
        if let Some(about) = &expected.about {
            differ("about", about.clone(), alert.about.to_string());
        }
        if let Some(at) = &expected.time {
            differ("time", time::show(time::at(at, None)?), time::show(alert.time));
        }
        if let Some(evidence) = expected.evidence {
            let events = json.get("events").and_then(Value::as_array).map_or(0, Vec::len);
            differ("evidence", evidence.to_string(), events.to_string());
        }
        if let Some(repeats) = expected.repeats {
            differ("repeats", repeats.to_string(), alert.repeats.to_string());
        }
        for (name, value) in &expected.facts {
            let fact = json.get("facts").and_then(|facts| facts.get(name));
            differ(&format!("fact \"{name}\""), plain(Some(value)), plain(fact));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

fn show(alert: &AlertRow) -> String {
    let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
    format!(
        "{} {} {}",
        time::show(alert.time),
        alert.severity.as_str(),
        plain(json.get("title"))
    )
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
