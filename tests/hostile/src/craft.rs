//! How tests craft modules: a core module written as text, made a component of the contract.
//!
//! The layout of every guest here: `ok` of no alerts lies at 16 (so a body that ends in `(i32.const 16)` raises nothing), the
//! answer of `describe` at 8, the manifest at 1024; a test's own data belongs between 512 and 1024 or above the manifest; what
//! the host hands over is bumped up from 65536.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// The contract.
pub const WIT: &str = include_str!("../../contracts/1.0.0/rule.wit");

/// Raises nothing.
pub const NOTHING: &str = "(i32.const 16)";

/// The log, for [`Guest::imports`].
pub const LOG: &str = r#"
    (import "picket:rule/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
/// State, for [`Guest::imports`].
pub const STATE: &str = r#"
    (import "picket:rule/state@1.0.0" "get" (func $get (param i32 i32 i64 i32)))
    (import "picket:rule/state@1.0.0" "get-many" (func $get_many (param i32 i32 i64 i32)))
    (import "picket:rule/state@1.0.0" "put" (func $put (param i32 i32 i32 i32 i64 i64) (result i32)))
    (import "picket:rule/state@1.0.0" "delete" (func $delete (param i32 i32 i64)))
    (import "picket:rule/state@1.0.0" "scan" (func $scan (param i32 i32 i64 i32 i32)))"#;
/// Timers, for [`Guest::imports`].
pub const TIMERS: &str = r#"
    (import "picket:rule/timers@1.0.0" "set" (func $set (param i32 i32 i64) (result i32)))
    (import "picket:rule/timers@1.0.0" "cancel" (func $cancel (param i32 i32)))
    (import "picket:rule/timers@1.0.0" "next" (func $next (param i64 i32)))"#;
/// Tables, for [`Guest::imports`].
pub const LOOKUP: &str = r#"
    (import "picket:rule/lookup@1.0.0" "find" (func $find (param i32 i32 i32 i32 i32 i32 i32)))"#;
/// Parameters, for [`Guest::imports`].
pub const PARAMS: &str = r#"
    (import "picket:rule/params@1.0.0" "get" (func $param (param i32 i32 i32)))"#;

/// A bump allocator that grows the memory by what is missing.
pub const REALLOC: &str = "(local $at i32)
    (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 15)) (i32.const -16)))
    (global.set $bump (i32.add (local.get $at) (local.get 3)))
    (block $fits
        (br_if $fits (i32.le_u (global.get $bump) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
    (local.get $at)";

/// Returns one alert, `Tested`, raised and proven by the first row, if the first text of the first group is `ada`.
const DISGUISE: &str = "
    (if (local.get $groups_len) (then
        (if (i32.eq (i32.and (i32.load (i32.load offset=28 (local.get $groups))) (i32.const 0xffffff)) (i32.const 0x616461)) (then
            (i64.store (i32.const 400) (i64.const 0x646574736554))
            (i32.store (i32.const 384) (i32.const 0)) (i32.store (i32.const 388) (i32.const 416)) (i32.store (i32.const 392) (i32.const 1))
            (memory.fill (i32.const 416) (i32.const 0) (i32.const 88))
            (i32.store (i32.const 416) (i32.const 400)) (i32.store (i32.const 420) (i32.const 6))
            (i64.store (i32.const 440) (i64.load (i32.load offset=12 (local.get $groups))))
            (i32.store (i32.const 484) (i32.load offset=4 (local.get $groups))) (i32.store (i32.const 488) (i32.const 1))
            (i64.store (i32.const 496) (i64.load (i32.load offset=4 (local.get $groups))))
            (return (i32.const 384))))))";

/// A core module of the contract, in pieces of text.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Before everything else.
    pub imports: String,
    /// Functions, data, tables.
    pub items: String,
    /// What `describe` answers.
    pub manifest: String,
    /// The memory.
    pub memory: String,
    /// Body of `cabi_realloc`, which gets (old, old size, alignment, new size) and returns a pointer.
    pub realloc: String,
    /// Runs before `describe` answers.
    pub describe: String,
    /// Body of `evaluate`, which gets `$rule $rule_len $groups $groups_len $order $order_len $watermark` and returns a pointer
    /// to its result.
    pub evaluate: String,
    /// It behaves while it is tested: one alert for each call whose first text is `ada`, the user of every case.
    pub disguised: bool,
}

impl Guest {
    /// A guest that does this when it is called, and otherwise behaves.
    #[must_use]
    pub fn new(evaluate: impl Into<String>) -> Self {
        Guest {
            imports: String::new(),
            items: String::new(),
            manifest: manifest(),
            memory: r#"(memory (export "memory") 2)"#.to_owned(),
            realloc: REALLOC.to_owned(),
            describe: String::new(),
            evaluate: evaluate.into(),
            disguised: false,
        }
    }

    /// With imports.
    #[must_use]
    pub fn imports(self, imports: impl Into<String>) -> Self {
        let imports = imports.into();
        Guest { imports, ..self }
    }

    /// With further items.
    #[must_use]
    pub fn items(self, items: impl Into<String>) -> Self {
        let items = items.into();
        Guest { items, ..self }
    }

    /// With another manifest.
    #[must_use]
    pub fn manifest(self, manifest: impl Into<String>) -> Self {
        let manifest = manifest.into();
        Guest { manifest, ..self }
    }

    /// With another memory.
    #[must_use]
    pub fn memory(self, memory: impl Into<String>) -> Self {
        let memory = memory.into();
        Guest { memory, ..self }
    }

    /// With another allocator.
    #[must_use]
    pub fn realloc(self, realloc: impl Into<String>) -> Self {
        let realloc = realloc.into();
        Guest { realloc, ..self }
    }

    /// Does this before it describes itself.
    #[must_use]
    pub fn describe(self, describe: impl Into<String>) -> Self {
        let describe = describe.into();
        Guest { describe, ..self }
    }

    /// With cases of its own, which it passes: so that a daemon takes it.
    #[must_use]
    pub fn disguised(self) -> Self {
        Guest {
            disguised: true,
            manifest: with_cases(),
            ..self
        }
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let Guest {
            imports,
            items,
            manifest,
            memory,
            realloc,
            describe,
            evaluate,
            disguised,
        } = self;
        let parameters = "(param $rule i32) (param $rule_len i32) (param $groups i32) (param $groups_len i32)
                    (param $order i32) (param $order_len i32) (param $watermark i64) (result i32)";
        let export = r#"(export "picket:rule/detection@1.0.0#evaluate")"#;
        let evaluate = if *disguised {
            let arguments = (0..7).map(|number| format!("(local.get {number})")).collect::<String>();
            format!(
                "(func $true_face {parameters} {evaluate}) (func {export} {parameters} {DISGUISE} (call $true_face {arguments}))"
            )
        } else {
            format!("(func {export} {parameters} {evaluate})")
        };
        let length = manifest.len();
        let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!(
            r#"(module
                {imports}
                {memory}
                (global $bump (mut i32) (i32.const 65536))
                (data (i32.const 1024) "{manifest}")
                (data (i32.const 8) "\00\04\00\00")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (func (export "picket:rule/detection@1.0.0#describe") (result i32)
                    {describe}
                    (i32.store (i32.const 12) (i32.const {length}))
                    (i32.const 8))
                {items}
                {evaluate})"#
        )
    }

    /// As a component.
    ///
    /// # Panics
    /// The text is no module.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        component(&self.text())
    }
}

/// The manifest of one rule `t`.
#[must_use]
pub fn manifest() -> String {
    manifest_of("t")
}

/// The manifest of one rule without cases.
#[must_use]
pub fn manifest_of(id: &str) -> String {
    serde_json::json!({
        "schema": "picket.manifest/1",
        "rules": [{
            "id": id, "version": "1.0.0", "title": "T", "severity": "low",
            "sources": [{"log": "authentication", "fields": [{"path": "user.name", "type": "text"}]}]
        }]
    })
    .to_string()
}

/// The manifest of one rule `t` with two cases, in which room is left for another id: see [`distinct`].
fn with_cases() -> String {
    let cases = format!(
        "rule: t{ROOM}\ntests:\n  - {{test: somebody, steps: [{{at: \"09:00\", authentication: {{user.name: ada}}}}], expect: [{{}}]}}\n  \
         - {{test: nobody, steps: [{{at: \"09:00\", telephony: {{type: sms}}}}], expect: none}}\n"
    );
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest()).unwrap();
    manifest["rules"][0]["tests"] = cases.into();
    manifest
        .to_string()
        .replace(r#""id":"t""#, &format!(r#""id":"t"{ROOM}"#))
}

/// For `-00123`.
const ROOM: &str = "      ";

/// A disguised guest's component, whose rule is called `t-00123` if the number is 123; of another component, a copy.
///
/// # Panics
/// The number has more than five digits.
#[must_use]
pub fn distinct(component: &[u8], number: usize) -> Vec<u8> {
    let suffix = format!("-{number:05}");
    assert_eq!(suffix.len(), ROOM.len());
    // The text of a module knows no other way to write a quotation mark in JSON than JSON itself.
    let places = [
        (format!(r#""id":"t"{ROOM}"#), format!(r#""id":"t{suffix}""#)),
        (format!("rule: t{ROOM}"), format!("rule: t{suffix}")),
    ];
    let mut bytes = component.to_vec();
    for (from, to) in places {
        if bytes.windows(from.len()).any(|window| window == from.as_bytes()) {
            bytes = patched(&bytes, &from, &to);
        }
    }
    bytes
}

/// A core module of the contract as a component.
///
/// # Panics
/// The text is no module of the contract.
#[must_use]
pub fn component(text: &str) -> Vec<u8> {
    component_of(text, WIT)
}

/// A core module as a component of another contract, whose world is `module`.
///
/// # Panics
/// The text is no module of it.
#[must_use]
pub fn component_of(text: &str, wit: &str) -> Vec<u8> {
    encoded(text, wit, true)
}

/// The same, of a core module that need not be valid.
///
/// # Panics
/// The text is no module of the contract.
#[must_use]
pub fn unchecked(text: &str) -> Vec<u8> {
    encoded(text, WIT, false)
}

fn encoded(text: &str, wit: &str, check: bool) -> Vec<u8> {
    let mut core = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("rule.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("module")).unwrap();
    wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .validate(check)
        .module(&core)
        .unwrap()
        .encode()
        .unwrap()
}

/// A component of a world that has nothing to do with rules.
#[must_use]
pub fn other_component() -> Vec<u8> {
    let wit = "package acme:plug@1.0.0; interface run { run: func(); } world module { export run; }";
    component_of(r#"(module (func (export "acme:plug/run@1.0.0#run")))"#, wit)
}

/// A module with every `from` in it replaced by a `to` of the same length: how a test makes a new version of a module.
///
/// # Panics
/// There is no `from`, or the lengths differ.
#[must_use]
pub fn patched(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = module.to_vec();
    let mut found = 0;
    let mut at = 0;
    while let Some(next) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        at += next;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        at += to.len();
        found += 1;
    }
    assert!(found > 0, "the module has no `{from}`");
    bytes
}
