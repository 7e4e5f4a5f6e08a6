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
    pages: Vec<(Arc<str>, Arc<Page>)>,
}

enum Numbers {
    From(u64),
    Each(Vec<u64>),
}

impl<'a> Sheet<'a> {
    pub(crate) fn new(admission: &'a Admission) -> Self {
        Sheet {
            log: &admission.log,
            events: admission.events.as_slice().into(),
            numbers: Numbers::From(admission.first_seq),
            pages: Vec::new(),
        }
    }

    pub(crate) fn stored(admission: &'a StoredAdmission) -> Self {
        Sheet {
            log: &admission.log,
            numbers: Numbers::Each(admission.events.iter().map(|(number, _)| *number).collect()),
            events: admission.events.iter().map(|(_, event)| event.clone()).collect(),
            pages: Vec::new(),
        }
    }

    /// The rows as the log `named`, in the order of the journal, those that no rule may see left out.
    pub(crate) fn rows(&mut self, plan: &Plan, named: &Arc<str>) -> impl Iterator<Item = RowRef> {
        let page = self.page(plan, named);
        let count = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let numbers = &self.numbers;
        (0..count).filter_map(move |row| {
            let event = page.events().get(row as usize)?;
            let readable = !page.broken(row) && !event.id.starts_with(UNREADABLE);
            readable.then(|| RowRef {
                page: page.clone(),
                row,
                seq: numbers.of(row),
                late: false,
            })
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
    fn of(&self, row: u32) -> u64 {
        match self {
            Numbers::From(first) => first + u64::from(row),
            Numbers::Each(numbers) => numbers.get(row as usize).copied().unwrap_or_default(),
        }
    }
}
