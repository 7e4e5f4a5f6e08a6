//! 7: what happens before a module is called at all.

use super::Cases;
use crate::{Guest, NOTHING, STATE, Shell, TIMERS};

pub(super) fn cases(cases: &mut Cases) {
    let starting = |body: &str| Guest::new(NOTHING).items(format!("(func $begin {body}) (start $begin)"));
    cases.unborn(7, "start-that-traps", starting("unreachable"), "unreachable");
    cases.unborn(7, "start-without-end", starting("(loop (br 0))"), "out-of-fuel");
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072)) (br 0))";
    cases.unborn(7, "start-that-fills-memory-for-ever", starting(fill), "out-of-fuel");
    cases.unborn(
        7,
        "start-that-eats-memory",
        starting("(loop (drop (memory.grow (i32.const 1))) (br 0))"),
        "out-of-memory",
    );
    cases.unborn(7, "start-that-recurses", starting("(call $begin)"), "stack-overflow");
    let items = |text: &str| Guest::new(NOTHING).items(text);
    cases.unborn(
        7,
        "data-outside-the-memory",
        items(r#"(data (i32.const 131071) "ab")"#),
        "out-of-bounds",
    );
    cases.unborn(
        7,
        "data-at-minus-one",
        items(r#"(data (i32.const -1) "a")"#),
        "out-of-bounds",
    );
    let elements = "(table 1 funcref) (func $f) (elem (i32.const 1) $f)";
    cases.unborn(7, "elements-outside-the-table", items(elements), "table-out-of-bounds");
    let begins = "(func $begin (call $delete (i32.const 0) (i32.const 0) (i64.const 0))) (start $begin)";
    // What it asks is not linked yet, or there is nothing to ask of.
    cases.unborn(
        7,
        "start-that-asks-too-early",
        Guest::new(NOTHING).imports(STATE).items(begins),
        "indirect-call-to-null",
    );
    let shell = Shell::new(NOTHING);
    let main = format!("{} {begins}", shell.main);
    cases.unborn(7, "start-that-asks-for-state", Shell { main, ..shell }, "malformed");
    let asks = "(call $next (i64.const 0) (i32.const 32))";
    cases.unborn(
        7,
        "describe-that-asks-for-timers",
        Guest::new(NOTHING).imports(TIMERS).describe(asks),
        "malformed",
    );
    for (name, body, code) in [
        ("describe-that-traps", "unreachable", "unreachable"),
        ("describe-without-end", "(loop (br 0))", "out-of-fuel"),
        (
            "describe-that-eats-memory",
            "(loop (drop (memory.grow (i32.const 1))) (br 0))",
            "out-of-memory",
        ),
    ] {
        cases.unborn(7, name, Guest::new(NOTHING).describe(body), code);
    }
    // A module beside the rule that is brought up as well.
    for (name, items, code) in [
        (
            "neighbour-start-without-end",
            "(func $f (loop (br 0))) (start $f)",
            "out-of-fuel",
        ),
        (
            "neighbour-start-that-traps",
            "(func $f unreachable) (start $f)",
            "unreachable",
        ),
    ] {
        let shell = Shell {
            between: format!("(core module $n {items}) (core instance (instantiate $n))"),
            ..Shell::new(NOTHING)
        };
        cases.unborn(7, name, shell, code);
    }
    let start = Shell {
        after: "(func $f (canon lift (core func $main \"describe_start\"))) (start $f)".to_owned(),
        ..Shell::new(NOTHING)
    };
    let start = start.text().replace(
        r#"(func (export "describe_post")"#,
        r#"(func (export "describe_start")) (func (export "describe_post")"#,
    );
    cases.refused(7, "component-start", start.as_str(), "feature");
}
