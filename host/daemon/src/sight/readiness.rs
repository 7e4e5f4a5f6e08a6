//! Whether the daemon is alive, and whether data moves; in words.
//!
//! **Alive**: its own clockwork goes round. **Ready**: Duo was asked and answers for at least half of the accounts, the journal
//! takes what came, and alerts leave it. One customer's wrong key does not make an installation of a thousand unready, and a
//! dead network, a full disk or a sink that takes nothing does, within minutes.

use std::time::Duration;

use picket_collect::Standing;
use picket_store::SinkRow;

use super::Sight;
use crate::daemon::{Daemon, lock};
use crate::when;

/// Past so long without going round it is not alive. A tenant's turn may wait for the disk for a while.
const SILENCE: Duration = Duration::from_secs(60);
/// How long accounts have after a start before they count as not moving.
const BEGINNING: Duration = Duration::from_secs(120);

/// How things stand.
pub(super) struct Readiness {
    /// What is wrong; empty: data moves.
    pub(super) wrong: Vec<String>,
    /// Accounts for which Duo answers, and all.
    pub(super) moving: (usize, usize),
}

/// Whether its clockwork goes round.
pub(super) fn is_alive(sight: &Sight) -> bool {
    sight.silence() < SILENCE
}

/// Why not, if not.
pub(super) fn dead(sight: &Sight) -> Option<String> {
    (!is_alive(sight)).then(|| format!("the daemon has not gone round for {} s", sight.silence().as_secs()))
}

/// Looks.
pub(super) fn of(daemon: &Daemon) -> Readiness {
    let mut wrong: Vec<String> = dead(&daemon.sight).into_iter().collect();
    let now = when::now();
    let running = daemon.fleet.running();
    let broken = daemon.fleet.broken();
    let mut moving = 0;
    for tenant in &running {
        let interval = i64::try_from(tenant.config().source.poll_interval).unwrap_or(i64::MAX);
        let patience = interval.saturating_mul(3).saturating_add(180_000);
        let is_fresh = |at: Option<i64>| at.is_some_and(|at| now.saturating_sub(at).abs() <= patience);
        let logs = tenant.board.status(now);
        if logs
            .iter()
            .any(|log| log.standing != Standing::NotCollected && is_fresh(log.last_success))
        {
            moving += 1;
        }
    }
    let all = running.len() + broken.len();
    match daemon.sight.first_poll() {
        None => wrong.push("starting: Duo has not been asked yet".to_owned()),
        Some(_) if moving == 0 && all > 0 => wrong.push(format!(
            "collection: Duo has answered for none of {}; `picket status` says why",
            accounts(all)
        )),
        Some(_) if moving * 2 < all && daemon.sight.began.elapsed() > BEGINNING => wrong.push(format!(
            "collection: Duo answers for {moving} of {} only; `picket status` says why",
            accounts(all)
        )),
        Some(_) => {}
    }
    if let Some((since, why)) = &*lock(&daemon.sight.refused) {
        wrong.push(format!(
            "store: nothing is taken since {} s: {why}",
            since.elapsed().as_secs()
        ));
    }
    match daemon.store.sinks() {
        Ok(sinks) => {
            let config = daemon.config();
            let troubled = |sink: &&SinkRow| sink.disabled || sink.patience.trouble.is_some();
            let known = sinks
                .iter()
                .filter(|row| config.sinks.iter().any(|sink| *sink.name == *row.sink));
            let words: Vec<String> = known
                .filter(troubled)
                .map(|sink| {
                    format!(
                        "{}: {}",
                        sink.sink,
                        sink.patience.trouble.as_deref().unwrap_or("stopped")
                    )
                })
                .collect();
            if !words.is_empty() && words.len() >= config.sinks.len() {
                let words = words.join("; ");
                wrong.push(format!(
                    "delivery: no sink takes alerts; they wait in the store: {words}"
                ));
            }
        }
        Err(error) => wrong.push(format!("store: it cannot be read: {error}")),
    }
    Readiness {
        wrong,
        moving: (moving, all),
    }
}

fn accounts(count: usize) -> String {
    if count == 1 {
        "1 account".to_owned()
    } else {
        format!("{count} accounts")
    }
}

/// In a line.
pub(super) fn line(daemon: &Daemon) -> String {
    let Readiness {
        wrong,
        moving: (moving, all),
    } = of(daemon);
    if wrong.is_empty() {
        format!("data moves: Duo answers for {moving} of {}", accounts(all))
    } else {
        wrong.join("; ").replace('\n', " ")
    }
}
