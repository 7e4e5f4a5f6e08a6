//! A network that fails when it is told to: a TCP proxy between Picket and whatever it talks to.
//!
//! It knows nothing of what it carries. What is in force is decided when a connection is made, but for [`Fault::Stall`] and
//! [`Fault::Reset`], which take hold of those that are open, too. It also notes when connections come: that is how the driver
//! knows when a restarted daemon first turned to Duo.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// It works.
    #[default]
    None,
    /// Connections are reset: those that are open, and each new one at once.
    Reset,
    /// Nothing comes through any more, in no direction, and nothing is closed.
    Stall,
    /// The other side says that it has nothing more to say, before it has said anything, and goes on listening.
    HalfClose,
    /// Everything takes so much longer, each way.
    Delay(Duration),
    /// The answer ends after so many bytes.
    Truncate(usize),
}

/// A proxy to one address. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    seen: Arc<Mutex<Vec<Instant>>>,
    _runtime: Runtime,
}

impl Proxy {
    /// Listens on a port of its own.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn to(upstream: &str) -> Self {
        let upstream: SocketAddr = upstream.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, known) = watch::channel(Fault::None);
        let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let noted = seen.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                noted.lock().unwrap().push(Instant::now());
                tokio::spawn(carry(client, upstream, known.clone()));
            }
        });
        Proxy {
            address,
            fault,
            seen,
            _runtime: runtime,
        }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// From now on the network does this.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// When the first connection after this moment came.
    #[must_use]
    pub fn first_since(&self, moment: Instant) -> Option<Instant> {
        let seen = self.seen.lock().unwrap();
        let at = seen.partition_point(|at| *at < moment);
        seen.get(at).copied()
    }

    /// How many connections have come.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn carry(client: TcpStream, upstream: SocketAddr, fault: watch::Receiver<Fault>) {
    let now = *fault.borrow();
    if now == Fault::Reset {
        return reset(&client);
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    if now == Fault::HalfClose {
        let _ = to_client.shutdown().await;
    }
    let most = if let Fault::Truncate(bytes) = now {
        bytes
    } else {
        usize::MAX
    };
    let delay = if let Fault::Delay(delay) = now {
        delay
    } else {
        Duration::ZERO
    };
    let way = |from, to, most| Way {
        from,
        to,
        most,
        delay,
        fault: fault.clone(),
    };
    let (up, down) = (
        way(from_client, to_server, usize::MAX),
        way(from_server, to_client, most),
    );
    // Whoever says that it is through is believed; what the other still has to say is waited for.
    tokio::join!(up.go(), down.go());
}

/// Closes with a reset in place of a farewell.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One direction.
struct Way {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    /// Bytes, after which it ends.
    most: usize,
    delay: Duration,
    fault: watch::Receiver<Fault>,
}

impl Way {
    async fn go(mut self) {
        let mut bytes = vec![0; 16 << 10];
        let mut left = self.most;
        let mut reset_by = self.fault.clone();
        loop {
            let read = tokio::select! {
                read = self.from.read(&mut bytes) => read,
                _ = reset_by.wait_for(|fault| *fault == Fault::Reset) => return reset(self.from.as_ref()),
            };
            let Ok(read @ 1..) = read else { break };
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            // A line that stalls does so until it works again; what it holds is not lost.
            if self.fault.wait_for(|fault| *fault != Fault::Stall).await.is_err() {
                return;
            }
            let taken = read.min(left);
            if self.to.write_all(&bytes[..taken]).await.is_err() {
                return;
            }
            left -= taken;
            if left == 0 {
                break;
            }
        }
        let _ = self.to.shutdown().await;
    }
}
