//! What the daemon does for its store, beside everything else and in small pieces: it gives up what is old, gives room back to
//! the disk, and stops asking Duo where there is none.
//!
//! When the disk, or a tenant's quota, is used up, what may go by age goes at once; if that is not enough, nobody (or that
//! tenant) is asked for until there is room, `status` says so, and after a quarter of an hour rules read it in the log
//! `collector`. Nothing that was accepted is dropped, and Duo keeps 180 days.

mod gate;
mod prune;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_judge::Mode;
use picket_store::{Room, StoreError};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Keeping, Retention};
use crate::daemon::{Daemon, Running, lock};
use crate::repeated::Repeated;
use crate::sizes::shown;
use crate::when;
pub(crate) use gate::Gate;
pub(crate) use prune::Readers;
use prune::{About, Pruned, Reading, prune, squeeze};

/// How often room is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often, in looks, what is old is given up.
const PASS: u64 = 12;
/// Events younger than this (ms) are not given up for a size.
const YOUNG: i64 = 86_400_000;
/// Room within the store that is not given back, bytes: what comes needs it.
const SPARE: u64 = 64 << 20;
/// Pages given back in one look: 16 MiB.
const PAGES: u32 = 1024;
/// The least that has to be free where nothing is said: this, or a twentieth of the disk.
const MIN_FREE: u64 = 1_000_000_000;
/// Quotas looked at in one look.
const QUOTAS: usize = 50;
/// Where it is noted that the daemon lives, and how it ended.
pub(crate) const ALIVE: &str = "alive";

/// What upkeep knows.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Whether Duo is asked.
    pub(crate) gate: Arc<Gate>,
    room: Mutex<Option<Room>>,
    met: Mutex<Repeated>,
    /// Somebody wants it to be done at once.
    wanted: Notify,
    /// Whose quota is looked at next.
    turn: AtomicUsize,
}

impl Upkeep {
    /// What is to be kept has changed.
    pub(crate) fn at_once(&self) {
        self.wanted.notify_one();
    }

    /// How much room there is, for `status`; none: it was not looked at yet.
    pub(crate) fn room(&self) -> Option<Room> {
        *lock(&self.room)
    }
}

/// Runs until cancelled.
pub(crate) async fn keep(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    // Looks since the last pass. At the beginning Duo's clock is not known: until it is, each look tries.
    let mut since = PASS;
    loop {
        let is_pass = since >= PASS;
        let (upkept, wanted) = (daemon.clone(), shutdown.clone());
        let done = tokio::task::spawn_blocking(move || upkeep(&upkept, is_pass, &|| !wanted.is_cancelled())).await;
        let met = match done {
            Ok(Ok(has_passed)) => {
                since = if has_passed { 0 } else { since };
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(text) = lock(&daemon.upkeep.met).worth_saying(met) {
            tracing::warn!("upkeep of the store: {text}; it is tried again");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = daemon.upkeep.wanted.notified() => since = PASS,
            () = tokio::time::sleep(LOOK) => since += 1,
        }
    }
    alive(&daemon, true);
}

/// Notes that the daemon lives, or that it was stopped: who asks when it does not run is told since when.
fn alive(daemon: &Daemon, is_stopped: bool) {
    let now = when::rfc3339(when::now());
    let note = json!({"started": when::rfc3339(daemon.started), "last": now, "stopped": is_stopped});
    // A store that cannot take it has worse to tell.
    let _ = daemon.store.set_note("", ALIVE, Some(&note.to_string()));
}

/// True: what is old was given up.
fn upkeep(daemon: &Daemon, is_pass: bool, is_wanted: &dyn Fn() -> bool) -> Result<bool, StoreError> {
    let config = daemon.config();
    let room = daemon.damage.room()?;
    let need = need(&config.keeping, &room);
    let is_short = lacks(&room, need).is_some();
    // Who has just used its quota up is pruned at once, before it is not asked for any more.
    let is_pass = is_pass || quotas(daemon)?;
    let mut outcome = Ok(false);
    if is_pass || is_short {
        if is_pass {
            alive(daemon, false);
        }
        // A full disk may refuse even this: then the gate has to close all the same.
        outcome = pass(daemon, &config, is_wanted);
    }
    if is_short || room.unused > SPARE.max(room.database / 8) {
        let given = daemon.damage.vacuum(PAGES).and_then(|_| daemon.damage.fold());
        outcome = given.and(outcome);
    }
    let room = daemon.damage.room()?;
    *lock(&daemon.upkeep.room) = Some(room);
    let gate = &daemon.upkeep.gate;
    // What was closed opens with a little more than is needed: no flapping.
    let margin = if gate.why_all().is_some() { need / 10 } else { 0 };
    let why = lacks(&room, need.saturating_add(margin)).or_else(|| too_large(daemon, &config));
    gate.set_all(why);
    outcome
}

/// What has to be free, bytes.
fn need(keeping: &Keeping, room: &Room) -> u64 {
    let least = || room.total.map_or(0, |total| (total / 20).min(MIN_FREE));
    keeping.min_free.unwrap_or_else(least)
}

/// Why there is too little room; none: there is enough.
fn lacks(room: &Room, need: u64) -> Option<String> {
    let free = room.free?;
    let what = if free < need {
        format!(
            "{} are free on the store's disk, {} have to be",
            shown(free),
            shown(need)
        )
    } else if !room.has_ballast {
        format!("the store's disk was full, and {} are free now", shown(free))
    } else {
        return None;
    };
    Some(format!(
        "{what}; make room, keep less (`retention`), or say less with `retention: min_free`; it goes on by itself"
    ))
}

/// Why all events take too much, though everything that may go has gone.
fn too_large(daemon: &Daemon, config: &Config) -> Option<String> {
    let size = config.keeping.size?;
    let taken = all_events(daemon).ok()?;
    // What came since the last pass is no reason: the next pass takes it.
    (taken > size.saturating_add(size / 10)).then(|| {
        format!(
            "events take {}, `retention: size` allows {}, and all that are left are of the last day, or were not shown to every \
             rule yet; allow more",
            shown(taken),
            shown(size)
        )
    })
}

fn all_events(daemon: &Daemon) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for tenant in daemon.store.tenants()? {
        for journal in daemon.store.segments(&tenant)?.into_iter().chain([tenant]) {
            bytes += daemon
                .store
                .volumes(&journal)?
                .iter()
                .map(|volume| volume.bytes)
                .sum::<u64>();
        }
    }
    Ok(bytes)
}

/// Gives up what is old of everybody, and looks at quotas.
fn pass(daemon: &Daemon, config: &Config, is_wanted: &dyn Fn() -> bool) -> Result<bool, StoreError> {
    let store = &*daemon.store;
    let running = daemon.fleet.running();
    let clocks = running.iter().filter_map(|tenant| tenant.duo_now());
    // Who does not run is as old as the others say; nobody's clock is known before an answer.
    let Some(clock) = clocks.max() else {
        return Ok(false);
    };
    let delivered = delivered(daemon, config)?;
    for tenant in store.tenants()? {
        let at_work = running.iter().find(|running| *running.id == *tenant);
        let (retention, overlap, reading, now) = match at_work {
            Some(at_work) => {
                let own = at_work.config();
                let reading = reading(daemon, at_work)?;
                let Some(now) = at_work.duo_now() else { continue };
                (own.retention.clone(), own.source.overlap, reading, now)
            }
            None => (config.retention.clone(), 0, Vec::new(), clock),
        };
        let about = About {
            tenant: &tenant,
            retention: &retention,
            now,
            overlap,
            reading: &reading,
            delivered,
        };
        let pruned = prune(store, &about, &daemon.delivery, is_wanted)?;
        if pruned.events + pruned.alerts > 0 {
            let Pruned { events, ids, alerts } = pruned;
            tracing::info!(%tenant, events, ids, alerts, "given up: older than is kept");
        }
        quota(daemon, &tenant, &retention)?;
    }
    daemon.upkeep.gate.only(|tenant| daemon.fleet.is_running(tenant));
    if let Some(kept) = config.keeping.records {
        while is_wanted() && store.forget_records(clock.saturating_sub(kept), 1_000)? > 0 {}
    }
    if let Some(size) = config.keeping.size {
        let may_go = |journal: &str, log: &str| {
            let at_work = running.iter().find(|running| *running.id == *journal);
            let reading = at_work.map(|at_work| reading(daemon, at_work)).transpose().ok()?;
            let about = About {
                tenant: journal,
                retention: &Retention::default(),
                now: clock,
                overlap: 0,
                reading: reading.as_deref().unwrap_or_default(),
                delivered,
            };
            Some(about.old(log, clock.saturating_sub(YOUNG)))
        };
        let (events, bytes) = squeeze(store, size, &may_go, &daemon.delivery, is_wanted)?;
        if events > 0 {
            tracing::warn!(
                events,
                "the oldest events were given up, before their time: `retention: size` allows {}, \
                they take {} now",
                shown(size),
                shown(bytes)
            );
        }
    }
    Ok(true)
}

/// Looks at the quotas of some tenants, others each time, and opens the gate for whom there is room again. True: somebody takes
/// more than its quota, of whom that was not known.
fn quotas(daemon: &Daemon) -> Result<bool, StoreError> {
    let running = daemon.fleet.running();
    let turn = daemon.upkeep.turn.fetch_add(QUOTAS, Ordering::Relaxed);
    let mut is_over = false;
    for at_work in running
        .iter()
        .cycle()
        .skip(turn % running.len().max(1))
        .take(QUOTAS.min(running.len()))
    {
        let config = at_work.config();
        let Some(quota) = config.retention.quota else { continue };
        let taken = daemon.store.taken(&at_work.id)?.bytes();
        let is_known = daemon.upkeep.gate.why_each().contains_key(&*at_work.id);
        if taken <= quota && is_known {
            daemon.upkeep.gate.set(&at_work.id, None);
        }
        is_over |= taken > quota && !is_known;
    }
    Ok(is_over)
}

/// Who takes more than its quota is not asked for.
fn quota(daemon: &Daemon, tenant: &str, retention: &Retention) -> Result<(), StoreError> {
    let why = match retention.quota {
        None => None,
        Some(quota) => {
            let taken = daemon.store.taken(tenant)?.bytes();
            (taken > quota).then(|| {
                format!(
                    "it takes {}, its quota is {}, and nothing of it is older than is kept; allow more, or keep less \
                     (`retention` in its file); it goes on by itself",
                    shown(taken),
                    shown(quota)
                )
            })
        }
    };
    daemon.upkeep.gate.set(tenant, why);
    Ok(())
}

/// Up to which number every sink has been given alerts, also those that wait in lanes.
fn delivered(daemon: &Daemon, config: &Config) -> Result<u64, StoreError> {
    let mut least = daemon.store.outbox_end()?;
    let known = daemon.store.sinks()?;
    for sink in &config.sinks {
        match known.iter().find(|row| *row.sink == *sink.name) {
            // It has been given nothing yet.
            None => return Ok(0),
            // It wants nothing any more.
            Some(row) if row.disabled => {}
            Some(row) => {
                least = row
                    .lanes
                    .iter()
                    .fold(least.min(row.after), |least, lane| least.min(lane.after))
            }
        }
    }
    Ok(least)
}

/// The rules of a tenant that go on, with what they read and how far they are.
fn reading(daemon: &Daemon, at_work: &Running) -> Result<Vec<Reading>, StoreError> {
    let (config, pauses) = (at_work.config(), daemon.registry.pauses());
    let rows = daemon.store.rules(&at_work.id)?;
    let mut reading = Vec::new();
    for live in daemon.registry.live(&at_work.id) {
        for (manifest, _) in &live.rules {
            let own = config.overrides.get(&manifest.id);
            let is_off = own.is_some_and(|own| own.enabled == Some(false) || own.mode == Some(Mode::Paused));
            let is_it =
                |row: &&picket_store::RuleRow| *row.rule == *manifest.id && row.state_version == manifest.state.version;
            let row = rows.iter().find(is_it).filter(|row| row.standing.quarantine.is_none());
            if let Some(row) = row.filter(|_| !is_off && !pauses.contains_key(&manifest.id)) {
                reading.push(Reading {
                    logs: manifest.logs().into_iter().map(str::to_owned).collect(),
                    row: row.clone(),
                });
            }
        }
    }
    Ok(reading)
}

/// For `status`.
pub(crate) fn told(daemon: &Daemon) -> Value {
    let upkeep = &daemon.upkeep;
    let room = upkeep.room();
    json!({
        "database": room.map(|room| room.database),
        "unused": room.map(|room| room.unused),
        "write_ahead_log": room.map(|room| room.log),
        "disk_free": room.and_then(|room| room.free),
        "ballast": room.map(|room| room.has_ballast),
        "not_asked": upkeep.gate.why_all(),
        "tenants_not_asked": upkeep.gate.why_each(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_is_free_and_what_has_to_be() {
        let room = Room {
            free: Some(900_000_000),
            total: Some(100_000_000_000),
            database: 1,
            unused: 0,
            log: 0,
            has_ballast: true,
        };
        let keeping = Keeping::default();
        assert_eq!(need(&keeping, &room), MIN_FREE);
        let small = Room {
            total: Some(48_000_000),
            ..room
        };
        assert_eq!(need(&keeping, &small), 2_400_000);
        assert_eq!(lacks(&room, 800_000_000), None);
        assert!(
            lacks(&room, MIN_FREE)
                .unwrap()
                .starts_with("900.0 MB are free on the store's disk, 1.0 GB have to be")
        );
        let spent = Room {
            has_ballast: false,
            ..room
        };
        assert!(lacks(&spent, 0).unwrap().contains("was full"));
        let unknown = Room { free: None, ..spent };
        assert_eq!(lacks(&unknown, MIN_FREE), None);
    }
}
