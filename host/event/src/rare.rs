//! Identity of the rows that come seldom: Trust Monitor's, Picket's own, and those of a log that nobody foresaw.
//!
//! A Trust Monitor row changes after it was first delivered, and each state of it is an event of its own: its id has a hash of
//! the state, its time and the administrators' verdict behind the `sekey`. Its time is that of the change, else when it
//! surfaced. Rows that Picket makes (`collector`, the changes of an inventory) bring their `id` and `ts` along.

use serde_json::{Map, Value};

use std::sync::Arc;

use crate::identify::{Identity, Problem, digest, suffixed};
use crate::time::{epoch_to_ms, rfc3339_to_ms};

/// The identity of a row of any log but the five that come often.
pub(crate) fn read(log: &str, raw: &str) -> Result<Identity, Problem> {
    let row: Map<String, Value> = serde_json::from_str(raw).map_err(|error| Problem::NotJson(error.to_string()))?;
    let (own, times) = match log {
        "trust_monitor" => {
            let state = ["state", "state_updated_timestamp", "triaged_as_interesting"].map(|key| text(&row, key));
            let state = state.each_ref().map(|text| text.as_deref().unwrap_or(""));
            (text(&row, "sekey").map(|sekey| suffixed(&sekey, state)), STATES)
        }
        _ => (text(&row, "id").map(Arc::from), ANY),
    };
    let time = times.0.iter().find_map(|key| moment(row.get(*key)?));
    let time = time.ok_or_else(|| Problem::NoTime {
        log: log.to_owned(),
        fields: times.1,
    })?;
    let id = match own {
        Some(id) => id,
        None => digest(raw)?.into(),
    };
    Ok(Identity { id, time })
}

/// Where the time is, in order, and the same in words.
type Times = (&'static [&'static str], &'static str);

const STATES: Times = (
    &["state_updated_timestamp", "surfaced_timestamp", "surfaced"],
    "state_updated_timestamp or surfaced_timestamp",
);
const ANY: Times = (&["ts", "isotimestamp", "timestamp"], "ts, isotimestamp or timestamp");

/// A scalar as text; none if it is empty.
fn text(row: &Map<String, Value>, key: &str) -> Option<String> {
    match row.get(key)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Ms since the Unix epoch of what tells a time.
fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_i64()
                .or_else(|| number.as_f64().map(|float| float.floor() as i64));
            epoch_to_ms(whole?)
        }
        Value::String(text) => match text.trim().parse() {
            Ok(whole) => epoch_to_ms(whole),
            Err(_) => rfc3339_to_ms(text),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{identify, own_id};

    const SURFACED: &str = r#"{"sekey":"SE1","type":"auth","state":"new","state_updated_timestamp":null,"surfaced_timestamp":1598034349059,"triaged_as_interesting":false}"#;

    #[test]
    fn a_trust_monitor_row_that_changed_is_a_new_event() {
        let first = identify("trust_monitor", SURFACED).unwrap();
        assert_eq!(first.time, 1_598_034_349_059);
        assert_eq!(own_id("trust_monitor", &first.id), "SE1");
        let processed = SURFACED
            .replace("\"new\"", "\"processed\"")
            .replace("null", "1598034999000");
        let triaged = processed.replace("false", "true");
        let changed = [processed, triaged].map(|raw| identify("trust_monitor", &raw).unwrap());
        for identity in &changed {
            assert_eq!(
                (own_id("trust_monitor", &identity.id), identity.time),
                ("SE1", 1_598_034_999_000)
            );
        }
        assert!(changed[0].id != changed[1].id && first.id != changed[0].id && first.id != changed[1].id);
        // What else is new of it makes no new event.
        let summary = SURFACED.replace("\"type\"", "\"explanations\":[],\"type\"");
        assert_eq!(identify("trust_monitor", &summary).unwrap(), first);
    }

    #[test]
    fn times_and_ids_of_the_rest() {
        for (log, raw, id, time) in [
            (
                "trust_monitor",
                r#"{"sekey":"SE1","surfaced":"1598034349"}"#,
                Some("SE1"),
                1_598_034_349_000,
            ),
            (
                "collector",
                r#"{"id":"c1","ts":"2026-11-22T07:10:02Z","event":"gap"}"#,
                Some("c1"),
                1_795_331_402_000,
            ),
            (
                "user",
                r#"{"id":"DU1@2026-11-22T07:10:02.000Z","ts":"2026-11-22T07:10:02.000Z"}"#,
                Some("DU1@2026-11-22T07:10:02.000Z"),
                1_795_331_402_000,
            ),
            ("a_new_log", r#"{"timestamp":1598034349.7}"#, None, 1_598_034_349_000),
        ] {
            let identity = identify(log, raw).unwrap();
            assert_eq!(identity.time, time, "{raw}");
            match id {
                Some(id) => assert_eq!(own_id(log, &identity.id), id),
                None => assert!(identity.id.starts_with("sha256:")),
            }
        }
        let problem = identify("trust_monitor", r#"{"sekey":"SE1","surfaced_timestamp":null}"#).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "no readable time: a row of trust_monitor tells it in state_updated_timestamp or surfaced_timestamp"
        );
    }
}
