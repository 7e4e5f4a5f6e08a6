//! How backfills stand, as `picket backfill` shows it.

use picket_store::{Store, segment};
use serde_json::{Value, json};

use super::{Backfills, Record, State, reached, records};
use crate::daemon::lock;
use crate::when;

impl Backfills {
    pub(super) fn view(&self, record: &Record) -> anyhow::Result<Value> {
        let mut view = view(&*self.parts.store, &self.parts.tenant.id, record)?;
        let reading = lock(&self.reading);
        let Some(reading) = reading.as_ref().filter(|reading| reading.number == record.number) else {
            if record.state == State::Running {
                put(&mut view, "state", "waiting".into());
            }
            return Ok(view);
        };
        let now = when::now();
        let covered = covered(
            &*self.parts.store,
            &segment::name(&self.parts.tenant.id, record.number),
            record,
        )?;
        let (since, before) = reading.began;
        let left = (record.to - record.from).saturating_sub(covered);
        if let Some(ready) = ready(now, left, now - since, covered - before) {
            put(&mut view, "ready", when::rfc3339(ready).into());
        }
        let logs = reading.boards.iter().flat_map(|board| board.status(now));
        let error = logs
            .filter(|log| log.failing_since.is_some())
            .find_map(|log| log.last_error.map(|error| format!("{}: {}", log.log, error.text)));
        put(&mut view, "error", error.into());
        Ok(view)
    }

    pub(super) fn covered(&self, record: &Record) -> anyhow::Result<i64> {
        covered(&*self.parts.store, &self.segment(record), record)
    }
}

/// When what is `left` (ms) will be done (wall clock, ms), if in `spent` ms so much was `done`. None: there is no pace yet.
pub(crate) fn ready(now: i64, left: i64, spent: i64, done: i64) -> Option<i64> {
    if done <= 0 || spent <= 0 {
        return None;
    }
    let wait = i128::from(left) * i128::from(spent) / i128::from(done);
    i64::try_from(wait).ok().map(|wait| now.saturating_add(wait))
}

/// Of a store whose daemon does not run, or of one tenant beside it.
///
/// # Errors
/// The store's.
pub(crate) fn stored(store: &dyn Store, tenant: &str) -> anyhow::Result<Vec<Value>> {
    let records = records(store, tenant)?;
    records.iter().map(|record| view(store, tenant, record)).collect()
}

fn view(store: &dyn Store, tenant: &str, record: &Record) -> anyhow::Result<Value> {
    let name = segment::name(tenant, record.number);
    let span = (record.to - record.from).max(1);
    let covered = covered(store, &name, record)?;
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    let percent = (covered as f64 / span as f64 * 1000.0).floor() / 10.0;
    let events: u64 = store.count(&name)?.iter().map(|(_, count)| count).sum();
    Ok(json!({
        "backfill": record.number,
        "tenant": tenant,
        "logs": record.logs,
        "from": when::rfc3339(record.from),
        "to": when::rfc3339(record.to),
        "state": record.state,
        "percent": percent,
        "ready": null,
        "events": events,
        // Each alert opened a dedup window, be it of no length.
        "alerts": store.dedup(&name, i64::MIN)?.len(),
        "why": record.why,
        "error": null,
        "asked": when::rfc3339(record.asked),
        "ended": record.ended.map(when::rfc3339),
    }))
}

/// How much of the time asked for has been read of all its logs, ms.
fn covered(store: &dyn Store, name: &str, record: &Record) -> anyhow::Result<i64> {
    let span = record.to - record.from;
    if record.state == State::Done {
        return Ok(span);
    }
    let cursors = reached(store, name)?;
    let of = |log: &String| {
        let read_to = cursors.get(log.as_str()).and_then(|cursor| cursor.read_to);
        read_to.map_or(0, |read_to| read_to - record.from).clamp(0, span)
    };
    Ok(record.logs.iter().map(of).min().unwrap_or(0))
}

fn put(view: &mut Value, name: &str, value: Value) {
    if let Value::Object(object) = view {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_pace_there_is_no_estimate() {
        assert_eq!(ready(1000, 50, 0, 0), None);
        assert_eq!(ready(1000, 50, 100, 0), None);
        assert_eq!(ready(1000, 50, 100, 25), Some(1200));
        assert_eq!(ready(1000, 0, 100, 25), Some(1000));
    }
}
