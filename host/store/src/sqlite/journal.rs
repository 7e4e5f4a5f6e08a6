//! Reading the journal back.
//!
//! The small rows of `admission` are walked first, a body is fetched and unpacked only where it is needed. A piece that cannot
//! be read back is an error that names it, or, where the store was opened to skip damage, noted and taken as having no events
//! or no marks.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::{Admission, EventRecord, Mark};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::Fault;
use super::held;
use super::unpacked::Kept;
use crate::block::{self, Block, Layout, Unpacked};
use crate::{EventFilter, EventHead, StoredAdmission, StoredEvent};

/// What is done about damage, and what was found so far.
#[derive(Debug, Default)]
pub(super) struct Damage {
    pub(super) skip: bool,
    pub(super) problems: Mutex<Vec<String>>,
}

/// Reads one tenant's journal within one read transaction.
pub(super) struct Journal<'c> {
    connection: &'c Connection,
    damage: &'c Damage,
    kept: &'c Kept,
    tenant: i64,
}

/// A row of `admission`.
#[derive(Debug, Clone)]
struct Entry {
    id: i64,
    first_seq: u64,
    last_seq: u64,
    log: Arc<str>,
    events: usize,
    marks: Option<String>,
}

const ENTRY: &str = "SELECT id, first_seq, last_seq, log, events, marks FROM admission";

impl Entry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Entry {
            id: row.get(0)?,
            first_seq: row.get(1)?,
            last_seq: row.get(2)?,
            log: row.get(3)?,
            events: row.get(4)?,
            marks: row.get(5)?,
        })
    }

    fn what(&self) -> String {
        format!("journal entry {} to {} of {}", self.first_seq, self.last_seq, self.log)
    }
}

/// The row of a tenant by name.
pub(super) fn tenant(connection: &Connection, name: &str) -> Result<Option<i64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id FROM tenant WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

impl<'c> Journal<'c> {
    /// None: nothing is stored of this tenant.
    pub(super) fn of(
        connection: &'c Connection,
        damage: &'c Damage,
        kept: &'c Kept,
        name: &str,
    ) -> Result<Option<Self>, Fault> {
        Ok(tenant(connection, name)?.map(|tenant| Journal {
            connection,
            damage,
            kept,
            tenant,
        }))
    }

    pub(super) fn last_seq(&self) -> Result<u64, Fault> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT last_seq FROM tenant WHERE id = ?1")?;
        Ok(statement.query_row([self.tenant], |row| row.get(0))?)
    }

    pub(super) fn known(&self, log: &str, ids: &[(&str, i64)], near: i64) -> Result<Vec<bool>, Fault> {
        let mut known = held::known(self.connection, self.tenant, log, ids, near)?;
        let times = || ids.iter().map(|(_, time)| *time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(known);
        };
        let reach = (first.saturating_sub(near), last.saturating_add(near));
        for one in held::unheld(self.connection, self.tenant, log, reach)? {
            let is_near = |time: i64| time.saturating_add(near) >= one.t_min && time.saturating_sub(near) <= one.t_max;
            let entry = Entry {
                id: one.id,
                first_seq: one.first_seq,
                last_seq: one.last_seq,
                log: log.into(),
                events: one.events,
                marks: None,
            };
            let Some(block) = self.block(&entry)? else { continue };
            let heads = (0..one.events).filter_map(|at| block.head(at));
            let there: HashSet<Arc<str>> = heads.filter_map(|head| head.ok().map(|(id, _)| id)).collect();
            for (known, (id, time)) in known.iter_mut().zip(ids) {
                *known |= is_near(*time) && there.contains(*id);
            }
        }
        Ok(known)
    }

    pub(super) fn read(&self, after: u64, max_events: usize) -> Result<Vec<Admission>, Fault> {
        let mut statement = self.connection.prepare_cached(&format!(
            "{ENTRY} WHERE tenant = ?1 AND last_seq > ?2 ORDER BY last_seq"
        ))?;
        let mut rows = statement.query(params![self.tenant, after])?;
        let mut found: Vec<Admission> = Vec::new();
        let mut events = 0;
        while events < max_events.max(1)
            && let Some(row) = rows.next()?
        {
            let entry = Entry::read(row)?;
            events += entry.events.max(1);
            match self.whole(&entry) {
                Ok((records, marks)) => {
                    found.push(Admission {
                        first_seq: entry.first_seq,
                        log: entry.log,
                        events: records,
                        marks,
                    });
                }
                // What comes before the damage is good; asked again from there, the damage is the answer.
                Err(Fault::Damaged { .. }) if !found.is_empty() => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    pub(super) fn pending(&self, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, Fault> {
        let sql = "SELECT id, first_seq, last_seq, log, events, marks, t_max FROM admission WHERE tenant = ?1 ORDER BY last_seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([self.tenant])?;
        let mut found: Vec<StoredAdmission> = Vec::new();
        while let Some(row) = rows.next()? {
            let entry = Entry::read(row)?;
            if entry.first_seq > up_to {
                break;
            }
            let marks = if entry.last_seq <= up_to {
                self.marks(&entry)?
            } else {
                Vec::new()
            };
            let t_max: Option<i64> = row.get(6)?;
            let wanted = logs.iter().find(|(log, _)| **log == *entry.log);
            let events = match wanted.filter(|(_, from)| t_max.is_some_and(|t_max| t_max >= *from)) {
                Some((_, from)) => (entry.first_seq..=up_to)
                    .zip(self.events_of(&entry)?)
                    .filter(|(_, event)| event.time >= *from)
                    .collect(),
                None => Vec::new(),
            };
            if !events.is_empty() || !marks.is_empty() {
                found.push(StoredAdmission {
                    log: entry.log,
                    events,
                    marks,
                });
            }
        }
        drop_overtaken(&mut found);
        found.retain(|admission| !admission.events.is_empty() || !admission.marks.is_empty());
        Ok(found)
    }

    pub(super) fn events(&self, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, Fault> {
        self.pick(seqs, |block, at, seq, log| {
            let event = block.event(at)?;
            Some(event.map(|event| StoredEvent {
                seq,
                log: log.clone(),
                event,
            }))
        })
    }

    pub(super) fn heads(&self, seqs: &[u64]) -> Result<Vec<Option<EventHead>>, Fault> {
        self.pick(seqs, |block, at, _, log| {
            let head = block.head(at)?;
            Some(head.map(|(id, time)| EventHead {
                log: log.clone(),
                id,
                time,
            }))
        })
    }

    /// What there is of these numbers. `take` is given a block, a place in it, the number, and the log; an error is damage.
    fn pick<T: Clone>(
        &self,
        seqs: &[u64],
        take: impl Fn(&Unpacked, usize, u64, &Arc<str>) -> Option<Result<T, String>>,
    ) -> Result<Vec<Option<T>>, Fault> {
        let sql = format!("{ENTRY} WHERE tenant = ?1 AND last_seq >= ?2 ORDER BY last_seq LIMIT 1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut order: Vec<(u64, usize)> = seqs.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut found = vec![None; seqs.len()];
        // In order of their numbers each entry is looked up, and its block unpacked, once, and one at a time.
        let mut numbers = order.iter().peekable();
        while let Some((first, _)) = numbers.peek() {
            let Some(entry) = statement
                .query_row(params![self.tenant, first], Entry::read)
                .optional()?
            else {
                break;
            };
            while numbers.next_if(|(number, _)| *number < entry.first_seq).is_some() {}
            let is_asked = entry.events > 0 && numbers.peek().is_some_and(|(number, _)| *number <= entry.last_seq);
            let block = if is_asked { self.block(&entry)? } else { None };
            while let Some((number, place)) = numbers.next_if(|(number, _)| *number <= entry.last_seq) {
                let at = number
                    .checked_sub(entry.first_seq)
                    .and_then(|at| usize::try_from(at).ok());
                let taken = block
                    .as_ref()
                    .zip(at)
                    .and_then(|(block, at)| take(block, at, *number, &entry.log));
                let taken = match taken.transpose() {
                    Ok(taken) => taken,
                    Err(why) => self.damaged(&entry, why).map(|_: Vec<()>| None)?,
                };
                if let Some(found) = found.get_mut(*place) {
                    *found = taken;
                }
            }
        }
        Ok(found)
    }

    pub(super) fn search(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, Fault> {
        let (since, until) = (filter.since.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX));
        let most = filter.tail.unwrap_or(usize::MAX);
        let sql = "SELECT id, first_seq, last_seq, log, events, marks, t_max FROM admission
                   WHERE tenant = ?1 AND events > 0 AND t_max >= ?2 AND t_min <= ?3 ORDER BY t_max DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![self.tenant, since, until])?;
        let mut found: Vec<StoredEvent> = Vec::new();
        while let Some(row) = rows.next()? {
            let entry = Entry::read(row)?;
            if !filter.logs.is_empty() && !filter.logs.iter().any(|log| **log == *entry.log) {
                continue;
            }
            // Once there are enough, an admission that ends before the earliest of them adds nothing.
            let earliest = found.first().map(|event| event.event.time);
            if found.len() >= most
                && earliest.is_none_or(|earliest| row.get(6).is_ok_and(|t_max: i64| t_max < earliest))
            {
                break;
            }
            let events = self.events_of(&entry)?.into_iter().zip(entry.first_seq..);
            let within = events.filter(|(event, _)| (since..=until).contains(&event.time));
            found.extend(within.map(|(event, seq)| StoredEvent {
                seq,
                log: entry.log.clone(),
                event,
            }));
            if found.len() >= most {
                found.sort_by_key(|event| (event.event.time, event.seq));
                found.drain(..found.len() - most);
            }
        }
        found.sort_by_key(|event| (event.event.time, event.seq));
        Ok(found)
    }

    pub(super) fn count(&self) -> Result<Vec<(Arc<str>, u64)>, Fault> {
        let sql = "SELECT log, events FROM volume WHERE tenant = ?1 AND events > 0 ORDER BY log";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([self.tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn since(&self, from: i64, most: u64) -> Result<u64, Fault> {
        // Arrival and time are nearly one order: the walk from the end on is over once there are enough, or once no entry is left
        // that has an event so late.
        let sql = "SELECT min(first_seq) FROM admission WHERE tenant = ?1 AND events > 0 AND t_max >= ?2";
        let first: Option<u64> = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![self.tenant, from], |row| row.get(0))?;
        let Some(first) = first else { return self.last_seq() };
        let sql = "SELECT first_seq, events FROM admission WHERE tenant = ?1 AND events > 0 ORDER BY last_seq DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([self.tenant])?;
        let (mut after, mut events) = (self.last_seq()?, 0_u64);
        while let Some(row) = rows.next()? {
            let (first_seq, more): (u64, u64) = (row.get(0)?, row.get(1)?);
            events = events.saturating_add(more);
            if first_seq < first || (events > most && events != more) {
                break;
            }
            after = first_seq.saturating_sub(1);
        }
        Ok(after)
    }

    pub(super) fn earliest(&self, logs: &[&str]) -> Result<Option<i64>, Fault> {
        let sql = "SELECT min(t_min) FROM admission WHERE tenant = ?1 AND log = ?2 AND events > 0";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut earliest: Option<i64> = None;
        for log in logs {
            let of_log: Option<i64> = statement.query_row(params![self.tenant, log], |row| row.get(0))?;
            earliest = match (earliest, of_log) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(earliest)
    }

    fn whole(&self, entry: &Entry) -> Result<(Vec<EventRecord>, Vec<Mark>), Fault> {
        Ok((self.events_of(entry)?, self.marks(entry)?))
    }

    fn marks(&self, entry: &Entry) -> Result<Vec<Mark>, Fault> {
        let Some(json) = &entry.marks else {
            return Ok(Vec::new());
        };
        match serde_json::from_str(json) {
            Ok(marks) => Ok(marks),
            Err(error) => self.damaged(entry, format!("marks: {error}")),
        }
    }

    fn events_of(&self, entry: &Entry) -> Result<Vec<EventRecord>, Fault> {
        if entry.events == 0 {
            return Ok(Vec::new());
        }
        let stored = self
            .stored(entry)?
            .and_then(|block| block::decode(&block, entry.events));
        stored.or_else(|why| self.damaged(entry, why))
    }

    /// An entry's block, to take events from; it is kept for the next who does. None: it is damaged, and left out.
    fn block(&self, entry: &Entry) -> Result<Option<Arc<Unpacked>>, Fault> {
        let which = (self.tenant, entry.last_seq);
        if let Some(kept) = self.kept.get(which) {
            return Ok(Some(kept));
        }
        match self.stored(entry)?.and_then(|block| Unpacked::of(&block, entry.events)) {
            Ok(block) => {
                let block = Arc::new(block);
                self.kept.put(which, &block);
                Ok(Some(block))
            }
            Err(why) => self.damaged(entry, why).map(|_: Vec<()>| None),
        }
    }

    /// An entry's block as it is stored, or how it is damaged.
    fn stored(&self, entry: &Entry) -> Result<Result<Block, String>, Fault> {
        stored(self.connection, entry.id)
    }

    fn damaged<T>(&self, entry: &Entry, why: String) -> Result<Vec<T>, Fault> {
        if !self.damage.skip {
            return Err(Fault::Damaged {
                what: entry.what(),
                why,
                last_seq: Some(entry.last_seq),
            });
        }
        let problem = format!("{} is damaged and left out: {why}", entry.what());
        let mut problems = self.damage.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if !problems.contains(&problem) {
            tracing::error!(problem, "the store is damaged");
            problems.push(problem);
        }
        Ok(Vec::new())
    }
}

/// An admission's block as it is stored, or how it is damaged.
pub(super) fn stored(connection: &Connection, admission: i64) -> Result<Result<Block, String>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT size, crc32, body, layout FROM block WHERE admission = ?1")?;
    let block = statement
        .query_row([admission], |row| {
            let (size, crc32, body) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Layout::of(row.get(3)?).map(|layout| Block {
                size,
                layout,
                crc32,
                body,
            }))
        })
        .optional();
    match block {
        Ok(Some(block)) => Ok(block),
        Ok(None) => Ok(Err("its block is missing".to_owned())),
        // Damage of the file's pages, or of a column's type: as local as damage of the block itself.
        Err(error) if is_damage(&error) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let corrupt = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt);
    corrupt
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        )
}

/// Leaves out complete, live and stalled marks that a greater one of the same kind and log follows. Each kind by itself: what
/// readers make of them depends on the greatest of each.
fn drop_overtaken(admissions: &mut [StoredAdmission]) {
    let mut greatest: HashMap<(u8, Arc<str>), i64> = HashMap::new();
    for admission in admissions.iter_mut().rev() {
        let mut kept: Vec<Mark> = Vec::new();
        for mark in std::mem::take(&mut admission.marks).into_iter().rev() {
            let progress = match &mark {
                Mark::Complete { log, to } => Some((0, log, to)),
                Mark::Live { log, to } => Some((1, log, to)),
                Mark::Stalled { log, to } => Some((2, log, to)),
                _ => None,
            };
            if let Some((kind, log, to)) = progress {
                let key = (kind, log.clone());
                if greatest.get(&key).is_some_and(|greatest| greatest >= to) {
                    continue;
                }
                greatest.insert(key, *to);
            }
            kept.push(mark);
        }
        kept.reverse();
        admission.marks = kept;
    }
}
