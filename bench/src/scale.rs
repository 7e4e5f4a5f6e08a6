//! A thousand accounts in one process, at real poll spacing.
//!
//! `picket run` of the release build with one parent key whose thousand child accounts are collected at 64 hosts:
//! authentication, activity and telephony of each, every 120 seconds, with all stock rules. A simulated Duo in a process of its
//! own has their events: small companies on a Monday morning. Nothing is accelerated, and Duo's own limit holds (two calls a
//! minute for each key and log). Collection begins an hour back.
//!
//! Everything counts from the process's start: compiling the rules, the thousand first polls, which are spread over two minutes,
//! the hour of history. `--minutes` says how long it runs in all: five unless told otherwise, of which the last three are the
//! steady state.
//!
//! - `resident_mb`: the greatest resident size, with the children that compile rules. `resident_end_mb`: at the end.
//! - `cores`: processor time by wall time. `steady_cores`: from the third minute on.
//! - `accounts`: how many had all three logs read without a refusal. `calls_per_s`, `refused_calls`, `events`: what Duo was asked
//!   and gave. `missed_events`: given by Duo and not in the store at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use picket_store::{SqliteStore, Store as _};

use crate::clockwork::say;
use crate::daemon::{Daemon, SECRET};
use crate::duo::Duo;
use crate::figure::Printer;

const ACCOUNTS: usize = 1000;
const LOGS: [&str; 3] = ["authentication", "activity", "telephony"];
/// From here on all have been polled.
const STEADY: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(250);

/// Measures the group for so long.
///
/// # Errors
/// The daemon or the simulator cannot be had, or ends.
pub(crate) fn run(
    stock: &Path,
    picket: &Path,
    simulator: &Path,
    minutes: u64,
    printer: &Printer,
) -> anyhow::Result<()> {
    let length = Duration::from_secs(minutes * 60);
    ensure!(length > STEADY, "--minutes: 3 at least");
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let twins = (ACCOUNTS - 1).to_string();
    let company = ["--users", "60", "--days", "3", "--start", "2026-11-16T09:00:00Z"];
    let family = ["--accounts", "child", "--twins", &twins, "--parent", "msp"];
    let duo = Duo::start(simulator, root, &[company, family].concat())?;
    let config = format!(
        "data_dir: ./data\nrules_dir: {rules}\ntenant: msp\nsource:\n  type: duo_accounts\n  api_hostname: \"{host}\"\n  \
         integration_key: {ikey}\n  secret_key: ${{{SECRET}}}\n  ca_file: ./ca.pem\n  poll_interval: 120\n  start: 1h\n  \
         collect: [{logs}]\nsinks:\n  - {{type: file, path: ./alerts.ndjson}}\n",
        rules = stock.display(),
        host = duo.host()?,
        ikey = duo.text("/parent/ikey")?,
        logs = LOGS.join(", "),
    );
    std::fs::write(root.join("picket.yaml"), config)?;

    say(&format!("{ACCOUNTS} accounts for {minutes} minutes"));
    let began = Instant::now();
    let daemon = Daemon::start(picket, root, duo.text("/parent/skey")?)?;
    let (mut peak_mb, mut steady) = (0.0_f64, None);
    while began.elapsed() < length {
        std::thread::sleep(PAUSE);
        let usage = daemon.usage().context("the daemon ended")?;
        peak_mb = peak_mb.max(usage.resident_mb).max(usage.peak_mb);
        if steady.is_none() && began.elapsed() >= STEADY {
            steady = Some((Instant::now(), usage.cpu_s));
        }
    }
    let usage = daemon.usage()?;
    let wall_s = began.elapsed().as_secs_f64();
    let (since, before_s) = steady.context("it was too short")?;
    let steady_cores = (usage.cpu_s - before_s) / since.elapsed().as_secs_f64();
    let status = duo.status()?;
    say(&format!("what Duo refused: {}", status.refusals()));
    // What is on its way when the counts are taken arrives a moment later.
    std::thread::sleep(Duration::from_secs(5));
    let (accounts, stored) = stored(&root.join("data"))?;
    let served: u64 = LOGS.iter().map(|log| status.served(None, log)).sum();

    printer.print("scale/resident_mb", "MB", peak_mb);
    printer.print("scale/resident_end_mb", "MB", usage.resident_mb);
    printer.print("scale/cores", "cores", usage.cpu_s / wall_s);
    printer.print("scale/steady_cores", "cores", steady_cores);
    printer.print("scale/minutes", "min", wall_s / 60.0);
    printer.print("scale/accounts", "accounts", accounts as f64);
    printer.print(
        "scale/calls_per_s",
        "calls/s",
        status.calls(None, |_| true) as f64 / wall_s,
    );
    printer.print(
        "scale/refused_calls",
        "calls",
        status.calls(None, |status| status != 200) as f64,
    );
    printer.print("scale/events", "events", served as f64);
    printer.print("scale/missed_events", "events", served.saturating_sub(stored) as f64);
    Ok(())
}

/// How many tenants have a cursor of each log, and how many events all have.
fn stored(data: &Path) -> anyhow::Result<(usize, u64)> {
    let store = SqliteStore::open_read_only(data)?;
    let (mut accounts, mut events) = (0, 0);
    for tenant in store.tenants()? {
        let cursors = store.cursors(&tenant)?;
        let is_read = |log: &str| cursors.iter().any(|cursor| &*cursor.log == log);
        accounts += usize::from(LOGS.into_iter().all(is_read));
        events += count(&store, &tenant, &LOGS)?;
    }
    Ok((accounts, events))
}

/// How many events of these logs a tenant has in a store.
pub(crate) fn count(store: &SqliteStore, tenant: &str, logs: &[&str]) -> anyhow::Result<u64> {
    let counts = store.count(tenant)?;
    let own = counts.iter().filter(|(log, _)| logs.contains(&&**log));
    Ok(own.map(|(_, count)| count).sum())
}
