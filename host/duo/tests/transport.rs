//! The way to Duo: proxies that really carry, certificates of every kind of wrong, slow servers, and connections that are
//! used again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::proxy::{self, Manner};
use common::{
    DATE, Reply, Request, certificate, client, config, config_at, kept, page_of, query, serve, serve_with, way,
};
use picket_duo::{Client, DuoError, Kind, Transport, TransportConfig, TransportKind};
use rcgen::{CertificateParams, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

const DUO: &str = "api-00000000.duosecurity.com";
const USER: &str = "ann:p@ss:w0rd";

fn through(way: TransportConfig, proxy: &str) -> Transport {
    Transport::new(TransportConfig {
        proxy: Some(proxy.to_owned().into()),
        ..way
    })
    .unwrap()
}

/// A port on which nobody listens, and nobody else will.
fn closed_door() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

async fn failure(client: &Client) -> (TransportKind, String) {
    match client.activity(&query()).await.unwrap_err() {
        error @ DuoError::Transport { kind, .. } => (kind, error.to_string()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_http_proxy_with_a_password_carries_the_connection_and_knows_the_name_only() {
    let server = serve(vec![page_of(r#"{"a":1}"#)]).await;
    let proxy = proxy::http(Some(USER), Manner::Carry(server.address)).await;
    let address = format!("http://ann:p%40ss%3Aw0rd@{}", proxy.address);
    let client = Client::over(config_at(DUO), &through(way(&server), &address)).unwrap();
    assert_eq!(client.activity(&query()).await.unwrap().rows.len(), 1);
    assert_eq!(proxy.asked(), [format!("{DUO}:443")]);
    // What was signed is Duo's name; the proxy saw none of it.
    assert!(server.heads()[0].contains(&format!("host: {DUO}\r\n")));
    assert!(!server.heads()[0].to_ascii_lowercase().contains("proxy-authorization"));
}

#[tokio::test]
async fn a_socks_proxy_with_a_password_carries_the_connection_and_resolves_the_name() {
    let server = serve(vec![page_of(r#"{"a":1}"#)]).await;
    let proxy = proxy::socks5(Some(USER), Manner::Carry(server.address)).await;
    let address = format!("socks5h://ann:p%40ss%3Aw0rd@{}", proxy.address);
    let client = Client::over(config_at(DUO), &through(way(&server), &address)).unwrap();
    assert_eq!(client.activity(&query()).await.unwrap().rows.len(), 1);
    assert_eq!(proxy.asked(), [format!("{DUO}:443")]);

    // socks5:// resolves here, and without a password it goes as well.
    let proxy = proxy::socks5(None, Manner::Carry(server.address)).await;
    let transport = through(way(&server), &format!("socks5://{}", proxy.address));
    let client = Client::over(config(&server), &transport).unwrap();
    assert_eq!(client.activity(&query()).await.unwrap().rows.len(), 1);
    assert_eq!(
        proxy.asked(),
        [server.address.to_string()],
        "a configured proxy is used for this machine too"
    );
}

/// The environment belongs to the process, so a second one is started: this test again, which then finds the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn the_environments_proxy_is_used_but_never_for_this_machine() {
    const NAME: &str = "the_environments_proxy_is_used_but_never_for_this_machine";
    if let (Ok(ca_pem), Ok(here)) = (std::env::var("DUO_TEST_CA"), std::env::var("DUO_TEST_SERVER")) {
        let transport = Transport::new(TransportConfig {
            ca_pem: Some(ca_pem.into_bytes()),
            ..TransportConfig::default()
        })
        .unwrap();
        let duo = config_at(DUO);
        assert!(transport.proxy(&duo.host).unwrap().starts_with("http://127.0.0.1:"));
        for (config, proxied) in [
            (duo, true),
            (config_at(&here), false),
            (config_at("api-direct.example.com"), false),
        ] {
            assert_eq!(transport.proxy(&config.host).is_some(), proxied, "{}", config.host);
            if !config.host.name().starts_with("api-direct") {
                Client::over(config, &transport)
                    .unwrap()
                    .activity(&query())
                    .await
                    .unwrap();
            }
        }
        return;
    }
    let server = serve(vec![page_of("")]).await;
    let proxy = proxy::http(Some(USER), Manner::Carry(server.address)).await;
    let status = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env("DUO_TEST_CA", &server.ca_pem)
        .env("DUO_TEST_SERVER", server.address.to_string())
        .env("HTTPS_PROXY", format!("http://ann:p%40ss%3Aw0rd@{}", proxy.address))
        .env("NO_PROXY", "example.com")
        .status()
        .await
        .unwrap();
    assert!(status.success());
    assert_eq!(proxy.asked(), [format!("{DUO}:443")]);
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn what_a_proxy_does_wrong_is_said_of_the_proxy() {
    let server = serve(vec![page_of("")]).await;
    let closed = closed_door();
    let unused = closed.local_addr().unwrap();
    let carry = Manner::Carry(server.address);
    let http = proxy::http(Some(USER), carry).await.address;
    let socks = proxy::socks5(Some(USER), carry).await.address;
    let http_no = proxy::http(None, Manner::Refuse(2)).await.address;
    let socks_no = proxy::socks5(None, Manner::Refuse(2)).await.address;
    for (address, expected) in [
        (format!("http://{http}"), TransportKind::ProxyCredentials),
        (format!("http://ann:hunter2@{http}"), TransportKind::ProxyCredentials),
        (format!("socks5h://{socks}"), TransportKind::ProxyCredentials),
        (
            format!("socks5h://ann:hunter2@{socks}"),
            TransportKind::ProxyCredentials,
        ),
        (format!("http://{http_no}"), TransportKind::ProxyRefused),
        (format!("socks5h://{socks_no}"), TransportKind::ProxyRefused),
        (format!("http://ann:hunter2@{unused}"), TransportKind::ProxyUnreachable),
        (
            format!("socks5h://ann:hunter2@{unused}"),
            TransportKind::ProxyUnreachable,
        ),
        (
            format!("http://{}:3128", "x".repeat(64)),
            TransportKind::ProxyUnreachable,
        ),
    ] {
        let client = Client::over(config_at(DUO), &through(way(&server), &address)).unwrap();
        let (kind, text) = failure(&client).await;
        assert_eq!(kind, expected, "{address}: {text}");
        assert!(
            text.contains("proxy http://") || text.contains("proxy socks5h://"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
    // Every reply that SOCKS knows but success.
    for reply in 1..=8 {
        let proxy = proxy::socks5(None, Manner::Refuse(reply)).await;
        let transport = through(way(&server), &format!("socks5h://{}", proxy.address));
        let client = Client::over(config_at(DUO), &transport).unwrap();
        assert_eq!(failure(&client).await.0, TransportKind::ProxyRefused, "{reply}");
    }
    // Where we resolve the host's name, it is that name that is wrong.
    let transport = through(way(&server), &format!("socks5://{socks_no}"));
    let client = Client::over(config_at(&"x".repeat(64)), &transport).unwrap();
    assert_eq!(failure(&client).await.0, TransportKind::Dns);
}

#[tokio::test]
async fn every_way_in_which_a_certificate_is_wrong_has_a_name() {
    let answer = |_: usize, _: &Request| Reply::from(page_of(""));
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = certificate();
        change(&mut params);
        params
    };
    let expired = with(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = with(|params| params.not_before = date_time_ymd(2200, 1, 1));
    let other = CertificateParams::new(vec!["gateway.example.com".to_owned()]).unwrap();
    for (params, expected) in [
        (expired, TransportKind::Expired),
        (early, TransportKind::NotYetValid),
        (other, TransportKind::WrongName),
    ] {
        let server = serve_with(params, answer).await;
        let (kind, text) = failure(&client(&server)).await;
        assert_eq!(kind, expected, "{text}");
    }

    // Signed by somebody else than whom `ca_file` names.
    let (server, another) = (serve(vec![page_of("")]).await, serve(vec![page_of("")]).await);
    let transport = Transport::new(way(&another)).unwrap();
    let stranger = Client::over(config(&server), &transport).unwrap();
    let (kind, text) = failure(&stranger).await;
    assert_eq!(kind, TransportKind::UnknownIssuer, "{text}");
    assert!(text.contains("`ca_file`"), "{text}");

    // A bundle may hold more than one, with whatever stands between them.
    let ca_pem = Some(format!("# ours\n{}\n\n{}", another.ca_pem, server.ca_pem).into_bytes());
    let transport = Transport::new(TransportConfig { ca_pem, ..way(&server) }).unwrap();
    let both = Client::over(config(&server), &transport).unwrap();
    both.activity(&query()).await.unwrap();
}

#[tokio::test]
async fn closed_doors_strangers_and_silence_have_names() {
    let server = serve(vec![page_of("")]).await;
    let transport = Transport::new(TransportConfig {
        connect_timeout: Duration::from_millis(700),
        ..way(&server)
    })
    .unwrap();
    let at = |host: &str| Client::over(config_at(host), &transport).unwrap();

    let closed = closed_door();
    let address = closed.local_addr().unwrap().to_string();
    assert_eq!(failure(&at(&address)).await.0, TransportKind::Connect);
    // No name has a label of more than 63 letters, which is known without a network.
    assert_eq!(failure(&at(&"x".repeat(64))).await.0, TransportKind::Dns);
    // Somebody who speaks plain HTTP.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    assert_eq!(failure(&at(&address)).await.0, TransportKind::NotTls);
    // Somebody who accepts and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (kind, text) = failure(&at(&mute.local_addr().unwrap().to_string())).await;
    assert_eq!(kind, TransportKind::Connect, "{text}");
}

#[tokio::test]
async fn a_slow_answer_is_cut_off_however_steadily_it_drips() {
    for reply in [
        Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{".to_vec()),
        Reply::Drip(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            vec![b' '; 1000],
            Duration::from_millis(50),
        ),
        Reply::Drip(Vec::new(), b"HTTP/1.1 200 OK\r\n".repeat(50), Duration::from_millis(50)),
    ] {
        let server = serve_with(certificate(), move |_, _| reply.clone()).await;
        let transport = Transport::new(TransportConfig {
            timeout: Duration::from_millis(800),
            ..way(&server)
        })
        .unwrap();
        let client = Client::over(config(&server), &transport).unwrap();
        let begun = Instant::now();
        let (kind, text) = failure(&client).await;
        assert_eq!(kind, TransportKind::Timeout, "{text}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn compressed(body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Reply::Whole([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn answers_may_be_compressed_but_not_bombs() {
    let body = br#"{"response": {"items": [{"a": 1}]}, "stat": "OK"}"#;
    let server = serve_with(certificate(), move |number, _| match number {
        0 => compressed(&gzip(body)),
        1 => compressed(gzip(body).get(..30).unwrap()),
        _ => compressed(&gzip(&vec![b' '; 100 << 20])),
    })
    .await;
    let client = client(&server);
    assert_eq!(client.activity(&query()).await.unwrap().rows[0], r#"{"a": 1}"#);
    assert!(
        server.heads()[0].contains("accept-encoding: gzip"),
        "{}",
        server.heads()[0]
    );
    let broken = client.activity(&query()).await.unwrap_err();
    assert!(matches!(broken.kind(), Kind::Answer | Kind::Broken), "{broken}");
    let error = client.activity(&query()).await.unwrap_err();
    assert!(
        matches!(&error, DuoError::Malformed { why, .. } if why.contains("larger than")),
        "{error}"
    );
}

fn kept_page() -> Reply {
    let body = r#"{"response": {"items": []}, "stat": "OK"}"#;
    kept("200 OK", &format!("Date: {DATE}\r\n"), body).into()
}

#[tokio::test]
async fn a_connection_is_used_again_by_every_client_of_the_transport() {
    let server = serve_with(certificate(), |_, _| kept_page()).await;
    let transport = Transport::new(way(&server)).unwrap();
    for _ in 0..5 {
        let client = Client::over(config(&server), &transport).unwrap();
        client.activity(&query()).await.unwrap();
        client.telephony(&query()).await.unwrap();
    }
    assert_eq!(server.heads().len(), 10);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn idle_connections_are_few_and_do_not_stay() {
    let server = serve_with(certificate(), |_, _| {
        Reply::Drip(
            Vec::new(),
            match kept_page() {
                Reply::Whole(bytes) => bytes,
                _ => Vec::new(),
            },
            Duration::from_millis(2),
        )
    })
    .await;
    let transport = Transport::new(TransportConfig {
        keep_idle: Duration::from_millis(300),
        ..way(&server)
    })
    .unwrap();
    let client = std::sync::Arc::new(Client::over(config(&server), &transport).unwrap());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = client.clone();
        asking.spawn(async move { client.activity(&query()).await.map(|_| ()) });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        server.open.load(Ordering::SeqCst) <= 3,
        "{}",
        server.open.load(Ordering::SeqCst)
    );
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(server.open.load(Ordering::SeqCst), 0);
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_thousand_clients_on_one_transport_cost_next_to_nothing() {
    let transport = Transport::new(TransportConfig::default()).unwrap();
    let (before, begun) = (resident(), Instant::now());
    let clients: Vec<Client> = (0..1_000)
        .map(|number| Client::over(config_at(&format!("api-{number:08x}.duosecurity.com")), &transport).unwrap())
        .collect();
    let (grown, took) = (resident().saturating_sub(before), begun.elapsed());
    println!("1,000 clients: {} KiB, {took:?}", grown / 1024);
    assert_eq!(clients.len(), 1_000);
    assert!(grown < 8 << 20, "{grown} bytes");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
