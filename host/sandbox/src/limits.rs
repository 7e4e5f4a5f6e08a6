//! Every number that bounds a module or a call, in one place.

use std::path::PathBuf;
use std::time::Duration;

use picket_contract::Allowance;
use picket_contract::state::StateLimits;

/// What each call of one module may spend. What is not here is alike for all modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Fuel for one call, however many rows.
    pub fuel: u64,
    /// Most linear memory of an instance, bytes.
    pub memory_bytes: usize,
    /// Caps on one rule's state for one tenant.
    pub state: StateLimits,
    /// Caps on what a call answers.
    pub alerts: AlertLimits,
    /// Caps on what a call logs.
    pub log: LogLimits,
}

impl CallLimits {
    /// What a failure says was given.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance {
            fuel: self.fuel,
            memory: self.memory_bytes as u64,
        }
    }
}

/// What modules and their calls may spend, and how many calls run at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Fuel for one call, however many rows: 100 to 300 ms of plain computing. The greediest stock rule burns 12 million on a
    /// thousand rows.
    pub fuel: u64,
    /// Fuel for bringing an instance up, before the call's own budget begins.
    pub start_fuel: u64,
    /// Fuel for `describe`, which a module answers once, when it is loaded.
    pub describe_fuel: u64,
    /// Most linear memory of an instance, bytes.
    pub memory_bytes: usize,
    /// Most linear memory that any module is given, bytes: what the pool is made for. Less than `memory_bytes` says nothing.
    pub pool_memory_bytes: usize,
    /// Most entries of one table.
    pub table_entries: usize,
    /// Most stack of the guest, bytes. The calling thread needs as much and 512 KiB more.
    pub stack_bytes: usize,
    /// Most bytes a guest hands over in its answer, or in one call of a host function. Host functions look at their
    /// arguments where they are, in the guest's memory, so this much is copied only for the answer.
    pub handover_bytes: usize,
    /// Longest manifest, bytes: it carries the rules' timed cases.
    pub manifest_bytes: usize,
    /// How many calls run at once; more wait.
    pub concurrency: u32,
    /// Let the kernel find the memory that a call used (PAGEMAP_SCAN), where it can. Off only to measure what it is worth.
    pub pagemap_scan: bool,
    /// Caps on one rule's state for one tenant.
    pub state: StateLimits,
    /// Caps on what a call answers.
    pub alerts: AlertLimits,
    /// Caps on what a call logs.
    pub log: LogLimits,
    /// Caps on what is compiled.
    pub module: StaticLimits,
    /// A call that takes longer on the wall clock is reported, and otherwise left alone: fuel decides, not time.
    pub late_after: Duration,
    /// Where compiled code is kept, in a directory that only this user may enter. None: compiled anew each time.
    pub cache: Option<PathBuf>,
    /// Most entries of that directory; those longest unused go first.
    pub cache_files: usize,
    /// Most bytes of its entries together.
    pub cache_bytes: u64,
}

/// Stack for the host's own frames: what calls the guest, and what the guest calls. Tokio's and the standard library's default.
const HOST_STACK: usize = 2 << 20;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel: 200_000_000,
            start_fuel: 5_000_000,
            describe_fuel: 50_000_000,
            memory_bytes: 16 << 20,
            pool_memory_bytes: 0,
            table_entries: 10_000,
            stack_bytes: 256 << 10,
            handover_bytes: 1 << 20,
            manifest_bytes: 4 << 20,
            concurrency: 8,
            pagemap_scan: true,
            state: StateLimits::default(),
            alerts: AlertLimits::default(),
            log: LogLimits::default(),
            module: StaticLimits::default(),
            late_after: Duration::from_secs(1),
            cache: None,
            cache_files: 1000,
            cache_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// What a call of a module may spend of which nothing else is said.
    #[must_use]
    pub fn call(&self) -> CallLimits {
        CallLimits {
            fuel: self.fuel,
            memory_bytes: self.memory_bytes,
            state: self.state,
            alerts: self.alerts,
            log: self.log,
        }
    }

    /// Stack of a thread on which calls are made, bytes: the guest's, and as much for the host below and within it as judging
    /// takes. On a smaller one a rule that recurses would end the process, not the call.
    #[must_use]
    pub fn thread_stack_bytes(&self) -> usize {
        self.stack_bytes + HOST_STACK
    }

    /// Most linear memory that any module may have, bytes.
    #[must_use]
    pub fn most_memory_bytes(&self) -> usize {
        self.memory_bytes.max(self.pool_memory_bytes)
    }
}

/// Caps on the alerts of one call. Text is cut; a wrong number makes the answer malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertLimits {
    /// In one call.
    pub call: usize,
    /// Raised by one row.
    pub row: usize,
    /// Facts of one alert.
    pub facts: usize,
    /// Evidence numbers of one alert.
    pub evidence: usize,
    /// Evidence numbers of all alerts of one call: the host looks each of them up.
    pub call_evidence: usize,
    /// Longest title, bytes.
    pub title_bytes: usize,
    /// Longest dedup key, or key of what it is about, bytes. A longer one is cut and carries a hash of the whole.
    pub key_bytes: usize,
    /// Longest fact (its name or its value), bytes.
    pub fact_bytes: usize,
}

impl Default for AlertLimits {
    fn default() -> Self {
        AlertLimits {
            call: 1000,
            row: 16,
            facts: 64,
            evidence: 1000,
            call_evidence: 10_000,
            title_bytes: 300,
            key_bytes: 512,
            fact_bytes: 2048,
        }
    }
}

/// Caps on the log of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Lines.
    pub lines: usize,
    /// Longest line, bytes; the rest is cut.
    pub line_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        LogLimits {
            lines: 100,
            line_bytes: 1024,
        }
    }
}

/// Caps on what is compiled: a few kilobytes of module can cost a compiler minutes, and that is no bug of the compiler.
///
/// Measured on two cores, with fuel: 2000 functions of 50,000 unused locals 6 s, 900 nested loops over 50 locals 23 s, 60
/// branch tables of 2000 targets 33 s. The caps keep each of these under about a second, and what none of them foresees is
/// stopped by the walls around the compiler. The rules that we ship stay under a tenth of every cap on code.
#[derive(Debug, Clone, Copy)]
pub struct StaticLimits {
    /// Size of the file, bytes.
    pub bytes: usize,
    /// Custom sections, which hold names and debug information, bytes in total.
    pub custom_bytes: usize,
    /// One section other than code, data and custom ones, bytes.
    pub section_bytes: usize,
    /// Items of the component itself: types, imports, exports, aliases, instances, lifted and lowered functions.
    pub items: usize,
    /// Core modules in the component.
    pub modules: usize,
    /// Types of core modules, all together.
    pub types: usize,
    /// Parameters of one function type.
    pub params: usize,
    /// Results of one function type.
    pub results: usize,
    /// Imports and exports of one core module.
    pub names: usize,
    /// The longest name of an import or export, bytes.
    pub name_bytes: usize,
    /// Functions, all modules together.
    pub functions: usize,
    /// One function's code, bytes.
    pub function_bytes: usize,
    /// Operators of one function.
    pub operators: usize,
    /// Locals of all functions together.
    pub locals: u64,
    /// Locals of one function times its loops.
    pub loop_locals: u64,
    /// Loops inside one another.
    pub loop_depth: usize,
    /// Blocks inside one another.
    pub depth: usize,
    /// Targets of all branch tables together.
    pub branch_targets: u64,
    /// Globals, all modules together.
    pub globals: usize,
    /// Data segments, all modules together.
    pub data_segments: usize,
    /// Element segments, all modules together.
    pub element_segments: usize,
    /// Entries of all element segments together.
    pub elements: usize,
}

impl StaticLimits {
    /// For files of so many bytes: what grows with the code grows alike. Python and JavaScript bring their interpreters, of 12
    /// and 18 MB, with them.
    #[must_use]
    pub fn for_files_of(bytes: usize) -> StaticLimits {
        let usual = StaticLimits::default();
        let scaled = |limit: usize| {
            let scaled = limit as u128 * bytes as u128 / usual.bytes as u128;
            usize::try_from(scaled).unwrap_or(usize::MAX).max(limit)
        };
        let scaled_u64 = |limit: u64| scaled(usize::try_from(limit).unwrap_or(usize::MAX)) as u64;
        StaticLimits {
            bytes,
            custom_bytes: scaled(usual.custom_bytes),
            section_bytes: scaled(usual.section_bytes),
            types: scaled(usual.types),
            functions: scaled(usual.functions),
            function_bytes: scaled(usual.function_bytes),
            operators: scaled(usual.operators),
            locals: scaled_u64(usual.locals),
            loop_locals: scaled_u64(usual.loop_locals),
            branch_targets: scaled_u64(usual.branch_targets),
            globals: scaled(usual.globals),
            data_segments: scaled(usual.data_segments),
            elements: scaled(usual.elements),
            ..usual
        }
    }
}

impl Default for StaticLimits {
    fn default() -> Self {
        StaticLimits {
            bytes: 8 << 20,
            custom_bytes: 4 << 20,
            section_bytes: 1 << 20,
            items: 5000,
            modules: 16,
            types: 5000,
            params: 128,
            results: 16,
            names: 1000,
            name_bytes: 512,
            functions: 20_000,
            function_bytes: 256 << 10,
            operators: 100_000,
            locals: 2_000_000,
            loop_locals: 40_000,
            loop_depth: 64,
            depth: 2000,
            branch_targets: 10_000,
            globals: 1000,
            data_segments: 1000,
            element_segments: 1000,
            elements: 50_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_with_the_code_grows_with_the_file() {
        let usual = StaticLimits::default();
        let same = StaticLimits::for_files_of(usual.bytes);
        assert_eq!(format!("{same:?}"), format!("{usual:?}"));
        let larger = StaticLimits::for_files_of(24 << 20);
        assert_eq!(
            (larger.bytes, larger.functions, larger.locals),
            (24 << 20, 60_000, 6_000_000)
        );
        assert_eq!((larger.depth, larger.params), (usual.depth, usual.params));
        let smaller = StaticLimits::for_files_of(1 << 20);
        assert_eq!((smaller.bytes, smaller.functions), (1 << 20, usual.functions));
    }
}
