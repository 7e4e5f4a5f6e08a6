//! From journal numbers back to events: an alert names numbers, people read events.

use std::sync::Arc;

use picket_contract::Admission;
use picket_store::{Forgotten, Store, StoreError, StoredAdmission, StoredEvent};

/// Something that knows the tenant's events by number.
pub trait Evidence {
    /// The events, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The store's.
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError>;
}

/// Events of journal entries held in memory, in order of their numbers.
impl Evidence for [Admission] {
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        Ok(numbers.iter().map(|number| in_memory(self, *number)).collect())
    }
}

fn in_memory(admissions: &[Admission], number: u64) -> Option<StoredEvent> {
    let after = admissions.partition_point(|admission| admission.first_seq <= number);
    let admission = admissions.get(after.checked_sub(1)?)?;
    let event = admission
        .events
        .get(usize::try_from(number - admission.first_seq).ok()?)?;
    Some(StoredEvent {
        seq: number,
        log: admission.log.clone(),
        event: event.clone(),
    })
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
}

/// Memory first, then what lies behind it.
pub(crate) struct Layered<'a> {
    pub(crate) recent: &'a [Admission],
    pub(crate) rest: &'a dyn Evidence,
}

impl Evidence for Layered<'_> {
    fn find(&self, numbers: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
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
    /// As [`Store::pending`]: events numbered up to `up_to` at or above the time `from` (ms), and the marks up to there.
    ///
    /// # Errors
    /// The store's.
    fn pending(&self, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError>;

    /// As [`Store::forgotten`]: how much of each log is gone.
    ///
    /// # Errors
    /// The store's.
    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        Ok(Vec::new())
    }
}

impl Rebuild for InJournal {
    fn pending(&self, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError> {
        self.store.pending(&self.tenant, up_to, from)
    }

    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        self.store.forgotten(&self.tenant)
    }
}

impl Rebuild for [Admission] {
    fn pending(&self, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError> {
        let upto = self.iter().take_while(|admission| admission.first_seq <= up_to);
        let stored = upto.map(|admission| StoredAdmission {
            log: admission.log.clone(),
            events: (admission.first_seq..)
                .zip(&admission.events)
                .filter(|(number, event)| *number <= up_to && event.time >= from)
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
}

impl<T: Rebuild + ?Sized> Rebuild for &T {
    fn pending(&self, up_to: u64, from: i64) -> Result<Vec<StoredAdmission>, StoreError> {
        (**self).pending(up_to, from)
    }

    fn forgotten(&self) -> Result<Vec<Forgotten>, StoreError> {
        (**self).forgotten()
    }
}
