//! From journal numbers back to events: an alert names numbers, people read events.

use std::cell::RefCell;
use std::sync::Arc;

use picket_contract::{Admission, EventRecord};
use picket_store::{EventHead, Forgotten, Store, StoreError, StoredAdmission, StoredEvent};
use rustc_hash::FxHashMap;

/// Something that knows the tenant's events by number.
pub trait Evidence {
    /// The events, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The store's.
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError>;

    /// Which events they are, without their bodies, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The store's.
    fn heads(&self, numbers: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError> {
        let found = self.find(numbers)?;
        Ok(found.iter().map(|event| event.as_ref().map(EventHead::from)).collect())
    }
}

/// Events of journal entries held in memory, in order of their numbers.
impl Evidence for [Admission] {
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        let event = |number: &u64| {
            let (admission, event) = in_memory(self, *number)?;
            Some(StoredEvent {
                seq: *number,
                log: admission.log.clone(),
                event: event.clone(),
            })
        };
        Ok(numbers.iter().map(event).collect())
    }
}

fn in_memory(admissions: &[Admission], number: u64) -> Option<(&Admission, &EventRecord)> {
    let after = admissions.partition_point(|admission| admission.first_seq <= number);
    let admission = admissions.get(after.checked_sub(1)?)?;
    let at = usize::try_from(number - admission.first_seq).ok()?;
    Some((admission, admission.events.get(at)?))
}

/// Events of one tenant's stored journal.
#[derive(Clone)]
pub struct InJournal {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Whose.
    pub tenant: Arc<str>,
}

impl Evidence for InJournal {
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        self.store.events(&self.tenant, numbers)
    }

    fn heads(&self, numbers: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError> {
        self.store.heads(&self.tenant, numbers)
    }
}

/// So many heads are remembered at most.
const MOST_HEADS: usize = 1 << 16;

/// What is known of events during one feeding: the entries fed first, then what lies behind them.
///
/// Rules name the same earlier rows again and again, mostly in alerts that turn out to be repeats. So of these rows only which
/// events they are is asked for, and each is asked for once.
pub(crate) struct Layered<'a> {
    recent: &'a [Admission],
    rest: &'a dyn Evidence,
    heads: RefCell<FxHashMap<u64, Option<EventHead>>>,
}

/// Which event it is: its log, order time (ms) and id.
pub(crate) type Head<'h> = (&'h Arc<str>, i64, &'h Arc<str>);

impl<'a> Layered<'a> {
    pub(crate) fn new(recent: &'a [Admission], rest: &'a dyn Evidence) -> Self {
        Layered {
            recent,
            rest,
            heads: RefCell::default(),
        }
    }

    /// Tells which events they are, one after the other in the order asked, until `look` says that it is enough.
    pub(crate) fn look(
        &self,
        numbers: &[u64],
        mut look: impl FnMut(u64, Option<Head<'_>>) -> bool,
    ) -> Result<(), StoreError> {
        let mut heads = self.heads.borrow_mut();
        if heads.len() > MOST_HEADS {
            heads.clear();
        }
        let is_near = |number: u64| in_memory(self.recent, number).is_some();
        let unknown = |number: &u64| !heads.contains_key(number) && !is_near(*number);
        let missing: Vec<u64> = numbers.iter().copied().filter(unknown).collect();
        if !missing.is_empty() {
            let found = self.rest.heads(&missing)?;
            heads.extend(missing.into_iter().zip(found));
        }
        for number in numbers {
            let near = in_memory(self.recent, *number).map(|(entry, event)| (&entry.log, event.time, &event.id));
            let far = || heads.get(number)?.as_ref().map(|head| (&head.log, head.time, &head.id));
            if !look(*number, near.or_else(far)) {
                break;
            }
        }
        Ok(())
    }

    /// The events, in the order asked; none where there is no such event.
    pub(crate) fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        let mut found = self.recent.find(numbers)?;
        let missing = |(number, event): (&u64, &Option<StoredEvent>)| event.is_none().then_some(*number);
        let rest: Vec<u64> = numbers.iter().zip(&found).filter_map(missing).collect();
        if !rest.is_empty() {
            let mut rest = self.rest.find(&rest)?.into_iter();
            for event in found.iter_mut().filter(|event| event.is_none()) {
                *event = rest.next().flatten();
            }
        }
        Ok(found)
    }
}

/// Something that can say what was pending at a position.
pub trait Rebuild {
    /// As [`Store::pending`]: of each of these logs the events numbered up to `up_to` at or above a time (ms), and all marks up
    /// to there.
    ///
    /// # Errors
    /// The store's.
    fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError>;

    /// As [`Store::forgotten`]: how much of each log is gone.
    ///
    /// # Errors
    /// The store's.
    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        Ok(Vec::new())
    }
}

impl Rebuild for InJournal {
    fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError> {
        self.store.pending(&self.tenant, up_to, logs)
    }

    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        self.store.forgotten(&self.tenant)
    }
}

impl Rebuild for [Admission] {
    fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError> {
        let from = |of: &str| logs.iter().find(|(log, _)| *log == of).map(|(_, from)| *from);
        let upto = self.iter().take_while(|admission| admission.first_seq <= up_to);
        let stored = upto.map(|admission| StoredAdmission {
            log: admission.log.clone(),
            events: (admission.first_seq..)
                .zip(&admission.events)
                .filter(|(number, event)| {
                    *number <= up_to && from(&admission.log).is_some_and(|from| event.time >= from)
                })
                .map(|(number, event)| (number, event.clone()))
                .collect(),
            marks: if admission.last_seq() <= up_to {
                admission.marks.clone()
            } else {
                Vec::new()
            },
        });
        Ok(stored.collect())
    }
}

impl<T: Evidence + ?Sized> Evidence for &T {
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        (**self).find(numbers)
    }

    fn heads(&self, numbers: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError> {
        (**self).heads(numbers)
    }
}

impl<T: Rebuild + ?Sized> Rebuild for &T {
    fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError> {
        (**self).pending(up_to, logs)
    }

    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        (**self).forgotten()
    }
}
