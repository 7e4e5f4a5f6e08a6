//! 13 and 14: every way in which a call ends before its time, each with a code of its own.

use super::Cases;
use crate::{Guest, LOG, NOTHING, REALLOC, STATE};

pub(super) fn cases(cases: &mut Cases) {
    recursion(cases);
    traps(cases);
}

fn recursion(cases: &mut Cases) {
    let deep = |items: &str, call: &str| Guest::new(format!("{call} {NOTHING}")).items(items);
    cases.fails(
        13,
        "recursion-small-frames",
        deep("(func $deep (call $deep))", "(call $deep)"),
        "stack-overflow",
    );
    let frame = format!(
        "(func $deep (param i64) (result i64) (local{}) (call $deep (i64.add (local.get 0) (call $deep (local.get 3)))))",
        " i64".repeat(500)
    );
    cases.fails(
        13,
        "recursion-large-frames",
        deep(&frame, "(drop (call $deep (i64.const 1)))"),
        "stack-overflow",
    );
    let many = format!(
        "(func $deep (param {}) (call $deep {}))",
        "i64 ".repeat(100),
        "(i64.const 1)".repeat(100)
    );
    let call = format!("(call $deep {})", "(i64.const 1)".repeat(100));
    cases.fails(13, "recursion-of-100-arguments", deep(&many, &call), "stack-overflow");
    let indirect = "(table funcref (elem $deep)) (func $deep (call_indirect (i32.const 0)))";
    cases.fails(
        13,
        "recursion-indirect",
        deep(indirect, "(call $deep)"),
        "stack-overflow",
    );
    let mutual = "(func $ping (call $pong)) (func $pong (call $ping))";
    cases.fails(13, "recursion-by-turns", deep(mutual, "(call $ping)"), "stack-overflow");
    // Down to the last frames, then into the host, whose own stack comes on top.
    let into_the_host = "(func $deep (call $log (i32.const 1) (i32.const 0) (i32.const 0)) (call $deep))";
    cases.fails(
        13,
        "recursion-with-host-calls",
        deep(into_the_host, "(call $deep)").imports(LOG),
        "stack-overflow",
    );
    // Rule, host, rule: what the host hands over is allocated by a function that recurses.
    let realloc = format!("(if (global.get $lie) (then (call $deep))) {REALLOC}").replace("(local $at i32)", "");
    let body = "(global.set $lie (i32.const 1)) (call $scan (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 9) (i32.const 32))";
    let body = format!(
        "(drop (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i64.const 0) (i64.const 9))) {body} {NOTHING}"
    );
    let guest = Guest::new(body)
        .imports(STATE)
        .items("(global $lie (mut i32) (i32.const 0)) (func $deep (call $deep))")
        .realloc(format!("(local $at i32) {realloc}"));
    cases.fails(13, "recursion-through-the-host", guest, "stack-overflow");
}

fn traps(cases: &mut Cases) {
    let table = "(table $t 2 funcref) (elem (i32.const 0) $f) (func $f (param i32))";
    for (name, items, body, code) in [
        ("unreachable", "", "unreachable", "unreachable"),
        (
            "division-by-zero",
            "",
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "divide-by-zero",
        ),
        (
            "remainder-by-zero",
            "",
            "(drop (i64.rem_s (i64.const 1) (i64.const 0)))",
            "divide-by-zero",
        ),
        (
            "division-that-overflows",
            "",
            "(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))",
            "integer-overflow",
        ),
        (
            "float-too-large-for-an-integer",
            "",
            "(drop (i32.trunc_f64_s (f64.const 1e30)))",
            "integer-overflow",
        ),
        (
            "float-that-is-no-number",
            "",
            "(drop (i64.trunc_f32_u (f32.const nan)))",
            "float-to-integer",
        ),
        (
            "load-outside-the-memory",
            "",
            "(drop (i32.load (i32.const 131069)))",
            "out-of-bounds",
        ),
        (
            "load-at-minus-one",
            "",
            "(drop (i32.load8_u (i32.const -1)))",
            "out-of-bounds",
        ),
        (
            "load-by-offset",
            "",
            "(drop (i64.load offset=4294967295 (i32.const -1)))",
            "out-of-bounds",
        ),
        (
            "store-outside-the-memory",
            "",
            "(i64.store (i32.const 131072) (i64.const 1))",
            "out-of-bounds",
        ),
        (
            "copy-outside-the-memory",
            "",
            "(memory.copy (i32.const 0) (i32.const 100000) (i32.const 100000))",
            "out-of-bounds",
        ),
        (
            "fill-outside-the-memory",
            "",
            "(memory.fill (i32.const -1) (i32.const 0) (i32.const 2))",
            "out-of-bounds",
        ),
        (
            "table-outside",
            table,
            "(drop (table.get $t (i32.const 2)))",
            "table-out-of-bounds",
        ),
        (
            "indirect-call-outside",
            table,
            "(call_indirect $t (i32.const 9))",
            "table-out-of-bounds",
        ),
        (
            "indirect-call-of-nothing",
            table,
            "(call_indirect $t (i32.const 1))",
            "indirect-call-to-null",
        ),
        (
            "indirect-call-of-another-type",
            table,
            "(call_indirect $t (i32.const 0))",
            "indirect-call-type",
        ),
    ] {
        cases.fails(14, name, Guest::new(format!("{body} {NOTHING}")).items(items), code);
    }
}
