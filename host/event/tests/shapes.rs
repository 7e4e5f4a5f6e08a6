//! Rows in every shape that Duo has given them, read through the catalogue's paths.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

use picket_contract::manifest::Field;
use picket_contract::{EventRecord, FieldType, Source, When};
use picket_event::{Mask, Page, Plan, identify};

const EVENTS: &str = include_str!("fixtures/events.ndjson");

fn page(log: &str, duo_log: &str, line: usize, paths: &[&str]) -> Page {
    let field = |path: &&str| Field {
        path: (*path).to_owned(),
        kind: FieldType::Text,
        required: false,
    };
    let fields = paths.iter().map(field).collect();
    let plan = Plan::new(&[Source {
        log: log.into(),
        name: String::new(),
        fields,
        when: When::always(),
    }]);
    let raw = EVENTS.lines().nth(line).unwrap();
    plan.parse(
        log,
        duo_log,
        &[EventRecord {
            id: "1".into(),
            time: 0,
            raw: raw.into(),
        }],
    )
}

fn check(log: &str, duo_log: &str, line: usize, expected: &[(&str, Option<&str>)]) {
    let paths: Vec<&str> = expected.iter().map(|(path, _)| *path).collect();
    let page = page(log, duo_log, line, &paths);
    assert!(!page.broken(0));
    for (path, text) in expected {
        // Numbers are shown by their pseudonyms.
        let shown = text.map(|text| Mask::substitute().text(picket_catalogue::phone(log, path), text));
        assert_eq!(page.text(0, path).map(str::to_owned), shown, "{log} {line} {path}");
    }
}

#[test]
fn authentication() {
    check(
        "authentication",
        "authentication",
        0,
        &[
            ("access_device.ip", Some("198.51.100.7")),
            ("raw.access_device.ip", Some("198.51.100.7:51413")),
            ("access_device.network", Some("198.51.100.0/24")),
            ("access_device.hostname", None),
            ("raw.access_device.hostname", Some("null")),
            ("access_device.location.state", None),
            ("access_device.is_firewall_enabled", Some("true")),
            ("access_device.is_password_set", None),
            (
                "adaptive_trust_assessments.more_secure_auth.trust_level",
                Some("normal"),
            ),
            ("alias", None),
            ("trusted_endpoint_status", Some("not_trusted")),
            ("user.groups", Some(r#"["Treasury (from AD sync \"Acme\")","All"]"#)),
            ("subject.user", Some("ada")),
            ("subject.key", Some("DUADAADAADAADAADAADA")),
            ("timestamp", Some("1772442901")),
            ("application", Some(r#"{"key":"DIAAAAAAAAAAAAAAAAAA","name":"VPN"}"#)),
            ("user.shoe_size", None),
        ],
    );
    check(
        "authentication",
        "authentication",
        1,
        &[
            ("access_device.ip", None),
            ("access_device.network", None),
            ("access_device.security_agents", None),
            ("reason", None),
        ],
    );
    check(
        "authentication",
        "authentication",
        2,
        &[
            ("result", Some("fraud")),
            ("raw.result", Some("FRAUD")),
            ("reason", Some("user_marked_fraud")),
            ("factor", Some("webauthn_chrome_touch_id")),
        ],
    );
}

#[test]
fn activity_in_its_three_forms() {
    for log in ["activity", "admin"] {
        check(
            log,
            "activity",
            3,
            &[
                ("action.name", Some("bypass_create")),
                ("access_device.ip.address", Some("2001:db8:7:1::9")),
                ("access_device.network", Some("2001:db8:7::/48")),
                ("actor.details.email", Some("harry@acme.example")),
                ("target.details.valid_secs", Some("0")),
                ("target.details.auto_generated", Some("true")),
                ("target.details.remaining_uses", None),
                ("outcome.result", Some("success")),
                ("subject.user", Some("ada")),
                ("subject.key", Some("DUADAADAADAADAADAADA")),
            ],
        );
        check(
            log,
            "activity",
            4,
            &[
                ("action.name", Some("phone_create")),
                ("action.details.why", Some("lost")),
                ("actor.details", Some("{broken")),
                ("actor.details.email", None),
                ("target.details.number", Some("+15555550142")),
                ("target.details", Some(r#"{"number":"+15555550142"}"#)),
                ("subject.user", Some("ada")),
            ],
        );
    }
}

#[test]
fn administrator_as_itself_and_as_admin() {
    check(
        "administrator",
        "administrator",
        5,
        &[
            ("action", Some("user_update")),
            ("description.status", Some("bypass")),
            ("raw.description.status", Some("Bypass")),
            ("description.\"Sync Ref. Code\"", Some("X-1")),
            ("subject.user", Some("ada")),
            ("subject.key", Some("DUADA")),
        ],
    );
    check(
        "admin",
        "administrator",
        5,
        &[
            ("action.name", Some("user_update")),
            ("actor.type", Some("api")),
            ("actor.name", Some("API (Admin tools)")),
            ("target.name", Some("ada")),
            ("target.type", Some("user")),
            ("target.details.status", Some("bypass")),
            ("raw.target.details.status", Some("Bypass")),
            ("subject.key", Some("DUADA")),
            ("ts", Some("2026-03-02T13:10:00+00:00")),
            ("activity_id", None),
        ],
    );
    check(
        "admin",
        "administrator",
        6,
        &[
            ("action.name", Some("admin_login_error")),
            ("actor.name", None),
            ("target.details", Some("free text, no JSON")),
            ("target.details.status", None),
            ("outcome.result", Some("denied")),
            ("subject.user", None),
        ],
    );
    check(
        "admin",
        "administrator",
        7,
        &[
            ("access_device.ip.address", Some("203.0.113.77")),
            ("access_device.network", Some("203.0.113.0/24")),
            ("action.details.auth_method", Some("password")),
            ("action.details.role", Some("help_desk")),
            ("outcome.result", Some("success")),
        ],
    );
}

#[test]
fn telephony_and_offline_enrolment() {
    check(
        "telephony",
        "telephony",
        8,
        &[
            ("context", Some("administrator_login")),
            ("credits", Some("2")),
            ("subject.user", None),
        ],
    );
    check("telephony", "telephony", 9, &[("credits", Some("1")), ("txid", None)]);
    check(
        "offline_enrollment",
        "offline_enrollment",
        10,
        &[("subject.user", Some("ada")), ("description.factor", Some("duo_otp"))],
    );
}

#[test]
fn every_row_has_an_id_and_a_time() {
    let logs = [
        "authentication",
        "authentication",
        "authentication",
        "activity",
        "activity",
        "administrator",
        "administrator",
        "administrator",
        "telephony",
        "telephony",
        "offline_enrollment",
    ];
    let mut ids: Vec<String> = EVENTS
        .lines()
        .zip(logs)
        .map(|(raw, log)| identify(log, raw).unwrap().id.to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), logs.len());
    assert_eq!(
        identify("authentication", EVENTS.lines().next().unwrap()).unwrap().time,
        1_772_442_901_250
    );
}
