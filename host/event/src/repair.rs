//! A slip in a text must not hide an event.
//!
//! Some writers cut a text in the middle of a character and leave half of a surrogate pair (`\ud83d`), put a line break or a
//! Windows path into a string as it is, or write `NaN`. serde_json refuses all of these. A browser name chosen that way would
//! make the whole row unreadable, and a note its whole description, so JSON that cannot be read is tried once more:
//!
//! | in | found | read as |
//! | --- | --- | --- |
//! | a string | half a character | U+FFFD |
//! | a string | a control character | the same, escaped |
//! | a string | `\` before what it cannot stand before | a backslash |
//! | elsewhere | `NaN`, `Infinity`, `-Infinity` | null |
//! | the start | a byte order mark | nothing |
//!
//! What is cut off or otherwise no JSON stays so: nobody can tell what it would have said.

use std::fmt::Write;

/// The same JSON without slips. None: it has none.
pub(crate) fn repaired(json: &str) -> Option<String> {
    let mut repair = Repair {
        json,
        at: 0,
        kept: 0,
        out: String::new(),
    };
    if json.starts_with('\u{feff}') {
        repair.replace('\u{feff}'.len_utf8(), "");
    }
    let mut in_string = false;
    while let Some(byte) = json.as_bytes().get(repair.at) {
        match byte {
            b'"' => {
                in_string = !in_string;
                repair.at += 1;
            }
            b'\\' if in_string => repair.escape(),
            0..0x20 if in_string => {
                let mut escaped = String::new();
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{byte:04x}");
                repair.replace(1, &escaped);
            }
            b'N' | b'I' | b'-' if !in_string => repair.word(),
            _ => repair.at += 1,
        }
    }
    repair.finished()
}

struct Repair<'a> {
    json: &'a str,
    at: usize,
    /// Up to here the JSON is in `out`, repaired.
    kept: usize,
    out: String,
}

impl Repair<'_> {
    /// Writes something else for the next so many bytes.
    fn replace(&mut self, length: usize, other: &str) {
        self.out.push_str(self.json.get(self.kept..self.at).unwrap_or(""));
        self.out.push_str(other);
        self.at += length;
        self.kept = self.at;
    }

    fn escape(&mut self) {
        match code_unit(self.json, self.at) {
            Some(0xd800..=0xdbff) if matches!(code_unit(self.json, self.at + 6), Some(0xdc00..=0xdfff)) => {
                self.at += 12;
            }
            Some(0xd800..=0xdfff) => self.replace(6, "\\ufffd"),
            Some(_) => self.at += 6,
            None => match self.json.as_bytes().get(self.at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                Some(_) => self.replace(1, "\\\\"),
                None => self.at += 1,
            },
        }
    }

    fn word(&mut self) {
        let rest = self.json.get(self.at..).unwrap_or("");
        match ["NaN", "Infinity", "-Infinity"]
            .iter()
            .find(|word| rest.starts_with(**word))
        {
            Some(word) => self.replace(word.len(), "null"),
            None => self.at += 1,
        }
    }

    fn finished(mut self) -> Option<String> {
        if self.kept == 0 {
            return None;
        }
        self.out.push_str(self.json.get(self.kept..).unwrap_or(""));
        Some(self.out)
    }
}

/// The code unit of a `\uXXXX` at this place.
fn code_unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_only() {
        for (json, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\udc00 \uD83D\u0041 x""#, Some(r#""\ufffd \ufffd\u0041 x""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""plain é \n \" \/""#, None),
            (
                "{\n\t\"a\": \"b\nc\u{1}\"}\n",
                Some("{\n\t\"a\": \"b\\u000ac\\u0001\"}\n"),
            ),
            (r#""C:\Users\ada""#, Some(r#""C:\\Users\\ada""#)),
            (r#""\é\u12g4""#, Some(r#""\\é\\u12g4""#)),
            (
                r#"{"a": NaN, "b": -Infinity, "c": -1, "d": "NaN"}"#,
                Some(r#"{"a": null, "b": null, "c": -1, "d": "NaN"}"#),
            ),
            ("\u{feff}{}", Some("{}")),
            (r#""\"#, None),
            ("", None),
        ] {
            assert_eq!(repaired(json).as_deref(), expected, "{json}");
        }
    }
}
