//! The journal's vocabulary: events in the order they were admitted, marks between them, and a rule's position.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The release key: order time, then log, then event id. Never arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Order time, ms since the Unix epoch.
    pub time: i64,
    /// The log as the rule names it (`admin` for both of its feeds).
    pub log: Arc<str>,
    /// The event's id.
    pub id: Arc<str>,
}

/// The text of a row. Cloning is cheap. Rows that came together may be parts of one text, which lives as long as any of them.
pub type RawRow = bytestring::ByteString;

/// One event as admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Unique within (tenant, log). Duo's own id, or a hash of the row where Duo gives none.
    pub id: Arc<str>,
    /// Order time, ms since the Unix epoch.
    pub time: i64,
    /// The row as received: UTF-8 JSON, or whatever came where it could not be parsed.
    pub raw: RawRow,
}

/// What stands between events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// The log is complete up to this time, by Duo's clock.
    Complete {
        /// Duo's own log.
        log: Arc<str>,
        /// Inclusive, ms.
        to: i64,
    },
    /// Every row from the tenant's first start up to this time has been read, while older ones are still being read: rules
    /// that keep no state judge up to here, all others wait for `Complete`. History ends when `Complete` reaches this time.
    Live {
        /// Duo's own log.
        log: Arc<str>,
        /// Inclusive, ms.
        to: i64,
    },
    /// No progress for `max_wait`: readers go on as if the log were complete up to this time. While history is being read
    /// (`Live` is ahead of `Complete`), only rules that keep no state do.
    Stalled {
        /// Duo's own log.
        log: Arc<str>,
        /// Inclusive, ms.
        to: i64,
    },
    /// The log is disabled or forbidden: readers do not wait for it.
    Closed {
        /// Duo's own log.
        log: Arc<str>,
    },
    /// The log is there (again): readers wait for it.
    Open {
        /// Duo's own log.
        log: Arc<str>,
    },
    /// The rows of this log (`activity` or `administrator`) after a time are the logical log `admin`'s: those too that stand
    /// before the mark. Up to that time those of the log that fed it before are. Nothing later has been released by then.
    Feed {
        /// The logical log.
        logical: Arc<str>,
        /// Duo's own log.
        log: Arc<str>,
        /// Exclusive, ms; the first feed feeds from the beginning of time.
        #[serde(default = "beginning")]
        from: i64,
    },
    /// What judges from here on, by content hash.
    Generation {
        /// Counts up from 1 for each tenant.
        number: u64,
        /// Hash of modules, parameters, tables, limits and engine version.
        hash: Arc<str>,
        /// The journal number up to which the generation before it has judged: mostly that right before the mark, less where
        /// judging was behind. None: an older Picket's mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judged: Option<u64>,
    },
    /// From here on this version of a rule judges what comes after a position of its own: mostly right before the mark, but
    /// further back where the rule stood still, or had to remember what it was shown. A replay obeys it.
    Takeover {
        /// The rule's id.
        rule: Arc<str>,
        /// Its version, as it says itself.
        version: Arc<str>,
        /// Digest of its module, `sha256:...`.
        module: Arc<str>,
        /// Version of its state's meaning.
        state_version: u32,
        /// Where it goes on, or begins.
        from: Box<Position>,
    },
}

/// Marks that do not say from when on hold from the first row on.
fn beginning() -> i64 {
    i64::MIN
}

/// One transaction's worth of journal: events of one log, then marks.
///
/// Numbers: the events have `first_seq .. first_seq + events.len()`; marks, if any, take one more number together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Journal number of the first event (or of the marks, if there are no events). Starts at 1.
    pub first_seq: u64,
    /// Duo's own log the events come from.
    pub log: Arc<str>,
    /// In the order Duo gave them.
    pub events: Vec<EventRecord>,
    /// In order, after the events.
    pub marks: Vec<Mark>,
}

impl Admission {
    /// The last number it takes.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        (self.first_seq + self.events.len() as u64 + u64::from(!self.marks.is_empty())).saturating_sub(1)
    }
}

/// How far a rule has come in a tenant's journal.
///
/// Everything with a number up to `seq` has been read; of that, every row with a key up to `released` has been shown, and
/// the rest is pending. So a row is *late* exactly if it is read with a key up to `released`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Journal number read.
    pub seq: u64,
    /// Key of the last row released; after a complete release up to watermark W, the greatest key of time W.
    pub released: Key,
}

impl Key {
    /// Sorts before every row.
    #[must_use]
    pub fn start() -> Self {
        Key {
            time: i64::MIN,
            log: "".into(),
            id: "".into(),
        }
    }

    /// Sorts after every row of this time (ms): log names are ASCII.
    #[must_use]
    pub fn end_of(time: i64) -> Self {
        Key {
            time,
            log: "\u{10ffff}".into(),
            id: "".into(),
        }
    }
}

impl Position {
    /// Nothing read.
    #[must_use]
    pub fn start() -> Self {
        Position {
            seq: 0,
            released: Key::start(),
        }
    }
}
