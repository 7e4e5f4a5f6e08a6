//! A row as it is served: its text, or how to make it, what it becomes, and by how much it may be late.

use std::borrow::Cow;
use std::sync::Arc;

use super::template::Template;

/// A row as it is kept.
#[derive(Debug)]
pub(super) struct Stored {
    /// Time in ms, rounded down.
    pub(super) ms: i64,
    /// Its id.
    pub(super) id: Box<str>,
    text: Text,
    /// What it becomes, and from when on (ms); in order of time.
    pub(super) later: Box<[(i64, Box<str>)]>,
    /// What is counted of it: see [`super::info::mark`].
    pub(super) mark: u16,
    /// A number below 10 000 drawn from the id: decides which rows come late.
    pub(super) lot: u32,
}

/// A row's JSON as Duo writes it.
#[derive(Debug)]
pub(super) enum Text {
    Own(Box<str>),
    /// One of many rows that differ in time and id only.
    Like(Arc<Template>),
}

impl Stored {
    pub(super) fn new(ms: i64, id: Box<str>, text: Text, mark: u16) -> Self {
        Self {
            ms,
            lot: lot(&id),
            id,
            text,
            later: Box::default(),
            mark,
        }
    }

    /// Time in s, rounded down.
    pub(super) fn second(&self) -> i64 {
        self.ms.div_euclid(1_000)
    }

    /// Its JSON as it is at that time (ms).
    pub(super) fn text(&self, now_ms: i64) -> Cow<'_, str> {
        let becomes = self.later.iter().rev().find(|(from_ms, _)| *from_ms <= now_ms);
        match (becomes, &self.text) {
            (Some((_, text)), _) => Cow::Borrowed(text),
            (None, Text::Own(text)) => Cow::Borrowed(text),
            (None, Text::Like(template)) => Cow::Owned(template.fill(self.ms, self.lot % 1_000, &self.id)),
        }
    }

    /// Where it stands: by whole milliseconds, then by id.
    pub(super) fn key(&self) -> (i64, &str) {
        (self.ms, &self.id)
    }
}

/// FNV-1a over the id: spread evenly, equal in every run.
fn lot(id: &str) -> u32 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from((hash >> 20) % 10_000).unwrap_or(0)
}
