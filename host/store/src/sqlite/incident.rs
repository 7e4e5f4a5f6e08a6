//! Incidents: what decides where an alert belongs, and how they are listed.

use std::sync::Arc;

use picket_contract::Severity;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::fault::Fault;
use super::journal::tenant;
use super::progress::severity_of;
use crate::segment;
use crate::{
    AlertRow, InIncident, IncidentFilter, IncidentHead, IncidentRow, Kin, KinFilter, Reach, ReachFilter, Superseded,
};

/// Of what is of the past, and of no segment.
const HISTORIC: &str = "historic";

/// The tenant's name, and beside which others an incident stands. What a segment raises is of the past whatever is said of it.
fn lane(journal: &str, historic: bool) -> (&str, &str) {
    match segment::owner(journal) {
        Some(owner) => (owner, journal),
        None if historic => (journal, HISTORIC),
        None => (journal, ""),
    }
}

fn severity(what: &str, word: &str) -> Result<Severity, Fault> {
    severity_of(word).ok_or_else(|| Fault::damaged(what.to_owned(), format!("severity {word:?} is none")))
}

/// Of columns id, opened, severity.
fn head(row: &Row<'_>, first: usize) -> Result<IncidentHead, Fault> {
    let id: Arc<str> = row.get(first)?;
    Ok(IncidentHead {
        opened: row.get(first + 1)?,
        severity: severity(&format!("incident {id}"), &row.get::<_, String>(first + 2)?)?,
        id,
    })
}

/// As [`crate::Store::reaches`].
pub(super) fn reaches(connection: &Connection, journal: &str, of: &ReachFilter<'_>) -> Result<Vec<Reach>, Fault> {
    let (owner, lane) = lane(journal, of.historic);
    let Some(tenant) = tenant(connection, owner)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT id, opened, severity, reach.first, reach.last
               FROM incident_principal AS reach JOIN incident ON number = reach.incident
               WHERE reach.tenant = ?1 AND reach.lane = ?2 AND principal = ?3 AND reach.last >= ?4 AND reach.first <= ?5
               ORDER BY opened, id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![tenant, lane, of.principal, of.from, of.to])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Reach {
            incident: head(row, 0)?,
            first: row.get(3)?,
            last: row.get(4)?,
        });
    }
    Ok(found)
}

/// As [`crate::Store::kin`].
pub(super) fn kin(connection: &Connection, journal: &str, of: &KinFilter<'_>) -> Result<Vec<Kin>, Fault> {
    let (owner, lane) = lane(journal, of.historic);
    let Some(tenant) = tenant(connection, owner)? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT incident.id, incident.opened, incident.severity, alert.id, rule, time, superseded_by IS NOT NULL
               FROM alert JOIN incident ON incident.tenant = alert.tenant AND incident.lane = ?2
                   AND incident.id = alert.incident
               WHERE alert.tenant = ?1 AND about = ?3 AND time >= ?4 AND time <= ?5 AND segment = ?6 AND historic = ?7
               ORDER BY time, alert.number";
    let segment = segment::owner(journal).map_or("", |_| journal);
    let is_historic = of.historic || !segment.is_empty();
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![tenant, lane, of.about, of.from, of.to, segment, is_historic];
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let rule: Arc<str> = row.get(4)?;
        if of.rules.contains(&&*rule) {
            found.push(Kin {
                incident: head(row, 0)?,
                alert: row.get(3)?,
                rule,
                time: row.get(5)?,
                is_superseded: row.get(6)?,
            });
        }
    }
    Ok(found)
}

/// An alert has been written: its incident has one more.
pub(super) fn enter(connection: &Connection, tenant: i64, segment: &str, alert: &AlertRow) -> Result<(), Fault> {
    let Some(incident) = &alert.incident else { return Ok(()) };
    let lane = match segment {
        "" if alert.historic => HISTORIC,
        segment => segment,
    };
    let sql = "SELECT severity FROM incident WHERE tenant = ?1 AND lane = ?2 AND id = ?3";
    let before: Option<String> = connection
        .prepare_cached(sql)?
        .query_row(params![tenant, lane, incident.id], |row| row.get(0))
        .optional()?;
    let before = before
        .map(|word| severity(&format!("incident {}", incident.id), &word))
        .transpose()?;
    let worst = before.map_or(incident.severity, |before| before.max(incident.severity));
    let sql = "INSERT INTO incident (tenant, lane, id, opened, first, last, severity, alerts, pages)
               VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 1, ?7)
               ON CONFLICT (tenant, lane, id) DO UPDATE SET
                   first = min(first, excluded.first), last = max(last, excluded.last), severity = excluded.severity,
                   alerts = alerts + 1, pages = pages + excluded.pages
               RETURNING number";
    let number: i64 = connection.prepare_cached(sql)?.query_row(
        params![
            tenant,
            lane,
            incident.id,
            incident.opened,
            alert.time,
            worst.as_str(),
            incident.page
        ],
        |row| row.get(0),
    )?;
    if let Some(principal) = &incident.principal {
        let sql = "INSERT INTO incident_principal (incident, tenant, lane, principal, first, last)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?5)
                   ON CONFLICT (incident, principal) DO UPDATE SET
                       first = min(first, excluded.first), last = max(last, excluded.last)";
        connection
            .prepare_cached(sql)?
            .execute(params![number, tenant, lane, principal, alert.time])?;
    }
    Ok(())
}

/// An alert takes another's place, unless one has taken it before.
pub(super) fn supersede(connection: &Connection, tenant: i64, superseded: &Superseded) -> Result<(), Fault> {
    let sql = "UPDATE alert SET superseded_by = ?3
               WHERE tenant = ?1 AND id = ?2 AND superseded_by IS NULL AND incident IS NOT NULL";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, superseded.alert, superseded.by])?;
    Ok(())
}

/// Incidents that are over, and of whose alerts none is left.
pub(super) fn forget(connection: &Connection, tenant: i64, before: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM incident WHERE tenant = ?1 AND last < ?2 AND NOT EXISTS (
                   SELECT 1 FROM alert WHERE alert.tenant = ?1 AND alert.incident = incident.id)";
    connection.prepare_cached(sql)?.execute(params![tenant, before])?;
    Ok(())
}

/// As [`crate::Store::incidents`].
pub(super) fn list(connection: &Connection, name: &str, filter: &IncidentFilter) -> Result<Vec<IncidentRow>, Fault> {
    let Some(tenant) = tenant(connection, name)? else {
        return Ok(Vec::new());
    };
    let mut sql = "SELECT id, opened, severity, first, last, alerts, pages, lane <> '', number
                   FROM incident WHERE tenant = ?"
        .to_owned();
    let mut values = vec![Value::Integer(tenant)];
    if let Some(prefix) = &filter.id_prefix {
        let prefix = format!("al_{}", prefix.strip_prefix("al_").unwrap_or(prefix));
        sql.push_str(" AND id >= ? AND id < ?");
        values.extend([prefix.clone().into(), format!("{prefix}\u{10ffff}").into()]);
    }
    if let Some(since) = filter.since {
        sql.push_str(" AND last >= ?");
        values.push(since.into());
    }
    sql.push_str(" ORDER BY last DESC, number DESC");
    if let Some(latest) = filter.latest {
        sql.push_str(" LIMIT ?");
        values.push(i64::try_from(latest).unwrap_or(i64::MAX).into());
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let IncidentHead { id, opened, severity } = head(row, 0)?;
        found.push(IncidentRow {
            id,
            opened,
            severity,
            first: row.get(3)?,
            last: row.get(4)?,
            alerts: row.get(5)?,
            pages: row.get(6)?,
            historic: row.get(7)?,
            principals: principals(connection, row.get(8)?)?,
        });
    }
    found.reverse();
    Ok(found)
}

fn principals(connection: &Connection, incident: i64) -> Result<Vec<Arc<str>>, Fault> {
    let sql = "SELECT principal FROM incident_principal WHERE incident = ?1 ORDER BY principal";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([incident], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The incident of an alert that was read; columns: incident, incident_opened, incident_severity, page, principal,
/// superseded_by.
pub(super) fn of_alert(row: &Row<'_>, first: usize, alert: &str) -> Result<Option<InIncident>, Fault> {
    if row.get::<_, Option<Arc<str>>>(first)?.is_none() {
        return Ok(None);
    }
    let IncidentHead { id, opened, severity } = head(row, first)
        .map_err(|_| Fault::damaged(format!("alert {alert}"), "its incident cannot be read".to_owned()))?;
    Ok(Some(InIncident {
        id,
        opened,
        severity,
        page: row.get(first + 3)?,
        principal: row.get(first + 4)?,
        superseded_by: row.get(first + 5)?,
    }))
}
