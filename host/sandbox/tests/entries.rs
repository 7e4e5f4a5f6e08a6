//! What `picket:rule` 1.1.0 and 1.2.0 added: entries with their expiry, many at once, when the next timer is due; how much room
//! there is, and writes by the dozen.
mod support;

use std::sync::Arc;

use picket_contract::state::{ENTRY_COST, StateEntry, StateLimits};
use picket_contract::{FailureKind, RuleState};
use picket_sandbox::Module;
use support::{call, call_on, component_of, engine, module_with, rows};

const WIT: &str = include_str!("../../../sdk/wit/rule.wit");

const IMPORTS: &str = r#"
    (import "picket:rule/state@1.0.0" "get-entry" (func $get_entry (param i32 i32 i64 i32)))
    (import "picket:rule/state@1.0.0" "get-entries" (func $get_entries (param i32 i32 i32 i32 i64 i32 i32)))
    (import "picket:rule/state@1.0.0" "put-entry" (func $put_entry (param i32 i32 i32 i32 i64 i64 i32)))
    (import "picket:rule/state@1.0.0" "get-room" (func $get_room (param i32)))
    (import "picket:rule/state@1.0.0" "put-entries" (func $put_entries (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i32)))
    (import "picket:rule/timers@1.0.0" "set" (func $set (param i32 i32 i64) (result i32)))
    (import "picket:rule/timers@1.0.0" "first" (func $first (param i32)))"#;

/// The texts are written for 1.0.0.
#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn of_1_2(body: &str) -> Module {
    let text = module_with(IMPORTS, r#"(data (i32.const 600) "abc")"#, body).replace("@1.0.0", "@1.2.0");
    engine().load(&component_of(&text, WIT)).unwrap()
}

/// Code that traps unless two numbers of 64 bits are equal.
fn expect(found: &str, wanted: i64) -> String {
    format!("(if (i64.ne {found} (i64.const {wanted})) (then unreachable))")
}

#[test]
fn a_call_is_told_until_when_and_when_next() {
    let byte = |at: u32| format!("(i64.load8_u (i32.const {at}))");
    let word = |at: u32| format!("(i64.load32_u (i32.const {at}))");
    let long = |at: u32| format!("(i64.load (i32.const {at}))");
    let body = [
        "(call $put_entry (i32.const 600) (i32.const 1) (i32.const 600) (i32.const 3) (i64.const 5) (i64.const 1000) (i32.const 32))".to_owned(),
        expect(&byte(32), 1),
        expect(&long(40), 1000),
        // The clock is there already.
        "(call $put_entry (i32.const 601) (i32.const 1) (i32.const 600) (i32.const 3) (i64.const 5) (i64.const 5) (i32.const 32))".to_owned(),
        expect(&byte(32), 1),
        expect(&long(40), i64::MIN),
        // Longer than a value may be.
        "(drop (memory.grow (i32.const 2))) (call $put_entry (i32.const 601) (i32.const 1) (i32.const 0) (i32.const 70000) (i64.const 5) (i64.const 9) (i32.const 32))".to_owned(),
        expect(&byte(32), 0),
        "(call $get_entry (i32.const 600) (i32.const 1) (i64.const 6) (i32.const 64))".to_owned(),
        expect(&byte(64), 1),
        expect(&word(76), 3),
        expect(&long(80), 1000),
        // `a` and `b`, and an end that is before the one before it.
        "(i32.store (i32.const 616) (i32.const 1)) (i32.store (i32.const 620) (i32.const 2)) (i32.store (i32.const 624) (i32.const 0))".to_owned(),
        "(call $get_entries (i32.const 600) (i32.const 2) (i32.const 616) (i32.const 3) (i64.const 6) (i32.const 3) (i32.const 96))".to_owned(),
        expect(&word(100), 3),
        expect(&word(108), 3),
        expect("(i64.load (i32.load (i32.const 112)))", 1000),
        expect("(i64.load offset=8 (i32.load (i32.const 112)))", i64::MIN),
        expect("(i64.load offset=16 (i32.load (i32.const 112)))", i64::MIN),
        // No room for the first.
        "(call $get_entries (i32.const 600) (i32.const 2) (i32.const 616) (i32.const 2) (i64.const 6) (i32.const 2) (i32.const 96))".to_owned(),
        expect(&word(108), 0),
        "(call $first (i32.const 128))".to_owned(),
        expect(&byte(128), 0),
        "(drop (call $set (i32.const 600) (i32.const 1) (i64.const 40))) (call $first (i32.const 128))".to_owned(),
        expect(&byte(128), 1),
        expect(&long(136), 40),
        "(drop (call $set (i32.const 601) (i32.const 1) (i64.const 6))) (call $first (i32.const 128))".to_owned(),
        expect(&long(136), i64::MIN),
        "(i32.const 16)".to_owned(),
    ];
    let outcome = call(&of_1_2(&body.concat()), &rows(1, 1)).unwrap();
    assert_eq!(outcome.changes.clock, Some(6));
    assert_eq!((outcome.changes.entries.len(), outcome.changes.timers.len()), (1, 2));
}

#[test]
fn a_call_writes_by_the_dozen_what_it_knows_there_is_room_for() {
    let word = |at: u32| format!("(i64.load32_u (i32.const {at}))");
    let long = |at: u32| format!("(i64.load (i32.const {at}))");
    let store = |at: u32, value: i32| format!("(i32.store (i32.const {at}) (i32.const {value}))");
    let limits = StateLimits::default();
    let room = |bytes: usize, entries: usize, clock: i64| {
        let fields = [
            "(call $get_room (i32.const 64))".to_owned(),
            expect(&long(64), (limits.total_bytes - bytes) as i64),
            expect(&long(72), (limits.entries - entries) as i64),
            expect(&word(80), ENTRY_COST as i64),
            expect(&word(84), limits.key_bytes as i64),
            expect(&word(88), limits.value_bytes as i64),
            expect(&long(96), limits.life_ms),
            expect(&long(104), clock),
        ];
        fields.concat()
    };
    let put = |keys: usize, values: usize, count: usize, wanted: i32| {
        format!(
            "(if (i32.ne (i32.const {wanted}) (call $put_entries (i32.const 600) (i32.const {keys}) (i32.const 616) (i32.const {count})
                (i32.const 600) (i32.const {values}) (i32.const 632) (i32.const {count}) (i32.const 648) (i32.const {count}) (i64.const 5)))
                (then unreachable))"
        )
    };
    let two = 2 * ENTRY_COST + 2 + 3;
    let body = [
        room(0, 0, i64::MIN),
        // `a` is `ab`, `b` is `c`.
        store(616, 1) + &store(620, 2) + &store(632, 2) + &store(636, 3),
        "(i64.store (i32.const 648) (i64.const 1000)) (i64.store (i32.const 656) (i64.const 2000))".to_owned(),
        put(2, 3, 2, 1),
        room(two, 2, 5),
        "(call $get_entry (i32.const 601) (i32.const 1) (i64.const 5) (i32.const 64))".to_owned(),
        expect(&word(76), 1),
        expect(&long(80), 2000),
        // The least time forgets `a`.
        "(i64.store (i32.const 648) (i64.const -9223372036854775808))".to_owned(),
        put(1, 0, 1, 1),
        room(two - ENTRY_COST - 3, 1, 5),
        // An end that goes back gives nothing a second time: `ab`, and twice no key.
        store(616, 2) + &store(620, 0) + &store(624, 2) + &store(632, 0) + &store(636, 0) + &store(640, 0),
        "(i64.store (i32.const 648) (i64.const 9)) (i64.store (i32.const 664) (i64.const 9))".to_owned(),
        put(2, 0, 3, 1),
        room(two - ENTRY_COST - 3 + 2 * ENTRY_COST + 2, 3, 5),
        // Longer than a value may be: the other is put all the same.
        "(drop (memory.grow (i32.const 2)))".to_owned(),
        store(616, 1) + &store(620, 2) + &store(632, 70_000) + &store(636, 70_001),
        put(2, 70_001, 2, 0),
        "(i32.const 16)".to_owned(),
    ];
    let outcome = call(&of_1_2(&body.concat()), &rows(1, 1)).unwrap();
    let kept: Vec<(&[u8], usize)> = (outcome.changes.entries.iter())
        .filter_map(|(key, entry)| Some((&**key, entry.as_ref()?.value.len())))
        .collect();
    assert_eq!(
        kept,
        [(&b"b"[..], 1), (b"ab", 0), (b"", 0)],
        "in the order of the first change"
    );
}

#[test]
fn asking_for_everything_is_bounded() {
    let failing = |body: &str| call(&of_1_2(body), &rows(1, 1)).unwrap_err().kind;
    let endless = "(loop (call $get_entries (i32.const 0) (i32.const 32768) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const -1) (i32.const 32)) (br 0)) (i32.const 16)";
    assert_eq!(failing(endless), FailureKind::OutOfFuel);
    let endless = "(loop (call $first (i32.const 32)) (br 0)) (i32.const 16)";
    assert_eq!(failing(endless), FailureKind::OutOfFuel);
    let endless = "(loop (call $get_room (i32.const 32)) (br 0)) (i32.const 16)";
    assert_eq!(failing(endless), FailureKind::OutOfFuel);
    let endless = "(loop (drop (call $put_entries (i32.const 0) (i32.const 32768) (i32.const 0) (i32.const 8000) (i32.const 0) (i32.const 32768) (i32.const 0) (i32.const 8000) (i32.const 0) (i32.const 4000) (i64.const 0))) (br 0)) (i32.const 16)";
    assert_eq!(failing(endless), FailureKind::OutOfFuel);
    // The answers pile up in the guest's memory.
    let endless = "(loop (call $get_entries (i32.const 0) (i32.const 32768) (i32.const 0) (i32.const 8000) (i64.const 0) (i32.const -1) (i32.const 32)) (br 0)) (i32.const 16)";
    assert!(matches!(
        failing(endless),
        FailureKind::OutOfMemory | FailureKind::OutOfFuel
    ));

    // A thousand times the same long value.
    let value: Arc<[u8]> = vec![0; 60_000].into();
    let entry = StateEntry {
        value,
        expires_at: 1000,
    };
    let state = RuleState::restore(Some(0), [(Arc::from(*b"a"), entry)], []);
    let body = format!(
        "(local $at i32) (drop (memory.grow (i32.const 4)))
        (memory.fill (i32.const 131072) (i32.const 0x61) (i32.const 1000))
        (loop $next
            (i32.store (i32.add (i32.const 140000) (i32.mul (local.get $at) (i32.const 4))) (i32.add (local.get $at) (i32.const 1)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 1000))))
        (call $get_entries (i32.const 131072) (i32.const 1000) (i32.const 140000) (i32.const 1000) (i64.const 6) (i32.const -1) (i32.const 96))
        {} (i32.const 16)",
        expect("(i64.load32_u (i32.const 100))", 17 * 60_000)
    );
    call_on(&of_1_2(&body), &rows(1, 1), &state).unwrap();
}
