//! Phone numbers as Duo, and the people who label their devices, spell them.

use std::ops::Range;

/// Digits that make a number of a stretch of text.
const LEAST: usize = 7;

/// A number's digits, with its `+` if it has one: `+1 (734) 555-2342` is `+17345552342`. An extension is kept behind `x`.
///
/// None: it is no number alone; it stays as it is.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (number, extension) = match text.split_once(['x', 'X']) {
        Some((number, extension)) => (number, Some(extension.trim())),
        None => (text, None),
    };
    let number = number.trim();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if !number.chars().all(within) || !(3..=15).contains(&digits.len()) {
        return None;
    }
    let plus = if number.starts_with('+') { "+" } else { "" };
    match extension {
        None => Some([plus, &digits].concat()),
        Some(extension) => {
            let is_number = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| [plus, &digits, "x", extension].concat())
        }
    }
}

/// A number as the columns of `phone` and `number` show it: canonical where it is one, else as it came.
#[must_use]
pub fn canonical_number(text: &str) -> String {
    canonical(text).unwrap_or_else(|| text.trim().to_owned())
}

/// The number inside a label, canonical: `My iPhone X (734-555-2342)` has `7345552342`. None: it has none, or several.
pub(crate) fn inside(label: &str) -> Option<String> {
    match numbers(label).as_slice() {
        [only] => canonical(label.get(only.clone())?),
        _ => None,
    }
}

/// Replaces every phone number in a text by its tail: `My iPhone X (734-555-2342)` becomes `My iPhone X (•••2342)`.
///
/// A number is seven digits or more, with the signs people put between them.
#[must_use]
pub fn mask_numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut kept = 0;
    for range in numbers(text) {
        masked.push_str(text.get(kept..range.start).unwrap_or(""));
        masked.push_str("•••");
        let number = text.get(range.clone()).unwrap_or("").chars();
        let digits: Vec<char> = number.filter(char::is_ascii_digit).collect();
        masked.extend(digits.iter().skip(digits.len().saturating_sub(4)));
        kept = range.end;
    }
    masked.push_str(text.get(kept..).unwrap_or(""));
    masked
}

/// Where the numbers of a text are.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(starts)) {
        let start = at + found;
        let run = run(text.get(start..).unwrap_or(""));
        // A bracket that does not close within the number is the label's.
        let open = run
            .rfind('(')
            .filter(|open| !run.get(*open..).unwrap_or("").contains(')'));
        let number = run.get(..open.unwrap_or(run.len())).unwrap_or(run);
        if number.bytes().filter(u8::is_ascii_digit).count() >= LEAST {
            let end = number.rfind(|char: char| char.is_ascii_digit()).unwrap_or(0);
            numbers.push(start..start + end + 1);
        }
        at = start + open.map_or(run.len(), |open| open + 1);
    }
    numbers
}

fn starts(char: char) -> bool {
    char.is_ascii_digit() || matches!(char, '+' | '(')
}

fn within(char: char) -> bool {
    starts(char) || matches!(char, '-' | '.' | ' ' | ')' | '/' | '\u{a0}')
}

/// What may be a number at the start of the text: up to its last digit, one character at least.
fn run(text: &str) -> &str {
    let end = text.find(|char| !within(char)).unwrap_or(text.len());
    let run = text.get(..end).unwrap_or(text);
    let last = run.rfind(|char: char| char.is_ascii_digit()).map_or(1, |last| last + 1);
    run.get(..last).unwrap_or(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_tail() {
        for (text, masked) in [
            ("+15035550100", "•••0100"),
            ("+1 123 456 7890", "•••7890"),
            ("My iPhone X (734-555-2342)", "My iPhone X (•••2342)"),
            ("My phone 2 (734-555-2342)", "My phone 2 (•••2342)"),
            (
                "Ada's (work) 734 555 2342, 734 555 2343",
                "Ada's (work) •••2342, •••2343",
            ),
            ("(555) 713-6275 x456", "•••6275 x456"),
            ("503-543-1175", "•••1175"),
            ("Pixel 7", "Pixel 7"),
            ("HOTP 6-digit 123456", "HOTP 6-digit 123456"),
            ("WAQWPO8MD9PPHPW2HPCI", "WAQWPO8MD9PPHPW2HPCI"),
            ("Generic Smartphone", "Generic Smartphone"),
            ("", ""),
            ("(+", "(+"),
        ] {
            assert_eq!(mask_numbers(text), masked);
        }
    }

    #[test]
    fn spellings_of_a_number() {
        for (text, number) in [
            ("+15035550100", Some("+15035550100")),
            (" +1 (734) 555-2342 ", Some("+17345552342")),
            ("(555) 713-6275 x456", Some("5557136275x456")),
            ("5557136275x456", Some("5557136275x456")),
            ("06.12.34.56.78", Some("0612345678")),
            ("911", Some("911")),
            ("12", None),
            ("1234567890123456", None),
            ("ada", None),
            ("+1 503 ADA", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(canonical(text).as_deref(), number, "{text}");
        }
    }

    #[test]
    fn numbers_inside_names() {
        for (label, number) in [
            ("My iPhone X (734-555-2342)", Some("7345552342")),
            ("My phone 2 (734-555-2342)", Some("7345552342")),
            ("+1 123 456 7890", Some("+11234567890")),
            ("Work: +44 20 7946 0123", Some("+442079460123")),
            ("734 555 2342, 734 555 2343", None),
            ("WAQWPO8MD9PPHPW2HPCI", None),
            ("Pixel 7", None),
            ("", None),
        ] {
            assert_eq!(inside(label).as_deref(), number, "{label}");
        }
    }
}
