//! What the targets share: a sandbox with small budgets, calls made twice, and what every answer must keep to.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{Batch, Call, Evaluate, Failure, FailureKind, Outcome, ParamValue, Params, RuleState, Tables};
use picket_sandbox::{Engine, Limits, Module};

/// Fuel of a call: enough to get somewhere, and soon at its end.
const FUEL: u64 = 3_000_000;

/// A sandbox, and what a call is lent.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) engine: Engine,
    limits: Limits,
    pub(crate) state: RuleState,
    params: Params,
    tables: Tables,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(FUEL)
    }

    /// With this budget for whatever it calls.
    #[allow(clippy::expect_used, reason = "without a sandbox there is nothing to fuzz")]
    pub(crate) fn with(fuel: u64) -> Self {
        let limits = Limits {
            concurrency: 2,
            fuel,
            start_fuel: fuel,
            describe_fuel: fuel,
            ..Limits::default()
        };
        let entry = |number: u32| {
            let value = vec![7; (number * number) as usize].into();
            (
                number.to_be_bytes().into(),
                StateEntry {
                    value,
                    expires_at: i64::from(number) * 1000,
                },
            )
        };
        let timer = |number: u32| (Arc::from(number.to_le_bytes()), i64::from(number) * 700);
        let row = |number: u32| vec![("value".to_owned(), "x".repeat(number as usize))];
        let rows = BTreeMap::from([
            (String::new(), (0..50).map(row).collect()),
            ("k".to_owned(), vec![row(3)]),
        ]);
        let texts = (0..20).map(|number| "t".repeat(number)).collect();
        House {
            engine: Engine::new(limits.clone()).expect("the sandbox starts"),
            limits,
            state: RuleState::restore(Some(0), (0..60).map(entry), (0..20).map(timer)),
            params: Params::from([
                (String::new(), ParamValue::Text("nameless".to_owned())),
                ("n".to_owned(), ParamValue::Integer(-1)),
                ("t".to_owned(), ParamValue::Texts(texts)),
            ]),
            tables: Tables {
                tables: BTreeMap::from([(String::new(), BTreeMap::from([(String::new(), rows)]))]),
                ..Tables::default()
            },
        }
    }

    /// Calls a rule twice, and holds both answers against the limits and against each other. Returns what came of it.
    pub(crate) fn call(
        &self,
        module: &Module,
        rule: &str,
        batch: &Batch,
        params: Option<&Params>,
    ) -> Result<Answer, String> {
        let call = || {
            module.evaluate(Call {
                rule,
                batch,
                state: &self.state,
                params: params.unwrap_or(&self.params),
                tables: &self.tables,
            })
        };
        let (one, other) = (call(), call());
        if one != other {
            return Err(format!("two equal calls differ: {one:?}\n{other:?}"));
        }
        self.hold(&one)?;
        Ok(one)
    }

    fn hold(&self, answer: &Answer) -> Result<(), String> {
        let limits = &self.limits;
        let usage = match answer {
            Ok(outcome) => outcome.usage,
            Err(failure) => failure.usage,
        };
        if usage.fuel > limits.fuel.max(limits.start_fuel) || usage.memory > limits.memory_bytes as u64 {
            return Err(format!("spent more than it was given: {usage:?}"));
        }
        match answer {
            Err(failure) if failure.kind == FailureKind::Host => Err(format!("the host takes the blame: {failure}")),
            Err(failure) => presentable(&failure.message, 1600),
            Ok(outcome) => {
                if outcome.alerts.len() > limits.alerts.call || outcome.log.len() > limits.log.lines {
                    return Err(format!("{} alerts, {} lines", outcome.alerts.len(), outcome.log.len()));
                }
                for line in &outcome.log {
                    presentable(&line.message, limits.log.line_bytes + 4)?;
                }
                for alert in &outcome.alerts {
                    presentable(&alert.title, limits.alerts.title_bytes + 4)?;
                    presentable(alert.dedup_key.as_deref().unwrap_or_default(), limits.alerts.key_bytes)?;
                    if alert.evidence.is_empty() || alert.evidence.len() > limits.alerts.evidence {
                        return Err(format!("{} pieces of evidence", alert.evidence.len()));
                    }
                }
                let mut state = self.state.clone();
                state.apply(&outcome.changes);
                if state.bytes() > limits.state.total_bytes.max(self.state.bytes()) {
                    return Err(format!("{} bytes of state", state.bytes()));
                }
                Ok(())
            }
        }
    }
}

/// What came of a call.
pub(crate) type Answer = Result<Outcome, Failure>;

/// Nothing in it does anything to a terminal.
pub(crate) fn presentable(text: &str, most: usize) -> Result<(), String> {
    if text.len() > most || text.chars().any(char::is_control) {
        let start: String = text.chars().take(100).collect();
        return Err(format!(
            "text that is not fit to be shown ({} bytes): {start:?}",
            text.len()
        ));
    }
    Ok(())
}

/// A few bits of what came of a call: which end, how much fuel and memory in powers of two.
pub(crate) fn feature(answer: &Answer) -> u64 {
    let (end, usage, alerts) = match answer {
        Ok(outcome) => {
            let kept = outcome.changes.entries.len().min(8) << 8 | outcome.changes.timers.len().min(8) << 4;
            (
                "",
                outcome.usage,
                kept | outcome.alerts.len().min(8) | outcome.log.len().min(8) << 12,
            )
        }
        Err(failure) => (failure.code, failure.usage, 0),
    };
    hash(&(end, usage.fuel.max(1).ilog2(), usage.memory.max(1).ilog2(), alerts))
}

/// Any bits as a number.
pub(crate) fn hash(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The stock modules, where they are built: `target/rules` of the target directory that this program is in.
pub(crate) fn stock() -> Vec<Vec<u8>> {
    let own = std::env::current_exe().unwrap_or_default();
    let rules: Option<PathBuf> = own
        .ancestors()
        .map(|path| path.join("rules"))
        .find(|path| path.is_dir());
    let entries = rules.and_then(|rules| rules.read_dir().ok());
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}
