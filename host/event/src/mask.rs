//! Sets of rows, a bit for each: conditions are answered for sixty-four rows at a time.

/// Some of the rows of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    words: Vec<u64>,
}

impl Mask {
    /// Those of the rows for whose value it holds.
    #[inline]
    pub(crate) fn over<T>(values: &[T], mut holds: impl FnMut(&T) -> bool) -> Self {
        let word = |values: &[T]| {
            let bits = values.iter().enumerate();
            bits.fold(0, |word, (bit, value)| word | u64::from(holds(value)) << bit)
        };
        Mask {
            words: values.chunks(64).map(word).collect(),
        }
    }

    /// All of them.
    pub(crate) fn all(rows: usize) -> Self {
        let word = |start: usize| u64::MAX >> (64 - (rows - start).min(64));
        Mask {
            words: (0..rows).step_by(64).map(word).collect(),
        }
    }

    /// None of them.
    pub(crate) fn none(rows: usize) -> Self {
        Mask {
            words: vec![0; rows.div_ceil(64)],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Takes one in.
    #[inline]
    pub(crate) fn insert(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    /// Keeps what is in both.
    pub(crate) fn keep(&mut self, other: &Mask) {
        self.zip(other, |own, other| *own &= other);
    }

    /// Takes out what is in the other.
    pub(crate) fn drop(&mut self, other: &Mask) {
        self.zip(other, |own, other| *own &= !other);
    }

    /// Takes in what is in the other.
    pub(crate) fn add(&mut self, other: &Mask) {
        self.zip(other, |own, other| *own |= other);
    }

    /// Hands over the rows, in order.
    #[inline]
    pub(crate) fn each(&self, mut take: impl FnMut(usize)) {
        for (at, word) in self.words.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                take(at * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }

    fn zip(&mut self, other: &Mask, change: impl Fn(&mut u64, u64)) {
        debug_assert_eq!(self.words.len(), other.words.len());
        for (own, other) in self.words.iter_mut().zip(&other.words) {
            change(own, *other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_any_size() {
        for rows in [0, 1, 63, 64, 65, 1000] {
            let numbers: Vec<usize> = (0..rows).collect();
            let threes = Mask::over(&numbers, |row| row % 3 == 0);
            let twos = Mask::over(&numbers, |row| row % 2 == 0);
            let listed = |mask: &Mask| {
                let mut listed = Vec::new();
                mask.each(|row| listed.push(row));
                listed
            };
            let expected = |holds: fn(usize) -> bool| (0..rows).filter(|row| holds(*row)).collect::<Vec<_>>();
            let after = |change: fn(&mut Mask, &Mask)| {
                let mut mask = threes.clone();
                change(&mut mask, &twos);
                listed(&mask)
            };
            assert_eq!(listed(&threes), expected(|row| row % 3 == 0));
            assert_eq!(after(Mask::keep), expected(|row| row % 6 == 0));
            assert_eq!(after(Mask::drop), expected(|row| row % 6 == 3));
            assert_eq!(after(Mask::add), expected(|row| row % 3 == 0 || row % 2 == 0));
            let mut all = Mask::all(rows);
            assert_eq!(listed(&all), numbers);
            numbers
                .iter()
                .filter(|row| *row % 3 != 0)
                .for_each(|row| all.remove(*row));
            assert_eq!(all, threes);
            let mut none = Mask::none(rows);
            numbers.iter().step_by(3).for_each(|row| none.insert(*row));
            assert_eq!(none, threes);
            assert_eq!(threes.len(), rows.div_ceil(3));
            assert!(Mask::none(rows).is_empty() && threes.is_empty() == (rows == 0));
        }
    }
}
