//! One pass over one event's JSON along the trie; what no path leads to is skipped without being built.

use std::borrow::Cow;
use std::fmt;

use rustc_hash::FxHashMap;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use picket_contract::NULL;

use crate::coerce::Cell;
use crate::dictionary::Dictionary;
use crate::identify::{Head, Identity, Problem, Scalar, Told, identify, is_common, placed};
use crate::layout::{Node, Variant};
use crate::memo::Memo;
use crate::repair::repaired;
use crate::scan::{self, Members, Scan, Text, Unusual};
use crate::shape::{Lead, Shape};

/// Longest row that is read as an event, bytes. Duo's are below 20 kB.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// Longest text whose inner JSON is read, bytes.
pub const MAX_EMBEDDED_BYTES: usize = 256 << 10;

/// Reads rows, one after the other, into cells.
pub(crate) struct Reader<'a> {
    nodes: &'a [Node],
    pub(crate) dictionary: Dictionary,
    /// One for each leaf, of the row just read.
    pub(crate) cells: Vec<Cell>,
    /// Codes of the elements of the row's arrays.
    pub(crate) lists: Vec<u32>,
    /// For each node, the row that met it last: a key that comes twice in a row begins anew.
    met: Vec<u32>,
    row: u32,
    shape: Shape,
    memo: Memo,
    /// Texts with escapes, as they stand there, and the code of what each says.
    escaped: FxHashMap<Box<str>, u32>,
}

impl<'a> Reader<'a> {
    /// A reader of about so many rows.
    pub(crate) fn new(variant: &'a Variant, rows: usize) -> Self {
        Reader {
            nodes: &variant.nodes,
            dictionary: Dictionary::of(rows),
            cells: vec![Cell::Null; variant.leaves],
            lists: Vec::new(),
            met: vec![0; variant.nodes.len()],
            row: 0,
            shape: Shape::default(),
            memo: Memo::new(variant.nodes.len()),
            escaped: FxHashMap::default(),
        }
    }

    /// Reads one row. False: it is no event, and all cells are null.
    pub(crate) fn read(&mut self, raw: &str) -> bool {
        let read = raw.len() <= MAX_EVENT_BYTES
            && (self.read_once(raw) || repaired(raw).is_some_and(|repaired| self.read_once(&repaired)));
        if !read {
            self.cells.fill(Cell::Null);
        }
        read
    }

    /// Reads one row and says which event it is, in one pass where the row is as plain as nearly all are. False: it is no
    /// event, and all cells are null.
    pub(crate) fn read_identified(&mut self, log: &str, raw: &str) -> (Result<Identity, Problem>, bool) {
        if raw.len() <= MAX_EVENT_BYTES && is_common(log) {
            self.begin();
            let mut shape = std::mem::take(&mut self.shape);
            let mut row = Row {
                head: Head::default(),
                children: Children { reader: self, node: 0 },
            };
            let read = Scan::whole(raw, Some(&mut shape), &mut row);
            let head = row.head;
            self.shape = shape;
            if read.is_ok() {
                let identity = match placed(log, raw, &head) {
                    // A slip where nobody looks, in a row that is told by all of its content.
                    Err(Problem::NotJson(_)) => identify(log, raw),
                    placed => placed,
                };
                return (identity, true);
            }
        }
        (identify(log, raw), self.read(raw))
    }

    fn begin(&mut self) {
        self.row += 1;
        self.lists.clear();
        self.cells.fill(Cell::Null);
    }

    fn read_once(&mut self, raw: &str) -> bool {
        self.begin();
        let mut shape = std::mem::take(&mut self.shape);
        let read = Scan::whole(raw, Some(&mut shape), &mut Children { reader: self, node: 0 });
        self.shape = shape;
        if read.is_ok() {
            return true;
        }
        self.begin();
        let mut json = serde_json::Deserializer::from_str(raw);
        json.deserialize_map(Place { reader: self, node: 0 })
            .and_then(|()| json.end())
            .is_ok()
    }

    fn node(&self, node: u32) -> Option<&'a Node> {
        self.nodes.get(node as usize)
    }

    fn set(&mut self, node: u32, cell: Cell) {
        let leaf = self.node(node).and_then(|node| node.leaf);
        if let Some(slot) = leaf.and_then(|leaf| self.cells.get_mut(leaf as usize)) {
            *slot = cell;
        }
    }

    /// A key was met: if not for the first time in this row, what it held is forgotten.
    fn enter(&mut self, node: u32) {
        let Some(met) = self.met.get_mut(node as usize) else {
            return;
        };
        if std::mem::replace(met, self.row) == self.row {
            self.forget(node);
        }
    }

    fn forget(&mut self, node: u32) {
        self.set(node, Cell::Null);
        self.forget_children(node);
    }

    fn forget_children(&mut self, node: u32) {
        // Paths are short, so this goes no deeper than they do.
        for child in self.node(node).into_iter().flat_map(Node::children) {
            self.forget(child);
        }
    }

    /// Reads the JSON object inside a text, as far as paths lead into it. Broken: all null.
    fn embedded(&mut self, node: u32, text: &str) {
        let inside = self.node(node).is_some_and(Node::leads_on);
        if !inside || text.len() > MAX_EMBEDDED_BYTES || !text.trim_ascii_start().starts_with('{') {
            return;
        }
        let read = self.embedded_once(node, text)
            || repaired(text).is_some_and(|repaired| {
                self.forget_children(node);
                self.embedded_once(node, &repaired)
            });
        if !read {
            self.forget_children(node);
        }
    }

    fn embedded_once(&mut self, node: u32, text: &str) -> bool {
        if Scan::whole(text, None, &mut Children { reader: self, node }).is_ok() {
            return true;
        }
        self.forget_children(node);
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(Children { reader: self, node })
            .and_then(|()| json.end())
            .is_ok()
    }

    fn intern_json(&mut self, value: &Value) -> u32 {
        self.dictionary.intern(&value.to_string())
    }
}

/// The members of an object at a node.
struct Children<'r, 'a> {
    reader: &'r mut Reader<'a>,
    node: u32,
}

impl<'de> Visitor<'de> for Children<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parent = self.reader.node(self.node);
        while let Some(child) = map.next_key_seed(Key { parent })? {
            match child {
                Some(node) => {
                    self.reader.enter(node);
                    map.next_value_seed(Place {
                        reader: self.reader,
                        node,
                    })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The child that a key leads to.
struct Key<'n> {
    parent: Option<&'n Node>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u32>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<u32>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<u32>, E> {
        Ok(self.parent.and_then(|parent| parent.child(key)))
    }
}

/// The value at a node.
struct Place<'r, 'a> {
    reader: &'r mut Reader<'a>,
    node: u32,
}

impl Place<'_, '_> {
    fn set<E>(self, cell: Cell) -> Result<(), E> {
        self.reader.set(self.node, cell);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.reader.text(self.node, text);
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.set(Cell::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.set(i64::try_from(number).map_or(Cell::Large(number), Cell::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.set(Cell::Float(number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(Cell::Bool(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.set(Cell::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Place { reader, node } = self;
        if !reader.node(node).is_some_and(|node| node.wants_json) {
            return Children { reader, node }.visit_map(map);
        }
        let value = Value::deserialize(MapAccessDeserializer::new(map))?;
        reader.object(node, &value).map_err(Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Place { reader, node } = self;
        if !reader.node(node).is_some_and(|node| node.wants_json) {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let elements = Vec::<Value>::deserialize(SeqAccessDeserializer::new(seq))?;
        reader.list(node, elements);
        Ok(())
    }
}

impl<'a> Members<'a> for Children<'_, '_> {
    #[inline]
    fn member(&mut self, key: scan::Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        let lead = self.lead(&key, scan);
        self.lead_on(lead, &key, scan)
    }
}

/// The members of a row: what tells its identity is read on the way.
struct Row<'h, 'r, 'a> {
    head: Head<'h>,
    children: Children<'r, 'a>,
}

impl<'h> Members<'h> for Row<'h, '_, '_> {
    fn member(&mut self, key: scan::Key<'h>, scan: &mut Scan<'h, '_>) -> Result<(), Unusual> {
        let lead = self.children.lead(&key, scan);
        let Some(told) = lead.head else {
            return self.children.lead_on(lead, &key, scan);
        };
        let place = self.head.place(told);
        // Last come, first served, as in serde_json: a key that comes twice overwrites.
        *place = Scalar::None;
        match scan.peek() {
            Some(b'"') => {
                let text: Cow<'h, str> = match scan.text()? {
                    Text::Plain(text) => text.into(),
                    Text::Escaped(text) => Text::unescaped(text)?.into(),
                };
                if let Some(node) = lead.child {
                    self.children.reader.enter(node);
                    self.children.reader.text(node, &text);
                }
                *place = Scalar::Text(text);
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = scan.whole_number()?;
                if let Some(node) = lead.child {
                    self.children.reader.enter(node);
                    self.children.reader.set(node, Cell::Whole(number));
                }
                *place = Scalar::Number(number);
            }
            _ => return self.children.lead_on(lead, &key, scan),
        }
        Ok(())
    }
}

impl Children<'_, '_> {
    /// What a member's key leads to.
    #[inline]
    fn lead(&self, key: &scan::Key<'_>, scan: &mut Scan<'_, '_>) -> Lead {
        let parent = self.node;
        if let Some(lead) = scan.lead(key, parent) {
            return lead;
        }
        let child = self.reader.node(parent).and_then(|node| node.child(key.text));
        let head = Told::by(key.text).filter(|_| parent == 0);
        let lead = Lead { parent, child, head };
        scan.set_lead(key, lead);
        lead
    }

    /// Reads the member's value, if a path leads there.
    #[inline]
    fn lead_on(&mut self, lead: Lead, key: &scan::Key<'_>, scan: &mut Scan<'_, '_>) -> Result<(), Unusual> {
        let Some(node) = lead.child else {
            return scan.skip_value(key);
        };
        self.reader.enter(node);
        self.reader.value(node, key, scan)
    }
}

impl Reader<'_> {
    /// The value of a member that some path leads to.
    fn value(&mut self, number: u32, key: &scan::Key<'_>, scan: &mut Scan<'_, '_>) -> Result<(), Unusual> {
        let Some(node) = self.node(number) else {
            return scan.skip();
        };
        let cell = match scan.peek() {
            Some(b'"') => {
                match scan.text()? {
                    Text::Plain(text) => self.text(number, text),
                    Text::Escaped(text) if node.leads_on() => self.text(number, &Text::unescaped(text)?),
                    Text::Escaped(text) => {
                        let code = self.intern_escaped(text)?;
                        self.set(number, Cell::Text(code));
                    }
                }
                return Ok(());
            }
            Some(b'{') if node.wants_json => {
                let value: Value = scan.value()?;
                return self.object(number, &value).map_err(|_| Unusual);
            }
            Some(b'{') => {
                return self.again(number, key, scan, |reader, scan| {
                    let node = number;
                    scan.object(&mut Children { reader, node })
                });
            }
            Some(b'[') if node.wants_list && !node.wants_array_json => {
                return self.again(number, key, scan, |reader, scan| reader.texts(number, scan));
            }
            Some(b'[') if node.wants_json => {
                let elements = scan.value()?;
                self.list(number, elements);
                return Ok(());
            }
            Some(b'[') => return scan.skip(),
            Some(b't') => scan.word("true").map(|()| Cell::Bool(true)),
            Some(b'f') => scan.word("false").map(|()| Cell::Bool(false)),
            Some(b'n') => scan.word("null").map(|()| Cell::Null),
            _ => scan.whole_number().map(Cell::Whole),
        };
        self.set(number, cell?);
        Ok(())
    }

    /// An object or list: as it was read when it came before, else as `read` reads it.
    fn again<'j, 'k>(
        &mut self,
        node: u32,
        key: &scan::Key<'_>,
        scan: &mut Scan<'j, 'k>,
        read: impl FnOnce(&mut Self, &mut Scan<'j, 'k>) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        let (row, at) = (scan.json(), scan.place());
        let tag = self.memo.tag(node, row, at);
        let leaves = self.node(node).map_or(&[][..], |node| &node.leaves);
        if let Some(known) = self.memo.find(node, tag, row.get(at..).unwrap_or_default()) {
            let first = self.lists.len() as u32;
            self.lists.extend_from_slice(known.codes);
            for (leaf, cell) in leaves.iter().zip(known.cells) {
                if let Some(slot) = self.cells.get_mut(*leaf as usize) {
                    *slot = match *cell {
                        Cell::Array { json, start, end } => {
                            let (start, end) = (start + first, end + first);
                            Cell::Array { json, start, end }
                        }
                        cell => cell,
                    };
                }
            }
            scan.pass(known.length);
            return Ok(());
        }
        read(self, scan)?;
        scan.leave(key);
        let cells = leaves
            .iter()
            .map(|leaf| self.cells.get(*leaf as usize).copied().unwrap_or(Cell::Null));
        self.memo.remember(node, tag, row, at..scan.place(), cells, &self.lists);
        Ok(())
    }

    fn text(&mut self, node: u32, text: &str) {
        if self.node(node).is_some_and(|node| node.leaf.is_some()) {
            let code = self.dictionary.intern(text);
            self.set(node, Cell::Text(code));
        }
        self.embedded(node, text);
    }

    /// The code of what a text with escapes says; most come again and again.
    fn intern_escaped(&mut self, text: &str) -> Result<u32, Unusual> {
        if let Some(code) = self.escaped.get(text) {
            return Ok(*code);
        }
        let code = self.dictionary.intern(&Text::unescaped(text)?);
        self.escaped.insert(text.into(), code);
        Ok(code)
    }

    fn object(&mut self, node: u32, value: &Value) -> Result<(), serde_json::Error> {
        let json = self.intern_json(value);
        self.set(node, Cell::Object(json));
        value.deserialize_map(Children { reader: self, node })
    }

    /// An array of texts that is wanted element by element alone. One with anything else in it is left to serde_json.
    fn texts(&mut self, node: u32, scan: &mut Scan<'_, '_>) -> Result<(), Unusual> {
        let start = self.lists.len() as u32;
        scan.array(|scan| {
            if scan.peek() == Some(b'n') {
                return scan.word("null");
            }
            let code = match scan.text()? {
                Text::Plain(text) => self.dictionary.intern(text),
                Text::Escaped(text) => self.intern_escaped(text)?,
            };
            self.lists.extend((code != NULL).then_some(code));
            Ok(())
        })?;
        let end = self.lists.len() as u32;
        self.set(node, Cell::Array { json: NULL, start, end });
        Ok(())
    }

    fn list(&mut self, node: u32, elements: Vec<Value>) {
        let start = self.lists.len() as u32;
        if self.node(node).is_some_and(|node| node.wants_list) {
            for element in &elements {
                let code = self.element(element);
                self.lists.extend((code != NULL).then_some(code));
            }
        }
        let end = self.lists.len() as u32;
        let json = match self.node(node) {
            Some(node) if node.wants_array_json => self.intern_json(&Value::Array(elements)),
            _ => NULL,
        };
        self.set(node, Cell::Array { json, start, end });
    }

    /// The text of an array's element.
    fn element(&mut self, element: &Value) -> u32 {
        let cell = match element {
            Value::Null => return NULL,
            Value::String(text) => return self.dictionary.intern(text),
            Value::Array(_) | Value::Object(_) => return self.intern_json(element),
            Value::Bool(value) => Cell::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), _, _) => Cell::Whole(whole),
                (_, Some(large), _) => Cell::Large(large),
                (_, _, float) => Cell::Float(float.unwrap_or(0.0)),
            },
        };
        cell.canonical().map_or(NULL, |text| self.dictionary.intern(&text))
    }
}
