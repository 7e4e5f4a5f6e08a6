//! Chance, the same on every machine.
//!
//! ChaCha8 is portable; the sampling on top is written here in integers only, so neither a new version of a crate nor a
//! processor's floating point changes a company. Each purpose draws from a stream of its own: one story more leaves the
//! rest of the company as it was.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of chance for one purpose.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream for `purpose` number `number` of the company `seed`.
    pub(crate) fn new(seed: u64, purpose: &str, number: u64) -> Self {
        // FNV-1a over the purpose; it only has to tell purposes apart.
        let mut mixed = 0xcbf2_9ce4_8422_2325_u64;
        for byte in purpose.bytes().chain(number.to_le_bytes()).chain(seed.to_le_bytes()) {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// A number from 0 to `n - 1` (0 where `n` is 0).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(n);
        (wide >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as u64 + 1) as i64
    }

    /// An index into something of `len` entries.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A number around `middle`, at most `spread` off, more often near it.
    pub(crate) fn around(&mut self, middle: i64, spread: i64) -> i64 {
        middle + (self.between(-spread, spread) + self.between(-spread, spread)) / 2
    }

    /// One of `items`.
    #[allow(
        clippy::indexing_slicing,
        reason = "every table drawn from has entries, and the index is below its length"
    )]
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// One of `items`, each as likely as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, items: &[(T, u32)]) -> T {
        let total: u64 = items.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (item, weight) in items {
            if left < u64::from(*weight) {
                return *item;
            }
            left -= u64::from(*weight);
        }
        self.pick(items).0
    }

    /// `items` in another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.index(at + 1));
        }
    }

    /// A UUID of version 4.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.0.next_u64(), self.0.next_u64());
        let bits = (u128::from(high) << 64) | u128::from(low);
        let bits = bits & !(0xf000 << 64) & !(0xc << 60) | (0x4000 << 64) | (0x8 << 60);
        let mut text = String::with_capacity(36);
        for nibble in (0..32).rev() {
            text.push(char::from_digit((bits >> (nibble * 4) & 0xf) as u32, 16).unwrap_or('0'));
            if matches!(nibble, 24 | 20 | 16 | 12) {
                text.push('-');
            }
        }
        text
    }

    /// A Duo key: the prefix and 18 capital letters and digits.
    pub(crate) fn key(&mut self, prefix: &str) -> String {
        self.text(prefix, 18, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    }

    /// `prefix` and `length` characters of `alphabet`.
    pub(crate) fn text(&mut self, prefix: &str, length: usize, alphabet: &[u8]) -> String {
        let mut text = String::with_capacity(prefix.len() + length);
        text.push_str(prefix);
        for _ in 0..length {
            text.push(char::from(*self.pick(alphabet)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_everywhere() {
        let drawn = |seed: u64, purpose: &str| {
            let mut dice = Dice::new(seed, purpose, 1);
            (0..5).map(|_| dice.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7, "test"), [505, 126, 200, 786, 632]);
        assert_ne!(drawn(7, "test"), drawn(8, "test"));
        assert_ne!(drawn(7, "test"), drawn(7, "other"));
    }

    #[test]
    fn uuids_are_of_version_4() {
        let mut dice = Dice::new(1, "uuid", 0);
        for _ in 0..100 {
            let uuid = dice.uuid();
            assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut dice = Dice::new(1, "bounds", 0);
        for _ in 0..1_000 {
            assert!((-3..=4).contains(&dice.between(-3, 4)));
            assert!((90..=110).contains(&dice.around(100, 10)));
            assert_eq!(dice.weighted(&[("never", 0), ("always", 3)]), "always");
        }
    }
}
