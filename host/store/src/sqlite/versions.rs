//! Versions of modules, and the steps on their way.

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::submission::json;
use crate::{MOST_STEPS, MOST_VERSIONS, StepRow, VersionRow, VersionState};

/// Writes rows; what is too old of the files concerned gives way.
pub(super) fn keep(connection: &Connection, versions: &[VersionRow], steps: &[StepRow]) -> Result<(), Fault> {
    for row in versions {
        // In the order in which they came into their state: a row that changes becomes the latest.
        connection
            .prepare_cached("DELETE FROM version WHERE file = ?1 AND digest = ?2")?
            .execute(params![row.file, row.digest])?;
        let sql = "INSERT INTO version (file, digest, state, since, reason, rules) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        connection.prepare_cached(sql)?.execute(params![
            row.file,
            row.digest,
            json(&row.state)?,
            row.since,
            row.reason,
            json(&row.rules)?
        ])?;
        let sql = "DELETE FROM version WHERE file = ?1 AND state NOT IN (?2, ?3, ?4) AND number <=
                       (SELECT number FROM version WHERE file = ?1 AND state NOT IN (?2, ?3, ?4)
                        ORDER BY number DESC LIMIT 1 OFFSET ?5)";
        connection.prepare_cached(sql)?.execute(params![
            row.file,
            json(&VersionState::Live)?,
            json(&VersionState::Waiting)?,
            json(&VersionState::Shadow)?,
            MOST_VERSIONS
        ])?;
    }
    for row in steps {
        let sql = "INSERT INTO version_step (file, digest, time, step, outcome, reason, detail)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        connection.prepare_cached(sql)?.execute(params![
            row.file,
            row.digest,
            row.time,
            row.step,
            json(&row.outcome)?,
            row.reason,
            row.detail
        ])?;
        let sql = "DELETE FROM version_step WHERE file = ?1 AND number <=
                       (SELECT number FROM version_step WHERE file = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";
        connection.prepare_cached(sql)?.execute(params![row.file, MOST_STEPS])?;
    }
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<VersionRow>, Fault> {
    let sql = "SELECT file, digest, state, since, reason, rules FROM version ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (digest, state, rules): (std::sync::Arc<str>, String, String) = (row.get(1)?, row.get(2)?, row.get(5)?);
        let damaged = |error| Fault::damaged(format!("what is recorded of version {digest}"), error);
        found.push(VersionRow {
            file: row.get(0)?,
            state: serde_json::from_str(&state).map_err(damaged)?,
            since: row.get(3)?,
            reason: row.get(4)?,
            rules: serde_json::from_str(&rules).map_err(damaged)?,
            digest: digest.clone(),
        });
    }
    Ok(found)
}

pub(super) fn steps(connection: &Connection, file: &str) -> Result<Vec<StepRow>, Fault> {
    let sql =
        "SELECT file, digest, time, step, outcome, reason, detail FROM version_step WHERE file = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([file])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome: String = row.get(4)?;
        found.push(StepRow {
            file: row.get(0)?,
            digest: row.get(1)?,
            time: row.get(2)?,
            step: row.get(3)?,
            outcome: serde_json::from_str(&outcome)
                .map_err(|error| Fault::damaged(format!("a step of {file}"), error))?,
            reason: row.get(5)?,
            detail: row.get(6)?,
        });
    }
    Ok(found)
}
