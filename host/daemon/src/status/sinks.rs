//! How sinks stand: what waits, since when, what went wrong last, and when it is tried again.

use picket_sink::events_of;
use picket_store::{LetterFilter, LetterState, SinkRow, Store, Waiting};
use serde_json::{Value, json};

use crate::config::{Config, SinkConfig};
use crate::deliver::told_of_events;
use crate::when;

/// Counting what waits ends here: a number that large says enough.
const MOST: u64 = 100_000;
/// Dead letters counted.
const MOST_DEAD: usize = 10_000;
/// Tenants' lanes told of.
const MOST_LANES: usize = 20;

/// Of each sink of the configuration, as the store knows it: also while no daemon runs.
///
/// # Errors
/// The store's.
pub(crate) fn of(config: &Config, store: &dyn Store) -> anyhow::Result<Vec<Value>> {
    let rows = store.sinks()?;
    let tenants = store.tenants()?;
    let mut told = Vec::new();
    for sink in &config.sinks {
        let row = rows.iter().find(|row| *row.sink == *sink.name);
        let own = |tenant: &str| {
            let known = config.tenants.iter().find(|known| known.id == tenant);
            known.and_then(|known| known.sinks.as_deref())
        };
        let routed: Vec<_> = tenants
            .iter()
            .filter(|tenant| sink.route.has(&sink.name, tenant, own(tenant)))
            .cloned()
            .collect();
        let (pending, oldest) = store.waiting(&Waiting {
            sink: &sink.name,
            min_severity: sink.route.min_severity,
            per_hour: sink.route.per_hour,
            tenants: (routed.len() < tenants.len()).then_some(&routed),
            most: MOST,
        })?;
        let dead = store.letters(&LetterFilter {
            sink: Some(&sink.name),
            state: Some(LetterState::Dead),
            limit: MOST_DEAD,
            ..LetterFilter::default()
        })?;
        let events = rows.iter().find(|row| *row.sink == *events_of(&sink.name));
        let events = told_of_events(store, sink, events)?;
        let mut about = one(sink, row, pending, oldest, dead.len());
        if let (Some(events), Value::Object(about)) = (events, &mut about) {
            about.insert("events".to_owned(), events);
        }
        told.push(about);
    }
    Ok(told)
}

fn one(sink: &SinkConfig, row: Option<&SinkRow>, pending: u64, oldest: Option<i64>, dead: usize) -> Value {
    let patience = row.map(|row| &row.patience);
    let lanes = row.iter().flat_map(|row| &row.lanes).take(MOST_LANES).map(|lane| {
        json!({
            "tenant": &*lane.tenant,
            "trouble": lane.patience.trouble.as_deref(),
            "since": lane.patience.since.map(when::rfc3339),
            "next_try": lane.patience.next_try.map(when::rfc3339),
        })
    });
    json!({
        "name": sink.name,
        "type": sink.kind.word(),
        "pending": pending,
        "pending_or_more": pending >= MOST,
        "oldest": oldest.map(when::rfc3339),
        "trouble": patience.and_then(|patience| patience.trouble.as_deref()),
        "since": patience.and_then(|patience| patience.since).map(when::rfc3339),
        "attempts": patience.map_or(0, |patience| patience.attempts),
        "next_try": patience.and_then(|patience| patience.next_try).map(when::rfc3339),
        "disabled": row.is_some_and(|row| row.disabled),
        "lanes": lanes.collect::<Vec<_>>(),
        "dead": dead,
    })
}

/// One sink on a line. `now`: ms.
pub(crate) fn line(sink: &Value, now: i64) -> String {
    let of = |name: &str| sink.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| sink.get(name).and_then(Value::as_u64).unwrap_or_default();
    let time = |name: &str| {
        of(name)
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_millisecond)
    };
    let mut parts = vec![match number("pending") {
        0 => "nothing waits".to_owned(),
        pending => {
            let more = if sink.get("pending_or_more") == Some(&Value::Bool(true)) {
                " or more"
            } else {
                ""
            };
            let oldest = time("oldest").map_or(String::new(), |oldest| {
                format!(", the oldest for {}", when::long(now.saturating_sub(oldest).max(0)))
            });
            format!("{pending}{more} wait{}{oldest}", if pending == 1 { "s" } else { "" })
        }
    }];
    if number("dead") > 0 {
        parts.push(format!("{} refused for good (picket outbox list)", number("dead")));
    }
    if !of("trouble").is_empty() {
        parts.push(of("trouble").to_owned());
    }
    if sink.get("disabled") == Some(&Value::Bool(true)) {
        parts.push("stopped".to_owned());
    } else if let Some(next) = time("next_try").filter(|next| *next > now) {
        parts.push(format!("next try in {}", when::long(next - now)));
    }
    if let Some(events) = sink.get("events") {
        parts.push(events_line(events, now));
    }
    format!("sink {}: {}", of("name"), parts.join("; "))
}

/// How it stands with events. `now`: ms.
fn events_line(events: &Value, now: i64) -> String {
    let number = |name: &str| events.get(name).and_then(Value::as_u64).unwrap_or_default();
    let time = |name: &str| {
        let time = events.get(name).and_then(Value::as_str)?;
        time.parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_millisecond)
    };
    let mut parts = vec![match number("waiting_at_most") {
        0 => "events: none waits".to_owned(),
        waiting => {
            let oldest = time("oldest").map_or(String::new(), |oldest| {
                format!(", the oldest of {} ago", when::long(now.saturating_sub(oldest).max(0)))
            });
            format!("events: up to {waiting} wait{oldest}")
        }
    }];
    for (key, last, what) in [
        ("refused", "last_refused", "refused for good"),
        ("lost", "last_lost", "lost before they were sent"),
    ] {
        if number(key) > 0 {
            let reason = events.pointer(&format!("/{last}/reason")).and_then(Value::as_str);
            parts.push(format!("{} {what}, last {}", number(key), reason.unwrap_or_default()));
        }
    }
    if let Some(trouble) = events.get("trouble").and_then(Value::as_str) {
        parts.push(trouble.to_owned());
    }
    if events.get("disabled") == Some(&Value::Bool(true)) {
        parts.push("stopped".to_owned());
    } else if let Some(next) = time("next_try").filter(|next| *next > now) {
        parts.push(format!("next try in {}", when::long(next - now)));
    }
    parts.join(", ")
}
