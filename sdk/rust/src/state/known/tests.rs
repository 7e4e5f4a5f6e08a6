use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use picket_contract::state::{ENTRY_COST, StateLimits};
use picket_contract::{RuleState, StateOverlay};

use super::*;
use crate::host::native::install;
use crate::testing::Services;

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
        format!("store\0{}", self.roll(12)).into_bytes()
    }

    /// Some so long that not all of them find a place.
    fn value(&mut self) -> Vec<u8> {
        let length = if self.roll(4) == 0 {
            self.roll(60_000)
        } else {
            self.roll(40)
        };
        vec![b'a' + self.roll(26) as u8; length as usize]
    }
}

/// The same done with and without knowing anything: what the rule sees at every step, and the state in the end.
#[test]
fn whoever_knows_sees_what_whoever_asks_sees() {
    let (mut unseen, mut refused) = (0, 0);
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let limits = StateLimits {
            entries: 3 + dice.roll(20) as usize,
            total_bytes: if seed % 2 == 0 {
                8 << 20
            } else {
                8 * ENTRY_COST + dice.roll(200_000) as usize
            },
            life_ms: 1000,
            ..StateLimits::default()
        };
        let mut state = RuleState::default();
        for _call in 0..4 {
            let services = Rc::new(RefCell::new(Services::of_state(state.clone(), limits)));
            let outer = install(Some(Box::new(services.clone())));
            let mut asks = StateOverlay::new(&state, limits);
            begin();
            let mut now = dice.roll(100);
            let mut only_now: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            for _row in 0..12 {
                // Late rows and timers go back.
                now = if dice.roll(4) == 0 {
                    dice.roll(200)
                } else {
                    now + dice.roll(20)
                };
                next_row();
                only_now.clear();
                for _step in 0..dice.roll(6) {
                    let key = dice.key();
                    match dice.roll(12) {
                        0..=3 => {
                            let expected = only_now.get(&key).cloned();
                            unseen += usize::from(expected.is_some());
                            let expected = expected.or_else(|| asks.get(&key, now).map(|value| value.to_vec()));
                            read(&spot_of(&key), now, |value| {
                                assert_eq!(value, expected.as_deref(), "seed {seed}")
                            });
                        }
                        4..=6 => {
                            let longest = if dice.roll(3) == 0 { 3000 } else { 120 };
                            let expires_at = now + 1 + dice.roll(longest);
                            let spot = spot_of(&key);
                            let mut value = dice.value();
                            // Some are made of what is there.
                            let part = dice.roll(2) == 0;
                            let mut change = Splice::default();
                            if part {
                                let old = only_now.get(&key).cloned();
                                let old = old.or_else(|| asks.get(&key, now).map(|value| value.to_vec()));
                                let old = old.unwrap_or_default();
                                read(&spot, now, |value| {
                                    assert_eq!(value.unwrap_or_default(), old, "seed {seed}")
                                });
                                let some = |dice: &mut Dice, most: usize| dice.roll(most.min(20) as u64 + 1) as usize;
                                let length = some(&mut dice, old.len());
                                let mut head = old[..length].to_vec();
                                change.out = some(&mut dice, old.len() - length);
                                change.cut = some(&mut dice, old.len() - length - change.out);
                                if dice.roll(4) == 0 {
                                    change.out = 0;
                                    value = old[old.len() - change.cut..].to_vec();
                                }
                                if dice.roll(2) == 0 {
                                    head.fill(7);
                                }
                                (change.head, change.tail) = (&head, &value);
                                let kept = &old[length + change.out..old.len() - change.cut];
                                let whole = [&head, kept, &value].concat();
                                let kept = asks.put(&key, &whole, now, expires_at);
                                only_now.remove(&key);
                                match kept {
                                    Ok(i64::MIN) => _ = only_now.insert(key.clone(), whole),
                                    Ok(_) => {}
                                    Err(_) => only_now.clear(),
                                }
                                refused += usize::from(kept.is_err());
                                assert_eq!(splice(&spot, change, now, expires_at), kept.is_ok(), "seed {seed}");
                                continue;
                            }
                            let kept = asks.put(&key, &value, now, expires_at);
                            only_now.remove(&key);
                            match kept {
                                Ok(i64::MIN) => _ = only_now.insert(key.clone(), value.clone()),
                                Ok(_) => {}
                                Err(_) => only_now.clear(),
                            }
                            refused += usize::from(kept.is_err());
                            assert_eq!(
                                write(&spot_of(&key), &value, now, expires_at),
                                kept.is_ok(),
                                "seed {seed}"
                            );
                        }
                        7 => {
                            asks.delete(&key, now);
                            only_now.remove(&key);
                            delete(&spot_of(&key), now);
                        }
                        8 => {
                            let at = match dice.roll(20) {
                                0 => i64::MAX,
                                _ => now + dice.roll(60) - 20,
                            };
                            assert_eq!(
                                set_timer(&spot_of(&key), at),
                                asks.set_timer(&key, at).is_ok(),
                                "seed {seed}"
                            );
                        }
                        9 => {
                            asks.cancel_timer(&key);
                            cancel_timer(&spot_of(&key));
                        }
                        10 => {
                            let due = asks.next_timer(now).map(|(key, at)| (key.to_vec(), at));
                            assert_eq!(next_timer(now), due, "seed {seed}");
                        }
                        _ => {
                            // What is foreseen is asked for at the row's time.
                            asks.get(&key, now);
                            read(&spot_of(&key), now, |_| ());
                            let store = KNOWN.with_borrow_mut(|known| known.name("store"));
                            fetch(|want| {
                                _ = (0..6).all(|_| want(store, dice.key().strip_prefix(b"store\0").unwrap()));
                            });
                        }
                    }
                }
            }
            end();
            install(outer);
            let services = Rc::into_inner(services).unwrap().into_inner();
            let changes = asks.finish();
            let mut knows = state.clone();
            knows.apply(&services.state.finish());
            state.apply(&changes);
            assert_eq!(knows, state, "seed {seed}");
        }
    }
    assert!(unseen > 20 && refused > 20, "{unseen} {refused}");
}

#[test]
#[should_panic(expected = "ask again")]
fn what_of_gives_is_for_the_row_that_asked() {
    begin();
    next_row();
    let of_this_row = spot("store", "key");
    next_row();
    delete(&of_this_row, 0);
}

#[test]
fn a_key_is_one_however_it_is_named() {
    begin();
    next_row();
    KNOWN.with_borrow_mut(|known| {
        for text in [
            "",
            "a",
            "abc",
            "abcd",
            "abcdefg",
            "abcdefgh",
            "a text of more than sixteen",
            &"long ".repeat(9),
        ] {
            let whole = [b"store\0", text.as_bytes()].concat();
            let (read, name) = (known.key_of(&whole), known.name("store"));
            let named = Key {
                name,
                text: text.as_bytes(),
            };
            let number = known.fact(read).unwrap();
            assert_eq!(known.find(named), Ok(number), "{text}");
            assert_eq!(known.joined(named), whole);
            assert_eq!(known.len_of(named), whole.len());
            // A text alone, and another helper's, are other keys.
            let other = known.name("other");
            for key in [known.key_of(text.as_bytes()), Key { name: other, ..named }] {
                assert!(known.find(key).is_err(), "{text}");
            }
        }
    });
}
