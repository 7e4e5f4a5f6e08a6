//! Reading JSON that is as plain as Duo's nearly always is.
//!
//! serde_json is thorough and general; half the price of an event was its way through members that nobody asked for. This
//! reader takes what it understands at once and gives up on everything else: whoever calls it then asks serde_json, whose word
//! counts. So it may refuse whatever it likes, but must never accept what serde_json refuses, nor read it otherwise. (The
//! crate's property tests hold what comes of it against a plain look-up in serde_json's values.)
//!
//! Three things make it quick. One look over the row tells where its first escape is; a text before that ends at the next
//! quote. Rows of a log have much the same keys in the same order, so what stands between two values is first compared with
//! what stood there in rows before, and what a key leads to is remembered with it ([`Shape`]). And what nobody wants is
//! often what it was in the row before, and is then passed over as a whole.

use std::ops::Range;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

/// Deeper nesting is left to serde_json, which has a limit of its own at twice this.
const DEEPEST: u32 = 64;

/// Most keys that are remembered, and the longest, with what stands around it, bytes.
const KEYS: usize = 1024;
const KEY_BYTES: usize = 64;
/// Longest value that is remembered, bytes.
const VALUE_BYTES: usize = 1024;

/// Why nothing is returned: something unusual, or no JSON at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusual;

/// What takes the members of an object.
pub(crate) trait Members<'a> {
    /// The value of the member is next in `scan`, and must be read or skipped.
    fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual>;
}

/// A member's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) text: &'a str,
    /// Under which number the shape knows it, or [`NONE`].
    known: u32,
}

/// What a key of an object at `parent` leads to. The meaning is that of whoever reads the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) parent: u32,
    pub(crate) child: Option<u32>,
}

/// What earlier rows looked like. It changes how quickly a row is read, never as what.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    keys: Vec<KnownKey>,
    /// By what stands there.
    numbers: FxHashMap<Box<str>, u32>,
}

/// What stood between two values: a comma unless it is an object's first key, the key, the colon, and white space.
#[derive(Debug)]
struct KnownKey {
    text: [u8; KEY_BYTES],
    length: usize,
    is_first: bool,
    /// Where in it the key itself is.
    key: Range<usize>,
    /// The two that came next most recently.
    next: [u32; 2],
    lead: Option<Lead>,
    /// The value that was last passed over.
    value: String,
}

/// Stands for the beginning of a row, and for no key at all.
const NONE: u32 = u32::MAX;

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scan<'a, 'k> {
    json: &'a str,
    at: usize,
    depth: u32,
    /// Before this there is neither escape nor control character from here on.
    clean_to: usize,
    shape: Option<&'k mut Shape>,
    /// The key before, as the shape knows it.
    last: u32,
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
        Scan {
            json,
            at: 0,
            depth: 0,
            clean_to: first_odd(json.as_bytes(), 0),
            shape,
            last: NONE,
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
            let mut is_first = true;
            loop {
                let key = self.key(is_first)?;
                is_first = false;
                members.member(key, self)?;
                if self.peek() != Some(b',') {
                    self.space();
                    if self.take(b'}') {
                        break;
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A key, with the comma before it if it is not an object's first, and on to its value.
    #[inline(always)]
    fn key(&mut self, is_first: bool) -> Result<Key<'a>, Unusual> {
        let start = self.at;
        if let Some(shape) = &self.shape
            && let Some(ahead) = self.json.as_bytes().get(start..)
            && let Some((number, known)) = shape.expected(self.last, is_first, ahead)
        {
            let text = self.json.get(start + known.key.start..start + known.key.end);
            self.at += known.length;
            self.last = number;
            // More white space than the last time.
            self.space();
            return text.map(|text| Key { text, known: number }).ok_or(Unusual);
        }
        self.unexpected_key(is_first)
    }

    /// A key that is read byte by byte, and remembered.
    #[inline(never)]
    fn unexpected_key(&mut self, is_first: bool) -> Result<Key<'a>, Unusual> {
        let start = self.at;
        if !is_first {
            self.space();
            self.expect(b',')?;
            self.space();
        }
        let quote = self.at;
        let Text::Plain(text) = self.text()? else {
            return Err(Unusual);
        };
        let key = quote + 1 - start..quote + 1 - start + text.len();
        self.space();
        self.expect(b':')?;
        self.space();
        let whole = self.since(start)?;
        let known = self
            .shape
            .as_mut()
            .and_then(|shape| shape.remember(self.last, is_first, whole, key));
        self.last = known.unwrap_or(NONE);
        Ok(Key { text, known: self.last })
    }

    /// What was said of a key the last time it was met in an object at `parent`.
    #[inline]
    pub(crate) fn lead(&self, key: &Key<'_>, parent: u32) -> Option<Lead> {
        let known = self.shape.as_ref()?.keys.get(key.known as usize)?;
        known.lead.filter(|lead| lead.parent == parent)
    }

    fn known(&mut self, key: &Key<'_>) -> Option<&mut KnownKey> {
        self.shape.as_mut()?.keys.get_mut(key.known as usize)
    }

    /// Says what a key leads to.
    pub(crate) fn set_lead(&mut self, key: &Key<'_>, lead: Lead) {
        if let Some(known) = self.known(key) {
            known.lead = Some(lead);
        }
    }

    /// Goes past the value of a key that nobody wants.
    pub(crate) fn skip_value(&mut self, key: &Key<'_>) -> Result<(), Unusual> {
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.skip();
        }
        let start = self.at;
        let before = self.shape.as_ref().and_then(|shape| shape.keys.get(key.known as usize));
        if let Some(before) = before.map(|before| before.value.as_bytes())
            && !before.is_empty()
            && self
                .json
                .as_bytes()
                .get(start..)
                .is_some_and(|rest| rest.starts_with(before))
        {
            self.at += before.len();
            self.look_ahead();
            return Ok(());
        }
        self.skip()?;
        // The keys inside are not what comes before the next one here.
        self.last = key.known;
        let value = self.since(start)?;
        if let Some(known) = self.known(key).filter(|_| value.len() <= VALUE_BYTES) {
            known.value.clear();
            known.value.push_str(value);
        }
        Ok(())
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
        self.run_to_quote();
        if self.at > self.clean_to {
            self.at = start + 1;
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
        self.look_ahead();
        Ok(Text::Escaped(self.since(start)?))
    }

    /// Behind an escape: where is the next one?
    fn look_ahead(&mut self) {
        if self.clean_to < self.at {
            self.clean_to = first_odd(self.json.as_bytes(), self.at);
        }
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
    /// What stands ahead, if it is one of those that came after `last` before.
    #[inline]
    fn expected(&self, last: u32, is_first: bool, ahead: &[u8]) -> Option<(u32, &KnownKey)> {
        let next = match self.keys.get(last as usize) {
            Some(known) => known.next,
            // A row begins as the first row did.
            None => [0, NONE],
        };
        next.into_iter().find_map(|number| {
            let known = self.keys.get(number as usize)?;
            // Whether there must be a comma is not for the text to say.
            (known.is_first == is_first && known.stands(ahead)).then_some((number, known))
        })
    }

    /// Remembers what stands between two values and comes after `last`. None: it is not worth it.
    fn remember(&mut self, last: u32, is_first: bool, whole: &str, key: Range<usize>) -> Option<u32> {
        let number = match self.numbers.get(whole) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.keys.len()).ok().filter(|_| self.keys.len() < KEYS)?;
                let mut text = [0; KEY_BYTES];
                text.get_mut(..whole.len())?.copy_from_slice(whole.as_bytes());
                self.keys.push(KnownKey {
                    text,
                    length: whole.len(),
                    is_first,
                    key,
                    next: [NONE; 2],
                    lead: None,
                    value: String::new(),
                });
                self.numbers.insert(whole.into(), number);
                number
            }
        };
        if let Some(known) = self.keys.get_mut(last as usize)
            && known.next.first() != Some(&number)
        {
            known.next = [number, known.next[0]];
        }
        Some(number)
    }
}

impl KnownKey {
    #[inline]
    fn stands(&self, ahead: &[u8]) -> bool {
        let Some(ahead) = ahead.first_chunk::<KEY_BYTES>() else {
            return self.text.get(..self.length).is_some_and(|text| ahead.starts_with(text));
        };
        let (words, known) = (ahead.as_chunks::<8>().0, self.text.as_chunks::<8>().0);
        let mut left = self.length;
        for (word, known) in words.iter().zip(known) {
            let differs = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*known);
            if left <= 8 {
                return left == 8 && differs == 0 || left < 8 && differs & ((1 << (8 * left)) - 1) == 0;
            }
            if differs != 0 {
                return false;
            }
            left -= 8;
        }
        false
    }
}

/// Where the first escape or control character is, from `from` on; the length if there is none.
fn first_odd(bytes: &[u8], from: usize) -> usize {
    let odd = |byte: &u8| (*byte < 0x20) | (*byte == b'\\');
    let rest = bytes.get(from..).unwrap_or_default();
    let chunks = rest.chunks(128);
    let clean = chunks.take_while(|chunk| !chunk.iter().fold(false, |found, byte| found | odd(byte)));
    let passed = clean.map(<[u8]>::len).sum::<usize>();
    let tail = rest.get(passed..).unwrap_or_default();
    from + passed + tail.iter().position(odd).unwrap_or(tail.len())
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
    fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        scan.skip_value(&key)
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
            r#"{, "a": 1, "b": {"c": "x", "d": 2}}"#,
            r#"{"a": 1"b": {"c": "x", "d": 2}}"#,
            r#"{"a": 1, , "b": {"c": "x", "d": 2}}"#,
            r#"{"a": 1 , "b": {"c": "x" , "d": 2}, }"#,
            r#"{"u": {"c": ["x", {"d": 2}]}, "a": 1, "b": 2, "e": "long enough for words to be compared, and then some"}"#,
            r#"{"u": {"c": ["x", {"d": 2}]}, "a": "\"", "b": 2, "e": "long enough for words to be compared, and then \""}"#,
            r#"{"u": {"c": ["x", {"d": 3}]}, "a": 1, "u": {"c": ["x", {"d": 3}]}, "u": {"c": ["x", {"d": 3}]"#,
            r#"{"u": {"c": ["x", {"d": 3}]}x, "a": 1}"#,
            r#"{"a\n": 1}"#,
            r#"{"a"#,
        ];
        #[derive(Default, PartialEq, Debug)]
        struct Keys(Vec<String>);
        impl<'a> Members<'a> for Keys {
            fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
                self.0.push(key.text.to_owned());
                match scan.peek() {
                    Some(b'{') if key.text != "u" => scan.object(self),
                    _ => scan.skip_value(&key),
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
