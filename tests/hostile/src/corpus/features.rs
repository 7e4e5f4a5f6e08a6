//! 6: proposals that rules do not use, and memories and tables that no rule needs.

use super::Cases;
use crate::{Guest, NOTHING, Shell};

pub(super) fn cases(cases: &mut Cases) {
    let memory = |text: &str| Guest::new(NOTHING).memory(format!(r#"(memory (export "memory") {text})"#));
    cases.refused(6, "memory-of-4-gib", memory("65536"), "too-large");
    cases.refused(6, "memory-of-17-mib", memory("272"), "too-large");
    cases.harmless(6, "memory-that-may-grow-to-4-gib", memory("2 65536"));
    let table = |text: &str| Guest::new(NOTHING).items(format!("(table {text} funcref)"));
    cases.refused(6, "table-of-a-million", table("1000000"), "too-large");
    cases.refused(6, "table-of-4-billion", table("4294967295"), "too-large");
    let tables = Guest::new(NOTHING).items("(table 1000 funcref)".repeat(100));
    cases.refused(6, "tables-100", tables, "too-large");

    // Beside a good module, so that nothing else is wrong.
    let proposals = [
        ("two-memories", "(memory 1) (memory 1)"),
        ("memory64", "(memory i64 1)"),
        ("table64", "(table i64 1 funcref)"),
        ("shared-memory", "(memory 1 1 shared)"),
        ("atomics", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
        ("custom-page-sizes", "(memory 1 (pagesize 1))"),
        (
            "gc-struct",
            "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))",
        ),
        ("gc-i31", "(func (drop (ref.i31 (i32.const 1))))"),
        (
            "function-references",
            "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
        ),
        ("exceptions", "(tag $e) (func (throw $e))"),
        ("tail-call-loop", "(func $again (return_call $again))"),
        ("simd", "(func (drop (v128.const i64x2 1 2)))"),
        (
            "relaxed-simd",
            "(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 1 2) (v128.const i64x2 1 2))))",
        ),
        (
            "wide-arithmetic",
            "(func (drop (drop (i64.mul_wide_u (i64.const 1) (i64.const 2)))))",
        ),
        (
            "stack-switching",
            "(type $f (func)) (type $c (cont $f)) (func (param (ref $f)) (drop (cont.new $c (local.get 0))))",
        ),
    ];
    for (name, items) in proposals {
        let items = items.replace(
            "(drop (drop (i64.mul_wide_u (i64.const 1) (i64.const 2))))",
            "(i64.mul_wide_u (i64.const 1) (i64.const 2)) drop drop",
        );
        let shell = Shell {
            between: format!("(core module {items})"),
            ..Shell::new(NOTHING)
        };
        cases.refused(6, name, shell, "feature");
    }
    // The component model's own.
    let component = [
        ("component-async", r#"(import "later" (func async))"#, ""),
        ("component-streams", "(type (stream u8))", ""),
        ("component-errors", "(type error-context)", ""),
    ];
    for (name, before, after) in component {
        let shell = Shell {
            before: before.to_owned(),
            after: after.to_owned(),
            ..Shell::new(NOTHING)
        };
        cases.refused(
            6,
            name,
            shell,
            if name == "component-async" { "import" } else { "feature" },
        );
    }
    for (name, lift) in [
        ("strings-of-utf-16", "string-encoding=utf16"),
        ("strings-of-latin-1", "string-encoding=latin1+utf16"),
    ] {
        let shell = Shell {
            lift: lift.to_owned(),
            ..Shell::new(NOTHING)
        };
        cases.refused(6, name, shell, "string-encoding");
    }
}
