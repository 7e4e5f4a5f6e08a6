//! Comparing short texts. A module's own `memcmp` is a loop over bytes, and comparing keys is what state does most.

/// Whether two are equal, eight bytes at a time.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let is_same = |(one, other): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*one) == u64::from_le_bytes(*other);
    if !words.iter().zip(other_words).all(is_same) {
        return false;
    }
    match (one.last_chunk(), other.last_chunk()) {
        // Bytes of the word before it are compared again, which changes nothing.
        (Some(one), Some(other)) => is_same((one, other)),
        _ => rest.iter().zip(other_rest).all(|(one, other)| one == other),
    }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn as_slices_are_compared() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..=text.len() {
            let one = &text[..length];
            let copy = one.to_vec();
            assert!(same(one, &copy));
            for at in 0..length {
                let mut other = one.to_vec();
                other[at] ^= 0x80;
                assert!(!same(one, &other), "{length} {at}");
            }
            assert!(!same(one, &text[..length.saturating_sub(1)]) || length == 0);
        }
    }
}
