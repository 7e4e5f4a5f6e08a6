//! A TLS server of our own: what goes over the wire is seen, and what comes back is decided byte by byte.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod proxy;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_duo::{Client, ClientConfig, Offset, Query, Transport, TransportConfig};
use rcgen::CertificateParams;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

pub const IKEY: &str = "DIFAKE0000TESTVECTOR";
pub const SECRET: &str = "fakeFAKEfakeFAKEfakeFAKEfakeFAKEfake0000";
pub const NOW: i64 = 1_782_896_707_000;
pub const DATE: &str = "Wed, 01 Jul 2026 09:05:07 GMT";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: String,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes; the connection stays open for the next request unless they say `Connection: close`.
    Whole(Vec<u8>),
    /// These bytes, and then the end of the connection.
    Cut(Vec<u8>),
    /// These bytes, and then silence.
    Hang(Vec<u8>),
    /// The first at once, then the second, byte by byte with so long a pause in between.
    Drip(Vec<u8>, Vec<u8>, Duration),
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Reply::Whole(text.into_bytes())
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub ca_pem: String,
    pub seen: Arc<Mutex<Vec<Request>>>,
    /// Connections accepted so far.
    pub connections: Arc<AtomicUsize>,
    /// Connections open now.
    pub open: Arc<AtomicUsize>,
}

impl Server {
    pub fn heads(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| request.head.clone()).collect()
    }
}

/// A certificate that is valid now for 127.0.0.1 and what a test calls Duo.
pub fn certificate() -> CertificateParams {
    CertificateParams::new(vec!["127.0.0.1".to_owned(), "api-00000000.duosecurity.com".to_owned()]).unwrap()
}

/// Answers the n-th request with the n-th text, byte for byte; the last one again and again.
pub async fn serve(answers: Vec<String>) -> Server {
    serve_with(certificate(), move |number, _| {
        answers.get(number).or(answers.last()).unwrap().clone().into()
    })
    .await
}

/// A server with this certificate that answers as it is told: by the request's number and the request.
pub async fn serve_with(
    params: CertificateParams,
    answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
) -> Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        ca_pem: made.pem(),
        seen: Arc::default(),
        connections: Arc::default(),
        open: Arc::default(),
    };
    let (seen, connections, open) = (server.seen.clone(), server.connections.clone(), server.open.clone());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, seen, answer, open) = (acceptor.clone(), seen.clone(), answer.clone(), open.clone());
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::SeqCst);
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = converse(stream, &seen, &*answer).await;
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    server
}

async fn converse(
    mut stream: TlsStream<TcpStream>,
    seen: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(usize, &Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let request = Request {
            head,
            body: String::from_utf8(body).unwrap(),
        };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        match answer(number, &request) {
            Reply::Whole(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                if String::from_utf8_lossy(&bytes).contains("Connection: close") {
                    return stream.shutdown().await;
                }
            }
            Reply::Cut(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Reply::Hang(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_secs(600)).await;
            }
            Reply::Drip(first, slow, pause) => {
                stream.write_all(&first).await?;
                for byte in slow {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// An answer with its length, after which the connection is kept.
pub fn kept(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// An answer with its length, after which the connection is closed.
pub fn http(status: &str, headers: &str, body: &str) -> String {
    kept(status, &format!("Connection: close\r\n{headers}"), body)
}

pub fn page_of(rows: &str) -> String {
    http(
        "200 OK",
        &format!("Date: {DATE}\r\n"),
        &format!(r#"{{"response": {{"items": [{rows}]}}, "stat": "OK"}}"#),
    )
}

/// Who asks, at a host.
pub fn config_at(host: &str) -> ClientConfig {
    let mut config = ClientConfig::new(host.parse().unwrap(), IKEY, SECRET.to_owned().into());
    config.now = Arc::new(|| NOW);
    config
}

pub fn config(server: &Server) -> ClientConfig {
    config_at(&server.address.to_string())
}

/// The way to a server, whose certificate is trusted.
pub fn way(server: &Server) -> TransportConfig {
    TransportConfig {
        ca_pem: Some(server.ca_pem.clone().into_bytes()),
        timeout: Duration::from_secs(20),
        ..TransportConfig::default()
    }
}

pub fn client_of(config: ClientConfig, server: &Server) -> Client {
    Client::over(config, &Transport::new(way(server)).unwrap()).unwrap()
}

pub fn client(server: &Server) -> Client {
    client_of(config(server), server)
}

pub fn query() -> Query {
    Query {
        mintime: 1_782_896_400_000,
        maxtime: 1_782_896_520_000,
        limit: 1000,
        offset: Some(Offset::new("1532951895000,af0ba235")),
    }
}
