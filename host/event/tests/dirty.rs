//! Dirty data, trap by trap: what Duo and the systems before it have been seen to send, and what a rule reads of it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

use std::sync::Arc;

use picket_contract::manifest::{Field, StateManifest};
use picket_contract::{Column, EventRecord, FieldType, Params, RuleManifest, Severity, Source, When};
use picket_event::{Mask, Page, Permission, Plan, RowRef, Selector, Told, identify};
use serde_json::{Value, json};

fn narrate(log: &str, raw: &str) -> Told {
    picket_event::narrate(log, raw, &Mask::substitute())
}

fn source(log: &str, fields: &[(&str, FieldType)]) -> Source {
    let field = |(path, kind): &(&str, FieldType)| Field {
        path: (*path).to_owned(),
        kind: *kind,
        required: false,
    };
    Source {
        log: log.into(),
        name: String::new(),
        fields: fields.iter().map(field).collect(),
        when: When::always(),
    }
}

fn page(log: &str, duo_log: &str, row: &Value, fields: &[(&str, FieldType)]) -> (RuleManifest, Plan, Arc<Page>) {
    let rule = RuleManifest {
        id: "r".into(),
        version: "1.0.0".into(),
        title: String::new(),
        description: String::new(),
        severity: Severity::Low,
        attack: vec![],
        check: vec![],
        act: vec![],
        false_positives: vec![],
        sources: vec![source(log, fields)],
        params: vec![],
        state: StateManifest::default(),
        dedup_period_ms: 0,
        supersedes: vec![],
        tests: String::new(),
    };
    // What was received is looked at, too.
    let permission = Permission::default().granting_raw();
    let sources = rule.sources.iter().map(|source| (source, &permission));
    let plan = Plan::of(sources, &Mask::substitute());
    let event = EventRecord {
        id: "1".into(),
        time: 0,
        raw: row.to_string().into(),
    };
    let page = Arc::new(plan.parse(log, duo_log, &[event]));
    assert!(!page.broken(0), "{row}");
    (rule, plan, page)
}

/// A row's text at a path.
fn text(log: &str, duo_log: &str, row: &Value, path: &str) -> Option<String> {
    let (_, _, page) = page(log, duo_log, row, &[(path, FieldType::Text)]);
    page.text(0, path).map(str::to_owned)
}

/// A row's value at a path, as a rule that declares this type reads it.
fn read(log: &str, row: &Value, path: &str, kind: FieldType) -> Value {
    let (rule, plan, page) = page(log, log, row, &[(path, kind)]);
    let rows = [RowRef::new(page, 0, 1)];
    let batch = Selector::new(&rule, &Params::new(), &plan)
        .unwrap()
        .select(&rows, 0)
        .batch;
    let group = &batch.groups[0];
    match &group.columns[0] {
        Column::Text(codes) => json!(group.text(codes[0])),
        Column::S64 { values, valid } => json!((valid[0] == 1).then_some(values[0])),
        Column::F64 { values, valid } => json!((valid[0] == 1).then_some(values[0])),
        Column::Bool(values) => json!([Some(false), Some(true), None][usize::from(values[0])]),
        Column::Texts { codes, .. } => json!(codes.iter().map(|code| group.text(*code)).collect::<Vec<_>>()),
    }
}

/// Rows of a log: at `path` stands `received`; a rule reads the expected text there, and at `raw.<path>` what was received.
fn table(log: &str, path: &str, rows: &[(Value, Option<&str>)]) {
    for (received, expected) in rows {
        let row = path
            .rsplit('.')
            .fold(received.clone(), |inner, key| json!({ key: inner }));
        assert_eq!(
            text(log, log, &row, path).as_deref(),
            *expected,
            "{log} {path} {received}"
        );
        let raw = text(log, log, &row, &format!("raw.{path}"));
        match received {
            Value::String(received) => assert_eq!(raw.as_ref(), Some(received), "{log} raw.{path}"),
            Value::Null => assert_eq!(raw, None),
            _ => {}
        }
    }
}

#[test]
fn an_address_in_every_spelling_and_shape() {
    let spellings = [
        (json!("198.51.100.7"), Some("198.51.100.7")),
        (json!("198.51.100.7:51413"), Some("198.51.100.7")),
        (json!("[2001:db8::1]:443"), Some("2001:db8::1")),
        (json!("2001:DB8:0:0:0:0:0:1"), Some("2001:db8::1")),
        (json!("2001:db8::1#443"), Some("2001:db8::1")),
        (json!("2001:db8::1p443"), Some("2001:db8::1")),
        (json!("2001:db8::1 port 443"), Some("2001:db8::1")),
        (json!("2001:db8::1.443"), Some("2001:db8::1")),
        (json!("2001:db8:1:2:3:4:5:6:443"), Some("2001:db8:1:2:3:4:5:6")),
        (json!("2001:db8::1:443"), Some("2001:db8::1:443")),
        (json!("fe80::1%eth0"), Some("fe80::1")),
        (json!("::ffff:198.51.100.7"), Some("198.51.100.7")),
        (json!("0.0.0.0"), None),
        (json!("laptop-7.corp.example"), None),
        (json!("unknown"), None),
        (json!("null"), None),
        (json!("-"), None),
        (json!(""), None),
        (json!(null), None),
        (json!(7), None),
        (json!({"address": "198.51.100.7:51413"}), Some("198.51.100.7")),
        (json!({"address": null}), None),
        (json!([]), None),
    ];
    table("authentication", "access_device.ip", &spellings);
    table("authentication", "auth_device.ip", &spellings);
    table("trust_monitor", "surfaced_auth.access_device.ip", &spellings);
    table("administrator", "description.ip_address", &spellings[..20]);
    // In activity the address is one level deeper, and may be missing there.
    table("activity", "access_device.ip.address", &spellings[..20]);
    for (received, expected) in &spellings[..20] {
        let row = json!({"access_device": {"ip": received}});
        assert_eq!(
            text("activity", "activity", &row, "access_device.ip.address").as_deref(),
            *expected
        );
    }
}

#[test]
fn a_host_name_in_an_addresss_place_is_kept_beside_it() {
    let login = json!({"access_device": {"ip": "laptop-7.corp.example", "hostname": null}});
    let change = json!({"access_device": {"ip": {"address": "laptop-7.corp.example:443"}}});
    let v1 = json!({"action": "admin_login", "description": "{\"ip_address\": \"laptop-7.corp.example\"}"});
    let surfaced = json!({ "surfaced_auth": login });
    for (log, duo_log, row) in [
        ("authentication", "authentication", &login),
        ("activity", "activity", &change),
        ("admin", "activity", &change),
        ("administrator", "administrator", &v1),
        ("admin", "administrator", &v1),
        ("trust_monitor", "trust_monitor", &surfaced),
    ] {
        let of = |path: &str| text(log, duo_log, row, path);
        assert_eq!(
            of("access_device.ip_hostname").as_deref(),
            Some("laptop-7.corp.example"),
            "{log}"
        );
        assert_eq!(of("access_device.network"), None, "{log}");
    }
    let address = json!({"access_device": {"ip": "198.51.100.7:1"}});
    assert_eq!(
        text(
            "authentication",
            "authentication",
            &address,
            "access_device.ip_hostname"
        ),
        None
    );
    for (log, row) in [
        ("authentication", &login),
        ("activity", &change),
        ("trust_monitor", &surfaced),
    ] {
        let told = narrate(log, &row.to_string());
        assert!(told.text.contains("laptop-7.corp.example"), "{}", told.text);
        assert_eq!(told.ip, None);
    }
}

#[test]
fn booleans_in_words() {
    for (received, expected) in [
        (json!(true), json!(true)),
        (json!(false), json!(false)),
        (json!("true"), json!(true)),
        (json!("False"), json!(false)),
        (json!(" TRUE "), json!(true)),
        (json!("unknown"), json!(null)),
        (json!("Unknown"), json!(null)),
        (json!("null"), json!(null)),
        (json!("-"), json!(null)),
        (json!(""), json!(null)),
        (json!(null), json!(null)),
        (json!(1), json!(true)),
        (json!("maybe"), json!(null)),
        (json!({}), json!(null)),
    ] {
        for field in ["is_encryption_enabled", "is_firewall_enabled", "is_password_set"] {
            let row = json!({"access_device": {field: received}});
            let path = format!("access_device.{field}");
            assert_eq!(
                read("authentication", &row, &path, FieldType::Bool),
                expected,
                "{received}"
            );
        }
    }
    let unknown = json!({"access_device": {"is_password_set": "unknown"}});
    assert_eq!(
        text(
            "authentication",
            "authentication",
            &unknown,
            "raw.access_device.is_password_set"
        )
        .as_deref(),
        Some("unknown")
    );
}

#[test]
fn what_means_nothing_is_absent() {
    let nothing = ["", " ", "unknown", "Unknown", "null", "NULL", "-"].map(|word| (json!(word), None));
    for path in [
        "access_device.hostname",
        "access_device.location.city",
        "access_device.location.country",
        "access_device.location.state",
        "access_device.browser",
        "access_device.browser_version",
        "access_device.os",
        "access_device.os_version",
        "access_device.location",
        "auth_device.location.country",
        "alias",
        "email",
        "ood_software",
    ] {
        table("authentication", path, &nothing);
        table(
            "authentication",
            path,
            &[(json!("Île-de-France"), Some("Île-de-France")), (json!(null), None)],
        );
    }
    table(
        "authentication",
        "auth_device.name",
        &[(json!("null"), None), (json!("Unknown"), Some("Unknown"))],
    );
    table(
        "authentication",
        "trusted_endpoint_status",
        &[(json!("unknown"), Some("unknown"))],
    );
    // A user may be called so; their name is what everything joins on.
    table(
        "authentication",
        "user.name",
        &[(json!("null"), Some("null")), (json!("-"), Some("-"))],
    );
    // The whole object may be missing, or nothing.
    for row in [
        json!({}),
        json!({"access_device": null}),
        json!({"access_device": {"location": null}}),
    ] {
        assert_eq!(
            text("authentication", "authentication", &row, "access_device.location.city"),
            None
        );
    }
}

#[test]
fn agents_in_every_shape() {
    for (received, expected) in [
        (
            json!([{"security_agent": "cisco-amp", "version": "1.24"}, "windows-defender", null]),
            json!([r#"{"security_agent":"cisco-amp","version":"1.24"}"#, "windows-defender"]),
        ),
        (json!([]), json!([])),
        (json!(null), json!([])),
        (json!("unknown"), json!([])),
        (json!(["unknown", "-"]), json!([])),
        (json!("cisco-amp"), json!(["cisco-amp"])),
        (
            json!({"security_agent": "cisco-amp"}),
            json!([r#"{"security_agent":"cisco-amp"}"#]),
        ),
    ] {
        for field in ["security_agents", "management_agents"] {
            let row = json!({"access_device": {field: received}});
            let path = format!("access_device.{field}");
            assert_eq!(
                read("authentication", &row, &path, FieldType::Texts),
                expected,
                "{received}"
            );
        }
    }
}

#[test]
fn words_in_every_spelling() {
    table(
        "authentication",
        "factor",
        &[
            (json!("duo_push"), Some("duo_push")),
            (json!("Duo Push"), Some("duo_push")),
            (json!("WebAuthn Security Key"), Some("webauthn_security_key")),
            (json!("WebAuthn Chrome Touch ID"), Some("webauthn_chrome_touch_id")),
            (json!("webauthn  chrome touch id"), Some("webauthn_chrome_touch_id")),
            (json!("WebAuthn Credential"), Some("webauthn_credential")),
            (json!("yubikey_passcode"), Some("yubikey_code")),
            (json!("verified_duo_push"), Some("verified_duo_push")),
            (json!("n/a"), None),
            (json!(null), None),
            (json!("telepathy"), Some("telepathy")),
        ],
    );
    table(
        "authentication",
        "reason",
        &[
            (json!("User marked fraud"), Some("user_marked_fraud")),
            (json!("touchid_disabled"), Some("touch_id_disabled")),
            (json!("user_mistake"), Some("user_mistake")),
            (json!("a_reason_of_2031"), Some("a_reason_of_2031")),
        ],
    );
    table(
        "authentication",
        "result",
        &[
            (json!("FRAUD"), Some("fraud")),
            (json!("FAILURE"), Some("denied")),
            (json!("SUCCESS"), Some("success")),
            (json!("ERROR"), Some("error")),
        ],
    );
    table(
        "activity",
        "action.name",
        &[
            (json!("admin_rectivates_duo_push"), Some("admin_rectivates_duo_push")),
            (json!("admin_reactivates_duo_push"), Some("admin_rectivates_duo_push")),
            (json!("an_action_of_2031"), Some("an_action_of_2031")),
        ],
    );
    table(
        "administrator",
        "action",
        &[
            (json!("admin_reactivates_duo_push"), Some("admin_reactivates_duo_push")),
            (json!("admin_rectivates_duo_push"), Some("admin_reactivates_duo_push")),
        ],
    );
    let v1 = json!({"action": "admin_reactivates_duo_push"});
    assert_eq!(
        text("admin", "administrator", &v1, "action.name").as_deref(),
        Some("admin_rectivates_duo_push"),
        "in `admin` there is one spelling"
    );
    table(
        "telephony",
        "context",
        &[(json!("administrator login"), Some("administrator_login"))],
    );
    table(
        "trust_monitor",
        "type",
        &[
            (json!("bypass_status"), Some("bypass_status")),
            (json!("bypass_status_enabled"), Some("bypass_status")),
        ],
    );
    table(
        "trust_monitor",
        "surfaced_auth.factor",
        &[(json!("WebAuthn Security Key"), Some("webauthn_security_key"))],
    );
}

#[test]
fn activitys_action_in_its_three_forms() {
    let details = r#"{"auth_method": "Password", "factor": "push"}"#;
    for row in [
        json!({"action": {"name": "admin_login", "details": details}}),
        json!({"action": {"name": "admin_login", "details": {"auth_method": "Password", "factor": "push"}}}),
        json!({"action": "admin_login", "action_extended": {"name": "admin_login", "details": details}}),
        json!({"action": "admin_login", "action_extended": {"details": {"auth_method": "Password", "factor": "push"}}}),
    ] {
        for log in ["activity", "admin"] {
            let of = |path: &str| text(log, "activity", &row, path);
            assert_eq!(of("action.name").as_deref(), Some("admin_login"), "{row}");
            assert_eq!(of("action.details.auth_method").as_deref(), Some("password"), "{row}");
            assert_eq!(of("action.details.factor").as_deref(), Some("push"), "{row}");
        }
    }
    let plain = json!({"action": "phone_create"});
    assert_eq!(
        text("activity", "activity", &plain, "action.name").as_deref(),
        Some("phone_create")
    );
    assert_eq!(text("activity", "activity", &plain, "action.details.factor"), None);
}

#[test]
fn details_and_descriptions_that_are_no_json() {
    for (received, status) in [
        (json!(r#"{"status": "Bypass"}"#), Some("bypass")),
        (json!({"status": "Bypass"}), Some("bypass")),
        (
            json!(" {\"status\": \"Bypass\", \"name\": \"half \\ud83d\"}"),
            Some("bypass"),
        ),
        (
            json!("{\"notes\": \"two\nlines, C:\\Users\", \"count\": NaN, \"status\": \"Bypass\"}"),
            Some("bypass"),
        ),
        (json!(r#"{"status": "Bypass", "broken"#), None),
        (json!("free text"), None),
        (json!(r#"[{"status": "Bypass"}]"#), None),
        (json!([{"status": "Bypass"}]), None),
        (json!("null"), None),
        (json!(null), None),
        (json!(7), None),
    ] {
        let activity = json!({"target": {"details": received}});
        let administrator = json!({"action": "user_update", "description": received});
        for (log, duo_log, row, path) in [
            ("activity", "activity", &activity, "target.details.status"),
            ("admin", "activity", &activity, "target.details.status"),
            ("administrator", "administrator", &administrator, "description.status"),
            ("admin", "administrator", &administrator, "target.details.status"),
        ] {
            assert_eq!(text(log, duo_log, row, path).as_deref(), status, "{log} {received}");
            assert_eq!(
                text(log, duo_log, row, &format!("raw.{path}")).is_some(),
                status.is_some(),
                "{log} {received}"
            );
        }
        if let Value::String(received) = &received {
            let whole = text("administrator", "administrator", &administrator, "raw.description");
            assert_eq!(whole.as_ref(), Some(received), "it can still be read as it came");
        }
    }
}

#[test]
fn who_acts_in_the_administrator_log() {
    for (username, sort) in [
        ("API (Admin tools)", Some("api")),
        ("API", Some("api")),
        ("System", Some("system")),
        ("AD Sync: Corp", Some("directory_sync")),
        ("Harry Helpdesk", Some("admin")),
        ("", None),
    ] {
        let row = json!({"action": "admin_login_error", "username": username});
        assert_eq!(
            text("admin", "administrator", &row, "actor.type").as_deref(),
            sort,
            "{username}"
        );
        let name = Some(username.to_owned()).filter(|name| !name.is_empty());
        assert_eq!(text("admin", "administrator", &row, "actor.name"), name);
    }
}

#[test]
fn phone_numbers_join_however_they_are_spelt() {
    let mask = Mask::substitute();
    let number = mask.number("+17345552342");
    let spellings = [
        (json!("+17345552342"), Some(&*number)),
        (json!("+1 734 555 2342"), Some(&number)),
        (json!("+1 (734) 555-2342"), Some(&number)),
        (json!("734-555-2342"), Some(&number)),
        (json!(17_345_552_342_i64), Some(&number)),
        (json!("unknown"), None),
        (json!(""), None),
        (json!("no number"), Some("no number")),
    ];
    table("telephony", "phone", &spellings);
    table("activity", "target.details.number", &spellings);
    table("phone", "after.number", &spellings);
    table("admin_account", "before.phone", &spellings);
    let row = json!({"phone": 17_345_552_342_i64});
    assert_eq!(
        read("telephony", &row, "phone", FieldType::S64),
        Value::Null,
        "not as a number either"
    );
    let row = json!({"phone": "17345552342"});
    assert_eq!(read("telephony", &row, "phone", FieldType::S64), Value::Null);
    assert_eq!(read("telephony", &row, "phone", FieldType::Texts), json!([number]));
    for (name, has, shown) in [
        ("My iPhone X (734-555-2342)", true, format!("My iPhone X ({number})")),
        ("+1 734 555 2342", true, number.clone()),
        ("My phone 2 (734-555-2342)", true, format!("My phone 2 ({number})")),
        ("WAQWPO8MD9PPHPW2HPCI", false, "WAQWPO8MD9PPHPW2HPCI".to_owned()),
        ("Generic Smartphone", false, "Generic Smartphone".to_owned()),
    ] {
        // What was masked before, as in an export, stays as it is and still joins.
        for name in [name, &shown] {
            let row = json!({"auth_device": {"name": name}});
            let of = |path: &str| text("authentication", "authentication", &row, path);
            assert_eq!(of("auth_device.name"), Some(shown.clone()));
            assert_eq!(of("auth_device.number"), has.then(|| number.clone()), "{name}");
            assert_eq!(of("auth_device.number.country"), has.then(|| "US".to_owned()), "{name}");
            assert_eq!(narrate("authentication", &row.to_string()).device, Some(shown.clone()));
        }
    }
}

#[test]
fn a_phone_number_is_masked_wherever_it_stands() {
    let mask = Mask::substitute();
    let number = mask.number("+15035550142");
    let details = json!({"number": "+1 (503) 555-0142", "note": "call 503 555 0142", "valid_secs": 3600}).to_string();
    let shown = json!({"number": number, "note": format!("call {number}"), "valid_secs": 3600}).to_string();
    let activity = json!({
        "target": {"type": "phone", "name": "503-555-0142", "details": details},
        "old_target": {"details": {"number": "(503) 555-0142"}},
        "action": {"name": "phone_create", "details": {"x": {"deep": ["1 503 555 0142"]}}},
    });
    let v1 = json!({"action": "phone_create", "object": "(503) 555-0142", "description": details});
    let plain =
        json!({"action": "user_update", "object": "ada", "description": "called from +1-503-555-0142 on 2026-11-22"});
    let change = json!({
        "change": "updated", "name": "+15035550142", "user": {"name": "5035550142"},
        "after": {"number": "+15035550142", "name": "mine, 503-555-0142"}, "before": null,
    });
    let user = json!({"after": {"phones": [{"phone_id": "DP1", "number": "+15035550142"}], "notes": "503.555.0142"}});
    let surfaced = json!({"explanations": [{"summary": "New device 503-555-0142."}]});
    for (log, feed, row, path, expected) in [
        ("activity", "activity", &activity, "target.name", number.clone()),
        ("activity", "activity", &activity, "target.details", shown.clone()),
        (
            "activity",
            "activity",
            &activity,
            "target.details.note",
            format!("call {number}"),
        ),
        (
            "activity",
            "activity",
            &activity,
            "target.details.valid_secs",
            "3600".to_owned(),
        ),
        (
            "activity",
            "activity",
            &activity,
            "old_target",
            json!({"details": {"number": number}}).to_string(),
        ),
        (
            "activity",
            "activity",
            &activity,
            "action.details.x",
            json!({"deep": [number]}).to_string(),
        ),
        (
            "admin",
            "activity",
            &activity,
            "target.details.number.prefix",
            "+1503".to_owned(),
        ),
        ("admin", "administrator", &v1, "target.name", number.clone()),
        ("admin", "administrator", &v1, "target.details.number", number.clone()),
        ("admin", "administrator", &v1, "target.details", shown.clone()),
        ("administrator", "administrator", &v1, "object", number.clone()),
        (
            "administrator",
            "administrator",
            &plain,
            "description",
            format!("called from {number} on 2026-11-22"),
        ),
        ("phone", "phone", &change, "name", number.clone()),
        ("phone", "phone", &change, "after.name", format!("mine, {number}")),
        (
            "phone",
            "phone",
            &change,
            "after",
            json!({"number": number, "name": format!("mine, {number}")}).to_string(),
        ),
        // A name is a name, whatever it looks like.
        ("phone", "phone", &change, "user.name", "5035550142".to_owned()),
        (
            "user",
            "user",
            &user,
            "after.phones",
            json!([{"phone_id": "DP1", "number": number}]).to_string(),
        ),
        ("user", "user", &user, "after.notes", number.clone()),
        (
            "trust_monitor",
            "trust_monitor",
            &surfaced,
            "explanations",
            json!([{"summary": format!("New device {number}.")}]).to_string(),
        ),
    ] {
        assert_eq!(text(log, feed, row, path), Some(expected), "{log} {path}");
        let told = narrate(feed, &row.to_string());
        assert!(!format!("{told:?}").contains("0142") || log == "phone", "{told:?}");
    }
    let listed = read("user", &user, "after.phones", FieldType::Texts);
    assert_eq!(
        listed,
        json!([json!({"phone_id": "DP1", "number": number}).to_string()])
    );
}

#[test]
fn times_in_every_spelling() {
    for (log, row, time) in [
        (
            "authentication",
            json!({"isotimestamp": "2021-07-20T11: 41: 31+00: 00"}),
            1_626_781_291_000,
        ),
        (
            "authentication",
            json!({"isotimestamp": "2021-07-20T11:41:31.123456+00:00"}),
            1_626_781_291_123,
        ),
        (
            "authentication",
            json!({"isotimestamp": "2021-07-20T11:41:31.123+00:00"}),
            1_626_781_291_123,
        ),
        (
            "authentication",
            json!({"isotimestamp": "2021-07-20T11:41:31"}),
            1_626_781_291_000,
        ),
        (
            "authentication",
            json!({"isotimestamp": "", "timestamp": 1_626_781_291}),
            1_626_781_291_000,
        ),
        (
            "authentication",
            json!({"timestamp": 1_626_781_291_123_i64}),
            1_626_781_291_123,
        ),
        ("administrator", json!({"timestamp": "1626781291"}), 1_626_781_291_000),
        (
            "administrator",
            json!({"timestamp": 1_626_781_291.9}),
            1_626_781_291_000,
        ),
        (
            "administrator",
            json!({"isotimestamp": "2021-07-20T11:41:31+00:00"}),
            1_626_781_291_000,
        ),
        (
            "offline_enrollment",
            json!({"timestamp": 1_626_781_291}),
            1_626_781_291_000,
        ),
        ("telephony", json!({"timestamp": 1_626_781_291}), 1_626_781_291_000),
        (
            "telephony",
            json!({"ts": "2021-07-20T11:41:31.123456+00:00"}),
            1_626_781_291_123,
        ),
        (
            "trust_monitor",
            json!({"surfaced_timestamp": 1_626_781_291_123_i64}),
            1_626_781_291_123,
        ),
    ] {
        assert_eq!(identify(log, &row.to_string()).unwrap().time, time, "{log} {row}");
    }
    for (received, expected) in [
        (json!("2021-07-20T11: 41: 31+00: 00"), Some("2021-07-20T11:41:31+00:00")),
        (json!("2021-07-20 11:41:31.123456"), Some("2021-07-20T11:41:31.123456")),
        (
            json!("2021-07-20T11:41:31.123456+00:00"),
            Some("2021-07-20T11:41:31.123456+00:00"),
        ),
        (json!("some day"), Some("some day")),
        (json!(""), None),
    ] {
        table("authentication", "isotimestamp", &[(received.clone(), expected)]);
        table("telephony", "ts", &[(received, expected)]);
    }
}

#[test]
fn telephony_v1_reads_like_v2() {
    let v2 = json!({"context": "administrator login", "credits": 2, "phone": "+15035550100", "telephony_id": "p1",
        "ts": "2021-07-20T11:41:31.123456+00:00", "txid": "t1", "type": "sms"});
    let v1 = json!({"context": "administrator login", "credits": "2", "phone": "+1 503 555 0100", "timestamp": 1_626_781_291,
        "type": "SMS"});
    let with_iso = json!({"context": "administrator login", "credits": 2, "phone": "+15035550100",
        "isotimestamp": "2021-07-20T11:41:31+00:00", "timestamp": 1_626_781_291, "type": "sms"});
    for (row, ts) in [
        (&v2, "2021-07-20T11:41:31.123456+00:00"),
        (&v1, "2021-07-20T11:41:31.000Z"),
        (&with_iso, "2021-07-20T11:41:31+00:00"),
    ] {
        let of = |path: &str| text("telephony", "telephony", row, path);
        assert_eq!(of("context").as_deref(), Some("administrator_login"));
        assert_eq!(read("telephony", row, "credits", FieldType::S64), json!(2));
        assert_eq!(of("phone"), Some(Mask::substitute().number("+15035550100")));
        assert_eq!(of("type").as_deref(), Some("sms"));
        assert_eq!(of("ts").as_deref(), Some(ts));
    }
    assert!(
        identify("telephony", &v1.to_string())
            .unwrap()
            .id
            .starts_with("sha256:")
    );
}

#[test]
fn what_is_new_is_kept() {
    let row = json!({"user": {"name": "ada", "shoe_size": 38}, "posture": {"score": "High"}, "result": "postponed"});
    let of = |path: &str| text("authentication", "authentication", &row, path);
    assert_eq!(of("user.shoe_size").as_deref(), Some("38"));
    assert_eq!(of("posture.score").as_deref(), Some("High"));
    assert_eq!(of("result").as_deref(), Some("postponed"));
}

#[test]
fn no_field_of_any_log_reaches_a_terminal_as_it_came() {
    const NASTY: &str = "a\u{1b}[2J\u{9b}31m\r\nb\u{202e}c\u{7}\u{200b}";
    let auth = json!({"txid": NASTY, "timestamp": 1, "factor": NASTY, "result": NASTY, "reason": NASTY, "email": NASTY,
        "alias": NASTY, "event_type": NASTY, "user": {"name": NASTY, "key": NASTY}, "application": {"name": NASTY},
        "auth_device": {"name": NASTY}, "access_device": {"ip": NASTY, "hostname": NASTY, "browser": NASTY,
        "location": {"city": NASTY, "state": NASTY, "country": NASTY}}});
    let activity = json!({"activity_id": NASTY, "ts": "2026-01-01T00:00:00Z", "action": {"name": NASTY,
        "details": {"factor": NASTY}}, "actor": {"name": NASTY, "type": NASTY, "key": NASTY}, "target": {"name": NASTY,
        "type": NASTY, "details": {"status": NASTY}}, "application": {"name": NASTY}, "outcome": {"result": NASTY}});
    let v1 = json!({"timestamp": 1, "action": NASTY, "username": NASTY, "object": NASTY, "description": NASTY});
    let telephony = json!({"timestamp": 1, "context": NASTY, "phone": NASTY, "type": NASTY, "credits": NASTY});
    let surfaced = json!({"sekey": NASTY, "surfaced_timestamp": 1, "type": NASTY, "state": NASTY, "surfaced_auth": auth,
        "explanations": [{"summary": NASTY, "type": NASTY}], "enabled_by": {"name": NASTY}});
    let collector = json!({"id": NASTY, "ts": NASTY, "event": NASTY, "log": NASTY, "since": NASTY, "error": NASTY,
        "action": NASTY});
    for (log, row) in [
        ("authentication", &auth),
        ("activity", &activity),
        ("administrator", &v1),
        ("offline_enrollment", &v1),
        ("telephony", &telephony),
        ("trust_monitor", &surfaced),
        ("collector", &collector),
        (NASTY, &auth),
    ] {
        let told = format!("{:#?}", Shown(narrate(log, &row.to_string())));
        let harmful = |char: char| (char.is_control() && char != '\n') || matches!(char, '\u{202e}' | '\u{200b}');
        assert!(!told.contains(harmful), "{log}: {}", told.escape_debug());
    }
}

/// Every text of what is told, one a line, unescaped.
struct Shown(Told);

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = &self.0;
        let rest = [
            &told.user,
            &told.user_key,
            &told.actor,
            &told.action,
            &told.target,
            &told.ip,
            &told.country,
            &told.place,
            &told.application,
            &told.device,
            &told.factor,
        ];
        for text in rest.into_iter().flatten().chain([&told.text]) {
            assert!(!text.contains('\n'));
            writeln!(formatter, "{text}")?;
        }
        Ok(())
    }
}
