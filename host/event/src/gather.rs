//! One source's rows as a group: their columns, over a dictionary of their own values only.
//!
//! The group's dictionary has its texts in order of first use, column by column. Rows of one page need no hashing: a table
//! from the page's codes to the group's does, which all rules that are offered the page use one after the other. Where rows of
//! several pages meet, a text is hashed once for each page it is used in, so that equal texts get one code and the group does
//! not show how rows were paged.

use std::cell::RefCell;

use picket_contract::{Column, Group, NULL};

use crate::Page;
use crate::dictionary::Dictionary;
use crate::select::{Offer, Taken};

/// The group of one source.
pub(crate) fn gather(source: u32, slots: &[usize], offer: &Offer<'_>, members: &[Taken]) -> Group {
    let first = members.first().map(|first| first.page);
    let one_page = members.iter().all(|member| Some(member.page) == first);
    let mut tables = offer.recoding.tables.borrow_mut();
    for table in tables.iter_mut() {
        table.begin();
    }
    let mut recoder = Recoder {
        offer,
        tables: &mut tables,
        texts: if one_page {
            Texts::Apart {
                bytes: Vec::with_capacity(16 * members.len()),
                offsets: {
                    let mut offsets = Vec::with_capacity(members.len() + 1);
                    offsets.push(0);
                    offsets
                },
            }
        } else {
            Texts::Joined(Dictionary::new())
        },
    };
    let columns = slots.iter().map(|slot| recoder.column(*slot, members)).collect();
    let (mut events, mut times, mut late) = (room(members), room(members), room(members));
    for row in members
        .iter()
        .filter_map(|member| offer.rows.get(member.position as usize))
    {
        events.push(row.seq);
        times.push(row.page.time(row.row));
        late.push(u8::from(row.late));
    }
    let (dictionary, offsets) = match recoder.texts {
        Texts::Apart { bytes, offsets } => (bytes, offsets),
        Texts::Joined(dictionary) => dictionary.into_parts(),
    };
    Group {
        source,
        events,
        times,
        late,
        dictionary,
        offsets,
        columns,
    }
}

/// A value for each member.
fn room<T>(members: &[Taken]) -> Vec<T> {
    Vec::with_capacity(members.len())
}

/// For each page that is offered, its table. Groups are made one after the other.
#[derive(Debug)]
pub(crate) struct Recoding {
    tables: RefCell<Vec<Table>>,
}

impl Recoding {
    pub(crate) fn new(pages: usize) -> Self {
        Recoding {
            tables: RefCell::new(std::iter::repeat_with(Table::default).take(pages).collect()),
        }
    }
}

/// From a page's codes to a group's.
#[derive(Debug, Default)]
struct Table {
    /// For each code of the page, in which group it was last used, and as what.
    used: Vec<(u32, u32)>,
    group: u32,
}

impl Table {
    /// Another group.
    fn begin(&mut self) {
        self.group = self.group.wrapping_add(1);
        if self.group == 0 {
            self.used.fill((0, NULL));
            self.group = 1;
        }
    }
}

/// Makes the columns of one group.
struct Recoder<'a, 'o> {
    offer: &'a Offer<'o>,
    tables: &'a mut [Table],
    texts: Texts,
}

enum Texts {
    /// All of one page: distinct codes are distinct texts.
    Apart { bytes: Vec<u8>, offsets: Vec<u32> },
    /// Of several pages.
    Joined(Dictionary),
}

impl Recoder<'_, '_> {
    fn code(&mut self, index: u32, page: &Page, code: u32) -> u32 {
        if code == NULL {
            return NULL;
        }
        let Some(table) = self.tables.get_mut(index as usize) else {
            return NULL;
        };
        if table.used.is_empty() {
            table.used.resize(page.dictionary.len(), (0, NULL));
        }
        let Some((group, mapped)) = table.used.get_mut(code as usize) else {
            return NULL;
        };
        if *group != table.group {
            *group = table.group;
            let text = page.dictionary.text(code).unwrap_or("");
            *mapped = match &mut self.texts {
                Texts::Apart { bytes, offsets } => {
                    bytes.extend_from_slice(text.as_bytes());
                    offsets.push(bytes.len() as u32);
                    offsets.len() as u32 - 2
                }
                Texts::Joined(dictionary) => dictionary.intern(text),
            };
        }
        *mapped
    }

    fn column(&mut self, slot: usize, members: &[Taken]) -> Column {
        let segments = &self.offer.segments;
        let cells = members.iter().filter_map(|member| {
            let page = &*segments.get(member.page as usize)?.page;
            Some(Cell {
                index: member.page,
                page,
                column: page.columns.get(slot)?,
                at: member.at as usize,
            })
        });
        // All pages are of one plan and log, so a column has one type; the first member's page tells which.
        match cells.clone().next().map(|cell| cell.column) {
            Some(Column::S64 { .. }) => {
                let (mut values, mut valid) = (room(members), room(members));
                for (value, is_valid) in cells.map(Cell::whole) {
                    values.push(value);
                    valid.push(is_valid);
                }
                Column::S64 { values, valid }
            }
            Some(Column::F64 { .. }) => {
                let (values, valid) = cells.map(Cell::float).unzip();
                Column::F64 { values, valid }
            }
            Some(Column::Bool(_)) => {
                let mut values = room(members);
                values.extend(cells.map(Cell::boolean));
                Column::Bool(values)
            }
            Some(Column::Texts { .. }) => {
                let (mut offsets, mut codes) = (Vec::with_capacity(members.len() + 1), room(members));
                offsets.push(0);
                for cell in cells {
                    codes.extend(cell.codes().iter().map(|code| self.code(cell.index, cell.page, *code)));
                    offsets.push(codes.len() as u32);
                }
                Column::Texts { offsets, codes }
            }
            Some(Column::Text(_)) | None => {
                let mut codes = room(members);
                codes.extend(cells.map(|cell| self.code(cell.index, cell.page, cell.code())));
                Column::Text(codes)
            }
        }
    }
}

/// A member's value in one column of its page.
#[derive(Clone, Copy)]
struct Cell<'a> {
    index: u32,
    page: &'a Page,
    column: &'a Column,
    at: usize,
}

impl<'a> Cell<'a> {
    fn code(self) -> u32 {
        match self.column {
            Column::Text(codes) => codes.get(self.at).copied().unwrap_or(NULL),
            _ => NULL,
        }
    }

    fn codes(self) -> &'a [u32] {
        let Column::Texts { offsets, codes } = self.column else {
            return &[];
        };
        let bound = |at: usize| offsets.get(at).map_or(0, |offset| *offset as usize);
        codes.get(bound(self.at)..bound(self.at + 1)).unwrap_or(&[])
    }

    fn whole(self) -> (i64, u8) {
        let Column::S64 { values, valid } = self.column else {
            return (0, 0);
        };
        values
            .get(self.at)
            .copied()
            .zip(valid.get(self.at).copied())
            .unwrap_or((0, 0))
    }

    fn float(self) -> (f64, u8) {
        let Column::F64 { values, valid } = self.column else {
            return (0.0, 0);
        };
        values
            .get(self.at)
            .copied()
            .zip(valid.get(self.at).copied())
            .unwrap_or((0.0, 0))
    }

    fn boolean(self) -> u8 {
        let Column::Bool(values) = self.column else { return 2 };
        values.get(self.at).copied().unwrap_or(2)
    }
}
