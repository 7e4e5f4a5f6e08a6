//! The nearest of some names: edit distance, dots and underscores being alike.

/// The name with the least edit distance to `wanted`, if that is at most a third of its length.
pub(crate) fn nearest(names: impl Iterator<Item = &'static str>, wanted: &str) -> Option<&'static str> {
    let wanted = wanted.replace('.', "_");
    let near = names.map(|name| (distance(&name.replace('.', "_"), &wanted), name));
    let (distance, name) = near.min_by_key(|(distance, name)| (*distance, name.len()))?;
    (distance <= (wanted.chars().count() / 3).max(1)).then_some(name)
}

/// Letters to insert, delete, exchange or swap with a neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let exchanged = at(&above, column) + usize::from(letter != *other);
            let mut best = exchanged.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let swapped =
                column.checked_sub(1).is_some_and(|left| to.get(left) == Some(&letter)) && last == Some(*other);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        last = Some(letter);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("name", "nmae", 1),
            ("user", "usr", 1),
            ("result", "reason", 4),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
