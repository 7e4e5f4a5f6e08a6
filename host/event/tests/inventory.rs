//! Changes of the inventory, read through the catalogue's paths.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use picket_contract::manifest::Field;
use picket_contract::{EventRecord, FieldType, Source, When};
use picket_event::{Plan, identify, own_id};

const ROW: &str = r#"{"id":"DU1@1795330800000","ts":"2026-11-22T07:00:00.000Z","change":"updated","changed":["status"],
    "object":"DU1","name":"ada","user":{"key":"DU1","name":"ada"},"users":["ada"],
    "before":{"user_id":"DU1","status":"active","phones":[{"number":"+1 (734) 555-2342"}]},
    "after":{"user_id":"DU1","status":"locked out","is_enrolled":"true","last_login":1795330000,"groups":[{"name":"VPN"}]}}"#;

#[test]
fn paths_before_and_after() {
    let expected = [
        ("change", Some("updated")),
        ("changed", Some(r#"["status"]"#)),
        ("object", Some("DU1")),
        ("subject.user", Some("ada")),
        ("subject.key", Some("DU1")),
        ("before.status", Some("active")),
        ("after.status", Some("locked_out")),
        ("raw.after.status", Some("locked out")),
        ("after.last_login", Some("1795330000")),
        ("after.groups", Some(r#"[{"name":"VPN"}]"#)),
        ("after.some_new_property", None),
    ];
    let field = |(path, _): &(&str, Option<&str>)| Field {
        path: (*path).to_owned(),
        kind: FieldType::Text,
        required: false,
    };
    let plan = Plan::new(&[Source {
        log: "user".into(),
        name: String::new(),
        fields: expected.iter().map(field).collect(),
        when: When::always(),
    }]);
    let event = EventRecord {
        id: "1".into(),
        time: 0,
        raw: ROW.into(),
    };
    let page = plan.parse("user", "user", &[event]);
    assert!(!page.broken(0));
    for (path, text) in expected {
        assert_eq!(page.text(0, path), text, "{path}");
    }
}

#[test]
fn a_row_is_known_by_its_id_and_lies_at_its_snapshot() {
    let identity = identify("user", ROW).unwrap();
    assert_eq!((&*identity.id, identity.time), ("DU1@1795330800000", 1_795_330_800_000));
    assert_eq!(own_id("user", &identity.id), "DU1@1795330800000");
}
