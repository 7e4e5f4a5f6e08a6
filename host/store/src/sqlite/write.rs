//! One submission's statements. Whoever calls holds the transaction around them.

use picket_contract::Mark;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::held::{self, Ids};
use super::incident;
use super::outbox;
use super::record;
use super::retention;
use super::submission::{Entry, Submission, Work, json};
use super::versions;
use crate::segment;
use crate::{AlertRow, InventoryChange, MOST_POISON, PoisonRow, Repeat, RuleCommit};

/// Writes one piece of work; returns how much a [`Work`] forgot, else 0.
pub(super) fn apply(connection: &Connection, work: &Work) -> Result<u64, Fault> {
    match work {
        Work::Transact { tenant, submission } => transact(connection, tenant, submission).map(|()| 0),
        Work::Settle(settlement) => outbox::settle(connection, settlement).map(|()| 0),
        Work::Summarise { flood, summary } => outbox::summarise(connection, flood, summary).map(|()| 0),
        Work::Note {
            tenant,
            name,
            value: Some(value),
        } => {
            let sql = "INSERT INTO note (tenant, name, value) VALUES (?1, ?2, ?3)
                       ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value";
            connection.prepare_cached(sql)?.execute(params![tenant, name, value])?;
            Ok(0)
        }
        Work::Note {
            tenant,
            name,
            value: None,
        } => {
            let sql = "DELETE FROM note WHERE tenant = ?1 AND name = ?2";
            connection.prepare_cached(sql)?.execute(params![tenant, name])?;
            Ok(0)
        }
        Work::Versions { versions, steps } => versions::keep(connection, versions, steps).map(|()| 0),
        Work::Discard { segment } => {
            for table in ["rule", "cursor", "poison"] {
                let sql = format!("DELETE FROM {table} WHERE tenant = (SELECT id FROM tenant WHERE name = ?1)");
                connection.prepare_cached(&sql)?.execute([segment])?;
            }
            let sql = "DELETE FROM note WHERE tenant = ?1";
            connection.prepare_cached(sql)?.execute([segment])?;
            Ok(0)
        }
        Work::Forget { tenant, log, old } => retention::forget(connection, tenant, log, old),
        Work::ForgetIds {
            tenant,
            log,
            before,
            most,
        } => retention::forget_ids(connection, tenant, log, *before, *most),
        Work::ForgetAlerts {
            tenant,
            before,
            up_to,
            most,
        } => retention::forget_alerts(connection, tenant, *before, *up_to, *most),
        Work::ForgetRecords { before, most } => retention::forget_records(connection, *before, *most),
        Work::Purge { tenant, most } => retention::purge(connection, tenant, *most),
        // The writer does it between transactions.
        Work::Vacuum { .. } | Work::Fold | Work::Rebuild => Ok(0),
        Work::Audit { entries } => record::audit(connection, entries).map(|()| 0),
        Work::Generation { tenant, generation } => record::began(connection, tenant, generation).map(|()| 0),
    }
}

fn transact(connection: &Connection, name: &str, submission: &Submission) -> Result<(), Fault> {
    let (tenant, mut last_seq) = tenant_of(connection, name)?;
    for entry in &submission.entries {
        if entry.first_seq != last_seq + 1 {
            return Err(Fault::Refused(format!(
                "the journal of {name} goes on with number {}, not {}: read back where it stands",
                last_seq + 1,
                entry.first_seq
            )));
        }
        admit(connection, tenant, name, entry)?;
        last_seq = entry.last_seq;
    }
    if !submission.entries.is_empty() {
        connection
            .prepare_cached("UPDATE tenant SET last_seq = ?2 WHERE id = ?1")?
            .execute(params![tenant, last_seq])?;
    }
    for cursor in &submission.cursors {
        let sql = "INSERT INTO cursor (tenant, log, cursor) VALUES (?1, ?2, ?3)
                   ON CONFLICT (tenant, log) DO UPDATE SET cursor = excluded.cursor";
        connection
            .prepare_cached(sql)?
            .execute(params![tenant, cursor.log, cursor.cursor])?;
    }
    submission
        .inventory
        .iter()
        .try_for_each(|change| take_stock(connection, tenant, change))?;
    for commit in &submission.rules {
        if commit.position.seq > last_seq {
            return Err(Fault::Refused(format!(
                "rule {} of {name} has read up to {}, but the journal ends at {last_seq}: read back where it stands",
                commit.rule, commit.position.seq
            )));
        }
        go_on(connection, tenant, commit)?;
    }
    submission
        .poison
        .iter()
        .try_for_each(|row| fail_on(connection, tenant, row))?;
    let (owner, segment) = match segment::owner(name) {
        Some(owner) if submission.is_heard() => (tenant_of(connection, owner)?.0, name),
        _ => (tenant, ""),
    };
    submission
        .alerts
        .iter()
        .try_for_each(|alert| raise(connection, owner, segment, alert, false))?;
    submission
        .repeats
        .iter()
        .try_for_each(|repeat| count(connection, owner, repeat))?;
    submission
        .superseded
        .iter()
        .try_for_each(|superseded| incident::supersede(connection, owner, superseded))
}

/// The row of a tenant or segment, made where there is none, and its journal's last number.
pub(super) fn tenant_of(connection: &Connection, name: &str) -> Result<(i64, u64), Fault> {
    connection
        .prepare_cached("INSERT INTO tenant (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([name])?;
    let mut statement = connection.prepare_cached("SELECT id, last_seq FROM tenant WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn admit(connection: &Connection, tenant: i64, name: &str, entry: &Entry) -> Result<(), Fault> {
    if entry.block.is_none() {
        if entry.marks.is_empty() {
            return Ok(());
        }
        merge(connection, tenant, &entry.marks)?;
    }
    let bytes = entry.block.as_ref().map_or(0, |block| block.body.len());
    let sql = "INSERT INTO admission (tenant, first_seq, last_seq, log, events, t_min, t_max, marks, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        tenant,
        entry.first_seq,
        entry.last_seq,
        entry.log,
        entry.ids.as_ref().map_or(0, Ids::len),
        entry.ids.as_ref().map(|ids| ids.t_min),
        entry.ids.as_ref().map(|ids| ids.t_max),
        entry.marks_json,
        bytes
    ])?;
    if let Some(block) = &entry.block {
        let sql = "INSERT INTO block (admission, size, crc32, body, layout) VALUES (?1, ?2, ?3, ?4, ?5)";
        let admission = connection.last_insert_rowid();
        connection.prepare_cached(sql)?.execute(params![
            admission,
            block.size,
            block.crc32,
            block.body,
            block.layout.number()
        ])?;
    }
    let Some(ids) = &entry.ids else { return Ok(()) };
    let sql = "INSERT INTO volume (tenant, log, events, bytes, admitted) VALUES (?1, ?2, ?3, ?4, ?3)
               ON CONFLICT (tenant, log) DO UPDATE SET events = events + excluded.events,
                   bytes = bytes + excluded.bytes, admitted = admitted + excluded.admitted";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, entry.log, ids.len(), bytes])?;
    match held::remember(connection, tenant, &entry.log, ids)? {
        Ok(()) => Ok(()),
        Err(id) => Err(Fault::Refused(format!(
            "the journal of {name} holds event {id} of {} already",
            entry.log
        ))),
    }
}

/// Removes entries that the new marks make superfluous, from the journal's end back to the last event or other mark.
fn merge(connection: &Connection, tenant: i64, new: &[Mark]) -> Result<(), Fault> {
    let sql = "SELECT id, events, marks FROM admission WHERE tenant = ?1 ORDER BY last_seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant])?;
    let mut superfluous: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        let marks = row.get_ref(2)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        // What cannot be read is left alone: it is named when somebody reads the journal.
        let Some(old) = marks.and_then(|marks| serde_json::from_str::<Vec<Mark>>(marks).ok()) else {
            break;
        };
        let plain = old
            .iter()
            .all(|mark| matches!(mark, Mark::Complete { .. } | Mark::Live { .. }));
        if row.get::<_, u64>(1)? > 0 || !plain {
            break;
        }
        if old.iter().all(|mark| says_more(new, mark)) {
            superfluous.push(row.get(0)?);
        }
    }
    for id in superfluous {
        connection
            .prepare_cached("DELETE FROM admission WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(())
}

/// Whether one of the new marks says the same of the same log up to the same time or a later one.
fn says_more(new: &[Mark], old: &Mark) -> bool {
    new.iter().any(|new| match (new, old) {
        (Mark::Complete { log, to }, Mark::Complete { log: of, to: before })
        | (Mark::Live { log, to }, Mark::Live { log: of, to: before }) => log == of && to >= before,
        _ => false,
    })
}

fn go_on(connection: &Connection, tenant: i64, commit: &RuleCommit) -> Result<(), Fault> {
    let RuleCommit {
        rule,
        state_version,
        position,
        changes,
        remembers,
        standing,
    } = commit;
    let sql =
        "INSERT INTO rule (tenant, rule, state_version, seq, released_time, released_log, released_id, clock, standing,
                   next_timer, entries, timers, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
               ON CONFLICT (tenant, rule, state_version) DO UPDATE SET
                   seq = excluded.seq, released_time = excluded.released_time, released_log = excluded.released_log,
                   released_id = excluded.released_id, standing = excluded.standing,
                   next_timer = excluded.next_timer, entries = excluded.entries, timers = excluded.timers,
                   bytes = excluded.bytes,
                   clock = coalesce(max(clock, excluded.clock), clock, excluded.clock)
               RETURNING id";
    let released = &position.released;
    let id: i64 = connection.prepare_cached(sql)?.query_row(
        params![
            tenant,
            rule,
            state_version,
            position.seq,
            released.time,
            released.log,
            released.id,
            changes.clock,
            json(standing)?,
            remembers.next_timer,
            remembers.entries,
            remembers.timers,
            remembers.bytes
        ],
        |row| row.get(0),
    )?;
    let put = "INSERT INTO state (rule, key, value, expires_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (rule, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
    // In the order of the table.
    let mut entries: Vec<_> = changes.entries.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for (key, entry) in entries {
        match entry {
            Some(entry) => {
                connection
                    .prepare_cached(put)?
                    .execute(params![id, &**key, &*entry.value, entry.expires_at])?
            }
            None => connection
                .prepare_cached("DELETE FROM state WHERE rule = ?1 AND key = ?2")?
                .execute(params![id, &**key])?,
        };
    }
    let set =
        "INSERT INTO timer (rule, key, at) VALUES (?1, ?2, ?3) ON CONFLICT (rule, key) DO UPDATE SET at = excluded.at";
    for (key, at) in &changes.timers {
        match at {
            Some(at) => connection.prepare_cached(set)?.execute(params![id, &**key, at])?,
            None => connection
                .prepare_cached("DELETE FROM timer WHERE rule = ?1 AND key = ?2")?
                .execute(params![id, &**key])?,
        };
    }
    let collect = "DELETE FROM state WHERE rule = ?1 AND expires_at <= (SELECT clock FROM rule WHERE id = ?1)";
    connection.prepare_cached(collect)?.execute([id])?;
    Ok(())
}

fn take_stock(connection: &Connection, tenant: i64, change: &InventoryChange) -> Result<(), Fault> {
    match change {
        InventoryChange::Put(row) => {
            let sql = "INSERT INTO inventory (tenant, kind, id, json, seen, missing) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (tenant, kind, id) DO UPDATE SET
                           json = excluded.json, seen = excluded.seen, missing = excluded.missing";
            connection.prepare_cached(sql)?.execute(params![
                tenant,
                row.kind,
                row.id,
                row.json,
                row.seen,
                row.missing
            ])?;
        }
        InventoryChange::Delete { kind, id } => {
            let sql = "DELETE FROM inventory WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
            connection.prepare_cached(sql)?.execute(params![tenant, kind, id])?;
        }
    }
    Ok(())
}

/// An alert, once: a second of the same id changes nothing. `summary`: it says how many were not sent.
pub(super) fn raise(
    connection: &Connection,
    tenant: i64,
    segment: &str,
    alert: &AlertRow,
    summary: bool,
) -> Result<(), Fault> {
    if outbox::is_raised(connection, tenant, &alert.id)? {
        return Ok(());
    }
    let is_sent = !(alert.historic || alert.shadow || alert.suppressed.is_some() || summary);
    let nth = if is_sent {
        outbox::count(connection, tenant, alert)?
    } else {
        1
    };
    let of = alert.incident.as_ref();
    let sql =
        "INSERT INTO alert (tenant, id, rule, severity, time, raised, dedup_key, dedup_until, about, json, repeats,
                   last_repeat, historic, segment, shadow, suppressed, nth, summary,
                   incident, incident_opened, incident_severity, page, principal, superseded_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                   ?22, ?23, ?24)";
    connection.prepare_cached(sql)?.execute(params![
        tenant,
        alert.id,
        alert.rule,
        alert.severity.as_str(),
        alert.time,
        alert.raised,
        alert.dedup_key,
        alert.dedup_until,
        alert.about,
        alert.json,
        alert.repeats,
        alert.last_repeat,
        alert.historic,
        segment,
        alert.shadow,
        alert.suppressed,
        nth,
        summary,
        of.map(|incident| &incident.id),
        of.map(|incident| incident.opened),
        of.map(|incident| incident.severity.as_str()),
        of.is_some_and(|incident| incident.page),
        of.and_then(|incident| incident.principal.as_ref()),
        of.and_then(|incident| incident.superseded_by.as_ref()),
    ])?;
    incident::enter(connection, tenant, segment, alert)
}

/// Records a row that a rule fails on; the oldest of the rule gives way.
fn fail_on(connection: &Connection, tenant: i64, row: &PoisonRow) -> Result<(), Fault> {
    let sql = "INSERT INTO poison (tenant, rule, log, event, code, reason, time, fate) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (tenant, rule, log, event) DO UPDATE SET
                   code = excluded.code, reason = excluded.reason, time = excluded.time, fate = excluded.fate";
    connection.prepare_cached(sql)?.execute(params![
        tenant,
        row.rule,
        row.log,
        row.event,
        row.code,
        row.reason,
        row.time,
        json(&row.fate)?
    ])?;
    let sql = "DELETE FROM poison WHERE tenant = ?1 AND rule = ?2 AND number <=
                   (SELECT number FROM poison WHERE tenant = ?1 AND rule = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, row.rule, MOST_POISON])?;
    Ok(())
}

fn count(connection: &Connection, tenant: i64, repeat: &Repeat) -> Result<(), Fault> {
    let sql = "UPDATE alert SET repeats = repeats + ?3, last_repeat = max(coalesce(last_repeat, ?4), ?4)
               WHERE tenant = ?1 AND id = ?2";
    connection
        .prepare_cached(sql)?
        .execute(params![tenant, repeat.id, repeat.count, repeat.time])?;
    Ok(())
}
