//! What a rule is shown: columns, not objects.
//!
//! A batch holds one [`Group`] for each of the rule's sources that has rows in it, and the order between them. All text
//! columns of a group share one dictionary (one byte buffer, offsets, codes: Arrow's layout), which holds only the values of
//! the selected rows, in order of first use. So a call costs a handful of copies, however wide the rule.

/// The code of a text that is null.
pub const NULL: u32 = u32::MAX;

/// Rows of one rule, in release order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The rows by source. A source without rows has no group.
    pub groups: Vec<Group>,
    /// For each row, in release order, the index in `groups` it comes from. Rows of one group come in the group's order.
    pub order: Vec<u8>,
    /// Every row up to this time (ms since the Unix epoch) that is not late has been shown.
    pub watermark: i64,
}

/// Rows of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Index of the source in the rule's manifest.
    pub source: u32,
    /// For each row: its number in the tenant's journal, opaque to the rule.
    pub events: Vec<u64>,
    /// For each row: its order time, ms since the Unix epoch.
    pub times: Vec<i64>,
    /// For each row: 1 if it is late.
    pub late: Vec<u8>,
    /// The texts, UTF-8, one after the other.
    pub dictionary: Vec<u8>,
    /// Where each text starts; one more than there are texts, the last is the dictionary's length.
    pub offsets: Vec<u32>,
    /// The columns, in the order of the source's fields.
    pub columns: Vec<Column>,
}

/// One field of the rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Codes into the dictionary, [`NULL`] where null.
    Text(Vec<u32>),
    /// Whole numbers; `valid` is 0 where null.
    S64 {
        /// The numbers, 0 where null.
        values: Vec<i64>,
        /// 1 where there is a number.
        valid: Vec<u8>,
    },
    /// Floating-point numbers; `valid` is 0 where null.
    F64 {
        /// The numbers, 0 where null.
        values: Vec<f64>,
        /// 1 where there is a number.
        valid: Vec<u8>,
    },
    /// 0 false, 1 true, 2 null.
    Bool(Vec<u8>),
    /// Lists of texts: row `i` has `codes[offsets[i]..offsets[i + 1]]`. A null list is empty.
    Texts {
        /// One more than there are rows.
        offsets: Vec<u32>,
        /// Codes into the dictionary.
        codes: Vec<u32>,
    },
}

impl Batch {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.order.len()
    }
}

impl Group {
    /// The text of a code, or none for [`NULL`] and codes that are not there.
    #[must_use]
    pub fn text(&self, code: u32) -> Option<&str> {
        let start = *self.offsets.get(code as usize)? as usize;
        let end = *self.offsets.get(code as usize + 1)? as usize;
        std::str::from_utf8(self.dictionary.get(start..end)?).ok()
    }
}
