//! 8 and 9: modules that never end, and modules that eat memory or lie about it.

use super::Cases;
use crate::{Guest, LOG, LOOKUP, NOTHING, PARAMS, REALLOC, STATE, Shell, TIMERS};

pub(super) fn cases(cases: &mut Cases) {
    loops(cases);
    host_loops(cases);
    memory(cases);
    allocators(cases);
    post_returns(cases);
}

fn forever(body: &str) -> String {
    format!("(loop {body} (br 0)) {NOTHING}")
}

fn loops(cases: &mut Cases) {
    let endless = [
        ("empty", "", ""),
        (
            "memory-fill",
            "",
            "(memory.fill (i32.const 65536) (i32.const 0) (i32.const 65536))",
        ),
        (
            "memory-fill-of-nothing",
            "",
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        (
            "memory-copy",
            "",
            "(memory.copy (i32.const 65536) (i32.const 0) (i32.const 65536))",
        ),
        (
            "memory-init",
            r#"(data $d "0123456789")"#,
            "(memory.init $d (i32.const 65536) (i32.const 0) (i32.const 10))",
        ),
        ("memory-grow-by-nothing", "", "(drop (memory.grow (i32.const 0)))"),
        (
            "memory-copy-of-nothing",
            "",
            "(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        (
            "memory-init-of-nothing",
            r#"(data $d "0123456789")"#,
            "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        ("data-drop", r#"(data $d "0123456789")"#, "(data.drop $d)"),
        (
            "table-fill-of-nothing",
            "(table $t 1 funcref)",
            "(table.fill $t (i32.const 0) (ref.null func) (i32.const 0))",
        ),
        (
            "table-copy-of-nothing",
            "(table $t 1 funcref)",
            "(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        (
            "table-init-of-nothing",
            "(table $t 1 funcref) (elem $e func $f) (func $f)",
            "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        ("element-drop", "(elem $e func $f) (func $f)", "(elem.drop $e)"),
        (
            "table-set",
            "(table $t 1 funcref) (elem declare func $f) (func $f)",
            "(table.set $t (i32.const 0) (ref.func $f))",
        ),
        ("calls", "(func $f)", "(call $f)"),
        (
            "float-rounding",
            "(global $g (mut f64) (f64.const 2.5))",
            "(global.set $g (f64.nearest (f64.ceil (f64.floor (f64.trunc (global.get $g))))))",
        ),
        (
            "counting-bits",
            "(global $g (mut i64) (i64.const 7))",
            "(global.set $g (i64.add (i64.clz (global.get $g)) (i64.add (i64.ctz (global.get $g)) (i64.popcnt (global.get $g)))))",
        ),
        ("memory-size", "", "(drop (memory.size))"),
        (
            "table-grow-by-nothing",
            "(table $t 1 funcref)",
            "(drop (table.grow $t (ref.null func) (i32.const 0)))",
        ),
        (
            "table-fill",
            "(table $t 10000 funcref)",
            "(table.fill $t (i32.const 0) (ref.null func) (i32.const 10000))",
        ),
        (
            "table-copy",
            "(table $t 10000 funcref)",
            "(table.copy $t $t (i32.const 0) (i32.const 5000) (i32.const 5000))",
        ),
        (
            "table-init",
            "(table $t 100 funcref) (elem $e func $f $f $f $f) (func $f)",
            "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 4))",
        ),
        (
            "indirect-calls",
            "(table funcref (elem $f)) (func $f)",
            "(call_indirect (i32.const 0))",
        ),
        (
            "division-and-roots",
            "",
            "(drop (f64.sqrt (f64.div (f64.const 3) (f64.const 7)))) (drop (i64.rem_u (i64.const -1) (i64.const 7)))",
        ),
        (
            "branch-table",
            "",
            "(block (block (block (br_table 0 1 2 (i32.const 1)))))",
        ),
    ];
    for (name, items, body) in endless {
        cases.fails(
            8,
            format!("loop-{name}"),
            Guest::new(forever(body)).items(items),
            "out-of-fuel",
        );
    }
    let mutual = "(func $ping (call $pong)) (func $pong (loop (br 0)))";
    cases.fails(
        8,
        "loop-behind-calls",
        Guest::new(format!("(call $ping) {NOTHING}")).items(mutual),
        "out-of-fuel",
    );
    // 2^60 calls, never more than 60 deep.
    let tree = "(func $tree (param i32) (if (local.get 0) (then
        (call $tree (i32.sub (local.get 0) (i32.const 1))) (call $tree (i32.sub (local.get 0) (i32.const 1))))))";
    let body = format!("(call $tree (i32.const 60)) {NOTHING}");
    cases.fails(8, "calls-without-end", Guest::new(body).items(tree), "out-of-fuel");
    let growing = forever("(drop (table.grow $t (ref.null func) (i32.const 100)))");
    cases.fails(
        8,
        "table-bomb",
        Guest::new(growing).items("(table $t 1 funcref)"),
        "out-of-memory",
    );
}

fn host_loops(cases: &mut Cases) {
    let list = |pointer: &str, length: &str| format!("(i32.const {pointer}) (i32.const {length})");
    let (nothing, page) = (list("0", "0"), list("98304", "32768"));
    let endless = [
        ("log", LOG, format!("(call $log (i32.const 1) {page})")),
        ("log-of-nothing", LOG, format!("(call $log (i32.const 3) {nothing})")),
        ("log-of-errors", LOG, format!("(call $log (i32.const 0) {page})")),
        (
            "get",
            STATE,
            format!("(call $get {nothing} (i64.const 0) (i32.const 32))"),
        ),
        (
            "get-of-long-keys",
            STATE,
            format!("(call $get {page} (i64.const 0) (i32.const 32))"),
        ),
        (
            "get-many-of-nothing",
            STATE,
            format!("(call $get_many {nothing} (i64.const 0) (i32.const 32))"),
        ),
        (
            "get-many-of-4000",
            STATE,
            "(call $get_many (i32.const 98304) (i32.const 4000) (i64.const 0) (i32.const 32))".to_owned(),
        ),
        (
            "put-of-the-same",
            STATE,
            format!("(drop (call $put {nothing} {nothing} (i64.const 0) (i64.const 9)))"),
        ),
        (
            "put-of-64-kib",
            STATE,
            format!("(drop (call $put {nothing} {page} (i64.const 0) (i64.const 9)))"),
        ),
        ("delete", STATE, format!("(call $delete {page} (i64.const 0))")),
        (
            "scan",
            STATE,
            format!("(call $scan {nothing} (i64.const 0) (i32.const -1) (i32.const 32))"),
        ),
        (
            "timer-set",
            TIMERS,
            format!("(drop (call $set {nothing} (i64.const 99)))"),
        ),
        ("timer-cancel", TIMERS, format!("(call $cancel {page})")),
        (
            "timer-next",
            TIMERS,
            "(call $next (i64.const 0) (i32.const 32))".to_owned(),
        ),
        (
            "timer-that-renews-itself",
            TIMERS,
            format!("(drop (call $set {nothing} (i64.const 1))) (call $next (i64.const 99) (i32.const 32))"),
        ),
        (
            "find",
            LOOKUP,
            format!("(call $find {nothing} {nothing} {nothing} (i32.const 32))"),
        ),
        ("param", PARAMS, format!("(call $param {nothing} (i32.const 32))")),
    ];
    for (name, imports, body) in endless {
        let guest = Guest::new(forever(&body)).imports(imports);
        cases.fails(8, format!("loop-over-host-{name}"), guest, "out-of-fuel");
    }
    // What is handed over is handed over again and again, into ever more memory: whichever end comes first.
    let body = "(drop (call $put (i32.const 600) (i32.const 4) (i32.const 65536) (i32.const 60000) (i64.const 0) (i64.const 9)))
        (loop (call $get (i32.const 600) (i32.const 4) (i64.const 0) (i32.const 32)) (br 0)) (i32.const 16)";
    cases.fails(
        8,
        "loop-over-a-large-value",
        Guest::new(body).imports(STATE),
        "out-of-memory",
    );
    let reused = REALLOC.replace("(global.set $bump (i32.add (local.get $at) (local.get 3)))", "");
    let body = body.replace("(local $at", "");
    let guest = Guest::new(body).imports(STATE).realloc(reused);
    cases.fails(8, "loop-over-a-large-value-into-one-place", guest, "out-of-fuel");
}

fn memory(cases: &mut Cases) {
    cases.fails(
        9,
        "memory-bomb",
        Guest::new(forever("(drop (memory.grow (i32.const 16)))")),
        "out-of-memory",
    );
    cases.fails(
        9,
        "memory-grow-by-4-gib",
        Guest::new(format!("(drop (memory.grow (i32.const 65535))) {NOTHING}")),
        "out-of-memory",
    );
    cases.fails(
        9,
        "memory-grow-by-minus-one",
        Guest::new(format!("(drop (memory.grow (i32.const -1))) {NOTHING}")),
        "out-of-fuel",
    );
    // Touches every page of what it may have.
    let all = "(local $at i32) (drop (memory.grow (i32.const 200)))
        (loop $next (i32.store (local.get $at) (i32.const 7)) (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 13107200))))
        (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const 0))
        (i32.const 16)";
    cases.harmless(9, "memory-all-of-it-touched", Guest::new(all));
}

/// `cabi_realloc`, which the host calls for everything that it hands over.
fn allocators(cases: &mut Cases) {
    let of = |body: &str| Guest::new(NOTHING).realloc(body);
    for (name, body, code) in [
        ("outside-the-memory", "(i32.const 131072)", "malformed"),
        ("at-the-very-end", "(i32.const 131064)", "malformed"),
        ("far-outside", "(i32.const 2147483640)", "malformed"),
        ("minus-eight", "(i32.const -8)", "malformed"),
        ("minus-one", "(i32.const -1)", "malformed"),
        ("unaligned", "(i32.const 65537)", "malformed"),
        ("traps", "unreachable", "unreachable"),
        (
            "divides-by-zero",
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "divide-by-zero",
        ),
        ("loops", "(loop (br 0)) (i32.const 0)", "out-of-fuel"),
        (
            "eats-memory",
            "(loop (drop (memory.grow (i32.const 1))) (br 0)) (i32.const 0)",
            "out-of-memory",
        ),
    ] {
        cases.fails(9, format!("realloc-{name}"), of(body), code);
    }
    let deep = of("(call $deep) (i32.const 65536)").items("(func $deep (call $deep))");
    cases.fails(9, "realloc-recurses", deep, "stack-overflow");
    let host = of("(call $log (i32.const 1) (i32.const 0) (i32.const 0)) (i32.const 65536)").imports(LOG);
    cases.fails(9, "realloc-calls-the-host", host, "trap");
    // Everything at one place: what the rule is shown is nonsense, and that is the rule's affair.
    cases.harmless(9, "realloc-always-the-same", of("(i32.const 65536)"));
    // Into the manifest, the answer and the allocator's own data.
    cases.harmless(9, "realloc-over-its-own-data", of("(i32.const 32768)"));
    // Only what a host function hands over is lied about.
    for (name, at, code) in [
        ("outside-the-memory", "-16", "malformed"),
        ("unaligned", "65537", "malformed"),
        ("over-the-result-itself", "32", ""),
    ] {
        let realloc = REALLOC.replace(
            "(local.get $at)",
            &format!("(select (i32.const {at}) (local.get $at) (global.get $lie))"),
        );
        let body = r#"(drop (call $put (i32.const 600) (i32.const 4) (i32.const 600) (i32.const 16) (i64.const 0) (i64.const 9)))
            (global.set $lie (i32.const 1))
            (call $scan (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 10) (i32.const 32))
            (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const 0))
            (i32.const 16)"#;
        let last = REALLOC.rfind("(local.get $at)").unwrap();
        let realloc = if realloc.matches("$lie").count() == 1 {
            realloc
        } else {
            format!(
                "{}(select (i32.const {at}) (local.get $at) (global.get $lie))",
                &REALLOC[..last]
            )
        };
        let guest = Guest::new(body)
            .imports(STATE)
            .items("(global $lie (mut i32) (i32.const 0))")
            .realloc(realloc);
        let name = format!("realloc-for-a-host-function-{name}");
        if code.is_empty() {
            cases.harmless(9, name, guest);
        } else {
            cases.fails(9, name, guest, code);
        }
    }
    for (name, at, length, code) in [
        ("outside-the-memory", "131070", "9", "malformed"),
        ("of-4-gib", "1", "-1", "malformed"),
        ("that-wraps", "-8", "16", "malformed"),
    ] {
        let argument = format!("(i32.const {at}) (i32.const {length})");
        let text = format!("(call $log (i32.const 1) {argument}) {NOTHING}");
        cases.fails(9, format!("host-text-{name}"), Guest::new(text).imports(LOG), code);
        let bytes = format!("(call $delete {argument} (i64.const 0)) {NOTHING}");
        cases.fails(9, format!("host-bytes-{name}"), Guest::new(bytes).imports(STATE), code);
        let lists = format!("(call $get_many {argument} (i64.const 0) (i32.const 32)) {NOTHING}");
        cases.fails(9, format!("host-lists-{name}"), Guest::new(lists).imports(STATE), code);
    }
    for (name, body, imports) in [
        ("level", "(call $log (i32.const 4) (i32.const 0) (i32.const 0))", LOG),
        (
            "result-outside-the-memory",
            "(call $next (i64.const 0) (i32.const -16))",
            TIMERS,
        ),
        ("result-unaligned", "(call $next (i64.const 0) (i32.const 33))", TIMERS),
        (
            "list-unaligned",
            "(call $get_many (i32.const 65537) (i32.const 1) (i64.const 0) (i32.const 32))",
            STATE,
        ),
        (
            "text-that-is-none",
            "(memory.fill (i32.const 600) (i32.const 255) (i32.const 9)) (call $log (i32.const 1) (i32.const 600) (i32.const 9))",
            LOG,
        ),
    ] {
        let guest = Guest::new(format!("{body} {NOTHING}")).imports(imports);
        cases.fails(9, format!("host-{name}"), guest, "malformed");
    }
}

/// Functions that the host calls when it has taken an answer.
fn post_returns(cases: &mut Cases) {
    for (name, body, code) in [
        ("traps", "unreachable", "unreachable"),
        ("loops", "(loop (br 0))", "out-of-fuel"),
        (
            "eats-memory",
            "(loop (drop (memory.grow (i32.const 1))) (br 0))",
            "out-of-memory",
        ),
        (
            "calls-the-host",
            "(call $log (i32.const 1) (i32.const 0) (i32.const 0))",
            "trap",
        ),
    ] {
        let shell = Shell {
            post_return: true,
            ..Shell::new(NOTHING)
        };
        let main = shell.main.replace(
            r#"(func (export "evaluate_post") (param i32))"#,
            &format!(r#"(func (export "evaluate_post") (param i32) {body})"#),
        );
        cases.fails(9, format!("post-return-{name}"), Shell { main, ..shell }, code);
    }
}
