//! Proxies that really carry the connection: HTTP CONNECT and SOCKS5, with and without user name and password.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub struct Proxy {
    pub address: SocketAddr,
    /// What was asked for, `host:port`, in order; only what was let through.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a proxy does with whoever may use it.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Connects to this address, whatever name was asked for.
    Carry(SocketAddr),
    /// Says no: a SOCKS proxy with this reply, an HTTP proxy with 403.
    Refuse(u8),
}

/// An HTTP proxy. `credentials`: `user:password` that it wants.
pub async fn http(credentials: Option<&'static str>, manner: Manner) -> Proxy {
    run(move |stream, asked| carry_http(stream, asked, credentials, manner)).await
}

/// A SOCKS5 proxy. `credentials`: `user:password` that it wants.
pub async fn socks5(credentials: Option<&'static str>, manner: Manner) -> Proxy {
    run(move |stream, asked| carry_socks5(stream, asked, credentials, manner)).await
}

async fn run<F, R>(serve: F) -> Proxy
where
    F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> R + Send + 'static,
    R: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy {
        address: listener.local_addr().unwrap(),
        asked: Arc::default(),
    };
    let asked = proxy.asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, asked.clone()));
        }
    });
    proxy
}

async fn carry_http(
    mut stream: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    credentials: Option<&'static str>,
    manner: Manner,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let wanted = credentials.map(|credentials| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        format!("proxy-authorization: basic {}", encoded.to_ascii_lowercase())
    });
    if wanted.is_some_and(|wanted| !head.to_ascii_lowercase().contains(&wanted)) {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(answer.as_bytes()).await;
    }
    let Manner::Carry(upstream) = manner else {
        return stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    asked.lock().unwrap().push(target.to_owned());
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    through(stream, upstream).await
}

async fn carry_socks5(
    mut stream: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    credentials: Option<&'static str>,
    manner: Manner,
) -> std::io::Result<()> {
    // RFC 1928: version, methods.
    assert_eq!(stream.read_u8().await?, 5);
    let methods = sized(&mut stream).await?;
    match credentials {
        None => stream.write_all(&[5, 0]).await?,
        Some(_) if !methods.contains(&2) => return stream.write_all(&[5, 0xff]).await,
        Some(credentials) => {
            stream.write_all(&[5, 2]).await?;
            // RFC 1929: version, user name, password.
            assert_eq!(stream.read_u8().await?, 1);
            let user = String::from_utf8(sized(&mut stream).await?).unwrap();
            let password = String::from_utf8(sized(&mut stream).await?).unwrap();
            let is_right = format!("{user}:{password}") == credentials;
            stream.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(());
            }
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await?;
            Ipv4Addr::from(bytes).to_string()
        }
        3 => String::from_utf8(sized(&mut stream).await?).unwrap(),
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await?;
    let upstream = match manner {
        Manner::Carry(upstream) => upstream,
        Manner::Refuse(reply) => {
            return stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    };
    asked.lock().unwrap().push(format!("{host}:{port}"));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    through(stream, upstream).await
}

/// A length in one byte, and so many bytes.
async fn sized(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn through(mut stream: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream)
        .await
        .map(|_| ())
}
