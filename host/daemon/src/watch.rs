//! Watches the rules directory: a file that has settled is read within a fraction of a second.

use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
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
    let directory = daemon.config().rules_dir.clone();
    let started = new_debouncer(SETTLED, None, move |seen: DebounceEventResult| {
        // A scan opens and reads the files itself: woken by that, it would follow itself for ever.
        let is_reading = seen.is_ok_and(|events| events.iter().all(|event| is_reading(event.kind)));
        if !is_reading {
            // Full: a scan is due anyway.
            let _ = wake.try_send(());
        }
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
            if let Err(error) = daemon.reload_rules().await {
                tracing::error!("reload: {error:#}");
            }
        }
    });
    Some(watcher)
}

/// Whether nothing but a look was taken at the file.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
