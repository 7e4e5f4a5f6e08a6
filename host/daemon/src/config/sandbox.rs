//! `sandbox:`: what rules may spend, for all modules and for single ones, and what is done when one fails.
//!
//! Every limit has a default that fits each stock rule ten times over, so most configurations have no such section. Modules
//! are named by their file, relative to the rules directory; what is said of one goes over what is said of all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use picket_event::Permission;
use picket_judge::{Holding, OnPoison, Settings};
use picket_sandbox::{AlertLimits, CallLimits, Compile, Engine, EngineError, Limits, LogLimits, StaticLimits};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::tenant::Checker;
use super::{Permissions, Problem};

/// What rules may spend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sandbox {
    /// What compiling one module may take.
    pub(crate) compile: CompileLimits,
    /// Fuel that the rules of one tenant may burn in a minute, all together. Past it they are held back, and miss nothing.
    pub(crate) fuel_per_minute: u64,
    /// Calls that run at once, over all tenants.
    pub(crate) calls_at_once: u32,
    /// Most stack of a rule, bytes.
    pub(crate) stack_bytes: usize,
    /// A call that takes longer on the wall clock is reported.
    pub(crate) late_after: Duration,
    /// What a call of any module may spend.
    pub(crate) limits: CallLimits,
    /// What all rules of a tenant may remember, bytes.
    pub(crate) tenant_state_bytes: u64,
    /// Memory for what rules remember, over all tenants, bytes.
    pub(crate) holding_bytes: u64,
    /// What is said of single modules, by file relative to the rules directory.
    pub(crate) modules: BTreeMap<String, ModulePolicy>,
}

/// What compiling one module may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompileLimits {
    /// Size of the file, bytes; the other limits on what is compiled grow with it.
    pub(crate) module_bytes: usize,
    /// Memory, bytes.
    pub(crate) memory_bytes: u64,
    /// Time on the wall clock.
    pub(crate) time: Duration,
}

/// What is said of one module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModulePolicy {
    /// What a call of it may spend.
    pub(crate) limits: CallLimits,
    /// What becomes of a row that it fails on alone.
    pub(crate) on_poison: OnPoison,
    /// What it may read of what its rules declare.
    pub(crate) permission: Permission,
}

impl Default for Sandbox {
    fn default() -> Self {
        let limits = Limits::default();
        Sandbox {
            compile: CompileLimits {
                module_bytes: limits.module.bytes,
                memory_bytes: 512 << 20,
                time: Duration::from_secs(10),
            },
            fuel_per_minute: 30_000_000_000,
            calls_at_once: limits.concurrency,
            stack_bytes: limits.stack_bytes,
            late_after: limits.late_after,
            limits: limits.call(),
            tenant_state_bytes: Settings::default().state_bytes,
            holding_bytes: Holding::default().usage().budget,
            modules: BTreeMap::new(),
        }
    }
}

impl Sandbox {
    /// What holds for a module, by its file relative to the rules directory.
    pub(crate) fn module(&self, file: &str) -> ModulePolicy {
        self.modules.get(file).cloned().unwrap_or_else(|| ModulePolicy {
            limits: self.limits,
            on_poison: OnPoison::default(),
            permission: Permission::default(),
        })
    }

    /// The sandbox: it compiles in processes of their own, and keeps compiled code in this directory, if there is one.
    ///
    /// # Errors
    /// The machine cannot give it, or the directory is not ours alone.
    pub(crate) fn start(&self, cache: Option<PathBuf>) -> Result<Engine, EngineError> {
        let compile = Compile::with_this_program(picket_sandbox::CompileLimits {
            memory_bytes: self.compile.memory_bytes,
            time: self.compile.time,
            ..picket_sandbox::CompileLimits::default()
        });
        Engine::compiling(Limits { cache, ..self.engine() }, compile)
    }

    /// As the sandbox's engine takes them.
    pub(crate) fn engine(&self) -> Limits {
        let memory = self.modules.values().map(|module| module.limits.memory_bytes);
        Limits {
            fuel: self.limits.fuel,
            memory_bytes: self.limits.memory_bytes,
            pool_memory_bytes: memory.max().unwrap_or_default(),
            stack_bytes: self.stack_bytes,
            concurrency: self.calls_at_once,
            state: self.limits.state,
            alerts: self.limits.alerts,
            log: self.limits.log,
            late_after: self.late_after,
            module: StaticLimits::for_files_of(self.compile.module_bytes),
            ..Limits::default()
        }
    }
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SandboxFile {
    compile: Option<CompileFile>,
    fuel_per_minute: Option<Spanned<Value>>,
    calls_at_once: Option<Spanned<Value>>,
    stack_kb: Option<Spanned<Value>>,
    late_after: Option<Spanned<String>>,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    state: StateFile,
    #[serde(default)]
    modules: BTreeMap<String, Spanned<ModuleFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompileFile {
    module_mb: Option<Spanned<Value>>,
    memory_mb: Option<Spanned<Value>>,
    seconds: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    fuel: Option<Spanned<Value>>,
    memory_mb: Option<Spanned<Value>>,
    alerts: Option<Spanned<Value>>,
    log_lines: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    rule_mb: Option<Spanned<Value>>,
    tenant_mb: Option<Spanned<Value>>,
    memory_mb: Option<Spanned<Value>>,
}

/// One module, as written. Flat: what an operator says of one module is a line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleFile {
    fuel: Option<Spanned<Value>>,
    memory_mb: Option<Spanned<Value>>,
    alerts: Option<Spanned<Value>>,
    log_lines: Option<Spanned<Value>>,
    state_mb: Option<Spanned<Value>>,
    on_poison: Option<Spanned<String>>,
    #[serde(default)]
    deny_fields: Vec<Spanned<String>>,
    #[serde(default)]
    grant: Vec<Spanned<String>>,
}

/// The section in a tenant's file: what modules may read of this tenant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantSandboxFile {
    #[serde(default)]
    modules: BTreeMap<String, Spanned<TenantModuleFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantModuleFile {
    #[serde(default)]
    deny_fields: Vec<Spanned<String>>,
    #[serde(default)]
    grant: Vec<Spanned<String>>,
}

impl Checker<'_> {
    /// The section, checked; what is not said is as it is by default.
    pub(super) fn sandbox(&self, file: &SandboxFile, problems: &mut Vec<Problem>) -> Sandbox {
        let default = Sandbox::default();
        let compile = file.compile.as_ref();
        let number = |key: &str, given: Option<&Spanned<Value>>, range, otherwise, problems: &mut Vec<Problem>| {
            self.number(key, given, range, otherwise, problems)
        };
        let module_mb = number(
            "compile: module_mb",
            compile.and_then(|compile| compile.module_mb.as_ref()),
            (1, 64),
            (default.compile.module_bytes >> 20) as u64,
            problems,
        );
        let compile = CompileLimits {
            module_bytes: usize::try_from(module_mb << 20).unwrap_or(usize::MAX),
            memory_bytes: number(
                "compile: memory_mb",
                compile.and_then(|compile| compile.memory_mb.as_ref()),
                (128, 8192),
                default.compile.memory_bytes >> 20,
                problems,
            ) << 20,
            time: Duration::from_secs(number(
                "compile: seconds",
                compile.and_then(|compile| compile.seconds.as_ref()),
                (1, 300),
                default.compile.time.as_secs(),
                problems,
            )),
        };
        let limits = &file.limits;
        let given = Given {
            fuel: limits.fuel.as_ref(),
            memory_mb: limits.memory_mb.as_ref(),
            alerts: limits.alerts.as_ref(),
            log_lines: limits.log_lines.as_ref(),
            state_mb: file.state.rule_mb.as_ref(),
        };
        let limits = self.call_limits("limits", given, default.limits, problems);
        let tenant_state_bytes = number(
            "state: tenant_mb",
            file.state.tenant_mb.as_ref(),
            (1, 1 << 20),
            default.tenant_state_bytes >> 20,
            problems,
        ) << 20;
        let holding_bytes = number(
            "state: memory_mb",
            file.state.memory_mb.as_ref(),
            (0, 1 << 20),
            default.holding_bytes >> 20,
            problems,
        ) << 20;
        let fuel = file.fuel_per_minute.as_ref();
        let fuel_per_minute = number(
            "fuel_per_minute",
            fuel,
            (MOST_FUEL / 100, u64::MAX),
            default.fuel_per_minute,
            problems,
        );
        if fuel_per_minute < limits.fuel && problems.is_empty() {
            let at = fuel.map_or(Location::UNKNOWN, |fuel| fuel.referenced);
            let problem = self.problem(at, "sandbox: `fuel_per_minute` is less than the `fuel` of one call");
            problems.push(problem.hint("a single call would hold the tenant's rules back for minutes: raise it"));
        }
        let calls = u64::from(default.calls_at_once);
        let calls = number("calls_at_once", file.calls_at_once.as_ref(), (1, 256), calls, problems);
        let stack = (default.stack_bytes >> 10) as u64;
        let stack = number("stack_kb", file.stack_kb.as_ref(), (64, MOST_STACK_KB), stack, problems);
        let late_after = self.span(file.late_after.as_ref(), "1s", problems);
        let mut modules = BTreeMap::new();
        for (name, module) in &file.modules {
            let policy = self.module_policy(name, module, limits, problems);
            modules.insert(name.clone(), policy);
        }
        Sandbox {
            compile,
            fuel_per_minute,
            calls_at_once: u32::try_from(calls).unwrap_or(u32::MAX),
            stack_bytes: usize::try_from(stack << 10).unwrap_or(usize::MAX),
            late_after: Duration::from_millis(u64::try_from(late_after).unwrap_or(1000).max(1)),
            limits,
            tenant_state_bytes,
            holding_bytes,
            modules,
        }
    }

    fn module_policy(
        &self,
        name: &str,
        module: &Spanned<ModuleFile>,
        limits: CallLimits,
        problems: &mut Vec<Problem>,
    ) -> ModulePolicy {
        let file = &module.value;
        let place = format!("modules: {name}");
        self.module_file("sandbox", name, module.referenced, problems);
        let given = Given {
            fuel: file.fuel.as_ref(),
            memory_mb: file.memory_mb.as_ref(),
            alerts: file.alerts.as_ref(),
            log_lines: file.log_lines.as_ref(),
            state_mb: file.state_mb.as_ref(),
        };
        ModulePolicy {
            limits: self.call_limits(&place, given, limits, problems),
            on_poison: self.on_poison(&place, file.on_poison.as_ref(), problems),
            permission: self.permission(&place, &file.deny_fields, &file.grant, problems),
        }
    }

    /// Whether a name is that of a file in the rules directory.
    pub(super) fn module_file(&self, section: &str, name: &str, at: Location, problems: &mut Vec<Problem>) {
        if !name.ends_with(".wasm") || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            let problem = self.problem(at, format!("{section}: `{name}` is no module's file"));
            problems
                .push(problem.hint("write it as it lies in rules_dir: acme-vpn.wasm, or acme/vpn.wasm for one tenant"));
        }
    }

    /// What a tenant's file says that modules may read.
    pub(super) fn permissions(&self, file: &TenantSandboxFile, problems: &mut Vec<Problem>) -> Permissions {
        let mut permissions = Permissions::new();
        for (name, module) in &file.modules {
            self.module_file("sandbox", name, module.referenced, problems);
            let TenantModuleFile { deny_fields, grant } = &module.value;
            let permission = self.permission(&format!("modules: {name}"), deny_fields, grant, problems);
            permissions.insert(name.clone(), permission);
        }
        permissions
    }

    fn permission(
        &self,
        place: &str,
        deny_fields: &[Spanned<String>],
        grant: &[Spanned<String>],
        problems: &mut Vec<Problem>,
    ) -> Permission {
        let mut permission = Permission::default();
        for path in deny_fields {
            match permission.clone().denying(&path.value) {
                Ok(denying) => permission = denying,
                Err(why) => {
                    let what = format!("sandbox: {place}: deny_fields: {why}");
                    problems.push(self.problem(path.referenced, what));
                }
            }
        }
        for grant in grant {
            permission = match grant.value.as_str() {
                "phone" => permission.granting_clear(),
                "raw" => permission.granting_raw(),
                other => {
                    let what = format!("sandbox: {place}: nothing called `{other}` can be granted");
                    problems.push(self.problem(grant.referenced, what).hint("grants are phone and raw"));
                    permission
                }
            };
        }
        permission
    }

    fn on_poison(&self, place: &str, given: Option<&Spanned<String>>, problems: &mut Vec<Problem>) -> OnPoison {
        match given.map(|given| given.value.as_str()) {
            None | Some("quarantine") => OnPoison::Quarantine,
            Some("skip") => OnPoison::Skip,
            Some(other) => {
                let at = given.map_or(Location::UNKNOWN, |given| given.referenced);
                let problem = self.problem(at, format!("sandbox: {place}: `on_poison: {other}` is not known"));
                problems.push(problem.hint(
                    "quarantine (the rule stops before the row, is probed, and misses nothing) or skip (it goes on behind it)",
                ));
                OnPoison::Quarantine
            }
        }
    }

    fn call_limits(
        &self,
        place: &str,
        given: Given<'_>,
        otherwise: CallLimits,
        problems: &mut Vec<Problem>,
    ) -> CallLimits {
        let mut number = |key: &str, given, range, otherwise: usize| {
            let number = self.number(&format!("{place}: {key}"), given, range, otherwise as u64, problems);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let memory = number("memory_mb", given.memory_mb, (1, 1024), otherwise.memory_bytes >> 20);
        let state = number("state_mb", given.state_mb, (1, 4096), otherwise.state.total_bytes >> 20);
        let alerts = number("alerts", given.alerts, (1, 100_000), otherwise.alerts.call);
        let lines = number("log_lines", given.log_lines, (0, 100_000), otherwise.log.lines);
        let range = (MOST_FUEL / 100_000, MOST_FUEL);
        CallLimits {
            fuel: self.number(&format!("{place}: fuel"), given.fuel, range, otherwise.fuel, problems),
            memory_bytes: memory << 20,
            state: picket_contract::state::StateLimits {
                total_bytes: state << 20,
                ..otherwise.state
            },
            alerts: AlertLimits {
                call: alerts,
                ..otherwise.alerts
            },
            log: LogLimits { lines, ..otherwise.log },
        }
    }

    /// A whole number, perhaps with K, M or G (thousands, millions, thousand millions) behind it.
    fn number(
        &self,
        key: &str,
        given: Option<&Spanned<Value>>,
        (least, most): (u64, u64),
        otherwise: u64,
        problems: &mut Vec<Problem>,
    ) -> u64 {
        let Some(given) = given else { return otherwise };
        let number = match &given.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => scaled(text),
            _ => None,
        };
        let Some(number) = number else {
            let problem = self.problem(given.referenced, format!("sandbox: `{key}` is not a whole number"));
            problems
                .push(problem.hint("write 2000000, or 2M; K, M and G are thousands, millions and thousand millions"));
            return otherwise;
        };
        if !(least..=most).contains(&number) {
            let problem = self.problem(given.referenced, format!("sandbox: `{key}` is out of range"));
            let most = if most == u64::MAX {
                String::new()
            } else {
                format!(", {most} at most")
            };
            problems.push(problem.hint(format!("{least} at least{most}; leave it out for {otherwise}")));
            return otherwise;
        }
        number
    }
}

/// Most stack that a rule may be given, KiB.
const MOST_STACK_KB: u64 = 1024;

/// Stack of the threads that judge, bytes: enough for whatever `stack_kb` says, since they are there before it is read. Memory
/// is only used as far as it is touched.
pub(crate) fn thread_stack() -> usize {
    let limits = Limits {
        stack_bytes: usize::try_from(MOST_STACK_KB << 10).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    limits.thread_stack_bytes()
}

/// Most fuel for one call: some seconds of computing.
const MOST_FUEL: u64 = 10_000_000_000;

/// Limits of a call, as written.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    fuel: Option<&'a Spanned<Value>>,
    memory_mb: Option<&'a Spanned<Value>>,
    alerts: Option<&'a Spanned<Value>>,
    log_lines: Option<&'a Spanned<Value>>,
    state_mb: Option<&'a Spanned<Value>>,
}

fn scaled(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, scale) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1_000),
        (at, 'm' | 'M') => (text.get(..at)?, 1_000_000),
        (at, 'g' | 'G') => (text.get(..at)?, 1_000_000_000),
        _ => (text, 1),
    };
    digits.trim().replace('_', "").parse::<u64>().ok()?.checked_mul(scale)
}
