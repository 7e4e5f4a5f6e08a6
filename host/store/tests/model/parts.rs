//! What transactions of a random history are made of.

use std::sync::Arc;

use picket_contract::state::StateEntry;
use picket_contract::{Admission, EventRecord, Key, Mark, Position, Severity, StateChanges, StateSummary};
use picket_store::conformance::{Model, alert, poison};
use picket_store::{
    AlertRow, CursorRow, Fate, InIncident, InventoryChange, InventoryRow, Repeat, RuleCommit, Standing, Superseded,
    Transaction,
};
use proptest::prelude::*;

/// A part of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Admit {
        log: &'static str,
        events: Vec<(u8, i64)>,
        marks: Vec<Mark>,
    },
    Cursor {
        log: &'static str,
        cursor: String,
    },
    Object {
        kind: &'static str,
        id: u8,
        /// None: deleted.
        form: Option<(i64, Option<i64>)>,
    },
    Rule {
        rule: &'static str,
        version: u32,
        behind: u64,
        released: i64,
        changes: StateChanges,
    },
    Alert {
        id: u8,
        rule: &'static str,
        time: i64,
        historic: bool,
        shadow: bool,
        exception: Option<&'static str>,
        incident: Option<InIncident>,
    },
    Supersede {
        alert: u8,
        by: u8,
    },
    Poison {
        rule: &'static str,
        event: u8,
        fate: Fate,
    },
    Repeat {
        id: u8,
        count: u64,
        time: i64,
    },
}

pub(crate) const SEGMENT: &str = "acme#backfill-1";
const LOGS: [&str; 3] = ["authentication", "activity", "telephony"];

pub(crate) fn log() -> impl Strategy<Value = &'static str> {
    prop::sample::select(LOGS.as_slice())
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        6 => (log(), 0..60_i64).prop_map(|(log, to)| Mark::Complete { log: log.into(), to }),
        2 => (log(), 0..60_i64).prop_map(|(log, to)| Mark::Live { log: log.into(), to }),
        1 => (log(), 0..60_i64).prop_map(|(log, to)| Mark::Stalled { log: log.into(), to }),
        1 => log().prop_map(|log| Mark::Closed { log: log.into() }),
        1 => log().prop_map(|log| Mark::Feed { logical: "admin".into(), log: log.into(), from: 7 }),
    ]
}

fn key() -> impl Strategy<Value = Arc<[u8]>> {
    prop::collection::vec(0..3_u8, 0..3).prop_map(Arc::from)
}

fn changes() -> impl Strategy<Value = StateChanges> {
    let entry = (key(), 0..80_i64).prop_map(|(value, expires_at)| StateEntry { value, expires_at });
    let entries = prop::collection::btree_map(key(), prop::option::of(entry), 0..4);
    let timers = prop::collection::btree_map(key(), prop::option::of(0..80_i64), 0..3);
    (prop::option::of(0..60_i64), entries, timers).prop_map(|(clock, entries, timers)| StateChanges {
        clock,
        entries: entries.into_iter().collect(),
        timers,
    })
}

fn exception() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.3, prop::sample::select(["vpn", "a scanner"].as_slice()))
}

fn incident() -> impl Strategy<Value = Option<InIncident>> {
    let severity = prop::sample::select([Severity::Low, Severity::High, Severity::Critical].as_slice());
    let principal = prop::sample::select([None, Some("user:ada"), Some("ip:192.0.2.7")].as_slice());
    let incident =
        (0..3_u8, severity, any::<bool>(), principal).prop_map(|(id, severity, page, principal)| InIncident {
            id: format!("al_{id}").into(),
            // An alert happened when it happened.
            opened: i64::from(id) * 50,
            severity,
            page,
            principal: principal.map(Arc::from),
            superseded_by: None,
        });
    prop::option::weighted(0.7, incident)
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let rule = || prop::sample::select(["r", "s"].as_slice());
    // Few ids, so that repeats are met; few times, so that ties are.
    let events = prop::collection::vec((any::<u8>(), 0..50_i64), 0..5);
    prop_oneof![
        4 => (log(), events, prop::collection::vec(mark(), 0..3))
            .prop_map(|(log, events, marks)| Part::Admit { log, events, marks }),
        1 => (log(), "[a-c]{0,3}").prop_map(|(log, cursor)| Part::Cursor { log, cursor }),
        2 => (prop::sample::select(["users", "phones"].as_slice()), 0..4_u8, prop::option::of((0..60_i64, prop::option::of(0..60_i64))))
            .prop_map(|(kind, id, form)| Part::Object { kind, id, form }),
        2 => (rule(), 1..3_u32, prop_oneof![9 => 1..5_u64, 1 => Just(0)], 0..60_i64, changes())
            .prop_map(|(rule, version, behind, released, changes)| Part::Rule { rule, version, behind, released, changes }),
        2 => (0..6_u8, rule(), 0..300_i64, prop::bool::weighted(0.3), prop::bool::weighted(0.3), exception(), incident())
            .prop_map(|(id, rule, time, historic, shadow, exception, incident)| Part::Alert {
                id, rule, time, historic, shadow, exception, incident,
            }),
        1 => (0..6_u8, 0..6_u8).prop_map(|(alert, by)| Part::Supersede { alert, by }),
        1 => (rule(), 0..6_u8, prop::sample::select([Fate::Held, Fate::Skipped, Fate::Judged].as_slice()))
            .prop_map(|(rule, event, fate)| Part::Poison { rule, event, fate }),
        1 => (0..6_u8, 1..4_u64, 0..300_i64).prop_map(|(id, count, time)| Part::Repeat { id, count, time }),
    ]
}

/// The parts as one transaction that follows on what the model holds; `skew` spoils the journal numbers.
pub(crate) fn transaction(model: &Model, tenant: &str, parts: &[Part], skew: u64) -> Transaction {
    let mut transaction = Transaction::default();
    let mut next = model.next_seq(tenant) + skew;
    for part in parts.iter().cloned() {
        match part {
            Part::Admit { log, events, marks } => {
                let event = |(id, time): (u8, i64)| {
                    let id: Arc<str> = format!("{id:02x}").into();
                    EventRecord {
                        raw: format!("{{\"id\":\"{id}\"}}").into(),
                        id,
                        time,
                    }
                };
                let events = events.into_iter().map(event).collect();
                let admission = Admission {
                    first_seq: next,
                    log: log.into(),
                    events,
                    marks,
                };
                next = admission.last_seq() + 1;
                transaction.admissions.push(admission);
            }
            Part::Cursor { log, cursor } => transaction.cursors.push(CursorRow {
                log: log.into(),
                cursor,
            }),
            Part::Object { kind, id, form } => {
                let id: Arc<str> = format!("D{id}").into();
                transaction.inventory.push(match form {
                    Some((seen, missing)) => InventoryChange::Put(InventoryRow {
                        kind: kind.into(),
                        json: format!("{{\"{id}\":{seen}}}").into(),
                        id,
                        seen,
                        missing,
                    }),
                    None => InventoryChange::Delete { kind: kind.into(), id },
                });
            }
            Part::Rule {
                rule,
                version,
                behind,
                released,
                changes,
            } => transaction.rules.push(RuleCommit {
                rule: rule.into(),
                state_version: version,
                position: Position {
                    seq: next.saturating_sub(behind),
                    released: Key::end_of(released),
                },
                changes,
                remembers: StateSummary {
                    clock: Some(7),
                    next_timer: (behind > 2).then_some(released),
                    entries: behind,
                    timers: behind + 1,
                    bytes: behind * 1000,
                },
                standing: Standing {
                    quarantine: None,
                    unreadable: vec![("user.key".into(), behind)],
                    gaps: Vec::new(),
                },
            }),
            Part::Alert {
                id,
                rule,
                time,
                historic,
                shadow,
                exception,
                incident,
            } => {
                let kind = match (shadow, exception) {
                    (true, _) => "sh",
                    (false, Some(_)) => "su",
                    (false, None) => "al",
                };
                transaction.alerts.push(AlertRow {
                    historic,
                    shadow,
                    suppressed: exception.map(Arc::from),
                    incident,
                    ..alert(&format!("{kind}_{id}"), rule, "ada", time)
                });
            }
            Part::Poison { rule, event, fate } => {
                transaction
                    .poison
                    .push(poison(rule, &format!("e{event}"), skew as i64, fate));
            }
            Part::Supersede { alert, by } => transaction.superseded.push(Superseded {
                alert: format!("al_{alert}").into(),
                by: format!("al_{by}").into(),
            }),
            Part::Repeat { id, count, time } => {
                transaction.repeats.push(Repeat {
                    id: format!("al_{id}").into(),
                    count,
                    time,
                });
            }
        }
    }
    transaction
}
