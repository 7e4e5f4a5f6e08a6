//! Random calls of the host's functions: pointers, lengths and times as bad as they come, from a guest that is compiled once
//! and reads what to do from the rows it is shown.

use arbitrary::Unstructured;
use picket_contract::{Batch, Group};
use picket_hostile::{Guest, LOG, LOOKUP, PARAMS, REALLOC, STATE, TIMERS};
use picket_sandbox::Module;

use super::Target;
use super::house::{House, feature};

/// Words of one instruction: which, and seven arguments.
const WORDS: usize = 8;

pub(crate) struct Calls {
    house: House,
    module: Module,
}

impl Calls {
    #[allow(clippy::expect_used, reason = "the guest below is a good module")]
    pub(crate) fn new() -> Self {
        let house = House::new();
        let module = house.engine.load(&guest().component()).expect("the guest is admitted");
        Calls { house, module }
    }
}

fn guest() -> Guest {
    let word = |index: usize| format!("(i32.wrap_i64 (i64.load offset={} (local.get $at)))", index * 8);
    let long = |index: usize| format!("(i64.load offset={} (local.get $at))", index * 8);
    let (a, b, c, d, e, f, g) = (word(1), word(2), word(3), word(4), word(5), word(6), word(7));
    let (now, until) = (long(5), long(6));
    let does = [
        format!("(call $get {a} {b} {now} {c})"),
        format!("(call $get_many {a} {b} {now} {c})"),
        format!("(drop (call $put {a} {b} {c} {d} {now} {until}))"),
        format!("(call $delete {a} {b} {now})"),
        format!("(call $scan {a} {b} {now} {c} {d})"),
        format!("(drop (call $set {a} {b} {now}))"),
        format!("(call $cancel {a} {b})"),
        format!("(call $next {now} {a})"),
        format!("(call $find {a} {b} {c} {d} {e} {f} {g})"),
        format!("(call $param {a} {b} {c})"),
        format!("(call $log {a} {b} {c})"),
        // What the host is given for what it hands over, from now on.
        format!("(global.set $lie {a}) (global.set $lies {b})"),
        format!("(i64.store (i32.and {a} (i32.const 0xfff8)) {until})"),
        format!("(drop (memory.grow (i32.and {a} (i32.const 15))))"),
        format!("(local.set $answer {a})"),
        format!(
            "(memory.copy (i32.and {a} (i32.const 0xffff)) (i32.and {b} (i32.const 0xffff)) (i32.and {c} (i32.const 0xfff)))"
        ),
    ];
    let cases: String = does
        .iter()
        .enumerate()
        .map(|(index, does)| format!("(if (i32.eq (local.get $op) (i32.const {index})) (then {does}))\n"))
        .collect();
    let body = format!(
        "(local $at i32) (local $end i32) (local $op i32) (local $answer i32)
        (local.set $answer (i32.const 16))
        (local.set $at (i32.load offset=4 (local.get $groups)))
        (local.set $end (i32.add (local.get $at) (i32.mul (i32.load offset=8 (local.get $groups)) (i32.const 8))))
        (block $done (loop $next
            (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 64)) (local.get $end)))
            (local.set $op (i32.and {op} (i32.const 15)))
            {cases}
            (local.set $at (i32.add (local.get $at) (i32.const 64)))
            (br $next)))
        (local.get $answer)",
        op = word(0)
    );
    // Lies so many times.
    let realloc = format!(
        "(local $at i32)
        (if (i32.gt_s (global.get $lies) (i32.const 0)) (then
            (global.set $lies (i32.sub (global.get $lies) (i32.const 1)))
            (return (global.get $lie))))
        {}",
        REALLOC.trim_start_matches("(local $at i32)")
    );
    Guest::new(body)
        .imports([LOG, LOOKUP, PARAMS, STATE, TIMERS].concat())
        .items("(global $lie (mut i32) (i32.const 0)) (global $lies (mut i32) (i32.const 0))")
        .memory(r#"(memory (export "memory") 4)"#)
        .realloc(realloc)
}

impl Target for Calls {
    fn execute(&mut self, input: &[u8]) -> Result<u64, String> {
        let mut from = Unstructured::new(input);
        let mut events = Vec::new();
        while !from.is_empty() && events.len() < 64 * WORDS {
            events.push(word(&mut from));
        }
        let count = events.len();
        let group = Group {
            events,
            times: vec![0; count],
            late: vec![0; count],
            offsets: vec![0],
            ..Group::default()
        };
        let batch = Batch {
            groups: vec![group],
            order: vec![0; count],
            watermark: 0,
        };
        let answer = self.house.call(&self.module, "t", &batch, None)?;
        Ok(feature(&answer))
    }
}

/// A number as a guest might pass it: mostly small, or a place in its memory, or where something ends.
fn word(from: &mut Unstructured<'_>) -> u64 {
    let byte = u64::from(from.arbitrary::<u8>().unwrap_or(0));
    match from.arbitrary::<u8>().unwrap_or(0) % 8 {
        0..=2 => byte,
        3 => byte * 257,
        4 => 0x1_0000 + byte * 8,
        // Around the end of its memory, and of all memory.
        5 => 0x4_0000_u64.wrapping_add(byte).wrapping_sub(128),
        6 => (u64::from(u32::MAX) + 64).wrapping_sub(byte),
        _ => from.arbitrary::<u64>().unwrap_or(u64::MAX),
    }
}
