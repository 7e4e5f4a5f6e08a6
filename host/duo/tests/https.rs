//! The client against a TLS server of our own: what goes over the wire, and what happens when the wire fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{
    DATE, NOW, Reply, SECRET, certificate, client, client_of, config, http, page_of, query, serve, serve_with,
};
use picket_duo::{ClientConfig, DuoError, Log, Offset, Query, Scheme, TransportKind};

#[tokio::test]
async fn the_canonical_text_is_the_query_and_the_host_is_signed_without_its_port() {
    let server = serve(vec![page_of(r#"{"a":1}"#)]).await;
    let client = client_of(
        ClientConfig {
            account_id: Some("DA1".into()),
            ..config(&server)
        },
        &server,
    );
    let page = client.activity(&query()).await.unwrap();
    assert_eq!((page.rows.len(), page.server_date_ms), (1, Some(NOW)));
    let head = server.heads()[0].clone();
    let target = "/admin/v2/logs/activity?account_id=DA1&limit=1000&maxtime=1782896520000&mintime=1782896400000\
                  &next_offset=1532951895000%2Caf0ba235&sort=ts%3Aasc";
    assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains(&format!("date: {DATE}\r\n")), "{head}");
    let params: Vec<(String, String)> = [
        ("account_id", "DA1"),
        ("limit", "1000"),
        ("maxtime", "1782896520000"),
        ("mintime", "1782896400000"),
        ("next_offset", "1532951895000,af0ba235"),
        ("sort", "ts:asc"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let signable = picket_duo::sign::Signable {
        date: DATE,
        method: "GET",
        host: "127.0.0.1",
        path: "/admin/v2/logs/activity",
        params: &params,
        body: "",
        headers: &[],
    };
    let expected = signable.authorization(Scheme::V5, "DIFAKE0000TESTVECTOR", &SECRET.to_owned().into());
    assert!(head.contains(&format!("authorization: {expected}\r\n")), "{head}");
}

#[tokio::test]
async fn the_v1_log_is_asked_in_seconds_and_every_request_has_its_own_date() {
    let body = http("200 OK", "", r#"{"response": [], "stat": "OK"}"#);
    let server = serve(vec![body]).await;
    let clock = Arc::new(AtomicI64::new(NOW));
    let ticking = clock.clone();
    let now = Arc::new(move || ticking.fetch_add(1000, Ordering::SeqCst));
    let client = client_of(ClientConfig { now, ..config(&server) }, &server);
    client.page(Log::Administrator, &query()).await.unwrap();
    client.page(Log::Administrator, &query()).await.unwrap();
    let heads = server.heads();
    assert!(
        heads[0].starts_with("GET /admin/v1/logs/administrator?mintime=1782896400 HTTP/1.1"),
        "{}",
        heads[0]
    );
    assert!(heads[0].contains("09:05:07 GMT") && heads[1].contains("09:05:08 GMT"));
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_duos() {
    let refusal = r#"{"code": 40105, "message": "Bad request timestamp", "stat": "FAIL"}"#;
    let refused = http("401 Unauthorized", &format!("Date: {DATE}\r\n"), refusal);
    let server = serve(vec![refused.clone(), page_of("")]).await;
    let now: picket_duo::Now = Arc::new(|| NOW - 3_600_000);
    let client = client_of(
        ClientConfig {
            now: now.clone(),
            ..config(&server)
        },
        &server,
    );
    client.activity(&query()).await.unwrap();
    client.activity(&query()).await.unwrap();
    let heads = server.heads();
    let dated: Vec<bool> = heads.iter().map(|head| head.contains(DATE)).collect();
    assert_eq!(dated, [false, true, true]);

    // A server that refuses even its own time.
    let server = serve(vec![refused]).await;
    let client = client_of(ClientConfig { now, ..config(&server) }, &server);
    let error = client.activity(&query()).await.unwrap_err();
    assert!(
        matches!(error, DuoError::ClockSkew { skew_ms: 3_600_000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("3600 s behind"), "{error}");
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_and_no_error_holds_the_secret() {
    let body = format!(r#"{{"code": 40103, "message": "Invalid signature {SECRET}", "stat": "FAIL"}}"#);
    let server = serve(vec![http("401 Unauthorized", &format!("Date: {DATE}\r\n"), &body)]).await;
    let error = client(&server).activity(&query()).await.unwrap_err();
    assert!(matches!(error, DuoError::Unauthorized { code: 40103, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = serve(vec![http("302 Found", "Location: https://example.com/\r\n", "")]).await;
    let error = client(&server).activity(&query()).await.unwrap_err();
    assert!(matches!(error, DuoError::Redirected { status: 302, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_is_bounded_and_may_break_off() {
    let server = serve(vec![page_of(&format!(r#""{}""#, "x".repeat(5_000)))]).await;
    let narrow = client_of(
        ClientConfig {
            max_body: 4_000,
            ..config(&server)
        },
        &server,
    );
    let error = narrow.activity(&query()).await.unwrap_err();
    assert!(
        matches!(&error, DuoError::Malformed { why, .. } if why.contains("4000")),
        "{error}"
    );

    let server = serve_with(certificate(), |_, _| {
        Reply::Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"response\": {\"items\"".to_vec())
    })
    .await;
    let error = client(&server).activity(&query()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DuoError::Transport {
                kind: TransportKind::Broken,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn ping_tells_the_clocks_apart_without_a_signature() {
    let server = serve(vec![http(
        "200 OK",
        "",
        r#"{"response": {"time": 1782896700}, "stat": "OK"}"#,
    )])
    .await;
    let pong = client(&server).ping().await.unwrap();
    assert_eq!((pong.server_ms, pong.skew_ms), (1_782_896_700_000, -7_000));
    assert!(!server.heads()[0].to_ascii_lowercase().contains("authorization"));
}

#[tokio::test]
async fn every_log_is_asked_in_its_own_units_and_takes_its_own_offset() {
    let server = serve_with(certificate(), |_, request| {
        let body = if request.head.contains("/admin/v2/logs/authentication") {
            r#"{"response": {"authlogs": [{}], "metadata": {"next_offset": ["1532951895000", "af0b"]}}, "stat": "OK"}"#
        } else if request.head.contains("/admin/v2/") {
            r#"{"response": {"items": [{}], "metadata": {"next_offset": "1666714065304,5bf1"}}, "stat": "OK"}"#
        } else if request.head.contains("trust_monitor") {
            r#"{"response": {"events": [{}], "metadata": {"next_offset": 1591014}}, "stat": "OK"}"#
        } else {
            r#"{"response": [{}], "stat": "OK"}"#
        };
        http("200 OK", "", body).into()
    })
    .await;
    let client = client(&server);
    let window = "limit=1000&maxtime=1782896520000&mintime=1782896400000";
    for (log, first, then) in [
        (
            Log::Authentication,
            format!("{window}&sort=ts%3Aasc"),
            format!("{window}&next_offset=1532951895000%2Caf0b&sort=ts%3Aasc"),
        ),
        (
            Log::Telephony,
            format!("{window}&sort=ts%3Aasc"),
            format!("{window}&next_offset=1666714065304%2C5bf1&sort=ts%3Aasc"),
        ),
        (
            Log::TrustMonitor,
            "limit=200&maxtime=1782896520000&mintime=1782896400000".to_owned(),
            "limit=200&maxtime=1782896520000&mintime=1782896400000&offset=1591014".to_owned(),
        ),
        (Log::OfflineEnrollment, "mintime=1782896400".to_owned(), String::new()),
        (Log::TelephonyV1, "mintime=1782896400".to_owned(), String::new()),
    ] {
        let mut asked = Query {
            offset: None,
            ..query()
        };
        let page = client.page(log, &asked).await.unwrap();
        assert_eq!(page.rows.len(), 1);
        let head = server.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("GET {}?{first} HTTP/1.1", log.path())),
            "{head}"
        );
        assert_eq!(page.next_offset.is_some(), !then.is_empty(), "{log}");
        if page.next_offset.is_some() {
            asked.offset = page.next_offset;
            client.page(log, &asked).await.unwrap();
            let head = server.heads().pop().unwrap();
            assert!(
                head.starts_with(&format!("GET {}?{then} HTTP/1.1", log.path())),
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn an_empty_list_may_be_null_and_a_trust_monitor_offset_may_be_a_text() {
    for (log, body, expected) in [
        (
            Log::Activity,
            r#"{"response": {"items": null, "metadata": {}}, "stat": "OK"}"#,
            None,
        ),
        (
            Log::Authentication,
            r#"{"response": {"authlogs": null}, "stat": "OK"}"#,
            None,
        ),
        (Log::Administrator, r#"{"response": null, "stat": "OK"}"#, None),
        (
            Log::TrustMonitor,
            r#"{"response": {"events": [], "metadata": {"next_offset": "1591014"}}, "stat": "OK"}"#,
            Some(Offset::new("1591014")),
        ),
    ] {
        let server = serve(vec![http("200 OK", "", body)]).await;
        let page = client(&server).page(log, &query()).await.unwrap();
        assert_eq!((page.rows.len(), page.next_offset), (0, expected), "{log}");
    }
}

#[tokio::test]
async fn the_clocks_difference_is_known_from_any_answer_and_odd_dates_do_no_harm() {
    let dated = |date: &str| http("500 Internal Server Error", &format!("Date: {date}\r\n"), "");
    let server = serve(vec![
        dated("yesterday"),
        dated("Thu, 32 Foo 99999 00:00:00 GMT"),
        dated("Wed, 01 Jul 2026 09:15:07 GMT"),
    ])
    .await;
    let client = client(&server);
    let mut known = Vec::new();
    for _ in 0..3 {
        client.activity(&query()).await.unwrap_err();
        known.push(client.skew_ms());
    }
    assert_eq!(known, [None, None, Some(600_000)]);
    assert_eq!(
        picket_duo::clock_is_off(600_000),
        "this machine's clock is 600 s behind Duo's"
    );
}
