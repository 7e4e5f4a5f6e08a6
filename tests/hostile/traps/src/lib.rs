//! A rule that fails in whatever way the row says, and behaves while it is tested. It is built with line tables, so that what
//! an author is told of each failure can be held against the lines below: those that are looked for end with `here:` and the
//! way.
//!
//! Compiled for this machine instead, most of these would end the process; nothing calls them there.

use picket::prelude::*;

/// What to do.
#[derive(Event)]
#[event(log = "authentication", when = reason.is_some())]
struct Order<'a> {
    user_name: &'a str,
    reason: &'a str,
}

/// Fails as it is told.
///
/// # Check
/// - What the failure's report says.
///
/// # Act
/// - Nothing.
///
/// # False positives
/// - None.
#[rule(id = "traps", severity = "low", tests = "cases.yaml")]
fn traps(order: Row<Order>) -> Result<Vec<Alert>, String> {
    match order.reason {
        "nothing" => return Ok(vec![order.alert(format!("{} did nothing", order.user_name))]),
        "trap" => trap(order.user_name),
        "loop" => {
            endless(order.user_name.len() as u64);
        }
        "recursion" => {
            deeper(order.user_name.len() as u64);
        }
        "arrays" => {
            broader(order.user_name.len() as u64);
        }
        "memory" => {
            hoard();
        }
        "index" => {
            beyond(order.user_name.as_bytes());
        }
        "error" => return Err(format!("{} is not to be judged", order.user_name)),
        "flood" => return Ok((0..17).map(|number| order.alert(format!("alert {number}"))).collect()),
        _ => {}
    }
    Ok(Vec::new())
}

/// What a rule of another language does where a Rust rule panics: nothing is said.
#[inline(never)]
fn trap(name: &str) {
    let length = std::hint::black_box(name.len());
    if length > 0 {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable(); // here: trap
    }
}

/// Spends the budget.
#[inline(never)]
fn endless(mut forever: u64) -> u64 {
    loop {
        forever = std::hint::black_box(forever.wrapping_mul(3)); // here: loop
    }
}

/// What comes back from below is turned around, so that this cannot become a loop.
#[inline(never)]
fn deeper(level: u64) -> u64 {
    if level == u64::MAX {
        return level;
    }
    (deeper(level + 1) ^ level).rotate_left(7) // here: recursion
}

/// Every level keeps an array: the stack that Rust keeps in the memory runs out before the machine's.
#[inline(never)]
fn broader(level: u64) -> u64 {
    let kept = std::hint::black_box([level; 64]);
    if level == u64::MAX {
        return level;
    }
    broader(level + 1) + kept.iter().sum::<u64>() // here: arrays
}

/// Takes more memory than any rule is given.
#[inline(never)]
fn hoard() -> usize {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20])); // here: memory
        if all.len() > 1000 {
            return all.len();
        }
    }
}

/// Reads past the end.
#[inline(never)]
#[allow(clippy::indexing_slicing, reason = "it panics: that is what it is for")]
fn beyond(bytes: &[u8]) -> u8 {
    bytes[std::hint::black_box(bytes.len())] // here: index
}

picket::module!(traps);
