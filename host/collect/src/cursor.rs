//! Where the polling of a log goes on.

use std::sync::Arc;

use picket_store::CursorRow;
use serde::{Deserialize, Serialize};

use crate::budget::Learned;
use crate::busy::Busy;

/// A log's cursor. Offsets of a walk are not part of it: a walk that was broken off begins anew at the high-water mark.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// Nothing before this time (ms) is asked for: set at the first start.
    #[serde(default)]
    pub start: Option<i64>,
    /// Every row before this time (ms) that Duo had is in the journal. While `live` is there, this is how far history is.
    #[serde(default)]
    pub read_to: Option<i64>,
    /// The last `complete` mark written, ms.
    #[serde(default)]
    pub complete: Option<i64>,
    /// A `closed` mark was written, and no `open` since.
    #[serde(default)]
    pub closed: bool,
    /// Where history ends and live polling began, ms; none: the log was read as one from its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// How far live polling is, while history is still being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Reach>,
    /// The last `stalled` mark written, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<i64>,
    /// When the log was busy of late.
    #[serde(default, skip_serializing_if = "Busy::is_empty")]
    pub busy: Busy,
    /// What Duo's rate limit taught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Learned>,
}

/// How far a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Every row from the walk's begin to this time (ms) is in the journal.
    pub read_to: i64,
    /// The last mark written for it, ms.
    #[serde(default)]
    pub complete: Option<i64>,
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

    /// Up to when the newest rows have been read, ms: by live polling where history is still being read.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.complete.max(self.live.and_then(|live| live.complete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_before_is_read_as_a_log_that_is_read_as_one() {
        let row = CursorRow {
            log: "activity".into(),
            cursor: r#"{"start":1,"read_to":5,"complete":4,"closed":false}"#.into(),
        };
        let cursor = Cursor::read(Some(&row)).unwrap();
        assert_eq!((cursor.read_to, cursor.live, cursor.newest()), (Some(5), None, Some(4)));
        assert_eq!(
            cursor.row("activity").unwrap().cursor,
            row.cursor,
            "and written as before"
        );
    }
}
