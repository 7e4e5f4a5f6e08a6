//! Cisco's own Python client calls everything it has that reads, and gets exactly what was generated.
//!
//! What is expected is taken from the generated account, not from the server: the rows of its logs and its inventory.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::python::{VERSION, python};
use common::truth::{Truth, bag, gist};
use duo_simulator::clock::Clock;
use duo_simulator::company::{self, generate};
use duo_simulator::inventory::Kind;
use duo_simulator::model::{Account, Feed};
use duo_simulator::server::{Limit, Options, Parent, Settings, Simulator, Twin};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000_000;
/// As in the script.
const MANY: usize = 12;

/// The pairs whose first half is one of these.
fn of_first(mut pairs: Vec<Value>, owners: &[Value]) -> Vec<Value> {
    pairs.retain(|pair| owners.contains(&pair[0]));
    pairs
}

/// Every call that gives a list of the generated, with what it must give.
fn expected(truth: &Truth, window: &Value) -> BTreeMap<&'static str, Vec<Value>> {
    let mut expected = BTreeMap::new();
    let mut put = |names: &[&'static str], values: Vec<Value>| {
        for name in names {
            expected.insert(*name, values.clone());
        }
    };
    put(&["get_authentication_log"], truth.rows(Feed::Authentication));
    put(&["get_activity_logs"], truth.rows(Feed::Activity));
    put(&["get_telephony_log"], truth.rows(Feed::Telephony));
    put(&["get_administrator_log"], truth.rows(Feed::Administrator));
    put(&["get_offline_log"], truth.rows(Feed::OfflineEnrollment));
    put(
        &[
            "get_trust_monitor_events_iterator",
            "get_trust_monitor_events_by_offset",
        ],
        truth.rows(Feed::TrustMonitor),
    );
    for (kind, whole, single) in [
        (
            Kind::User,
            &["get_users", "get_users_iterator"][..],
            &[
                "get_user_by_id",
                "get_user_by_email",
                "get_users_by_ids",
                "get_users_by_name",
                "get_users_by_names",
            ][..],
        ),
        (
            Kind::Phone,
            &["get_phones", "get_phones_generator"],
            &["get_phone_by_id", "get_phones_by_number"],
        ),
        (
            Kind::Token,
            &["get_tokens", "get_tokens_generator"],
            &["get_token_by_id", "get_tokens_by_serial"],
        ),
        (
            Kind::WebauthnCredential,
            &["get_webauthncredentials", "get_webauthncredentials_iterator"],
            &["get_webauthncredential_by_id"],
        ),
        (
            Kind::U2fToken,
            &["get_u2ftokens", "get_u2ftokens_iterator"],
            &["get_u2ftoken_by_id"],
        ),
        (
            Kind::BypassCode,
            &["get_bypass_codes", "get_bypass_codes_generator"],
            &[],
        ),
        (
            Kind::Group,
            &["get_groups", "get_groups_generator"],
            &["get_group", "get_group v2", "get_groups_by_group_ids"],
        ),
        (
            Kind::Endpoint,
            &["get_endpoints", "get_endpoints_iterator"],
            &["get_endpoint"],
        ),
        (
            Kind::RegisteredDevice,
            &["get_registered_devices", "get_registered_devices_generator"],
            &["get_registered_device_by_id"],
        ),
        (
            Kind::DesktopToken,
            &["get_desktoptokens", "get_desktoptokens_generator"],
            &["get_desktoptoken_by_id"],
        ),
        (
            Kind::Integration,
            &["get_integrations", "get_integrations_generator"],
            &["get_integration"],
        ),
        (
            Kind::Policy,
            &["get_policies_v2", "get_policies_v2_iterator"],
            &["get_policy_v2"],
        ),
        (Kind::Admin, &["get_admins", "get_admins_iterator"], &["get_admin"]),
        (
            Kind::AdministrativeUnit,
            &["get_administrative_units", "get_administrative_units_iterator"],
            &[],
        ),
        (Kind::Settings, &["get_settings"], &[]),
    ] {
        put(whole, truth.all(kind));
        put(single, truth.some(kind, MANY));
    }
    for (whole, single, kind) in [
        ("get_user_phones_iterator", "get_user_phones", Kind::Phone),
        ("get_user_tokens_iterator", "get_user_tokens", Kind::Token),
        (
            "get_user_bypass_codes_iterator",
            "get_user_bypass_codes",
            Kind::BypassCode,
        ),
        ("get_user_u2ftokens_iterator", "get_user_u2ftokens", Kind::U2fToken),
        (
            "get_user_webauthncredentials_iterator",
            "get_user_webauthncredentials",
            Kind::WebauthnCredential,
        ),
    ] {
        put(&[single], of_first(truth.carried(kind), &truth.ids(Kind::User, MANY)));
        put(
            &[whole],
            of_first(truth.carried(kind), &truth.ids(Kind::User, 3 * MANY)),
        );
    }
    let memberships = truth.memberships();
    let of_users = memberships.iter().map(|(user, group)| json!([user["user_id"], group]));
    let of_users: Vec<Value> = of_users.collect();
    put(
        &["get_user_groups"],
        of_first(of_users.clone(), &truth.ids(Kind::User, MANY)),
    );
    put(
        &["get_user_groups_iterator"],
        of_first(of_users, &truth.ids(Kind::User, 3 * MANY)),
    );
    let of_groups = memberships.iter().map(|(user, group)| json!([group["group_id"], user]));
    let of_groups: Vec<Value> = of_groups.collect();
    put(
        &["get_group_users"],
        of_first(of_groups.clone(), &truth.ids(Kind::Group, 1)),
    );
    put(&["get_group_users_iterator"], of_groups);
    put(&["get_secret_key"], truth.secrets(MANY));
    put(
        &[
            "get_external_password_mgmt_statuses",
            "get_external_password_mgmt_status_for_admin",
        ],
        truth.external_passwords(),
    );
    let (min, max) = (window["min"].clone(), window["max"].clone());
    let within = |name: &str, value: Value| vec![json!({name: value, "maxtime": max, "mintime": min})];
    let [rows, users] = truth.attempts();
    put(
        &["get_authentication_attempts"],
        within("authentication_attempts", rows),
    );
    put(
        &["get_user_authentication_attempts"],
        within("user_authentication_attempts", users),
    );
    put(
        &["get_info_telephony_credits_used"],
        within("telephony_credits_used", json!(truth.credits())),
    );
    put(&["get_logo"], vec![json!("Received 404 Resource not found")]);
    put(&["get_edition"], vec![json!({"edition": "BEYOND"})]);
    put(&["get_telephony_credits"], vec![json!({"credits": 100_000})]);
    put(&["child's users"], truth.all(Kind::User));
    put(&["wrong host"], vec![json!("Received 403 Access forbidden")]);
    put(
        &["wrong child"],
        vec![json!("Received 400 Invalid request parameters (account_id)")],
    );
    let wrong_type = json!("Received 403 Access forbidden (Wrong integration type for this API.)");
    put(&["parent as an admin", "admin as a parent"], vec![wrong_type]);
    let unsigned = json!("Received 401 Invalid signature in request credentials");
    put(
        &["policies signed with v2", "integrations signed with v2"],
        vec![unsigned],
    );
    put(&["users signed with v2"], vec![json!(truth.all(Kind::User).len())]);
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn duo_client_reads_exactly_what_was_generated_whatever_it_calls() {
    let python = python();
    let options = |seed| company::Options {
        seed,
        users: 60,
        days: 6,
        target_events: Some(1_500),
        ..company::Options::default()
    };
    let start = options(0).start_us.div_euclid(DAY) * DAY;
    // Half a day after the last row, so that windows reach to a time that is over.
    let now_us = start + 6 * DAY + DAY / 2;
    // The first company that has something of every kind by then: comparing nothing with nothing proves nothing.
    let has_all = |account: &Account| {
        let rare = [
            Kind::BypassCode,
            Kind::Token,
            Kind::U2fToken,
            Kind::DesktopToken,
            Kind::WebauthnCredential,
        ];
        rare.iter().all(|kind| account.inventory.at(*kind, now_us).count() > 0)
    };
    let mut companies = (1..100).map(|seed| generate(&options(seed)));
    let account = companies.find(has_all).unwrap();
    let truth = Truth::of(account.clone(), now_us);
    let (twin_ikey, twin_skey) = company::keys(1, "twin");
    let (parent_ikey, parent_skey) = company::keys(1, "parent");
    let simulator = Simulator::start(Options {
        clock: Some(Clock::new(0, now_us / 1_000, 1.0, true)),
        settings: Settings {
            limit: Limit {
                per_minute: None,
                lock_out_s: 0,
            },
            ..Settings::default()
        },
        twins: vec![Twin {
            name: "twin".into(),
            ikey: twin_ikey,
            skey: twin_skey,
            of: 0,
        }],
        parent: Some(Parent {
            name: "msp".into(),
            ikey: parent_ikey.clone(),
            skey: parent_skey.clone(),
        }),
        ..Options::new(vec![account.clone()])
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, simulator.ca_pem()).unwrap();
    let children = simulator.children();
    let (_, child_id, child_host) = &children[1];
    let port: u16 = simulator.host().rsplit(':').next().unwrap().parse().unwrap();
    let (min, max) = (start / 1_000, now_us / 1_000 - 1_000);
    let setting = json!({
        "port": port, "ca": ca, "ikey": account.ikey, "skey": account.skey, "mintime": min, "maxtime": max,
        "parent": {"ikey": parent_ikey, "skey": parent_skey}, "child": {"account_id": child_id, "host": child_host},
    });

    let output = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/duo_client_walks.py"))
        .arg(setting.to_string())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["version"], VERSION);
    assert_eq!(
        read["left_out"],
        json!([]),
        "duo_client has readers that the script does not call"
    );

    let calls = read["calls"].as_object().unwrap();
    let mut unchecked: BTreeSet<&str> = calls.keys().map(String::as_str).collect();
    let window = json!({"min": min / 1_000, "max": max / 1_000});
    for (name, values) in expected(&truth, &window) {
        assert!(unchecked.remove(name), "{name} was not called");
        let came = calls[name].as_array().unwrap();
        assert_eq!(bag(came), bag(&values), "{name}");
    }

    for (name, least) in [
        ("get_authentication_log", 1_500),
        ("get_trust_monitor_events_iterator", 10),
        ("get_offline_log", 2),
        ("get_users", 55),
        ("get_bypass_codes", 1),
        ("get_u2ftokens", 1),
        ("get_tokens", 1),
    ] {
        assert!(
            calls[name].as_array().unwrap().len() >= least,
            "{name}: {}",
            calls[name]
        );
    }
    for (name, feed) in [
        ("get_authentication_log v1", Feed::Authentication),
        ("get_telephony_log v1", Feed::Telephony),
    ] {
        assert!(unchecked.remove(name));
        let came: Vec<Value> = calls[name].as_array().unwrap().iter().map(gist).collect();
        let rows: Vec<Value> = truth.rows(feed).iter().map(gist).collect();
        assert_eq!(bag(&came), bag(&rows), "{name}");
    }
    let listed: Vec<Value> = children
        .iter()
        .map(|(name, id, host)| json!({"account_id": id, "api_hostname": host, "name": name}))
        .collect();
    for name in ["get_child_accounts", "get_child_accounts v2"] {
        assert!(unchecked.remove(name));
        assert_eq!(calls[name], json!(listed), "{name}");
    }
    assert_eq!(calls["get_child_api_host"], json!([child_host]));
    assert_eq!(
        calls["get_info_summary"][0]["user_count"],
        json!(truth.all(Kind::User).len())
    );
    assert_eq!(
        calls["get_info_summary"][0]["admin_count"],
        json!(truth.all(Kind::Admin).len())
    );
    assert_eq!(
        calls["get_policy_summary_v2"][0]["policy_count"],
        json!(truth.all(Kind::Policy).len())
    );
    assert_eq!(
        bag(calls["child's log"].as_array().unwrap()).len(),
        bag(&truth.rows(Feed::Administrator)[..calls["child's log"].as_array().unwrap().len()]).len(),
        "one page of the same rows"
    );
    for name in [
        "get_child_api_host",
        "get_info_summary",
        "get_policy_summary_v2",
        "child's log",
        "get_allowed_admin_auth_methods",
        "get_passport_config",
        "calculate_policy",
    ] {
        assert!(unchecked.remove(name), "{name}");
    }
    assert!(unchecked.is_empty(), "read and held against nothing: {unchecked:?}");
    simulator.stop().await;
}
