//! A module that was admitted, and the call of one of its rules.

use std::sync::Arc;

use picket_contract::{Call, Evaluate, Failure, FailureKind, Manifest, Outcome, StateLimits, Usage};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use wasmtime::{ResourceLimiter, Store};

use crate::engine::Inner;
use crate::failure::{OverCap, failure};
use crate::peak::{Highest, Peak};
use crate::services::{Lent, SERVICES};
use crate::source_line::SourceLines;
use crate::{CallLimits, Rejected, answer, text, wire};

/// An admitted module. Calls of it may come from several threads at once; each gets an instance of its own.
pub struct Module {
    /// Of the bytes it was made of, as `sha256sum` would say it: `sha256:` and 64 hex digits.
    pub digest: Arc<str>,
    /// What it says of itself, validated.
    pub manifest: Arc<Manifest>,
    /// It looks things up in the tenant's tables: whether it imports the interface.
    pub looks_up: bool,
    /// What each call of it may spend.
    pub limits: CallLimits,
    pub(crate) engine: Arc<Inner>,
    pub(crate) code: Arc<Code>,
    /// Of each rule, in the manifest's order.
    pub(crate) peaks: Arc<[Peak]>,
    pub(crate) lines: Arc<SourceLines>,
}

/// What a call needs of a compiled module.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) evaluate: ComponentExportIndex,
}

/// What a store owns: the caps of one instance.
#[derive(Debug)]
pub(crate) struct Guest {
    memory_most: usize,
    memory_peak: usize,
    table_most: usize,
    /// What was last given to the guest, to tell what it used.
    budget: u64,
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let most = maximum.unwrap_or(usize::MAX).min(self.memory_most);
        if desired > most {
            return Err(OverCap {
                wanted: desired,
                most,
                unit: "bytes of memory",
            }
            .into());
        }
        self.memory_peak = self.memory_peak.max(desired);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let most = maximum.unwrap_or(usize::MAX).min(self.table_most);
        if desired > most {
            return Err(OverCap {
                wanted: desired,
                most,
                unit: "table entries",
            }
            .into());
        }
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }
}

impl Guest {
    /// A store with its caps, and fuel to bring one instance up.
    pub(crate) fn store(engine: &Inner, memory_bytes: usize, fuel: u64) -> wasmtime::Result<Store<Guest>> {
        let guest = Guest {
            memory_most: memory_bytes,
            memory_peak: 0,
            table_most: engine.limits.table_entries,
            budget: 0,
        };
        let mut store = Store::new(&engine.engine, guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(engine.limits.handover_bytes);
        refill(&mut store, fuel)?;
        Ok(store)
    }
}

/// A new budget.
pub(crate) fn refill(store: &mut Store<Guest>, fuel: u64) -> wasmtime::Result<()> {
    store.data_mut().budget = fuel;
    store.set_fuel(fuel)
}

/// What the last budget was spent on.
pub(crate) fn usage(store: &Store<Guest>, log_dropped: u64) -> Usage {
    let left = store.get_fuel().unwrap_or(0);
    let guest = store.data();
    Usage {
        fuel: guest.budget.saturating_sub(left),
        memory: guest.memory_peak as u64,
        log_dropped,
    }
}

impl Module {
    /// Says in one text what its limits are: part of a generation, since they decide outcomes.
    #[must_use]
    pub fn allowed(&self) -> String {
        format!("{:?}", self.limits)
    }

    fn run(&self, store: &mut Store<Guest>, call: &Call<'_>) -> wasmtime::Result<Result<Vec<wire::Alert>, String>> {
        let instance = self.code.pre.instantiate(&mut *store)?;
        refill(store, self.limits.fuel)?;
        let evaluate = instance
            .get_typed_func::<wire::EvaluateParams<'_>, wire::EvaluateResults>(&mut *store, &self.code.evaluate)?;
        let (answer,) = evaluate.call(store, (call.rule, wire::Batch::from(call.batch)))?;
        Ok(answer)
    }

    /// The same module, with other limits for each call; what it has used at most so far stays known. More memory than the
    /// pool is made for is not to be had.
    ///
    /// # Errors
    /// It cannot be brought up with so little memory.
    pub fn under(&self, limits: CallLimits) -> Result<Module, Rejected> {
        let limits = CallLimits {
            memory_bytes: limits.memory_bytes.min(self.engine.limits.most_memory_bytes()),
            ..limits
        };
        self.engine.describe(&self.code, limits.memory_bytes)?;
        Ok(Module {
            digest: self.digest.clone(),
            manifest: self.manifest.clone(),
            looks_up: self.looks_up,
            limits,
            engine: self.engine.clone(),
            code: self.code.clone(),
            peaks: self.peaks.clone(),
            lines: self.lines.clone(),
        })
    }

    /// The most that calls of a rule have used so far.
    #[must_use]
    pub fn highest(&self, rule: &str) -> Highest {
        self.peak(rule).map(Peak::highest).unwrap_or_default()
    }

    fn peak(&self, rule: &str) -> Option<&Peak> {
        let mut rules = self.manifest.rules.iter();
        self.peaks.get(rules.position(|own| own.id == rule)?)
    }
}

impl Evaluate for Module {
    fn state_limits(&self) -> StateLimits {
        self.limits.state
    }

    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let limits = &self.limits;
        let given = limits.allowance();
        let peak = self.peak(call.rule);
        if let Some(peak) = peak {
            peak.called();
        }
        let state = call.state.summary();
        let _slot = self.engine.slots.take(call.rule);
        let mut lent = Lent::new(call, limits);
        let host = |error: wasmtime::Error| Failure::new(FailureKind::Host, error.to_string(), Usage::default());
        let mut store = Guest::store(&self.engine, limits.memory_bytes, self.engine.limits.start_fuel).map_err(host)?;
        let answer = SERVICES.set(&mut lent, || self.run(&mut store, &call));

        let usage = usage(&store, lent.dropped());
        let failed = |kind, message| Failure {
            given: Some(given),
            ..Failure::new(kind, message, usage)
        };
        let alerts = match answer {
            Ok(Ok(alerts)) => alerts,
            Ok(Err(message)) => return Err(failed(FailureKind::RuleError, text::clean(&message, 1000))),
            Err(error) => {
                let stack = self.engine.limits.stack_bytes;
                return Err(failure(&error, lent.last_error(), usage, given, stack, &self.lines));
            }
        };
        let alerts = answer::check(alerts, call.batch, &limits.alerts)
            .map_err(|message| failed(FailureKind::Malformed, message))?;
        let (changes, log, _) = lent.finish();
        let outcome = Outcome {
            alerts,
            changes,
            usage,
            log,
        };
        if let Some(peak) = peak {
            peak.note(&outcome, state);
        }
        Ok(outcome)
    }
}

impl Code {
    /// The exports of a compiled module, by index, so that a call looks nothing up by name.
    pub(crate) fn new(component: &Component, pre: InstancePre<Guest>, export: &str) -> Option<Code> {
        let interface = component.get_export_index(None, export)?;
        Some(Code {
            describe: component.get_export_index(Some(&interface), "describe")?,
            evaluate: component.get_export_index(Some(&interface), "evaluate")?,
            pre,
        })
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules: Vec<&str> = self.manifest.rules.iter().map(|rule| rule.id.as_str()).collect();
        f.debug_struct("Module")
            .field("digest", &self.digest)
            .field("rules", &rules)
            .finish_non_exhaustive()
    }
}
