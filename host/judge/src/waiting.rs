//! What waited where readers stand that are made anew, as after a restart: asked of the journal once for all of one number.
//!
//! It must not grow with the journal. A rule whose logs nobody collects has released nothing, however far it has read, so all
//! there ever was is at or above what it released; but of its own logs there is nothing. So each log is asked for by itself,
//! from as far back as a reader of that log wants it.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::Position;
use picket_store::{StoreError, StoredAdmission};

use crate::evidence::Rebuild;
use crate::marks;

/// By the number of the journal.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<u64, Vec<StoredAdmission>>);

impl Waiting {
    /// For readers of these logs, as rules name them, at these positions.
    pub(crate) fn of<'r>(
        journal: &dyn Rebuild,
        readers: impl IntoIterator<Item = (&'r [Arc<str>], &'r Position)>,
    ) -> Result<Self, StoreError> {
        let mut wanted: BTreeMap<u64, BTreeMap<&str, i64>> = BTreeMap::new();
        for (logs, position) in readers {
            // Before the first number there is nothing.
            if position.seq == 0 {
                continue;
            }
            let wanted = wanted.entry(position.seq).or_default();
            for log in logs.iter().flat_map(|log| marks::duo_logs(log)) {
                let from = wanted.entry(log).or_insert(i64::MAX);
                *from = (*from).min(position.released.time);
            }
        }
        let stored = wanted.into_iter().map(|(number, logs)| {
            let logs: Vec<(&str, i64)> = logs.into_iter().collect();
            Ok((number, journal.pending(number, &logs)?))
        });
        Ok(Waiting(stored.collect::<Result<_, StoreError>>()?))
    }

    /// What waited there; more than one reader asked for, perhaps.
    pub(crate) fn at(&self, position: &Position) -> &[StoredAdmission] {
        self.0.get(&position.seq).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use picket_contract::Key;

    use super::*;

    type Asked = Vec<(u64, Vec<(String, i64)>)>;

    /// Writes down what it is asked for.
    #[derive(Default)]
    struct Asks(RefCell<Asked>);

    impl Rebuild for Asks {
        fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError> {
            let logs = logs.iter().map(|(log, from)| ((*log).to_owned(), *from)).collect();
            self.0.borrow_mut().push((up_to, logs));
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_rule_whose_log_nobody_collects_asks_for_no_other_log() {
        let at = |seq, released| Position { seq, released };
        let readers: [(Vec<Arc<str>>, Position); 5] = [
            (vec!["authentication".into()], at(9, Key::end_of(100))),
            (vec!["admin".into(), "authentication".into()], at(9, Key::end_of(90))),
            (vec!["user".into()], at(9, Key::start())),
            (vec!["telephony".into()], at(7, Key::end_of(80))),
            (vec!["telephony".into()], at(0, Key::start())),
        ];
        let journal = Asks::default();
        let places = readers.iter().map(|(logs, position)| (logs.as_slice(), position));
        Waiting::of(&journal, places).unwrap();
        let asked = |logs: &[(&str, i64)]| logs.iter().map(|(log, from)| ((*log).to_owned(), *from)).collect();
        let expected: Asked = vec![
            (7, asked(&[("telephony", 80)])),
            (
                9,
                asked(&[
                    ("activity", 90),
                    ("admin", 90),
                    ("administrator", 90),
                    ("authentication", 90),
                    ("user", i64::MIN),
                ]),
            ),
        ];
        assert_eq!(journal.0.into_inner(), expected);
    }
}
