//! What an exception covers, and what it does not.

use picket_event::Mask;

use super::*;
use crate::people::{Nobody, Person};

const NOON: i64 = 1_795_003_200_000; // 2026-11-18T12:00:00Z, a Wednesday

#[derive(Debug)]
struct Staff;

impl People for Staff {
    fn find(&self, _: Option<&str>, name: Option<&str>) -> Option<Person> {
        let groups = match name? {
            "ada" => vec!["Staff".to_owned(), "Travellers".to_owned()],
            "bob" => vec!["Staff".to_owned()],
            _ => return None,
        };
        Some(Person {
            groups,
            ..Person::default()
        })
    }
}

fn login(user: &str, ip: &str) -> Value {
    let row = json!({"access_device": {"ip": ip}, "application": {"name": "VPN"}, "factor": "duo_push", "result": "denied",
        "user": {"name": user, "key": format!("DU{}", user.to_uppercase())}, "txid": "a", "timestamp": NOON / 1000});
    json!({"log": "authentication", "id": "a", "row": row})
}

fn alert(evidence: &[Value]) -> Value {
    json!({
        "time": picket_event::rfc3339(NOON), "tenant": {"timezone": "Europe/Berlin"}, "dedup_key": "DUADA", "severity": "high",
        "outcome": "access_denied", "about": {"key": "DUADA", "name": "ada"}, "facts": {"Count": "5", "network": "wifi"},
        "raw": evidence,
    })
}

fn exception(conditions: Vec<Condition>) -> Exception {
    Exception {
        name: "test".into(),
        owner: "jane".into(),
        reason: "a test".into(),
        ticket: None,
        from: None,
        until: None,
        conditions,
    }
}

fn covers(exception: &Exception, alert: &Value) -> bool {
    let mask = Mask::substitute();
    exception.covers(&Matter::stored(alert, &mask).unwrap(), &Staff)
}

fn holds(condition: Condition, alert: &Value) -> bool {
    covers(&exception(vec![condition]), alert)
}

fn field(path: &str, values: &[&str]) -> Condition {
    Condition::Field {
        path: path.to_owned(),
        values: values.iter().collect(),
    }
}

fn entity(kind: Kind, values: &[&str]) -> Condition {
    Condition::Entity {
        kind,
        values: values.iter().collect(),
    }
}

fn networks(networks: &[&str]) -> Condition {
    Condition::Networks(networks.iter().map(|network| network.parse().unwrap()).collect())
}

#[test]
fn a_condition_holds_for_all_of_the_evidence_or_not_at_all() {
    let one = alert(&[login("ada", "203.0.113.9"), login("ada", "203.0.113.10")]);
    let two = alert(&[login("ada", "203.0.113.9"), login("bob", "198.51.100.1")]);
    let both = |condition: fn() -> Condition| (holds(condition(), &one), holds(condition(), &two));
    assert_eq!(both(|| networks(&["203.0.113.0/24"])), (true, false));
    assert_eq!(both(|| networks(&["203.0.113.0/24", "198.51.100.1/32"])), (true, true));
    assert_eq!(
        both(|| entity(Kind::User, &["ADA"])),
        (true, false),
        "letters' case does not count"
    );
    assert_eq!(
        both(|| entity(Kind::User, &["DUADA", "bob"])),
        (true, true),
        "a name or a key"
    );
    assert_eq!(both(|| entity(Kind::Application, &["vpn"])), (true, true));
    assert_eq!(
        both(|| field("access_device.ip", &["203.0.113.9", "203.0.113.10"])),
        (true, false)
    );
    assert_eq!(both(|| field("factor", &["duo_push"])), (true, true));
    assert_eq!(
        both(|| Condition::Groups(["travellers"].iter().collect())),
        (true, false)
    );
    assert_eq!(both(|| Condition::Groups(["Staff"].iter().collect())), (true, true));
}

#[test]
fn what_an_alert_says_nothing_of_is_not_matched() {
    let alert = alert(&[login("ada", "203.0.113.9")]);
    assert!(holds(field("facts.network", &["WiFi"]), &alert) && !holds(field("facts.nothing", &[""]), &alert));
    assert!(holds(field("about.key", &["DUADA"]), &alert) && !holds(field("access_device.hostname", &["x"]), &alert));
    assert!(!holds(entity(Kind::Device, &["phone"]), &alert) && !holds(entity(Kind::Actor, &["ada"]), &alert));
    assert!(
        !covers(&exception(Vec::new()), &alert),
        "without a condition it would cover everything"
    );
    let mask = Mask::substitute();
    let groups = exception(vec![Condition::Groups(["Staff"].iter().collect())]);
    assert!(!groups.covers(&Matter::stored(&alert, &mask).unwrap(), &Nobody));
}

#[test]
fn all_conditions_must_hold_within_the_time() {
    let alert = alert(&[login("ada", "203.0.113.9")]);
    let of = |from, until| Exception {
        from,
        until,
        ..exception(vec![entity(Kind::User, &["ada"]), field("factor", &["duo_push"])])
    };
    assert!(covers(&of(None, None), &alert));
    assert!(covers(&of(Some(NOON), Some(NOON + 1)), &alert));
    assert!(!covers(&of(Some(NOON + 1), None), &alert) && !covers(&of(None, Some(NOON)), &alert));
    let hours = |hours: &str| Condition::Hours(vec![Hours::read(hours).unwrap()]);
    assert!(
        holds(hours("wed 13:00-13:01"), &alert),
        "noon UTC is one o'clock in Berlin"
    );
    assert!(!holds(hours("wed 12:00-13:00"), &alert) && !holds(hours("sat,sun"), &alert));
    let other = exception(vec![entity(Kind::User, &["ada"]), field("factor", &["sms"])]);
    assert!(!covers(&other, &alert));
}
