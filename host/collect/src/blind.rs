//! What polling met, as rows of the log `collector`: rules read them like any other log's.
//!
//! | `event` | when | and then |
//! | --- | --- | --- |
//! | `failing` | every attempt at a log failed for `blind_after` | `recovered` |
//! | `refused` | the same, and only a change of the configuration helps | `recovered` |
//! | `silent` | a log that is busy round the clock brings no row for `silent_after` ([`crate::Busy`]) | `recovered` |
//! | `gap` | polling came back after so long that Duo no longer keeps all of what was missed | |
//!
//! A row has `id`, `ts` (RFC 3339, our clock), `event`, `log` and `since`; `failing` and `refused` also `error` and `action`
//! (what is wrong, what to do), `recovered` also `was`, `gap` also `from` and `to`. Each is told once: what was told stands in
//! the cursor row `collector`, which is written with the rows, so a restart repeats nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{EventRecord, Mark};
use picket_duo::Log;
use picket_store::CursorRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::admit::{Admit, AdmitError, Intake};
use crate::clock::Clock;
use crate::health::{Known, Standing};
use crate::ledger::unreadable;
use crate::poller::Shared;
use crate::settings::Settings;

/// Name of the logical log of what polling met, and of its cursor row.
pub const COLLECTOR: &str = "collector";

/// How a log is blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Failing,
    Refused,
    Silent,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            How::Failing => "failing",
            How::Refused => "refused",
            How::Silent => "silent",
        }
    }
}

/// What was told of a log and is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Blind {
    how: How,
    since: i64,
}

/// The cursor row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The last row's time, ms.
    last: i64,
    #[serde(default)]
    logs: BTreeMap<String, Blind>,
    /// The last gap of each log: where it begins, ms.
    #[serde(default)]
    gaps: BTreeMap<String, i64>,
}

/// How a log looks now.
enum Sight {
    Blind(Blind, String, String),
    Sees,
    /// Too early to say.
    Unknown,
}

/// What was told of one account's logs.
#[derive(Debug, Default)]
pub(crate) struct Blindness {
    /// None: to be read from the journal.
    told: Mutex<Option<Told>>,
}

/// Looks at the account's logs now and then, until it is dropped.
pub(crate) async fn watch<D, A: Admit, C: Clock>(shared: Shared<D, A, C>) {
    let least = shared.settings.blind_after.min(shared.settings.silent_after);
    loop {
        shared.clock.sleep((least / 5).clamp(1_000, 60_000)).await;
        // If the journal fails, the next look tries again.
        if let Err(error) = Box::pin(shared.blindness.look(&shared)).await {
            tracing::debug!(tenant = %shared.tenant, "{error}");
        }
    }
}

impl Blindness {
    async fn look<D, A: Admit, C: Clock>(&self, shared: &Shared<D, A, C>) -> Result<(), AdmitError> {
        let now = shared.clock.now_ms();
        let logs = shared
            .board
            .each(|known| (known.health.log, sight(known, &shared.settings, now)));
        let mut place = self.told.lock().await;
        let mut told = load(&mut place, &*shared.admit).await?;
        let mut rows = Vec::new();
        for (log, sight) in logs {
            let name = log.as_str();
            let before = told.logs.get(name).cloned();
            match (before, sight) {
                (Some(before), Sight::Sees) => {
                    told.logs.remove(name);
                    rows.push(recovered(log, &before));
                }
                (Some(before), Sight::Blind(blind, ..)) if before.how != How::Silent && blind.how == How::Silent => {
                    told.logs.remove(name);
                    rows.push(recovered(log, &before));
                }
                (before, Sight::Blind(blind, error, action))
                    if before
                        .as_ref()
                        .is_none_or(|before| before.how == How::Silent && blind.how != How::Silent) =>
                {
                    let mut row = row(log, blind.how.as_str(), blind.since);
                    row.extend([("error", Value::from(error)), ("action", Value::from(action))]);
                    rows.push(row);
                    told.logs.insert(name.to_owned(), blind);
                }
                _ => {}
            }
        }
        write(&mut place, &*shared.admit, told, rows, now).await
    }

    /// What lies between `from` and `to` (ms) was not read and cannot be read any more.
    pub(crate) async fn tell_gap<D, A: Admit, C: Clock>(
        &self,
        shared: &Shared<D, A, C>,
        log: Log,
        from: i64,
        to: i64,
    ) -> Result<(), AdmitError> {
        let mut place = self.told.lock().await;
        let mut told = load(&mut place, &*shared.admit).await?;
        if told.gaps.insert(log.as_str().to_owned(), from) == Some(from) {
            return Ok(());
        }
        let mut row = row(log, "gap", from);
        let error = "Duo keeps 180 days, and this log was not read for longer: what lies between is lost";
        row.extend([
            ("from", Value::from(rfc3339(from))),
            ("to", Value::from(rfc3339(to))),
            ("error", Value::from(error)),
            (
                "action",
                Value::from("nothing brings it back; look at why polling stopped"),
            ),
        ]);
        write(&mut place, &*shared.admit, told, vec![row], shared.clock.now_ms()).await
    }
}

fn sight(known: &Known, settings: &Settings, now: i64) -> Sight {
    let health = &known.health;
    if let Some(since) = health.failing_since {
        let Some(error) = health
            .last_error
            .as_ref()
            .filter(|_| now - since >= settings.blind_after)
        else {
            return Sight::Unknown;
        };
        let how = if error.is_configuration {
            How::Refused
        } else {
            How::Failing
        };
        return Sight::Blind(Blind { how, since }, error.text.clone(), error.action.clone());
    }
    if health.standing != Standing::Working || health.last_success.is_none() {
        return Sight::Unknown;
    }
    let read_to = health.complete_to.max(health.live_to);
    match read_to.and_then(|read_to| known.busy.silent_since(read_to, settings.silent_after)) {
        Some(since) => Sight::Blind(
            Blind {
                how: How::Silent,
                since,
            },
            "Duo answers, but without a single row, though this log was busy round the clock before".to_owned(),
            "look in the Admin Panel's reports whether the events are there; if they are, check the application's permissions"
                .to_owned(),
        ),
        None => Sight::Sees,
    }
}

type Row = Vec<(&'static str, Value)>;

fn row(log: Log, event: &'static str, since: i64) -> Row {
    vec![
        ("id", Value::from(format!("{log}:{event}:{since}"))),
        ("event", Value::from(event)),
        ("log", Value::from(log.as_str())),
        ("since", Value::from(rfc3339(since))),
    ]
}

fn recovered(log: Log, before: &Blind) -> Row {
    let mut row = row(log, "recovered", before.since);
    row.push(("was", Value::from(before.how.as_str())));
    row
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

async fn load<A: Admit>(place: &mut Option<Told>, admit: &A) -> Result<Told, AdmitError> {
    if let Some(told) = place {
        return Ok(told.clone());
    }
    let told = match admit.cursor(COLLECTOR).await? {
        Some(row) => serde_json::from_str(&row.cursor).map_err(|error| unreadable(&error))?,
        None => Told::default(),
    };
    Ok(place.insert(told).clone())
}

/// Writes rows, what is told with them, and that the log is complete up to them.
async fn write<A: Admit>(
    place: &mut Option<Told>,
    admit: &A,
    mut told: Told,
    rows: Vec<Row>,
    now: i64,
) -> Result<(), AdmitError> {
    if rows.is_empty() {
        return Ok(());
    }
    let log: Arc<str> = Arc::from(COLLECTOR);
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        // Times rise, whatever the clock does: what is complete stays so.
        told.last = now.max(told.last + 1);
        let mut object = serde_json::Map::new();
        for (name, value) in row {
            object.insert(name.to_owned(), value);
            if name == "id" {
                object.insert("ts".to_owned(), Value::from(rfc3339(told.last)));
            }
        }
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        events.push(EventRecord {
            id: id.into(),
            time: told.last,
            raw: json!(object).to_string().into(),
        });
    }
    let cursor = serde_json::to_string(&told).map_err(|error| unreadable(&error))?;
    let intake = Intake {
        log: log.clone(),
        events,
        reading: None,
        unidentified: 0,
        marks: vec![Mark::Complete {
            log: log.clone(),
            to: told.last,
        }],
        cursor: Some(CursorRow { log, cursor }),
    };
    // Should this fail, or be broken off, what was told is known to the journal alone.
    *place = None;
    admit.admit(intake).await?;
    *place = Some(told);
    Ok(())
}
