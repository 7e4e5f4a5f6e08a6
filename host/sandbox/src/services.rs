//! What a rule may ask of the host during one call: views that the caller lent, and a log.
//!
//! Wasmtime's store owns its data for as long as it likes, while a call's state, parameters and tables are borrowed for just
//! that call. Copying them would cost more than the call; so they are lent by a scoped thread-local, which is set exactly
//! while the guest runs. A guest runs on the thread that called it, and host functions never call back into a guest.

use std::sync::Arc;

use picket_contract::{Call, LogLine, Row, StateChanges, StateOverlay};
use scoped_tls_hkt::scoped_thread_local;

use crate::limits::{CallLimits, LogLimits};
use crate::text;
use crate::wire::{Entries, Entry, Level, Room, Timer, Value};

scoped_thread_local!(pub(crate) static mut SERVICES: for<'a> &'a mut (dyn Services + 'a));

/// A key and its value.
pub(crate) type KeyValue = (Arc<[u8]>, Arc<[u8]>);

/// A rule asked for something that only a call of `evaluate` has.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("host services may be used in evaluate only, and describe (or a start function) used one")]
pub(crate) struct Unavailable;

/// The host's side of the contract's interfaces.
pub(crate) trait Services {
    fn get(&mut self, key: &[u8], now: i64) -> Result<Option<Arc<[u8]>>, Unavailable>;
    fn get_entry(&mut self, key: &[u8], now: i64) -> Result<Option<Entry>, Unavailable>;
    /// Adds what is under a key; false: it would be more than `most` bytes, and is not added.
    fn add_entry(&mut self, found: &mut Entries, key: &[u8], now: i64, most: usize) -> Result<bool, Unavailable>;
    /// None: a cap is reached.
    fn put(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Result<Option<i64>, Unavailable>;
    fn room(&mut self) -> Result<Room, Unavailable>;
    fn delete(&mut self, key: &[u8], now: i64) -> Result<(), Unavailable>;
    fn scan(&mut self, prefix: &[u8], now: i64, limit: usize) -> Result<(Vec<KeyValue>, usize), Unavailable>;
    fn set_timer(&mut self, key: &[u8], at: i64) -> Result<bool, Unavailable>;
    fn cancel_timer(&mut self, key: &[u8]) -> Result<(), Unavailable>;
    fn next_timer(&mut self, before: i64) -> Result<Option<Timer>, Unavailable>;
    fn first_timer(&mut self) -> Result<Option<i64>, Unavailable>;
    fn find(&mut self, table: &str, index: &str, key: &str) -> Result<Option<Vec<Row>>, Unavailable>;
    fn param(&mut self, name: &str) -> Result<Option<Value>, Unavailable>;
    fn log(&mut self, level: Level, message: &str);
}

/// What one call has.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    call: Option<(StateOverlay<'a>, Call<'a>)>,
    limits: LogLimits,
    lines: Vec<LogLine>,
    dropped: u64,
    last_error: Option<String>,
}

impl<'a> Lent<'a> {
    /// For `evaluate`.
    pub(crate) fn new(call: Call<'a>, limits: &CallLimits) -> Self {
        Lent {
            call: Some((StateOverlay::new(call.state, limits.state), call)),
            ..Lent::closed(limits.log)
        }
    }

    /// For `describe`: only the log.
    pub(crate) fn closed(limits: LogLimits) -> Self {
        Lent {
            call: None,
            limits,
            lines: Vec::new(),
            dropped: 0,
            last_error: None,
        }
    }

    /// The call succeeded.
    pub(crate) fn finish(self) -> (StateChanges, Vec<LogLine>, u64) {
        let changes = self.call.map(|(overlay, _)| overlay.finish()).unwrap_or_default();
        (changes, self.lines, self.dropped)
    }

    /// The last thing it logged as an error, which is how the SDK passes on a panic's message.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Lines that found no place.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn state(&mut self) -> Result<&mut StateOverlay<'a>, Unavailable> {
        self.call.as_mut().map(|(overlay, _)| overlay).ok_or(Unavailable)
    }

    fn call(&self) -> Result<&Call<'a>, Unavailable> {
        self.call.as_ref().map(|(_, call)| call).ok_or(Unavailable)
    }
}

impl Services for Lent<'_> {
    fn get(&mut self, key: &[u8], now: i64) -> Result<Option<Arc<[u8]>>, Unavailable> {
        Ok(self.state()?.get(key, now))
    }

    fn get_entry(&mut self, key: &[u8], now: i64) -> Result<Option<Entry>, Unavailable> {
        let entry = self.state()?.entry(key, now);
        Ok(entry.map(|entry| Entry {
            value: entry.value.clone(),
            expires_at: entry.expires_at,
        }))
    }

    fn add_entry(&mut self, found: &mut Entries, key: &[u8], now: i64, most: usize) -> Result<bool, Unavailable> {
        let entry = self.state()?.entry(key, now);
        let (value, expires_at) = entry.map_or((&[][..], i64::MIN), |entry| (&*entry.value, entry.expires_at));
        let end = found.values.len() + value.len();
        let (true, Ok(ends)) = (end <= most, u32::try_from(end)) else {
            return Ok(false);
        };
        found.values.extend_from_slice(value);
        found.ends.push(ends);
        found.expires_at.push(expires_at);
        Ok(true)
    }

    fn put(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Result<Option<i64>, Unavailable> {
        Ok(self.state()?.put(key, value, now, expires_at).ok())
    }

    fn room(&mut self) -> Result<Room, Unavailable> {
        Ok(self.state()?.room().into())
    }

    fn delete(&mut self, key: &[u8], now: i64) -> Result<(), Unavailable> {
        self.state()?.delete(key, now);
        Ok(())
    }

    fn scan(&mut self, prefix: &[u8], now: i64, limit: usize) -> Result<(Vec<KeyValue>, usize), Unavailable> {
        Ok(self.state()?.scan_counting(prefix, now, limit))
    }

    fn set_timer(&mut self, key: &[u8], at: i64) -> Result<bool, Unavailable> {
        Ok(self.state()?.set_timer(key, at).is_ok())
    }

    fn cancel_timer(&mut self, key: &[u8]) -> Result<(), Unavailable> {
        self.state()?.cancel_timer(key);
        Ok(())
    }

    fn next_timer(&mut self, before: i64) -> Result<Option<Timer>, Unavailable> {
        Ok(self.state()?.next_timer(before).map(|(key, at)| Timer { key, at }))
    }

    fn first_timer(&mut self) -> Result<Option<i64>, Unavailable> {
        Ok(self.state()?.first_timer())
    }

    fn find(&mut self, table: &str, index: &str, key: &str) -> Result<Option<Vec<Row>>, Unavailable> {
        Ok(self.call()?.tables.find(table, index, key))
    }

    fn param(&mut self, name: &str) -> Result<Option<Value>, Unavailable> {
        Ok(self.call()?.params.get(name).map(Value::from))
    }

    fn log(&mut self, level: Level, message: &str) {
        let fits = self.lines.len() < self.limits.lines;
        if !fits && level != Level::Error {
            self.dropped += 1;
            return;
        }
        let message = text::clean(message, self.limits.line_bytes);
        if level == Level::Error {
            self.last_error = Some(message.clone());
        }
        if fits {
            self.lines.push(LogLine {
                level: level.as_str().to_owned(),
                message,
            });
        } else {
            self.dropped += 1;
        }
    }
}
