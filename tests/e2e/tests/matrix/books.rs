//! What a store holds, held against what the simulator has.

use std::collections::BTreeMap;

use picket_e2e::Site;
use picket_store::{EventFilter, Store as _};
use serde_json::{Value, json};

use crate::content::{LOGS, Log, begin, older};
use crate::knobs::{Knob, Tells};

/// How often each row is there, by its canonical JSON.
type Counts = BTreeMap<String, usize>;

/// Of one tenant: what is wrong, and how many rows each of [`LOGS`] has in its own phase.
pub(crate) struct Audit {
    pub(crate) wrong: Vec<String>,
    pub(crate) rows: usize,
}

/// Holds one tenant's store against its account. No knob: nothing was turned.
pub(crate) fn audit(site: &Site, tenant: &str, knob: Option<&Knob>) -> Audit {
    let mut audit = Audit {
        wrong: Vec::new(),
        rows: 0,
    };
    let mut stored: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in site.store().search(tenant, &EventFilter::default()).unwrap() {
        let Some(log) = LOGS.iter().find(|log| log.journal == &*event.log) else {
            continue;
        };
        let row = serde_json::from_str(&event.event.raw).unwrap();
        stored.entry(log.journal).or_default().push(row);
    }
    for log in &LOGS[..6] {
        let expected = expected(site, tenant, log);
        let rows = stored.remove(log.journal).unwrap_or_default();
        audit.rows += rows.len();
        for fault in compare(log, &expected, rows, knob) {
            audit.wrong.push(format!("{tenant}: {}: {fault}", log.name));
        }
    }
    audit
}

/// The rows of a log, each as often as Duo has it. From the last phase on telephony is read in its older form.
fn expected(site: &Site, tenant: &str, log: &Log) -> Counts {
    let mut counts = Counts::new();
    for (_, text) in site.duo.rows(tenant, log.feed) {
        let mut row: Value = serde_json::from_str(&text).unwrap();
        if log.journal == "telephony" {
            let at: jiff::Timestamp = row["ts"].as_str().unwrap().parse().unwrap();
            if at.as_millisecond() >= begin(6) {
                row = older(&row);
            }
        }
        *counts.entry(canonical(&row)).or_default() += 1;
    }
    counts
}

/// A row's JSON, whatever the order of its members.
fn canonical(row: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        let Some(members) = value.as_object() else {
            return value.clone();
        };
        let members: BTreeMap<&String, Value> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
        json!(members)
    }
    sorted(row).to_string()
}

fn compare(log: &Log, expected: &Counts, rows: Vec<Value>, knob: Option<&Knob>) -> Vec<String> {
    let tells = knob.map_or(Tells::Same, |knob| knob.tells);
    let (mut plain, mut told) = (Counts::new(), Counts::new());
    for mut row in rows {
        let is_plain = !spoilt(&mut row);
        *if is_plain { &mut plain } else { &mut told }
            .entry(canonical(&row))
            .or_default() += 1;
    }
    // What is wrong, how often, and an example.
    let mut wrong: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut say = |what, row: &str, found: usize, wanted: usize| {
        let example = || (0, format!("{found} of {wanted} of {row:.300}"));
        wrong.entry(what).or_insert_with(example).0 += 1;
    };
    for (row, wanted) in expected {
        let found = plain.get(row).copied().unwrap_or(0);
        let mut otherwise = told.get(row).copied().unwrap_or(0);
        if tells == Tells::Otherwise {
            // Values that are not known take the place of those that are: such rows are known by the rest.
            otherwise += told.get(&without_values(row)).copied().unwrap_or(0);
        }
        if found + otherwise < *wanted {
            say("lost", row, found + otherwise, *wanted);
        }
        let is_another = knob.is_some_and(|knob| becomes_another(log, row, knob));
        let most = if is_another {
            found.max(otherwise)
        } else {
            found + otherwise
        };
        // In a log without ids a row that Duo repeats is two equal rows: nobody can tell.
        let repeats = usize::from(knob.is_some_and(|knob| knob.name == "duplicate-rows") && !has_id(row));
        if most > *wanted + repeats {
            say("twice", row, most, *wanted);
        }
    }
    for (row, found) in plain.iter().filter(|(row, _)| !expected.contains_key(*row)) {
        say("never sent", row, *found, 0);
    }
    for (row, found) in told.iter().filter(|_| tells == Tells::Same) {
        say("never told so", row, *found, 0);
    }
    let told = wrong.into_iter();
    told.map(|(what, (rows, example))| format!("{rows} rows {what}: {example}"))
        .collect()
}

/// Whether a row was told otherwise; what was added to it is taken off.
fn spoilt(row: &mut Value) -> bool {
    let Some(members) = row.as_object_mut() else {
        return true;
    };
    let added = ["never_heard_of", "never_heard_of_and_huge"].map(|name| members.remove(name).is_some());
    let is_changed = members.values().any(|value| {
        value == "carrier_pigeon"
            || value == "telegram"
            || value == "never_heard_of"
            || value["name"] == "never_heard_of"
    });
    if is_changed {
        forget_values(members);
    }
    is_changed || added.contains(&true)
}

/// Takes off the members whose values are exchanged.
fn forget_values(members: &mut serde_json::Map<String, Value>) {
    for name in ["factor", "type", "action", "state"] {
        members.remove(name);
    }
}

fn without_values(row: &str) -> String {
    let mut row: Value = serde_json::from_str(row).unwrap();
    forget_values(row.as_object_mut().unwrap());
    canonical(&row)
}

/// Whether a row that is told otherwise is another row: it has no id of its own, or what is exchanged is part of it, or it is
/// too long to be read.
fn becomes_another(log: &Log, row: &str, knob: &Knob) -> bool {
    match knob.tells {
        Tells::Same => false,
        Tells::Huge => true,
        Tells::Otherwise => {
            !has_id(row) || (knob.name == "unknown-values" && ["authentication", "trust_monitor"].contains(&log.name))
        }
    }
}

fn has_id(row: &str) -> bool {
    ["activity_id", "telephony_id", "txid", "sekey"]
        .iter()
        .any(|id| row.contains(&format!("\"{id}\"")))
}
