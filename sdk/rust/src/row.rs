//! What a rule is given: a row, or a timer that is due.

use std::ops::Deref;

use crate::alert::{Alert, Handle};
use crate::time::Time;

/// A row of a log: the author's struct, when it happened, and a handle by which an alert can name it.
#[derive(Debug)]
pub struct Row<T> {
    pub(crate) value: T,
    pub(crate) handle: Handle,
    pub(crate) late: bool,
}

impl<T> Row<T> {
    /// When it happened: the log's order time.
    #[must_use]
    pub fn time(&self) -> Time {
        self.handle.time
    }

    /// Names the row as evidence.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Whether it came after later rows had been shown.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// An alert about the row's user, with the row as evidence. The title is one sentence.
    pub fn alert(&self, title: impl Into<String>) -> Alert {
        Alert::new(title.into(), Some(self.handle))
    }
}

impl<T> Deref for Row<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A timer that is due.
#[derive(Debug)]
pub struct Timer {
    pub(crate) key: Vec<u8>,
    pub(crate) at: Time,
}

impl Timer {
    /// As it was set.
    #[must_use]
    pub fn key(&self) -> &str {
        std::str::from_utf8(&self.key).unwrap_or_default()
    }

    /// When it was due.
    #[must_use]
    pub fn time(&self) -> Time {
        self.at
    }

    /// An alert that no row raised: give it evidence, remembered in state, or it is an error.
    pub fn alert(&self, title: impl Into<String>) -> Alert {
        Alert::new(title.into(), None)
    }
}
