//! What the macros say of a rule: constants, from which the manifest is written.

use crate::alert::Alert;
use crate::columns::Batch;

/// A module: its rules.
#[derive(Debug)]
pub struct Module {
    rules: &'static [&'static Rule],
}

impl Module {
    /// Made by [`module!`](crate::module).
    #[must_use]
    pub const fn new(rules: &'static [&'static Rule]) -> Self {
        Module { rules }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &'static [&'static Rule] {
        self.rules
    }

    /// The manifest, JSON, schema `picket.manifest/1`.
    #[must_use]
    pub fn describe(&self) -> String {
        crate::describe::manifest(self.rules)
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn evaluate(&self, rule: &str, batch: Batch<'_>) -> Result<Vec<Alert>, String> {
        match self.rules.iter().find(|known| known.id == rule) {
            Some(known) => (known.evaluate)(batch),
            None => Err(format!("the module has no rule `{rule}`")),
        }
    }
}

/// A rule, as the macro describes it. Times are ms.
#[derive(Debug)]
#[doc(hidden)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct Rule {
    pub id: &'static str,
    pub version: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub severity: &'static str,
    pub attack: &'static [&'static str],
    pub check: &'static [&'static str],
    pub act: &'static [&'static str],
    pub false_positives: &'static [&'static str],
    pub sources: &'static [SourceDef],
    pub params: &'static [ParamDef],
    pub state: StateDef,
    pub dedup_ms: i64,
    pub supersedes: &'static [&'static str],
    pub tests: &'static str,
    pub evaluate: fn(Batch<'_>) -> Result<Vec<Alert>, String>,
}

/// Rows of one log.
#[derive(Debug)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct SourceDef {
    pub log: &'static str,
    pub name: &'static str,
    pub fields: &'static [FieldDef],
    /// JSON.
    pub when: &'static str,
    /// The parameters that the condition names.
    pub params: &'static [&'static str],
}

/// Stops the compiler where a condition names a parameter that the rule does not take.
///
/// # Panics
/// At compile time only.
#[allow(clippy::panic, clippy::indexing_slicing, reason = "it runs inside the compiler only")]
pub const fn check_conditions(sources: &[SourceDef], params: &[ParamDef]) {
    let mut source = 0;
    while source < sources.len() {
        let mut named = 0;
        while named < sources[source].params.len() {
            let mut known = 0;
            while known < params.len() && !same(params[known].name.as_bytes(), sources[source].params[named].as_bytes())
            {
                known += 1;
            }
            assert!(
                known < params.len(),
                "a condition (`when`) names a parameter that the rule does not have: the rule must take `params: &Params`, \
                 and Params must have a field of that name"
            );
            named += 1;
        }
        source += 1;
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "it runs inside the compiler only, within the lengths"
)]
const fn same(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}

/// One field.
#[derive(Debug)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct FieldDef {
    pub path: &'static str,
    pub kind: &'static str,
    pub required: bool,
}

/// One parameter.
#[derive(Debug)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct ParamDef {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: &'static str,
    /// JSON.
    pub default: &'static str,
    /// JSON.
    pub min: Option<&'static str>,
    /// JSON.
    pub max: Option<&'static str>,
}

/// What a rule remembers.
#[derive(Debug)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct StateDef {
    pub version: u32,
    pub look_back_ms: i64,
    pub stores: &'static [StoreDef],
}

/// One helper.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the manifest's schema documents each")]
pub struct StoreDef {
    pub name: &'static str,
    pub kind: &'static str,
    pub keep_ms: i64,
    pub cap: u32,
}

/// What the operator may set: derive it.
#[diagnostic::on_unimplemented(message = "`{Self}` holds no parameters: add #[derive(Params)]")]
pub trait Params: Sized {
    /// For the manifest.
    const DEFS: &'static [ParamDef];
    /// The values in force.
    ///
    /// # Errors
    /// The host lacks one, or it has another type than the manifest says.
    fn load() -> Result<Self, String>;
}

impl Params for () {
    const DEFS: &'static [ParamDef] = &[];
    fn load() -> Result<Self, String> {
        Ok(())
    }
}

/// What a rule remembers: derive it.
#[diagnostic::on_unimplemented(message = "`{Self}` is no memory: add #[derive(State)]")]
pub trait State: Sized {
    /// For the manifest.
    const DEF: StateDef;
    /// Ready for one call.
    fn open() -> Self;
}

impl State for () {
    const DEF: StateDef = StateDef {
        version: 1,
        look_back_ms: 0,
        stores: &[],
    };
    fn open() -> Self {}
}

/// A helper that a memory can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be remembered with; there are Windows, Distincts, Firsts, Lasts, Sequences<N>, Joins, Silences, Baselines<MINUTES>"
)]
pub trait Store: Sized {
    /// In the manifest.
    const KIND: &'static str;
    /// With what the author declared.
    fn open(def: StoreDef) -> Self;
}
