//! Bytes to feed a target with: random, or a changed copy of bytes that did something new.

use rand::{Rng, RngExt as _};

/// Numbers at which something changes.
const EDGES: [u64; 16] = [
    0,
    1,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x2_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Random bytes, at most so many.
pub(crate) fn random(rng: &mut impl Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A copy with a few changes, some of them taken from another.
pub(crate) fn changed(rng: &mut impl Rng, bytes: &[u8], other: &[u8], most: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=6) {
        change(rng, &mut bytes, other);
    }
    bytes.truncate(most);
    bytes
}

fn change(rng: &mut impl Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.random_range(0..=bytes.len());
    let until = (at + rng.random_range(0..=16_usize.min(bytes.len() - at))).min(bytes.len());
    match rng.random_range(0..7) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.random();
            }
        }
        2 => drop(bytes.drain(at..until)),
        3 => {
            let copy = bytes.get(at..until).unwrap_or_default().to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            let edge = EDGES.get(rng.random_range(0..EDGES.len())).copied().unwrap_or_default();
            let width = [1, 2, 4, 8].get(rng.random_range(0..4)).copied().unwrap_or(1);
            let edge = edge.to_le_bytes();
            let until = (at + width).min(bytes.len());
            bytes.splice(at..until, edge.into_iter().take(width));
        }
        5 => {
            let from = rng.random_range(0..=other.len());
            let to = (from + rng.random_range(0..=64)).min(other.len());
            let piece = other.get(from..to).unwrap_or_default().to_vec();
            bytes.splice(at..until, piece);
        }
        _ => {
            let insert = random(rng, 16);
            bytes.splice(at..at, insert);
        }
    }
}
