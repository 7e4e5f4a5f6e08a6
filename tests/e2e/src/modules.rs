//! Modules that nobody would ship: crafted from text, or changed byte by byte.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../sdk/wit/rule.wit");

/// A manifest of one rule without cases.
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

/// A component of the contract whose `describe` runs `describe` before it answers with `manifest`, and whose rules raise
/// nothing.
#[must_use]
pub fn core_component(manifest: &str, describe: &str) -> Vec<u8> {
    let length = manifest.len();
    let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!(
        r#"(module
            (memory (export "memory") 2)
            (global $bump (mut i32) (i32.const 65536))
            (data (i32.const 1024) "{manifest}")
            (data (i32.const 8) "\00\04\00\00")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 15)) (i32.const -16)))
                (global.set $bump (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "picket:rule/detection@1.0.0#describe") (result i32)
                {describe}
                (i32.store (i32.const 12) (i32.const {length}))
                (i32.const 8))
            (func (export "picket:rule/detection@1.0.0#evaluate")
                (param i32 i32 i32 i32 i32 i32 i64) (result i32)
                (i32.const 16)))"#
    );
    component(&text, WIT)
}

/// A component of a world that has nothing to do with rules.
#[must_use]
pub fn other_component() -> Vec<u8> {
    let wit = "package acme:plug@1.0.0; interface run { run: func(); } world module { export run; }";
    component(r#"(module (func (export "acme:plug/run@1.0.0#run")))"#, wit)
}

fn component(text: &str, wit: &str) -> Vec<u8> {
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

/// A module with every `from` in it replaced by a `to` of the same length: how a test makes a new version of a stock module.
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
