//! Which rows have a text: the other way round than a column says it.
//!
//! Rules that are each for some users (a tenant's, a department's) compare one column with a list of names, and no two with the
//! same one. Going from rows to texts, each would look at every row; going from its texts to rows, it looks at its own.

/// Of some rows of a column of texts, those that have a code.
#[derive(Debug)]
pub(crate) struct ByCode {
    /// By code: one more than the first row's number; 0 where there is none.
    first: Vec<u32>,
    /// By row: the same of the next that has its code.
    next: Vec<u32>,
}

impl ByCode {
    /// Of rows that have these codes, in order, from a dictionary that has so many.
    pub(crate) fn new(texts: usize, codes: impl DoubleEndedIterator<Item = u32> + ExactSizeIterator) -> Self {
        let mut first = vec![0; texts];
        let mut next = vec![0; codes.len()];
        for ((row, code), next) in codes.enumerate().zip(&mut next).rev() {
            // Null is beyond any dictionary.
            if let Some(first) = first.get_mut(code as usize) {
                *next = std::mem::replace(first, row as u32 + 1);
            }
        }
        ByCode { first, next }
    }

    /// The rows with a code, in order.
    pub(crate) fn rows(&self, code: u32) -> impl Iterator<Item = usize> {
        let first = self.first.get(code as usize).and_then(|row| row.checked_sub(1));
        std::iter::successors(first, |row| self.next.get(*row as usize)?.checked_sub(1)).map(|row| row as usize)
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::NULL;

    use super::ByCode;

    #[test]
    fn rows_are_found_by_their_codes() {
        let codes = [3, 0, NULL, 3, 1, 0, 3];
        let by_code = ByCode::new(5, codes.into_iter());
        for code in [0, 1, 2, 3, 4, 5, NULL] {
            let expected = |row: &usize| codes[*row] == code && code != NULL;
            let expected: Vec<usize> = (0..codes.len()).filter(expected).collect();
            assert_eq!(by_code.rows(code).collect::<Vec<_>>(), expected, "{code}");
        }
    }
}
