//! Moves alerts from the outbox to the sinks, in order, again and again until each is accepted.
//!
//! Sinks come, go and change while the daemon runs. A sink is known by its name (`stdout`, `file PATH`), and by that name the
//! store knows how far it has come: one that is taken out and put back goes on where it stopped, and one that is new is given
//! everything the store holds, the oldest first. A change of its settings leaves it where it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_judge::alerts;
use picket_sink::{FileSink, Rotation, Sink, SinkError, StdoutSink, drain};
use picket_store::{OutboxRow, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{SinkConfig, StdoutFormat};
use crate::daemon::lock;

/// How often the outbox is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// The longest pause after failures.
const AT_MOST: Duration = Duration::from_secs(60);
/// How long a sink that is taken out may take to finish what it is at.
const FINISHING: Duration = Duration::from_secs(5);

/// A sink at work.
struct Lane {
    name: String,
    config: SinkConfig,
    sink: Arc<Mutex<Opened>>,
    /// It is taken out.
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// A sink that can be written to.
enum Opened {
    Stdout(StdoutSink),
    File(FileSink),
}

/// What a change of the sinks comes to; everything that can fail has been done.
pub(crate) struct Changed {
    lanes: Vec<(SinkConfig, Option<Opened>)>,
    /// What changes, in words.
    pub(crate) words: Vec<String>,
}

/// All sinks.
pub(crate) struct Delivery {
    lanes: Mutex<Vec<Lane>>,
    store: Arc<dyn Store>,
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
    /// What ends everything; none: delivery has not begun.
    shutdown: Mutex<Option<CancellationToken>>,
}

impl Opened {
    fn open(config: &SinkConfig) -> Result<Self, SinkError> {
        Ok(match config {
            SinkConfig::Stdout(StdoutFormat::Text) => {
                Opened::Stdout(StdoutSink::text(|row| format!("{}\n", alerts::text(&row.json, 0))))
            }
            SinkConfig::Stdout(StdoutFormat::Ndjson) => Opened::Stdout(StdoutSink::ndjson()),
            SinkConfig::File { path, max_bytes, keep } => {
                Opened::File(FileSink::open(path, rotation(*max_bytes, *keep))?)
            }
        })
    }

    /// The same sink under other settings.
    fn change(&mut self, config: &SinkConfig) {
        match (self, config) {
            (Opened::File(file), SinkConfig::File { max_bytes, keep, .. }) => {
                file.rotate_by(rotation(*max_bytes, *keep))
            }
            (this, config) => {
                // Standard output is always there.
                if let Ok(opened) = Opened::open(config) {
                    *this = opened;
                }
            }
        }
    }
}

fn rotation(max_bytes: u64, keep: u32) -> Rotation {
    Rotation {
        max_bytes,
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
    }
}

impl Sink for Opened {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Result<(), SinkError> {
        match self {
            Opened::Stdout(stdout) => stdout.deliver(rows),
            Opened::File(file) => file.deliver(rows),
        }
    }
}

impl Delivery {
    /// Opens every sink.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn open(configs: &[SinkConfig], store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let mut lanes = Vec::new();
        for config in configs {
            lanes.push(Lane::new(config.clone(), Opened::open(config)?));
        }
        Ok(Delivery {
            lanes: Mutex::new(lanes),
            store,
            troubles: Arc::default(),
            shutdown: Mutex::default(),
        })
    }

    /// What each sink met last; empty: all is well.
    pub(crate) fn troubles(&self) -> BTreeMap<String, String> {
        lock(&self.troubles).clone()
    }

    /// Sinks by name.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.lanes).iter().map(|lane| lane.name.clone()).collect()
    }

    /// Delivers until cancelled. A sink that fails holds up no other.
    pub(crate) fn begin(&self, shutdown: &CancellationToken) {
        *lock(&self.shutdown) = Some(shutdown.clone());
        for lane in lock(&self.lanes).iter_mut() {
            self.start(lane, shutdown);
        }
    }

    /// Waits until every sink has ended.
    pub(crate) async fn ended(&self) {
        let tasks: Vec<JoinHandle<()>> = lock(&self.lanes)
            .iter_mut()
            .filter_map(|lane| lane.task.take())
            .collect();
        for task in tasks {
            let _ = task.await;
        }
    }

    /// Other sinks: opens what is new. Nothing is changed before [`Delivery::change`].
    ///
    /// # Errors
    /// Every sink that cannot be opened.
    pub(crate) fn prepare(&self, configs: &[SinkConfig]) -> Result<Changed, Vec<String>> {
        let lanes = lock(&self.lanes);
        let (mut prepared, mut words, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for config in configs {
            match lanes.iter().find(|lane| lane.name == config.name()) {
                Some(lane) => {
                    if lane.config != *config {
                        words.push(format!("{}: other settings", lane.name));
                    }
                    prepared.push((config.clone(), None));
                }
                None => match Opened::open(config) {
                    Ok(opened) => {
                        words.push(format!("{}: added", config.name()));
                        prepared.push((config.clone(), Some(opened)));
                    }
                    Err(error) => wrong.push(error.to_string()),
                },
            }
        }
        let is_gone = |lane: &&Lane| configs.iter().all(|config| config.name() != lane.name);
        words.extend(
            lanes
                .iter()
                .filter(is_gone)
                .map(|lane| format!("{}: taken out", lane.name)),
        );
        if wrong.is_empty() {
            Ok(Changed { lanes: prepared, words })
        } else {
            Err(wrong)
        }
    }

    /// Puts other sinks in place: what is new begins, what is gone finishes what it is at.
    pub(crate) async fn change(&self, changed: Changed) {
        let mut gone = Vec::new();
        {
            let mut lanes = lock(&self.lanes);
            let mut before = std::mem::take(&mut *lanes);
            for (config, opened) in changed.lanes {
                let name = config.name();
                let lane = match (before.iter().position(|lane| lane.name == name), opened) {
                    (Some(at), _) => {
                        let mut lane = before.swap_remove(at);
                        if lane.config != config {
                            lock(&lane.sink).change(&config);
                            lane.config = config;
                        }
                        lane
                    }
                    (None, Some(opened)) => {
                        let mut lane = Lane::new(config, opened);
                        if let Some(shutdown) = &*lock(&self.shutdown) {
                            self.start(&mut lane, shutdown);
                        }
                        lane
                    }
                    (None, None) => continue,
                };
                lanes.push(lane);
            }
            gone.append(&mut before);
        }
        for mut lane in gone {
            lane.stop.cancel();
            if let Some(task) = lane.task.take()
                && tokio::time::timeout(FINISHING, task).await.is_err()
            {
                tracing::warn!(sink = lane.name, "taken out, and still busy with what it was given");
            }
            lock(&self.troubles).remove(&lane.name);
        }
    }

    fn start(&self, lane: &mut Lane, shutdown: &CancellationToken) {
        let work = Work {
            name: lane.name.clone(),
            sink: lane.sink.clone(),
            store: self.store.clone(),
            troubles: self.troubles.clone(),
        };
        lane.stop = shutdown.child_token();
        lane.task = Some(tokio::spawn(work.run(lane.stop.clone())));
    }
}

impl Lane {
    fn new(config: SinkConfig, opened: Opened) -> Self {
        Lane {
            name: config.name(),
            config,
            sink: Arc::new(Mutex::new(opened)),
            stop: CancellationToken::new(),
            task: None,
        }
    }
}

/// What delivering to one sink needs.
struct Work {
    name: String,
    sink: Arc<Mutex<Opened>>,
    store: Arc<dyn Store>,
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Work {
    async fn run(self, stop: CancellationToken) {
        let mut pause = EVERY;
        loop {
            // Once more when it is over: what was committed until then need not wait for the next start.
            let is_last = stop.is_cancelled();
            let (store, sink, name) = (self.store.clone(), self.sink.clone(), self.name.clone());
            let drained = tokio::task::spawn_blocking(move || drain(&*store, &mut *lock(&sink), &name)).await;
            let trouble = match drained {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            match trouble {
                None => {
                    pause = EVERY;
                    lock(&self.troubles).remove(&self.name);
                }
                Some(trouble) => {
                    tracing::warn!(sink = self.name, "not delivered, tried again: {trouble}");
                    lock(&self.troubles).insert(self.name.clone(), trouble);
                    pause = (pause * 2).min(AT_MOST);
                }
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
