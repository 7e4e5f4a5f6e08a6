//! What is asked and what comes back.

use bytestring::ByteString;

/// What to ask a log for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// From this time on, ms since the Unix epoch, inclusive. A v1 log takes its whole second.
    pub mintime: i64,
    /// Up to this time, ms, inclusive. A v1 log knows no end.
    pub maxtime: i64,
    /// Rows a page, at most 1000. A v1 log decides itself.
    pub limit: u16,
    /// Where the page before ended.
    pub offset: Option<Offset>,
}

/// Where a page ended, in the form in which Duo takes it back: `milliseconds,id`.
///
/// Duo sends it as an array of two texts (authentication), as one text (activity, telephony) or as a number; it is
/// opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offset(pub(crate) String);

impl Offset {
    /// An offset from its text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Offset(text.into())
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a log.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows as Duo wrote them, in Duo's order. A row may be anything that stands in a list: one odd row spoils no page.
    pub rows: Vec<ByteString>,
    /// Where this page ended. Its presence does not mean that there is more, nor its absence that there is not.
    pub next_offset: Option<Offset>,
    /// Duo's clock when it answered, ms since the Unix epoch, whole seconds.
    pub server_date_ms: Option<i64>,
}

impl Page {
    /// How many rows are not JSON objects, so cannot be events.
    #[must_use]
    pub fn odd_rows(&self) -> usize {
        self.rows.iter().filter(|row| !row.starts_with('{')).count()
    }
}
