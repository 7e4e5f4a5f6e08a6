//! A page: events of one log as columns over one dictionary.

use std::sync::Arc;

use picket_contract::{Column, EventRecord, FieldType, Key, NULL};

use crate::coerce::Cell;
use crate::dictionary::Dictionary;
use crate::identify::{Identity, Problem};
use crate::layout::{ActedReads, FieldTypeOrd, Input, Layout, Read, SubjectReads, Variant};
use crate::normal::{Mapped, Mapping};
use crate::parse::Reader;
use crate::permission::View;
use crate::phone::Mask;
use crate::plan::Enrichment;
use crate::subject::{Acted, about};

/// Events of one log, parsed once for every rule.
#[derive(Debug)]
pub struct Page {
    layout: Arc<Layout>,
    log: Arc<str>,
    duo_log: Arc<str>,
    events: Vec<EventRecord>,
    broken: Vec<bool>,
    pub(crate) dictionary: Dictionary,
    /// One for each of the layout's slots; codes into the page's dictionary.
    pub(crate) columns: Vec<Column>,
}

impl Page {
    pub(crate) fn parse(
        layout: &Arc<Layout>,
        duo_log: &str,
        events: Vec<EventRecord>,
        enrichment: &Enrichment,
    ) -> Self {
        let mut columns = Columns::new(layout, duo_log, events.len());
        for event in &events {
            columns.read(&event.raw, enrichment);
        }
        columns.page(layout, duo_log, events)
    }

    /// The same page with events: one for each row that was read.
    pub(crate) fn with(self, events: Vec<EventRecord>) -> Self {
        Page { events, ..self }
    }

    /// The log as rules name it.
    #[must_use]
    pub fn log(&self) -> &Arc<str> {
        &self.log
    }

    /// Duo's own log that the events come from.
    #[must_use]
    pub fn duo_log(&self) -> &Arc<str> {
        &self.duo_log
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events, one a row.
    #[must_use]
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Whether a row could not be read as an event. Such a row is shown to no rule.
    #[must_use]
    pub fn broken(&self, row: u32) -> bool {
        self.broken.get(row as usize).copied().unwrap_or(true)
    }

    /// How many rows could not be read.
    #[must_use]
    pub fn broken_rows(&self) -> usize {
        self.broken.iter().filter(|broken| **broken).count()
    }

    /// A row's order time, ms since the Unix epoch.
    pub(crate) fn time(&self, row: u32) -> i64 {
        self.events.get(row as usize).map_or(i64::MIN, |event| event.time)
    }

    /// A row's release key.
    #[must_use]
    pub fn key(&self, row: u32) -> Key {
        let event = self.events.get(row as usize);
        event.map_or_else(Key::start, |event| Key {
            time: event.time,
            log: self.log.clone(),
            id: event.id.clone(),
        })
    }

    /// A row's text at a path that the plan reads as text. None: null, or not read.
    #[must_use]
    pub fn text(&self, row: u32, path: &str) -> Option<&str> {
        let views = [View::Masked, View::Clear].into_iter();
        let slot = views
            .filter_map(|view| self.layout.slot(path, FieldType::Text, view))
            .next()?;
        let Column::Text(codes) = self.columns.get(slot)? else {
            return None;
        };
        self.dictionary.text(*codes.get(row as usize)?)
    }

    pub(crate) fn is_of(&self, layout: &Arc<Layout>) -> bool {
        // Another plan that reads the same of this log, as after most changes of a rule, gives the same page.
        Arc::ptr_eq(&self.layout, layout)
            || (self.layout.mask == layout.mask
                && (Arc::ptr_eq(&self.layout.reads, &layout.reads)
                    || (self.layout.reads.log == layout.reads.log && self.layout.reads.slots == layout.reads.slots)))
    }
}

/// A page in the making: rows go in one after the other, and events are put to them when all are read.
pub(crate) struct Columns<'a> {
    filler: Filler<'a>,
    reader: Reader<'a>,
    broken: Vec<bool>,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(layout: &'a Layout, duo_log: &str, rows: usize) -> Self {
        let variant = layout.variant(duo_log);
        Columns {
            filler: Filler::new(layout, variant, rows),
            reader: Reader::new(variant, rows),
            broken: Vec::with_capacity(rows),
        }
    }

    fn read(&mut self, raw: &str, enrichment: &Enrichment) {
        self.broken.push(!self.reader.read(raw));
        self.filler.push(&mut self.reader, enrichment);
    }

    pub(crate) fn read_identified(
        &mut self,
        duo_log: &str,
        raw: &str,
        enrichment: &Enrichment,
    ) -> Result<Identity, Problem> {
        let (identity, whole) = self.reader.read_identified(duo_log, raw);
        self.broken.push(!whole);
        self.filler.push(&mut self.reader, enrichment);
        identity
    }

    /// How many rows were read.
    pub(crate) fn rows(&self) -> usize {
        self.broken.len()
    }

    /// How much text is held, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.reader.dictionary.bytes()
    }

    /// Whether the last row could not be read as an event.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.last().copied().unwrap_or(true)
    }

    pub(crate) fn column(&self, slot: usize) -> Option<&Column> {
        self.filler.columns.get(slot)
    }

    pub(crate) fn text(&self, code: u32) -> Option<&str> {
        self.reader.dictionary.text(code)
    }

    /// The page. `events`: one for each row that was read.
    pub(crate) fn page(self, layout: &Arc<Layout>, duo_log: &str, events: Vec<EventRecord>) -> Page {
        Page {
            layout: layout.clone(),
            log: layout.reads.log.as_str().into(),
            duo_log: duo_log.into(),
            events,
            broken: self.broken,
            dictionary: self.reader.dictionary,
            columns: self.filler.columns,
        }
    }
}

/// Not mapped yet. The dictionary never has so many entries.
const UNMAPPED: u32 = NULL - 1;

/// Turns cells into columns, row by row.
struct Filler<'a> {
    variant: &'a Variant,
    mask: &'a Mask,
    columns: Vec<Column>,
    /// For each mapping, what each code becomes.
    mapped: Vec<Vec<u32>>,
}

impl<'a> Filler<'a> {
    fn new(layout: &'a Layout, variant: &'a Variant, rows: usize) -> Self {
        let columns = layout.reads.slots.iter().map(|slot| match slot.kind {
            FieldTypeOrd::Text => Column::Text(Vec::with_capacity(rows)),
            FieldTypeOrd::S64 => Column::S64 {
                values: Vec::with_capacity(rows),
                valid: Vec::with_capacity(rows),
            },
            FieldTypeOrd::F64 => Column::F64 {
                values: Vec::with_capacity(rows),
                valid: Vec::with_capacity(rows),
            },
            FieldTypeOrd::Bool => Column::Bool(Vec::with_capacity(rows)),
            FieldTypeOrd::Texts => Column::Texts {
                offsets: vec![0],
                codes: Vec::new(),
            },
        });
        Filler {
            variant,
            mask: &layout.mask,
            columns: columns.collect(),
            mapped: vec![Vec::new(); variant.mappings.len()],
        }
    }

    fn push(&mut self, reader: &mut Reader<'_>, enrichment: &Enrichment) {
        let subject = self
            .variant
            .subject
            .as_ref()
            .map(|reads| self.subject(reads, reader, enrichment));
        let (user, key) = subject.unwrap_or((NULL, NULL));
        let mut columns = std::mem::take(&mut self.columns);
        for (column, input) in columns.iter_mut().zip(&self.variant.inputs) {
            match input {
                Input::Read(read) => {
                    let cell = cell(read, &reader.cells);
                    self.push_cell(column, cell, read.mapping, reader);
                }
                Input::SubjectUser => self.push_cell(column, Cell::Text(user), None, reader),
                Input::SubjectKey => self.push_cell(column, Cell::Text(key), None, reader),
            }
        }
        self.columns = columns;
    }

    #[inline]
    fn push_cell(&mut self, column: &mut Column, cell: Cell, mapping: Option<usize>, reader: &mut Reader<'_>) {
        match column {
            Column::Text(codes) => codes.push(self.text(cell, mapping, reader)),
            Column::Texts { offsets, codes } => {
                if let Cell::Array { start, end, .. } = cell {
                    for at in start..end {
                        let code = reader.lists.get(at as usize).copied().unwrap_or(NULL);
                        let code = self.map(code, mapping, &mut reader.dictionary);
                        codes.extend((code != NULL).then_some(code));
                    }
                } else {
                    let code = self.text(cell, mapping, reader);
                    codes.extend((code != NULL).then_some(code));
                }
                offsets.push(codes.len() as u32);
            }
            Column::S64 { values, valid } => {
                let number = cell.whole(self.scalar_text(cell, mapping, reader));
                values.push(number.unwrap_or(0));
                valid.push(u8::from(number.is_some()));
            }
            Column::F64 { values, valid } => {
                let number = cell.float(self.scalar_text(cell, mapping, reader));
                values.push(number.unwrap_or(0.0));
                valid.push(u8::from(number.is_some()));
            }
            Column::Bool(values) => {
                let value = cell.boolean(self.scalar_text(cell, mapping, reader));
                values.push(value.map_or(2, u8::from));
            }
        }
    }

    /// The code of a cell's text, mapped.
    #[inline]
    fn text(&mut self, cell: Cell, mapping: Option<usize>, reader: &mut Reader<'_>) -> u32 {
        if let Cell::Text(code) = cell {
            return self.map(code, mapping, &mut reader.dictionary);
        }
        let (code, mapping) = match cell.canonical() {
            Some(text) => {
                let mapping =
                    mapping.filter(|index| !self.variant.mappings.get(*index).is_some_and(|map| map.is_for_texts()));
                (reader.dictionary.intern(&text), mapping)
            }
            None => (cell.code(), mapping),
        };
        self.map(code, mapping, &mut reader.dictionary)
    }

    /// The text behind a text cell, mapped; for coercion.
    fn scalar_text<'r>(&mut self, cell: Cell, mapping: Option<usize>, reader: &'r mut Reader<'_>) -> Option<&'r str> {
        let Cell::Text(code) = cell else { return None };
        let code = self.map(code, mapping, &mut reader.dictionary);
        reader.dictionary.text(code)
    }

    #[inline]
    fn map(&mut self, code: u32, mapping: Option<usize>, dictionary: &mut Dictionary) -> u32 {
        let Some(index) = mapping.filter(|_| code != NULL) else {
            return code;
        };
        match self.mapped.get(index).and_then(|memo| memo.get(code as usize)) {
            Some(known) if *known != UNMAPPED => *known,
            _ => self.map_anew(code, index, dictionary),
        }
    }

    #[inline(never)]
    fn map_anew(&mut self, code: u32, index: usize, dictionary: &mut Dictionary) -> u32 {
        let (Some(mapping), Some(memo)) = (self.variant.mappings.get(index), self.mapped.get_mut(index)) else {
            return code;
        };
        if memo.len() <= code as usize {
            memo.resize((code as usize + 1).next_power_of_two(), UNMAPPED);
        }
        let mapped = apply(*mapping, code, dictionary, self.mask);
        if let Some(known) = memo.get_mut(code as usize) {
            *known = mapped;
        }
        mapped
    }

    fn subject(&mut self, reads: &SubjectReads, reader: &mut Reader<'_>, enrichment: &Enrichment) -> (u32, u32) {
        match reads {
            SubjectReads::Direct { user, key } => (self.code(user, reader), self.code(key, reader)),
            SubjectReads::Acted(reads) => self.acted(reads, reader, enrichment),
        }
    }

    fn acted(&mut self, reads: &ActedReads, reader: &mut Reader<'_>, enrichment: &Enrichment) -> (u32, u32) {
        let acted = Acted {
            action: self.code(&reads.action, reader),
            target_type: self.code(&reads.target_type, reader),
            target_name: self.code(&reads.target_name, reader),
            target_key: self.code(&reads.target_key, reader),
            details_user: self.code(&reads.details_user, reader),
            details_key: self.code(&reads.details_key, reader),
            actor_type: self.code(&reads.actor_type, reader),
            actor_name: self.code(&reads.actor_name, reader),
            actor_key: self.code(&reads.actor_key, reader),
        };
        about(&acted, &mut reader.dictionary, enrichment)
    }

    fn code(&mut self, read: &Read, reader: &mut Reader<'_>) -> u32 {
        self.text(cell(read, &reader.cells), read.mapping, reader)
    }
}

/// A row's elements in a column of lists.
#[inline]
pub(crate) fn elements<'c>(offsets: &[u32], codes: &'c [u32], row: usize) -> &'c [u32] {
    let bound = |row: usize| offsets.get(row).map_or(0, |offset| *offset as usize);
    codes.get(bound(row)..bound(row + 1)).unwrap_or_default()
}

/// The first cell that holds something.
fn cell(read: &Read, cells: &[Cell]) -> Cell {
    for place in &read.cells {
        match cells.get(place.leaf as usize) {
            Some(cell) if *cell != Cell::Null && (cell.is_scalar() || !place.scalar) => return *cell,
            _ => {}
        }
    }
    Cell::Null
}

fn apply(mapping: Mapping, code: u32, dictionary: &mut Dictionary, mask: &Mask) -> u32 {
    match dictionary
        .text(code)
        .map_or(Mapped::Null, |text| mapping.apply(text, mask))
    {
        Mapped::Same => code,
        Mapped::Null => NULL,
        Mapped::Text(text) => dictionary.intern(&text),
    }
}
