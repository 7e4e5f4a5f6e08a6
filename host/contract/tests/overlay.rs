//! A call's view of a state equals a plain map that is written at once, whatever is committed and whatever is fresh.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::state::{StateEntry, StateLimits};
use picket_contract::{RuleState, StateOverlay};

/// The plain map: key to (value, expiry), timers, clock.
#[derive(Default)]
struct Plain {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, i64)>,
    timers: BTreeMap<Vec<u8>, i64>,
    clock: Option<i64>,
}

impl Plain {
    fn pass(&mut self, now: i64) {
        self.clock = self.clock.max(Some(now));
        let clock = self.clock.unwrap_or(i64::MIN);
        self.entries.retain(|_, (_, expires_at)| *expires_at > clock);
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
    for seed in 0..500 {
        let mut dice = Dice(seed);
        let (mut plain, mut state) = (Plain::default(), RuleState::default());
        for _call in 0..6 {
            let mut overlay = StateOverlay::new(&state, StateLimits::default());
            for _step in 0..30 {
                let (key, now) = (dice.key(), dice.roll(100));
                match dice.roll(7) {
                    0 | 1 => {
                        let (value, expires_at) = (dice.key(), dice.roll(150));
                        overlay.put(&key, &value, now, expires_at).unwrap();
                        plain.pass(now);
                        plain.entries.insert(key, (value, expires_at));
                        plain.pass(now);
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
                        overlay.set_timer(&key, at).unwrap();
                        plain.timers.insert(key, at);
                    }
                    5 => {
                        overlay.cancel_timer(&key);
                        plain.timers.remove(&key);
                    }
                    _ => {
                        let fired = overlay.next_timer(now).map(|(key, at)| (key.to_vec(), at));
                        assert_eq!(fired, plain.next_timer(now), "seed {seed}");
                    }
                }
            }
            let changes = overlay.finish();
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
        }
    }
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
