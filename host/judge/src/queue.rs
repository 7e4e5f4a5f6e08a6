//! Rows read and not yet released, of one log, in key order.
//!
//! Rows of one log come nearly in order, so a queue of its own for each log makes arrival an append and release a merge of a
//! few fronts, also where one log is a million rows ahead of another.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::collections::vec_deque::Drain;
use std::sync::Arc;

use picket_contract::Key;
use picket_event::{Page, Plan, RowRef};
use rustc_hash::FxHashMap;

/// The release order.
pub(crate) fn order(a: &RowRef, b: &RowRef) -> Ordering {
    a.time()
        .cmp(&b.time())
        .then_with(|| a.page.log().cmp(b.page.log()))
        .then_with(|| id(a).cmp(id(b)))
}

fn id(row: &RowRef) -> &str {
    row.page.events().get(row.row as usize).map_or("", |event| &event.id)
}

pub(crate) fn key(row: &RowRef) -> Key {
    row.page.key(row.row)
}

/// Whether a row comes too late for a reader that has released up to `released`.
pub(crate) fn is_late(row: &RowRef, released: &Key) -> bool {
    match row.time().cmp(&released.time) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => (&**row.page.log(), id(row)) <= (&*released.log, &*released.id),
    }
}

/// Pages, and what they are under another plan: readers share pages, and judging stands still while they are read anew.
///
/// Each is found by the address of the page as it was, which is kept here and so cannot be another's.
#[derive(Debug, Default)]
pub(crate) struct Adopted(FxHashMap<usize, (Arc<Page>, Arc<Page>)>);

impl Adopted {
    /// The page under this plan.
    pub(crate) fn of(&mut self, page: &Arc<Page>, plan: &Plan) -> Arc<Page> {
        let fresh = || (page.clone(), plan.adopt(page));
        self.0.entry(Arc::as_ptr(page) as usize).or_insert_with(fresh).1.clone()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    rows: VecDeque<RowRef>,
}

impl Queue {
    /// Takes rows in key order, which may be among those that wait.
    pub(crate) fn take(&mut self, mut rows: impl Iterator<Item = RowRef>) {
        let Some(first) = rows.next() else { return };
        if self.rows.back().is_none_or(|back| order(back, &first).is_le()) {
            self.rows.push_back(first);
            self.rows.extend(rows);
            return;
        }
        let from = self.rows.partition_point(|row| order(row, &first).is_le());
        let mut tail: Vec<RowRef> = self.rows.drain(from..).collect();
        tail.push(first);
        tail.extend(rows);
        tail.sort_by(order);
        self.rows.extend(tail);
    }

    pub(crate) fn front(&self) -> Option<&RowRef> {
        self.rows.front()
    }

    /// How many rows are up to a time (ms) and come before another queue's first; so many at most.
    pub(crate) fn due(&self, upto: i64, before: Option<&RowRef>, most: usize) -> usize {
        let is_due = |row: &&RowRef| row.time() <= upto && before.is_none_or(|before| order(row, before).is_le());
        self.rows.iter().take(most).take_while(is_due).count()
    }

    /// Takes out so many rows.
    pub(crate) fn release(&mut self, count: usize) -> Drain<'_, RowRef> {
        self.rows.drain(..count.min(self.rows.len()))
    }

    /// Pages of another plan are read anew, each once.
    pub(crate) fn adopt(&mut self, plan: &Plan, adopted: &mut Adopted) {
        // Rows of one page mostly stand together.
        let mut last: Option<(Arc<Page>, Arc<Page>)> = None;
        for row in &mut self.rows {
            let (old, new) = match last.take() {
                Some(last) if Arc::ptr_eq(&last.0, &row.page) => last,
                _ => (row.page.clone(), adopted.of(&row.page, plan)),
            };
            if !Arc::ptr_eq(&old, &new) {
                row.page = new.clone();
            }
            last = Some((old, new));
        }
    }

    /// The pages whose rows wait.
    pub(crate) fn pages(&self, found: &mut Vec<Arc<Page>>) {
        for row in &self.rows {
            if found.last().is_none_or(|last| !Arc::ptr_eq(last, &row.page)) {
                found.push(row.page.clone());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
