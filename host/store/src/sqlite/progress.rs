//! Reading back everything that is not the journal: cursors, rules and their state, alerts, the outbox, notes.

use std::collections::BTreeSet;
use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{Key, Position, RuleState, Severity, StateSummary};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::fault::Fault;
use super::journal::tenant;
use crate::segment;
use crate::{AlertFilter, AlertRow, CursorRow, DedupRow, Forgotten, InventoryRow, PoisonRow, RuleRow};

/// Of tenants and of segments.
pub(super) fn names(connection: &Connection) -> Result<Vec<Arc<str>>, Fault> {
    let sql = "SELECT name FROM tenant UNION SELECT tenant FROM note WHERE tenant <> '' ORDER BY 1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn cursors(connection: &Connection, name: &str) -> Result<Vec<CursorRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached("SELECT log, cursor FROM cursor WHERE tenant = ?1 ORDER BY log")?;
    let rows = statement.query_map([tenant], |row| {
        Ok(CursorRow {
            log: row.get(0)?,
            cursor: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Objects of a kind (of all kinds), or the one of that id.
pub(super) fn inventory(
    connection: &Connection,
    name: &str,
    kind: Option<&str>,
    id: Option<&str>,
) -> Result<Vec<InventoryRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = match (kind, id) {
        (_, Some(_)) => "WHERE tenant = ?1 AND kind = ?2 AND id = ?3",
        (Some(_), None) => "WHERE tenant = ?1 AND kind = ?2 AND ?3 IS NULL ORDER BY id",
        (None, None) => "WHERE tenant = ?1 AND ?2 IS NULL AND ?3 IS NULL ORDER BY kind, id",
    };
    let sql = format!("SELECT kind, id, json, seen, missing FROM inventory {sql}");
    let mut statement = connection.prepare_cached(&sql)?;
    // Of few kinds there are many objects: one copy of each name.
    let mut kinds: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut rows = statement.query(params![tenant, kind, id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: Arc<str> = row.get(0)?;
        let kind = kinds.get(&kind).cloned().unwrap_or_else(|| {
            kinds.insert(kind.clone());
            kind
        });
        found.push(InventoryRow {
            kind,
            id: row.get(1)?,
            json: row.get(2)?,
            seen: row.get(3)?,
            missing: row.get(4)?,
        });
    }
    Ok(found)
}

pub(super) fn rules(connection: &Connection, name: &str) -> Result<Vec<RuleRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT rule, state_version, seq, released_time, released_log, released_id, standing,
                   clock, next_timer, entries, timers, bytes FROM rule
               WHERE tenant = ?1 ORDER BY rule, state_version";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let rule: Arc<str> = row.get(0)?;
        let standing: String = row.get(6)?;
        found.push(RuleRow {
            standing: serde_json::from_str(&standing)
                .map_err(|error| Fault::damaged(format!("the standing of rule {rule} of {name}"), error))?,
            rule,
            state_version: row.get(1)?,
            position: Position {
                seq: row.get(2)?,
                released: Key {
                    time: row.get(3)?,
                    log: row.get(4)?,
                    id: row.get(5)?,
                },
            },
            remembers: StateSummary {
                clock: row.get(7)?,
                next_timer: row.get(8)?,
                entries: row.get(9)?,
                timers: row.get(10)?,
                bytes: row.get(11)?,
            },
        });
    }
    Ok(found)
}

pub(super) fn state(connection: &Connection, name: &str, rule: &str, state_version: u32) -> Result<RuleState, Fault> {
    let sql = "SELECT rule.id, clock FROM rule JOIN tenant ON tenant.id = rule.tenant
               WHERE tenant.name = ?1 AND rule = ?2 AND state_version = ?3";
    let found: Option<(i64, Option<i64>)> = connection
        .prepare_cached(sql)?
        .query_row(params![name, rule, state_version], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, clock)) = found else {
        return Ok(RuleState::default());
    };
    let mut statement = connection.prepare_cached("SELECT key, value, expires_at FROM state WHERE rule = ?1")?;
    let entries = statement.query_map([id], |row| {
        Ok((
            bytes(row, 0)?,
            StateEntry {
                value: bytes(row, 1)?,
                expires_at: row.get(2)?,
            },
        ))
    })?;
    let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached("SELECT key, at FROM timer WHERE rule = ?1")?;
    let timers = statement.query_map([id], |row| Ok((bytes(row, 0)?, row.get(1)?)))?;
    let timers: Vec<_> = timers.collect::<Result<_, _>>()?;
    Ok(RuleState::restore(clock, entries, timers))
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<[u8]>> {
    Ok(row.get_ref(column)?.as_blob()?.into())
}

pub(super) fn poison(connection: &Connection, name: &str) -> Result<Vec<PoisonRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT rule, log, event, code, reason, time, fate FROM poison WHERE tenant = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let event: Arc<str> = row.get(2)?;
        let fate: String = row.get(6)?;
        let fate = serde_json::from_str(&fate)
            .map_err(|error| Fault::damaged(format!("what is recorded of event {event}"), error))?;
        found.push(PoisonRow {
            rule: row.get(0)?,
            log: row.get(1)?,
            event,
            code: row.get(3)?,
            reason: row.get(4)?,
            time: row.get(5)?,
            fate,
        });
    }
    Ok(found)
}

pub(super) fn forgotten(connection: &Connection, name: &str) -> Result<Vec<Forgotten>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT log, seq, time FROM forgotten WHERE tenant = ?1 ORDER BY log";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([tenant], |row| {
        Ok(Forgotten {
            log: row.get(0)?,
            seq: row.get(1)?,
            time: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_alerts(connection: &Connection, name: &str) -> Result<(u64, Option<i64>), Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok((0, None));
    };
    let mut statement = connection.prepare_cached(
        "SELECT count(*), max(time) FROM alert WHERE tenant = ?1 AND shadow = 0 AND suppressed IS NULL AND summary = 0",
    )?;
    Ok(statement.query_row([tenant], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub(super) fn alerts(connection: &Connection, name: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let mut sql =
        "SELECT id, rule, severity, time, raised, dedup_key, dedup_until, about, json, repeats, last_repeat, historic,
                   shadow, suppressed, incident, incident_opened, incident_severity, page, principal, superseded_by FROM alert
         WHERE tenant = ? AND shadow = ? AND summary = 0"
            .to_owned();
    if !filter.shadow {
        sql.push_str(if filter.suppressed {
            " AND suppressed IS NOT NULL"
        } else {
            " AND suppressed IS NULL"
        });
    }
    let mut values = vec![Value::Integer(tenant), Value::Integer(filter.shadow.into())];
    let mut and = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(prefix) = &filter.id_prefix {
        let kind = match filter {
            AlertFilter { shadow: true, .. } => "sh_",
            AlertFilter { suppressed: true, .. } => "su_",
            _ => "al_",
        };
        let prefix = if prefix.starts_with(kind) {
            prefix.clone()
        } else {
            format!("{kind}{prefix}")
        };
        and(" AND id >= ?", prefix.clone().into());
        and(" AND id < ?", format!("{prefix}\u{10ffff}").into());
    }
    if let Some(rule) = &filter.rule {
        and(" AND rule = ?", rule.clone().into());
    }
    if let Some(about) = &filter.about {
        and(" AND about = ?", about.clone().into());
    }
    if let Some(since) = filter.since {
        and(" AND time >= ?", since.into());
    }
    if let Some(prefix) = &filter.incident {
        let prefix = prefix.strip_prefix("al_").unwrap_or(prefix);
        and(" AND incident >= ?", format!("al_{prefix}").into());
        and(" AND incident < ?", format!("al_{prefix}\u{10ffff}").into());
    }
    match filter.latest {
        None => sql.push_str(" ORDER BY time, number"),
        Some(latest) => {
            sql.push_str(" ORDER BY time DESC, number DESC LIMIT ?");
            values.push(i64::try_from(latest).unwrap_or(i64::MAX).into());
        }
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(alert(row)?);
    }
    Ok(found)
}

fn alert(row: &Row<'_>) -> Result<AlertRow, Fault> {
    let id: Arc<str> = row.get(0)?;
    let severity: String = row.get(2)?;
    Ok(AlertRow {
        rule: row.get(1)?,
        severity: severity_of(&severity)
            .ok_or_else(|| Fault::damaged(format!("alert {id}"), format!("severity {severity:?} is none")))?,
        time: row.get(3)?,
        raised: row.get(4)?,
        dedup_key: row.get(5)?,
        dedup_until: row.get(6)?,
        about: row.get(7)?,
        json: row.get(8)?,
        repeats: row.get(9)?,
        last_repeat: row.get(10)?,
        historic: row.get(11)?,
        shadow: row.get(12)?,
        suppressed: row.get(13)?,
        incident: super::incident::of_alert(row, 14, &id)?,
        id,
    })
}

pub(super) fn severity_of(word: &str) -> Option<Severity> {
    let all = [
        Severity::Info,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    all.into_iter().find(|severity| severity.as_str() == word)
}

pub(super) fn dedup(connection: &Connection, name: &str, since: i64) -> Result<Vec<DedupRow>, Fault> {
    let (owner, segment) = segment::owner(name).map_or((name, ""), |owner| (owner, name));
    let Some(tenant) = tenant(connection, owner)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT rule, dedup_key, id, time, dedup_until, shadow FROM alert
               WHERE tenant = ?1 AND dedup_until > ?2 AND segment = ?3 AND summary = 0 ORDER BY rule, dedup_key, time, number";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![tenant, since, segment], |row| {
        Ok(DedupRow {
            rule: row.get(0)?,
            key: row.get(1)?,
            alert: row.get(2)?,
            time: row.get(3)?,
            until: row.get(4)?,
            shadow: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn note(connection: &Connection, tenant: &str, name: &str) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached("SELECT value FROM note WHERE tenant = ?1 AND name = ?2")?;
    Ok(statement
        .query_row(params![tenant, name], |row| row.get(0))
        .optional()?)
}
