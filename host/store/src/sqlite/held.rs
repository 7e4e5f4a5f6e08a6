//! Which events the journal holds.
//!
//! An event is known by its log and id, and looked for around its order time: the same row has the same time however often
//! Duo gives it. So the ids of an admission are one row, written behind the last, with the span of its events' times; a
//! lookup reads the rows whose span reaches the times in question. While a log is read forwards that is the page before, and
//! only what shares its last moment has to be compared at all.
//!
//! Ids older than anything that is asked for again in the ordinary way are pruned. Their events are known all the same: the
//! admission is marked, and who asks about its times after all (a backfill) has its block read.

use std::collections::HashSet;
use std::sync::Arc;

use picket_contract::EventRecord;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::journal;
use crate::block;

/// Under which an event's id is remembered.
pub(super) type Hash = [u8; 16];

/// The ids of one admission.
#[derive(Debug)]
pub(super) struct Ids {
    /// Of the events' times, ms.
    pub(super) t_min: i64,
    pub(super) t_max: i64,
    /// By hash, with the event's place in `events`.
    sorted: Vec<(Hash, usize)>,
    /// Ids and order times, ms.
    events: Vec<(Arc<str>, i64)>,
}

fn hash(log: &str, id: &str) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(log.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(hasher.finalize().as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
    short
}

impl Ids {
    /// None: there are no events.
    pub(super) fn of(log: &str, events: &[EventRecord]) -> Option<Self> {
        let times = || events.iter().map(|event| event.time);
        let (t_min, t_max) = (times().min()?, times().max()?);
        let numbered = events.iter().enumerate();
        let mut sorted: Vec<(Hash, usize)> = numbered.map(|(place, event)| (hash(log, &event.id), place)).collect();
        sorted.sort_unstable();
        Some(Ids {
            t_min,
            t_max,
            sorted,
            events: events.iter().map(|event| (event.id.clone(), event.time)).collect(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    fn is_within(&self, place: usize, t_min: i64, t_max: i64) -> bool {
        let event = self.events.get(place);
        event.is_some_and(|(_, time)| (t_min..=t_max).contains(time))
    }

    /// The place of an event that is there twice.
    fn double(&self) -> Option<usize> {
        let mut pairs = self.sorted.iter().zip(self.sorted.iter().skip(1));
        pairs
            .find(|((one, _), (next, _))| one == next)
            .map(|(_, (_, place))| *place)
    }

    fn blob(&self) -> Vec<u8> {
        self.sorted.iter().flat_map(|(hash, _)| hash).copied().collect()
    }
}

fn contains(blob: &[u8], hash: &Hash) -> bool {
    blob.as_chunks::<16>().0.binary_search(hash).is_ok()
}

/// Calls `each` with the span and the ids of every row of a log that reaches between two times.
fn reaching(
    connection: &Connection,
    tenant: i64,
    log: &str,
    (from, to): (i64, i64),
    mut each: impl FnMut(i64, i64, &[u8]),
) -> Result<(), Fault> {
    let sql =
        "SELECT t_min, t_max, ids FROM held WHERE tenant = ?1 AND log IN (?2, '') AND t_max >= ?3 AND t_min <= ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![tenant, log, from, to])?;
    while let Some(row) = rows.next()? {
        let ids = row.get_ref(2)?;
        each(row.get(0)?, row.get(1)?, ids.as_blob().map_err(rusqlite::Error::from)?);
    }
    Ok(())
}

/// An admission whose ids only its block has.
pub(super) struct Unheld {
    pub(super) id: i64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) events: usize,
    pub(super) t_min: i64,
    pub(super) t_max: i64,
}

/// Those of a log that reach between two times.
pub(super) fn unheld(
    connection: &Connection,
    tenant: i64,
    log: &str,
    (from, to): (i64, i64),
) -> Result<Vec<Unheld>, Fault> {
    let sql = "SELECT id, first_seq, last_seq, events, t_min, t_max FROM admission
               WHERE tenant = ?1 AND log = ?2 AND events > 0 AND ids = 0 AND t_max >= ?3 AND t_min <= ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![tenant, log, from, to], |row| {
        Ok(Unheld {
            id: row.get(0)?,
            first_seq: row.get(1)?,
            last_seq: row.get(2)?,
            events: row.get(3)?,
            t_min: row.get(4)?,
            t_max: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// As [`crate::Store::known`], of what is remembered here.
pub(super) fn known(
    connection: &Connection,
    tenant: i64,
    log: &str,
    ids: &[(&str, i64)],
    near: i64,
) -> Result<Vec<bool>, Fault> {
    let mut known = vec![false; ids.len()];
    let times = || ids.iter().map(|(_, time)| *time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(known);
    };
    // Made where they are needed: most of a page is behind everything that is held.
    let mut hashes: Vec<Option<Hash>> = vec![None; ids.len()];
    let reach = (first.saturating_sub(near), last.saturating_add(near));
    reaching(connection, tenant, log, reach, |t_min, t_max, blob| {
        for ((known, hash), (id, time)) in known.iter_mut().zip(&mut hashes).zip(ids) {
            let is_near = time.saturating_add(near) >= t_min && time.saturating_sub(near) <= t_max;
            if is_near && !*known {
                *known = contains(blob, hash.get_or_insert_with(|| self::hash(log, id)));
            }
        }
    })?;
    Ok(known)
}

/// Remembers what an admission brings. Or the id of an event that is held already: nothing is written.
pub(super) fn remember(
    connection: &Connection,
    tenant: i64,
    log: &str,
    ids: &Ids,
) -> Result<Result<(), Arc<str>>, Fault> {
    let mut double = ids.double();
    reaching(connection, tenant, log, (ids.t_min, ids.t_max), |t_min, t_max, blob| {
        let is_near = |(_, place): &&(Hash, usize)| ids.is_within(*place, t_min, t_max);
        let mut shared = ids.sorted.iter().filter(is_near);
        double = double.or(shared.find(|(hash, _)| contains(blob, hash)).map(|(_, place)| *place));
    })?;
    if double.is_none() {
        double = in_blocks(connection, tenant, log, ids)?;
    }
    if let Some(place) = double {
        let id = ids.events.get(place).map(|(id, _)| id.clone());
        return Ok(Err(id.unwrap_or_default()));
    }
    let sql = "INSERT INTO held (tenant, log, t_min, t_max, ids) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![tenant, log, ids.t_min, ids.t_max, ids.blob()])?;
    Ok(Ok(()))
}

/// The place of an event that a block has whose ids are pruned. One that cannot be read says nothing.
fn in_blocks(connection: &Connection, tenant: i64, log: &str, ids: &Ids) -> Result<Option<usize>, Fault> {
    for one in unheld(connection, tenant, log, (ids.t_min, ids.t_max))? {
        let Ok(block) = journal::stored(connection, one.id)? else {
            continue;
        };
        let events = block::decode(&block, one.events).unwrap_or_default();
        let there: HashSet<&str> = events.iter().map(|event| &*event.id).collect();
        let is_there = |(id, time): &(Arc<str>, i64)| (one.t_min..=one.t_max).contains(time) && there.contains(&**id);
        if let Some(place) = ids.events.iter().position(is_there) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_first_bytes_of_blake3_as_schema_1_has_it() {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"authentication\0some-id");
        assert_eq!(
            hash("authentication", "some-id")[..],
            hasher.finalize().as_bytes()[..16]
        );
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
    }

    #[test]
    fn what_is_there_twice_is_named() {
        let event = |id: &str, time| EventRecord {
            id: id.into(),
            time,
            raw: "{}".into(),
        };
        let ids = |events: &[EventRecord]| Ids::of("activity", events);
        assert!(ids(&[]).is_none());
        let one = ids(&[event("a", 5), event("b", 3)]).unwrap();
        assert_eq!((one.t_min, one.t_max, one.double()), (3, 5, None));
        assert_eq!(one.blob().len(), 32);
        let twice = ids(&[event("b", 1), event("a", 5), event("a", 9)]).unwrap();
        assert_eq!(twice.double(), Some(2));
    }
}
