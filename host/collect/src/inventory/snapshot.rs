//! A snapshot of one kind, assembled from pages. Pure: pages go in, objects come out.
//!
//! Duo pages by offset over a list that others change meanwhile. A row that goes away pulls those behind it forward, past the
//! page border and out of sight; one that is added pushes another onto two pages. Both show in the total or in an id that
//! comes twice, and then nothing of the walk is believed. What shows in neither (one goes, one comes) can make an object seem
//! missing: so a deletion is believed only when two snapshots in a row lack the object.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_duo::{Inventory, InventoryPage};

use super::object::Object;

/// What follows after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The walk goes on.
    Next,
    /// Everything has been read.
    Finished,
    /// Rows moved while they were read: from the start again.
    Moved,
}

/// A walk over all pages of a kind.
#[derive(Debug)]
pub(crate) struct Walk {
    kind: Inventory,
    pub(crate) offset: u64,
    total: Option<u64>,
    rows: u64,
    snapshot: Snapshot,
}

/// All objects of a kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) objects: BTreeMap<Arc<str>, Object>,
    /// Rows that are no objects or have no id: then what is missing may be among them.
    pub(crate) odd: usize,
}

impl Walk {
    pub(crate) fn new(kind: Inventory) -> Self {
        Walk {
            kind,
            offset: 0,
            total: None,
            rows: 0,
            snapshot: Snapshot::default(),
        }
    }

    pub(crate) fn take(&mut self, page: &InventoryPage) -> Step {
        let is_first = self.offset == 0 && self.rows == 0;
        if is_first {
            self.total = page.total;
        } else if self.total.is_some() && page.total.is_some() && page.total != self.total {
            return Step::Moved;
        }
        for row in &page.rows {
            self.rows += 1;
            match Object::read(self.kind, row.get()) {
                None => self.snapshot.odd += 1,
                Some(object) => {
                    if self.snapshot.objects.insert(object.id.clone(), object).is_some() {
                        return Step::Moved;
                    }
                }
            }
        }
        match page.next_offset {
            // An offset that does not lead on is no offset, and a page without rows leads nowhere.
            Some(next) if next > self.offset && !page.rows.is_empty() => {
                self.offset = next;
                Step::Next
            }
            _ if !self.kind.is_single() && self.total.is_some_and(|total| total != self.rows) => Step::Moved,
            _ => Step::Finished,
        }
    }

    pub(crate) fn finish(self) -> Snapshot {
        self.snapshot
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    pub(crate) fn page(rows: &[&str], next: Option<u64>, total: Option<u64>) -> InventoryPage {
        InventoryPage {
            rows: rows
                .iter()
                .map(|row| RawValue::from_string((*row).to_owned()).unwrap())
                .collect(),
            next_offset: next,
            total,
            server_date_ms: None,
        }
    }

    const A: &str = r#"{"group_id":"A"}"#;
    const B: &str = r#"{"group_id":"B"}"#;
    const C: &str = r#"{"group_id":"C"}"#;

    fn walk(pages: &[InventoryPage]) -> (Vec<Step>, Snapshot) {
        let mut walk = Walk::new(Inventory::Groups);
        let steps = pages.iter().map(|page| walk.take(page)).collect();
        (steps, walk.finish())
    }

    #[test]
    fn pages_are_followed_to_their_end() {
        let (steps, snapshot) = walk(&[page(&[A, B], Some(2), Some(3)), page(&[C], None, Some(3))]);
        assert_eq!((steps, snapshot.objects.len()), (vec![Step::Next, Step::Finished], 3));
        let (steps, _) = walk(&[page(&[], None, Some(0))]);
        assert_eq!(steps, [Step::Finished], "nothing is a snapshot too");
        let (steps, _) = walk(&[page(&[A], Some(0), None)]);
        assert_eq!(steps, [Step::Finished], "an offset that leads back");
        let (steps, _) = walk(&[page(&[A], Some(1), None), page(&[], Some(2), None)]);
        assert_eq!(steps, [Step::Next, Step::Finished], "an empty page with an offset");
    }

    #[test]
    fn rows_that_moved_are_noticed() {
        for second in [
            page(&[C], None, Some(2)),
            page(&[B, C], None, Some(3)),
            page(&[], None, Some(3)),
        ] {
            let (steps, _) = walk(&[page(&[A, B], Some(2), Some(3)), second]);
            assert_eq!(steps, [Step::Next, Step::Moved]);
        }
    }

    #[test]
    fn odd_rows_are_counted() {
        let (steps, snapshot) = walk(&[page(&[A, "7", r#"{"name":"x"}"#], None, Some(3))]);
        assert_eq!(
            (steps, snapshot.objects.len(), snapshot.odd),
            (vec![Step::Finished], 1, 2)
        );
    }

    #[test]
    fn a_single_object_is_its_own_list() {
        let mut walk = Walk::new(Inventory::Settings);
        assert_eq!(
            walk.take(&page(&[r#"{"helpdesk_bypass":"allow"}"#], None, None)),
            Step::Finished
        );
        assert_eq!(
            walk.finish()
                .objects
                .keys()
                .map(|id| id.to_string())
                .collect::<Vec<_>>(),
            ["settings"]
        );
    }
}
