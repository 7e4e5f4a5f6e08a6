//! Reading JSON that is as plain as Duo's nearly always is.
//!
//! serde_json is thorough and general; half the price of an event was its way through members that nobody asked for. This
//! reader takes what it understands at once and gives up on everything else: whoever calls it then asks serde_json, whose word
//! counts. So it may refuse whatever it likes, but must never accept what serde_json refuses, nor read it otherwise. (The
//! crate's property tests hold what comes of it against a plain look-up in serde_json's values.)
//!
//! Two things make it quick. Most rows have no escapes, which one look over the whole row tells; a text then ends at the next
//! quote. And rows of a log have the same keys in the same order, so the n-th key of a row is first compared with the n-th key
//! of the row before ([`Shape`]).

use serde::de::DeserializeOwned;

/// Deeper nesting is left to serde_json, which has a limit of its own at twice this.
const DEEPEST: u32 = 64;

/// Most keys of a row that are remembered, and the longest, bytes.
const KEYS: usize = 256;
const KEY_BYTES: usize = 60;

/// Why nothing is returned: something unusual, or no JSON at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusual;

/// What takes the members of an object.
pub(crate) trait Members<'a> {
    /// The value of the member is next in `scan`, and must be read or skipped.
    fn member(&mut self, key: &'a str, scan: &mut Scan<'a, '_>) -> Result<(), Unusual>;
}

/// The keys of the last row, in order, each from its first quote to where its value begins. It changes how quickly a row is
/// read, never as what.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    keys: Vec<KnownKey>,
}

#[derive(Debug, Default)]
struct KnownKey {
    text: String,
    /// Length of the key itself.
    length: usize,
}

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scan<'a, 'k> {
    json: &'a str,
    at: usize,
    depth: u32,
    /// Neither escapes nor control characters anywhere.
    clean: bool,
    shape: Option<&'k mut Shape>,
    /// How many keys were read.
    keys: usize,
}

/// A text as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// As it reads.
    Plain(&'a str),
    /// With escapes, and its quotes.
    Escaped(&'a str),
}

impl<'a, 'k> Scan<'a, 'k> {
    fn new(json: &'a str, shape: Option<&'k mut Shape>) -> Self {
        let odd = |byte: &u8| (*byte < 0x20) | (*byte == b'\\');
        Scan {
            json,
            at: 0,
            depth: 0,
            clean: !json.as_bytes().iter().fold(false, |found, byte| found | odd(byte)),
            shape,
            keys: 0,
        }
    }

    /// Reads a text that is one object and nothing else.
    pub(crate) fn whole(
        json: &'a str,
        shape: Option<&'k mut Shape>,
        members: &mut impl Members<'a>,
    ) -> Result<(), Unusual> {
        let mut scan = Scan::new(json, shape);
        scan.space();
        scan.object(members)?;
        scan.space();
        if scan.at == json.len() { Ok(()) } else { Err(Unusual) }
    }

    /// The first byte of what is next.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// Reads an object member by member.
    pub(crate) fn object(&mut self, members: &mut impl Members<'a>) -> Result<(), Unusual> {
        self.expect(b'{')?;
        self.deeper()?;
        self.space();
        if !self.take(b'}') {
            loop {
                let key = self.key()?;
                members.member(key, self)?;
                self.space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A key, and on to its value.
    #[inline]
    fn key(&mut self) -> Result<&'a str, Unusual> {
        let (start, nth) = (self.at, self.keys);
        self.keys += 1;
        let rest = self.json.as_bytes().get(start..).unwrap_or_default();
        let known = self.shape.as_ref().and_then(|shape| shape.keys.get(nth));
        if let Some(known) = known.filter(|known| known.length > 0 && rest.starts_with(known.text.as_bytes())) {
            let key = self.json.get(start + 1..start + 1 + known.length);
            self.at += known.text.len();
            self.space();
            return key.ok_or(Unusual);
        }
        let Text::Plain(key) = self.text()? else {
            return Err(Unusual);
        };
        self.space();
        self.expect(b':')?;
        self.space();
        let text = self.since(start)?;
        if let Some(shape) = &mut self.shape {
            shape.remember(nth, key, text);
        }
        Ok(key)
    }

    /// Goes past any value.
    pub(crate) fn skip(&mut self) -> Result<(), Unusual> {
        match self.peek() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'{') => self.object(&mut Nobody),
            Some(b'[') => self.array(Scan::skip),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.skip_number(),
        }
    }

    /// Any value, whose text is left to serde_json.
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Result<T, Unusual> {
        let start = self.at;
        self.skip()?;
        serde_json::from_str(self.since(start)?).map_err(|_| Unusual)
    }

    /// A text.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text<'a>, Unusual> {
        let start = self.at;
        self.expect(b'"')?;
        if self.clean {
            self.run_to_quote();
        } else {
            self.run();
        }
        if self.take(b'"') {
            let text = self.json.get(start + 1..self.at - 1).ok_or(Unusual)?;
            return Ok(Text::Plain(text));
        }
        while self.take(b'\\') {
            let digits = match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
                b'u' => 4,
                _ => return Err(Unusual),
            };
            for _ in 0..digits {
                if !self.next()?.is_ascii_hexdigit() {
                    return Err(Unusual);
                }
            }
            self.run();
        }
        self.expect(b'"')?;
        Ok(Text::Escaped(self.since(start)?))
    }

    /// A whole number of ordinary size.
    pub(crate) fn whole_number(&mut self) -> Result<i64, Unusual> {
        let start = self.at;
        self.skip_number()?;
        let text = self.since(start)?;
        // A zero with a sign is a float to serde_json.
        if text.len() > 18 || text.starts_with("-0") {
            return Err(Unusual);
        }
        text.parse().map_err(|_| Unusual)
    }

    /// `true`, `false` or `null`.
    pub(crate) fn word(&mut self, word: &str) -> Result<(), Unusual> {
        let end = self.at + word.len();
        if self.json.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return Err(Unusual);
        }
        self.at = end;
        Ok(())
    }

    /// Reads an array; `each` must read or skip the element that is next.
    pub(crate) fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Unusual>) -> Result<(), Unusual> {
        self.expect(b'[')?;
        self.deeper()?;
        self.space();
        if !self.take(b']') {
            loop {
                each(self)?;
                self.space();
                if self.take(b']') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Unusual> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more. (After a leading zero none is looked for, so what follows it is refused by whoever goes on.)
    fn digits(&mut self) -> Result<(), Unusual> {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Unusual) } else { Ok(()) }
    }

    /// On to the next quote, or to the end.
    #[inline]
    fn run_to_quote(&mut self) {
        const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks::<16>();
        for word in words {
            let word = u128::from_le_bytes(*word) ^ (ONES * 0x22);
            // The lowest bit set is exact; those above it may be a borrow's.
            let quotes = word.wrapping_sub(ONES) & !word & (ONES << 7);
            if quotes != 0 {
                self.at += (quotes.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 16;
        }
        self.at += tail.iter().position(|byte| *byte == b'"').unwrap_or(tail.len());
    }

    /// Past the bytes of a text that stand for themselves.
    #[inline]
    fn run(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = ONES << 7;
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            // The lowest bit set is exact; those above it may be a borrow's.
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let stops = (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH;
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += tail.iter().position(stops).unwrap_or(tail.len());
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.take(byte) { Ok(()) } else { Err(Unusual) }
    }

    fn next(&mut self) -> Result<u8, Unusual> {
        let byte = self.peek().ok_or(Unusual)?;
        self.at += 1;
        Ok(byte)
    }

    fn deeper(&mut self) -> Result<(), Unusual> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(Unusual) } else { Ok(()) }
    }

    fn since(&self, start: usize) -> Result<&'a str, Unusual> {
        self.json.get(start..self.at).ok_or(Unusual)
    }
}

impl Shape {
    fn remember(&mut self, nth: usize, key: &str, text: &str) {
        if nth >= KEYS {
            return;
        }
        if self.keys.len() <= nth {
            self.keys.resize_with(nth + 1, KnownKey::default);
        }
        let Some(known) = self.keys.get_mut(nth) else { return };
        known.text.clear();
        known.length = 0;
        if text.len() <= KEY_BYTES {
            known.text.push_str(text);
            known.length = key.len();
        }
    }
}

impl Text<'_> {
    /// What it says, if serde_json would say so too: half a character is refused.
    pub(crate) fn unescaped(escaped: &str) -> Result<String, Unusual> {
        serde_json::from_str(escaped).map_err(|_| Unusual)
    }
}

/// Wants no member.
struct Nobody;

impl<'a> Members<'a> for Nobody {
    #[inline]
    fn member(&mut self, _: &'a str, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        scan.skip()
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn nothing_is_accepted_that_serde_json_refuses() {
        let plain = |json: &str| Scan::whole(json, None, &mut Nobody).is_ok();
        let values = [
            "0",
            "-1",
            "10",
            "1.5",
            "1e9",
            "1E-9",
            "-0",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "--1",
            "1 2",
            "true",
            "tru",
            "null",
            "nul",
            "nulll",
            r#""a""#,
            r#""a"#,
            r#""\n\"\\""#,
            r#""\u00e9""#,
            r#""\u00g9""#,
            r#""\u12""#,
            r#""\x""#,
            "\"\t\"",
            "\"long enough for a word\u{1}\"",
            "\"é\u{7f}ü, quite long\"",
            "[]",
            "[1]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[[], {}]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{"a":}"#,
            "",
            "[",
            "{",
        ];
        for value in values {
            for json in [
                format!(r#"{{"k": {value}}}"#),
                format!(r#" {{"k":{value} , "l":[{value}]}} "#),
            ] {
                let theirs = serde_json::from_str::<IgnoredAny>(&json).is_ok();
                assert!(theirs || !plain(&json), "{json}");
                assert_eq!(theirs, plain(&json), "plain enough to be read at once: {json}");
            }
        }
        for json in ["", " ", "[1]", "{} x", "{}}", "\u{feff}{}"] {
            assert!(!plain(json), "{json}");
        }
        let deep = |depth: usize| format!(r#"{{"k":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(plain(&deep(60)) && !plain(&deep(100_000)));
    }

    #[test]
    fn whole_numbers_of_ordinary_size() {
        let read = |json: &'static str| Scan::new(json, None).whole_number();
        assert_eq!(read("1700000000"), Ok(1_700_000_000));
        assert_eq!(read("-7"), Ok(-7));
        assert_eq!(read("0"), Ok(0));
        for unusual in ["-0", "1.0", "1e3", "9223372036854775808", "x"] {
            assert_eq!(read(unusual), Err(Unusual), "{unusual}");
        }
    }

    #[test]
    fn the_row_before_changes_nothing() {
        let rows = [
            r#"{"a": 1, "b": {"c": "x", "d": 2}, "e": null}"#,
            r#"{"a":1,"b":{"c":"x","d":2},"e":null}"#,
            r#"{"a":  1, "b": {"d": 2}, "e": null, "f": []}"#,
            r#"{"b": {}, "a": 1, "": 2, "": 3}"#,
            r#"{"a": }"#,
            r#"{"a": 1, "b": {"c": "x", "d": 2}, "e" null}"#,
            r#"{"a\n": 1}"#,
            r#"{"a"#,
        ];
        #[derive(Default, PartialEq, Debug)]
        struct Keys(Vec<String>);
        impl<'a> Members<'a> for Keys {
            fn member(&mut self, key: &'a str, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
                self.0.push(key.to_owned());
                match scan.peek() {
                    Some(b'{') => scan.object(self),
                    _ => scan.skip(),
                }
            }
        }
        for before in rows {
            for row in rows {
                let mut shape = Shape::default();
                let _ = Scan::whole(before, Some(&mut shape), &mut Keys::default());
                let (mut after, mut alone) = (Keys::default(), Keys::default());
                let read = Scan::whole(row, Some(&mut shape), &mut after);
                assert_eq!(read, Scan::whole(row, None, &mut alone), "{before} then {row}");
                assert_eq!(after, alone, "{before} then {row}");
            }
        }
    }
}
