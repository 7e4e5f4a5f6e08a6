//! What an entry and a timer are charged for is what they cost the process.
//!
//! By itself in its process, and in one test: it looks at the process's memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{RuleState, StateChanges};

/// Bytes of memory that are this process's own.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

const MANY: u32 = 100_000;

/// A key as users' keys come: in no order.
fn key(number: u32) -> Arc<[u8]> {
    format!("windows\0DU{:018}", number.wrapping_mul(2_654_435_761))
        .into_bytes()
        .into()
}

/// A state to which that many changes were applied, one after the other, and what it costs over what it counts, in hundredths.
fn filled(change: impl Fn(u32) -> StateChanges) -> (RuleState, u64) {
    let before = resident();
    let mut state = RuleState::default();
    (0..MANY).for_each(|number| state.apply(&change(number)));
    let ratio = (resident() - before) * 100 / state.bytes() as u64;
    (state, ratio)
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_charged_is_what_it_costs() {
    let entries = |bytes: usize| {
        filled(move |number| {
            let value = vec![0_u8; bytes].into();
            let expires_at = i64::from(number.wrapping_mul(40_503)) + 1_000_000;
            let entries = [(key(number), Some(StateEntry { value, expires_at }))]
                .into_iter()
                .collect();
            StateChanges {
                entries,
                ..StateChanges::default()
            }
        })
    };
    let timers = || {
        filled(|number| {
            let timers = [(key(number), Some(i64::from(number.wrapping_mul(40_503))))].into();
            StateChanges {
                timers,
                ..StateChanges::default()
            }
        })
    };
    // All are kept to the end: what the allocator takes back from one would be another's for nothing.
    let states = [entries(0), entries(8), entries(40), entries(300), timers()];
    let ratios: Vec<u64> = states.iter().map(|(_, ratio)| *ratio).collect();
    println!("{ratios:?}");
    assert!(ratios.iter().all(|ratio| (50..=105).contains(ratio)), "{ratios:?}");
}
