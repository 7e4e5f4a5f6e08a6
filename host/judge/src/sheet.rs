//! One journal entry, parsed and put in order at most once for each log that rules name, however many readers look at it.

use std::sync::Arc;

use picket_contract::{Admission, EventRecord};
use picket_event::{Page, Plan, RowRef};
use picket_store::StoredAdmission;

use crate::queue;

/// Ids of rows that could not be identified start with this. They are kept, and shown to no rule.
pub(crate) const UNREADABLE: &str = "unreadable-";

pub(crate) struct Sheet<'a> {
    pub(crate) log: &'a str,
    events: std::borrow::Cow<'a, [EventRecord]>,
    numbers: Numbers,
    /// Where each event's row is, if the rows have been read already.
    read: &'a [Place],
    /// By log as rules name it.
    rows: Vec<(Arc<str>, Vec<RowRef>)>,
}

/// A row that has been read: its page and its place in it.
pub type Place = (Arc<Page>, u32);

enum Numbers {
    From(u64),
    Each(Vec<u64>),
}

impl<'a> Sheet<'a> {
    /// `read`: where the events' rows are, one for each; empty if they have not been read.
    pub(crate) fn new(admission: &'a Admission, read: &'a [Place]) -> Self {
        Sheet {
            log: &admission.log,
            events: admission.events.as_slice().into(),
            numbers: Numbers::From(admission.first_seq),
            read: if read.len() == admission.events.len() {
                read
            } else {
                &[]
            },
            rows: Vec::new(),
        }
    }

    /// Of events at or above a time, ms.
    pub(crate) fn stored(admission: &'a StoredAdmission, from: i64) -> Self {
        let events = || admission.events.iter().filter(|(_, event)| event.time >= from);
        Sheet {
            log: &admission.log,
            numbers: Numbers::Each(events().map(|(number, _)| *number).collect()),
            events: events().map(|(_, event)| event.clone()).collect(),
            read: &[],
            rows: Vec::new(),
        }
    }

    /// The rows as the log `named`, in key order, those that no rule may see left out.
    pub(crate) fn rows(&mut self, plan: &Plan, named: &Arc<str>) -> &[RowRef] {
        let found = self.rows.iter().position(|(log, _)| log == named);
        let index = found.unwrap_or_else(|| {
            let mut rows = self.found(plan, named);
            if !rows.is_sorted_by(|one, other| queue::order(one, other).is_le()) {
                rows.sort_by(queue::order);
            }
            self.rows.push((named.clone(), rows));
            self.rows.len() - 1
        });
        self.rows.get(index).map_or(&[], |(_, rows)| rows)
    }

    /// In the order of the journal.
    fn found(&self, plan: &Plan, named: &Arc<str>) -> Vec<RowRef> {
        let is_read = |(page, _): &Place| page.log() == named && plan.made(page);
        if !self.read.is_empty() && runs(self.read).all(is_read) {
            let places = self.read.iter().enumerate();
            return places
                .filter_map(|(index, (page, row))| self.row(page, *row, index))
                .collect();
        }
        let page = Arc::new(plan.parse(named, self.log, &self.events));
        (0..self.events.len())
            .filter_map(|index| self.row(&page, u32::try_from(index).ok()?, index))
            .collect()
    }

    /// The row of an event, if rules may see it.
    fn row(&self, page: &Arc<Page>, row: u32, index: usize) -> Option<RowRef> {
        let event = page.events().get(row as usize)?;
        let readable = !page.broken(row) && !event.id.starts_with(UNREADABLE);
        readable.then(|| RowRef::new(page.clone(), row, self.numbers.of(index)))
    }
}

impl Numbers {
    fn of(&self, index: usize) -> u64 {
        match self {
            Numbers::From(first) => first + index as u64,
            Numbers::Each(numbers) => numbers.get(index).copied().unwrap_or_default(),
        }
    }
}

/// The first of each run of places in one page.
fn runs(places: &[Place]) -> impl Iterator<Item = &Place> {
    places
        .chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other))
        .filter_map(|run| run.first())
}
