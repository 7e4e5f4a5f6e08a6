//! The outbox: what is to be delivered, how sinks stand, letters and floods.

use std::collections::BTreeSet;
use std::sync::Arc;

use picket_contract::Severity;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::Fault;
use super::journal::tenant;
use super::progress::severity_of;
use super::submission::json;
use super::write::{raise, tenant_of};
use crate::{
    AlertRow, Flood, HOUR_MS, Lane, Letter, LetterFilter, LetterState, OutboxRow, Patience, Settlement, SinkRow,
    Stretch, Waiting,
};

/// Hours of which it is remembered how many alerts were raised.
const HOURS: i64 = 48;

/// What is delivered at all. Spelt like the partial indexes that find it.
const TO_SEND: &str = "historic = 0 AND shadow = 0 AND suppressed IS NULL";

pub(super) fn stretch(connection: &Connection, stretch: &Stretch<'_>) -> Result<Vec<OutboxRow>, Fault> {
    let of = match stretch.tenant {
        None => None,
        Some(name) => match tenant(connection, name)? {
            None => return Ok(Vec::new()),
            some => some,
        },
    };
    let place = if of.is_some() {
        "tenant = ?4 AND"
    } else {
        "?4 IS NULL AND"
    };
    let sql = format!(
        "SELECT number, (SELECT name FROM tenant WHERE id = alert.tenant), id, json, severity, rule, raised, nth, summary, page
         FROM alert WHERE {place} number > ?1 AND number <= ?2 AND {TO_SEND}
             AND (?5 IS NULL OR NOT EXISTS (SELECT 1 FROM lane WHERE sink = ?5 AND lane.tenant = alert.tenant))
             AND (?6 IS NULL OR id = ?6)
         ORDER BY number LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let up_to = stretch.up_to.map_or(i64::MAX, signed);
    let limit = i64::try_from(stretch.limit).unwrap_or(i64::MAX);
    let values = params![stretch.after, up_to, limit, of, stretch.without_lanes_of, stretch.alert];
    let mut rows = statement.query(values)?;
    // Names repeat from row to row: one copy of each.
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut named = |name: Arc<str>| {
        names.get(&name).cloned().unwrap_or_else(|| {
            names.insert(name.clone());
            name
        })
    };
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let alert: Arc<str> = row.get(2)?;
        let json: Arc<str> = row.get(3)?;
        bytes = bytes.saturating_add(json.len());
        found.push(OutboxRow {
            number: row.get(0)?,
            tenant: named(row.get(1)?),
            severity: severity(&alert, &row.get::<_, String>(4)?)?,
            alert,
            json,
            rule: named(row.get(5)?),
            raised: row.get(6)?,
            nth: row.get(7)?,
            summary: row.get(8)?,
            page: row.get(9)?,
        });
        if stretch.bytes > 0 && bytes >= stretch.bytes {
            break;
        }
    }
    Ok(found)
}

fn severity(alert: &str, word: &str) -> Result<Severity, Fault> {
    severity_of(word).ok_or_else(|| Fault::damaged(format!("alert {alert}"), format!("severity {word:?} is none")))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn end(connection: &Connection) -> Result<u64, Fault> {
    let sql = format!("SELECT coalesce(max(number), 0) FROM alert WHERE {TO_SEND}");
    Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}

pub(super) fn sinks(connection: &Connection) -> Result<Vec<SinkRow>, Fault> {
    let patience = |row: &Row<'_>| {
        Ok::<_, rusqlite::Error>(Patience {
            attempts: row.get(2)?,
            next_try: row.get(3)?,
            trouble: row.get(4)?,
            since: row.get(5)?,
        })
    };
    let sql = "SELECT name, number, attempts, next_try, trouble, since, disabled FROM sink ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(SinkRow {
            sink: row.get(0)?,
            after: row.get(1)?,
            patience: patience(row)?,
            disabled: row.get(6)?,
            lanes: Vec::new(),
        })
    })?;
    let mut sinks: Vec<SinkRow> = rows.collect::<Result<_, _>>()?;
    let sql = "SELECT tenant.name, lane.number, attempts, next_try, trouble, since FROM lane
               JOIN tenant ON tenant.id = lane.tenant WHERE sink = ?1 ORDER BY tenant.name";
    let mut statement = connection.prepare_cached(sql)?;
    for sink in &mut sinks {
        let lanes = statement.query_map([&sink.sink], |row| {
            Ok(Lane {
                tenant: row.get(0)?,
                after: row.get(1)?,
                patience: patience(row)?,
            })
        })?;
        sink.lanes = lanes.collect::<Result<_, _>>()?;
    }
    Ok(sinks)
}

pub(super) fn waiting(connection: &Connection, waiting: &Waiting<'_>) -> Result<(u64, Option<i64>), Fault> {
    let severities: Vec<&str> = [
        Severity::Info,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ]
    .into_iter()
    .filter(|severity| *severity >= waiting.min_severity)
    .map(Severity::as_str)
    .collect();
    let tenants = waiting.tenants.map(|tenants| json(&tenants)).transpose()?;
    let sql = format!(
        "WITH wanted AS (
             SELECT raised FROM alert LEFT JOIN lane ON lane.sink = ?1 AND lane.tenant = alert.tenant
             WHERE alert.number > coalesce(
                     (SELECT min(number) FROM
                         (SELECT number FROM sink WHERE name = ?1 UNION ALL SELECT number FROM lane WHERE sink = ?1)), 0)
                 AND alert.number > coalesce(lane.number, (SELECT number FROM sink WHERE name = ?1), 0) AND {TO_SEND}
                 AND (summary = 1 OR nth <= ?2)
                 AND severity IN (SELECT value FROM json_each(?3))
                 AND (?4 IS NULL OR (SELECT name FROM tenant WHERE id = alert.tenant) IN (SELECT value FROM json_each(?4)))
                 AND NOT EXISTS (SELECT 1 FROM letter WHERE letter.sink = ?1 AND letter.number = alert.number)
             ORDER BY alert.number LIMIT ?5)
         SELECT count(*), min(raised) FROM wanted"
    );
    let values = params![
        waiting.sink,
        waiting.per_hour.map_or(i64::MAX, i64::from),
        json(&severities)?,
        tenants,
        signed(waiting.most)
    ];
    Ok(connection
        .prepare_cached(&sql)?
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub(super) fn letters(connection: &Connection, filter: &LetterFilter<'_>) -> Result<Vec<Letter>, Fault> {
    let sql = "SELECT sink, letter.number, tenant.name, alert.id, state, reason, letter.time FROM letter
               JOIN tenant ON tenant.id = letter.tenant JOIN alert ON alert.number = letter.number
               WHERE (?1 IS NULL OR sink = ?1) AND (?2 IS NULL OR tenant.name = ?2) AND (?3 IS NULL OR state = ?3)
                   AND letter.number > ?4 ORDER BY sink, letter.number LIMIT ?5";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let values = params![
        filter.sink,
        filter.tenant,
        filter.state.map(LetterState::as_str),
        filter.after,
        limit
    ];
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, state): (u64, String) = (row.get(1)?, row.get(4)?);
        found.push(Letter {
            sink: row.get(0)?,
            number,
            tenant: row.get(2)?,
            alert: row.get(3)?,
            state: LetterState::of(&state)
                .ok_or_else(|| Fault::damaged(format!("letter {number}"), format!("state {state:?} is none")))?,
            reason: row.get(5)?,
            time: row.get(6)?,
        });
    }
    Ok(found)
}

/// Writes what came of delivering.
pub(super) fn settle(connection: &Connection, settlement: &Settlement) -> Result<(), Fault> {
    let sink = &*settlement.sink;
    let sql = "INSERT INTO sink (name, number) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET number = max(number, excluded.number)";
    connection
        .prepare_cached(sql)?
        .execute(params![sink, settlement.after])?;
    if let Some((patience, disabled)) = &settlement.standing {
        let sql =
            "UPDATE sink SET attempts = ?2, next_try = ?3, trouble = ?4, since = ?5, disabled = ?6 WHERE name = ?1";
        connection.prepare_cached(sql)?.execute(params![
            sink,
            patience.attempts,
            patience.next_try,
            patience.trouble,
            patience.since,
            disabled
        ])?;
    }
    for (name, lane) in &settlement.lanes {
        let (tenant, _) = tenant_of(connection, name)?;
        match lane {
            None => {
                let sql = "DELETE FROM lane WHERE sink = ?1 AND tenant = ?2";
                connection.prepare_cached(sql)?.execute(params![sink, tenant])?;
            }
            Some(Lane { after, patience, .. }) => {
                let sql = "INSERT INTO lane (sink, tenant, number, attempts, next_try, trouble, since)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                           ON CONFLICT (sink, tenant) DO UPDATE SET number = max(number, excluded.number),
                               attempts = excluded.attempts, next_try = excluded.next_try, trouble = excluded.trouble,
                               since = excluded.since";
                connection.prepare_cached(sql)?.execute(params![
                    sink,
                    tenant,
                    after,
                    patience.attempts,
                    patience.next_try,
                    patience.trouble,
                    patience.since
                ])?;
            }
        }
    }
    for letter in &settlement.letters {
        let (tenant, _) = tenant_of(connection, &letter.tenant)?;
        let sql = "INSERT INTO letter (sink, number, tenant, state, reason, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (sink, number) DO UPDATE SET
                       state = excluded.state, reason = excluded.reason, time = excluded.time";
        connection.prepare_cached(sql)?.execute(params![
            letter.sink,
            letter.number,
            tenant,
            letter.state.as_str(),
            letter.reason,
            letter.time
        ])?;
    }
    let mut statement = connection.prepare_cached("DELETE FROM letter WHERE sink = ?1 AND number = ?2")?;
    for number in &settlement.settled {
        statement.execute(params![sink, number])?;
    }
    Ok(())
}

/// Counts an alert that is to be sent among those of its rule in the hour; returns the how manieth it is.
pub(super) fn count(connection: &Connection, tenant: i64, alert: &AlertRow) -> Result<u32, Fault> {
    let hour = alert.raised.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
    let sql = "INSERT INTO alert_rate (tenant, rule, hour, total) VALUES (?1, ?2, ?3, 1)
               ON CONFLICT (tenant, rule, hour) DO UPDATE SET total = total + 1 RETURNING total";
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params![tenant, alert.rule, hour], |row| row.get(0))?)
}

pub(super) fn floods(connection: &Connection, ended: i64, over: u32) -> Result<Vec<Flood>, Fault> {
    let sql = "SELECT tenant.name, rule, hour, total FROM alert_rate JOIN tenant ON tenant.id = alert_rate.tenant
               WHERE told = 0 AND hour <= ?1 AND total > ?2 ORDER BY hour, tenant.name, rule";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![ended.saturating_sub(HOUR_MS), over], |row| {
        Ok(Flood {
            tenant: row.get(0)?,
            rule: row.get(1)?,
            hour: row.get(2)?,
            total: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes the summary of a flood; a second time nothing. Counts of hours that nobody asks for any more go.
pub(super) fn summarise(connection: &Connection, flood: &Flood, summary: &AlertRow) -> Result<(), Fault> {
    let (tenant, _) = tenant_of(connection, &flood.tenant)?;
    let sql = "UPDATE alert_rate SET told = 1 WHERE tenant = ?1 AND rule = ?2 AND hour = ?3 AND told = 0";
    let told = connection
        .prepare_cached(sql)?
        .execute(params![tenant, flood.rule, flood.hour])?;
    if told == 1 {
        raise(connection, tenant, "", summary, true)?;
    }
    let sql = "DELETE FROM alert_rate WHERE hour < ?1";
    connection
        .prepare_cached(sql)?
        .execute([flood.hour.saturating_sub(HOURS * HOUR_MS)])?;
    Ok(())
}

/// Whether an alert of this id is stored.
pub(super) fn is_raised(connection: &Connection, tenant: i64, id: &str) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM alert WHERE tenant = ?1 AND id = ?2")?;
    Ok(statement
        .query_row(params![tenant, id], |_| Ok(()))
        .optional()?
        .is_some())
}
