//! One journal entry, parsed at most once for each log that rules name, however many readers look at it.

use std::sync::Arc;

use picket_contract::{Admission, EventRecord};
use picket_event::{Page, Plan, RowRef};
use picket_store::StoredAdmission;

/// Ids of rows that could not be identified start with this. They are kept, and shown to no rule.
pub(crate) const UNREADABLE: &str = "unreadable-";

pub(crate) struct Sheet<'a> {
    pub(crate) log: &'a str,
    events: std::borrow::Cow<'a, [EventRecord]>,
    numbers: Numbers,
    /// Where each event's row is, if the rows have been read already.
    read: &'a [Place],
    pages: Vec<(Arc<str>, Arc<Page>)>,
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
            pages: Vec::new(),
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
            pages: Vec::new(),
        }
    }

    /// The rows as the log `named`, in the order of the journal, those that no rule may see left out.
    pub(crate) fn rows(&mut self, plan: &Plan, named: &Arc<str>) -> Vec<RowRef> {
        let is_read = |(page, _): &Place| page.log() == named && plan.made(page);
        if !self.read.is_empty() && runs(self.read).all(is_read) {
            let places = self.read.iter().enumerate();
            return places
                .filter_map(|(index, (page, row))| self.row(page, *row, index))
                .collect();
        }
        let page = self.page(plan, named);
        (0..self.events.len())
            .filter_map(|index| self.row(&page, u32::try_from(index).ok()?, index))
            .collect()
    }

    /// The row of an event, if rules may see it.
    fn row(&self, page: &Arc<Page>, row: u32, index: usize) -> Option<RowRef> {
        let event = page.events().get(row as usize)?;
        let readable = !page.broken(row) && !event.id.starts_with(UNREADABLE);
        readable.then(|| RowRef {
            page: page.clone(),
            row,
            seq: self.numbers.of(index),
            late: false,
        })
    }

    fn page(&mut self, plan: &Plan, named: &Arc<str>) -> Arc<Page> {
        if let Some((_, page)) = self.pages.iter().find(|(log, _)| log == named) {
            return page.clone();
        }
        let page = Arc::new(plan.parse(named, self.log, &self.events));
        self.pages.push((named.clone(), page.clone()));
        page
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
