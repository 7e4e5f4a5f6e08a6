//! Rows on their way to rules: several are offered the same, sorted by page once for all of them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::filter::{Answers, Asked};
use crate::gather::Recoding;
use crate::mask::Mask;
use crate::{Page, Plan};

/// One row of a page, on its way to a rule.
#[derive(Debug, Clone)]
pub struct RowRef {
    /// The page.
    pub page: Arc<Page>,
    /// The row in it.
    pub row: u32,
    /// Its number in the tenant's journal.
    pub seq: u64,
    /// Whether it came behind the watermark.
    pub late: bool,
    /// Of the event, ms: rows are put in order by it, reader by reader, and whoever does that need not look into the page.
    time: i64,
}

impl RowRef {
    /// A row that is not late.
    #[must_use]
    pub fn new(page: Arc<Page>, row: u32, seq: u64) -> Self {
        let time = page.time(row);
        RowRef {
            page,
            row,
            seq,
            late: false,
            time,
        }
    }

    /// Its order time, ms since the Unix epoch.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }
}

/// Rows offered to several rules, sorted by page once for all of them.
#[derive(Debug)]
pub struct Offer<'a> {
    pub(crate) rows: &'a [RowRef],
    pub(crate) segments: Vec<Segment>,
    pub(crate) recoding: Recoding,
}

impl<'a> Offer<'a> {
    /// The rows by page, every page under this plan.
    #[must_use]
    pub fn new(rows: &'a [RowRef], plan: &Plan) -> Self {
        let mut known: FxHashMap<*const Page, usize> = FxHashMap::default();
        let mut segments: Vec<Segment> = Vec::new();
        let mut broken: Vec<Vec<usize>> = Vec::new();
        let mut position = 0;
        // Rows of one page mostly stand together.
        for rows in rows.chunk_by(|one, other| Arc::ptr_eq(&one.page, &other.page)) {
            let Some(first) = rows.first() else { continue };
            let index = *known.entry(Arc::as_ptr(&first.page)).or_insert_with(|| {
                segments.push(Segment {
                    page: plan.adopt(&first.page),
                    at: Vec::new(),
                    positions: Vec::new(),
                    whole: Mask::none(0),
                    answers: Answers::default(),
                });
                broken.push(Vec::new());
                segments.len() - 1
            });
            if let Some((segment, broken)) = segments.get_mut(index).zip(broken.get_mut(index)) {
                let places = (segment.at.len()..).zip(rows);
                broken.extend(places.filter(|(_, row)| segment.page.broken(row.row)).map(|(at, _)| at));
                segment.at.extend(rows.iter().map(|row| row.row));
                segment.positions.extend((position..).take(rows.len()));
            }
            position += rows.len() as u32;
        }
        for (segment, broken) in segments.iter_mut().zip(&broken) {
            segment.whole = Mask::all(segment.at.len());
            broken.iter().for_each(|row| segment.whole.remove(*row));
        }
        let recoding = Recoding::new(segments.len());
        Offer {
            rows,
            segments,
            recoding,
        }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &'a [RowRef] {
        self.rows
    }
}

/// A page's rows among those offered.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) page: Arc<Page>,
    /// Their rows in the page.
    pub(crate) at: Vec<u32>,
    /// Their indices among those offered.
    pub(crate) positions: Vec<u32>,
    /// Those of them (as indices of `at`) that could be read as events.
    pub(crate) whole: Mask,
    answers: Answers,
}

impl Segment {
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            page: &self.page,
            at: &self.at,
            answers: &self.answers,
        }
    }
}
