//! 15: where two runs, two threads or two machines could differ. Each answers with what it saw, as the title of an alert and
//! as state, so that a difference shows in the outcome and not only in the fuel.

use std::fmt::Write as _;

use super::Cases;
use crate::{Answer, Guest, STATE};

pub(super) fn cases(cases: &mut Cases) {
    let nan = |name: &str, value: &str| (name.to_owned(), format!("(i64.reinterpret_f64 {value})"));
    let wide = |value: &str| format!("(f64.promote_f32 {value})");
    let odd = [
        nan("nan-of-a-root", "(f64.sqrt (f64.const -1))"),
        nan(
            "nan-of-zero-by-zero",
            "(f64.div (f64.const 0) (f64.load (i32.const 40)))",
        ),
        nan(
            "nan-of-infinities",
            "(f64.sub (f64.const inf) (f64.load (i32.const 48)))",
        ),
        nan(
            "nan-that-was-given-on",
            "(f64.add (f64.reinterpret_i64 (i64.const 0x7ff4000000001234)) (f64.const 1))",
        ),
        nan(
            "nan-copysign",
            "(f64.copysign (f64.sqrt (f64.const -1)) (f64.const -1))",
        ),
        nan(
            "nan-minimum",
            "(f64.min (f64.const nan:0x8000000000001) (f64.load (i32.const 48)))",
        ),
        nan(
            "nan-promoted",
            &wide("(f32.div (f32.const 0) (f32.load (i32.const 40)))"),
        ),
        nan(
            "nan-demoted",
            &wide("(f32.demote_f64 (f64.reinterpret_i64 (i64.const 0x7ff8dead00000001)))"),
        ),
        nan("float-subnormal", "(f64.mul (f64.const 1e-200) (f64.const 1e-120))"),
        nan("float-rounding", "(f64.nearest (f64.const 2.5))"),
        nan("float-from-integer", "(f64.convert_i64_u (i64.const -1))"),
        (
            "float-saturated".to_owned(),
            "(i64.trunc_sat_f64_s (f64.const 1e300))".to_owned(),
        ),
        (
            "shift-beyond-the-width".to_owned(),
            "(i64.shl (i64.const 1) (i64.load (i32.const 56)))".to_owned(),
        ),
        (
            "memory-of-its-own".to_owned(),
            "(i64.load (i32.const 120000))".to_owned(),
        ),
        (
            "memory-just-grown".to_owned(),
            "(i64.load (i32.mul (memory.grow (i32.const 3)) (i32.const 65536)))".to_owned(),
        ),
        ("memory-size".to_owned(), "(i64.extend_i32_u (memory.size))".to_owned()),
        (
            "table-of-nulls".to_owned(),
            "(i64.extend_i32_u (ref.is_null (table.get $t (i32.const 7))))".to_owned(),
        ),
        (
            "stack-left-behind".to_owned(),
            "(call $leftover (i64.const 3))".to_owned(),
        ),
        ("input-summed".to_owned(), "(call $sum)".to_owned()),
    ];
    let items = r#"
        (table $t 10 funcref)
        (data (i32.const 48) "\00\00\00\00\00\00\f0\7f\4c\00\00\00\00\00\00\00")
        (func $leftover (param i64) (result i64) (local i64 i64 i64 i64)
            (if (i64.ne (local.get 0) (i64.const 0)) (then
                (local.set 4 (call $leftover (i64.sub (local.get 0) (i64.const 1))))))
            (i64.add (i64.add (local.get 1) (local.get 2)) (local.get 3)))
        (func $sum (result i64) (local $i i32) (local $sum i64)
            (loop $next
                (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.load8_u (local.get $i))))
                (if (i32.and (i32.wrap_i64 (local.get $sum)) (i32.const 1)) (then (drop (i32.popcnt (local.get $i)))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const 131072))))
            (local.get $sum))"#;
    for (name, value) in odd {
        cases.harmless(15, name, Guest::new(told(&value)).imports(STATE).items(items));
    }
}

/// A body that says a number: in hexadecimal as the title of an alert, and as it is in its state.
fn told(value: &str) -> String {
    let mut body = String::from("(local $i i32) (local $told i64)");
    let _ = write!(
        body,
        "(local.set $told {value}) (i64.store (i32.const 700) (local.get $told))
        (drop (call $put (i32.const 700) (i32.const 8) (i32.const 700) (i32.const 8) (i64.const 5) (i64.const 5000)))
        (loop $digit
            (i32.store8 (i32.add (i32.const 600) (local.get $i))
                (i32.add (i32.const 65) (i32.wrap_i64 (i64.and (local.get $told) (i64.const 15)))))
            (local.set $told (i64.shr_u (local.get $told) (i64.const 4)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $digit (i32.lt_u (local.get $i) (i32.const 16))))
        (local.set $i (i32.const 0))"
    );
    body + Answer::titled(16).body().trim_start_matches("(local $i i32)")
}
