//! Phone numbers as Duo, and the people who label their devices, spell them.
//!
//! **Canonical** is E.164 where that can be told: a number with a `+`, with `00` before its calling code, or one of ten digits
//! that the North American plan could have given (Duo writes the numbers of its own country without calling code). Any other
//! stays as its digits, without `+`. Two spellings that this cannot join are joined by `.tail`.

use std::ops::Range;

/// Digits that make a number of a stretch of text.
const LEAST: usize = 7;
/// E.164: as many digits as a number has at most.
const MOST: usize = 15;
/// Digits of an extension at most.
const EXTENSION: usize = 10;

/// A number's digits, with its `+` if its calling code can be told: `+1 (734) 555-2342` and `734-555-2342` are `+17345552342`.
/// An extension is kept behind `x`.
///
/// None: it is no number alone; it stays as it is.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text
        .get(..4)
        .filter(|scheme| scheme.eq_ignore_ascii_case("tel:"))
        .map_or(text, |_| text.get(4..).unwrap_or_default());
    let (number, extension) = match text.find(['x', 'X', 'e', 'E']) {
        Some(at) => (text.get(..at)?, Some(extension(text.get(at..)?)?)),
        None => (text, None),
    };
    if !number.chars().all(|char| within(char) || char == '+') {
        return None;
    }
    let plus = number.find('+');
    if plus.is_some_and(|plus| number.get(..plus).is_none_or(|before| digits(before) > 0))
        || number.matches('+').count() > 1
    {
        return None;
    }
    // The trunk's zero in brackets is not dialled from abroad.
    let dialled = if plus.is_some() {
        number.replace("(0)", "")
    } else {
        number.to_owned()
    };
    let all: String = dialled.chars().filter(char::is_ascii_digit).collect();
    let number = match (plus, all.strip_prefix("00")) {
        (Some(_), _) => format!("+{all}"),
        (None, Some(abroad)) if abroad.len() >= 9 => format!("+{abroad}"),
        (None, _) => match all.len() {
            10 if is_american(&all) => format!("+1{all}"),
            11 if all.strip_prefix('1').is_some_and(is_american) => format!("+{all}"),
            _ => all,
        },
    };
    if !(3..=MOST).contains(&digits(&number)) {
        return None;
    }
    Some(match extension {
        Some(extension) => format!("{number}x{extension}"),
        None => number,
    })
}

/// The digits behind `x`, `ext` or `ext.`.
fn extension(text: &str) -> Option<&str> {
    let rest = ["extension", "ext.", "ext", "x"].into_iter().find_map(|word| {
        let is_it = text.get(..word.len())?.eq_ignore_ascii_case(word);
        is_it.then(|| text.get(word.len()..)).flatten()
    })?;
    let number = rest.trim();
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// Whether ten digits are an area code and a number of the North American plan.
fn is_american(digits: &str) -> bool {
    let at = |place: usize| digits.as_bytes().get(place).copied().unwrap_or_default();
    let may_begin = |byte: u8| (b'2'..=b'9').contains(&byte);
    may_begin(at(0)) && at(1) != b'9' && (at(1), at(2)) != (b'1', b'1') && may_begin(at(3))
}

/// How many digits a text has.
pub(crate) fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// The number inside a label, canonical: `My iPhone X (734-555-2342)` has `+17345552342`. None: it has none, or several.
pub(crate) fn inside(label: &str) -> Option<String> {
    match numbers(label).as_slice() {
        [only] => canonical(label.get(only.whole())?),
        _ => None,
    }
}

/// The last four digits of a number: `•••2342`.
pub(crate) fn tail(number: &str) -> String {
    let number = number.split('x').next().unwrap_or(number);
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let last = digits.iter().skip(digits.len().saturating_sub(4));
    format!("•••{}", last.collect::<String>())
}

/// Replaces every long number in a text by its tail: serial numbers, which nobody masks otherwise.
#[must_use]
pub fn mask_numbers(text: &str) -> String {
    replaced(text, |run| text.get(run.number.clone()).map(tail))
}

/// A stretch of a text that is a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    number: Range<usize>,
    /// Where its extension ends; where the number does, if it has none.
    end: usize,
}

impl Run {
    /// The number with its extension.
    pub(crate) fn whole(&self) -> Range<usize> {
        self.number.start..self.end
    }
}

/// The text with something else in place of those of its numbers that `instead` has something for.
pub(crate) fn replaced(text: &str, instead: impl Fn(&Run) -> Option<String>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut kept = 0;
    for run in numbers(text) {
        if let Some(other) = instead(&run) {
            replaced.push_str(text.get(kept..run.number.start).unwrap_or(""));
            replaced.push_str(&other);
            kept = run.end;
        }
    }
    replaced.push_str(text.get(kept..).unwrap_or(""));
    replaced
}

/// Where the numbers of a text are: seven digits or more, with the signs people put between them.
///
/// What belongs to a word before it does not count (`S24 (734) 555-2342`), nor does a short group before a number that is one
/// without it (`My phone 2 734-555-2342`).
pub(crate) fn numbers(text: &str) -> Vec<Run> {
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(starts)) {
        let start = at + found;
        let rest = text.get(start..).unwrap_or("");
        let word = text
            .get(..start)
            .and_then(|text| text.chars().next_back())
            .is_some_and(char::is_alphanumeric);
        let group = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        if word && (1..LEAST).contains(&group) {
            at = start + group;
            continue;
        }
        let run = run(rest);
        // A bracket that does not close within the number is the label's.
        let open = unclosed(run);
        let number = run.get(..open.unwrap_or(run.len())).unwrap_or(run);
        at = start + open.map_or(run.len(), |open| open + 1);
        if digits(number) >= LEAST {
            let start = start + led(number);
            let end = start
                + number
                    .get(led(number)..)
                    .and_then(|number| number.rfind(|char: char| char.is_ascii_digit()))
                    .unwrap_or(0)
                + 1;
            let whole = end + extended(text.get(end..).unwrap_or(""));
            numbers.push(Run {
                number: start..end,
                end: whole,
            });
            at = at.max(whole);
        }
    }
    numbers
}

/// Where the first bracket is that does not close.
fn unclosed(run: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (at, char) in run.char_indices() {
        match char {
            '(' => open.push(at),
            ')' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.first().copied()
}

/// How long a group of one or two digits is, with what follows it, that stands before a number and is none of it; 0: there is
/// none.
fn led(number: &str) -> usize {
    let group = number.find(|char: char| !char.is_ascii_digit()).unwrap_or(number.len());
    let rest = number.get(group..).unwrap_or("");
    let next = group + rest.find(starts).unwrap_or(0);
    let is_whole = |text: &str| canonical(text).is_some_and(|number| number.starts_with('+'));
    let rest = number.get(next..).unwrap_or("");
    if (1..=2).contains(&group) && !is_whole(number) && is_whole(rest) {
        next
    } else {
        0
    }
}

/// How long the extension at the start of what follows a number is, bytes; 0: there is none.
fn extended(rest: &str) -> usize {
    let said = rest.trim_start_matches([' ', ',', '\u{a0}']);
    let Some(after) = ["ext.", "ext", "x"].into_iter().find_map(|word| {
        let is_it = said.get(..word.len())?.eq_ignore_ascii_case(word);
        is_it.then(|| said.get(word.len()..)).flatten()
    }) else {
        return 0;
    };
    let number = after.trim_start_matches(' ');
    let length = number.find(|char: char| !char.is_ascii_digit()).unwrap_or(number.len());
    let ends = number
        .get(length..)
        .is_some_and(|after| !after.starts_with(char::is_alphanumeric));
    if (1..=EXTENSION).contains(&length) && ends {
        rest.len() - number.len() + length
    } else {
        0
    }
}

/// Whether a number found in text that may hold anything reads as one for a telephone: not a part of a word, a date, an address,
/// a version, a fraction or a serial number.
pub(crate) fn is_telephone(text: &str, run: &Run) -> bool {
    let before = text.get(..run.number.start).and_then(|text| text.chars().next_back());
    let after = text.get(run.end..).and_then(|text| text.chars().next());
    if before.is_some_and(char::is_alphanumeric) || after.is_some_and(char::is_alphanumeric) {
        return false;
    }
    let number = text.get(run.number.clone()).unwrap_or_default();
    if number.starts_with('+') {
        return digits(number) > LEAST;
    }
    let groups: Vec<&str> = number
        .split(|char: char| !char.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let only = |signs: &[char]| {
        number
            .chars()
            .all(|char| char.is_ascii_digit() || signs.contains(&char))
    };
    match lengths.as_slice() {
        [bare] => (10..=MOST).contains(bare),
        [8, 4, 4, 4, 12] => false,
        [4, 1..=2, 1..=2] | [1..=2, 1..=2, 4] => !only(&['-', '/', '.']),
        several if only(&['.']) => {
            let is_address = several.len() == 4 && groups.iter().all(|group| group.parse::<u8>().is_ok());
            several.len() > 2 && !is_address && several.iter().all(|length| (2..=4).contains(length))
        }
        _ => true,
    }
}

fn starts(char: char) -> bool {
    char.is_ascii_digit() || matches!(char, '+' | '(')
}

/// What stands between a number's digits; direction marks come with numbers that were copied out of an address book.
fn within(char: char) -> bool {
    char.is_ascii_digit()
        || matches!(
            char,
            '(' | ')' | '-' | '.' | ' ' | '/' | '\u{a0}' | '\u{2009}'..='\u{2015}' | '\u{202a}'..='\u{202f}'
        )
}

/// What may be a number at the start of the text: up to its last digit, one character at least.
fn run(text: &str) -> &str {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let rest = text.get(first..).unwrap_or_default();
    // A plus within begins another number, but for the one in the bracket that begins this.
    let may = |(at, char): (usize, char)| within(char) || (char == '+' && at == 0 && text.starts_with('('));
    let end = rest
        .char_indices()
        .find(|place| !may(*place))
        .map_or(text.len(), |(at, _)| first + at);
    let run = text.get(..end).unwrap_or(text);
    let last = run
        .rfind(|char: char| char.is_ascii_digit())
        .map_or(first, |last| last + 1);
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
            ("(555) 713-6275 x456", "•••6275"),
            ("(555) 713-6275 x-ray", "•••6275 x-ray"),
            ("503-543-1175", "•••1175"),
            ("5035431175+5035431176", "•••1175•••1176"),
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
            ("(+1) 734 555 2342", Some("+17345552342")),
            ("734-555-2342", Some("+17345552342")),
            ("1 734 555 2342", Some("+17345552342")),
            ("\u{202a}+1 734\u{2011}555\u{2011}2342\u{202c}", Some("+17345552342")),
            ("(555) 713-6275 x456", Some("+15557136275x456")),
            ("5557136275 ext. 456", Some("+15557136275x456")),
            ("5557136275x456", Some("+15557136275x456")),
            ("0044 20 7946 0123", Some("+442079460123")),
            ("+44 (0)20 7946 0123", Some("+442079460123")),
            ("06.12.34.56.78", Some("0612345678")),
            ("5550100", Some("5550100")),
            ("911 555 0100", Some("9115550100")),
            ("911", Some("911")),
            ("12", None),
            ("1234567890123456", None),
            ("ada", None),
            ("+1 503 ADA", None),
            ("503+5550100", None),
            ("555x", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(canonical(text).as_deref(), number, "{text}");
            if let Some(number) = number {
                assert_eq!(canonical(number).as_deref(), Some(number), "canonical stays");
            }
        }
    }

    #[test]
    fn numbers_inside_names() {
        for (label, number) in [
            ("My iPhone X (734-555-2342)", Some("+17345552342")),
            ("My phone 2 (734-555-2342)", Some("+17345552342")),
            ("+1 123 456 7890", Some("+11234567890")),
            ("Work: +44 20 7946 0123", Some("+442079460123")),
            ("Desk 734-555-2342 ext 12", Some("+17345552342x12")),
            ("Chloé's Galaxy S24 ((734) 555-2342)", Some("+17345552342")),
            ("Galaxy S24 734 555 2342", Some("+17345552342")),
            ("iPhone 15 (+1 734 555 2342)", Some("+17345552342")),
            ("My phone 2 734-555-2342", Some("+17345552342")),
            ("mine5035550142", Some("+15035550142")),
            ("734 555 2342, 734 555 2343", None),
            ("WAQWPO8MD9PPHPW2HPCI", None),
            ("Pixel 7", None),
            ("", None),
        ] {
            assert_eq!(inside(label).as_deref(), number, "{label}");
        }
    }

    #[test]
    fn what_reads_as_a_telephone_in_any_text() {
        for (text, reads) in [
            ("call +1 503 555 0142 now", true),
            ("call 503-555-0142.", true),
            ("(503) 555 0142", true),
            ("phone:5035550142", true),
            ("06 12 34 56 78", true),
            ("503.555.0142", true),
            ("555-0142", true),
            ("5550142", false),
            ("198.51.100.107", false),
            ("2026-11-22", false),
            ("22.11.2026", false),
            ("2026-11-22T07:10:02.114000+00:00", false),
            ("10.0.22631.4602", false),
            ("92141773-899d-42a7-bf90-62dd4de348a3", false),
            ("12345678-1234-1234-1234-123456789012", false),
            ("DPX5035550142", false),
            ("12345678", false),
            ("0.12345678", false),
        ] {
            let found = numbers(text).iter().any(|run| is_telephone(text, run));
            assert_eq!(found, reads, "{text}");
        }
    }
}
