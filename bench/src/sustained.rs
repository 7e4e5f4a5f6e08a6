//! From Duo's wire to the disk: a real `picket run` that has a long backlog to read, with all stock rules.
//!
//! A simulated Duo in a process of its own has ten accounts under one parent key, each with 120,000 events of authentication
//! of a thousand users in thirty days: four a day each. It refuses nothing, and its clock runs a hundred times as fast as the wall's, so that what paces calls to Duo is no
//! bound: what is measured is TLS, decoding, identifying, columns, ids that are known, rules, and commits that are synced to the disk, on
//! the cores that the simulator has a part of.
//!
//! - `sustained_events_per_s`: from the first event in the store to the last.
//! - `sustained_peak_mb`: the daemon's greatest resident size. `sustained_cpu_s`: its processor time.
//! - `sustained_disk_bytes_per_event`: all of the data directory but the ballast when the daemon has been killed, by event. `sustained_json_bytes_per_event`:
//!   what an event is in Duo's own JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use picket_store::{EventFilter, SqliteStore, Store as _};

use crate::clockwork::say;
use crate::daemon::{Daemon, SECRET};
use crate::duo::Duo;
use crate::figure::Printer;
use crate::scale::count;

const ACCOUNTS: usize = 10;
const BACKLOG: u64 = 120_000;
const SPEED: u32 = 100;
const LOG: &str = "authentication";
/// Without progress.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// As many of one tenant say how long an event is.
const SAMPLE: usize = 2000;

/// Measures it.
///
/// # Errors
/// A program cannot be run, or does not come to its end.
pub(crate) fn run(stock: &Path, picket: &Path, simulator: &Path, printer: &Printer) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let arguments = format!(
        "--users 1000 --days 31 --backlog {BACKLOG} --no-plant --accounts child --twins {} --parent msp --start 2026-11-16T00:00:00Z \
         --speed {SPEED} --rate-limit 1000000",
        ACCOUNTS - 1
    );
    let duo = Duo::start(simulator, root, &arguments.split(' ').collect::<Vec<_>>())?;
    let config = format!(
        "data_dir: ./data\nrules_dir: {rules}\ntenant: msp\nsource:\n  type: duo_accounts\n  api_hostname: \"{host}\"\n  \
         integration_key: {ikey}\n  secret_key: ${{{SECRET}}}\n  ca_file: ./ca.pem\n  poll_interval: {poll}\n  start: 35d\n  \
         collect: [{LOG}]\nsinks:\n  - {{type: file, path: ./alerts.ndjson}}\n",
        rules = stock.display(),
        host = duo.host()?,
        ikey = duo.text("/parent/ikey")?,
        poll = 120.0 / f64::from(SPEED),
    );
    std::fs::write(root.join("picket.yaml"), config)?;
    let wanted = BACKLOG * ACCOUNTS as u64;
    say(&format!(
        "{wanted} events of {ACCOUNTS} accounts, from the simulator to the disk"
    ));
    let daemon = Daemon::start(picket, root, duo.text("/parent/skey")?)?;
    let data = root.join("data");
    let store = SqliteStore::open_read_only(&data)?;
    let (mut first, mut last) = (None, (0, Instant::now()));
    let mut peak_mb = 0.0_f64;
    while last.0 < wanted {
        ensure!(
            last.1.elapsed() < PATIENCE,
            "{} of {wanted} events are stored, and no more come",
            last.0
        );
        std::thread::sleep(PAUSE);
        let usage = daemon.usage().context("the daemon ended")?;
        peak_mb = peak_mb.max(usage.peak_mb);
        let stored = stored(&store)?;
        if stored > last.0 {
            last = (stored, Instant::now());
            first.get_or_insert(last);
        }
    }
    let usage = daemon.usage()?;
    let (before, since) = first.context("nothing was stored")?;
    let seconds = (last.1 - since).as_secs_f64();
    let tenant = store.tenants()?.into_iter().find(|tenant| **tenant != *"msp");
    let sample = EventFilter {
        logs: vec![LOG.to_owned()],
        tail: Some(SAMPLE),
        ..EventFilter::default()
    };
    let sample = store.search(&tenant.context("no account")?, &sample)?;
    let json: usize = sample.iter().map(|event| event.event.raw.len()).sum();
    drop((store, daemon));

    let events = wanted as f64;
    printer.print(
        "pipeline/sustained_events_per_s",
        "events/s",
        (last.0 - before) as f64 / seconds,
    );
    printer.print("pipeline/sustained_cpu_s", "s", usage.cpu_s);
    printer.print("pipeline/sustained_peak_mb", "MB", peak_mb.max(usage.peak_mb));
    printer.print(
        "pipeline/sustained_disk_bytes_per_event",
        "B",
        size(&data)? as f64 / events,
    );
    printer.print(
        "pipeline/sustained_json_bytes_per_event",
        "B",
        json as f64 / sample.len() as f64,
    );
    Ok(())
}

fn stored(store: &SqliteStore) -> anyhow::Result<u64> {
    let mut events = 0;
    for tenant in store.tenants()? {
        events += count(store, &tenant, &[LOG])?;
    }
    Ok(events)
}

/// Bytes of the files in a directory and below, but for the ballast, which does not grow with what is stored.
fn size(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if entry.file_name() == "picket.ballast" {
            continue;
        }
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
