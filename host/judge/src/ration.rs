//! How much fuel the rules of one tenant may burn in a minute.
//!
//! Fuel for a call bounds what one call does; nothing so far bounds how many calls there are. So a tenant has a purse that
//! fills with the minutes and holds one minute's worth. What its rules burn is taken from it, and it may be overdrawn: a call
//! is never cut for it. While it is empty, rules that burn much stand back where they are; when it is overdrawn by a whole
//! minute, all of the tenant's rules wait. They wait and skip nothing: a position is all there is to resume from. Other tenants
//! have purses of their own, so nobody pays for somebody else's rules.
//!
//! Time comes in as `now`. When rules judge depends on it; what they raise does not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::verdict::Said;

const MINUTE: i128 = 60_000;

/// One tenant's purse.
#[derive(Debug)]
pub struct Ration {
    /// Fuel. `u64::MAX`: without bound.
    per_minute: AtomicU64,
    purse: Mutex<Purse>,
}

#[derive(Debug, Default)]
struct Purse {
    /// Fuel; less than nothing when overdrawn.
    left: i128,
    /// When `left` was so, wall clock, ms.
    at: i64,
    /// When it was last full, wall clock, ms.
    full_at: i64,
    /// What was burnt since, by rule.
    burnt: BTreeMap<Arc<str>, u64>,
    /// Rules that stand back.
    held: Vec<Arc<str>>,
}

/// How a tenant's purse stands. Fuel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RationView {
    /// What comes in with each minute.
    pub per_minute: u64,
    /// What was burnt since the purse was last full.
    pub burnt: u64,
    /// When it was last full, wall clock, ms.
    pub since: i64,
    /// The rule that burnt most of it, and how much.
    pub heaviest: Option<(Arc<str>, u64)>,
    /// Rules that stand back.
    pub held: Vec<Arc<str>>,
    /// All of the tenant's rules wait.
    pub all_wait: bool,
    /// When there is something in it again, wall clock, ms. None: there is.
    pub empty_until: Option<i64>,
}

impl Default for Ration {
    fn default() -> Self {
        Ration::new(u64::MAX)
    }
}

impl Ration {
    /// A purse that is full at first.
    #[must_use]
    pub fn new(per_minute: u64) -> Self {
        Ration {
            per_minute: AtomicU64::new(per_minute),
            purse: Mutex::new(Purse {
                left: per_minute.into(),
                ..Purse::default()
            }),
        }
    }

    /// Another amount from now on; what is burnt stays burnt.
    pub fn set_per_minute(&self, per_minute: u64) {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.per_minute.swap(per_minute, Ordering::AcqRel);
        let more = i128::from(per_minute) - i128::from(before);
        purse.left = if before == u64::MAX {
            per_minute.into()
        } else {
            purse.left + more
        };
    }

    fn per_minute(&self) -> u64 {
        self.per_minute.load(Ordering::Acquire)
    }

    /// Rules that burn much may go on.
    #[must_use]
    pub fn may_go(&self, now: i64) -> bool {
        self.is_endless() || self.purse(now).left > 0
    }

    /// Nobody may go on.
    #[must_use]
    pub fn all_wait(&self, now: i64) -> bool {
        !self.is_endless() && self.purse(now).left <= -i128::from(self.per_minute())
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: i64) -> RationView {
        let purse = self.purse(now);
        let heaviest = purse.burnt.iter().max_by_key(|(_, fuel)| **fuel);
        let wait = (-purse.left).max(0) * MINUTE / i128::from(self.per_minute().max(1));
        RationView {
            per_minute: self.per_minute(),
            burnt: purse.burnt.values().fold(0, |all: u64, fuel| all.saturating_add(*fuel)),
            since: purse.full_at,
            heaviest: heaviest.map(|(rule, fuel)| (rule.clone(), *fuel)),
            held: purse.held.clone(),
            all_wait: !self.is_endless() && purse.left <= -i128::from(self.per_minute()),
            empty_until: (!self.is_endless() && purse.left <= 0).then(|| {
                now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
                    .saturating_add(1)
            }),
        }
    }

    /// Rules have burnt this.
    pub(crate) fn burn(&self, said: &[Said], now: i64) {
        if said.is_empty() || self.is_endless() {
            return;
        }
        let mut purse = self.purse(now);
        for said in said {
            purse.left -= i128::from(said.usage.fuel);
            let burnt = purse.burnt.entry(said.rule.clone()).or_default();
            *burnt = burnt.saturating_add(said.usage.fuel);
        }
    }

    /// These rules stand back now.
    pub(crate) fn set_held<'a>(&self, held: impl Iterator<Item = &'a str>) {
        let held: Vec<Arc<str>> = held.map(Arc::from).collect();
        self.purse.lock().unwrap_or_else(PoisonError::into_inner).held = held;
    }

    /// Whether rules stand back.
    pub(crate) fn is_holding(&self) -> bool {
        let purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        !purse.held.is_empty()
    }

    fn is_endless(&self) -> bool {
        self.per_minute() == u64::MAX
    }

    /// The purse as it is now. A clock that goes back brings nothing in, and takes nothing away.
    fn purse(&self, now: i64) -> MutexGuard<'_, Purse> {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i128::from(now.saturating_sub(purse.at).max(0));
        let whole = i128::from(self.per_minute());
        // As a fraction of a minute it could be lost over many small steps: what is less than a unit stays with the clock.
        let earned = whole * passed / MINUTE;
        if earned > 0 || now < purse.at {
            purse.at = now;
            purse.left = (purse.left + earned).min(whole);
        }
        if purse.left >= whole {
            purse.full_at = now;
            purse.burnt.clear();
        }
        purse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use picket_contract::Usage;

    fn burn(ration: &Ration, rule: &str, fuel: u64, now: i64) {
        let usage = Usage {
            fuel,
            ..Usage::default()
        };
        let lines = Vec::new();
        ration.burn(
            &[Said {
                module: "sha256:m".into(),
                rule: rule.into(),
                lines,
                usage,
            }],
            now,
        );
    }

    #[test]
    fn it_fills_with_the_minutes_and_holds_one_minutes_worth() {
        let ration = Ration::new(6000);
        burn(&ration, "light", 1000, 0);
        burn(&ration, "heavy", 5000, 0);
        assert!(!ration.may_go(0) && !ration.all_wait(0));
        let view = ration.view(0);
        assert_eq!((view.burnt, view.heaviest), (6000, Some(("heavy".into(), 5000))));
        assert!(
            !ration.may_go(9) && ration.may_go(10),
            "a hundredth of a second brings one"
        );
        assert!(ration.may_go(60_000));
        assert_eq!(ration.view(60_000).burnt, 0, "full again: that is over");
        burn(&ration, "heavy", 6001, 1_000_000);
        assert!(!ration.may_go(1_000_000), "hours of rest are worth a minute");
    }

    #[test]
    fn overdrawn_by_a_minute_everybody_waits() {
        let ration = Ration::new(6000);
        burn(&ration, "heavy", 12_000, 0);
        assert!(ration.all_wait(0));
        assert_eq!(ration.view(0).empty_until, Some(60_001));
        assert!(!ration.all_wait(10) && !ration.may_go(60_000) && ration.may_go(60_010));
    }

    #[test]
    fn a_clock_that_goes_back_stops_nobody_for_long() {
        let ration = Ration::new(6000);
        burn(&ration, "heavy", 7000, 3_600_000);
        assert!(!ration.may_go(0));
        assert!(ration.may_go(11_000));
    }

    #[test]
    fn without_bound_nothing_is_counted() {
        let ration = Ration::default();
        burn(&ration, "heavy", u64::MAX, 0);
        assert!(ration.may_go(0) && !ration.all_wait(0));
        assert_eq!(ration.view(0).empty_until, None);
    }

    #[test]
    fn another_amount_leaves_what_is_burnt_burnt() {
        let ration = Ration::new(6000);
        burn(&ration, "heavy", 7000, 0);
        assert!(!ration.may_go(0));
        ration.set_per_minute(12_000);
        assert!(ration.may_go(0));
        assert_eq!((ration.view(0).per_minute, ration.view(0).burnt), (12_000, 7000));
        ration.set_per_minute(1000);
        assert!(
            !ration.may_go(0) && ration.all_wait(0),
            "it is overdrawn by six minutes"
        );
        let endless = Ration::default();
        burn(&endless, "heavy", 7000, 0);
        endless.set_per_minute(1000);
        assert!(endless.may_go(0), "what nobody counted is not held against it");
    }
}
