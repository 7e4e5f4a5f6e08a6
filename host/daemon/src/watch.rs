//! Watches the rules directory: a file that has settled is read within a fraction of a second.

use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{Debouncer, RecommendedCache, new_debouncer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::daemon::Daemon;

/// How long a file must be left alone before it is read.
const SETTLED: Duration = Duration::from_millis(100);

/// Watches until the watcher is dropped. None: the directory cannot be watched; `picket reload` still works.
pub(crate) fn watch(
    daemon: Arc<Daemon>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Option<Debouncer<RecommendedWatcher, RecommendedCache>> {
    let (wake, mut woken) = tokio::sync::mpsc::channel::<()>(1);
    let directory = daemon.config.rules_dir.clone();
    let started = new_debouncer(SETTLED, None, move |_| {
        // Full: a scan is due anyway.
        let _ = wake.try_send(());
    });
    let watching = started.and_then(|mut watcher| {
        watcher.watch(&directory, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    let watcher = match watching {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(
                "{}: changes are not seen ({error}); use `picket reload`",
                directory.display()
            );
            return None;
        }
    };
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                woken = woken.recv() => if woken.is_none() { return },
            }
            if let Err(error) = daemon.reload().await {
                tracing::error!("reload: {error:#}");
            }
        }
    });
    Some(watcher)
}
