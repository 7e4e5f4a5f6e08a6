//! What systemd is told: that the daemon is ready, reloads, stops, how it is, and that it is alive.
//!
//! Where no service manager listens (`NOTIFY_SOCKET` is not set), nothing is said. The unit is `packaging/picket.service`.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::readiness;
use crate::daemon::Daemon;

/// How often the line in `systemctl status` is brought up to date, at least.
const EVERY: Duration = Duration::from_secs(10);

/// Speaks to the service manager.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Herald;

impl Herald {
    /// It runs, or has done with reloading.
    pub(crate) fn ready() {
        say(&[NotifyState::Ready]);
    }

    /// It reads its configuration again; [`Herald::ready`] must follow.
    pub(crate) fn reloading() {
        // Without the time, systemd takes the reload for failed.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            say(&[NotifyState::Reloading, now]);
        }
    }

    /// It ends.
    pub(crate) fn stopping() {
        say(&[
            NotifyState::Stopping,
            NotifyState::Status("finishing what is under way"),
        ]);
    }

    /// Says every now and then how it is, and, where systemd wants to hear that, that it is alive: as long as it is.
    pub(crate) async fn go_on(daemon: Arc<Daemon>, shutdown: CancellationToken) {
        let watchdog = sd_notify::watchdog_enabled();
        // Twice as often as must be.
        let every = watchdog
            .map_or(EVERY, |most| (most / 2).min(EVERY))
            .max(Duration::from_millis(100));
        loop {
            let status = readiness::line(&daemon);
            let mut states = vec![NotifyState::Status(&status)];
            if watchdog.is_some() && readiness::is_alive(&daemon.sight) {
                states.push(NotifyState::Watchdog);
            }
            say(&states);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
