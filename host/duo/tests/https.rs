//! The client against a TLS server of our own: what goes over the wire, and what happens when the wire fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_duo::{Client, ClientConfig, DuoError, Log, Offset, Query, Scheme, TransportKind};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SECRET: &str = "fakeFAKEfakeFAKEfakeFAKEfakeFAKEfake0000";
const NOW: i64 = 1_782_896_707_000;
const DATE: &str = "Wed, 01 Jul 2026 09:05:07 GMT";

struct Server {
    address: SocketAddr,
    ca_pem: String,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Answers the n-th request with the n-th text, byte for byte; the last one again and again. Each connection serves one request.
async fn serve(answers: Vec<String>) -> Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        ca_pem: made.cert.pem(),
        heads: Arc::default(),
    };
    let heads = server.heads.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let number = {
                let mut heads = heads.lock().unwrap();
                heads.push(String::from_utf8(head).unwrap());
                heads.len() - 1
            };
            let answer = answers.get(number).or(answers.last()).unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
            // An answer without an end: the connection stays open, silent.
            if answer.ends_with("...") {
                tokio::time::sleep(Duration::from_secs(600)).await;
            }
            let _ = stream.shutdown().await;
        }
    });
    server
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn page_of(rows: &str) -> String {
    http(
        "200 OK",
        &format!("Date: {DATE}\r\n"),
        &format!(r#"{{"response": {{"items": [{rows}]}}, "stat": "OK"}}"#),
    )
}

fn config(server: &Server) -> ClientConfig {
    let host = server.address.to_string().parse().unwrap();
    let mut config = ClientConfig::new(host, "DIFAKE0000TESTVECTOR", SECRET.to_owned().into());
    config.ca_pem = Some(server.ca_pem.clone().into_bytes());
    config.timeout = Duration::from_secs(20);
    config.now = Arc::new(|| NOW);
    config
}

fn query() -> Query {
    Query {
        mintime: 1_782_896_400_000,
        maxtime: 1_782_896_520_000,
        limit: 1000,
        offset: Some(Offset::new("1532951895000,af0ba235")),
    }
}

#[tokio::test]
async fn the_canonical_text_is_the_query_and_the_host_is_signed_without_its_port() {
    let server = serve(vec![page_of(r#"{"a":1}"#)]).await;
    let client = Client::new(ClientConfig {
        account_id: Some("DA1".into()),
        ..config(&server)
    })
    .unwrap();
    let page = client.activity(&query()).await.unwrap();
    assert_eq!((page.rows.len(), page.server_date_ms), (1, Some(NOW)));
    let head = server.heads.lock().unwrap()[0].clone();
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
    let client = Client::new(ClientConfig { now, ..config(&server) }).unwrap();
    client.page(Log::Administrator, &query()).await.unwrap();
    client.page(Log::Administrator, &query()).await.unwrap();
    let heads = server.heads.lock().unwrap().clone();
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
    let client = Client::new(ClientConfig {
        now: now.clone(),
        ..config(&server)
    })
    .unwrap();
    client.activity(&query()).await.unwrap();
    client.activity(&query()).await.unwrap();
    let heads = server.heads.lock().unwrap().clone();
    let dated: Vec<bool> = heads.iter().map(|head| head.contains(DATE)).collect();
    assert_eq!(dated, [false, true, true]);

    // A server that refuses even its own time.
    let server = serve(vec![refused]).await;
    let client = Client::new(ClientConfig { now, ..config(&server) }).unwrap();
    let error = client.activity(&query()).await.unwrap_err();
    assert!(
        matches!(error, DuoError::ClockSkew { skew_ms: 3_600_000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("3600 s behind"), "{error}");
    assert_eq!(server.heads.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_and_no_error_holds_the_secret() {
    let body = format!(r#"{{"code": 40103, "message": "Invalid signature {SECRET}", "stat": "FAIL"}}"#);
    let server = serve(vec![http("401 Unauthorized", &format!("Date: {DATE}\r\n"), &body)]).await;
    let error = Client::new(config(&server))
        .unwrap()
        .activity(&query())
        .await
        .unwrap_err();
    assert!(matches!(error, DuoError::Unauthorized { code: 40103, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = serve(vec![http("302 Found", "Location: https://example.com/\r\n", "")]).await;
    let error = Client::new(config(&server))
        .unwrap()
        .activity(&query())
        .await
        .unwrap_err();
    assert!(matches!(error, DuoError::Redirected { status: 302, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_is_bounded_and_may_break_off() {
    let server = serve(vec![page_of(&format!(r#""{}""#, "x".repeat(5_000)))]).await;
    let client = Client::new(ClientConfig {
        max_body: 4_000,
        ..config(&server)
    })
    .unwrap();
    let error = client.activity(&query()).await.unwrap_err();
    assert!(
        matches!(&error, DuoError::Malformed { why, .. } if why.contains("4000")),
        "{error}"
    );

    let server = serve(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"response\": {\"items\"".to_owned(),
    ])
    .await;
    let error = Client::new(config(&server))
        .unwrap()
        .activity(&query())
        .await
        .unwrap_err();
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
async fn silence_strangers_and_closed_doors_have_names() {
    let server = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n...".to_owned()]).await;
    let client = Client::new(ClientConfig {
        timeout: Duration::from_millis(500),
        ..config(&server)
    })
    .unwrap();
    let error = client.activity(&query()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DuoError::Transport {
                kind: TransportKind::Timeout,
                ..
            }
        ),
        "{error}"
    );

    // Another server's certificate.
    let server = serve(vec![page_of("")]).await;
    let other = serve(vec![page_of("")]).await;
    let stranger = Client::new(ClientConfig {
        ca_pem: Some(other.ca_pem.into_bytes()),
        ..config(&server)
    })
    .unwrap();
    let error = stranger.activity(&query()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DuoError::Transport {
                kind: TransportKind::UnknownIssuer,
                ..
            }
        ),
        "{error}"
    );

    // A port on which nobody listens any more.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = Client::new(ClientConfig {
        host: free.to_string().parse().unwrap(),
        ..config(&server)
    })
    .unwrap();
    let error = closed.activity(&query()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DuoError::Transport {
                kind: TransportKind::Connect,
                ..
            }
        ),
        "{error}"
    );

    // No name has a label of more than 63 letters, which is known without a network.
    let host = "x".repeat(64).parse().unwrap();
    let nowhere = Client::new(ClientConfig {
        host,
        ..config(&server)
    })
    .unwrap();
    let error = nowhere.activity(&query()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DuoError::Transport {
                kind: TransportKind::Dns,
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
    let pong = Client::new(config(&server)).unwrap().ping().await.unwrap();
    assert_eq!((pong.server_ms, pong.skew_ms), (1_782_896_700_000, -7_000));
    assert!(
        !server.heads.lock().unwrap()[0]
            .to_ascii_lowercase()
            .contains("authorization")
    );
}
