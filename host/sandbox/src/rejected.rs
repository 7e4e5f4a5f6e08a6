//! Why a module was not admitted, for the person who put it there.

use picket_contract::Failure;

/// Why a module was not admitted. Every message says what was wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No bytes.
    #[error("the file is empty: was it still being written? Write it beside the directory and rename it into place")]
    Empty,
    /// Not WebAssembly at all.
    #[error("not WebAssembly: it starts with {start}, and a module starts with \\0asm")]
    NotWasm {
        /// The first bytes, escaped.
        start: String,
    },
    /// A core module.
    #[error(
        "a core WebAssembly module, and a rule is a component: build it with `cargo xtask rules`, \
         or turn it into one with `wasm-tools component new`"
    )]
    CoreModule,
    /// WebAssembly that does not parse or validate.
    #[error("damaged or not valid WebAssembly: {detail}. Was the file copied whole?")]
    Invalid {
        /// Where and what.
        detail: String,
    },
    /// A static limit is exceeded.
    #[error("too large to be compiled safely: {what} {found}, at most {limit} allowed")]
    TooLarge {
        /// What was counted, with its verb, such as `the file has bytes:`.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// It needs a proposal of WebAssembly, or a part of the component model, that is off.
    #[error("uses {feature}, which no rule may: {words}")]
    Feature {
        /// Short and stable, such as `memory64`.
        feature: &'static str,
        /// What that is, and how to do without.
        words: &'static str,
    },
    /// A component inside that is more than a shim.
    #[error(
        "is composed of components, and a rule is one: {detail}. Link what it needs into one core module, \
         and make that into a component (`wit-component` adds nothing else than a shim that passes things on)"
    )]
    NestedComponent {
        /// What was found.
        detail: &'static str,
    },
    /// It lowers what it lifted.
    #[error("calls itself through the component model: a rule lowers functions of picket:rule and no others")]
    Adapter,
    /// Text in another encoding.
    #[error("passes text as {encoding}: a rule passes UTF-8 (string-encoding=utf8)")]
    Encoding {
        /// Which.
        encoding: &'static str,
    },
    /// It exports more than a rule does.
    #[error("exports {name} beside picket:rule/detection: a rule is one world and exports nothing else")]
    Export {
        /// What else.
        name: String,
    },
    /// The world's export is missing.
    #[error(
        "exports {found}, not picket:rule/detection@1.x: a rule exports the world `module` of package picket:rule (sdk/wit)"
    )]
    NoDetection {
        /// What it exports instead.
        found: String,
    },
    /// Built for another major version of the contract.
    #[error("built for picket:rule {found}, and this host speaks {supported}: build it again with this host's SDK")]
    Version {
        /// The module's.
        found: String,
        /// The host's.
        supported: &'static str,
    },
    /// It wants what no rule gets.
    #[error("imports {name}: a rule may import nothing but picket:rule/{{state,timers,lookup,params,log}}@1.x{hint}")]
    Import {
        /// What it asked for.
        name: String,
        /// How it may have come about, or empty.
        hint: &'static str,
    },
    /// The types of an export or import are not the contract's.
    #[error("does not keep to the contract picket:rule {supported}: {detail}")]
    Contract {
        /// The host's version.
        supported: &'static str,
        /// What differs.
        detail: String,
    },
    /// The compiler refused it.
    #[error("cannot be compiled: {detail}")]
    Compile {
        /// The compiler's words.
        detail: String,
    },
    /// The compiler was stopped by one of the walls around it.
    #[error(
        "the compiler was stopped at {limit}: {detail}. Simplify the module, or raise sandbox.compile if you trust it"
    )]
    Killed {
        /// Which wall.
        limit: CompileLimit,
        /// What it had used.
        detail: String,
    },
    /// The compiler could not be run, which says nothing about the module.
    #[error(
        "the compiler could not be run, which is no fault of the module: {detail}. It is tried again at the next reload"
    )]
    Unavailable {
        /// What the system said.
        detail: String,
    },
    /// `describe` (or bringing the module up) failed.
    #[error("failed in describe: {0}")]
    Describe(Failure),
    /// The manifest is not what the contract asks for.
    #[error("manifest: {}", problems.join("; "))]
    Manifest {
        /// Each says which rule and what would be right.
        problems: Vec<String>,
    },
}

/// A wall around the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileLimit {
    /// `sandbox.compile.seconds`.
    Time,
    /// The same, on a machine so busy that the compiler had the processor for less than half of it: it may come through
    /// another time.
    Starved,
    /// `sandbox.compile.memory_mb`.
    Memory,
    /// The compiled code is larger than any rule's.
    Output,
}

impl CompileLimit {
    /// Short and stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CompileLimit::Time => "time",
            CompileLimit::Starved => "starved",
            CompileLimit::Memory => "memory",
            CompileLimit::Output => "output",
        }
    }

    pub(crate) fn from_str(word: &str) -> Option<CompileLimit> {
        let all = [CompileLimit::Time, CompileLimit::Memory, CompileLimit::Output];
        all.into_iter().find(|limit| limit.as_str() == word)
    }
}

impl std::fmt::Display for CompileLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CompileLimit::Time => "its time limit",
            CompileLimit::Starved => "its time limit on a busy machine",
            CompileLimit::Memory => "its memory limit",
            CompileLimit::Output => "the limit on compiled code",
        })
    }
}

impl Rejected {
    /// Short and stable, for machine output. `docs/rules.md` lists them.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Rejected::Empty => "empty",
            Rejected::NotWasm { .. } => "not-wasm",
            Rejected::CoreModule => "core-module",
            Rejected::Invalid { .. } => "invalid",
            Rejected::TooLarge { .. } => "too-large",
            Rejected::Feature { .. } => "feature",
            Rejected::NestedComponent { .. } => "nested-component",
            Rejected::Adapter => "adapter",
            Rejected::Encoding { .. } => "string-encoding",
            Rejected::Export { .. } => "export",
            Rejected::NoDetection { .. } => "no-detection",
            Rejected::Version { .. } => "version",
            Rejected::Import { .. } => "import",
            Rejected::Contract { .. } => "contract",
            Rejected::Compile { .. } => "compile-failed",
            Rejected::Killed { .. } => "compile-killed",
            Rejected::Unavailable { .. } => "compile-unavailable",
            Rejected::Describe(_) => "describe",
            Rejected::Manifest { .. } => "manifest",
        }
    }

    /// Whether it says nothing about the module: trying the same bytes again may end otherwise.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Rejected::Unavailable { .. }
                | Rejected::Killed {
                    limit: CompileLimit::Starved,
                    ..
                }
        )
    }

    /// `CODE: sentence`, as the log, `picket rule list` and `picket check` show it.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}: {self}", self.code())
    }
}
