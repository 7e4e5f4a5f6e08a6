//! Moves alerts from the outbox to the sinks, in order, again and again until each is accepted.
//!
//! Each sink has a thread of its own: one that hangs holds up no other, and none of the threads on which pages are judged. A
//! commit that holds alerts wakes them; nothing polls. What a sink has in memory is one bounded piece of the outbox.
//!
//! Sinks come, go and change while the daemon runs. A sink is known by its name, and by that name the store knows how far it has
//! come: one that is taken out and put back goes on where it stopped. A change of its settings leaves it where it is.

mod events;
mod letters;
mod opened;
mod sample;
mod summary;
mod tally;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use picket_sink::{Courier, EventCourier};
use picket_store::{Store, StoreError, Wake};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::{Route, SinkConfig};
use crate::daemon::lock;
use events::Used;
pub(crate) use events::{Masks, told as told_of_events};
pub(crate) use letters::{Asked, Done};
use opened::Opened;
pub(crate) use sample::{Sent, Trouble, is_sound, send_apart};
use tally::Tally;
use work::Work;

/// How long a sink that is taken out, or the daemon's end, waits for it to finish what it is at.
const FINISHING: Duration = Duration::from_secs(5);

/// How often it is looked whether a summary is due.
const SUMMARIES: Duration = Duration::from_secs(30);

/// The sinks that a tenant's own file names.
pub(crate) type OwnSinks = Arc<dyn Fn(&str) -> Option<Vec<String>> + Send + Sync>;
/// A tenant's name for people.
pub(crate) type Names = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A sink at work.
struct Lane {
    config: SinkConfig,
    /// What of its settings is in files: secrets and certificates.
    content: String,
    shared: Arc<Shared>,
    wake: SyncSender<()>,
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

/// What the sink's thread has in common with whoever changes it.
struct Shared {
    name: String,
    sink: Mutex<Opened>,
    courier: Mutex<Courier>,
    route: Mutex<Route>,
    tally: Tally,
    /// Brings events; none: it gets none.
    events: Mutex<Option<EventCourier>>,
    event_tally: Tally,
    /// In whose journal there is something new.
    admitted: Mutex<BTreeSet<Arc<str>>>,
    /// How far it is with each tenant's events, for who may not wait for the courier.
    positions: Mutex<BTreeMap<Arc<str>, u64>>,
}

/// What a change of the sinks comes to; everything that can fail has been done.
pub(crate) struct Changed {
    lanes: Vec<(SinkConfig, String, Option<Opened>)>,
    /// What changes, in words.
    pub(crate) words: Vec<String>,
}

/// All sinks.
pub(crate) struct Delivery {
    lanes: Mutex<Vec<Lane>>,
    store: Arc<dyn Store>,
    /// What ends everything, and how tenants are routed; none: delivery has not begun.
    running: Mutex<Option<(CancellationToken, OwnSinks, Masks)>>,
    /// Those whom an admitted page wakes.
    looks: Mutex<Vec<(Weak<Shared>, SyncSender<()>)>>,
    /// Those whom a commit wakes.
    wakes: Arc<Mutex<Vec<SyncSender<()>>>>,
}

impl Delivery {
    /// Opens every sink.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn open(configs: &[SinkConfig], store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let mut lanes = Vec::new();
        for config in configs {
            let (opened, content) = Opened::open(config).map_err(anyhow::Error::msg)?;
            lanes.push(Lane::new(config.clone(), content, opened, &*store)?);
        }
        let wakes: Arc<Mutex<Vec<SyncSender<()>>>> = Arc::default();
        let woken = wakes.clone();
        store.on_alerts(Wake(Arc::new(move || wake(&woken))));
        Ok(Delivery {
            lanes: Mutex::new(lanes),
            store,
            running: Mutex::default(),
            looks: Mutex::default(),
            wakes,
        })
    }

    /// Delivers until cancelled. A sink that fails holds up no other.
    pub(crate) fn begin(&self, shutdown: &CancellationToken, own: OwnSinks, masks: Masks) {
        *lock(&self.running) = Some((shutdown.clone(), own, masks));
        for lane in lock(&self.lanes).iter_mut() {
            self.start(lane);
        }
    }

    /// Writes summaries of what is not sent, until cancelled.
    pub(crate) async fn summarise(&self, names: Names, shutdown: CancellationToken) {
        loop {
            let per_hour = lock(&self.lanes).iter().find_map(|lane| lane.config.route.per_hour);
            if let Some(most) = per_hour {
                let written =
                    tokio::task::block_in_place(|| summary::write(&*self.store, most, &*names, crate::when::now()));
                if let Err(error) = written {
                    tracing::warn!("summaries of alerts that are not sent wait: {error}");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SUMMARIES) => {}
            }
        }
    }

    /// How many alerts each sink took or refused, and how often it took nothing: since it began. By name.
    pub(crate) fn tallies(&self) -> Vec<(String, [(&'static str, u64); 3])> {
        let lanes = lock(&self.lanes);
        let one = |lane: &Lane| (lane.config.name.clone(), lane.shared.tally.read());
        lanes.iter().map(one).collect()
    }

    /// Waits until every sink has ended, or has had its time.
    pub(crate) async fn ended(&self) {
        let ending: Vec<(String, oneshot::Receiver<()>)> = lock(&self.lanes)
            .iter_mut()
            .filter_map(|lane| Some((lane.config.name.clone(), lane.ended.take()?)))
            .collect();
        wake(&self.wakes);
        let all = async {
            for (sink, ended) in ending {
                if tokio::time::timeout(FINISHING, ended).await.is_err() {
                    tracing::warn!(
                        sink,
                        "still busy with what it was given; it gets it again at the next start"
                    );
                }
            }
        };
        // One after the other they could take as many times as long.
        let _ = tokio::time::timeout(FINISHING + Duration::from_secs(1), all).await;
    }

    /// Other sinks: opens what is new or has other settings. Nothing is changed before [`Delivery::change`].
    ///
    /// # Errors
    /// Every sink that cannot be opened.
    pub(crate) fn prepare(&self, configs: &[SinkConfig]) -> Result<Changed, Vec<String>> {
        let lanes = lock(&self.lanes);
        let (mut prepared, mut words, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for config in configs {
            let lane = lanes.iter().find(|lane| lane.config.name == config.name);
            let is_kept = lane.is_some_and(|lane| Opened::is_kept(&lane.config.kind, &config.kind));
            // A file that is open already is not opened beside itself.
            let opened = if is_kept {
                Ok((None, String::new()))
            } else {
                Opened::open(config).map(|(opened, content)| (Some(opened), content))
            };
            match opened {
                Ok((opened, content)) => {
                    match lane {
                        None => words.push(format!("{}: added", config.name)),
                        Some(lane) if lane.config != *config || lane.content != content => {
                            words.push(format!("{}: other settings", config.name));
                        }
                        Some(_) => {}
                    }
                    prepared.push((config.clone(), content, opened));
                }
                Err(error) => wrong.push(error),
            }
        }
        let is_gone = |lane: &&Lane| configs.iter().all(|config| config.name != lane.config.name);
        words.extend(
            lanes
                .iter()
                .filter(is_gone)
                .map(|lane| format!("{}: taken out", lane.config.name)),
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
        // A sink may have to finish a piece first.
        tokio::task::block_in_place(|| {
            let mut lanes = lock(&self.lanes);
            let mut before = std::mem::take(&mut *lanes);
            for (config, content, opened) in changed.lanes {
                match before.iter().position(|lane| lane.config.name == config.name) {
                    Some(at) => {
                        let mut lane = before.swap_remove(at);
                        lane.become_like(config, content, opened, &*self.store);
                        lanes.push(lane);
                    }
                    None => {
                        let Some(opened) = opened else { continue };
                        match Lane::new(config, content, opened, &*self.store) {
                            Ok(mut lane) => {
                                self.start(&mut lane);
                                lanes.push(lane);
                            }
                            Err(error) => tracing::error!("a sink cannot begin: {error:#}"),
                        }
                    }
                }
            }
            gone.append(&mut before);
        });
        for mut lane in gone {
            lane.stop.cancel();
            let _ = lane.wake.try_send(());
            if let Some(ended) = lane.ended.take()
                && tokio::time::timeout(FINISHING, ended).await.is_err()
            {
                tracing::warn!(
                    sink = lane.config.name,
                    "taken out, and still busy with what it was given"
                );
            }
        }
    }

    fn start(&self, lane: &mut Lane) {
        let running = lock(&self.running).clone();
        let Some((shutdown, own, masks)) = running else { return };
        lane.stop = shutdown.child_token();
        let (wake, woken) = sync_channel(1);
        let (end, ended) = oneshot::channel();
        lane.wake = wake.clone();
        lane.ended = Some(ended);
        lock(&self.looks).push((Arc::downgrade(&lane.shared), wake.clone()));
        lock(&self.wakes).push(wake);
        let work = Work {
            shared: lane.shared.clone(),
            store: self.store.clone(),
            own,
            masks,
            used: Used::default(),
            stop: lane.stop.clone(),
            woken,
            end: Some(end),
        };
        let thread = std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || work.run());
        if let Err(error) = thread {
            tracing::error!(sink = lane.config.name, "no thread to deliver with: {error}");
        }
    }
}

/// Wakes everybody; whoever is gone is forgotten.
fn wake(wakes: &Mutex<Vec<SyncSender<()>>>) {
    use std::sync::mpsc::TrySendError;
    // Full: it has been woken already.
    lock(wakes).retain(|wake| !matches!(wake.try_send(()), Err(TrySendError::Disconnected(()))));
}

fn event_courier(config: &SinkConfig, store: &dyn Store) -> Result<Option<EventCourier>, StoreError> {
    let wanted = config.route.events.as_ref();
    wanted.map(|_| EventCourier::open(store, &config.name)).transpose()
}

fn positions(courier: Option<&EventCourier>) -> BTreeMap<Arc<str>, u64> {
    let all = courier.into_iter().flat_map(EventCourier::positions);
    all.map(|(tenant, after)| (tenant.clone(), after)).collect()
}

impl Lane {
    fn new(config: SinkConfig, content: String, opened: Opened, store: &dyn Store) -> anyhow::Result<Self> {
        let courier = Courier::open(store, &config.name, config.history)?;
        let events = event_courier(&config, store)?;
        Ok(Lane {
            shared: Arc::new(Shared {
                name: config.name.clone(),
                sink: Mutex::new(opened),
                courier: Mutex::new(courier),
                route: Mutex::new(config.route.clone()),
                tally: Tally::default(),
                positions: Mutex::new(positions(events.as_ref())),
                events: Mutex::new(events),
                event_tally: Tally::default(),
                admitted: Mutex::default(),
            }),
            config,
            content,
            wake: sync_channel(1).0,
            stop: CancellationToken::new(),
            ended: None,
        })
    }

    /// The same sink under other settings.
    fn become_like(&mut self, config: SinkConfig, content: String, opened: Option<Opened>, store: &dyn Store) {
        let is_same = self.config.kind == config.kind && self.content == content;
        if self.config.route != config.route {
            // Opened again, it looks at everybody: who is wanted now begins now.
            let mut held = lock(&self.shared.events);
            match event_courier(&config, store) {
                Ok(events) => {
                    *lock(&self.shared.positions) = positions(events.as_ref());
                    *held = events;
                }
                Err(error) => tracing::error!(sink = config.name, "events are sent as before: {error}"),
            }
        }
        *lock(&self.shared.route) = config.route.clone();
        if !is_same {
            match opened {
                Some(opened) => *lock(&self.shared.sink) = opened,
                None => lock(&self.shared.sink).change(&config.kind),
            }
            // What was wrong may be mended: it is tried at once.
            let mut courier = lock(&self.shared.courier);
            let mut events = lock(&self.shared.events);
            let forgiven = letters::forgive(&mut courier, store).and_then(|()| match &mut *events {
                Some(events) => events.forgive(store),
                None => Ok(()),
            });
            if let Err(error) = forgiven {
                tracing::warn!(sink = config.name, "other settings, tried when it is due: {error}");
            }
        }
        self.config = config;
        self.content = content;
        let _ = self.wake.try_send(());
    }
}
