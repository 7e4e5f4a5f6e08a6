//! What every engine promises, as a suite that runs against any of them, and a model to compare one with.
//!
//! An engine's tests call [`check`] with a way to make an empty store, and may run [`Model`] beside it on transactions of
//! their own making. Everything here panics where a promise is broken.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a conformance suite is a test: a broken promise panics"
)]

mod incident;
mod journal;
mod model;
mod progress;
mod record;
mod suite;
mod versions;

use std::sync::Arc;

use picket_contract::{Admission, EventRecord, Key, Mark, Position, Severity, StateChanges, StateSummary};

pub use self::model::Model;
pub use self::suite::check;
use crate::{AlertRow, AuditRow, Fate, InventoryChange, InventoryRow, PoisonRow, RuleCommit, Standing};

/// An event whose id and body are made of its name.
#[must_use]
pub fn event(name: &str, time: i64) -> EventRecord {
    EventRecord {
        id: name.into(),
        time,
        raw: format!(r#"{{"txid":"{name}","t":{time}}}"#).into(),
    }
}

/// An admission of events (name, time in ms) and marks.
#[must_use]
pub fn admission(first_seq: u64, log: &str, events: &[(&str, i64)], marks: &[Mark]) -> Admission {
    let events = events.iter().map(|(name, time)| event(name, *time)).collect();
    Admission {
        first_seq,
        log: log.into(),
        events,
        marks: marks.to_vec(),
    }
}

/// The log is complete up to this time, ms.
#[must_use]
pub fn complete(log: &str, to: i64) -> Mark {
    Mark::Complete { log: log.into(), to }
}

/// A rule that has read up to `seq` and released up to `time`, ms.
#[must_use]
pub fn rule(name: &str, seq: u64, time: i64, changes: StateChanges) -> RuleCommit {
    RuleCommit {
        rule: name.into(),
        state_version: 1,
        position: Position {
            seq,
            released: Key::end_of(time),
        },
        changes,
        remembers: StateSummary::default(),
        standing: Standing::default(),
    }
}

/// An object of the inventory that a snapshot (ms) gave this form.
#[must_use]
pub fn object(kind: &str, id: &str, status: &str, seen: i64) -> InventoryChange {
    InventoryChange::Put(InventoryRow {
        kind: kind.into(),
        id: id.into(),
        json: format!(r#"{{"id":"{id}","status":"{status}"}}"#).into(),
        seen,
        missing: None,
    })
}

/// An alert of a rule about a subject, that happened at `time` and may be repeated for 100 ms.
#[must_use]
pub fn alert(id: &str, rule: &str, about: &str, time: i64) -> AlertRow {
    AlertRow {
        id: id.into(),
        rule: rule.into(),
        severity: Severity::High,
        time,
        raised: time + 7,
        dedup_key: about.into(),
        dedup_until: time + 100,
        about: about.into(),
        json: format!(r#"{{"id":"{id}"}}"#).into(),
        repeats: 0,
        last_repeat: None,
        historic: false,
        shadow: false,
        suppressed: None,
        incident: None,
    }
}

/// An alert of a rule in shadow.
#[must_use]
pub fn shadow(id: &str, rule: &str, about: &str, time: i64) -> AlertRow {
    AlertRow {
        shadow: true,
        ..alert(id, rule, about, time)
    }
}

/// An alert that an exception suppressed: it opens no dedup window.
#[must_use]
pub fn suppressed(id: &str, rule: &str, time: i64, exception: &str) -> AlertRow {
    AlertRow {
        suppressed: Some(exception.into()),
        dedup_until: time,
        ..alert(id, rule, "ada", time)
    }
}

/// An entry of the audit log about a tenant ("": about all).
#[must_use]
pub fn audit(time: i64, tenant: &str, what: &str) -> AuditRow {
    AuditRow {
        time,
        who: "jane".into(),
        how: "reload".into(),
        tenant: tenant.into(),
        what: what.into(),
        before: None,
        after: Some("\"shadow\"".into()),
        reason: "".into(),
    }
}

/// A row that a rule failed on.
#[must_use]
pub fn poison(rule: &str, event: &str, time: i64, fate: Fate) -> PoisonRow {
    PoisonRow {
        rule: rule.into(),
        log: "authentication".into(),
        event: event.into(),
        code: "divide-by-zero".into(),
        reason: "trap: integer divide by zero".into(),
        time,
        fate,
    }
}

fn key(name: &str) -> Arc<[u8]> {
    name.as_bytes().into()
}
