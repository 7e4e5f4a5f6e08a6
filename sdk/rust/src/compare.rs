//! How a module compares bytes: a word at a time.
//!
//! What the compiler brings along for wasm32 takes them one by one, some 23 fuel each, and nearly all that rules do is compare
//! texts. The linker takes these instead, for `==` on texts and everything that sorts or looks up by them.
#![allow(
    unsafe_code,
    reason = "what the compiler calls by name cannot be defined otherwise; it runs inside the sandbox only"
)]

use std::cmp::Ordering;

/// Bytes compared at once.
const WORD: usize = size_of::<u64>();

/// The word at an offset.
///
/// # Safety
/// `bytes` has a word there.
#[inline]
unsafe fn word(bytes: *const u8, at: usize) -> u64 {
    // SAFETY: as the caller promises; a module may read words from anywhere in its memory.
    unsafe { bytes.add(at).cast::<u64>().read_unaligned() }
}

/// As C has it.
///
/// # Safety
/// Both have `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at + WORD <= count {
        // SAFETY: both have a word here.
        let (one, other) = unsafe { (word(left, at), word(right, at)) };
        if one != other {
            // The first byte is the least significant, and decides first.
            return order(one.swap_bytes().cmp(&other.swap_bytes()));
        }
        at += WORD;
    }
    while at < count {
        // SAFETY: both have a byte here.
        let (one, other) = unsafe { (*left.add(at), *right.add(at)) };
        if one != other {
            return order(one.cmp(&other));
        }
        at += 1;
    }
    0
}

/// The same for whoever asks only whether they are equal: not zero if they differ.
///
/// # Safety
/// Both have `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    if count < WORD {
        // SAFETY: as the caller promises.
        return unsafe { short(left, right, count) };
    }
    let mut at = 0;
    let last = count - WORD;
    loop {
        // SAFETY: both have a word here, since none begins behind the last.
        if unsafe { word(left, at) != word(right, at) } {
            return 1;
        }
        if at == last {
            return 0;
        }
        // The last word overlaps the one before it.
        at = (at + WORD).min(last);
    }
}

/// Less than a word.
///
/// # Safety
/// Both have `count` bytes, less than a word.
#[inline]
unsafe fn short(left: *const u8, right: *const u8, count: usize) -> i32 {
    let half = size_of::<u32>();
    if count >= half {
        let at = |bytes: *const u8, at: usize| {
            // SAFETY: there is half a word there, for both places that are asked for.
            unsafe { bytes.add(at).cast::<u32>().read_unaligned() }
        };
        let last = count - half;
        let differs = (at(left, 0) ^ at(right, 0)) | (at(left, last) ^ at(right, last));
        return i32::from(differs != 0);
    }
    let mut at = 0;
    while at < count {
        // SAFETY: both have a byte here.
        if unsafe { *left.add(at) != *right.add(at) } {
            return 1;
        }
        at += 1;
    }
    0
}

fn order(order: Ordering) -> i32 {
    order as i32
}
