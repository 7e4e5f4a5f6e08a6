//! Whoever runs the rule: the sandbox, or a test on the author's machine. The rest of the SDK does not know which.

use std::cell::Cell;

use crate::time::Time;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::with;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::with;

/// A row of a lookup table.
pub(crate) type TableRow = Vec<(String, String)>;

/// The host services of the contract. Keys and values are bytes, times ms.
pub(crate) trait Host {
    fn get_entry(&mut self, key: &[u8], now: i64) -> Option<(Vec<u8>, i64)>;
    fn get_entries(&mut self, keys: &[u8], ends: &[u32], now: i64, most: u32) -> Entries;
    fn put_entry(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Option<i64>;
    fn get_room(&mut self) -> Room;
    fn put_entries(&mut self, puts: &Puts, now: i64) -> bool;
    fn delete(&mut self, key: &[u8], now: i64);
    fn set_timer(&mut self, key: &[u8], at: i64) -> bool;
    fn cancel_timer(&mut self, key: &[u8]);
    fn next_timer(&mut self, before: i64) -> Option<(Vec<u8>, i64)>;
    fn first_timer(&mut self) -> Option<i64>;
    fn find(&mut self, table: &str, index: &str, key: &str) -> Option<Vec<TableRow>>;
    fn param(&mut self, name: &str) -> Option<Value>;
    fn log(&mut self, level: Level, message: &str);
}

/// Values one after the other, where each ends, and when it is gone (ms): the least time where there is none.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) values: Vec<u8>,
    pub(crate) ends: Vec<u32>,
    pub(crate) expires_at: Vec<i64>,
}

/// How much more the rule may remember, at least.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// What an entry counts for besides its key and value, and a timer besides its key at most.
    pub(crate) entry_bytes: u32,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    /// How long an entry is remembered at most, ms.
    pub(crate) life: i64,
    /// The host's clock, ms.
    pub(crate) clock: i64,
}

/// Keys and values, each one after the other with where it ends, and when they are gone (ms): the least time forgets the key.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    pub(crate) keys: Vec<u8>,
    pub(crate) key_ends: Vec<u32>,
    pub(crate) values: Vec<u8>,
    pub(crate) value_ends: Vec<u32>,
    pub(crate) expires_at: Vec<i64>,
}

/// A parameter's value. Durations are ms.
#[derive(Debug, Clone)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// Whole number or duration.
    Integer(i64),
    /// Floating-point number.
    Number(f64),
    /// Text.
    Text(String),
    /// List of texts.
    Texts(Vec<String>),
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(i64::MIN) };
}

/// The time of the row or timer that is being judged: what state helpers pass as `now`.
pub(crate) fn now() -> i64 {
    NOW.get()
}

#[inline]
pub(crate) fn set_now(time: Time) {
    crate::state::known::next_row();
    NOW.set(time.as_ms());
}
