//! Receivers: a syslog server that dies, one that is not there, one that takes datagrams, and a webhook. Debian's rsyslog and
//! syslog-ng are in tests/e2e/tests/receivers.rs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use picket_sink::{
    Courier, Framing, Message, SigningSecret, Sink, SyslogSettings, SyslogSink, Transport, WebhookSink, WebhookWay,
};
use picket_store::conformance::alert;
use picket_store::{AlertRow, LetterFilter, SqliteStore, Store as _, Transaction};

const PATIENCE: Duration = Duration::from_secs(60);

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn store(alerts: impl IntoIterator<Item = AlertRow>) -> SqliteStore {
    let store = SqliteStore::in_memory().unwrap();
    raise(&store, alerts);
    store
}

fn raise(store: &SqliteStore, alerts: impl IntoIterator<Item = AlertRow>) {
    let alerts = alerts.into_iter().collect();
    let transaction = Transaction {
        alerts,
        ..Transaction::default()
    };
    store.transact("acme", transaction).unwrap();
}

/// Alerts with what is hard to carry in them.
fn odd(numbers: std::ops::Range<usize>) -> impl Iterator<Item = AlertRow> {
    numbers.map(|number| {
        let id = format!("al_{number:016}");
        let title = format!("ü€😀 \"{number}\" ] \\ | = end");
        AlertRow {
            json: serde_json::json!({"id": id, "title": title}).to_string().into(),
            ..alert(&id, "r", "ada", 1_795_341_600_000)
        }
    })
}

fn syslog(port: u16, transport: Transport, framing: Framing) -> SyslogSink {
    SyslogSink::new(SyslogSettings {
        address: format!("127.0.0.1:{port}"),
        transport,
        framing,
        message: Message {
            facility: 10,
            hostname: "picket-1".into(),
            cef: false,
        },
        timeout: Duration::from_secs(20),
    })
}

/// Delivers until nothing waits; the last trouble, if it does not come to that.
fn deliver(courier: &mut Courier, store: &SqliteStore, sink: &mut dyn Sink, now: i64) -> Option<String> {
    loop {
        let step = courier.step(store, sink, &|_| true, now).unwrap();
        if step.trouble.is_some() || !step.more {
            return step.trouble;
        }
    }
}

#[test]
fn a_receiver_that_dies_with_what_it_had_not_read_gets_it_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = store(odd(0..50));
    let mut sink = syslog(port, Transport::Tcp, Framing::Lines);
    let mut courier = Courier::open(&store, "tcp", true).unwrap();
    assert_eq!(deliver(&mut courier, &store, &mut sink, 1), None);
    assert!(store.outbox("tcp", 1).unwrap().is_empty(), "its kernel has it");
    // It reads nothing and dies.
    drop(listener.accept().unwrap().0);
    raise(&store, odd(50..60));
    let accepted = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let lines = reader.by_ref().lines().take(60);
        // It stays open: who hangs up at once is sent everything again.
        (lines.map(|line| line.unwrap()).collect::<Vec<_>>(), reader)
    });
    // That the connection is broken may show at the first try or at the second.
    let tries = [1, 1_000_000].map(|now| deliver(&mut courier, &store, &mut sink, now));
    assert_eq!(tries[1], None);
    let (lines, _open) = accepted.join().unwrap();
    for (line, alert) in lines.iter().zip(odd(0..60)) {
        assert!(line.ends_with(&*alert.json), "{line}");
    }
    assert_eq!(lines.len(), 60);
}

#[test]
fn a_receiver_that_does_not_listen_costs_a_try_and_nothing_is_lost() {
    let port = free_port();
    let store = store(odd(0..5));
    let mut sink = syslog(port, Transport::Tcp, Framing::OctetCounting);
    let mut courier = Courier::open(&store, "tcp", true).unwrap();
    assert!(deliver(&mut courier, &store, &mut sink, 1).unwrap().contains("refused"));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(deliver(&mut courier, &store, &mut sink, 100_000), None);
    drop(sink);
    let text = reader.join().unwrap();
    let mut rest = text.as_str();
    for alert in odd(0..5) {
        let (length, after) = rest.split_once(' ').unwrap();
        let (message, next) = after.split_at(length.parse().unwrap());
        assert!(
            message.starts_with("<83>1 ") && message.ends_with(&*alert.json),
            "{message}"
        );
        rest = next;
    }
    assert_eq!(rest, "");
}

#[test]
fn a_datagram_is_no_longer_than_everybody_takes() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let long = AlertRow {
        json: serde_json::json!({"id": "al_1", "title": "ü".repeat(4000)})
            .to_string()
            .into(),
        ..alert("al_1", "r", "ada", 1)
    };
    let store = store([long, alert("al_2", "r", "ada", 500)]);
    let mut sink = syslog(socket.local_addr().unwrap().port(), Transport::Udp, Framing::Lines);
    let mut courier = Courier::open(&store, "udp", true).unwrap();
    assert_eq!(deliver(&mut courier, &store, &mut sink, 1), None);
    let receive = || {
        let mut buffer = [0; 65536];
        let bytes = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    };
    let (first, second) = (receive(), receive());
    assert!(
        first.len() <= 2048 && first.len() > 2040 && first.contains("truncated=\"1\""),
        "{first}"
    );
    assert!(
        second.ends_with("{\"id\":\"al_2\"}") && !second.contains("truncated"),
        "{second}"
    );
}

/// What a webhook got, and what it answers: a status, and when to come again.
#[derive(Default)]
struct Hook {
    got: Vec<(HeaderMap, String)>,
    answers: Vec<(u16, Option<&'static str>)>,
}

type Shared = Arc<Mutex<Hook>>;

async fn hook(State(hook): State<Shared>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap, &'static str) {
    let mut hook = hook.lock().unwrap();
    hook.got.push((headers, body));
    let (status, wait) = if hook.answers.is_empty() {
        (204, None)
    } else {
        hook.answers.remove(0)
    };
    let mut headers = HeaderMap::new();
    if let Some(wait) = wait {
        headers.insert("retry-after", wait.parse().unwrap());
    }
    (StatusCode::from_u16(status).unwrap(), headers, "")
}

#[test]
fn a_webhook_is_signed_and_each_answer_means_what_it_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shared = Shared::default();
    let router = axum::Router::new()
        .route("/picket", axum::routing::post(hook))
        .with_state(shared.clone());
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });
    let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the secret that was before"];
    let secrets = secrets.map(|text| SigningSecret::new(text).unwrap()).into();
    let way = WebhookWay {
        timeout: Duration::from_secs(20),
        ..WebhookWay::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{address}/picket");
    let mut sink = WebhookSink::new(&url, secrets, &way, runtime.handle().clone()).unwrap();
    let store = store(odd(0..2));
    let mut courier = Courier::open(&store, "hook", true).unwrap();
    assert_eq!(deliver(&mut courier, &store, &mut sink, 1), None);
    let got = || shared.lock().unwrap().got.len();
    assert_eq!(got(), 2);
    {
        let hook = shared.lock().unwrap();
        let (headers, body) = &hook.got[1];
        let expected = odd(1..2).next().unwrap();
        assert_eq!(
            (headers["webhook-id"].to_str().unwrap(), body.as_str()),
            (&*expected.id, &*expected.json)
        );
        let signatures = headers["webhook-signature"].to_str().unwrap();
        assert_eq!(
            signatures.split(' ').filter(|one| one.starts_with("v1,")).count(),
            2,
            "{signatures}"
        );
        let time: i64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        assert!(time > 1_700_000_000);
    }
    let mut now = 1_000_000;
    let mut meets = |status: u16, wait: Option<&'static str>, number: usize| {
        shared.lock().unwrap().answers.push((status, wait));
        raise(&store, odd(number..number + 1));
        now += 10_000_000;
        let trouble = deliver(&mut courier, &store, &mut sink, now);
        let row = courier.row().clone();
        // Whatever it was, it is over.
        now += 10_000_000;
        if !row.disabled {
            assert_eq!(deliver(&mut courier, &store, &mut sink, now), None);
        }
        (trouble, row, now - 10_000_000)
    };
    let (trouble, row, at) = meets(503, Some("300"), 10);
    assert_eq!(trouble.as_deref(), Some("acme: HTTP 503 Service Unavailable"));
    assert_eq!(
        row.lanes[0].patience.next_try,
        Some(at + 300_000),
        "the tenant's lane alone"
    );
    let (trouble, row, at) = meets(429, Some("120"), 11);
    assert!(trouble.unwrap().contains("429") && row.patience.next_try == Some(at + 120_000));
    let (trouble, row, _) = meets(401, None, 12);
    assert!(trouble.unwrap().contains("secret") && row.patience.attempts == 1);
    let (trouble, _, _) = meets(302, None, 13);
    assert!(trouble.unwrap().contains("elsewhere"));
    let letters = || {
        let filter = LetterFilter {
            limit: 10,
            ..LetterFilter::default()
        };
        store.letters(&filter).unwrap()
    };
    assert!(letters().is_empty(), "nothing was given up");
    let (trouble, _, _) = meets(413, None, 14);
    assert_eq!(trouble, None);
    assert_eq!(&*letters()[0].reason, "HTTP 413 Payload Too Large");
    let (trouble, row, _) = meets(410, None, 15);
    assert!(trouble.unwrap().contains("410") && row.disabled);
    assert_eq!(letters().len(), 2);
    let ids: Vec<String> = shared
        .lock()
        .unwrap()
        .got
        .iter()
        .map(|(headers, _)| headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    // Two at first; four that were sent again; two that were not.
    assert_eq!(ids.len(), 2 + 4 * 2 + 2);
    assert_eq!(ids[2], ids[3]);
}
