//! The YAML file of timed cases that travels inside a module.
//!
//! ```yaml
//! rule: auth-reported-fraud
//! given:                      # lies under every event of that log
//!   authentication: {user.name: ada}
//! tests:
//!   - test: a prompt reported as fraud
//!     params: {}              # optional
//!     tables: {}              # optional: table -> key -> value
//!     inventory: {}           # optional: users -> [{user_id: DUADA, username: ada, status: bypass}], phones -> ...
//!     steps:
//!       - {at: "09:00", authentication: {result: fraud}, times: 2, every: 4m, late: false}
//!     expect: [{title: ..., severity: high, about: ada, time: "09:00", evidence: 1, repeats: 1, facts: {}}]   # or none
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::time;

/// The cases of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The rule's id.
    pub rule: String,
    /// At least one that expects an alert, and one that expects none.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Parameters that differ from their defaults, as in a configuration.
    pub params: BTreeMap<String, Value>,
    /// Lookup tables: name, then key, then value.
    pub tables: BTreeMap<String, BTreeMap<String, String>>,
    /// Objects of the inventory as Duo lists them (JSON), by kind: `inventory.users` and the like are made of them.
    pub inventory: BTreeMap<String, Vec<String>>,
    /// The events, as they are listed.
    pub events: Vec<CaseEvent>,
    /// The alerts, in the order they are raised.
    pub expect: Vec<Expected>,
}

/// One event of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseEvent {
    /// Duo's own log.
    pub log: String,
    /// ms since the Unix epoch.
    pub time: i64,
    /// Comes after everything that is not late, when the watermark has passed it.
    pub late: bool,
    /// As Duo would send it.
    pub raw: String,
}

/// What an alert must be; what is not said is not compared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The whole title.
    pub title: Option<String>,
    /// The word.
    pub severity: Option<String>,
    /// The name of the entity it is about.
    pub about: Option<String>,
    /// When, as a step's `at`.
    pub time: Option<String>,
    /// How many events prove it.
    pub evidence: Option<usize>,
    /// How many more times it came.
    pub repeats: Option<u64>,
    /// Facts that must be there with these values.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: String,
    #[serde(default)]
    given: BTreeMap<String, Map<String, Value>>,
    tests: Vec<FileCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCase {
    test: String,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    #[serde(default)]
    tables: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    inventory: BTreeMap<String, Vec<Map<String, Value>>>,
    steps: Vec<Map<String, Value>>,
    expect: Value,
}

/// Cases run whenever a module is loaded, five times each.
const MOST_EVENTS: usize = 1000;

/// Reads a file of cases.
///
/// # Errors
/// What is wrong and where: the YAML's line and column, or the case and step.
pub fn parse(yaml: &str) -> Result<Suite, String> {
    let file: File = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    for log in file.given.keys() {
        known(log).map_err(|error| format!("given: {error}"))?;
    }
    let mut cases = Vec::new();
    for case in file.tests {
        let name = case.test.clone();
        cases.push(read_case(&file.given, case).map_err(|error| format!("test \"{name}\": {error}"))?);
    }
    if !cases.iter().any(|case| case.expect.is_empty()) || cases.iter().all(|case| case.expect.is_empty()) {
        return Err(format!(
            "{}: one case at least must expect an alert, and one none",
            file.rule
        ));
    }
    Ok(Suite { rule: file.rule, cases })
}

fn known(log: &str) -> Result<(), String> {
    if picket_event::logs().any(|name| name == log) {
        return Ok(());
    }
    Err(format!(
        "`{log}` is neither a log (one of {}) nor at, times, every or late",
        names()
    ))
}

/// The logs that a step may name.
fn names() -> String {
    picket_event::logs().collect::<Vec<_>>().join(", ")
}

fn read_case(given: &BTreeMap<String, Map<String, Value>>, case: FileCase) -> Result<Case, String> {
    let mut events = Vec::new();
    let mut previous = None;
    for (index, step) in case.steps.into_iter().enumerate() {
        read_step(given, step, &mut events, &mut previous).map_err(|error| format!("step {}: {error}", index + 1))?;
    }
    let expect = match case.expect {
        Value::String(word) if word == "none" => Vec::new(),
        Value::Array(alerts) => alerts
            .into_iter()
            .map(|alert| serde_json::from_value(alert).map_err(|error| format!("expect: {error}")))
            .collect::<Result<Vec<Expected>, String>>()?,
        _ => return Err("expect is `none` or a list of alerts".to_owned()),
    };
    for expected in expect.iter().filter_map(|expected| expected.time.as_deref()) {
        time::at(expected, None).map_err(|error| format!("expect: {error}"))?;
    }
    Ok(Case {
        name: case.test,
        params: case.params,
        tables: case.tables,
        inventory: case
            .inventory
            .into_iter()
            .map(|(kind, objects)| {
                let objects = objects.into_iter().map(|object| Value::Object(object).to_string());
                (kind, objects.collect())
            })
            .collect(),
        events,
        expect,
    })
}

fn read_step(
    given: &BTreeMap<String, Map<String, Value>>,
    mut step: Map<String, Value>,
    events: &mut Vec<CaseEvent>,
    previous: &mut Option<i64>,
) -> Result<(), String> {
    let at = step.remove("at").ok_or("`at` is missing")?;
    let at = at.as_str().ok_or("`at` is a text: put it in quotes, as \"09:00\"")?;
    let times = match step.remove("times") {
        None => 1,
        Some(times) => times
            .as_i64()
            .filter(|times| (1..=100_000).contains(times))
            .ok_or("`times` is 1 to 100000")?,
    };
    let every = match step.remove("every") {
        None if times > 1 => return Err("`times` needs `every`".to_owned()),
        None => 0,
        Some(every) => time::span(every.as_str().ok_or("`every` is a span such as 40s")?)?,
    };
    let late = match step.remove("late") {
        None => false,
        Some(late) => late.as_bool().ok_or("`late` is true or false")?,
    };
    let mut logs = step.into_iter();
    let (Some((log, fields)), None) = (logs.next(), logs.next()) else {
        return Err(format!("a step has one event: name one of {}", names()));
    };
    known(&log)?;
    let Value::Object(fields) = fields else {
        return Err(format!("{log}: the event is a map of field: value"));
    };
    let first = time::at(at, *previous)?;
    for number in 0..times {
        let time = first + number * every;
        *previous = Some(time);
        let raw = raw_event(&log, given.get(&log), &fields, time, events.len())?;
        if events.len() >= MOST_EVENTS {
            return Err(format!(
                "a case has {MOST_EVENTS} events at most; large bursts show no more than small ones"
            ));
        }
        events.push(CaseEvent {
            log: log.clone(),
            time,
            late,
            raw,
        });
    }
    Ok(())
}

/// An event in Duo's shape: the fields over the given ones, plus the time and id that every row of that log has.
fn raw_event(
    log: &str,
    given: Option<&Map<String, Value>>,
    fields: &Map<String, Value>,
    time: i64,
    number: usize,
) -> Result<String, String> {
    let stamp = jiff::Timestamp::from_millisecond(time).map_err(|error| error.to_string())?;
    let iso = format!("{}+00:00", stamp.strftime("%Y-%m-%dT%H:%M:%S%.6f"));
    let id = format!("00000000-0000-4000-8000-{number:012x}");
    let mut event = match log {
        "authentication" => json!({"txid": id, "isotimestamp": iso, "timestamp": time / 1000}),
        "activity" => json!({"activity_id": id, "ts": iso}),
        "telephony" => json!({"telephony_id": id, "ts": iso}),
        "administrator" | "offline_enrollment" => {
            json!({"timestamp": time / 1000, "isotimestamp": format!("{}+00:00", stamp.strftime("%Y-%m-%dT%H:%M:%S"))})
        }
        "trust_monitor" => json!({"sekey": id, "state": "new", "surfaced_timestamp": time}),
        _ => json!({"id": id, "ts": iso}),
    };
    for (path, value) in given.into_iter().flatten().chain(fields) {
        set(&mut event, path, value.clone()).map_err(|error| format!("{log}: {path}: {error}"))?;
    }
    Ok(event.to_string())
}

fn set(event: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut place = event;
    for name in path.split('.') {
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(object) = place else {
            return Err("the path goes through a value that is no object".to_owned());
        };
        place = object.entry(name).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
rule: r
given:
  authentication: {user.name: ada, result: success}
tests:
  - test: one
    steps:
      - {at: "09:00", authentication: {result: fraud, access_device.ip: null}, times: 2, every: 4m}
      - {at: +1m, activity: {action.name: bypass_create}, late: true}
    expect: [{about: ada, evidence: 1}]
  - test: two
    steps: [{at: "09:00", authentication: {}}]
    expect: none
"#;

    #[test]
    fn a_file_becomes_events_as_duo_sends_them() {
        let suite = parse(GOOD).unwrap();
        let events = &suite.cases[0].events;
        assert_eq!(events.len(), 3);
        let first: Value = serde_json::from_str(&events[0].raw).unwrap();
        assert_eq!(first["user"]["name"], "ada");
        assert_eq!(first["result"], "fraud");
        assert_eq!(first["isotimestamp"], "2026-01-05T09:00:00.000000+00:00");
        assert_eq!(events[2].time, time::at("09:05", None).unwrap());
        assert!(events[2].late);
    }

    #[test]
    fn every_log_can_be_told_and_its_rows_say_when() {
        let time = time::at("09:00", None).unwrap();
        for log in picket_event::logs() {
            let raw = raw_event(log, None, &Map::new(), time, 1).unwrap();
            assert_eq!(picket_event::identify(log, &raw).unwrap().time, time, "{log}");
            let other = raw_event(log, None, &Map::new(), time + 1000, 2).unwrap();
            assert_ne!(picket_event::identify(log, &raw), picket_event::identify(log, &other));
        }
        assert!(known("admin").is_err(), "it is written as activity or administrator");
    }

    #[test]
    fn errors_name_the_case_the_step_and_the_way_out() {
        for (from, to, said) in [
            ("at: +1m", "at: 5", "\"one\": step 2: `at` is a text"),
            (
                "activity: {action.name",
                "actvity: {action.name",
                "`actvity` is neither a log",
            ),
            (", every: 4m", "", "`times` needs `every`"),
            ("evidence: 1}", "evidense: 1}", "evidense"),
            ("expect: none", "expect: [{}]", "one case at least"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
