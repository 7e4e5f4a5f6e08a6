//! Reading JSON that is as plain as Duo's nearly always is.
//!
//! serde_json is thorough and general; half the price of an event was its way through members that nobody asked for. This
//! reader takes what it understands at once and gives up on everything else: whoever calls it then asks serde_json, whose word
//! counts. So it may refuse whatever it likes, but must never accept what serde_json refuses, nor read it otherwise. (The
//! crate's property tests hold what comes of it against a plain look-up in serde_json's values.)
//!
//! Three things make it quick. A text is looked over sixteen bytes at a time for what ends or interrupts it. Rows of a log have much the same keys in the same order, so what stands between two values is first compared with
//! what stood there in rows before, and what a key leads to is remembered with it ([`Shape`]). And what nobody wants is
//! often what it was in the row before, and is then passed over as a whole.

use serde::de::DeserializeOwned;
use wide::u8x16;

use crate::shape::{KnownKey, Lead, NONE, Shape, VALUE_BYTES};

/// Deeper nesting is left to serde_json, which has a limit of its own at twice this.
const DEEPEST: u32 = 64;

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

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scan<'a, 'k> {
    json: &'a str,
    at: usize,
    depth: u32,
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

    /// Where what is next begins.
    #[inline]
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// The whole text.
    #[inline]
    pub(crate) fn json(&self) -> &'a str {
        self.json
    }

    /// Goes past a value of this length that is known to stand there.
    #[inline]
    pub(crate) fn pass(&mut self, length: usize) {
        self.at += length;
    }

    /// The value of this key is done: what keys it had inside is not what comes before the next one.
    #[inline]
    pub(crate) fn leave(&mut self, key: &Key<'_>) {
        self.last = key.known;
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
        self.run();
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

    /// Past the bytes of a text that stand for themselves.
    #[inline]
    fn run(&mut self) {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let (blocks, tail) = rest.as_chunks::<16>();
        for block in blocks {
            let stops = stops(block);
            if stops != 0 {
                self.at += stops.trailing_zeros() as usize;
                return;
            }
            self.at += 16;
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

/// A bit for each byte that ends a text or interrupts it: a quote, a backslash, a control character.
#[inline]
fn stops(block: &[u8; 16]) -> u32 {
    let block = u8x16::from(*block);
    let controls = block.min(u8x16::splat(0x1f)).simd_eq(block);
    (block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\')) | controls).to_bitmask()
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
mod tests;
