//! Events on their way to sinks that want them: what is sent of each, and what becomes of those that were given up before.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{EventRecord, Severity};
use picket_event::{Mask, masked_row_text, own_id};
use picket_sink::{EVENT_SCHEMA, Miss};
use picket_store::OutboxRow;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Delivery;
use crate::daemon::lock;
use crate::upkeep::Readers;
use crate::when;

/// A tenant's mask of phone numbers.
pub(crate) type Masks = Arc<dyn Fn(&str) -> Arc<Mask> + Send + Sync>;

/// A sink's name, what became of events by result, and how many it will never get.
pub(crate) type EventTally = (String, [(&'static str, u64); 3], u64);

/// What is sent of an event. By its id a receiver knows what it has: the same each time, and of this tenant, log and event alone.
pub(super) fn row(tenant: &Arc<str>, log: &str, number: u64, event: &EventRecord, mask: &Mask) -> OutboxRow {
    let hash = blake3::hash(format!("{tenant}\0{log}\0{}", event.id).as_bytes()).to_hex();
    let id = format!("ev_{}", hash.get(..32).unwrap_or(&hash));
    let masked = masked_row_text(log, &event.raw, mask);
    // What is no JSON has been made a text of JSON's.
    let duo = RawValue::from_string(masked).ok();
    #[derive(serde::Serialize)]
    struct Sent<'a> {
        schema: &'a str,
        id: &'a str,
        tenant: &'a str,
        log: &'a str,
        event_id: &'a str,
        time: String,
        event: Option<Box<RawValue>>,
    }
    let sent = Sent {
        schema: EVENT_SCHEMA,
        id: &id,
        tenant,
        log,
        event_id: own_id(log, &event.id),
        time: when::rfc3339(event.time),
        event: duo,
    };
    let json = serde_json::to_string(&sent).unwrap_or_default();
    OutboxRow {
        number,
        tenant: tenant.clone(),
        alert: id.into(),
        rule: log.into(),
        severity: Severity::Info,
        raised: event.time,
        nth: 1,
        summary: false,
        page: false,
        json: json.into(),
    }
}

impl Delivery {
    /// A page of a tenant's is in its journal: sinks that want events look there. Never waits for a sink.
    pub(crate) fn admitted(&self, tenant: &str) {
        lock(&self.looks).retain(|(shared, wake)| {
            let Some(shared) = shared.upgrade() else { return false };
            if lock(&shared.route).events.is_some() {
                let is_new = lock(&shared.admitted).insert(tenant.into());
                if is_new {
                    // Full: it has been woken already.
                    let _ = wake.try_send(());
                }
            }
            true
        });
    }

    /// Of each sink that gets events: how many it took, how many it refused, and how often it took nothing, since it began; and
    /// how many it will never get, ever.
    pub(crate) fn event_tallies(&self) -> Vec<EventTally> {
        let lanes = lock(&self.lanes);
        let wanting = lanes.iter().filter(|lane| lane.config.route.events.is_some());
        wanting
            .map(|lane| {
                let lost = Miss::Lost.read(&*self.store, &lane.config.name).unwrap_or_default();
                (lane.config.name.clone(), lane.shared.event_tally.read(), lost.events)
            })
            .collect()
    }
}

impl Readers for Delivery {
    fn behind(&self, tenant: &str, log: &str) -> Vec<(String, u64)> {
        let lanes = lock(&self.looks);
        let shared = lanes.iter().filter_map(|(shared, _)| shared.upgrade());
        shared
            .filter(|shared| {
                let route = lock(&shared.route);
                route.events.as_ref().is_some_and(|events| events.has(log))
            })
            .filter_map(|shared| Some((shared.name.clone(), *lock(&shared.positions).get(tenant)?)))
            .collect()
    }

    fn lost(&self, sink: &str, tenant: &str, log: &str, events: u64) {
        let reason = format!("{log}: older than is kept, and given up before the sink took them");
        tracing::error!(sink, tenant, log, events, "never sent: {reason} (`retention`)");
        if let Err(error) = Miss::Lost.add(&*self.store, sink, (tenant, events), &reason, when::now()) {
            tracing::warn!(sink, "how many it will never get is not counted: {error}");
        }
    }
}

/// Masks that were used, by tenant.
#[derive(Default)]
pub(super) struct Used(BTreeMap<Arc<str>, Arc<Mask>>);

impl Used {
    pub(super) fn of(&mut self, tenant: &Arc<str>, masks: &Masks) -> Arc<Mask> {
        let mask = self.0.entry(tenant.clone());
        mask.or_insert_with(|| masks(tenant)).clone()
    }
}

/// How a sink stands with events, for `status`; none: it gets none. `row`: that of its events.
pub(crate) fn told(
    store: &dyn picket_store::Store,
    sink: &crate::config::SinkConfig,
    row: Option<&picket_store::SinkRow>,
) -> Result<Option<Value>, picket_store::StoreError> {
    let Some(events) = &sink.route.events else {
        return Ok(None);
    };
    let (mut waiting, mut oldest, mut troubles) = (0_u64, None::<i64>, Vec::new());
    for lane in row.iter().flat_map(|row| &row.lanes) {
        if let Some(trouble) = lane.patience.trouble.as_deref() {
            troubles.push(format!("{}: {trouble}", lane.tenant));
        }
        // One page tells whether there is anything but marks, and how old it is.
        let Ok(next) = store.read(&lane.tenant, lane.after, 16) else {
            continue;
        };
        let first = next.iter().filter(|page| events.has(&page.log)).find_map(|page| {
            let mut numbered = (page.first_seq..).zip(&page.events);
            numbered.find(|(number, _)| *number > lane.after)
        });
        if let Some((number, event)) = first {
            waiting += (store.last_seq(&lane.tenant)? + 1).saturating_sub(number);
            oldest = Some(oldest.map_or(event.time, |oldest| oldest.min(event.time)));
        }
    }
    let refused = Miss::Refused.read(store, &sink.name)?;
    let lost = Miss::Lost.read(store, &sink.name)?;
    let why = |missed: &picket_sink::Missed| {
        (missed.events > 0)
            .then(|| json!({"tenant": missed.tenant, "reason": missed.reason, "time": when::rfc3339(missed.time)}))
    };
    let trouble = row.and_then(|row| row.patience.trouble.as_deref().map(str::to_owned));
    Ok(Some(json!({
        "waiting_at_most": waiting,
        "oldest": oldest.map(when::rfc3339),
        "trouble": trouble.or_else(|| troubles.first().cloned()),
        "next_try": row.and_then(|row| row.patience.next_try).map(when::rfc3339),
        "disabled": row.is_some_and(|row| row.disabled),
        "refused": refused.events,
        "last_refused": why(&refused),
        "lost": lost.events,
        "last_lost": why(&lost),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_as_duo_gave_it_with_its_numbers_masked() {
        let event = |raw: &str| EventRecord {
            id: "0a1b".into(),
            time: 1_795_003_200_000,
            raw: raw.into(),
        };
        let mask = Mask::substitute();
        let sent = |tenant: &str, raw: &str| {
            let row = row(&tenant.into(), "telephony", 7, &event(raw), &mask);
            let json: Value = serde_json::from_str(&row.json).unwrap();
            assert_eq!(json["id"], &*row.alert);
            json
        };
        let json = sent("acme", "{\"phone\":\"+17345552342\",\"type\":\"sms\",\"n\":1}");
        assert_eq!(json["schema"], "picket.event/1");
        assert_eq!(
            (&json["tenant"], &json["log"]),
            (&Value::from("acme"), &Value::from("telephony"))
        );
        assert_eq!(json["time"], "2026-11-18T12:00:00.000Z");
        assert_eq!(
            (&json["event"]["type"], &json["event"]["n"]),
            (&Value::from("sms"), &Value::from(1))
        );
        assert!(json["event"]["phone"].as_str().unwrap().starts_with("phone:"), "{json}");
        // The same event of another tenant is another one.
        assert_ne!(json["id"], sent("globex", "{}")["id"]);
        assert_eq!(json["id"], sent("acme", "{}")["id"]);
        assert!(sent("acme", "{not json")["event"].is_string());
    }
}
