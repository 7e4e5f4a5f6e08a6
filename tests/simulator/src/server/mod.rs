//! The server: a real HTTPS listener on loopback in front of [`State`], and a plain one for `/sim/` only.

mod accounts;
mod answer;
mod archive;
mod authenticate;
mod control;
mod faults;
mod info;
mod inventory;
mod limit;
mod load;
mod route;
mod row;
mod settings;
mod spoilt;
mod state;
mod tally;
mod template;
mod tls;
mod trust;
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

pub use accounts::Parent;
pub use answer::{ApiError, Gzip, Manner, Reply, Request};
pub use control::{Control, ControlError, Grant, Rotate, Run};
pub use faults::{Fault, FaultKind, IncompleteFault};
pub use route::Permission;
pub use settings::{Certificate, EmptyAuth, Limit, LimitClock, Settings, TotalObjects};
pub use state::State;
pub use tls::TlsError;

use crate::clock::Clock;
use crate::model::Account;
use wire::Door;

/// At most so many children have a host of their own; more share them in turn.
const HOSTS: usize = 64;

/// An account with keys of its own and the rows of another: many accounts in little memory.
#[derive(Clone)]
pub struct Twin {
    /// What it is called.
    pub name: String,
    /// Its integration key.
    pub ikey: String,
    /// Its secret key.
    pub skey: String,
    /// Whose rows it has: a place in [`Options::accounts`].
    pub of: usize,
}

impl std::fmt::Debug for Twin {
    /// Everything but the secret key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twin")
            .field("name", &self.name)
            .field("ikey", &self.ikey)
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}

/// What to serve.
#[derive(Debug)]
pub struct Options {
    /// The port for HTTPS; 0: any that is free.
    pub port: u16,
    /// The accounts. Each is known by its integration key.
    pub accounts: Vec<Account>,
    /// Further accounts with the rows of those.
    pub twins: Vec<Twin>,
    /// The parent of all of them, if they are children.
    pub parent: Option<Parent>,
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
            twins: Vec::new(),
            parent: None,
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
        let own = options.accounts.iter().map(|account| &account.ikey);
        let twins = options.twins.iter().map(|twin| &twin.ikey);
        let parent = options.parent.iter().map(|parent| &parent.ikey);
        for ikey in own.chain(twins).chain(parent) {
            if ikey.is_empty() || !known.insert(ikey.clone()) {
                return Err(StartError::Ikey(ikey.clone()));
            }
        }
        let identities = tls::Identities::make()?;
        let ca_pem = identities.ca_pem.clone();
        let wall_ms = jiff::Timestamp::now().as_millisecond();
        let clock = options
            .clock
            .unwrap_or_else(|| Clock::new(wall_ms, wall_ms, 1.0, false));
        let mut state = State::with(options.accounts, &options.twins, clock, options.settings);
        let (https, address) = listen(options.port).await?;
        let mut doors = vec![https];
        if let Some(parent) = options.parent {
            let mut hosts = Vec::new();
            for _ in 0..state.accounts.len().min(HOSTS) {
                let (listener, address) = listen(0).await?;
                doors.push(listener);
                hosts.push(address.to_string());
            }
            let accounts = state.accounts.iter().zip(hosts.iter().cycle());
            let child = |(account, host): (&state::Served, &String)| accounts::Child {
                account_id: account_id(&account.ikey),
                host: host.clone(),
            };
            let children = accounts.map(child).collect();
            state.family = Some(accounts::Family { parent, children });
        }
        let state = Arc::new(state);
        let tls = tls::config(identities, Arc::clone(&state))?;
        let (plain, control) = listen(0).await?;
        let door = |control_only| {
            Arc::new(Door {
                state: Arc::clone(&state),
                control_only,
            })
        };
        let mut listeners = vec![tokio::spawn(accept(plain, None, door(true)))];
        for https in doors {
            listeners.push(tokio::spawn(accept(https, Some(Arc::clone(&tls)), door(false))));
        }
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

    /// The accounts as the parent's list has them: name, `account_id`, `HOST:PORT`. Empty without a parent.
    #[must_use]
    pub fn children(&self) -> Vec<(String, String, String)> {
        let children = self.state.family.iter().flat_map(|family| &family.children);
        let named = self.state.accounts.iter().zip(children);
        named
            .map(|(account, child)| (account.name.clone(), child.account_id.clone(), child.host.clone()))
            .collect()
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

/// An account's id for the Accounts API: its key, told apart.
fn account_id(ikey: &str) -> String {
    format!("DA{}", ikey.strip_prefix("DI").unwrap_or(ikey))
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
