//! The engine: how it is hardened, and how a module is admitted.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use picket_contract::Allowance;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig};

use crate::admission::{self, Inspected, Size, VERSION};
use crate::artifact::{self, Bounds, Cache, CacheError, Kept};
use crate::compile::{self, Compile, Walls};
use crate::failure::failure;
use crate::module::{Code, Guest, usage};
use crate::peak::Peak;
use crate::services::{Lent, SERVICES};
use crate::slots::{self, InFlight, Leash, Slots};
use crate::source_line::SourceLines;
use crate::{CallLimits, Limits, Module, Rejected, imports, manifest, text, wire};

/// Core instances of one component: the rule itself, and what binding generators put around it.
pub(crate) const CORE_INSTANCES: u32 = 16;
/// Tables of one component, for the same reason.
pub(crate) const TABLES: u32 = 8;
/// Memory of a pooled instance that stays mapped between calls, bytes: what a call of ordinary size touches. Page faults are
/// most of what a fresh instance costs.
const KEEP_RESIDENT: usize = 1 << 20;

/// Memories of the pool, at least. Each remembers whose it was last, and a module that gets its own back finds its pages in
/// place and no mapping to change; so there are more of them than calls at once. A memory is address space, and what of
/// [`KEEP_RESIDENT`] its last call used.
const WARM_MEMORIES: u32 = 64;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refused the settings, or the machine the pool.
    #[error(
        "the sandbox cannot start: {detail}. It reserves 4 GiB of address space for each concurrent call (limits.concurrency)"
    )]
    Start {
        /// Its words.
        detail: String,
    },
    /// The compiler's process cannot be run, or is another program.
    #[error("the compiler of rules cannot be run: {detail}")]
    Compiler {
        /// What came of trying.
        detail: String,
    },
    /// The directory for compiled code is not usable.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What this machine gives the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Whether used memory is found by the kernel (PAGEMAP_SCAN, Linux 6.7 or newer).
    pub pagemap_scan: bool,
    /// What holds of the walls around the compiler's process; none where this process compiles.
    pub walls: Option<Walls>,
}

impl Host {
    /// What is lost here, in words; nothing on a good machine.
    #[must_use]
    pub fn losses(&self) -> Vec<&'static str> {
        let mut losses = self.walls.as_ref().map(Walls::losses).unwrap_or_default();
        if !self.pagemap_scan {
            losses.push(
                "the kernel has no PAGEMAP_SCAN (Linux 6.7 or newer): a fresh instance costs about 25 µs more for each call",
            );
        }
        losses
    }
}

/// Loads modules. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What modules share.
pub(crate) struct Inner {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) limits: Limits,
    pub(crate) slots: Arc<Slots>,
    /// The watchdog lives as long as this.
    _leash: Leash,
    linker: Linker<Guest>,
    compile: Compile,
    /// What compiled code depends on besides the module.
    compatibility: String,
    cache: Option<Cache>,
    host: Host,
}

impl Engine {
    /// An engine with these limits.
    ///
    /// # Errors
    /// [`EngineError`] if the machine cannot reserve the pool, or the cache directory is not ours alone.
    pub fn new(limits: Limits) -> Result<Engine, EngineError> {
        Self::compiling(limits, Compile::InProcess)
    }

    /// The same, with a choice of who compiles. With [`Compile::Child`] this engine has no compiler, and could not
    /// compile if it wanted to.
    ///
    /// # Errors
    /// As [`Engine::new`], or the compiler's process cannot be run.
    pub fn compiling(limits: Limits, compile: Compile) -> Result<Engine, EngineError> {
        let start = |error: wasmtime::Error| EngineError::Start {
            detail: format!("{error:#}"),
        };
        let limits = Limits {
            concurrency: limits.concurrency.max(1),
            ..limits
        };
        // Asked of an engine that compiles, whoever does: compiled code is the same, and so must be its name.
        let compatibility = compatibility(&compiler().map_err(start)?);
        let mut config = config(&limits);
        let (walls, key) = match &compile {
            Compile::InProcess => (None, "unlimited".to_owned()),
            Compile::Child { program, limits } => {
                // Last of all, since what is set for the compiler needs one.
                config.enable_compiler(false);
                let walls = compile::probe(program, limits, &compatibility);
                let walls = walls.map_err(|detail| EngineError::Compiler { detail })?;
                (Some(walls), limits.key())
            }
        };
        let engine = wasmtime::Engine::new(&config).map_err(start)?;
        let mut linker = Linker::new(&engine);
        imports::define(&mut linker).map_err(start)?;
        let bounds = Bounds {
            files: limits.cache_files,
            bytes: limits.cache_bytes,
        };
        let cache = match &limits.cache {
            Some(directory) => Some(Cache::open(directory, &compatibility, &key, bounds)?),
            None => None,
        };
        let host = Host {
            pagemap_scan: limits.pagemap_scan && PoolingAllocationConfig::is_pagemap_scan_available(),
            walls,
        };
        let slots = Arc::new(Slots::new(limits.concurrency, limits.late_after));
        let leash = slots::watch(&slots).map_err(|error| start(error.into()))?;
        Ok(Engine {
            inner: Arc::new(Inner {
                engine,
                limits,
                slots,
                _leash: leash,
                linker,
                compile,
                compatibility,
                cache,
                host,
            }),
        })
    }

    /// What this machine gives the sandbox.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Calls that took longer than `late_after` on the wall clock since the start, by rule. Nothing is decided by it.
    #[must_use]
    pub fn late_calls(&self) -> BTreeMap<String, u64> {
        self.inner.slots.late()
    }

    /// Calls that are late and run still.
    #[must_use]
    pub fn running_late(&self) -> Vec<InFlight> {
        self.inner.slots.running_late()
    }

    /// A hash of everything here that decides outcomes: engine version, settings and limits. Part of a generation.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let limits = &self.inner.limits;
        let deciding = (
            limits.fuel,
            limits.start_fuel,
            limits.memory_bytes,
            limits.table_entries,
            limits.stack_bytes,
        );
        let answers = (limits.handover_bytes, limits.state, limits.alerts, limits.log);
        let text = format!("{VERSION} {} {deciding:?} {answers:?}", self.inner.compatibility);
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// What a module of these bytes is called, as `sha256sum` would say it: `sha256:` and 64 hex digits.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> String {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// The largest file that can be admitted, bytes: a larger one need not be read.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        self.inner.limits.module.bytes as u64
    }

    /// The most memory that any module may be given for a call, bytes: what the pool is made for.
    #[must_use]
    pub fn most_memory_bytes(&self) -> usize {
        self.inner.limits.most_memory_bytes()
    }

    /// The refusal of a file that has so many bytes that it was not read.
    #[must_use]
    pub fn too_many_bytes(&self, found: u64) -> Rejected {
        Rejected::TooLarge {
            what: "the file has bytes:",
            found,
            limit: self.most_bytes(),
        }
    }

    /// The first half of admitting a module: what the bytes alone tell, before anything is compiled. Gives everything that
    /// was counted, with its limit.
    ///
    /// # Errors
    /// [`Rejected`] says what was wrong and what would be right.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Vec<Size>, Rejected> {
        Ok(admission::inspect(bytes, &self.inner.limits)?.sizes)
    }

    /// Admits a module: structure, imports, compilation, `describe`, manifest.
    ///
    /// # Errors
    /// [`Rejected`] says what was wrong and what would be right.
    pub fn load(&self, bytes: &[u8]) -> Result<Module, Rejected> {
        self.load_under(bytes, self.inner.limits.call())
    }

    /// The same, with limits of its own for each call. More memory than the pool is made for
    /// ([`Limits::pool_memory_bytes`]) is not to be had.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_under(&self, bytes: &[u8], limits: CallLimits) -> Result<Module, Rejected> {
        let inner = &self.inner;
        let limits = CallLimits {
            memory_bytes: limits.memory_bytes.min(inner.limits.most_memory_bytes()),
            ..limits
        };
        let caps = Limits {
            memory_bytes: limits.memory_bytes,
            ..inner.limits.clone()
        };
        let inspected = admission::inspect(bytes, &caps)?;
        let digest = Self::digest(bytes);
        let component = inner.compile(bytes, digest.trim_start_matches("sha256:"))?;
        let code = inner.link(&component, &inspected)?;
        let looks_up = component
            .component_type()
            .imports(&inner.engine)
            .any(|(name, _)| name.starts_with("picket:rule/lookup@"));
        let described = inner.describe(&code, limits.memory_bytes)?;
        let manifest = manifest::read(&described).map_err(|problems| Rejected::Manifest { problems })?;
        let peaks = manifest.rules.iter().map(|_| Peak::default()).collect();
        Ok(Module {
            digest: digest.into(),
            manifest: Arc::new(manifest),
            looks_up,
            limits,
            engine: inner.clone(),
            peaks,
            lines: Arc::new(SourceLines::of(bytes)),
            code: Arc::new(code),
        })
    }
}

impl Inner {
    fn compile(&self, bytes: &[u8], hash: &str) -> Result<Component, Rejected> {
        let cache = self.cache.as_ref();
        match cache.and_then(|cache| cache.get(&self.engine, hash)) {
            Some(Kept::Code(component)) => return Ok(component),
            Some(Kept::Refused(rejected)) => return Err(rejected),
            None => {}
        }
        let compiled = compile::compile(&self.engine, &self.compile, &self.compatibility, bytes);
        let kept = match (cache, &compiled) {
            (Some(cache), Ok(code)) => cache.put(&self.engine, hash, code).map(Some),
            (Some(cache), Err(rejected)) => cache.put_refusal(hash, rejected).map(|()| None),
            (None, _) => Ok(None),
        };
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "what the compiler said is not kept: the module is compiled anew at the next start");
            None
        });
        match (kept, compiled) {
            (Some(component), _) => Ok(component),
            (None, Ok(code)) => artifact::run_bytes(&self.engine, &code).map_err(|error| Rejected::Compile {
                detail: text::clean(&format!("{error:#}"), 400),
            }),
            (None, Err(rejected)) => Err(rejected),
        }
    }

    fn link(&self, component: &Component, inspected: &Inspected) -> Result<Code, Rejected> {
        let contract = |detail: String| Rejected::Contract {
            supported: VERSION,
            detail: text::clean(&detail, 400),
        };
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(|error| contract(format!("{error:#}")))?;
        let missing = || contract(format!("{} lacks describe or evaluate", inspected.export));
        Code::new(component, pre, &inspected.export).ok_or_else(missing)
    }

    /// Brings the module up once: its types are checked, and it describes itself.
    pub(crate) fn describe(&self, code: &Code, memory: usize) -> Result<String, Rejected> {
        let contract = |error: wasmtime::Error| Rejected::Contract {
            supported: VERSION,
            detail: text::clean(&format!("{error:#}"), 400),
        };
        let given = Allowance {
            fuel: self.limits.describe_fuel,
            memory: memory as u64,
        };
        let _slot = self.slots.take("describe");
        let mut lent = Lent::closed(self.limits.log);
        let mut store = Guest::store(self, memory, given.fuel).map_err(contract)?;
        store.set_hostcall_fuel(self.limits.manifest_bytes);
        let brought_up = SERVICES.set(&mut lent, || code.pre.instantiate(&mut store));
        let described = brought_up.map(|instance| {
            instance.get_typed_func::<wire::EvaluateParams<'_>, wire::EvaluateResults>(&mut store, &code.evaluate)?;
            instance.get_typed_func::<(), wire::DescribeResults>(&mut store, &code.describe)
        });
        let answer = match described {
            Ok(typed) => {
                let describe = typed.map_err(contract)?;
                SERVICES.set(&mut lent, || describe.call(&mut store, ()))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok((manifest,)) => Ok(manifest),
            Err(error) => {
                let usage = usage(&store, lent.dropped());
                let stack = self.limits.stack_bytes;
                Err(Rejected::Describe(failure(
                    &error,
                    lent.last_error(),
                    usage,
                    given,
                    stack,
                    &SourceLines::default(),
                )))
            }
        }
    }
}

/// An engine that compiles and runs nothing: it reserves no memory for instances, and has one thread.
pub(crate) fn compiler() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = of_code(Limits::default().stack_bytes);
    config.parallel_compilation(false);
    wasmtime::Engine::new(&config)
}

/// What compiled code depends on besides the module: wasmtime's version, settings and this processor.
pub(crate) fn compatibility(engine: &wasmtime::Engine) -> String {
    // Not stable over releases of Rust, and need not be: another hash means compiling once more.
    #[allow(
        deprecated,
        reason = "the one hasher of the standard library without random keys, whatever its algorithm"
    )]
    let mut hasher = std::hash::SipHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The engine's settings: the hardening list of the project's sandbox study, as far as it concerns components. Public for the
/// bench alone, which sets bare wasmtime with equal settings beside the sandbox.
#[must_use]
pub fn config(limits: &Limits) -> Config {
    let mut config = of_code(limits.stack_bytes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

/// The part of them that compiled code depends on, for whoever only compiles.
fn of_code(stack_bytes: usize) -> Config {
    let mut cost = OperatorCost::new();
    // Growing costs what some hundred operators do; without a price, a loop of failing grows outlives its budget 50 times.
    cost.MemoryGrow = 60;
    cost.TableGrow = 60;
    // So do those that fill and copy: bytes have their own price, and a loop over none of them outlived its budget 50 times.
    cost.MemoryFill = 60;
    cost.MemoryCopy = 60;
    cost.MemoryInit = 60;
    cost.TableFill = 60;
    cost.TableCopy = 60;
    cost.TableInit = 60;
    cost.DataDrop = 60;
    cost.ElemDrop = 60;
    // Asks the engine for what the function is called by outside.
    cost.RefFunc = 60;
    cost.variable.memory_grow_per_page = u8::MAX;

    let mut config = Config::new();
    config
        .consume_fuel(true)
        .operator_cost(cost)
        // A synchronous call of a component costs a third without it.
        .concurrency_support(false)
        // Everything that is on by default and that compiled Rust does not use is less to get wrong. Threads, garbage
        // collection, exceptions and their kin are not even compiled in.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_relaxed_simd(false)
        .wasm_simd(false)
        // Equal calls give equal answers on every machine.
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(stack_bytes)
        .memory_init_cow(true)
        .signals_based_traps(true)
        .guard_before_linear_memory(true)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16))
        // Reading debug information of a hostile module is work that no budget bounds.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let calls = limits.concurrency;
    let memories = calls.max(WARM_MEMORIES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES))
        .total_memories(memories)
        .max_unused_warm_slots(memories)
        .total_tables(calls.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .max_memory_size(limits.most_memory_bytes())
        .table_elements(limits.table_entries)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .pagemap_scan(if limits.pagemap_scan {
            Enabled::Auto
        } else {
            Enabled::No
        })
        .decommit_batch_size(1);
    pool
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("limits", &self.limits)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
