//! What is given up when it is old, and what is deleted of a tenant. Whoever calls holds the transaction around it.

use std::sync::Arc;

use picket_failpoint::{Point, reach};
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::incident;
use super::journal::tenant;
use crate::segment;
use crate::{Old, Rows, Taken, Volume};

/// An admission that is to go.
struct Going {
    id: i64,
    events: u64,
    last_event: u64,
    t_max: i64,
    bytes: u64,
    has_marks: bool,
}

/// As [`crate::Store::forget`]. An admission that has marks stays for their sake, with the number that they took.
pub(super) fn forget(connection: &Connection, name: &str, log: &str, old: &Old) -> Result<u64, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(0);
    };
    let sql = "SELECT id, events, first_seq + events - 1, t_max, bytes, marks IS NOT NULL FROM admission
               WHERE tenant = ?1 AND log = ?2 AND events > 0 AND t_max < ?3 AND last_seq <= ?4 ORDER BY t_max, last_seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![tenant, log, old.before, old.up_to])?;
    let mut going: Vec<Going> = Vec::new();
    let mut events = 0;
    while events < old.most.max(1)
        && let Some(row) = rows.next()?
    {
        let one = Going {
            id: row.get(0)?,
            events: row.get(1)?,
            last_event: row.get(2)?,
            t_max: row.get(3)?,
            bytes: row.get(4)?,
            has_marks: row.get(5)?,
        };
        events += one.events;
        going.push(one);
    }
    drop(rows);
    let last = going.iter().map(|one| one.last_event).max();
    let (Some(seq), Some(time)) = (last, going.iter().map(|one| one.t_max).max()) else {
        return Ok(0);
    };
    let sql = "INSERT INTO forgotten (tenant, log, seq, time) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (tenant, log) DO UPDATE SET seq = max(seq, excluded.seq), time = max(time, excluded.time)";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, log, seq, time])?;
    let bytes: u64 = going.iter().map(|one| one.bytes).sum();
    let sql = "UPDATE volume SET events = events - ?3, bytes = bytes - ?4 WHERE tenant = ?1 AND log = ?2";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, log, events, bytes])?;
    for one in going {
        connection
            .prepare_cached("DELETE FROM block WHERE admission = ?1")?
            .execute([one.id])?;
        let sql = if one.has_marks {
            "UPDATE admission SET first_seq = last_seq, events = 0, t_min = NULL, t_max = NULL, bytes = 0 WHERE id = ?1"
        } else {
            "DELETE FROM admission WHERE id = ?1"
        };
        connection.prepare_cached(sql)?.execute([one.id])?;
        reach(Point::MaintenanceMiddle);
    }
    Ok(events)
}

/// As [`crate::Store::forget_ids`]. What schema 3 knew of all logs together stays.
pub(super) fn forget_ids(connection: &Connection, name: &str, log: &str, before: i64, most: u64) -> Result<u64, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(0);
    };
    let sql = "SELECT number, t_min, t_max, length(ids) / 16 FROM held WHERE tenant = ?1 AND log = ?2 AND t_max < ?3
               ORDER BY t_max, t_min, number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![tenant, log, before])?;
    let mut going: Vec<(i64, i64, i64)> = Vec::new();
    let mut ids = 0;
    while ids < most.max(1)
        && let Some(row) = rows.next()?
    {
        going.push((row.get(0)?, row.get(1)?, row.get(2)?));
        ids += row.get::<_, u64>(3)?;
    }
    drop(rows);
    for (number, t_min, t_max) in going {
        connection
            .prepare_cached("DELETE FROM held WHERE number = ?1")?
            .execute([number])?;
        // The same span is the same admission, or one more whose ids are looked for in both places.
        let sql = "UPDATE admission SET ids = 0
                   WHERE tenant = ?1 AND log = ?2 AND events > 0 AND t_max = ?3 AND t_min = ?4";
        connection
            .prepare_cached(sql)?
            .execute(params![tenant, log, t_max, t_min])?;
        reach(Point::MaintenanceMiddle);
    }
    Ok(ids)
}

/// As [`crate::Store::forget_alerts`].
pub(super) fn forget_alerts(
    connection: &Connection,
    name: &str,
    before: i64,
    up_to: u64,
    most: u64,
) -> Result<u64, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(0);
    };
    let sql = "DELETE FROM alert WHERE number IN (
                   SELECT number FROM alert WHERE tenant = ?1 AND time < ?2 AND dedup_until < ?2
                       AND coalesce(last_repeat, time) < ?2
                       AND (number <= ?3 OR historic <> 0 OR shadow <> 0 OR suppressed IS NOT NULL)
                       AND NOT EXISTS (SELECT 1 FROM letter WHERE letter.number = alert.number)
                   ORDER BY time LIMIT ?4)";
    let gone =
        connection
            .prepare_cached(sql)?
            .execute(params![tenant, before, up_to, most.min(i64::MAX.unsigned_abs())])?;
    incident::forget(connection, tenant, before)?;
    Ok(gone as u64)
}

/// As [`crate::Store::forget_records`].
pub(super) fn forget_records(connection: &Connection, before: i64, most: u64) -> Result<u64, Fault> {
    let most = most.min(i64::MAX.unsigned_abs());
    let mut gone = 0;
    for sql in [
        "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE time < ?1 ORDER BY time LIMIT ?2)",
        "DELETE FROM version_step WHERE number IN (SELECT number FROM version_step WHERE time < ?1 ORDER BY number LIMIT ?2)",
        "DELETE FROM generation WHERE (tenant, number, since) IN (
             SELECT tenant, number, since FROM generation AS old
             WHERE EXISTS (SELECT 1 FROM generation AS next WHERE next.tenant = old.tenant AND next.since <= ?1
                 AND (next.since, next.number) > (old.since, old.number))
             LIMIT ?2)",
    ] {
        gone += connection.prepare_cached(sql)?.execute(params![before, most])? as u64;
    }
    let sql = "DELETE FROM composition WHERE NOT EXISTS (SELECT 1 FROM generation WHERE composition = hash)";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(gone)
}

/// As [`crate::Store::volumes`].
pub(super) fn volumes(connection: &Connection, name: &str) -> Result<Vec<Volume>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT log, events, admitted, bytes,
                   (SELECT min(t_max) FROM admission
                    WHERE admission.tenant = ?1 AND admission.log = volume.log AND admission.events > 0)
               FROM volume WHERE tenant = ?1 ORDER BY log";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([tenant], |row| {
        Ok(Volume {
            log: row.get(0)?,
            events: row.get(1)?,
            admitted: row.get(2)?,
            bytes: row.get(3)?,
            oldest: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rows in `tenant` of a tenant and its segments, by number and name.
pub(super) fn journals(connection: &Connection, name: &str) -> Result<Vec<(i64, Arc<str>)>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM tenant ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut all: Vec<(i64, Arc<str>)> = rows.collect::<Result<_, _>>()?;
    all.retain(|(_, of)| **of == *name || segment::owner(of) == Some(name));
    Ok(all)
}

/// As [`crate::Store::taken`].
pub(super) fn taken(connection: &Connection, name: &str) -> Result<Taken, Fault> {
    let mut taken = Taken::default();
    for (tenant, _) in journals(connection, name)? {
        let sum = |sql: &str| -> Result<u64, Fault> {
            let sum: Option<u64> = connection.prepare_cached(sql)?.query_row([tenant], |row| row.get(0))?;
            Ok(sum.unwrap_or(0))
        };
        taken.events += sum("SELECT sum(bytes) FROM volume WHERE tenant = ?1")?;
        taken.ids += sum("SELECT sum(length(ids)) FROM held WHERE tenant = ?1")?;
        taken.alerts += sum("SELECT sum(length(json)) FROM alert WHERE tenant = ?1")?;
        taken.state += sum("SELECT sum(bytes) FROM rule WHERE tenant = ?1")?;
        taken.inventory += sum("SELECT sum(length(json)) FROM inventory WHERE tenant = ?1")?;
    }
    Ok(taken)
}

/// Tables with a row's tenant by its number, those first that others refer to last; with what their rows are.
const BY_NUMBER: [(&str, &str); 13] = [
    ("lane", "lanes of sinks"),
    ("letter", "letters"),
    ("alert_rate", "counts of alerts"),
    ("held", "ids"),
    ("cursor", "cursors"),
    ("alert", "alerts"),
    ("incident_principal", "principals of incidents"),
    ("incident", "incidents"),
    ("inventory", "inventory objects"),
    ("poison", "rows that rules fail on"),
    ("forgotten", "marks of what was forgotten"),
    ("volume", "counts"),
    ("rule", "rules' positions"),
];

/// Tables with the tenant's name.
const BY_NAME: [(&str, &str); 3] = [
    ("note", "notes"),
    ("generation", "records of what judged"),
    ("audit", "audit entries"),
];

/// As [`crate::Store::rows_of`].
pub(super) fn rows_of(connection: &Connection, name: &str) -> Result<Vec<Rows>, Fault> {
    let mut found: Vec<Rows> = Vec::new();
    let mut add = |what: &'static str, rows: u64| match found.iter_mut().find(|known| known.what == what) {
        Some(known) => known.rows += rows,
        None if rows > 0 => found.push(Rows { what, rows }),
        None => {}
    };
    let mut names: Vec<Arc<str>> = vec![name.into()];
    for (tenant, journal) in journals(connection, name)? {
        names.push(journal);
        let count = |sql: &str| -> Result<u64, Fault> {
            let count: Option<u64> = connection.prepare_cached(sql)?.query_row([tenant], |row| row.get(0))?;
            Ok(count.unwrap_or(0))
        };
        add("events", count("SELECT sum(events) FROM admission WHERE tenant = ?1")?);
        add(
            "journal entries",
            count("SELECT count(*) FROM admission WHERE tenant = ?1")?,
        );
        let of_rules = "(SELECT id FROM rule WHERE tenant = ?1)";
        add(
            "state entries",
            count(&format!("SELECT count(*) FROM state WHERE rule IN {of_rules}"))?,
        );
        add(
            "timers",
            count(&format!("SELECT count(*) FROM timer WHERE rule IN {of_rules}"))?,
        );
        for (table, what) in BY_NUMBER {
            add(what, count(&format!("SELECT count(*) FROM {table} WHERE tenant = ?1"))?);
        }
    }
    names.sort();
    names.dedup();
    let compared = "SELECT count(*) FROM version_step WHERE instr(detail, json_quote(?1)) > 0";
    add(
        "comparisons of versions",
        connection
            .prepare_cached(compared)?
            .query_row([name], |row| row.get(0))?,
    );
    for name in names {
        for (table, what) in BY_NAME {
            let sql = format!("SELECT count(*) FROM {table} WHERE tenant = ?1");
            add(
                what,
                connection.prepare_cached(&sql)?.query_row([&*name], |row| row.get(0))?,
            );
        }
    }
    Ok(found)
}

/// Deletes journal entries of a tenant or its segments until about `most` events are gone. 0: none is left, and neither is
/// anything else.
pub(super) fn purge(connection: &Connection, name: &str, most: u64) -> Result<u64, Fault> {
    let journals = journals(connection, name)?;
    let mut gone = 0;
    for (tenant, _) in &journals {
        let mut statement = connection.prepare_cached("SELECT id, max(events, 1) FROM admission WHERE tenant = ?1")?;
        let mut rows = statement.query([tenant])?;
        let mut ids: Vec<i64> = Vec::new();
        while gone < most
            && let Some(row) = rows.next()?
        {
            ids.push(row.get(0)?);
            gone += row.get::<_, u64>(1)?;
        }
        drop(rows);
        for id in ids {
            // Its block goes with it.
            connection
                .prepare_cached("DELETE FROM admission WHERE id = ?1")?
                .execute([id])?;
        }
        if gone >= most {
            return Ok(gone);
        }
    }
    if gone > 0 {
        return Ok(gone);
    }
    // What a trial compared names alerts of several tenants: of the step itself, which is the module's, the words stay.
    connection
        .prepare_cached("UPDATE version_step SET detail = NULL WHERE instr(detail, json_quote(?1)) > 0")?
        .execute([name])?;
    let mut names: Vec<Arc<str>> = vec![name.into()];
    for (tenant, journal) in journals {
        for (table, _) in BY_NUMBER {
            connection
                .prepare_cached(&format!("DELETE FROM {table} WHERE tenant = ?1"))?
                .execute([tenant])?;
        }
        connection
            .prepare_cached("DELETE FROM tenant WHERE id = ?1")?
            .execute([tenant])?;
        names.push(journal);
    }
    for name in names {
        for (table, _) in BY_NAME {
            connection
                .prepare_cached(&format!("DELETE FROM {table} WHERE tenant = ?1"))?
                .execute([&*name])?;
        }
    }
    connection
        .prepare_cached("DELETE FROM composition WHERE NOT EXISTS (SELECT 1 FROM generation WHERE composition = hash)")?
        .execute([])?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection::Place;

    /// A table that comes later must be purged too.
    #[test]
    fn every_table_with_a_tenant_is_purged() {
        let connection = Place::memory().unwrap();
        let sql = "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND c.name = 'tenant' ORDER BY m.name";
        let mut statement = connection.prepare(sql).unwrap();
        let tables: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let known = BY_NUMBER.iter().chain(&BY_NAME).map(|(table, _)| *table);
        let mut known: Vec<&str> = known.chain(["admission"]).collect();
        known.sort_unstable();
        assert_eq!(tables, known);
    }
}
