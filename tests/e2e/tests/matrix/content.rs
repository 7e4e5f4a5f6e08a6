//! The rows of the accounts: in each phase one log has some pages of them, and the others a few.

use duo_simulator::model::{Account, Feed};
use picket_e2e::Story;
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms: when the daemon is started first.
pub(crate) const NOON: i64 = 1_795_003_200_000;
pub(crate) const MINUTE: i64 = 60_000;
/// From one phase to the next, ms.
const PHASE: i64 = 120 * MINUTE;
/// From one row to the next, ms.
const APART: i64 = 333;
/// By so long late rows are late at most, ms: less than what is read again.
pub(crate) const LATE: i64 = 8_000;

/// A log as Picket and the simulator know it.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    /// In `status`.
    pub(crate) name: &'static str,
    /// In `collect:`.
    pub(crate) collect: &'static str,
    /// Of its rows in the journal.
    pub(crate) journal: &'static str,
    pub(crate) path: &'static str,
    pub(crate) feed: Feed,
    /// Rows in the phase in which it is its turn: more than a page or two.
    many: i64,
}

const fn log(name: &'static str, path: &'static str, feed: Feed) -> Log {
    Log {
        name,
        collect: name,
        journal: name,
        path,
        feed,
        many: 1100,
    }
}

/// In the order of their phases. The two forms of telephony share the rows: the second is collected in place of the first in
/// the last phase.
pub(crate) const LOGS: [Log; 7] = [
    log("authentication", "/admin/v2/logs/authentication", Feed::Authentication),
    log("activity", "/admin/v2/logs/activity", Feed::Activity),
    log("telephony", "/admin/v2/logs/telephony", Feed::Telephony),
    log("administrator", "/admin/v1/logs/administrator", Feed::Administrator),
    Log {
        collect: "offline_access",
        ..log(
            "offline_enrollment",
            "/admin/v1/logs/offline_enrollment",
            Feed::OfflineEnrollment,
        )
    },
    Log {
        many: 250,
        ..log("trust_monitor", "/admin/v1/trust_monitor/events", Feed::TrustMonitor)
    },
    Log {
        collect: "telephony",
        journal: "telephony",
        ..log("telephony_v1", "/admin/v1/logs/telephony", Feed::Telephony)
    },
];

/// When a phase begins, ms.
pub(crate) fn begin(phase: usize) -> i64 {
    NOON + i64::try_from(phase).unwrap() * PHASE
}

/// When the busy log's rows have just appeared, ms.
pub(crate) fn full(phase: usize) -> i64 {
    begin(phase) + MINUTE + LOGS[phase].many * APART + 122_000
}

/// An account with the rows of all phases. In a log without ids some rows are equal to the byte.
pub(crate) fn account(name: &str) -> Account {
    let mut story = Story::of(name);
    for (phase, busy) in LOGS.iter().enumerate() {
        for log in &LOGS[..6] {
            let many = if log.feed == busy.feed { busy.many } else { 12 };
            for number in 0..many {
                let at = begin(phase) + MINUTE + number * APART;
                story = row(story, log.feed, phase, number, at);
            }
        }
    }
    story.account()
}

fn row(story: Story, feed: Feed, phase: usize, number: i64, at: i64) -> Story {
    let id = format!("{:02x}{:02x}{number:04x}-1111-4000-8000-{at:012x}", phase, feed as u8);
    let second = at / 1000;
    let iso = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let to_second = jiff::Timestamp::from_second(second)
        .unwrap()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string();
    let twin = number % 2;
    let json = match feed {
        Feed::Authentication => json!({
            "event_type": "authentication", "factor": "duo_push", "isotimestamp": iso, "reason": "user_approved", "result": "success",
            "timestamp": second, "txid": id, "user": {"groups": [], "key": "DUADA", "name": "ada"},
            "access_device": {"ip": "198.51.100.7"}, "application": {"key": "DIAPP", "name": "VPN"},
        }),
        Feed::Activity => json!({
            "action": {"details": null, "name": "user_update"}, "activity_id": id, "actor": {"key": "DEROOT", "name": "root", "type": "admin"},
            "target": {"key": "DUADA", "name": "ada", "type": "user"}, "ts": iso,
        }),
        Feed::Telephony => json!({
            "context": "authentication", "credits": 1, "phone": format!("+1312555854{twin}"), "telephony_id": id, "ts": iso, "txid": id,
            "type": "sms",
        }),
        Feed::Administrator => json!({
            "action": "user_update", "description": format!("{{\"notes\": \"{twin}\"}}"), "isotimestamp": to_second, "object": "ada",
            "timestamp": second, "username": "root",
        }),
        Feed::OfflineEnrollment => json!({
            "action": "o2fa_user_provisioned", "description": null, "isotimestamp": to_second, "object": format!("Workstation {twin}"),
            "timestamp": second, "username": "ada",
        }),
        Feed::TrustMonitor => json!({
            "priority_event": false, "sekey": id, "state": "new", "state_updated_timestamp": null, "surfaced_timestamp": at,
            "triaged_as_interesting": false, "type": "auth",
        }),
    };
    let at = if matches!(feed, Feed::Administrator | Feed::OfflineEnrollment) {
        second * 1000
    } else {
        at
    };
    story.row(feed, at, &id, json)
}

/// A row of telephony as its older form has it.
pub(crate) fn older(row: &Value) -> Value {
    let at: jiff::Timestamp = row["ts"].as_str().unwrap().parse().unwrap();
    let second = at.as_millisecond() / 1000;
    let to_second = jiff::Timestamp::from_second(second)
        .unwrap()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string();
    json!({
        "context": row["context"], "credits": row["credits"], "phone": row["phone"], "type": row["type"], "timestamp": second,
        "isotimestamp": to_second,
    })
}
