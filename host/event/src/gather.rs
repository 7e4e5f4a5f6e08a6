//! One source's rows as a group: their columns, over a dictionary of their own values only.
//!
//! The group's dictionary has its texts in order of first use, column by column. Rows of one page need no hashing: a table
//! from the page's codes to the group's does. Where rows of several pages meet, a text is hashed once for each page it is
//! used in, so that equal texts get one code and the group does not show how rows were paged.

use picket_contract::{Column, Group, NULL};

use crate::Page;
use crate::dictionary::Dictionary;
use crate::select::RowRef;

/// A row of the group.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) row: &'a RowRef,
    /// Index of its page.
    pub(crate) page: u32,
}

/// The group of one source.
pub(crate) fn gather(
    source: u32,
    slots: impl Iterator<Item = usize>,
    pages: &[&Page],
    members: &[Member<'_>],
) -> Group {
    let one_page = members
        .iter()
        .all(|member| Some(member.page) == members.first().map(|first| first.page));
    let mut recoder = Recoder {
        remaps: vec![Vec::new(); pages.len()],
        texts: if one_page {
            Texts::Apart {
                bytes: Vec::new(),
                offsets: vec![0],
            }
        } else {
            Texts::Joined(Dictionary::new())
        },
    };
    let columns = slots.map(|slot| recoder.column(slot, pages, members)).collect();
    let (dictionary, offsets) = match recoder.texts {
        Texts::Apart { bytes, offsets } => (bytes, offsets),
        Texts::Joined(dictionary) => dictionary.into_parts(),
    };
    Group {
        source,
        events: members.iter().map(|member| member.row.seq).collect(),
        times: members
            .iter()
            .map(|member| member.row.page.time(member.row.row))
            .collect(),
        late: members.iter().map(|member| u8::from(member.row.late)).collect(),
        dictionary,
        offsets,
        columns,
    }
}

/// From pages' codes to the group's.
struct Recoder {
    /// For each page, for each of its codes, the group's; [`NULL`] where it has none yet.
    remaps: Vec<Vec<u32>>,
    texts: Texts,
}

enum Texts {
    /// All of one page: distinct codes are distinct texts.
    Apart { bytes: Vec<u8>, offsets: Vec<u32> },
    /// Of several pages.
    Joined(Dictionary),
}

impl Recoder {
    fn code(&mut self, index: u32, page: &Page, code: u32) -> u32 {
        if code == NULL {
            return NULL;
        }
        let Some(remap) = self.remaps.get_mut(index as usize) else {
            return NULL;
        };
        if remap.is_empty() {
            remap.resize(page.dictionary.len(), NULL);
        }
        let Some(mapped) = remap.get_mut(code as usize) else {
            return NULL;
        };
        if *mapped == NULL {
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

    fn column(&mut self, slot: usize, pages: &[&Page], members: &[Member<'_>]) -> Column {
        let cells = members.iter().filter_map(|member| {
            let page = pages.get(member.page as usize).copied()?;
            Some(Cell {
                index: member.page,
                page,
                column: page.columns.get(slot)?,
                at: member.row.row as usize,
            })
        });
        // All pages are of one plan and log, so a column has one type; the first member's page tells which.
        match cells.clone().next().map(|cell| cell.column) {
            Some(Column::S64 { .. }) => {
                let (values, valid) = cells.map(Cell::whole).unzip();
                Column::S64 { values, valid }
            }
            Some(Column::F64 { .. }) => {
                let (values, valid) = cells.map(Cell::float).unzip();
                Column::F64 { values, valid }
            }
            Some(Column::Bool(_)) => Column::Bool(cells.map(Cell::boolean).collect()),
            Some(Column::Texts { .. }) => {
                let (mut offsets, mut codes) = (vec![0], Vec::new());
                for cell in cells {
                    codes.extend(cell.codes().iter().map(|code| self.code(cell.index, cell.page, *code)));
                    offsets.push(codes.len() as u32);
                }
                Column::Texts { offsets, codes }
            }
            Some(Column::Text(_)) | None => Column::Text(
                cells
                    .map(|cell| self.code(cell.index, cell.page, cell.code()))
                    .collect(),
            ),
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
