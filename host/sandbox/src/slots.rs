//! As many calls at once as there are places; more wait, and are let in in the order they came, so that nobody who calls all
//! the time keeps out who calls now and then.
//!
//! The places know who is in them and since when, and a watchdog looks at them: a call that takes long on the wall clock is told
//! while it still runs. Nothing is decided by it: fuel decides, and a slow machine must judge as a fast one does. What it costs
//! a call is the lock that it takes anyway.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Places for calls.
#[derive(Debug)]
pub(crate) struct Slots {
    hall: Mutex<Hall>,
    freed: Condvar,
    late_after: Duration,
}

#[derive(Debug)]
struct Hall {
    /// The next ticket to be drawn.
    next: u64,
    /// Tickets below this one may come in.
    called: u64,
    free: Vec<usize>,
    places: Vec<Place>,
    /// Calls that were late, by rule.
    late: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Place {
    /// Since when there is somebody in it.
    since: Option<Instant>,
    /// Kept for the next one to write over: a call allocates nothing here.
    rule: String,
    is_told: bool,
}

/// A call that runs at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The rule's id.
    pub rule: String,
    /// How long it has been running.
    pub running: Duration,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    place: usize,
}

/// Ends the watchdog when it is dropped.
#[derive(Debug)]
pub(crate) struct Leash(#[allow(dead_code, reason = "its end is what the watchdog hears")] Sender<()>);

impl Slots {
    pub(crate) fn new(places: u32, late_after: Duration) -> Self {
        let count = places as usize;
        Slots {
            hall: Mutex::new(Hall {
                next: 0,
                called: places.into(),
                free: (0..count).collect(),
                places: (0..count).map(|_| Place::default()).collect(),
                late: BTreeMap::new(),
            }),
            freed: Condvar::new(),
            late_after,
        }
    }

    /// Waits for a place, for a call of this rule.
    pub(crate) fn take(&self, rule: &str) -> Slot<'_> {
        let mut hall = self.hall();
        let ticket = hall.next;
        hall.next += 1;
        let mut hall = self
            .freed
            .wait_while(hall, |hall| ticket >= hall.called || hall.free.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let place = hall.free.pop().unwrap_or_default();
        if let Some(place) = hall.places.get_mut(place) {
            place.since = Some(Instant::now());
            place.is_told = false;
            place.rule.clear();
            place.rule.push_str(rule);
        }
        Slot { slots: self, place }
    }

    /// Calls that were late, by rule.
    pub(crate) fn late(&self) -> BTreeMap<String, u64> {
        self.hall().late.clone()
    }

    /// Calls that are late and run still.
    pub(crate) fn running_late(&self) -> Vec<InFlight> {
        let hall = self.hall();
        let late = |place: &Place| {
            let running = place.since?.elapsed();
            (running > self.late_after).then(|| InFlight {
                rule: place.rule.clone(),
                running,
            })
        };
        hall.places.iter().filter_map(late).collect()
    }

    /// Tells of calls that are late, each once.
    fn look(&self) {
        let mut told = Vec::new();
        let mut hall = self.hall();
        let Hall { places, late, .. } = &mut *hall;
        for place in places.iter_mut().filter(|place| !place.is_told) {
            let Some(running) = place.since.map(|since| since.elapsed()) else {
                continue;
            };
            if running > self.late_after {
                place.is_told = true;
                *late.entry(place.rule.clone()).or_default() += 1;
                told.push((place.rule.clone(), millis(running)));
            }
        }
        drop(hall);
        for (rule, running_ms) in told {
            tracing::warn!(rule, running_ms, "a call is late on the wall clock, and runs still");
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut hall = self.slots.hall();
        let Hall { places, late, .. } = &mut *hall;
        let mut told = None;
        if let Some(place) = places.get_mut(self.place) {
            let took = place.since.take().map(|since| since.elapsed()).unwrap_or_default();
            if took > self.slots.late_after {
                if !place.is_told {
                    *late.entry(place.rule.clone()).or_default() += 1;
                }
                told = Some((place.rule.clone(), millis(took)));
            }
        }
        hall.free.push(self.place);
        hall.called += 1;
        let is_waited_for = hall.next >= hall.called;
        drop(hall);
        // All, since only one of them holds the ticket that was called.
        if is_waited_for {
            self.slots.freed.notify_all();
        }
        if let Some((rule, took_ms)) = told {
            tracing::warn!(rule, took_ms, "a call was late on the wall clock");
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Looks at the places now and then, until the leash is dropped.
pub(crate) fn watch(slots: &Arc<Slots>) -> std::io::Result<Leash> {
    let (leash, held) = channel();
    let slots = slots.clone();
    std::thread::Builder::new()
        .name("picket-watchdog".to_owned())
        .spawn(move || follow(&slots, &held))?;
    Ok(Leash(leash))
}

fn follow(slots: &Slots, leash: &Receiver<()>) {
    let pause = (slots.late_after / 2).max(Duration::from_millis(5));
    while leash.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        slots.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn never_more_at_once_than_there_are_places_and_first_come_first_served() {
        let slots = Slots::new(2, NEVER);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let order = Mutex::new(Vec::new());
        let (one, two) = (slots.take("one"), slots.take("two"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let before = slots.hall().next;
                let (slots, inside, most, order) = (&slots, &inside, &most, &order);
                scope.spawn(move || {
                    let _slot = slots.take("t");
                    order.lock().unwrap().push(number);
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
                // The next comes when this one has drawn its ticket.
                while slots.hall().next == before {
                    std::thread::yield_now();
                }
            }
            drop(one);
        });
        drop(two);
        assert!(most.into_inner() <= 2);
        assert_eq!(
            order.into_inner().unwrap(),
            (0..8).collect::<Vec<_>>(),
            "one place was left: in turn"
        );
    }

    #[test]
    fn a_call_that_is_late_is_told_while_it_runs_and_counted_once() {
        let slots = Arc::new(Slots::new(1, Duration::from_millis(20)));
        let leash = watch(&slots).unwrap();
        let slot = slots.take("slow");
        while slots.late().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(slots.running_late()[0].rule, "slow");
        drop(slot);
        assert_eq!(slots.late(), [("slow".to_owned(), 1)].into());
        assert!(slots.running_late().is_empty());
        drop(leash);
    }
}
