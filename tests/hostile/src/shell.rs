//! Components written by hand, where what is hostile is the component and not the code in it.
//!
//! `wit-component` builds well-behaved components only. This writes the same world out: the memory and the allocator are a
//! core module of their own (`$base`), so that the rule (`$main`) can be given every host function as an ordinary import, and
//! a test says which options the canonical ABI is given, and what else stands in the component.

/// The contract's types and imports, as a component has them.
const IMPORTS: &str = r#"
  (import "picket:rule/state@1.0.0" (instance $state
    (type $bytes (list u8)) (type $maybe (option $bytes)) (type $many (list $bytes)) (type $answers (list $maybe))
    (type $pair (tuple $bytes $bytes)) (type $pairs (list $pair))
    (export "get" (func (param "key" $bytes) (param "now" s64) (result $maybe)))
    (export "get-many" (func (param "keys" $many) (param "now" s64) (result $answers)))
    (export "put" (func (param "key" $bytes) (param "value" $bytes) (param "now" s64) (param "expires-at" s64) (result bool)))
    (export "delete" (func (param "key" $bytes) (param "now" s64)))
    (export "scan" (func (param "prefix" $bytes) (param "now" s64) (param "limit" u32) (result $pairs)))))
  (import "picket:rule/timers@1.0.0" (instance $timers
    (type $bytes (list u8)) (type $t (record (field "key" $bytes) (field "at" s64)))
    (export "timer" (type $timer (eq $t))) (type $maybe (option $timer))
    (export "set" (func (param "key" $bytes) (param "at" s64) (result bool)))
    (export "cancel" (func (param "key" $bytes)))
    (export "next" (func (param "before" s64) (result $maybe)))))
  (import "picket:rule/lookup@1.0.0" (instance $lookup
    (type $cell (tuple string string)) (type $r (list $cell))
    (export "row" (type $row (eq $r))) (type $rows (list $row)) (type $maybe (option $rows))
    (export "find" (func (param "table" string) (param "index" string) (param "key" string) (result $maybe)))))
  (import "picket:rule/params@1.0.0" (instance $params
    (type $texts (list string))
    (type $v (variant (case "boolean" bool) (case "integer" s64) (case "number" f64) (case "text" string) (case "texts" $texts)))
    (export "value" (type $value (eq $v))) (type $maybe (option $value))
    (export "get" (func (param "name" string) (result $maybe)))))
  (import "picket:rule/log@1.0.0" (instance $log
    (type $l (enum "error" "warn" "info" "debug"))
    (export "level" (type $level (eq $l)))
    (export "write" (func (param "level" $level) (param "message" string)))))
  (import "picket:rule/types@1.0.0" (instance $types
    (type $u8s (list u8)) (type $u32s (list u32)) (type $u64s (list u64)) (type $s64s (list s64)) (type $f64s (list f64))
    (type $n (record (field "values" $s64s) (field "valid" $u8s))) (export "numbers" (type $numbers (eq $n)))
    (type $f (record (field "values" $f64s) (field "valid" $u8s))) (export "floats" (type $floats (eq $f)))
    (type $tl (record (field "offsets" $u32s) (field "codes" $u32s))) (export "text-lists" (type $text-lists (eq $tl)))
    (type $c (variant (case "text" $u32s) (case "s64" $numbers) (case "f64" $floats) (case "boolean" $u8s) (case "texts" $text-lists)))
    (export "column" (type $column (eq $c))) (type $columns (list $column))
    (type $g (record (field "source" u32) (field "events" $u64s) (field "times" $s64s) (field "late" $u8s)
      (field "dictionary" $u8s) (field "offsets" $u32s) (field "columns" $columns)))
    (export "group" (type $group (eq $g))) (type $groups (list $group))
    (type $b (record (field "groups" $groups) (field "order" $u8s) (field "watermark" s64))) (export "batch" (type $batch (eq $b)))
    (type $s (enum "info" "low" "medium" "high" "critical")) (export "severity" (type $severity (eq $s)))
    (type $a (record (field "kind" string) (field "key" string) (field "name" string))) (export "about" (type $about (eq $a)))
    (type $maybe-text (option string)) (type $maybe-severity (option $severity)) (type $maybe-about (option $about))
    (type $fact (tuple string string)) (type $facts (list $fact))
    (type $al (record (field "title" string) (field "dedup-key" $maybe-text) (field "severity" $maybe-severity) (field "time" s64)
      (field "about" $maybe-about) (field "facts" $facts) (field "evidence" $u64s) (field "raised-by" u64)))
    (export "alert" (type $alert (eq $al)))))
  (alias export $types "batch" (type $batch))
  (alias export $types "alert" (type $alert))
"#;

/// The host functions: what `$main` imports them as (module `host`), instance, name, whether they hand anything over, and
/// their core type.
const HOST: [(&str, &str, &str, bool, &str); 11] = [
    ("get", "state", "get", true, "(param i32 i32 i64 i32)"),
    ("get-many", "state", "get-many", true, "(param i32 i32 i64 i32)"),
    (
        "put",
        "state",
        "put",
        false,
        "(param i32 i32 i32 i32 i64 i64) (result i32)",
    ),
    ("delete", "state", "delete", false, "(param i32 i32 i64)"),
    ("scan", "state", "scan", true, "(param i32 i32 i64 i32 i32)"),
    ("set", "timers", "set", false, "(param i32 i32 i64) (result i32)"),
    ("cancel", "timers", "cancel", false, "(param i32 i32)"),
    ("next", "timers", "next", true, "(param i64 i32)"),
    ("find", "lookup", "find", true, "(param i32 i32 i32 i32 i32 i32 i32)"),
    ("param", "params", "get", true, "(param i32 i32 i32)"),
    ("log", "log", "write", false, "(param i32 i32 i32)"),
];

/// Text for the head of a core module that imports every host function from `host` (as `$get`, `$get-many`, ..., `$log`) and
/// the memory from `base`.
#[must_use]
pub fn host_imports() -> String {
    let imports = HOST
        .iter()
        .map(|(name, .., signature)| format!(r#"(import "host" "{name}" (func ${name} {signature}))"#));
    let memory = r#"(import "base" "memory" (memory 1))"#.to_owned();
    imports.chain([memory]).collect::<Vec<_>>().join("\n")
}

/// A component, in pieces of text.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Before the imports.
    pub before: String,
    /// Core modules and instances between `$base` and `$main`; the lowered host functions are the core instance `$host`.
    pub between: String,
    /// Further arguments of `$main`'s instantiation.
    pub with: String,
    /// The core module that has `memory` and `cabi_realloc`.
    pub base: String,
    /// The core module that has `describe`, `evaluate` and their post-return functions `describe_post`, `evaluate_post`.
    pub main: String,
    /// Options of both lifts, after memory and allocator.
    pub lift: String,
    /// Whether the post-return functions are called.
    pub post_return: bool,
    /// Before the export.
    pub after: String,
}

impl Shell {
    /// A component around the body of `evaluate`, which sees every host function; see [`crate::Guest`] for its parameters and
    /// the layout of its memory.
    #[must_use]
    pub fn new(evaluate: &str) -> Self {
        let manifest = crate::manifest();
        let length = manifest.len();
        let manifest = manifest.replace('"', "\\\"");
        let base = format!(
            r#"(memory (export "memory") 2) (global $bump (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {})"#,
            crate::REALLOC
        );
        let main = format!(
            r#"{}
            (data (i32.const 1024) "{manifest}")
            (data (i32.const 8) "\00\04\00\00")
            (func (export "describe") (result i32) (i32.store (i32.const 12) (i32.const {length})) (i32.const 8))
            (func (export "describe_post") (param i32))
            (func (export "evaluate_post") (param i32))
            (func (export "evaluate")
                (param $rule i32) (param $rule_len i32) (param $groups i32) (param $groups_len i32)
                (param $order i32) (param $order_len i32) (param $watermark i64) (result i32)
                {evaluate})"#,
            host_imports()
        );
        Shell {
            before: String::new(),
            between: String::new(),
            with: String::new(),
            base,
            main,
            lift: String::new(),
            post_return: false,
            after: String::new(),
        }
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let Shell {
            before,
            between,
            with,
            base,
            main,
            lift,
            post_return,
            after,
        } = self;
        let memory = r#"(memory (core memory $base "memory"))"#;
        let realloc = r#"(realloc (core func $base "cabi_realloc"))"#;
        let lower = |(name, instance, function, hands_over, _): &(&str, &str, &str, bool, &str)| {
            let realloc = if *hands_over { realloc } else { "" };
            format!(r#"(core func ${name} (canon lower (func ${instance} "{function}") {memory} {realloc}))"#)
        };
        let lowered: Vec<String> = HOST.iter().map(lower).collect();
        let exports: Vec<String> = HOST
            .iter()
            .map(|(name, ..)| format!(r#"(export "{name}" (func ${name}))"#))
            .collect();
        let post = |name: &str| {
            if *post_return {
                format!(r#"(post-return (core func $main "{name}_post"))"#)
            } else {
                String::new()
            }
        };
        format!(
            r#"(component {before} {IMPORTS}
              (core module $base {base})
              (core instance $base (instantiate $base))
              {lowered}
              (core instance $host {exports})
              {between}
              (core module $main {main})
              (core instance $main (instantiate $main (with "host" (instance $host)) (with "base" (instance $base)) {with}))
              (func $describe (result string)
                (canon lift (core func $main "describe") {memory} {realloc} {describe_post} {lift}))
              (type $alerts (list $alert)) (type $answer (result $alerts (error string)))
              (func $evaluate (param "rule" string) (param "batch" $batch) (result $answer)
                (canon lift (core func $main "evaluate") {memory} {realloc} {evaluate_post} {lift}))
              (instance $detection (export "describe" (func $describe)) (export "evaluate" (func $evaluate)))
              {after}
              (export "picket:rule/detection@1.0.0" (instance $detection)))"#,
            lowered = lowered.join("\n"),
            exports = exports.join(" "),
            describe_post = post("describe"),
            evaluate_post = post("evaluate"),
        )
    }

    /// As bytes, which need not be valid.
    ///
    /// # Panics
    /// The text is no component.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A component with other bytes in place of its core module of this number, counted from 0 in the order of the file.
///
/// # Panics
/// It is no component, or has no such core module.
#[must_use]
pub fn spliced(component: &[u8], number: usize, core: &[u8]) -> Vec<u8> {
    const PREAMBLE: usize = 8;
    const CORE_MODULE: u8 = 1;
    let (mut at, mut seen) = (PREAMBLE, 0);
    while let Some(id) = component.get(at) {
        let (size, width) = leb128(&component[at + 1..]);
        let body = at + 1 + width;
        if *id == CORE_MODULE && seen == number {
            let mut spliced = component[..=at].to_vec();
            let mut rest = core.len();
            while rest >= 0x80 {
                spliced.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            spliced.push(rest as u8);
            spliced.extend_from_slice(core);
            spliced.extend_from_slice(&component[body + size..]);
            return spliced;
        }
        seen += usize::from(*id == CORE_MODULE);
        at = body + size;
    }
    panic!("the component has {seen} core modules, and none of number {number}")
}

/// A number, and how many bytes it takes.
fn leb128(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (value, index + 1);
        }
    }
    (value, bytes.len())
}
