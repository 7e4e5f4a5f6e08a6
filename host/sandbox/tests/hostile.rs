//! Whatever a rule does costs it that call, and nothing else: each with its kind of failure.
mod support;

use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{Failure, FailureKind, RuleState};
use support::{alerts, call, call_on, loaded, module, module_with, rows};

const LOG: &str = r#"(import "picket:rule/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
const STATE: &str = r#"
    (import "picket:rule/state@1.0.0" "get" (func $get (param i32 i32 i64 i32)))
    (import "picket:rule/state@1.0.0" "put" (func $put (param i32 i32 i32 i32 i64 i64) (result i32)))
    (import "picket:rule/state@1.0.0" "scan" (func $scan (param i32 i32 i64 i32 i32)))
    (import "picket:rule/timers@1.0.0" "set" (func $set (param i32 i32 i64) (result i32)))
    (import "picket:rule/timers@1.0.0" "next" (func $next (param i64 i32)))"#;

#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn failing(text: &str) -> Failure {
    call(&loaded(text), &rows(3, 1)).unwrap_err()
}

#[test]
fn endless_loops_spend_the_budget_and_no_more() {
    let budget = picket_sandbox::Limits::default().fuel;
    let loops = [
        module("(loop (br 0)) (i32.const 16)"),
        module("(loop (memory.fill (i32.const 65536) (i32.const 0) (i32.const 60000)) (br 0)) (i32.const 16)"),
        module("(loop (drop (memory.grow (i32.const 0))) (br 0)) (i32.const 16)"),
        module_with(
            LOG,
            "",
            "(loop (call $log (i32.const 1) (i32.const 4096) (i32.const 60000)) (br 0)) (i32.const 16)",
        ),
        module_with(
            STATE,
            "",
            "(loop (call $next (i64.const 0) (i32.const 32)) (br 0)) (i32.const 16)",
        ),
        module_with(
            STATE,
            "",
            "(loop (call $scan (i32.const 0) (i32.const 0) (i64.const 0) (i32.const -1) (i32.const 32)) (br 0)) (i32.const 16)",
        ),
    ];
    for text in loops {
        let failure = failing(&text);
        assert_eq!(failure.kind, FailureKind::OutOfFuel, "{failure}\n{text}");
        assert!(
            failure.usage.fuel <= budget && failure.usage.fuel > budget - 100_000,
            "{failure:?}"
        );
        assert!(failure.message.contains("endless loop"));
    }
}

#[test]
fn a_memory_bomb_meets_its_cap() {
    let failure = failing(&module(
        "(loop (drop (memory.grow (i32.const 16))) (br 0)) (i32.const 16)",
    ));
    assert_eq!(failure.kind, FailureKind::OutOfMemory, "{failure}");
    assert!(failure.message.contains("at most 16777216 allowed"), "{failure}");
    assert!(failure.usage.memory <= 16 << 20);
    // The arguments themselves do not fit: the same.
    let greedy = module("(i32.const 16)").replace("(local.get $at))", "(i32.const -16))");
    assert_eq!(failing(&greedy).kind, FailureKind::Malformed);
}

#[test]
fn deep_recursion_ends_in_a_failure() {
    let small = module_with("", "(func $deep (call $deep))", "(call $deep) (i32.const 16)");
    assert_eq!(failing(&small).kind, FailureKind::StackOverflow);
    let frame = format!(
        "(func $deep (param i64) (result i64) (local{}) (call $deep (i64.add (local.get 0) (call $deep (local.get 3)))))",
        " i64".repeat(500)
    );
    assert_eq!(
        failing(&module_with(
            "",
            &frame,
            "(drop (call $deep (i64.const 1))) (i32.const 16)"
        ))
        .kind,
        FailureKind::StackOverflow
    );
}

#[test]
fn a_panic_carries_its_message_and_its_function() {
    let items = r#"(data (i32.const 600) "panicked at src/lib.rs:7:5: index\1b[31m out of bounds")
        (func $judge_row (call $log (i32.const 0) (i32.const 600) (i32.const 52)) unreachable)"#;
    let failure = failing(&module_with(LOG, items, "(call $judge_row) (i32.const 16)"));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert_eq!(
        failure.message,
        "panicked at src/lib.rs:7:5: index [31m out of bounds (in judge_row)"
    );
    let silent = failing(&module("(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 16)"));
    assert_eq!(
        (silent.kind, silent.message.contains("integer divide by zero")),
        (FailureKind::Trap, true),
        "{silent}"
    );
}

#[test]
fn an_error_that_the_rule_returns_is_its_own_kind() {
    let items = r#"(data (i32.const 600) "no such rule\07")"#;
    let body = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 600))
        (i32.store (i32.const 24) (i32.const 13)) (i32.const 16)";
    let failure = failing(&module_with("", items, body));
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::RuleError, "no such rule ")
    );
}

#[test]
fn answers_outside_the_contract_are_malformed() {
    let outside = [
        "(i32.const -4)",
        "(i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const -1)) (i32.const 16)",
        "(i32.store8 (i32.const 16) (i32.const 7)) (i32.const 16)",
        "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const 131072)) (i32.const 16)",
    ];
    for body in outside {
        let text = module(&format!(
            "(memory.fill (i32.const 8192) (i32.const 255) (i32.const 8192)) {body}"
        ));
        let failure = failing(&text);
        assert!(
            matches!(
                failure.kind,
                FailureKind::Malformed | FailureKind::Trap | FailureKind::RuleError
            ),
            "{failure}"
        );
    }
    let cases = [
        (alerts(1001, "T", 1, 1), "1001 alerts in one call"),
        (alerts(17, "T", 1, 1), "more than 16 alerts raised by one row"),
        (alerts(1, " ", 1, 1), "without a title"),
        (alerts(1, "T", 0, 1), "with 0 as evidence"),
        (
            alerts(1, "T", 1, 99),
            "raised by 99, which is neither in the batch nor evidence",
        ),
    ];
    for ((items, body), expected) in cases {
        let failure = failing(&module_with("", &items, &body));
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.contains(expected), "{failure}");
    }
}

#[test]
fn good_alerts_pass_and_their_text_is_cut_and_cleaned() {
    let (items, body) = alerts(16, &format!("A\\1b[2J{}", "x".repeat(5)), 77, 2);
    let outcome = call(&loaded(&module_with("", &items, &body)), &rows(3, 1)).unwrap();
    assert_eq!(outcome.alerts.len(), 16);
    assert!(
        outcome.alerts[0].title.starts_with("A [2J"),
        "{}",
        outcome.alerts[0].title
    );
    assert_eq!(
        (outcome.alerts[0].evidence.as_slice(), outcome.alerts[0].raised_by),
        (&[77][..], 2)
    );
    // More than may be handed over at once.
    let (items, body) = alerts(1, "T", 1, 1);
    let body = body.replace(
        "(i32.store (i32.const 260) (i32.const 1))",
        "(i32.store (i32.const 260) (i32.const 400000))",
    );
    let failure = failing(&module_with("", &items, &body));
    assert_eq!(failure.kind, FailureKind::Malformed, "{failure}");
}

#[test]
fn a_log_flood_is_dropped_and_counted() {
    let body = "(local $i i32)
        (loop $next
            (call $log (i32.const 2) (i32.const 8192) (i32.const 5000))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 500))))
        (i32.const 16)";
    let outcome = call(&loaded(&module_with(LOG, "", body)), &rows(3, 1)).unwrap();
    assert_eq!((outcome.log.len(), outcome.usage.log_dropped), (100, 400));
    assert!(
        outcome
            .log
            .iter()
            .all(|line| line.level == "info" && line.message.len() <= 1024 + 3)
    );
}

#[test]
fn a_state_flood_is_refused_and_nothing_of_a_failed_call_is_kept() {
    // 64 KiB values under 2000 keys are more than the cap of 64 MiB; `put` says so, and the rule goes on.
    let body = "(local $i i32) (local $full i32)
        (drop (memory.grow (i32.const 4)))
        (loop $next
            (i32.store (i32.const 600) (local.get $i))
            (if (i32.eqz (call $put (i32.const 600) (i32.const 4) (i32.const 131072) (i32.const 24000) (i64.const 5) (i64.const 1000)))
                (then (local.set $full (i32.add (local.get $full) (i32.const 1)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 800))))
        (if (i32.eqz (local.get $full)) (then unreachable))
        (i32.const 16)";
    let module = loaded(&module_with(STATE, "", body));
    let value: Arc<[u8]> = vec![0; 60_000].into();
    let entry = |key: u32| {
        (
            Arc::from(key.to_be_bytes()),
            StateEntry {
                value: value.clone(),
                expires_at: 1_000_000,
            },
        )
    };
    let state = RuleState::restore(Some(0), (1000..1900).map(entry), []);
    let outcome = call_on(&module, &rows(3, 1), &state).unwrap();
    let mut after = state.clone();
    after.apply(&outcome.changes);
    assert!(after.bytes() <= 64 << 20 && after.bytes() > state.bytes());

    let body = "(drop (call $put (i32.const 600) (i32.const 4) (i32.const 600) (i32.const 4) (i64.const 5) (i64.const 1000))) unreachable";
    assert_eq!(failing(&module_with(STATE, "", body)).kind, FailureKind::Trap);
}

#[test]
fn what_is_put_is_got_and_timers_fire_once() {
    let body =
        "(drop (call $put (i32.const 600) (i32.const 1) (i32.const 600) (i32.const 3) (i64.const 5) (i64.const 1000)))
        (drop (call $set (i32.const 600) (i32.const 1) (i64.const 40)))
        (call $get (i32.const 600) (i32.const 1) (i64.const 6) (i32.const 32))
        (if (i32.ne (i32.load (i32.const 40)) (i32.const 3)) (then unreachable))
        (call $next (i64.const 41) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
        (call $next (i64.const 41) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (i32.const 16)";
    let outcome = call(
        &loaded(&module_with(STATE, r#"(data (i32.const 600) "abc")"#, body)),
        &rows(1, 1),
    )
    .unwrap();
    assert_eq!(outcome.changes.clock, Some(40));
    assert_eq!(outcome.changes.entries.len(), 1);
    assert!(
        outcome.changes.timers.is_empty(),
        "set and fired within the call: {:?}",
        outcome.changes.timers
    );
}
