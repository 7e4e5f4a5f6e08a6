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

impl Rejected {
    /// Short and stable, for machine output.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Rejected::Empty => "empty",
            Rejected::NotWasm { .. } => "not-wasm",
            Rejected::CoreModule => "core-module",
            Rejected::Invalid { .. } => "invalid",
            Rejected::TooLarge { .. } => "too-large",
            Rejected::NoDetection { .. } => "wrong-world",
            Rejected::Version { .. } => "wrong-version",
            Rejected::Import { .. } => "unknown-import",
            Rejected::Contract { .. } => "wrong-types",
            Rejected::Compile { .. } => "compile",
            Rejected::Describe(_) => "describe",
            Rejected::Manifest { .. } => "manifest",
        }
    }
}
