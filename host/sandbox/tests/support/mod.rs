//! Hostile and merely odd modules, written as WebAssembly text and made into components of the contract.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]

use picket_contract::{Batch, Call, Column, Evaluate, Failure, Group, NULL, Outcome, Params, RuleState, Tables};
use picket_sandbox::{Engine, Limits, Module, Rejected};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// A module around the body of `evaluate`, which gets (rule, groups, order, watermark) flattened:
/// `$rule $rule_len $groups $groups_len $order $order_len $watermark`, and returns a pointer to its result.
/// At 16 lies `ok` of no alerts. `$bump` is where free memory begins.
pub(crate) fn module(body: &str) -> String {
    module_with("", "", body)
}

/// The same with imports and further items.
pub(crate) fn module_with(imports: &str, items: &str, body: &str) -> String {
    module_describing(imports, items, &manifest(), body)
}

/// The same with another manifest.
pub(crate) fn module_describing(imports: &str, items: &str, manifest: &str, body: &str) -> String {
    let length = manifest.len();
    let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        r#"(module
            {imports}
            (memory (export "memory") 2)
            (global $bump (mut i32) (i32.const 65536))
            (data (i32.const 1024) "{manifest}")
            ;; describe's answer: pointer and length
            (data (i32.const 8) "\00\04\00\00")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 15)) (i32.const -16)))
                (global.set $bump (i32.add (local.get $at) (local.get 3)))
                (block $fits
                    (br_if $fits (i32.le_u (global.get $bump) (i32.mul (memory.size) (i32.const 65536))))
                    (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
                (local.get $at))
            (func (export "picket:rule/detection@1.0.0#describe") (result i32)
                (i32.store (i32.const 12) (i32.const {length}))
                (i32.const 8))
            {items}
            (func (export "picket:rule/detection@1.0.0#evaluate")
                (param $rule i32) (param $rule_len i32) (param $groups i32) (param $groups_len i32)
                (param $order i32) (param $order_len i32) (param $watermark i64) (result i32)
                {body}))"#
    )
}

/// The manifest of one rule `t`.
pub(crate) fn manifest() -> String {
    serde_json::json!({
        "schema": "picket.manifest/1",
        "rules": [{
            "id": "t", "version": "1.0.0", "title": "T", "severity": "low",
            "sources": [{"log": "authentication", "fields": [{"path": "user.name", "type": "text"}]}]
        }]
    })
    .to_string()
}

/// As a component.
pub(crate) fn component(text: &str) -> Vec<u8> {
    component_of(text, include_str!("../../../../sdk/wit/rule.wit"))
}

/// As a component of another contract.
pub(crate) fn component_of(text: &str, wit: &str) -> Vec<u8> {
    let mut core = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("rule.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("module")).unwrap();
    wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// With the limits of production, but memory for a few calls only.
pub(crate) fn engine() -> Engine {
    Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    })
    .unwrap()
}

/// A module of a body of `evaluate`, loaded.
pub(crate) fn loaded(text: &str) -> Module {
    engine().load(&component(text)).unwrap()
}

/// Why bytes are not admitted.
pub(crate) fn rejected(bytes: &[u8]) -> Rejected {
    engine().load(bytes).unwrap_err()
}

/// One call on a batch, with nothing remembered.
pub(crate) fn call(module: &Module, batch: &Batch) -> Result<Outcome, Failure> {
    call_on(module, batch, &RuleState::default())
}

/// One call.
pub(crate) fn call_on(module: &Module, batch: &Batch, state: &RuleState) -> Result<Outcome, Failure> {
    let (params, tables) = (Params::new(), Tables::default());
    module.evaluate(Call {
        rule: "t",
        batch,
        state,
        params: &params,
        tables: &tables,
    })
}

/// Rows of one source with text columns, numbered from 1.
pub(crate) fn rows(count: usize, columns: usize) -> Batch {
    let mut group = Group {
        offsets: vec![0],
        ..Group::default()
    };
    for value in 0..50 {
        group.dictionary.extend(format!("value number {value}").bytes());
        group.offsets.push(group.dictionary.len() as u32);
    }
    group.events = (1..=count as u64).collect();
    group.times = (0..count as i64).map(|row| row * 1000).collect();
    group.late = vec![0; count];
    for column in 0..columns {
        let code = |row: usize| {
            if row % 7 == column {
                NULL
            } else {
                ((row * (column + 3)) % 50) as u32
            }
        };
        group.columns.push(Column::Text((0..count).map(code).collect()));
    }
    Batch {
        groups: vec![group],
        order: vec![0; count],
        watermark: count as i64 * 1000,
    }
}

/// Text of a module's body that stores `result<list<alert>>` of `count` alerts, each titled `title` (at 512), with evidence
/// `evidence`, raised by `raised_by`; all of them are the one alert at 256, copied.
pub(crate) fn alerts(count: usize, title: &str, evidence: u64, raised_by: u64) -> (String, String) {
    let length = title.len();
    let items = format!(r#"(data (i32.const 600) "{title}")"#);
    let body = format!(
        r#"(local $i i32) (local $at i32)
        ;; result: ok, pointer, length
        (i32.store (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (i32.const 131072))
        (i32.store (i32.const 24) (i32.const {count}))
        ;; evidence at 512
        (i64.store (i32.const 512) (i64.const {evidence}))
        ;; the alert: title, dedup-key none, severity none, time, about none, no facts, evidence, raised-by
        (i32.store (i32.const 256) (i32.const 600))
        (i32.store (i32.const 260) (i32.const {length}))
        (i32.store8 (i32.const 264) (i32.const 0))
        (i32.store8 (i32.const 276) (i32.const 0))
        (i64.store (i32.const 280) (i64.const 5000))
        (i32.store8 (i32.const 288) (i32.const 0))
        (i32.store (i32.const 316) (i32.const 0))
        (i32.store (i32.const 320) (i32.const 0))
        (i32.store (i32.const 324) (i32.const 512))
        (i32.store (i32.const 328) (i32.const 1))
        (i64.store (i32.const 336) (i64.const {raised_by}))
        (drop (memory.grow (i32.const 8)))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (i32.const {count})))
            (memory.copy (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 88))) (i32.const 256) (i32.const 88))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.const 16)"#
    );
    (items, body)
}
