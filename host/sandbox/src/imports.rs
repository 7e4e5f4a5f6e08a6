//! The host functions, and what they cost. Host work is charged to the call's fuel before it is done, at about what the
//! guest would have paid for computing as long; so no loop over host functions outlives the budget.

use std::sync::Arc;

use picket_contract::Row;
use wasmtime::component::{Linker, LinkerInstance, WasmList, WasmStr};
use wasmtime::{StoreContextMut, Trap};

use crate::admission::VERSION;
use crate::module::Guest;
use crate::services::{KeyValue, SERVICES, Services, Unavailable};
use crate::wire::{Entries, Entry, Level, Room, Timer, Value};

/// Crossing the boundary and back, and a look into an ordered map.
const CALL: u64 = 500;
/// A write: it allocates, and is compared with what was there.
const WRITE: u64 = 1000;
/// One more entry of a list.
const ENTRY: u64 = 200;
/// One byte, copied and perhaps compared.
const BYTE: u64 = 1;
/// Most entries of one scan.
const SCAN: usize = 10_000;
/// Most bytes of values that are copied for one question.
const COPIED: usize = 1 << 20;

type Store<'a> = StoreContextMut<'a, Guest>;
type Bytes = WasmList<u8>;

/// Takes fuel for host work.
fn charge(store: &mut Store<'_>, cost: u64) -> wasmtime::Result<()> {
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(cost))?;
    if left < cost {
        Err(Trap::OutOfFuel.into())
    } else {
        Ok(())
    }
}

fn bytes(count: usize) -> u64 {
    BYTE.saturating_mul(count as u64)
}

/// Does something with what the caller lent.
fn lent<R>(work: impl FnOnce(&mut dyn Services) -> Result<R, Unavailable>) -> wasmtime::Result<R> {
    if !SERVICES.is_set() {
        return Err(wasmtime::Error::new(Unavailable));
    }
    SERVICES.with(|services| work(services)).map_err(wasmtime::Error::new)
}

/// Everything a rule may import.
pub(crate) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let interface = |name: &str| format!("picket:rule/{name}@{VERSION}");
    state(&mut linker.instance(&interface("state"))?)?;
    timers(&mut linker.instance(&interface("timers"))?)?;
    linker.instance(&interface("lookup"))?.func_wrap("find", find)?;
    linker.instance(&interface("params"))?.func_wrap("get", param)?;
    linker.instance(&interface("log"))?.func_wrap("write", log)?;
    linker.instance(&interface("types"))?;
    Ok(())
}

fn state(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    instance.func_wrap("get", |mut store: Store<'_>, (key, now): (Bytes, i64)| {
        charge(&mut store, CALL + bytes(key.len()))?;
        let value = lent(|services| services.get(key.as_le_slice(&store), now))?;
        charge(&mut store, bytes(value.as_ref().map_or(0, |value| value.len())))?;
        Ok((value,))
    })?;
    instance.func_wrap(
        "get-many",
        |mut store: Store<'_>, (keys, now): (WasmList<Bytes>, i64)| {
            charge(&mut store, CALL + (CALL + ENTRY).saturating_mul(keys.len() as u64))?;
            let keys = keys.iter(&mut store)?.collect::<wasmtime::Result<Vec<Bytes>>>()?;
            let mut values: Vec<Option<Arc<[u8]>>> = Vec::with_capacity(keys.len());
            for key in keys {
                charge(&mut store, bytes(key.len()))?;
                let value = lent(|services| services.get(key.as_le_slice(&store), now))?;
                charge(&mut store, bytes(value.as_ref().map_or(0, |value| value.len())))?;
                values.push(value);
            }
            Ok((values,))
        },
    )?;
    instance.func_wrap(
        "put",
        |mut store: Store<'_>, (key, value, now, expires_at): (Bytes, Bytes, i64, i64)| {
            charge(&mut store, WRITE + bytes(key.len()) + bytes(value.len()) * 2)?;
            let (key, value) = (key.as_le_slice(&store), value.as_le_slice(&store));
            Ok((lent(|services| services.put(key, value, now, expires_at))?.is_some(),))
        },
    )?;
    instance.func_wrap("delete", |mut store: Store<'_>, (key, now): (Bytes, i64)| {
        charge(&mut store, WRITE + bytes(key.len()))?;
        lent(|services| services.delete(key.as_le_slice(&store), now))
    })?;
    instance.func_wrap(
        "scan",
        |mut store: Store<'_>, (prefix, now, limit): (Bytes, i64, u32)| {
            let limit = usize::try_from(limit).unwrap_or(SCAN).min(SCAN);
            charge(&mut store, CALL + bytes(prefix.len()))?;
            let (found, seen): (Vec<KeyValue>, usize) =
                lent(|services| services.scan(prefix.as_le_slice(&store), now, limit))?;
            let size: usize = found.iter().map(|(key, value)| key.len() + value.len()).sum();
            charge(&mut store, bytes(size) + ENTRY * seen as u64)?;
            Ok((found,))
        },
    )?;
    entries(instance)
}

/// The functions by which a call asks for nothing twice.
fn entries(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    instance.func_wrap("get-entry", |mut store: Store<'_>, (key, now): (Bytes, i64)| {
        charge(&mut store, CALL + bytes(key.len()))?;
        let entry: Option<Entry> = lent(|services| services.get_entry(key.as_le_slice(&store), now))?;
        charge(&mut store, bytes(entry.as_ref().map_or(0, |entry| entry.value.len())))?;
        Ok((entry,))
    })?;
    instance.func_wrap(
        "get-entries",
        |mut store: Store<'_>, (keys, ends, now, most): (Bytes, WasmList<u32>, i64, u32)| {
            let asked = ENTRY.saturating_mul(ends.len() as u64);
            charge(&mut store, CALL + bytes(keys.len()) + asked)?;
            let most = usize::try_from(most).unwrap_or(COPIED).min(COPIED);
            let mut found = Entries::default();
            {
                let (keys, ends) = (keys.as_le_slice(&store), ends.as_le_slice(&store));
                lent(|services| find_entries(services, &mut found, (keys, ends), now, most))?;
            }
            charge(&mut store, bytes(found.values.len()))?;
            Ok((found,))
        },
    )?;
    instance.func_wrap(
        "put-entry",
        |mut store: Store<'_>, (key, value, now, expires_at): (Bytes, Bytes, i64, i64)| {
            charge(&mut store, WRITE + bytes(key.len()) + bytes(value.len()) * 2)?;
            let (key, value) = (key.as_le_slice(&store), value.as_le_slice(&store));
            Ok((lent(|services| services.put(key, value, now, expires_at))?,))
        },
    )?;
    instance.func_wrap("get-room", |mut store: Store<'_>, (): ()| {
        charge(&mut store, CALL)?;
        let room: Room = lent(|services| services.room())?;
        Ok((room,))
    })?;
    instance.func_wrap("put-entries", put_entries)
}

/// Keys and where each ends; values and where each ends; until when each is remembered; the time.
type Puts = (Bytes, WasmList<u32>, Bytes, WasmList<u32>, WasmList<i64>, i64);

/// Puts and deletes entries one after the other. An end that is not behind those before it, or outside, makes an empty key or
/// value.
fn put_entries(
    mut store: Store<'_>,
    (keys, key_ends, values, value_ends, expiries, now): Puts,
) -> wasmtime::Result<(bool,)> {
    let size = bytes(keys.len()) + bytes(values.len()) * 2;
    charge(&mut store, CALL + size + WRITE.saturating_mul(expiries.len() as u64))?;
    let (keys, values) = (keys.as_le_slice(&store), values.as_le_slice(&store));
    let keys = pieces(keys, key_ends.as_le_slice(&store));
    let values = pieces(values, value_ends.as_le_slice(&store));
    let expiries = expiries.as_le_slice(&store);
    let all_kept = lent(|services| {
        let mut all_kept = true;
        for ((key, value), expires_at) in keys.zip(values).zip(expiries) {
            if *expires_at == i64::MIN {
                services.delete(key, now)?;
            } else {
                all_kept &= services.put(key, value, now, *expires_at)?.is_some();
            }
        }
        Ok(all_kept)
    })?;
    Ok((all_kept,))
}

/// Bytes that lie one after the other, by where each ends. None is in two pieces, so what is paid for them is paid for all.
fn pieces<'a>(bytes: &'a [u8], ends: &'a [u32]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map(move |end| {
        let end = usize::try_from(*end).unwrap_or(usize::MAX);
        let piece = bytes.get(start..end).unwrap_or_default();
        start = start.max(end);
        piece
    })
}

/// Looks up keys that lie one after the other. An end that is not behind those before it, or outside, makes an empty key.
fn find_entries(
    services: &mut dyn Services,
    found: &mut Entries,
    (keys, ends): (&[u8], &[u32]),
    now: i64,
    most: usize,
) -> Result<(), Unavailable> {
    found.ends.reserve_exact(ends.len());
    found.expires_at.reserve_exact(ends.len());
    for key in pieces(keys, ends) {
        if !services.add_entry(found, key, now, most)? {
            break;
        }
    }
    Ok(())
}

fn timers(instance: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    instance.func_wrap("set", |mut store: Store<'_>, (key, at): (Bytes, i64)| {
        charge(&mut store, WRITE + bytes(key.len()))?;
        Ok((lent(|services| services.set_timer(key.as_le_slice(&store), at))?,))
    })?;
    instance.func_wrap("cancel", |mut store: Store<'_>, (key,): (Bytes,)| {
        charge(&mut store, WRITE + bytes(key.len()))?;
        lent(|services| services.cancel_timer(key.as_le_slice(&store)))
    })?;
    instance.func_wrap("next", |mut store: Store<'_>, (before,): (i64,)| {
        charge(&mut store, CALL)?;
        let timer: Option<Timer> = lent(|services| services.next_timer(before))?;
        charge(&mut store, bytes(timer.as_ref().map_or(0, |timer| timer.key.len())))?;
        Ok((timer,))
    })?;
    instance.func_wrap("first", |mut store: Store<'_>, (): ()| {
        charge(&mut store, CALL)?;
        Ok((lent(|services| services.first_timer())?,))
    })
}

fn find(
    mut store: Store<'_>,
    (table, index, key): (WasmStr, WasmStr, WasmStr),
) -> wasmtime::Result<(Option<Vec<Row>>,)> {
    charge(&mut store, CALL)?;
    let (table, index, key) = (table.to_str(&store)?, index.to_str(&store)?, key.to_str(&store)?);
    let asked = table.len() + index.len() + key.len();
    let rows = lent(|services| services.find(&table, &index, &key))?;
    let cells = rows.iter().flatten().flatten();
    let size: usize = cells.clone().map(|(column, value)| column.len() + value.len()).sum();
    let entries = cells.count() as u64;
    charge(&mut store, bytes(asked + size) + ENTRY * entries)?;
    Ok((rows,))
}

fn param(mut store: Store<'_>, (name,): (WasmStr,)) -> wasmtime::Result<(Option<Value>,)> {
    charge(&mut store, CALL)?;
    let name = name.to_str(&store)?;
    let value = lent(|services| services.param(&name))?;
    let size = name.len()
        + match &value {
            Some(Value::Text(text)) => text.len(),
            Some(Value::Texts(texts)) => texts.iter().map(|text| text.len() + ENTRY as usize).sum(),
            _ => 0,
        };
    charge(&mut store, bytes(size))?;
    Ok((value,))
}

fn log(mut store: Store<'_>, (level, message): (Level, WasmStr)) -> wasmtime::Result<()> {
    charge(&mut store, CALL)?;
    let message = message.to_str(&store)?;
    let size = message.len();
    lent(|services| {
        services.log(level, &message);
        Ok(())
    })?;
    charge(&mut store, bytes(size))
}
