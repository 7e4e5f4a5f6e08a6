//! One source's rows as a group: their columns, over a dictionary of their own values only.
//!
//! The group's dictionary has its texts in order of first use, column by column. A table from the page's codes to the group's
//! does that, which all rules that are offered the page use one after the other. Where rows of several pages meet, equal texts
//! get one code all the same, so that the group does not show how rows were paged: then codes are of a dictionary that is joint
//! to all pages offered. A text is hashed for it once, by the first rule that reads it.

use std::cell::RefCell;

use picket_contract::{Column, Group, NULL};

use crate::Page;
use crate::dictionary::Dictionary;
use crate::offer::Offer;
use crate::page::elements;
use crate::select::Taken;

/// The group of one source.
pub(crate) fn gather(source: u32, slots: &[usize], offer: &Offer<'_>, members: &[Taken]) -> Group {
    let first = members.first().map(|first| first.page);
    let one_page = members.iter().all(|member| Some(member.page) == first);
    let mut tables = offer.recoding.tables.borrow_mut();
    let mut recoder = Recoder {
        offer,
        tables: &mut tables,
        one_page,
        bytes: Vec::with_capacity(16 * members.len()),
        offsets: Vec::with_capacity(members.len() + 1),
    };
    recoder.begin();
    let columns = slots.iter().map(|slot| recoder.column(*slot, members)).collect();
    let (mut events, mut times, mut late) = (room(members), room(members), room(members));
    for row in members
        .iter()
        .filter_map(|member| offer.rows.get(member.position as usize))
    {
        events.push(row.seq);
        times.push(row.time());
        late.push(u8::from(row.late));
    }
    let Recoder { bytes, offsets, .. } = recoder;
    Group {
        source,
        events,
        times,
        late,
        dictionary: bytes,
        offsets,
        columns,
    }
}

/// A value for each member.
fn room<T>(members: &[Taken]) -> Vec<T> {
    Vec::with_capacity(members.len())
}

/// How codes become a group's, for all pages that are offered. Groups are made one after the other.
#[derive(Debug)]
pub(crate) struct Recoding {
    tables: RefCell<Tables>,
}

#[derive(Debug)]
struct Tables {
    /// For each page.
    pages: Vec<Table>,
    /// All pages' texts that groups of several pages have used. None: there has been no such group.
    joint: Option<Dictionary>,
    /// For each page and each of its codes, the joint one.
    joined: Vec<Vec<u32>>,
    /// From joint codes.
    of_joint: Table,
    group: u32,
}

impl Recoding {
    pub(crate) fn new(pages: usize) -> Self {
        Recoding {
            tables: RefCell::new(Tables {
                pages: std::iter::repeat_with(Table::default).take(pages).collect(),
                joint: None,
                joined: vec![Vec::new(); pages],
                of_joint: Table::default(),
                group: 0,
            }),
        }
    }
}

/// From codes of a dictionary to a group's: for each of them, in which group it was last used, and as what.
#[derive(Debug, Default)]
struct Table {
    used: Vec<(u32, u32)>,
}

/// No joint code yet. No dictionary has so many texts.
const UNSET: u32 = NULL - 1;

/// Makes the columns of one group.
struct Recoder<'a, 'o> {
    offer: &'a Offer<'o>,
    tables: &'a mut Tables,
    /// All rows are of one page: distinct codes are distinct texts.
    one_page: bool,
    /// The group's dictionary.
    bytes: Vec<u8>,
    offsets: Vec<u32>,
}

impl Recoder<'_, '_> {
    /// Another group.
    fn begin(&mut self) {
        self.offsets.push(0);
        self.tables.group = self.tables.group.wrapping_add(1);
        if self.tables.group == 0 {
            let tables = self.tables.pages.iter_mut().chain([&mut self.tables.of_joint]);
            tables.for_each(|table| table.used.clear());
            self.tables.group = 1;
        }
    }

    fn column(&mut self, slot: usize, members: &[Taken]) -> Column {
        // Rows of one page mostly stand together. All pages are of one plan and log, so a column has one type; that of the first
        // member's page tells which.
        let segments = &self.offer.segments;
        let runs = members.chunk_by(|one, other| one.page == other.page);
        let runs = runs.filter_map(|run| {
            let page = &*segments.get(run.first()?.page as usize)?.page;
            Some((run, page, page.columns.get(slot)?))
        });
        match runs.clone().next().map(|(_, _, column)| column) {
            Some(Column::S64 { .. }) => {
                let (mut values, mut valid) = (room(members), room(members));
                for (run, _, column) in runs {
                    if let Column::S64 { values: own, valid: is } = column {
                        values.extend(picked(own, run, 0));
                        valid.extend(picked(is, run, 0));
                    }
                }
                Column::S64 { values, valid }
            }
            Some(Column::F64 { .. }) => {
                let (mut values, mut valid) = (room(members), room(members));
                for (run, _, column) in runs {
                    if let Column::F64 { values: own, valid: is } = column {
                        values.extend(picked(own, run, 0.0));
                        valid.extend(picked(is, run, 0));
                    }
                }
                Column::F64 { values, valid }
            }
            Some(Column::Bool(_)) => {
                let mut values = room(members);
                for (run, _, column) in runs {
                    if let Column::Bool(own) = column {
                        values.extend(picked(own, run, 2));
                    }
                }
                Column::Bool(values)
            }
            Some(Column::Texts { .. }) => {
                let (mut offsets, mut codes) = (Vec::with_capacity(members.len() + 1), room(members));
                offsets.push(0);
                for (run, page, column) in runs {
                    let Column::Texts {
                        offsets: bounds,
                        codes: own,
                    } = column
                    else {
                        continue;
                    };
                    for member in run {
                        let own = elements(bounds, own, member.at as usize);
                        self.recode(page, member.page, own.iter().copied(), &mut codes);
                        offsets.push(codes.len() as u32);
                    }
                }
                Column::Texts { offsets, codes }
            }
            Some(Column::Text(_)) | None => {
                let mut codes = room(members);
                for (run, page, column) in runs {
                    if let (Column::Text(own), Some(first)) = (column, run.first()) {
                        self.recode(page, first.page, picked(own, run, NULL), &mut codes);
                    }
                }
                Column::Text(codes)
            }
        }
    }

    /// Codes of a page, as the group's.
    fn recode(&mut self, page: &Page, index: u32, codes: impl Iterator<Item = u32>, recoded: &mut Vec<u32>) {
        let (index, group) = (index as usize, self.tables.group);
        let mut texts = Texts {
            bytes: &mut self.bytes,
            offsets: &mut self.offsets,
        };
        if self.one_page {
            let Some(table) = self.tables.pages.get_mut(index) else {
                return;
            };
            let used = table.of(page.dictionary.len());
            recoded.extend(codes.map(|code| texts.code(used, group, code, &page.dictionary)));
            return;
        }
        let Tables {
            joint,
            of_joint,
            joined,
            ..
        } = &mut *self.tables;
        let joint = joint.get_or_insert_with(|| Dictionary::of(self.offer.rows.len()));
        let Some(joined) = joined.get_mut(index) else { return };
        joined.resize(page.dictionary.len(), UNSET);
        recoded.extend(codes.map(|code| {
            let Some(known) = joined.get_mut(code as usize) else {
                return NULL;
            };
            if *known == UNSET {
                *known = joint.intern(page.dictionary.text(code).unwrap_or_default());
            }
            texts.code(of_joint.of(joint.len()), group, *known, joint)
        }));
    }
}

impl Table {
    /// One place for each code of a dictionary that has so many, or more.
    #[inline]
    fn of(&mut self, codes: usize) -> &mut [(u32, u32)] {
        if self.used.len() < codes {
            self.used.resize(codes.next_power_of_two(), (0, NULL));
        }
        &mut self.used
    }
}

/// A group's dictionary in the making.
struct Texts<'a> {
    bytes: &'a mut Vec<u8>,
    offsets: &'a mut Vec<u32>,
}

impl Texts<'_> {
    /// The code in the group of what has this code in a dictionary; `used` is the dictionary's table.
    #[inline]
    fn code(&mut self, used: &mut [(u32, u32)], group: u32, code: u32, dictionary: &Dictionary) -> u32 {
        match used.get_mut(code as usize) {
            Some(used) if used.0 == group => used.1,
            Some(used) => {
                let text = dictionary.text(code).unwrap_or_default();
                self.bytes.extend_from_slice(text.as_bytes());
                self.offsets.push(self.bytes.len() as u32);
                *used = (group, self.offsets.len() as u32 - 2);
                used.1
            }
            // Null is beyond any dictionary.
            None => NULL,
        }
    }
}

/// The members' values in a column of their page.
fn picked<T: Copy>(column: &[T], members: &[Taken], absent: T) -> impl Iterator<Item = T> {
    let value = move |member: &Taken| column.get(member.at as usize).copied().unwrap_or(absent);
    members.iter().map(value)
}
