//! The connection to a syslog receiver.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::SyslogSettings;
use super::queue::unacknowledged;
use crate::fate::NoAddress;

/// How long between two looks at the send queue, at first; then twice as long each time, up to the second.
const LOOKS: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// The way to a receiver.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in clear.
    Tcp,
    /// A stream that nobody else reads, to a server that is known.
    Tls(Tls),
}

impl Transport {
    pub(super) fn is_stream(&self) -> bool {
        !matches!(self, Transport::Udp)
    }
}

/// Whom to trust, and as whom to come.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// In place of the host's.
    name: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// The server is verified by these authorities (PEM), or by the system's; `client`: certificate and key (PEM) that it may
    /// ask for; `name`: in place of the host's.
    ///
    /// # Errors
    /// What cannot be used, in words; never a key's text.
    pub fn new(ca: Option<&[u8]>, client: Option<(&[u8], &[u8])>, name: Option<String>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| format!("ca_file: it is no PEM: {error}"))?;
                    roots
                        .add(certificate)
                        .map_err(|error| format!("ca_file: a certificate cannot be used: {error}"))?;
                }
                if roots.is_empty() {
                    return Err("ca_file: there is no certificate in it".to_owned());
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(
                        "this system trusts no authority: install ca-certificates, or name a ca_file".to_owned(),
                    );
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
                let chain = chain.map_err(|error| format!("client_cert_file: it is no PEM: {error}"))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| "client_key_file: there is no private key in it (PEM)".to_owned())?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("client_cert_file and client_key_file: {error}"))?
            }
        };
        if let Some(name) = &name {
            ServerName::try_from(name.clone()).map_err(|_| format!("server_name: `{name}` is no name of a host"))?;
        }
        Ok(Tls {
            config: Arc::new(config),
            name,
        })
    }
}

/// An open connection.
pub(super) enum Wire {
    Udp(UdpSocket),
    Stream {
        socket: TcpStream,
        tls: Option<Box<ClientConnection>>,
        ends: (SocketAddr, SocketAddr),
        given_up: bool,
    },
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(super) fn open(settings: &SyslogSettings) -> std::io::Result<Self> {
        let addresses: Vec<SocketAddr> = settings
            .address
            .to_socket_addrs()
            .map_err(|error| std::io::Error::other(NoAddress(error)))?
            .collect();
        let mut failed = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match Wire::open_at(settings, address) {
                Ok(wire) => return Ok(wire),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn open_at(settings: &SyslogSettings, address: SocketAddr) -> std::io::Result<Self> {
        let tls = match &settings.transport {
            Transport::Udp => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                return Ok(Wire::Udp(socket));
            }
            Transport::Tcp => None,
            Transport::Tls(tls) => {
                let host = settings
                    .address
                    .rsplit_once(':')
                    .map_or(&*settings.address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = tls.name.clone().unwrap_or_else(|| host.to_owned());
                let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
                let connection = ClientConnection::new(tls.config.clone(), name).map_err(std::io::Error::other)?;
                Some(Box::new(connection))
            }
        };
        let mut socket = TcpStream::connect_timeout(&address, settings.timeout)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(settings.timeout))?;
        socket.set_write_timeout(Some(settings.timeout))?;
        let ends = (socket.local_addr()?, socket.peer_addr()?);
        let mut tls = tls;
        if let Some(tls) = &mut tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut socket)?;
            }
        }
        Ok(Wire::Stream {
            socket,
            tls,
            ends,
            given_up: false,
        })
    }

    /// Whether the receiver still listens: reads what it has said, which syslog gives no meaning.
    pub(super) fn is_open(&mut self) -> std::io::Result<bool> {
        let Wire::Stream {
            socket, tls, given_up, ..
        } = self
        else {
            return Ok(true);
        };
        if *given_up {
            return Ok(false);
        }
        socket.set_nonblocking(true)?;
        let open = loop {
            let read = match tls {
                None => socket.read(&mut [0; 1024]),
                Some(tls) => tls.read_tls(socket).and_then(|bytes| {
                    let state = tls.process_new_packets().map_err(std::io::Error::other)?;
                    let mut said = vec![0; state.plaintext_bytes_to_read()];
                    tls.reader().read_exact(&mut said)?;
                    Ok(if state.peer_has_closed() { 0 } else { bytes })
                }),
            };
            match read {
                Ok(0) => break Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        socket.set_nonblocking(false)?;
        open
    }

    /// Hands frames to the kernel, in order.
    pub(super) fn write<'a>(&mut self, frames: impl Iterator<Item = &'a Vec<u8>>) -> std::io::Result<()> {
        match self {
            Wire::Udp(socket) => {
                for frame in frames {
                    socket.send(frame)?;
                }
                Ok(())
            }
            Wire::Stream { socket, tls: None, .. } => {
                let all: Vec<u8> = frames.flatten().copied().collect();
                socket.write_all(&all)
            }
            Wire::Stream {
                socket, tls: Some(tls), ..
            } => {
                let all: Vec<u8> = frames.flatten().copied().collect();
                let mut stream = rustls::Stream::new(&mut **tls, socket);
                stream.write_all(&all)?;
                stream.flush()?;
                while tls.wants_write() {
                    tls.write_tls(socket)?;
                }
                Ok(())
            }
        }
    }

    /// Waits until the receiver's kernel has acknowledged everything. Where the system does not say, that it was written has to do.
    pub(super) fn wait_until_taken(&self, timeout: Duration) -> std::io::Result<()> {
        let Wire::Stream { ends, .. } = self else { return Ok(()) };
        let (began, mut pause) = (Instant::now(), LOOKS.0);
        while let Some(bytes) = unacknowledged(ends.0, ends.1).filter(|bytes| *bytes > 0) {
            if began.elapsed() > timeout {
                let what = format!("the receiver does not read: {bytes} bytes are not acknowledged");
                return Err(std::io::Error::new(ErrorKind::TimedOut, what));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOKS.1);
        }
        Ok(())
    }

    /// It is not to be used any more.
    pub(super) fn give_up(&mut self) {
        if let Wire::Stream { socket, given_up, .. } = self {
            *given_up = true;
            // It is broken, or else it is to be now.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}
