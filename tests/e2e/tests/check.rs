//! `picket check` names what is wrong and what to click: one snapshot for each message.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use picket_e2e::{Duo, Site, Source, Story};
use serde_json::{Value, json};

/// A site with one account and no rules. The check holds this machine's clock against Duo's, so Duo's is right.
fn site() -> Site {
    let now = jiff::Timestamp::now().as_millisecond();
    let duo = Duo::start(vec![Story::of("acme").account()], now);
    let mut site = Site::new(duo);
    site.tenant(&Source::of("acme"));
    site
}

/// What the check says is wrong, and the sum; without what differs from run to run.
fn troubles(site: &Site, code: i32) -> String {
    let said = site.picket(&["check"]).with_code(code);
    let dir = site.dir().display().to_string();
    let text = said.out.replace(&dir, "DIR").replace(&site.duo.host(), "HOST");
    let from = text.lines().position(|line| !line.starts_with("ok "));
    let lines: Vec<String> = text.lines().skip(from.unwrap_or_default()).map(timeless).collect();
    lines.join("\n")
}

/// Without the number of seconds since something.
fn timeless(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let digits = word.trim_start_matches('(');
        let is_time = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        words.push(if is_time {
            word.replace(digits, "N")
        } else {
            word.to_owned()
        });
    }
    words.join(" ")
}

/// Changes the tenant's file.
fn edited(site: &Site, from: &str, to: &str) {
    let text = std::fs::read_to_string(site.path("tenants.d/acme.yaml")).unwrap();
    assert!(text.contains(from), "{text}");
    site.write("tenants.d/acme.yaml", &text.replace(from, to));
}

fn fault(site: &Site, fault: Value) {
    site.duo.tell(&json!({"faults": [fault]}));
}

#[test]
fn a_key_that_duo_does_not_accept() {
    let site = site();
    insta::assert_snapshot!("well", troubles(&site, 0));
    site.secret_file("acme.secret", "this is another application's secret key");
    insta::assert_snapshot!("wrong_secret", troubles(&site, 1));
    let requests = site.duo.status()["requests"].clone();
    site.secret_file("acme.secret", "");
    insta::assert_snapshot!("empty_secret", troubles(&site, 1));
    assert_eq!(site.duo.status()["requests"], requests, "Duo was not asked");
    std::fs::remove_file(site.path("acme.secret")).unwrap();
    insta::assert_snapshot!("no_secret", troubles(&site, 1));

    let (_, skey) = site.duo.keys("acme");
    site.secret_file("acme.secret", skey);
    fault(&site, json!({"kind": "deleted_ikey"}));
    insta::assert_snapshot!("deleted_key", troubles(&site, 1));
}

#[test]
fn a_clock_that_is_off() {
    let site = site();
    let ahead = jiff::Timestamp::now().as_millisecond() + 600_500;
    site.duo.set_clock(ahead);
    let text = troubles(&site, 1);
    // To the second it depends on how long the test takes.
    let seconds: i64 = text
        .split_once("clock is ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((560..=601).contains(&seconds), "{text}");
    insta::assert_snapshot!("clock", text.replace(&format!("{seconds} s"), "600 s"));
    site.duo.set_clock(ahead - 1_200_500);
    assert!(troubles(&site, 1).contains("ahead of Duo's"));
}

#[test]
fn a_log_that_is_forbidden_or_not_there() {
    let site = site();
    fault(&site, json!({"kind": "forbidden", "feed": "activity"}));
    insta::assert_snapshot!("forbidden_edition", troubles(&site, 1));
    fault(&site, json!({"kind": "forbidden", "feed": "telephony"}));
    insta::assert_snapshot!("forbidden_log", troubles(&site, 1));
    fault(&site, json!({"kind": "forbidden"}));
    insta::assert_snapshot!("forbidden_all", troubles(&site, 1));
    fault(&site, json!({"kind": "not_found", "feed": "telephony"}));
    insta::assert_snapshot!("no_such_log", troubles(&site, 1));
    fault(&site, json!({"kind": "not_found"}));
    insta::assert_snapshot!("no_such_host", troubles(&site, 1));
}

#[test]
fn what_the_inventory_is_not_granted_is_named_and_optional() {
    let site = site();
    edited(&site, "telephony]", "telephony, inventory]");
    site.duo
        .tell(&json!({"grant": {"account": "acme", "permissions": ["read_log", "read_resource"]}}));
    insta::assert_snapshot!("inventory_grants", troubles(&site, 0));
    let lines = site.ndjson(&["check"]);
    let admins = lines.iter().find(|line| line["log"] == "admins").unwrap();
    assert_eq!(
        (&admins["ok"], &admins["level"], &admins["kind"], &admins["wrong"]),
        (&json!(true), &json!("warning"), &json!("permission"), &Value::Null)
    );
    assert!(
        admins["advice"].as_str().unwrap().contains("Grant administrators"),
        "{admins}"
    );
}

#[test]
fn something_else_that_answers_in_duos_place() {
    let site = site();
    fault(&site, json!({"kind": "bad_gateway"}));
    insta::assert_snapshot!("html_gateway", troubles(&site, 1));
    fault(&site, json!({"kind": "portal"}));
    insta::assert_snapshot!("html_portal", troubles(&site, 1));
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let site = site();
    for certificate in ["expired", "other_host", "unknown_ca"] {
        site.duo.tell(&json!({"certificate": certificate}));
        insta::assert_snapshot!(format!("certificate_{certificate}"), troubles(&site, 1));
    }
    site.duo.tell(&json!({"certificate": "good"}));
    edited(&site, "  ca_file: ./ca.pem\n", "");
    insta::assert_snapshot!("certificate_no_ca_file", troubles(&site, 1));
    edited(&site, "  poll_interval", "  ca_file: ./nobody.pem\n  poll_interval");
    insta::assert_snapshot!("certificate_ca_file_missing", troubles(&site, 1));
}

#[test]
fn a_way_that_is_barred() {
    let site = site();
    let text = std::fs::read_to_string(site.path("tenants.d/acme.yaml")).unwrap();
    let with = |line: &str| {
        site.write(
            "tenants.d/acme.yaml",
            &text.replace("  poll_interval", &format!("  {line}\n  poll_interval")),
        );
        troubles(&site, 1)
    };
    insta::assert_snapshot!("proxy_unreachable", with("proxy: http://127.0.0.1:1"));

    // A proxy that wants to know who asks.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in proxy.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let said = with(&format!("proxy: http://{address}\n  proxy_credentials: ada:hush-hush"));
    assert!(!said.contains("hush"), "{said}");
    insta::assert_snapshot!("proxy_credentials", said.replace(&address.to_string(), "PROXY"));

    let host = site.duo.host();
    let nowhere = text
        .replace(&host, "api-00000000.invalid")
        .replace("poll_interval: 0.1", "poll_interval: 120");
    site.write("tenants.d/acme.yaml", &nowhere);
    insta::assert_snapshot!("dns", troubles(&site, 1));
    site.write("tenants.d/acme.yaml", &text.replace(&host, "127.0.0.1:1"));
    insta::assert_snapshot!("refused", troubles(&site, 1));
}

#[test]
fn a_secret_that_others_may_read_and_rules_for_nobody_are_warnings() {
    let site = site();
    std::fs::set_permissions(site.path("acme.secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::create_dir(site.path("rules/amce")).unwrap();
    std::fs::write(site.path("rules/amce/night.wasm"), "no module").unwrap();
    insta::assert_snapshot!("warnings", troubles(&site, 1));
}
