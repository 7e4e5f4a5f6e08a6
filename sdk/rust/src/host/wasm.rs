//! In the sandbox the host is the component's imports.

use super::{Entries, Host, Level, Puts, Room, TableRow, Value};
use crate::alert::{Alert, Severity};
use crate::columns::{Batch, Column, Group};
use crate::define::Module;

/// Generated from the contract.
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated"
)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated"
)]
#[allow(clippy::allow_attributes_without_reason, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "module",
        pub_export_macro: true,
        export_macro_name: "export_module",
    });
}

use bindings::exports::picket::rule::detection as wit;
use bindings::picket::rule::{log, lookup, params, state, timers, types};

struct Imports;

/// Speaks to the host.
#[inline]
pub(crate) fn with<R>(speak: impl FnOnce(&mut dyn Host) -> R) -> R {
    speak(&mut Imports)
}

impl Host for Imports {
    fn get_entry(&mut self, key: &[u8], now: i64) -> Option<(Vec<u8>, i64)> {
        state::get_entry(key, now).map(|entry| (entry.value, entry.expires_at))
    }
    fn get_entries(&mut self, keys: &[u8], ends: &[u32], now: i64, most: u32) -> Entries {
        let found = state::get_entries(keys, ends, now, most);
        Entries {
            values: found.values,
            ends: found.ends,
            expires_at: found.expires_at,
        }
    }
    fn put_entry(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Option<i64> {
        state::put_entry(key, value, now, expires_at)
    }
    fn get_room(&mut self) -> Room {
        let room = state::get_room();
        Room {
            bytes: room.bytes,
            entries: room.entries,
            entry_bytes: room.entry_bytes,
            key_bytes: room.key_bytes,
            value_bytes: room.value_bytes,
            life: room.life,
            clock: room.clock,
        }
    }
    fn put_entries(&mut self, puts: &Puts, now: i64) -> bool {
        let (keys, values) = (&puts.keys, &puts.values);
        state::put_entries(keys, &puts.key_ends, values, &puts.value_ends, &puts.expires_at, now)
    }
    fn delete(&mut self, key: &[u8], now: i64) {
        state::delete(key, now);
    }
    fn set_timer(&mut self, key: &[u8], at: i64) -> bool {
        timers::set(key, at)
    }
    fn cancel_timer(&mut self, key: &[u8]) {
        timers::cancel(key);
    }
    fn next_timer(&mut self, before: i64) -> Option<(Vec<u8>, i64)> {
        timers::next(before).map(|timer| (timer.key, timer.at))
    }
    fn first_timer(&mut self) -> Option<i64> {
        timers::first()
    }
    fn find(&mut self, table: &str, index: &str, key: &str) -> Option<Vec<TableRow>> {
        lookup::find(table, index, key)
    }
    fn param(&mut self, name: &str) -> Option<Value> {
        Some(match params::get(name)? {
            params::Value::Boolean(flag) => Value::Boolean(flag),
            params::Value::Integer(number) => Value::Integer(number),
            params::Value::Number(number) => Value::Number(number),
            params::Value::Text(text) => Value::Text(text),
            params::Value::Texts(texts) => Value::Texts(texts),
        })
    }
    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        };
        log::write(level, message);
    }
}

/// Serves the component's `evaluate`.
///
/// # Errors
/// There is no such rule, the batch breaks the contract, or the rule failed.
pub fn serve(module: &Module, rule: &str, batch: &wit::Batch) -> Result<Vec<wit::Alert>, String> {
    // A panic's message and place would be lost: the trap that follows carries neither.
    std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
    let view = Batch {
        groups: batch.groups.iter().map(group).collect(),
        order: &batch.order,
        watermark: batch.watermark,
    };
    module.evaluate(rule, view)?.into_iter().map(alert).collect()
}

fn group(group: &types::Group) -> Group<'_> {
    let columns = group.columns.iter().map(|column| match column {
        types::Column::Text(codes) => Column::Text(codes),
        types::Column::S64(numbers) => Column::S64(&numbers.values, &numbers.valid),
        types::Column::F64(numbers) => Column::F64(&numbers.values, &numbers.valid),
        types::Column::Boolean(values) => Column::Bool(values),
        types::Column::Texts(lists) => Column::Texts(&lists.offsets, &lists.codes),
    });
    Group {
        source: group.source,
        events: &group.events,
        times: &group.times,
        late: &group.late,
        dictionary: &group.dictionary,
        offsets: &group.offsets,
        columns: columns.collect(),
    }
}

fn alert(alert: Alert) -> Result<wit::Alert, String> {
    let (proof, raised_by) = alert.proof()?;
    Ok(types::Alert {
        time: proof.last().unwrap_or(&raised_by).time.as_ms(),
        evidence: proof.iter().map(|handle| handle.event).collect(),
        raised_by: raised_by.event,
        title: alert.title,
        dedup_key: alert.dedup_key,
        severity: alert.severity.map(|severity| match severity {
            Severity::Info => types::Severity::Info,
            Severity::Low => types::Severity::Low,
            Severity::Medium => types::Severity::Medium,
            Severity::High => types::Severity::High,
            Severity::Critical => types::Severity::Critical,
        }),
        about: alert.about.map(|(kind, key, name)| types::About { kind, key, name }),
        facts: alert.facts,
    })
}
