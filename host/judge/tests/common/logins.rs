//! Pages of logins, written by hand.

use picket_contract::Mark;
use picket_judge::pipeline::Page;

use super::{Event, LOGS, record};

/// Authentication rows (second, user, let in), complete up to a second.
pub(crate) fn page(first: usize, rows: &[(i64, u8, bool)], to: i64) -> Page {
    let row = |(number, (second, user, word)): (usize, &(i64, u8, bool))| {
        let event = Event {
            phase: 0,
            offset: second * 2,
            log: 0,
            user: *user,
            word: *word,
            late: false,
        };
        record(number, &event).raw
    };
    Page {
        log: LOGS[0].into(),
        rows: (first..).zip(rows).map(row).collect(),
        marks: vec![Mark::Complete {
            log: LOGS[0].into(),
            to: to * 1000,
        }],
        cursor: None,
        inventory: Vec::new(),
    }
}

/// Three denials of a user, one a second.
pub(crate) fn denied(first: i64, user: u8) -> [(i64, u8, bool); 3] {
    [0, 1, 2].map(|second| (first + second, user, false))
}
