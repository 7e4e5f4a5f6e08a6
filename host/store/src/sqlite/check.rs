//! Whether everything that is stored can be read back and fits together: `picket store check`.
//!
//! SQLite looks after its pages and indexes; what the rows say is looked at here, a journal at a time, each within one read
//! transaction, so that a daemon may run meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::Mark;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::{SqliteStore, held, journal, progress};
use crate::{AlertFilter, StoreError, block};

/// So many sentences of one sort are kept; the rest is counted.
const MOST: usize = 50;

/// What restores what is damaged.
const RESTORE: &str =
    "restore a backup (docs/operating.md, Backup and restore); until then it is left out and the rest goes on";
/// What becomes of counts.
const RECOUNT: &str = "the events themselves are whole; please report it";

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub action: &'static str,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Tenants and their segments.
    pub journals: u64,
    /// Journal entries.
    pub entries: u64,
    /// Events unpacked.
    pub events: u64,
    /// What they take as stored, bytes.
    pub bytes: u64,
    /// Alerts.
    pub alerts: u64,
    /// What is wrong; nothing: all is well.
    pub findings: Vec<Finding>,
    /// Findings that are not told one by one.
    pub more: u64,
}

impl Checked {
    fn find(&mut self, what: impl Into<String>, action: &'static str) {
        if self.findings.len() < MOST {
            self.findings.push(Finding {
                what: what.into(),
                action,
            });
        } else {
            self.more += 1;
        }
    }
}

impl SqliteStore {
    /// Looks at everything. `told` hears how many journals of how many have been looked at. `quick`: leaves out whether
    /// SQLite's indexes fit their tables.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn check(&self, quick: bool, told: &mut dyn FnMut(u64, u64)) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let whole = self.query("checking the file", |connection| {
            Ok(file(connection, quick, &mut checked))
        });
        if let Err(error) = whole {
            checked.find(error.to_string(), RESTORE);
        }
        let journals: Vec<(i64, Arc<str>)> = self.query("listing tenants", |connection| {
            let mut statement = connection.prepare("SELECT id, name FROM tenant ORDER BY name")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        let all = journals.len() as u64;
        for (tenant, name) in &journals {
            told(checked.journals, all);
            let looked = self.query("checking a journal", |connection| {
                entries(connection, *tenant, name, &mut checked)?;
                rules(connection, name, &mut checked)?;
                alerts(connection, name, &mut checked)
            });
            // Damage so deep that the walk ends at it: the others are looked at all the same.
            if let Err(error) = looked {
                checked.find(format!("{name}: {error}"), RESTORE);
            }
            checked.journals += 1;
        }
        told(all, all);
        Ok(checked)
    }
}

/// SQLite's own checks.
fn file(connection: &Connection, quick: bool, checked: &mut Checked) -> rusqlite::Result<()> {
    let pragma = if quick { "quick_check" } else { "integrity_check" };
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}({MOST})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            checked.find(format!("the database file: {said}"), RESTORE);
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, number, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let number = number.map_or_else(String::new, |number| format!(" {number}"));
        checked.find(format!("an orphan: row{number} of {table} has no {parent}"), RESTORE);
    }
    Ok(())
}

/// One journal: numbers, marks, blocks, ids, counts.
fn entries(connection: &Connection, tenant: i64, name: &str, checked: &mut Checked) -> Result<(), Fault> {
    let last: u64 = connection.query_row("SELECT last_seq FROM tenant WHERE id = ?1", [tenant], |row| row.get(0))?;
    let sql = "SELECT id, first_seq, last_seq, log, events, marks, t_min, t_max, bytes, ids FROM admission
               WHERE tenant = ?1 ORDER BY last_seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant])?;
    let mut before = 0;
    let mut volumes: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, first_seq, last_seq): (i64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (log, events): (Arc<str>, usize) = (row.get(3)?, row.get(4)?);
        let marks: Option<String> = row.get(5)?;
        let span: (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
        let (bytes, has_ids): (u64, bool) = (row.get(8)?, row.get(9)?);
        let what = format!("{name}: journal entry {first_seq} to {last_seq} of {log}");
        if first_seq <= before || last_seq > last {
            checked.find(
                format!("{what}: its numbers do not follow on {before}, or go past {last}"),
                RESTORE,
            );
        }
        let taken = events as u64 + u64::from(marks.is_some());
        if last_seq.wrapping_sub(first_seq).wrapping_add(1) != taken {
            checked.find(
                format!("{what}: {events} events and its marks take {taken} numbers"),
                RESTORE,
            );
        }
        before = last_seq;
        if let Some(Err(error)) = marks.map(|marks| serde_json::from_str::<Vec<Mark>>(&marks)) {
            checked.find(format!("{what}: its marks cannot be read: {error}"), RESTORE);
        }
        checked.entries += 1;
        if events == 0 {
            continue;
        }
        let volume = volumes.entry(log.clone()).or_default();
        *volume = (volume.0 + events as u64, volume.1 + bytes);
        let stored = journal::stored(connection, id)?;
        let unpacked = stored.and_then(|stored| Ok((stored.body.len() as u64, block::decode(&stored, events)?)));
        let (size, records) = match unpacked {
            Ok(unpacked) => unpacked,
            Err(why) => {
                checked.find(format!("{what}: its {events} events cannot be read: {why}"), RESTORE);
                continue;
            }
        };
        checked.events += records.len() as u64;
        checked.bytes += size;
        let times = || records.iter().map(|record| record.time);
        if (times().min(), times().max()) != span || size != bytes {
            checked.find(
                format!("{what}: its events have other times, or another size, than is noted"),
                RESTORE,
            );
        }
        let ids: Vec<(&str, i64)> = records.iter().map(|record| (&*record.id, record.time)).collect();
        if has_ids && held::known(connection, tenant, &log, &ids, 0)?.contains(&false) {
            let what = format!("{what}: not all of its ids are remembered, so an event could be stored twice");
            checked.find(what, RESTORE);
        }
    }
    counts(connection, tenant, name, &volumes, checked)
}

/// What is counted against what there is: an entry that is gone without being forgotten shows here.
fn counts(
    connection: &Connection,
    tenant: i64,
    name: &str,
    volumes: &BTreeMap<Arc<str>, (u64, u64)>,
    checked: &mut Checked,
) -> Result<(), Fault> {
    let mut statement =
        connection.prepare_cached("SELECT log, events, bytes, admitted FROM volume WHERE tenant = ?1")?;
    let mut rows = statement.query([tenant])?;
    let mut counted: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (log, events, admitted): (Arc<str>, u64, u64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        if admitted < events {
            checked.find(
                format!("{name}: {log}: {events} events are held of {admitted} admitted"),
                RECOUNT,
            );
        }
        counted.insert(log, (events, row.get(2)?));
    }
    for log in volumes
        .keys()
        .chain(counted.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let of = |counts: &BTreeMap<Arc<str>, (u64, u64)>| counts.get(log).copied().unwrap_or_default();
        let ((is, bytes), (was, counted_bytes)) = (of(volumes), of(&counted));
        if is < was {
            checked.find(format!("{name}: {log}: {} of {was} events are gone", was - is), RESTORE);
        } else if (is, bytes) != (was, counted_bytes) {
            let what = format!("{name}: {log}: {is} events of {bytes} bytes are counted as {was} of {counted_bytes}");
            checked.find(what, RECOUNT);
        }
    }
    let orphans: u64 = connection
        .prepare_cached("SELECT count(*) FROM block JOIN admission ON id = admission WHERE tenant = ?1 AND events = 0")?
        .query_row([tenant], |row| row.get(0))?;
    if orphans > 0 {
        checked.find(
            format!("{name}: {orphans} blocks belong to entries without events"),
            RECOUNT,
        );
    }
    Ok(())
}

fn rules(connection: &Connection, name: &str, checked: &mut Checked) -> Result<(), Fault> {
    let ahead =
        "SELECT rule, seq, last_seq FROM rule JOIN tenant ON tenant.id = tenant WHERE name = ?1 AND seq > last_seq";
    let mut statement = connection.prepare_cached(ahead)?;
    let mut rows = statement.query(params![name])?;
    while let Some(row) = rows.next()? {
        let (rule, seq, last): (String, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        checked.find(
            format!("{name}: rule {rule} has read up to {seq}, the journal ends at {last}"),
            RESTORE,
        );
    }
    if let Err(fault) = progress::rules(connection, name) {
        checked.find(format!("{name}: {}", words(fault)), RESTORE);
    }
    Ok(())
}

fn alerts(connection: &Connection, name: &str, checked: &mut Checked) -> Result<(), Fault> {
    let kinds = [(false, false), (true, false), (false, true)];
    for (shadow, suppressed) in kinds {
        let filter = AlertFilter {
            shadow,
            suppressed,
            ..AlertFilter::default()
        };
        match progress::alerts(connection, name, &filter) {
            Ok(alerts) => {
                checked.alerts += alerts.len() as u64;
                for alert in alerts {
                    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&alert.json) {
                        checked.find(format!("{name}: alert {} cannot be read: {error}", alert.id), RESTORE);
                    }
                }
            }
            Err(fault) => checked.find(format!("{name}: {}", words(fault)), RESTORE),
        }
    }
    Ok(())
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Engine(error) => error.to_string(),
        Fault::Refused(why) => why,
        Fault::Damaged { what, why, .. } => format!("{what} is damaged: {why}"),
    }
}
