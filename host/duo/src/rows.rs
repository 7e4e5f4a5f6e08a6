//! Where the rows of an answer begin and end.
//!
//! Nearly all of an answer is rows, and nobody here reads them: it is enough to know where each ends. That is told by the
//! brackets outside texts, and those are found sixteen bytes at a time. What stands round the rows is left to serde_json.
//! (serde_json finds the rows too, but byte by byte: this is six times as quick.)
//!
//! A row whose brackets are balanced is passed on whatever is between them, as is any other odd row: whoever reads it says
//! what is wrong with it, and it spoils no page.

use std::ops::Range;

use wide::u8x16;

/// How deep the rows' list lies: in the object `response` in the answer's object.
const LIST_DEPTH: u32 = 2;

/// A list in an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    /// From behind its `[` to its `]`.
    pub(crate) span: Range<usize>,
    /// Its elements, each an object.
    pub(crate) rows: Vec<Range<usize>>,
}

/// The list of objects that is the value of the key `name` in an object in the object `body`. None: there is none, or
/// something else is in it, and somebody has to look closer.
pub(crate) fn find(body: &str, name: &str) -> Option<List> {
    let mut finder = Finder {
        body,
        name,
        depth: 0,
        list: None,
        row: 0,
        rows: Vec::new(),
    };
    let mut text = Texts::default();
    let (blocks, tail) = body.as_bytes().as_chunks::<64>();
    let mut last = [b' '; 64];
    last.get_mut(..tail.len())?.copy_from_slice(tail);
    for (number, block) in blocks.iter().chain([&last]).enumerate() {
        let found = Found::of(block);
        let outside = !text.inside(found.quotes, found.slashes);
        let (opens, closes) = (found.opens & outside, found.closes & outside);
        let mut both = opens | closes;
        while both != 0 {
            let lowest = both & both.wrapping_neg();
            both ^= lowest;
            let at = number * 64 + lowest.trailing_zeros() as usize;
            if opens & lowest != 0 {
                finder.open(at)?;
            } else if finder.close(at)? {
                return finder.list();
            }
        }
    }
    None
}

/// Where in 64 bytes what stands, a bit for each.
struct Found {
    quotes: u64,
    slashes: u64,
    opens: u64,
    closes: u64,
}

impl Found {
    #[inline]
    fn of(block: &[u8; 64]) -> Self {
        let parts = block.as_chunks::<16>().0;
        let mut found = Found {
            quotes: 0,
            slashes: 0,
            opens: 0,
            closes: 0,
        };
        for (number, part) in parts.iter().enumerate() {
            let part = u8x16::new(*part);
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (16 * number);
            let is = |byte: u8| part.simd_eq(u8x16::splat(byte));
            // `[` and `{` differ in one bit, as do `]` and `}`, and as no other two of these do.
            let folded = part | u8x16::splat(0x20);
            found.quotes |= bits(is(b'"'));
            found.slashes |= bits(is(b'\\'));
            found.opens |= bits(folded.simd_eq(u8x16::splat(b'{')));
            found.closes |= bits(folded.simd_eq(u8x16::splat(b'}')));
        }
        found
    }
}

/// What is inside texts, from block to block.
#[derive(Default)]
struct Texts {
    /// All bits: the block before ended inside a text.
    inside: u64,
    /// 1: it ended with a backslash that is itself not escaped.
    escapes: u64,
}

impl Texts {
    /// The bytes of a block that are inside a text, its first quote included.
    #[inline]
    fn inside(&mut self, quotes: u64, slashes: u64) -> u64 {
        let quotes = quotes & !self.escaped(slashes);
        // Each bit is whether the number of quotes up to it is odd.
        let mut inside = quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << distance;
        }
        inside ^= self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        inside
    }

    /// The bytes that a backslash before them takes the meaning from.
    #[inline]
    fn escaped(&mut self, slashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escapes);
        let mut left = slashes & !escaped;
        while left != 0 {
            let lowest = left & left.wrapping_neg();
            let next = lowest << 1;
            escaped |= next;
            // The last byte's backslash escapes the next block's first.
            self.escapes = u64::from(next == 0);
            left &= !(lowest | next);
        }
        escaped
    }
}

struct Finder<'a> {
    body: &'a str,
    name: &'a str,
    depth: u32,
    /// Where the list begins, if it has.
    list: Option<usize>,
    /// Where the row begins.
    row: usize,
    rows: Vec<Range<usize>>,
}

impl Finder<'_> {
    /// A bracket opens. None: nothing that is understood here.
    #[inline]
    fn open(&mut self, at: usize) -> Option<()> {
        match (self.depth, self.list) {
            (depth, Some(_)) if depth == LIST_DEPTH + 1 => {
                // Between rows there is a comma; before the first, nothing.
                let before = self.rows.last().map_or(self.list, |row| Some(row.end))?;
                let gap = self.body.get(before..at)?.trim_ascii();
                let expected = if self.rows.is_empty() { "" } else { "," };
                if gap != expected || self.body.as_bytes().get(at) != Some(&b'{') {
                    return None;
                }
                self.row = at;
            }
            (LIST_DEPTH, None) if self.is_named(at) => {
                self.list = Some(at + 1);
                self.rows.reserve(1000);
            }
            _ => {}
        }
        self.depth += 1;
        Some(())
    }

    /// A bracket closes. True: that is the end of the list.
    #[inline]
    fn close(&mut self, at: usize) -> Option<bool> {
        self.depth = self.depth.checked_sub(1)?;
        if self.list.is_none() {
            return Some(false);
        }
        if self.depth == LIST_DEPTH + 1 {
            self.rows.push(self.row..at + 1);
        }
        Some(self.depth == LIST_DEPTH)
    }

    /// Whether a list opens here, as the value of the key.
    fn is_named(&self, at: usize) -> bool {
        let key = || {
            let before = self.body.get(..at)?.trim_ascii_end().strip_suffix(':')?;
            before.trim_ascii_end().strip_suffix('"')?.strip_suffix(self.name)
        };
        self.body.as_bytes().get(at) == Some(&b'[') && key().is_some_and(|before| before.ends_with('"'))
    }

    fn list(self) -> Option<List> {
        let begin = self.list?;
        let behind = self.rows.last().map_or(begin, |row| row.end);
        let rest = self.body.get(behind..)?.trim_ascii_start();
        // Behind the last row nothing but the bracket: a number or a word there would be a row, too.
        let end = self.body.len() - rest.len();
        rest.starts_with(']').then_some(List {
            span: begin..end,
            rows: self.rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn found(body: &str) -> Option<Vec<&str>> {
        let list = find(body, "items")?;
        let rows: Vec<&str> = list.rows.iter().map(|row| &body[row.clone()]).collect();
        // What is cut out is the whole list.
        if serde_json::from_str::<&RawValue>(body).is_ok() {
            let list = format!("[{}]", &body[list.span]);
            let parsed: Vec<&RawValue> = serde_json::from_str(&list).unwrap();
            assert!(parsed.iter().map(|row| row.get()).eq(rows.iter().copied()), "{body}");
        }
        Some(rows)
    }

    #[test]
    fn rows_are_found_wherever_their_list_stands() {
        for body in [
            r#"{"stat":"OK","response":{"items":[{"a":1},{"b":[2,{}]}],"metadata":{}}}"#,
            r#"{"response":{"metadata":{"items":[{"x":1}]},"other":[{}], "items" : [ {"a":1} , {"b":[2,{}]} ] }, "stat":"OK"}"#,
        ] {
            assert_eq!(found(body).unwrap(), [r#"{"a":1}"#, r#"{"b":[2,{}]}"#], "{body}");
        }
        assert_eq!(found(r#"{"response":{"items":[ ]}}"#).unwrap(), [""; 0]);
        let text = r#"{"s":"]}\\","t":"\"}{[\\\"","é":"}"}"#;
        let body = format!(r#"{{"response":{{"items":[{text},{text}]}}}}"#);
        assert_eq!(found(&body).unwrap(), [text, text]);
    }

    #[test]
    fn what_is_odd_is_left_to_others() {
        for body in [
            "",
            "[",
            "]",
            "{}",
            r#"{"items":[{}]}"#,
            r#"{"response":{"items":{}}}"#,
            r#"{"response":{"items":null}}"#,
            r#"{"response":{"items":[1]}}"#,
            r#"{"response":{"items":[{},null]}}"#,
            r#"{"response":{"items":[null,{}]}}"#,
            r#"{"response":{"items":[{} {}]}}"#,
            r#"{"response":{"items":[{},,{}]}}"#,
            r#"{"response":{"items":[{},]}}"#,
            r#"{"response":{"items":[[]]}}"#,
            r#"{"response":{"items":[{}"#,
            r#"{"response":{"items":[{"a":"}]}}"#,
            r#"{"response":{"xitems":[{}]}}"#,
        ] {
            assert_eq!(found(body), None, "{body}");
        }
    }

    /// Texts that quotes, brackets and backslashes of every number make hard to read.
    fn hard() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!["\\", "\"", "{", "}", "[", "]", "a", ",", "é"]),
            0..90,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn rows_are_those_that_serde_json_finds(
            rows in prop::collection::vec((hard(), hard(), 0..70_usize), 0..12),
            gap in 0..70_usize,
        ) {
            let row = |(key, text, spaces): &(String, String, usize)| {
                let mut object = serde_json::Map::new();
                object.insert(key.clone(), serde_json::json!([text, {}]));
                format!("{}{}", serde_json::Value::from(object), " ".repeat(*spaces))
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            let body = format!(r#"{{"response":{{"{}":0,"items":[{}]}}}}"#, "x".repeat(gap), rows.join(","));
            let trimmed: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
            prop_assert_eq!(found(&body), Some(trimmed));
        }

        #[test]
        fn anything_is_read_without_harm(text in hard()) {
            let _ = found(&text);
            let _ = found(&format!(r#"{{"response":{{"items":[{text}]}}}}"#));
        }
    }
}
