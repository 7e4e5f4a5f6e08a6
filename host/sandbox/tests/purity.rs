//! A call is a pure function: no memory carried over, the same answer and fuel every time and on every thread, and a batch
//! arrives as it was sent.
mod support;

use picket_contract::{Batch, Column, Group};
use support::{call, engine, loaded, module, module_with, rows};

/// Fails unless every byte that a former call could have written is as the module's file says.
const CARRIES: &str = "(if (i32.load (i32.const 700)) (then unreachable))
    (if (i32.load (i32.const 120000)) (then unreachable))
    (i32.store (i32.const 700) (i32.const 1)) (i32.store (i32.const 120000) (i32.const 1))
    (i32.const 16)";

#[test]
fn an_instance_carries_nothing_into_the_next_call() {
    let module = loaded(&module(CARRIES));
    for _ in 0..20 {
        call(&module, &rows(5, 2)).unwrap();
    }
}

#[test]
fn equal_calls_cost_equal_fuel_on_every_thread() {
    // Reads every byte it was given, so that anything left over from other calls would show in the answer or the fuel.
    let body = "(local $i i32) (local $sum i32)
        (loop $next
            (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load8_u (i32.add (local.get $i) (i32.const 65536)))))
            (if (i32.and (local.get $sum) (i32.const 1)) (then (drop (i32.popcnt (local.get $sum)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 60000))))
        (i32.const 16)";
    let module = loaded(&module(body));
    let batch = rows(1000, 4);
    let first = call(&module, &batch).unwrap();
    assert!(first.usage.fuel > 0 && first.usage.memory >= 2 << 16);
    // Four threads, and a pool of two.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(call(&module, &batch).unwrap(), first);
                }
            });
        }
    });
    let reloaded = engine().load(&support::component(&support::module(body))).unwrap();
    assert_eq!(call(&reloaded, &batch).unwrap(), first);
}

#[test]
fn a_batch_arrives_as_it_was_sent() {
    // Checks, by the layout of the canonical ABI, a few numbers of each kind of column, and traps if one differs.
    let check = |at: &str, expected: i64| format!("(if (i64.ne {at} (i64.const {expected})) (then unreachable))");
    let load = |base: &str, offset: u32| format!("(i32.load offset={offset} {base})");
    let wide = |base: &str, offset: u32| format!("(i64.load offset={offset} {base})");
    let byte = |base: &str, offset: u32| format!("(i64.extend_i32_u (i32.load8_u offset={offset} {base}))");
    let group = "(local.get $groups)";
    let columns = load(group, 44);
    let body = [
        check(&format!("(i64.extend_i32_u {})", load(group, 0)), 1),
        check(&wide(&load(group, 4), 8), 12),
        check(&wide(&load(group, 12), 0), -5),
        check(&byte(&load(group, 20), 1), 1),
        check(&byte(&load(group, 28), 2), i64::from(b'c')),
        check(
            &format!("(i64.extend_i32_u (i32.load offset=4 {}))", load(group, 36)),
            3,
        ),
        check(&format!("(i64.extend_i32_u {})", load(group, 48)), 3),
        // Column 1: whole numbers.
        check(&byte(&columns, 20), 1),
        check(&wide(&load(&columns, 24), 8), -7),
        check(&byte(&load(&columns, 32), 0), 1),
        // Column 2: yes and no.
        check(&byte(&columns, 40), 3),
        check(&byte(&load(&columns, 44), 1), 2),
        check("(local.get $watermark)", 99),
        "(i32.const 16)".to_owned(),
    ]
    .concat();
    let group = Group {
        source: 1,
        events: vec![11, 12],
        times: vec![-5, 6],
        late: vec![0, 1],
        dictionary: b"abc".to_vec(),
        offsets: vec![0, 3],
        columns: vec![
            Column::Text(vec![0, picket_contract::NULL]),
            Column::S64 {
                values: vec![5, -7],
                valid: vec![1, 1],
            },
            Column::Bool(vec![1, 2]),
        ],
    };
    let batch = Batch {
        groups: vec![group],
        order: vec![0, 0],
        watermark: 99,
    };
    call(&loaded(&module_with("", "", &body)), &batch).unwrap();
}
