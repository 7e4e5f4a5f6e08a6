//! The server: a real HTTPS listener on loopback in front of [`State`], and a plain one for `/sim/` only.

mod answer;
mod archive;
mod control;
mod faults;
mod limit;
mod settings;
mod state;
mod tally;
mod tls;
mod v1;
mod v2;
mod wire;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use answer::{ApiError, Manner, Reply, Request};
pub use control::{Control, ControlError, Rotate, Run};
pub use faults::{Fault, FaultKind, IncompleteFault};
pub use settings::{EmptyAuth, Limit, Settings, TotalObjects};
pub use state::State;
pub use tls::TlsError;

use crate::clock::Clock;
use crate::model::Account;
use wire::Door;

/// What to serve.
#[derive(Debug)]
pub struct Options {
    /// The port for HTTPS; 0: any that is free.
    pub port: u16,
    /// The accounts. Each is known by its integration key.
    pub accounts: Vec<Account>,
    /// The simulated clock; none: the wall's.
    pub clock: Option<Clock>,
    /// Everything else.
    pub settings: Settings,
}

impl Options {
    /// These accounts on a free port, by the wall's clock, as Duo is believed to be.
    #[must_use]
    pub fn new(accounts: Vec<Account>) -> Self {
        Self {
            port: 0,
            accounts,
            clock: None,
            settings: Settings::default(),
        }
    }
}

/// The simulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two accounts would be taken for each other, or one for none.
    #[error("every account needs an integration key of its own: `{0}` is empty or used twice")]
    Ikey(String),
    /// The port cannot be had.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A simulator that serves until it is stopped or dropped.
pub struct Simulator {
    state: Arc<State>,
    address: SocketAddr,
    control: SocketAddr,
    ca_pem: String,
    listeners: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// Makes a CA, listens, and serves from then on. Needs a tokio runtime.
    ///
    /// # Errors
    /// If two accounts share an integration key, the port is taken, or TLS cannot be set up.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let mut known = HashSet::new();
        for account in &options.accounts {
            if account.ikey.is_empty() || !known.insert(account.ikey.clone()) {
                return Err(StartError::Ikey(account.ikey.clone()));
            }
        }
        let (tls, ca_pem) = tls::make()?;
        let wall_ms = jiff::Timestamp::now().as_millisecond();
        let clock = options
            .clock
            .unwrap_or_else(|| Clock::new(wall_ms, wall_ms, 1.0, false));
        let state = Arc::new(State::new(options.accounts, clock, options.settings));
        let (https, address) = listen(options.port).await?;
        let (plain, control) = listen(0).await?;
        let door = |control_only| {
            Arc::new(Door {
                state: Arc::clone(&state),
                control_only,
            })
        };
        let listeners = vec![
            tokio::spawn(accept(https, Some(tls), door(false))),
            tokio::spawn(accept(plain, None, door(true))),
        ];
        Ok(Self {
            state,
            address,
            control,
            ca_pem,
            listeners,
        })
    }

    /// `127.0.0.1:PORT`: what a client is configured with.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `http://127.0.0.1:PORT`: the same `/sim/…` without TLS, for who has none at hand.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The certificate of the authority to trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What is behind the sockets: controls and status without a detour over HTTP.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Ends all listeners and connections.
    pub async fn stop(mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            listener.abort();
            // Cancelled, as it shall be.
            let _ = listener.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // An error here is one connection's, or a shortage that passes.
        let Ok((tcp, peer)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        connections.spawn(connection(tcp, tls.clone(), Arc::clone(&door), peer.ip()));
    }
}

async fn connection(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, door: Arc<Door>, peer: IpAddr) {
    let _ = tcp.set_nodelay(true);
    match tls {
        None => wire::serve(tcp, |tcp| tcp, door, peer).await,
        Some(config) => {
            // A client that does not trust the CA ends here; that is its own to report.
            if let Ok(stream) = TlsAcceptor::from(config).accept(tcp).await {
                wire::serve(stream, |stream| stream.get_ref().0, door, peer).await;
            }
        }
    }
}
