//! Natively the host is whatever the test installed for the current thread; without one there is nothing to remember in.

use std::cell::RefCell;

use super::{Entries, Host, Level, Puts, Room, TableRow, Value};

thread_local! {
    static HOST: RefCell<Option<Box<dyn Host>>> = const { RefCell::new(None) };
}

/// Speaks to the current thread's host.
pub(crate) fn with<R>(speak: impl FnOnce(&mut dyn Host) -> R) -> R {
    HOST.with_borrow_mut(|host| match host {
        Some(host) => speak(host.as_mut()),
        None => speak(&mut Nobody),
    })
}

/// Replaces the current thread's host.
#[cfg(feature = "testing")]
pub(crate) fn install(host: Option<Box<dyn Host>>) -> Option<Box<dyn Host>> {
    HOST.replace(host)
}

/// No host: nothing is there, nothing is kept.
struct Nobody;

impl Host for Nobody {
    fn get_entry(&mut self, _: &[u8], _: i64) -> Option<(Vec<u8>, i64)> {
        None
    }
    fn get_entries(&mut self, _: &[u8], _: &[u32], _: i64, _: u32) -> Entries {
        Entries::default()
    }
    fn put_entry(&mut self, _: &[u8], _: &[u8], _: i64, _: i64) -> Option<i64> {
        None
    }
    fn get_room(&mut self) -> Room {
        Room::default()
    }
    fn put_entries(&mut self, _: &Puts, _: i64) -> bool {
        false
    }
    fn delete(&mut self, _: &[u8], _: i64) {}
    fn set_timer(&mut self, _: &[u8], _: i64) -> bool {
        false
    }
    fn cancel_timer(&mut self, _: &[u8]) {}
    fn next_timer(&mut self, _: i64) -> Option<(Vec<u8>, i64)> {
        None
    }
    fn first_timer(&mut self) -> Option<i64> {
        None
    }
    fn find(&mut self, _: &str, _: &str, _: &str) -> Option<Vec<TableRow>> {
        None
    }
    fn param(&mut self, _: &str) -> Option<Value> {
        None
    }
    fn log(&mut self, _: Level, _: &str) {}
}
