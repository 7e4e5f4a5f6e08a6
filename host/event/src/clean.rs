//! Text that an attacker may have chosen, made fit for a terminal, a file or a chat; and phone numbers made short.

use std::borrow::Cow;

/// Escapes what a terminal or a reader would obey: control characters and those that turn the writing direction.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if harmful(char) {
            cleaned.extend(char.escape_default())
        } else {
            cleaned.push(char)
        }
    }
    Cow::Owned(cleaned)
}

fn harmful(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Replaces every phone number in a text by its tail: `My iPhone X (734-555-2342)` becomes `My iPhone X (•••2342)`.
///
/// A number is seven digits or more, with the signs people put between them.
#[must_use]
pub fn mask_numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit() || char == '+' || char == '(') {
        let (before, from) = rest.split_at(start);
        masked.push_str(before);
        let (run, after) = from.split_at(run_end(from));
        if run.bytes().filter(u8::is_ascii_digit).count() >= 7 {
            // The bracket stays if it closes after the number: it is then not part of it.
            if run.starts_with('(') && !run.contains(')') {
                masked.push('(');
            }
            masked.push_str("•••");
            masked.push_str(&tail(run));
        } else {
            masked.push_str(run);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Length of what may be a number at the start of the text: up to its last digit, one character at least.
fn run_end(text: &str) -> usize {
    let allowed =
        |char: char| char.is_ascii_digit() || matches!(char, '+' | '-' | '.' | ' ' | '(' | ')' | '/' | '\u{a0}');
    let end = text.find(|char| !allowed(char)).unwrap_or(text.len());
    let run = text.get(..end).unwrap_or(text);
    run.rfind(|char: char| char.is_ascii_digit()).map_or(1, |last| last + 1)
}

fn tail(run: &str) -> String {
    let digits: Vec<char> = run.chars().filter(char::is_ascii_digit).collect();
    digits.iter().skip(digits.len().saturating_sub(4)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_obeyed() {
        assert_eq!(clean("ada"), "ada");
        assert_eq!(clean("Île-de-France"), "Île-de-France");
        assert_eq!(
            clean("a\u{1b}[31mb\nc\u{202e}d\u{9b}"),
            "a\\u{1b}[31mb\\nc\\u{202e}d\\u{9b}"
        );
    }

    #[test]
    fn numbers_keep_their_tail() {
        for (text, masked) in [
            ("+15035550100", "•••0100"),
            ("+1 123 456 7890", "•••7890"),
            ("My iPhone X (734-555-2342)", "My iPhone X (•••2342)"),
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
}
