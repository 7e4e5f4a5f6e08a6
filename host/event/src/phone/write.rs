//! A row's text with pseudonyms in place of its phone numbers, and what numbers it may have, in one pass and without a tree.
//!
//! What is written is to the byte what serde_json writes of [`super::masked_row`]'s tree. As elsewhere, what is plain is read
//! here, and whatever is not is left to the tree.

use std::cell::RefCell;

use picket_catalogue::Phone;
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::mask::LEAST;
use super::{Mask, json};
use crate::number::digits;
use crate::scan::{Key, Members, Scan, Text, Unusual};

/// Paths whose meaning is remembered at most, of all logs.
const MOST_PATHS: usize = 4096;

thread_local! {
    /// Rows of a log have much the same paths, and the catalogue is a list.
    static PHONES: RefCell<FxHashMap<String, FxHashMap<String, Phone>>> = RefCell::default();
}

/// The JSON text of [`super::masked_row`].
#[must_use]
pub fn masked_row_text(log: &str, raw: &str, mask: &Mask) -> String {
    let written = Paths::with(log, |paths| {
        let mut writer = Writer {
            mask,
            paths,
            text: String::with_capacity(raw.len()),
        };
        Scan::whole(raw, None, &mut Object::new(&mut writer, 0)).ok()?;
        writer.text.push('}');
        Some(writer.text)
    });
    written.unwrap_or_else(|| json::masked_row(log, raw, mask).to_string())
}

/// The texts of a row in which numbers may stand, those with too few digits for one left out. None: it is not plain.
pub(super) fn suspects(log: &str, raw: &str) -> Option<Vec<String>> {
    Paths::with(log, |paths| {
        let mut search = Search {
            paths,
            path: 0,
            keys: Vec::with_capacity(16),
            found: Vec::new(),
        };
        Scan::whole(raw, None, &mut search).ok()?;
        Some(search.found)
    })
}

/// The path of the value that is next, and what the catalogue says of it.
struct Paths<'p> {
    log: &'p str,
    phones: &'p mut FxHashMap<String, Phone>,
    path: String,
}

impl Paths<'_> {
    fn with<R>(log: &str, take: impl FnOnce(&mut Paths<'_>) -> R) -> R {
        PHONES.with_borrow_mut(|phones| {
            if phones.values().map(FxHashMap::len).sum::<usize>() > MOST_PATHS {
                phones.clear();
            }
            if !phones.contains_key(log) {
                phones.insert(log.to_owned(), FxHashMap::default());
            }
            let (mut none, path) = (FxHashMap::default(), String::new());
            let phones = phones.get_mut(log).unwrap_or(&mut none);
            take(&mut Paths { log, phones, path })
        })
    }

    /// On to a member of the object whose path has this length.
    fn enter(&mut self, object: usize, key: &str) {
        self.path.truncate(object);
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
    }

    fn phone(&mut self) -> Phone {
        if let Some(phone) = self.phones.get(&self.path) {
            return *phone;
        }
        let phone = picket_catalogue::phone(self.log, &self.path);
        self.phones.insert(self.path.clone(), phone);
        phone
    }
}

/// Looks through an object of a row.
struct Search<'s, 'p, 'a> {
    paths: &'s mut Paths<'p>,
    /// How long the object's own path is, bytes.
    path: usize,
    keys: Vec<&'a str>,
    found: Vec<String>,
}

impl<'a> Members<'a> for Search<'_, '_, 'a> {
    fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        // Of a key that comes twice only the last value counts.
        if self.keys.contains(&key.text) {
            return Err(Unusual);
        }
        self.keys.push(key.text);
        self.paths.enter(self.path, key.text);
        if scan.peek() == Some(b'{') {
            let path = self.paths.path.len();
            let mut inner = Search {
                paths: &mut *self.paths,
                path,
                keys: Vec::with_capacity(8),
                found: std::mem::take(&mut self.found),
            };
            scan.object(&mut inner)?;
            self.found = inner.found;
            return Ok(());
        }
        if self.paths.phone() == Phone::Never {
            return scan.skip();
        }
        if scan.peek() == Some(b'"') {
            let text = match scan.text()? {
                Text::Plain(text) if digits(text) < LEAST => return Ok(()),
                Text::Plain(text) => text.to_owned(),
                Text::Escaped(text) => Text::unescaped(text)?,
            };
            json::each_in_text(&text, &mut |text| self.found.push(text.to_owned()));
        } else {
            let value: Value = scan.value()?;
            json::each_text(&value, &mut |text| self.found.push(text.to_owned()));
        }
        Ok(())
    }
}

struct Writer<'w, 'p> {
    mask: &'w Mask,
    paths: &'w mut Paths<'p>,
    text: String,
}

impl Writer<'_, '_> {
    /// A value in which there may be a number, but for an object.
    fn mask(&mut self, phone: Phone, scan: &mut Scan<'_, '_>) -> Result<(), Unusual> {
        if scan.peek() == Some(b'"') {
            let masked = match scan.text()? {
                Text::Plain(text) => self.mask.text(phone, text),
                Text::Escaped(text) => self.mask.text(phone, &Text::unescaped(text)?),
            };
            return self.string(&masked);
        }
        let mut value: Value = scan.value()?;
        json::within(self.mask, phone, &mut value);
        self.text.push_str(&value.to_string());
        Ok(())
    }

    /// A value as it is.
    fn copy(&mut self, scan: &mut Scan<'_, '_>) -> Result<(), Unusual> {
        match scan.peek() {
            Some(b'"') => match scan.text()? {
                Text::Plain(text) => {
                    self.text.push('"');
                    self.text.push_str(text);
                    self.text.push('"');
                }
                Text::Escaped(text) => self.string(&Text::unescaped(text)?)?,
            },
            Some(b'-' | b'0'..=b'9') => {
                let start = scan.place();
                scan.whole_number()?;
                self.text.push_str(scan.json().get(start..scan.place()).ok_or(Unusual)?);
            }
            Some(b't') => {
                scan.word("true")?;
                self.text.push_str("true");
            }
            Some(b'f') => {
                scan.word("false")?;
                self.text.push_str("false");
            }
            Some(b'n') => {
                scan.word("null")?;
                self.text.push_str("null");
            }
            _ => {
                let value: Value = scan.value()?;
                self.text.push_str(&value.to_string());
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Unusual> {
        self.text.push_str(&serde_json::to_string(text).map_err(|_| Unusual)?);
        Ok(())
    }
}

/// The members of an object, the row itself or one in it. Its end is written by whoever has it read.
struct Object<'o, 'w, 'p, 'a> {
    writer: &'o mut Writer<'w, 'p>,
    /// How long the object's own path is, bytes.
    path: usize,
    keys: Vec<&'a str>,
}

impl<'o, 'w, 'p> Object<'o, 'w, 'p, '_> {
    fn new(writer: &'o mut Writer<'w, 'p>, path: usize) -> Self {
        writer.text.push('{');
        Object {
            writer,
            path,
            keys: Vec::with_capacity(16),
        }
    }
}

impl<'a> Members<'a> for Object<'_, '_, '_, 'a> {
    fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        // Of a key that comes twice the tree has the last value, in the first one's place.
        if self.keys.contains(&key.text) {
            return Err(Unusual);
        }
        let is_first = self.keys.is_empty();
        self.keys.push(key.text);
        let writer = &mut *self.writer;
        writer.text.push_str(if is_first { "\"" } else { ",\"" });
        writer.text.push_str(key.text);
        writer.text.push_str("\":");
        writer.paths.enter(self.path, key.text);
        if scan.peek() == Some(b'{') {
            let path = writer.paths.path.len();
            scan.object(&mut Object::new(writer, path))?;
            writer.text.push('}');
            return Ok(());
        }
        match writer.paths.phone() {
            Phone::Never => writer.copy(scan),
            phone => writer.mask(phone, scan),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::phone::masked_row;

    fn assert_like_the_tree(log: &str, raw: &str) {
        let mask = Mask::new(&[7; 32]);
        let expected = masked_row(log, raw, &mask).to_string();
        assert_eq!(masked_row_text(log, raw, &mask), expected, "{raw}");
    }

    #[test]
    fn what_is_written_is_what_the_tree_says() {
        for raw in [
            "",
            "no JSON +15035550142",
            "{}",
            " { } ",
            "[1]",
            r#"{"":{"":"+15035550142"},"phone":15035550142}"#,
            r#"{ "phone" : "+1 503 555 0142", "a" : [ 1 , {"phone": "503-555-0142"} , "x" ], "b": {} }"#,
            r#"{"auth_device":{"name":"503-555-0142","ip":null},"result":"SUCC\u00c9SS \/ \u0001","n":1.50,"m":1e3,"o":-0}"#,
            r#"{"phone":"503-555-0142","phone":"911","x":true,"y":false,"z":null}"#,
            r#"{"access_device":{"ip":"203.0.113.7","location":{"city":"Ann Arbor"}},"access_device":{"ip":"1.2.3.4"}}"#,
            r#"{"target":{"details":"{\"number\":\"+1 503 555 0142\"}"},"txid":"5035550142"}"#,
            r#"{"a":"x"} y"#,
            r#"{"a\u0062":"5035550142"}"#,
            r#"{"isotimestamp":"2026-11-22T07:10:02.114000+00:00","big":123456789012345678901234567890}"#,
        ] {
            for log in ["authentication", "activity", "telephony", "nowhere"] {
                assert_like_the_tree(log, raw);
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(vec![
            "",
            "+15035550142",
            "a\"\\\u{1}ä",
            "call 503-555-0142",
            "911",
            "{\"phone\":\"+15035550142\"}",
        ]);
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let key = prop::sample::select(vec![
                "phone",
                "name",
                "ip",
                "access_device",
                "auth_device",
                "details",
                "x",
                "\u{e4}",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4).prop_map(|members| members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_row_is_written_as_the_tree_says(row in value(), pretty: bool) {
            let raw = if pretty { serde_json::to_string_pretty(&row) } else { serde_json::to_string(&row) };
            let raw = raw.unwrap();
            assert_like_the_tree("authentication", &raw);
            assert_like_the_tree("activity", &json!({"target": row}).to_string());
        }
    }
}
