//! Text that an attacker may have chosen, made fit for a terminal, a file or a chat.

use std::borrow::Cow;

/// Escapes what a terminal or a reader would obey: control characters, those that turn the writing direction, and those that
/// nobody sees and so make two names look alike. Joiners stay: scripts and emoji need them.
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
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
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
        assert_eq!(clean("ad\u{200b}a\u{e0041}"), "ad\\u{200b}a\\u{e0041}");
        assert_eq!(clean("\u{1f469}\u{200d}\u{1f680}"), "\u{1f469}\u{200d}\u{1f680}");
    }
}
