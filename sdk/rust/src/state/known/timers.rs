//! What a call knows of timers.
//!
//! Before which time none is due is known, and asked again when that time has come. A timer that was set in the call is the host's;
//! when it is set again only the last time is told, before the host is next asked about timers.

use super::{At, KNOWN, Known, Spot};
use crate::host;

/// What is known of the timer of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Whether there is one.
    Unknown,
    /// There is none: it rang in this call, or was cancelled.
    None,
    /// The host has one: it was set in this call, and has not rung since.
    Set,
    /// The same, and the host has not been told yet that it is for this time, ms.
    Owed(i64),
}

/// A timer is due no later. What is due later than any time is none.
const LATEST: i64 = i64::MAX - 1;

/// Takes the next timer that is due before `before` or by the clock.
pub(crate) fn next_timer(before: i64) -> Option<(Vec<u8>, i64)> {
    KNOWN.with_borrow_mut(|known| {
        if known.is_quiet(before) {
            return None;
        }
        known.hand_over_timers();
        if !known.is_exact {
            known.quiet = Some(host::with(|host| host.first_timer()).map_or(i64::MAX, |at| at.min(LATEST)));
            known.is_exact = true;
            if known.is_quiet(before) {
                return None;
            }
        }
        (known.quiet, known.is_exact) = (None, false);
        known.tell();
        let timer = host::with(|host| host.next_timer(before))?;
        let key = known.key_of(&timer.0);
        if let Ok(number) = known.find(key) {
            known.note_timer(number, Timer::None);
        }
        known.pass(timer.1);
        known.told = known.clock;
        Some(timer)
    })
}

/// Sets a timer. False: the host has no room, and nothing changed.
pub(crate) fn set_timer(spot: &Spot, at: i64) -> bool {
    KNOWN.with_borrow_mut(|known| {
        // The host's clock may be ahead, and then the timer may be due at once.
        known.room();
        // All others are due no sooner than it is quiet.
        let is_first = known.quiet.is_some_and(|quiet| at <= quiet);
        known.quiet = known.quiet.map(|quiet| quiet.min(at.min(LATEST)));
        known.is_exact = false;
        let number = known.number_by_now(spot);
        let fact = number.and_then(|number| Some((number, known.facts.get_mut(number as usize)?)));
        if let Some((number, fact)) = fact
            && matches!(fact.timer, Timer::Set | Timer::Owed(_))
        {
            // The host's is replaced, for which there is always room.
            if fact.timer == Timer::Set {
                known.owed_timers.push(number);
            }
            fact.timer = Timer::Owed(at);
            known.is_exact = is_first;
            return true;
        }
        known.spend_on_timer(known.key(spot).len());
        let set = |known: &Known| host::with(|host| host.set_timer(known.key(spot), at));
        let is_set = set(known) || {
            // By the rule's clock something may have expired, and made room.
            let was_behind = known.clock > known.told;
            known.tell();
            was_behind && set(known)
        };
        if is_set {
            known.is_exact = is_first;
            if let Some(number) = number {
                known.note_timer(number, Timer::Set);
            }
        }
        is_set
    })
}

/// Cancels a timer.
pub(crate) fn cancel_timer(spot: &Spot) {
    KNOWN.with_borrow_mut(|known| {
        let number = known.number_by_now(spot);
        let fact = number.and_then(|number| known.facts.get_mut(number as usize));
        let was = fact.map(|fact| std::mem::replace(&mut fact.timer, Timer::None));
        // Where there are none at all, there is nothing to cancel.
        if was != Some(Timer::None) && known.quiet != Some(i64::MAX) {
            known.is_exact = false;
            host::with(|host| host.cancel_timer(known.key(spot)));
        }
    });
}

impl Known {
    /// No timer is due before this time, nor by the clock.
    fn is_quiet(&self, before: i64) -> bool {
        self.quiet.is_some_and(|quiet| quiet >= before && quiet > self.clock)
    }

    /// The fact about a key, also if it came after the spot: what one spot says of the timer, another of the same key must know.
    fn number_by_now(&mut self, spot: &Spot) -> Option<u32> {
        match &spot.at {
            At::Fact(_) => self.number(spot),
            At::Key(key) => {
                let key = self.key_of(key);
                self.find(key).ok()
            }
        }
    }

    fn note_timer(&mut self, number: u32, timer: Timer) {
        if let Some(fact) = self.facts.get_mut(number as usize) {
            fact.timer = timer;
        }
    }

    /// Tells the host what timers were set to.
    pub(super) fn hand_over_timers(&mut self) {
        for number in std::mem::take(&mut self.owed_timers) {
            let Some(fact) = self.facts.get_mut(number as usize) else {
                continue;
            };
            if let Timer::Owed(at) = fact.timer {
                fact.timer = Timer::Set;
                let key = fact.key;
                host::with(|host| host.set_timer(self.bytes_at(key), at));
            }
        }
    }
}
