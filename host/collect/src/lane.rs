//! One of the walks of a log: live polling, its history, or a backfill.

use std::ops::Range;

use crate::budget::Class;

/// What a walk remembers from one window to the next.
#[derive(Debug)]
pub(crate) struct Lane {
    /// It reads the past, up to a fixed end.
    pub(crate) is_past: bool,
    class: Class,
    /// In a row.
    pub(crate) failures: u32,
    /// How often it was led in a circle since it last came to a window's end.
    pub(crate) circles: u32,
    /// From when to when, by Duo's clock (ms), the overlap need not be read again. A clock that is before or behind that has
    /// jumped: then it is.
    pub(crate) rests: Range<i64>,
    /// There is more to read already: what others poll live goes first.
    pub(crate) is_behind: bool,
    /// Where a walk that was led in a circle came to, ms.
    pub(crate) resume: Option<i64>,
}

impl Lane {
    pub(crate) fn new(class: Class) -> Self {
        Lane {
            is_past: class != Class::Live,
            class,
            failures: 0,
            circles: 0,
            rests: 0..0,
            is_behind: false,
            resume: None,
        }
    }

    pub(crate) fn class(&self) -> Class {
        if self.is_behind {
            self.class.max(Class::History)
        } else {
            self.class
        }
    }
}
