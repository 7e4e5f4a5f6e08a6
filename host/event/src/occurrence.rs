//! Equal rows that are different events.
//!
//! The v1 logs have no ids and tell whole seconds, so what is done to many at once can leave rows that are equal to the byte.
//! They are told apart by their number within their second: the first has the hash as its id, the second `<hash>~2`. A v1
//! page begins with the first row of a second, so counting within a page gives the same numbers however often, and from
//! wherever, Duo is asked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Identity;

/// Counts the equal rows of one page of one log.
#[derive(Debug, Default)]
pub struct Occurrences {
    counts: HashMap<Arc<str>, u32>,
}

impl Occurrences {
    /// The identity of the page's next row, as told from its equals before. `log`: as in the journal. Rows that have an id of
    /// their own stay as they are, as do those of v2 logs: such a row that comes twice is one event.
    #[must_use]
    pub fn next(&mut self, log: &str, identity: Identity) -> Identity {
        let counted = matches!(log, "administrator" | "offline_enrollment" | "telephony") && is_hash(&identity.id);
        if !counted {
            return identity;
        }
        let count = self.counts.entry(identity.id.clone()).or_insert(0);
        *count += 1;
        match *count {
            1 => identity,
            count => Identity {
                id: format!("{}~{count}", identity.id).into(),
                ..identity
            },
        }
    }
}

/// Whether an id is the hash of a row.
pub(crate) fn is_hash(id: &str) -> bool {
    id.starts_with("sha256:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identify, own_id};

    /// The ids of a page's rows.
    fn ids(log: &str, rows: &[&str]) -> Vec<String> {
        let mut seen = Occurrences::default();
        let id = |row: &&str| seen.next(log, identify(log, row).unwrap()).id.to_string();
        rows.iter().map(id).collect()
    }

    #[test]
    fn equal_rows_of_a_second_are_numbered_and_each_poll_numbers_them_alike() {
        let (one, other) = (r#"{"timestamp":9,"action":"a"}"#, r#"{"timestamp":9,"action":"b"}"#);
        for log in ["administrator", "offline_enrollment", "telephony"] {
            let first = ids(log, &[one, other, one]);
            assert_eq!(first[2], format!("{}~2", first[0]));
            assert_eq!(own_id(log, &first[2]), first[2], "the number is part of it");
            let later = ids(log, &[one, other, one, one]);
            assert_eq!(later[..3], first);
            assert_eq!(later[3], format!("{}~3", first[0]));
        }
    }

    #[test]
    fn what_has_an_id_and_what_came_twice_stay_one() {
        let call = r#"{"telephony_id":"p1","ts":"2026-01-01T00:00:00Z"}"#;
        let unnamed = r#"{"isotimestamp":"2026-01-01T00:00:00.000001Z"}"#;
        for (log, row) in [("telephony", call), ("authentication", unnamed)] {
            let ids = ids(log, &[row, row]);
            assert_eq!(ids[0], ids[1]);
        }
    }
}
