//! A module's own timed cases, in the sandbox it will judge in, within a budget for all of them.
//!
//! The cases are the module's: a hostile one brings as many as fit into a manifest, each of which spends what a call may spend.
//! Every single call has its limits; what would be without one is how often the module is called.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use picket_contract::{Call, Evaluate, Failure, FailureKind, Outcome, RuleManifest, StateLimits, Usage};

/// What all cases of a module may take together. Each is judged in five orders of arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) cases: usize,
    pub(super) events: usize,
    /// Fuel of all calls.
    pub(super) fuel: u64,
    /// On the wall clock: a backstop for what costs no fuel.
    pub(super) time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            cases: 1000,
            events: 20_000,
            fuel: 20_000_000_000,
            time: Duration::from_secs(20),
        }
    }
}

/// Runs the timed cases of all rules; gives how many passed.
///
/// # Errors
/// A code, and a sentence: a rule without cases, the first rule whose cases fail, with what was expected and what came, or the
/// budget is spent.
pub(super) fn run(
    rules: &[RuleManifest],
    evaluator: Arc<dyn Evaluate>,
    budget: Budget,
) -> Result<usize, (&'static str, String)> {
    let over = |what: &str, limit: &dyn Display| {
        let sentence = format!(
            "its own cases take more than {limit} {what}, which is most for all of a module: fewer events show as much"
        );
        ("cases-limit", sentence)
    };
    let (mut cases, mut events) = (0, 0);
    for rule in rules {
        if rule.tests.trim().is_empty() {
            let sentence = format!("rule `{}` has no tests: add #[rule(tests = \"cases.yaml\")]", rule.id);
            return Err(("no-cases", sentence));
        }
        let suite = picket_test::cases::parse(&rule.tests)
            .map_err(|why| ("cases", format!("the tests of rule `{}`: {why}", rule.id)))?;
        cases += suite.cases.len();
        events += suite.cases.iter().map(|case| case.events.len()).sum::<usize>();
        if cases > budget.cases {
            return Err(over("cases", &budget.cases));
        }
        if events > budget.events {
            return Err(over("events", &budget.events));
        }
    }
    let metered = Arc::new(Metered {
        evaluator,
        fuel: AtomicU64::new(budget.fuel),
        until: Instant::now() + budget.time,
        is_late: AtomicBool::new(false),
    });
    let mut passed = 0;
    for rule in rules {
        let evaluator: Arc<dyn Evaluate> = metered.clone();
        let report = picket_test::run(rule, &evaluator);
        // What was cut short says nothing of the rule.
        if metered.fuel.load(Ordering::Acquire) == 0 {
            return Err(over("fuel", &budget.fuel));
        }
        if metered.is_late.load(Ordering::Acquire) {
            return Err(over("seconds", &budget.time.as_secs()));
        }
        let report = report.map_err(|why| ("cases", why))?;
        if !report.failures.is_empty() {
            return Err(("cases", format!("rule `{}` fails its own tests:\n{report}", rule.id)));
        }
        passed += report.passed;
    }
    Ok(passed)
}

/// Counts what calls cost, and calls no more when it is too much.
#[derive(Debug)]
struct Metered {
    evaluator: Arc<dyn Evaluate>,
    /// What is left.
    fuel: AtomicU64,
    until: Instant,
    is_late: AtomicBool,
}

impl Metered {
    fn spend(&self, usage: Usage) {
        let left = self.fuel.load(Ordering::Acquire);
        self.fuel.store(left.saturating_sub(usage.fuel), Ordering::Release);
    }
}

impl Evaluate for Metered {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if Instant::now() >= self.until {
            self.is_late.store(true, Ordering::Release);
        }
        if self.is_late.load(Ordering::Acquire) || self.fuel.load(Ordering::Acquire) == 0 {
            let why = "the budget of the module's cases is spent";
            return Err(Failure::new(FailureKind::Host, why, Usage::default()));
        }
        let outcome = self.evaluator.evaluate(call);
        self.spend(match &outcome {
            Ok(outcome) => outcome.usage,
            Err(failure) => failure.usage,
        });
        outcome
    }

    fn state_limits(&self) -> StateLimits {
        self.evaluator.state_limits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raises nothing, and costs.
    #[derive(Debug)]
    struct Costly {
        fuel: u64,
        time: Duration,
        calls: AtomicU64,
    }

    impl Evaluate for Costly {
        fn evaluate(&self, _call: Call<'_>) -> Result<Outcome, Failure> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(self.time);
            Ok(Outcome {
                usage: Usage {
                    fuel: self.fuel,
                    ..Usage::default()
                },
                ..Outcome::default()
            })
        }
    }

    fn rule(tests: &str) -> RuleManifest {
        serde_json::from_value(serde_json::json!({
            "id": "r", "version": "1.0.0", "title": "R", "severity": "low", "tests": tests,
            "sources": [{"log": "authentication", "fields": [{"path": "user.name", "type": "text"}]}],
        }))
        .unwrap()
    }

    /// So many cases that expect nothing, with so many events each, and one that expects something.
    fn tests(cases: usize, events: usize) -> String {
        let quiet = format!(
            "  - {{test: quiet, steps: [{{at: \"09:00\", authentication: {{user.name: ada}}, times: {events}, every: 1s}}], expect: none}}\n"
        );
        let loud =
            "  - {test: loud, steps: [{at: \"09:00\", authentication: {user.name: ada}}], expect: [{about: ada}]}\n";
        format!("rule: r\ntests:\n{}{loud}", quiet.repeat(cases))
    }

    fn refused(tests: &str, fuel: u64, time: Duration, budget: Budget) -> (&'static str, String, u64) {
        let costly = Arc::new(Costly {
            fuel,
            time,
            calls: AtomicU64::new(0),
        });
        let (code, why) = run(&[rule(tests)], costly.clone(), budget).unwrap_err();
        (code, why, costly.calls.load(Ordering::Relaxed))
    }

    #[test]
    fn what_a_module_brings_to_be_tested_with_is_bounded() {
        let small = Budget {
            cases: 4,
            events: 40,
            fuel: 1000,
            time: Duration::from_millis(500),
        };
        let none = Duration::ZERO;
        assert_eq!(refused(" ", 1, none, small).0, "no-cases");
        assert_eq!(refused("rule: [", 1, none, small).0, "cases");

        let (code, why, calls) = refused(&tests(4, 1), 1, none, small);
        assert_eq!((code, calls), ("cases-limit", 0), "{why}");
        assert!(why.contains("more than 4 cases"), "{why}");
        let (code, why, calls) = refused(&tests(2, 20), 1, none, small);
        assert_eq!((code, calls), ("cases-limit", 0), "{why}");
        assert!(why.contains("more than 40 events"), "{why}");

        let (code, why, calls) = refused(&tests(1, 30), 300, none, small);
        assert_eq!((code, calls), ("cases-limit", 4), "{why}");
        assert!(why.contains("more than 1000 fuel"), "{why}");
        let (code, why, calls) = refused(&tests(1, 30), 1, Duration::from_millis(200), small);
        assert_eq!(code, "cases-limit", "{why}");
        assert!(calls <= 3, "{calls}");

        // Within it, what is wrong with the rule is said.
        let (code, why, _) = refused(&tests(1, 2), 1, none, small);
        assert_eq!(code, "cases", "{why}");
        assert!(why.contains("fails its own tests"), "{why}");
    }

    #[test]
    fn yaml_that_unfolds_is_refused_before_it_does() {
        let mut bomb = "rule: r\ngiven:\n  authentication: {a: &a0 [x, x, x, x, x, x, x, x, x, x]}\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("  l{level}: {{a: &a{level} [{before}]}}\n"));
        }
        bomb.push_str("tests: []\n");
        assert_eq!(refused(&bomb, 1, Duration::ZERO, Budget::default()).0, "cases");
    }
}
