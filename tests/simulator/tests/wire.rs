//! The real thing: TLS, HTTP, headers, and the ways in which a connection ends badly.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use std::io::Read;
use std::sync::Arc;

use common::{BEGIN, account, signed};
use duo_simulator::clock::Clock;
use duo_simulator::server::{Options, Request, Simulator};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NOW: i64 = BEGIN + 3_600_000;

async fn start() -> Simulator {
    let clock = Some(Clock::new(0, NOW, 1.0, true));
    Simulator::start(Options {
        clock,
        ..Options::new(vec![account(50)])
    })
    .await
    .unwrap()
}

/// What came, and how it ended.
struct Came {
    bytes: Vec<u8>,
    text: String,
    error: Option<std::io::Error>,
}

/// A connection whose handshake is done, or why it is not.
async fn connect(simulator: &Simulator) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(simulator.host()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

async fn send(simulator: &Simulator, request: &Request) -> Came {
    let mut stream = connect(simulator).await.unwrap();
    let headers: String = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let target = format!("{}?{}", request.path, request.query);
    let head = format!(
        "{} {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n",
        request.method
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).await.err();
    Came {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        error,
    }
}

fn activity() -> Request {
    signed(
        "/admin/v2/logs/activity",
        &format!("maxtime={NOW}&mintime={BEGIN}"),
        NOW,
    )
}

fn fault(simulator: &Simulator, json: &str) {
    let control = format!(r#"{{"rate_limit": null, "faults": [{json}]}}"#);
    simulator.state().control(control.as_bytes(), 0).unwrap();
}

#[tokio::test]
async fn headers_are_duos_and_the_date_is_the_simulated_time() {
    let simulator = start().await;
    let came = send(&simulator, &activity()).await;
    assert!(came.error.is_none());
    let (head, body) = came.text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for header in [
        "Server: Duo/1.0",
        "Date: Mon, 21 Sep 2026 12:26:40 GMT",
        "Content-Type: application/json",
        &format!("Content-Length: {}", body.len()),
        "Cache-Control: no-store",
        "Pragma: no-cache",
        "Strict-Transport-Security: max-age=31536000",
    ] {
        assert!(head.lines().any(|line| line == header), "{header} not in\n{head}");
    }
    assert!(!head.to_lowercase().contains("rate"));

    let came = send(&simulator, &signed("/admin/v9/nothing", "", NOW)).await;
    let (head, body) = came.text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(
        body,
        r#"{"code": 40401, "message": "Resource not found", "stat": "FAIL"}"#
    );
    assert!(!head.contains("Cache-Control") && !head.contains("Etag"));
    simulator.stop().await;
}

#[tokio::test]
async fn ping_needs_no_key() {
    let simulator = start().await;
    let mut request = signed("/auth/v2/ping", "", NOW);
    request.headers.retain(|(name, _)| name == "host");
    let came = send(&simulator, &request).await;
    assert!(came.text.ends_with(&format!(
        "{{\"response\": {{\"time\": {}}}, \"stat\": \"OK\"}}",
        NOW / 1_000
    )));
}

#[tokio::test]
async fn connections_end_badly_on_demand() {
    let simulator = start().await;
    fault(&simulator, r#"{"kind": "reset"}"#);
    let came = send(&simulator, &activity()).await;
    assert!(came.text.is_empty() && came.error.is_some());

    fault(&simulator, r#"{"kind": "cut_body"}"#);
    let came = send(&simulator, &activity()).await;
    let (head, body) = came.text.split_once("\r\n\r\n").unwrap();
    let promised = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    assert_eq!(body.len(), promised.parse::<usize>().unwrap() / 2);

    fault(&simulator, r#"{"kind": "slow_body", "over_ms": 50}"#);
    let came = send(&simulator, &activity()).await;
    assert!(came.error.is_none() && came.text.ends_with(r#""stat": "OK"}"#));
}

#[tokio::test]
async fn bodies_are_compressed_for_who_can_read_it() {
    let simulator = start().await;
    let plain = send(&simulator, &activity()).await.text;
    let plain = plain.split_once("\r\n\r\n").unwrap().1;
    let unpack = async |kind: &str| {
        fault(&simulator, &format!("{{\"kind\": \"{kind}\"}}"));
        let mut request = activity();
        request.headers.push(("accept-encoding".to_owned(), "gzip".to_owned()));
        let came = send(&simulator, &request).await;
        assert!(came.text.contains("Content-Encoding: gzip\r\n"), "{}", came.text);
        let body = came.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let mut text = String::new();
        let read = flate2::read::GzDecoder::new(&came.bytes[body..]).read_to_string(&mut text);
        read.map(|_| text)
    };
    assert_eq!(unpack("gzip").await.unwrap(), plain);
    assert!(unpack("truncated_gzip").await.is_err());
    let without = send(&simulator, &activity()).await;
    assert!(
        !without.text.contains("Content-Encoding"),
        "who does not ask gets it as it is"
    );
}

#[tokio::test]
async fn another_certificate_can_be_shown_at_any_time() {
    let simulator = start().await;
    for (certificate, told) in [
        ("expired", "Expired"),
        ("other_host", "NotValidForName"),
        ("unknown_ca", "UnknownIssuer"),
        ("good", ""),
    ] {
        let control = format!("{{\"certificate\": \"{certificate}\"}}");
        simulator.state().control(control.as_bytes(), 0).unwrap();
        let refused = connect(&simulator).await.err().map(|error| format!("{error:?}"));
        match refused {
            None => assert_eq!(told, "", "{certificate}"),
            Some(error) => assert!(!told.is_empty() && error.contains(told), "{certificate}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_plain_port_serves_the_door_and_nothing_else() {
    let simulator = start().await;
    let address = simulator.control_url().strip_prefix("http://").unwrap().to_owned();
    let send = async |text: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut came = String::new();
        stream.read_to_string(&mut came).await.unwrap();
        came
    };
    let control = r#"{"clock": "go"}"#;
    let length = control.len();
    let post = format!(
        "POST /sim/control HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{control}"
    );
    let came = send(&post).await;
    assert!(
        came.starts_with("HTTP/1.1 200 OK\r\n") && came.contains("\"held\": false"),
        "{came}"
    );
    let came = send("GET /auth/v2/ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(came.starts_with("HTTP/1.1 404 "), "{came}");
}

#[tokio::test]
async fn accounts_must_have_keys_of_their_own() {
    let twins = vec![account(1), account(1)];
    let error = Simulator::start(Options::new(twins)).await.err().unwrap();
    assert!(error.to_string().contains(common::IKEY));
}
