//! The audit log, what judged when, and what exceptions suppressed: written and read back.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::journal::tenant;
use crate::{AuditFilter, AuditRow, GenerationRow, MOST_AUDIT, MOST_GENERATIONS, SuppressedCount};

/// Adds entries; the oldest give way.
pub(super) fn audit(connection: &Connection, entries: &[AuditRow]) -> Result<(), Fault> {
    let sql = "INSERT INTO audit (time, who, how, tenant, what, before, after, reason)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = connection.prepare_cached(sql)?;
    for entry in entries {
        let AuditRow {
            time,
            who,
            how,
            tenant,
            what,
            before,
            after,
            reason,
        } = entry;
        insert.execute(params![time, who, how, tenant, what, before, after, reason])?;
    }
    // Numbers are given one after the other and are deleted from the beginning only.
    let sql = "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1";
    connection.prepare_cached(sql)?.execute([MOST_AUDIT])?;
    Ok(())
}

/// The oldest first.
pub(super) fn audited(connection: &Connection, filter: &AuditFilter<'_>) -> Result<Vec<AuditRow>, Fault> {
    let sql = "SELECT time, who, how, tenant, what, before, after, reason FROM audit
               WHERE time >= ?1 AND (?2 IS NULL OR tenant IN ('', ?2)) ORDER BY number DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let since = filter.since.unwrap_or(i64::MIN);
    let latest = filter
        .latest
        .map_or(i64::MAX, |latest| i64::try_from(latest).unwrap_or(i64::MAX));
    let rows = statement.query_map(params![since, filter.tenant, latest], |row| {
        Ok(AuditRow {
            time: row.get(0)?,
            who: row.get(1)?,
            how: row.get(2)?,
            tenant: row.get(3)?,
            what: row.get(4)?,
            before: row.get(5)?,
            after: row.get(6)?,
            reason: row.get(7)?,
        })
    })?;
    let mut found: Vec<AuditRow> = rows.collect::<Result<_, _>>()?;
    found.reverse();
    Ok(found)
}

/// Notes what judges from now on, unless it is what judged before.
pub(super) fn began(connection: &Connection, name: &str, row: &GenerationRow) -> Result<(), Fault> {
    let hash = blake3::hash(row.json.as_bytes()).to_hex();
    let sql = "SELECT composition FROM generation WHERE tenant = ?1 ORDER BY since DESC, number DESC LIMIT 1";
    let last: Option<String> = connection
        .prepare_cached(sql)?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if last.as_deref() == Some(hash.as_str()) {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT INTO composition (hash, json) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![hash.as_str(), row.json])?;
    let sql = "INSERT INTO generation (tenant, number, since, composition) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET composition = excluded.composition";
    connection
        .prepare_cached(sql)?
        .execute(params![name, row.number, row.since, hash.as_str()])?;
    let sql = "DELETE FROM generation WHERE tenant = ?1 AND (since, number) <=
                   (SELECT since, number FROM generation WHERE tenant = ?1
                    ORDER BY since DESC, number DESC LIMIT 1 OFFSET ?2)";
    connection
        .prepare_cached(sql)?
        .execute(params![name, MOST_GENERATIONS])?;
    let sql = "DELETE FROM composition WHERE NOT EXISTS (SELECT 1 FROM generation WHERE composition = hash)";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// The oldest first.
pub(super) fn generations(connection: &Connection, name: &str) -> Result<Vec<GenerationRow>, Fault> {
    let sql = "SELECT number, since, json FROM generation JOIN composition ON hash = composition
               WHERE tenant = ?1 ORDER BY since, number";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([name], |row| {
        Ok(GenerationRow {
            number: row.get(0)?,
            since: row.get(1)?,
            json: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// By name; alerts of rules in shadow do not count.
pub(super) fn suppressed(connection: &Connection, name: &str) -> Result<Vec<SuppressedCount>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT suppressed, count(*) + sum(repeats), max(max(time, coalesce(last_repeat, time))) FROM alert
               WHERE tenant = ?1 AND suppressed IS NOT NULL AND shadow = 0 GROUP BY suppressed ORDER BY suppressed";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([tenant], |row| {
        Ok(SuppressedCount {
            exception: row.get(0)?,
            alerts: row.get(1)?,
            last: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
