//! What the operating system tells the daemon: to reload, and to end.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;

use super::{Daemon, Trigger};

/// The signals that end it.
pub(super) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// One of them comes.
    pub(super) async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signals that mean something to it. Those that come before somebody waits for them are not lost.
pub(super) struct Signals {
    ends: Ends,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            ends: Ends {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that ends it, and reloads at others.
    pub(super) async fn last(mut self, daemon: &Arc<Daemon>, tasks: &TaskTracker) -> Ends {
        loop {
            tokio::select! {
                () = self.ends.again() => return self.ends,
                // Beside this loop: a thousand tenants take their time, and the next signal may be the one to stop.
                _ = self.hang_up.recv() => {
                    let daemon = daemon.clone();
                    tasks.spawn(async move {
                        daemon.reload(&Trigger::Signal).await;
                    });
                }
            }
        }
    }
}
