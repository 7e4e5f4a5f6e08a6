//! Where the polling of a log goes on.

use std::sync::Arc;

use picket_store::CursorRow;
use serde::{Deserialize, Serialize};

/// A log's cursor. Offsets of a walk are not part of it: a walk that was broken off begins anew at the high-water mark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Nothing before this time (ms) is asked for: set at the first start.
    #[serde(default)]
    pub start: Option<i64>,
    /// Every row before this time (ms) that Duo had is in the journal.
    #[serde(default)]
    pub read_to: Option<i64>,
    /// The last `complete` mark written, ms.
    #[serde(default)]
    pub complete: Option<i64>,
    /// A `closed` mark was written, and no `open` since.
    #[serde(default)]
    pub closed: bool,
}

impl Cursor {
    /// From what the journal kept.
    ///
    /// # Errors
    /// The JSON's: it was written by another version.
    pub fn read(row: Option<&CursorRow>) -> Result<Self, serde_json::Error> {
        row.map_or_else(|| Ok(Cursor::default()), |row| serde_json::from_str(&row.cursor))
    }

    /// As the journal keeps it.
    ///
    /// # Errors
    /// None in practice; the JSON's.
    pub fn row(&self, log: &str) -> Result<CursorRow, serde_json::Error> {
        Ok(CursorRow {
            log: Arc::from(log),
            cursor: serde_json::to_string(self)?,
        })
    }
}
