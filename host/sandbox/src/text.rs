//! Text that a module wrote, on its way into logs, errors and alerts: without control characters, and not longer than allowed.

use std::borrow::Cow;

/// Text for people: control characters become spaces, and what is too long is cut.
pub(crate) fn clean(text: &str, most: usize) -> String {
    if text.len() <= most && !text.chars().any(unwanted) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len().min(most + 4));
    for character in text.chars() {
        if cleaned.len() + character.len_utf8() > most {
            cleaned.push('…');
            break;
        }
        cleaned.push(if unwanted(character) { ' ' } else { character });
    }
    cleaned
}

/// A key: what would be changed by [`clean`] carries a hash of the whole, so that two keys never become one.
pub(crate) fn key(text: String, most: usize) -> String {
    if text.len() <= most && !text.chars().any(unwanted) {
        return text;
    }
    const MARK: usize = 17;
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let mut start = clean(&text, most.saturating_sub(MARK + '…'.len_utf8()));
    start.push('~');
    start.extend(hash.chars().take(MARK - 1));
    start
}

/// Lossy, for bytes that should have been text.
pub(crate) fn start_of(bytes: &[u8]) -> String {
    let start = bytes.get(..12.min(bytes.len())).unwrap_or_default();
    match String::from_utf8_lossy(start) {
        Cow::Borrowed(text) if !text.chars().any(unwanted) => format!("“{text}”"),
        _ => start
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Control characters, and those that turn the direction of the text around them.
pub(crate) fn unwanted(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_and_overlong_text_do_not_pass() {
        assert_eq!(clean("a\u{1b}[31mb\nc", 100), "a [31mb c");
        assert_eq!(clean("äöü", 4), "äö…");
        assert_eq!(clean("plain", 5), "plain");
    }

    #[test]
    fn keys_that_differ_stay_different() {
        let one = key(format!("{}1", "x".repeat(1000)), 100);
        let two = key(format!("{}2", "x".repeat(1000)), 100);
        assert_ne!(one, two);
        assert!(one.len() <= 100, "{}", one.len());
        assert_ne!(key("a\u{0}".to_owned(), 100), key("a ".to_owned(), 100));
        assert_eq!(key("DU123".to_owned(), 100), "DU123");
    }
}
