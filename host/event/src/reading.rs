//! Rows that have been read before anybody knows which of them are new events.
//!
//! A row is read once, when it comes: that tells which event it is, and fills the columns that rules read. Whether the event
//! is new, and under which id two equal rows stand, is decided afterwards; then the columns are put to the events.

use std::sync::Arc;

use picket_contract::{EventRecord, RawRow};

use crate::identify::{Identity, Problem};
use crate::{Page, Plan};

/// Rows of one of Duo's logs, read in one pass.
#[derive(Debug)]
pub struct Reading {
    rows: Vec<RawRow>,
    identities: Vec<Result<Identity, Problem>>,
    page: Page,
}

impl Reading {
    /// Reads rows of one of Duo's logs as they came, under the name that fits most rules.
    #[must_use]
    pub fn new(plan: &Plan, duo_log: &str, rows: Vec<RawRow>) -> Self {
        let (identities, page) = plan.read_rows(plan.named(duo_log), duo_log, &rows);
        Reading { rows, identities, page }
    }

    /// The rows as they came, each with which event it is.
    pub fn rows(&self) -> impl Iterator<Item = (&RawRow, Result<&Identity, &Problem>)> {
        self.rows.iter().zip(self.identities.iter().map(Result::as_ref))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as a page, and in which of its rows each of these events is. They are made of some of the rows (each holds its
    /// row's own text), in their order; rows without an event stay in the page and are nobody's. None: one is of another row.
    #[must_use]
    pub fn place(self, events: &[EventRecord]) -> Option<(Page, Vec<u32>)> {
        let mut left = events.iter().peekable();
        let mut places = Vec::with_capacity(events.len());
        let mut records = Vec::with_capacity(self.rows.len());
        for (number, raw) in (0..).zip(self.rows) {
            let event = left.next_if(|event| event.raw.as_ptr() == raw.as_ptr());
            places.extend(event.map(|_| number));
            records.push(event.cloned().unwrap_or_else(|| EventRecord {
                id: Arc::default(),
                time: i64::MIN,
                raw,
            }));
        }
        left.next().is_none().then(|| (self.page.with(records), places))
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::manifest::Field;
    use picket_contract::{FieldType, RawRow, Source, When};

    use super::*;

    fn plan() -> Plan {
        let field = Field {
            path: "user.name".to_owned(),
            kind: FieldType::Text,
            required: false,
        };
        Plan::new(&[Source {
            log: "authentication".to_owned(),
            name: String::new(),
            fields: vec![field],
            when: When::always(),
        }])
    }

    fn rows() -> Vec<RawRow> {
        let row = |n: i64| format!(r#"{{"txid":"t{n}","timestamp":{n},"user":{{"name":"u{n}"}}}}"#);
        (0..5)
            .map(row)
            .chain(["no event".to_owned()])
            .map(RawRow::from)
            .collect()
    }

    #[test]
    fn events_find_their_rows_whichever_are_left_out() {
        let all = rows();
        let reading = Reading::new(&plan(), "authentication", all.clone());
        assert_eq!(reading.rows().filter(|(_, identity)| identity.is_ok()).count(), 5);
        let event = |place: usize, id: &str| EventRecord {
            id: id.into(),
            time: 7,
            raw: all[place].clone(),
        };
        let events = [event(1, "b"), event(3, "d"), event(5, "odd")];
        let (page, places) = reading.place(&events).unwrap();
        assert_eq!((places, page.len()), (vec![1, 3, 5], 6));
        assert_eq!((page.text(3, "user.name"), &*page.events()[3].id), (Some("u3"), "d"));
        assert!(page.broken(5) && !page.broken(3));
    }

    #[test]
    fn an_event_of_another_row_is_noticed() {
        let all = rows();
        let event = |raw: &RawRow| EventRecord {
            id: "x".into(),
            time: 7,
            raw: raw.clone(),
        };
        let read = || Reading::new(&plan(), "authentication", all.clone());
        assert!(
            read().place(&[event(&RawRow::from(&*all[0]))]).is_none(),
            "equal, and not the same"
        );
        assert!(
            read().place(&[event(&all[2]), event(&all[1])]).is_none(),
            "out of order"
        );
        assert!(read().place(&[]).is_some_and(|(_, places)| places.is_empty()));
    }
}
