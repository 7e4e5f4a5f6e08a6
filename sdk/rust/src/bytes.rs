//! Comparing short texts, which is what state does most. A module's own `memcmp` is a loop over bytes, and each turn of a loop
//! pays for counting fuel: so texts of up to 32 bytes are taken in two pieces that overlap, without one.

/// Whether two are equal.
#[inline(always)]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (ends::<16>(one), ends::<16>(other)) {
        // As long as nearly all keys of Duo's are.
        (Some((start, end)), Some((other_start, other_end))) if one.len() <= 32 => {
            u128::from_le_bytes(*start) == u128::from_le_bytes(*other_start)
                && u128::from_le_bytes(*end) == u128::from_le_bytes(*other_end)
        }
        _ => is_same(one, other),
    }
}

/// The same for two that are equally long.
#[inline(never)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (words, other_words) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let mut words = words.iter().zip(other_words);
    words.all(|(one, other)| u64::from_le_bytes(*one) == u64::from_le_bytes(*other))
        && match (one.last_chunk(), other.last_chunk()) {
            // Bytes of the word before it are compared again, which changes nothing.
            (Some(one), Some(other)) => u64::from_le_bytes(*one) == u64::from_le_bytes(*other),
            _ => tiny(one) == tiny(other),
        }
}

/// A hash of a text and a number.
#[inline]
pub(crate) fn hash(number: u32, text: &[u8]) -> u32 {
    let mut hash = step(number.into(), text.len() as u64);
    if let Some((start, end)) = ends::<16>(text) {
        hash = step_by_two(hash, start);
        if text.len() > 32 {
            hash = hash_long(hash, text);
        }
        hash = step_by_two(hash, end);
    } else if let Some((start, end)) = ends::<8>(text) {
        hash = step(step(hash, u64::from_le_bytes(*start)), u64::from_le_bytes(*end));
    } else {
        hash = step(hash, tiny(text));
    }
    // The last bytes, by which most keys differ, have reached the highest bits only.
    (step(hash, hash >> 32) >> 32) as u32
}

#[inline(never)]
fn hash_long(hash: u64, text: &[u8]) -> u64 {
    text.as_chunks::<16>().0.iter().fold(hash, step_by_two)
}

/// A hash that goes on with a word. Its upper half is the better one.
#[inline]
pub(crate) fn step(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn step_by_two(hash: u64, words: &[u8; 16]) -> u64 {
    let words = u128::from_le_bytes(*words);
    step(step(hash, words as u64), (words >> 64) as u64)
}

/// The first bytes and the last, some of them in both.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    text.first_chunk().zip(text.last_chunk())
}

/// A text of less than eight bytes: of two that are equally long another number, if they differ.
#[inline]
fn tiny(text: &[u8]) -> u64 {
    match ends::<4>(text) {
        Some((start, end)) => u64::from(u32::from_le_bytes(*start)) | u64::from(u32::from_le_bytes(*end)) << 32,
        None => {
            let byte = |at: usize| u64::from(text.get(at).copied().unwrap_or_default());
            byte(0) | byte(1) << 8 | byte(2) << 16
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{hash, same};

    #[test]
    fn as_slices_are_compared() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..=text.len() {
            let one = &text[..length];
            let copy = one.to_vec();
            assert!(same(one, &copy) && hash(7, one) == hash(7, &copy));
            for at in 0..length {
                let mut other = one.to_vec();
                other[at] ^= 0x80;
                assert!(!same(one, &other), "{length} {at}");
                assert_ne!(hash(7, one), hash(7, &other), "{length} {at}");
            }
            assert!(!same(one, &text[..length.saturating_sub(1)]) || length == 0);
        }
    }

    #[test]
    fn texts_that_differ_at_one_end_lie_apart() {
        for text in [
            "7",
            "user7",
            "user-0007",
            "DUABCDEFGHIJKLMNO7",
            "203.0.113.99 somebody@example.com",
            "0".repeat(70).as_str(),
        ] {
            let places = |texts: &mut dyn Iterator<Item = String>| -> usize {
                texts
                    .map(|text| hash(1, text.as_bytes()) & 0xfff)
                    .collect::<BTreeSet<_>>()
                    .len()
            };
            let ends = places(&mut (0..500).map(|number| format!("{text}{number}")));
            let starts = places(&mut (0..500).map(|number| format!("{number}{text}")));
            // By chance some thirty of 500 meet another in 4096 places.
            assert!(ends > 430 && starts > 430, "{text}: {ends} {starts}");
        }
    }
}
