//! Reading rows from columns, without allocating for a row.
//!
//! The dictionary of a group is checked once: UTF-8, and every offset a boundary. After that a text of a row is one look-up
//! in a table of slices. A batch that breaks the contract gives an error, never a panic.

use crate::alert::Handle;
use crate::time::Time;

/// What a call is shown, borrowed from whoever holds it.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The rows by source.
    pub groups: Vec<Group<'a>>,
    /// For each row, in release order, the index of its group.
    pub order: &'a [u8],
    /// Every row up to this time (ms) that is not late has been shown.
    pub watermark: i64,
}

/// Rows of one source.
#[derive(Debug)]
pub struct Group<'a> {
    /// Index of the source in the manifest.
    pub source: u32,
    /// Journal numbers.
    pub events: &'a [u64],
    /// Order times, ms.
    pub times: &'a [i64],
    /// 1 where late.
    pub late: &'a [u8],
    /// The texts, one after the other.
    pub dictionary: &'a [u8],
    /// Where each starts, and the end of the last.
    pub offsets: &'a [u32],
    /// In the order of the source's fields.
    pub columns: Vec<Column<'a>>,
}

/// One field of the rows.
#[derive(Debug)]
pub enum Column<'a> {
    /// Codes; one beyond the dictionary is null.
    Text(&'a [u32]),
    /// Values, and 0 where null.
    S64(&'a [i64], &'a [u8]),
    /// Values, and 0 where null.
    F64(&'a [f64], &'a [u8]),
    /// 0 false, 1 true, 2 null.
    Bool(&'a [u8]),
    /// Offsets into codes.
    Texts(&'a [u32], &'a [u32]),
}

/// A group made ready for reading.
#[derive(Debug)]
pub struct Rows<'a> {
    source: u32,
    events: &'a [u64],
    times: &'a [i64],
    late: &'a [u8],
    texts: Vec<&'a str>,
    columns: Vec<Column<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(group: Group<'a>) -> Result<Self, String> {
        let dictionary = std::str::from_utf8(group.dictionary).map_err(|_| "the dictionary is not UTF-8".to_owned())?;
        let mut texts = Vec::with_capacity(group.offsets.len().saturating_sub(1));
        let mut starts = group.offsets.iter();
        if let Some(mut start) = starts.next() {
            for end in starts {
                let text = dictionary
                    .get(*start as usize..*end as usize)
                    .ok_or("an offset is outside the dictionary")?;
                texts.push(text);
                start = end;
            }
        }
        let Group {
            source,
            events,
            times,
            late,
            columns,
            ..
        } = group;
        Ok(Rows {
            source,
            events,
            times,
            late,
            texts,
            columns,
        })
    }

    /// Index of the source in the manifest.
    #[must_use]
    pub fn source(&self) -> u32 {
        self.source
    }

    #[inline]
    pub(crate) fn handle(&self, row: usize) -> Option<(Handle, bool)> {
        let handle = Handle {
            time: Time::from_ms(*self.times.get(row)?),
            event: *self.events.get(row)?,
        };
        Some((handle, self.late.get(row).is_some_and(|late| *late != 0)))
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// How many columns.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// How many texts the dictionary has.
    pub(crate) fn texts(&self) -> usize {
        self.texts.len()
    }

    #[inline]
    pub(crate) fn of_code(&self, code: u32) -> Option<&'a str> {
        self.texts.get(code as usize).copied()
    }

    /// Which texts of the dictionary a column's rows have, from one row on; one beyond it is null. None where it has no texts.
    pub(crate) fn codes(&self, column: usize, from: usize) -> &'a [u32] {
        match self.columns.get(column) {
            Some(Column::Text(codes)) => codes.get(from..).unwrap_or_default(),
            _ => &[],
        }
    }

    #[inline]
    pub(crate) fn text(&self, column: usize, row: usize) -> Option<&'a str> {
        match self.columns.get(column)? {
            Column::Text(codes) => self.of_code(*codes.get(row)?),
            _ => None,
        }
    }
}

/// Something that rows of a log can be read as: derive it.
#[diagnostic::on_unimplemented(message = "`{Self}` is no event: add #[derive(Event)] and #[event(log = \"...\")]")]
pub trait Event<'a>: Sized {
    /// For the manifest.
    const SOURCES: &'static [crate::define::SourceDef];
    /// None: the row is not as the source says.
    fn read(rows: &Rows<'a>, row: usize) -> Option<Self>;
}

/// A type that a field can be read as.
#[diagnostic::on_unimplemented(
    message = "a field cannot be read as `{Self}`",
    note = "use &str, i64, f64, bool (a row without it is not shown), Option of these, or Vec<&str>"
)]
pub trait Field<'a>: Sized {
    /// In the manifest.
    const KIND: &'static str;
    /// Whether a row without it is shown.
    const REQUIRED: bool;
    /// None: the column is not there, or null where that cannot be.
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self>;
}

macro_rules! required {
    ($kind:ty) => {
        impl<'a> Field<'a> for $kind {
            const KIND: &'static str = <Option<$kind> as Field<'a>>::KIND;
            const REQUIRED: bool = true;
            #[inline]
            fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
                <Option<$kind> as Field<'a>>::read(rows, column, row).flatten()
            }
        }
    };
}

required!(&'a str);
required!(i64);
required!(f64);
required!(bool);

impl<'a> Field<'a> for Option<&'a str> {
    const KIND: &'static str = "text";
    const REQUIRED: bool = false;
    #[inline]
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
        Some(rows.text(column, row))
    }
}

impl<'a> Field<'a> for Option<i64> {
    const KIND: &'static str = "s64";
    const REQUIRED: bool = false;
    #[inline]
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
        match rows.columns.get(column)? {
            Column::S64(values, valid) => Some((*valid.get(row)? != 0).then_some(*values.get(row)?)),
            _ => None,
        }
    }
}

impl<'a> Field<'a> for Option<f64> {
    const KIND: &'static str = "f64";
    const REQUIRED: bool = false;
    #[inline]
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
        match rows.columns.get(column)? {
            Column::F64(values, valid) => Some((*valid.get(row)? != 0).then_some(*values.get(row)?)),
            _ => None,
        }
    }
}

impl<'a> Field<'a> for Option<bool> {
    const KIND: &'static str = "bool";
    const REQUIRED: bool = false;
    #[inline]
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
        match rows.columns.get(column)? {
            Column::Bool(values) => Some(match *values.get(row)? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            }),
            _ => None,
        }
    }
}

impl<'a> Field<'a> for Vec<&'a str> {
    const KIND: &'static str = "texts";
    const REQUIRED: bool = false;
    #[inline]
    fn read(rows: &Rows<'a>, column: usize, row: usize) -> Option<Self> {
        match rows.columns.get(column)? {
            Column::Texts(offsets, codes) => {
                let (start, end) = (*offsets.get(row)? as usize, *offsets.get(row.checked_add(1)?)? as usize);
                codes.get(start..end)?.iter().map(|code| rows.of_code(*code)).collect()
            }
            _ => None,
        }
    }
}
