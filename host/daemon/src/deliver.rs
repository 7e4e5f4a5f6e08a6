//! Moves alerts from the outbox to the sinks, in order, again and again until each is accepted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_judge::alerts;
use picket_sink::{FileSink, Rotation, Sink, StdoutSink, drain};
use picket_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::{SinkConfig, StdoutFormat};
use crate::daemon::lock;

/// How often the outbox is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// The longest pause after failures.
const AT_MOST: Duration = Duration::from_secs(60);

/// A sink and its name.
type Named = (String, Arc<Mutex<Box<dyn Sink>>>);

/// All sinks.
#[derive(Clone)]
pub(crate) struct Delivery {
    sinks: Vec<Named>,
    store: Arc<dyn Store>,
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Delivery {
    /// Opens every sink.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn open(configs: &[SinkConfig], store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let mut sinks: Vec<Named> = Vec::new();
        for config in configs {
            let (name, sink): (String, Box<dyn Sink>) = match config {
                SinkConfig::Stdout(StdoutFormat::Text) => {
                    let sink = StdoutSink::text(|row| format!("{}\n", alerts::text(&row.json, 0)));
                    ("stdout".to_owned(), Box::new(sink))
                }
                SinkConfig::Stdout(StdoutFormat::Ndjson) => ("stdout".to_owned(), Box::new(StdoutSink::ndjson())),
                SinkConfig::File { path, max_bytes, keep } => {
                    let rotation = Rotation {
                        max_bytes: *max_bytes,
                        keep: usize::try_from(*keep)?,
                    };
                    let name = format!("file {}", path.display());
                    (name, Box::new(FileSink::open(path, rotation)?))
                }
            };
            sinks.push((name, Arc::new(Mutex::new(sink))));
        }
        Ok(Delivery {
            sinks,
            store,
            troubles: Arc::default(),
        })
    }

    /// What each sink met last; empty: all is well.
    pub(crate) fn troubles(&self) -> BTreeMap<String, String> {
        lock(&self.troubles).clone()
    }

    /// Sinks by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().map(|(name, _)| name.as_str())
    }

    /// Delivers until cancelled. A sink that fails holds up no other.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let each = self
            .sinks
            .iter()
            .map(|(name, sink)| self.clone().one(name.clone(), sink.clone(), shutdown.clone()));
        let tasks: Vec<_> = each.map(tokio::spawn).collect();
        for task in tasks {
            let _ = task.await;
        }
    }

    async fn one(self, name: String, sink: Arc<Mutex<Box<dyn Sink>>>, shutdown: CancellationToken) {
        let mut pause = EVERY;
        loop {
            // Once more when it is over: what was committed until then need not wait for the next start.
            let is_last = shutdown.is_cancelled();
            let (store, sink, sink_name) = (self.store.clone(), sink.clone(), name.clone());
            let drained = tokio::task::spawn_blocking(move || drain(&*store, &mut **lock(&sink), &sink_name)).await;
            let trouble = match drained {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            match trouble {
                None => {
                    pause = EVERY;
                    lock(&self.troubles).remove(&name);
                }
                Some(trouble) => {
                    tracing::warn!(sink = name, "not delivered, tried again: {trouble}");
                    lock(&self.troubles).insert(name.clone(), trouble);
                    pause = (pause * 2).min(AT_MOST);
                }
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
