//! A call's view of a state equals a plain map that is written at once, whatever is committed and whatever is fresh.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::state::{ENTRY_COST, Full, StateEntry, StateLimits, TIMER_COST};
use picket_contract::{RuleState, StateOverlay};

/// The plain map: key to (value, expiry), timers, clock.
#[derive(Default)]
struct Plain {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, i64)>,
    timers: BTreeMap<Vec<u8>, i64>,
    clock: Option<i64>,
    limits: StateLimits,
}

impl Plain {
    fn bytes(&self) -> usize {
        let entries = self
            .entries
            .iter()
            .map(|(key, (value, _))| key.len() + value.len() + ENTRY_COST);
        entries.sum::<usize>() + self.timers.keys().map(|key| key.len() + TIMER_COST).sum::<usize>()
    }

    fn put(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Result<i64, Full> {
        self.pass(now);
        let clock = self.clock.unwrap();
        if expires_at <= clock {
            self.entries.remove(key);
            return Ok(i64::MIN);
        }
        let expires_at = expires_at.min(clock + self.limits.life_ms);
        let before = self.entries.clone();
        self.entries.insert(key.to_vec(), (value.to_vec(), expires_at));
        let grows = before.get(key).is_none_or(|(old, _)| old.len() < value.len());
        if grows && (self.bytes() > self.limits.total_bytes || self.entries.len() > self.limits.entries) {
            self.entries = before;
            return Err(Full::Total);
        }
        Ok(expires_at)
    }

    fn set_timer(&mut self, key: &[u8], at: i64) -> Result<(), Full> {
        let before = self.timers.clone();
        self.timers.insert(key.to_vec(), at);
        let grows = !before.contains_key(key);
        if grows && (self.bytes() > self.limits.total_bytes || self.timers.len() > self.limits.timers) {
            self.timers = before;
            return Err(Full::Total);
        }
        Ok(())
    }

    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(Some(now));
        let clock = self.clock.unwrap_or(i64::MIN);
        self.entries.retain(|_, (_, expires_at)| *expires_at > clock);
    }

    fn first_timer(&self) -> Option<i64> {
        let at = *self.timers.values().min()?;
        let is_due = self.clock.is_some_and(|clock| at <= clock);
        Some(if is_due { i64::MIN } else { at })
    }

    fn next_timer(&mut self, before: i64) -> Option<(Vec<u8>, i64)> {
        let (at, key) = self.timers.iter().map(|(key, at)| (*at, key.clone())).min()?;
        if at >= before && self.clock.is_none_or(|clock| at > clock) {
            return None;
        }
        self.timers.remove(&key);
        self.pass(at);
        Some((key, at))
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides) as i64
    }

    fn key(&mut self) -> Vec<u8> {
        let length = 1 + self.roll(3);
        (0..length).map(|_| b'a' + self.roll(3) as u8).collect()
    }
}

#[test]
fn an_overlay_equals_a_plain_map() {
    let mut refused = 0;
    for seed in 0..2000 {
        let mut dice = Dice(seed);
        let (mut plain, mut state) = (Plain::default(), RuleState::default());
        for _call in 0..6 {
            // An operator may change the caps between two calls.
            let limits = if seed % 2 == 0 {
                StateLimits::default()
            } else {
                StateLimits {
                    entries: 3 + dice.roll(20) as usize,
                    timers: 2 + dice.roll(10) as usize,
                    total_bytes: dice.roll(20 * ENTRY_COST as u64) as usize,
                    ..StateLimits::default()
                }
            };
            plain.limits = limits;
            let mut overlay = StateOverlay::new(&state, limits);
            for _step in 0..30 {
                let (key, now) = (dice.key(), dice.roll(100));
                match dice.roll(9) {
                    0 | 1 => {
                        let (value, expires_at) = (dice.key(), dice.roll(150));
                        let put = overlay.put(&key, &value, now, expires_at);
                        refused += usize::from(put.is_err());
                        assert_eq!(put, plain.put(&key, &value, now, expires_at), "seed {seed}");
                    }
                    2 => {
                        overlay.delete(&key, now);
                        plain.pass(now);
                        plain.entries.remove(&key);
                    }
                    3 => {
                        let limit = dice.roll(6) as usize;
                        let prefix = &key[..key.len() - 1];
                        plain.pass(now);
                        let under = plain.entries.iter().filter(|(key, _)| key.starts_with(prefix));
                        let expected: Vec<_> = under
                            .take(limit)
                            .map(|(key, (value, _))| (key.clone(), value.clone()))
                            .collect();
                        let found = overlay.scan(prefix, now, limit);
                        let found: Vec<_> = found
                            .iter()
                            .map(|(key, value)| (key.to_vec(), value.to_vec()))
                            .collect();
                        assert_eq!(found, expected, "seed {seed}");
                    }
                    4 => {
                        let at = dice.roll(150);
                        assert_eq!(overlay.set_timer(&key, at), plain.set_timer(&key, at), "seed {seed}");
                    }
                    5 => {
                        overlay.cancel_timer(&key);
                        plain.timers.remove(&key);
                    }
                    6 => assert_eq!(overlay.first_timer(), plain.first_timer(), "seed {seed}"),
                    7 => {
                        plain.pass(now);
                        let found = overlay.entry(&key, now);
                        let found = found.map(|entry| (entry.value.to_vec(), entry.expires_at));
                        assert_eq!(found, plain.entries.get(&key).cloned(), "seed {seed}");
                    }
                    _ => {
                        let fired = overlay.next_timer(now).map(|(key, at)| (key.to_vec(), at));
                        assert_eq!(fired, plain.next_timer(now), "seed {seed}");
                    }
                }
            }
            let changes = overlay.finish();
            let before: BTreeMap<_, _> = state
                .entries()
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect();
            let is_change = |(key, entry): (&Arc<[u8]>, &Option<StateEntry>)| entry.as_ref() != before.get(key);
            assert!(changes.entries.iter().all(is_change), "seed {seed}: {changes:?}");
            state.apply(&changes);
            let entries: BTreeMap<_, _> = state
                .entries()
                .map(|(key, entry)| (key.to_vec(), entry.clone()))
                .collect();
            let expected = plain.entries.iter().map(|(key, (value, expires_at))| {
                (
                    key.clone(),
                    StateEntry {
                        value: Arc::from(value.as_slice()),
                        expires_at: *expires_at,
                    },
                )
            });
            assert_eq!(entries, expected.collect(), "seed {seed}");
            let timers: BTreeMap<_, _> = state.timers().map(|(key, at)| (key.to_vec(), at)).collect();
            assert_eq!(timers, plain.timers, "seed {seed}");
            assert_eq!(state.bytes(), plain.bytes(), "seed {seed}");
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn nothing_is_remembered_for_ever() {
    let limits = StateLimits::default();
    let mut state = RuleState::default();
    let mut put = |now: i64, value: &[u8]| {
        let mut overlay = StateOverlay::new(&state, limits);
        overlay.put(b"key", value, now, i64::MAX).unwrap();
        let changes = overlay.finish();
        state.apply(&changes);
        changes
            .entries
            .values()
            .flatten()
            .map(|entry| entry.expires_at)
            .collect::<Vec<_>>()
    };
    assert_eq!(put(1000, b"a"), [1000 + limits.life_ms]);
    // Renewed when it gains a sixteenth, and with another value.
    let sixteenth = limits.life_ms / 16;
    assert_eq!(put(1000 + sixteenth - 1, b"a"), [0; 0]);
    assert_eq!(put(1000 + sixteenth - 1, b"b"), [1000 + sixteenth - 1 + limits.life_ms]);
    assert_eq!(put(1000 + 2 * sixteenth, b"b"), [1000 + 2 * sixteenth + limits.life_ms]);
}

#[test]
fn a_full_state_costs_no_more_than_another() {
    const MANY: u32 = 100_000;
    let limits = StateLimits {
        total_bytes: MANY as usize * (4 + ENTRY_COST),
        ..StateLimits::default()
    };
    let entry = |key: u32| {
        let entry = StateEntry {
            value: Arc::from([]),
            expires_at: 1000 + i64::from(key),
        };
        (Arc::from(key.to_be_bytes()), entry)
    };
    let state = RuleState::restore(Some(0), (0..MANY).map(entry), []);
    let mut overlay = StateOverlay::new(&state, limits);
    // Each put meets the cap; each second one finds that another entry has expired. Were the expired counted anew each time,
    // or what was written, this would take hours and not a moment.
    for step in 0..2 * MANY {
        let now = 1000 + i64::from(step / 2);
        let put = overlay.put(&(MANY + step).to_be_bytes(), &[], now, i64::MAX);
        assert_eq!(put.is_ok(), step % 2 == 0, "{step}");
    }
    let mut after = state.clone();
    after.apply(&overlay.finish());
    assert_eq!(after.bytes(), limits.total_bytes);
}

#[test]
fn a_scan_looks_no_further_than_it_must() {
    let entry = |key: u32| {
        (
            Arc::from(key.to_be_bytes()),
            StateEntry {
                value: Arc::from([0_u8; 4]),
                expires_at: 1000,
            },
        )
    };
    let state = RuleState::restore(Some(0), (0..10_000).map(entry), []);
    let mut overlay = StateOverlay::new(&state, StateLimits::default());
    let (found, seen) = overlay.scan_counting(&[], 1, 5);
    assert_eq!((found.len(), seen), (5, 5));
    // All of them expire: nothing is found, and that was work.
    assert_eq!(overlay.scan_counting(&[], 1000, 5), (Vec::new(), 10_000));
}
