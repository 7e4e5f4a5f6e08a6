//! Picket and Cisco's own client side by side: the same backlog, the same limiter, the same accelerated clock.
//!
//! A simulated Duo in a process of its own has an authentication log of 200,000 events in 30 days. It answers fifty calls a
//! minute for each key and log, and its clock runs ten times as fast as the wall's, for all alike: a simulated minute of
//! the limiter is six seconds, Picket polls every twelve (`poll_interval` 120 s), and the client's waits after a 429 are a
//! tenth. Each reader has an account of its own with the same rows, and they take turns, so that none has the other's core.
//!
//! - `picket`: `picket run` of the release build, one account, no rules: what collection costs. It polls on while it reads its
//!   history; it is done when its store holds every event.
//! - `picket_judging`: the same with all stock rules.
//! - `duo_client`: a loop over the client's pages that writes each event to a file, a page at a time onto the disk.
//! - `duo_client_bare`: the same loop, which only counts.
//!
//! `calls` are those of the log, with those that were refused (`refused_calls`); `wall_s` is the wall's time; `cpu_s` the
//! processor time of the process from its start; `peak_mb` its greatest resident size.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use picket_store::SqliteStore;
use serde_json::Value;

use crate::clockwork::say;
use crate::daemon::{Daemon, SECRET};
use crate::duo::Duo;
use crate::figure::Printer;
use crate::scale::count;

const BACKLOG: u64 = 200_000;
const SPEED: u32 = 10;
/// 2026-11-16T00:00:00Z, s: the backlog lies in the 30 days before.
const START_S: i64 = 1_794_787_200;
const FROM_S: i64 = START_S - 35 * 86_400;
const LOOP: &str = include_str!("../duo_client_loop.py");
const LOG: &str = "authentication";
/// How long a reader may take.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(200);

/// What a reader took.
struct Took {
    events: u64,
    wall_s: f64,
    cpu_s: f64,
    peak_mb: f64,
}

/// Measures the group.
///
/// # Errors
/// A program cannot be run, or a reader does not come to its end.
pub(crate) fn run(
    stock: &Path,
    picket: &Path,
    simulator: &Path,
    python: &Path,
    printer: &Printer,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let arguments = format!(
        "--users 60 --days 31 --backlog {BACKLOG} --no-plant --accounts collect --twins 3 --start 2026-11-16T00:00:00Z \
         --speed {SPEED} --simulated-limit --rate-limit 50"
    );
    let duo = Duo::start(simulator, root, &arguments.split(' ').collect::<Vec<_>>())?;
    let empty = root.join("no-rules");
    std::fs::create_dir(&empty)?;
    for (at, name) in ["picket", "picket_judging", "duo_client", "duo_client_bare"]
        .iter()
        .enumerate()
    {
        say(&format!("{name} reads {BACKLOG} events"));
        let took = match *name {
            "picket" => by_picket(&duo, at, root, picket, &empty)?,
            "picket_judging" => by_picket(&duo, at, root, picket, stock)?,
            _ => by_client(&duo, at, root, python, *name == "duo_client")?,
        };
        let account = duo.text(&format!("/accounts/{at}/name"))?;
        let status = duo.status()?;
        let print = |what: &str, unit: &str, value: f64| printer.print(&format!("collect/{name}_{what}"), unit, value);
        print("calls", "calls", status.calls(Some(account), |_| true) as f64);
        print(
            "refused_calls",
            "calls",
            status.calls(Some(account), |status| status == 429) as f64,
        );
        print("events", "events", took.events as f64);
        print("wall_s", "s", took.wall_s);
        print("cpu_s", "s", took.cpu_s);
        print("peak_mb", "MB", took.peak_mb);
    }
    Ok(())
}

fn by_picket(duo: &Duo, at: usize, root: &Path, picket: &Path, rules: &Path) -> anyhow::Result<Took> {
    let own = root.join(at.to_string());
    std::fs::create_dir(&own)?;
    let config = format!(
        "data_dir: ./data\nrules_dir: {rules}\ntenant: acme\nsource:\n  type: duo\n  api_hostname: \"{host}\"\n  \
         integration_key: {ikey}\n  secret_key: ${{{SECRET}}}\n  ca_file: ../ca.pem\n  poll_interval: {poll}\n  start: 35d\n  \
         collect: [{LOG}]\n",
        rules = rules.display(),
        host = duo.host()?,
        ikey = duo.text(&format!("/accounts/{at}/ikey"))?,
        poll = 120 / SPEED,
    );
    std::fs::write(own.join("picket.yaml"), config)?;
    let account = duo.text(&format!("/accounts/{at}/name"))?;
    let began = Instant::now();
    let daemon = Daemon::start(picket, &own, duo.text(&format!("/accounts/{at}/skey"))?)?;
    let mut store = None;
    loop {
        ensure!(began.elapsed() < PATIENCE, "picket has not read everything");
        std::thread::sleep(PAUSE);
        // The store is asked only when there is something to see: that costs less.
        if duo.status()?.served(Some(account), LOG) < BACKLOG {
            continue;
        }
        if store.is_none() {
            store = Some(SqliteStore::open_read_only(&own.join("data"))?);
        }
        let events = store.as_ref().map(|store| count(store, "acme", &[LOG])).transpose()?;
        if let Some(events) = events.filter(|events| *events >= BACKLOG) {
            let usage = daemon.usage()?;
            return Ok(Took {
                events,
                wall_s: began.elapsed().as_secs_f64(),
                cpu_s: usage.cpu_s,
                peak_mb: usage.peak_mb,
            });
        }
    }
}

fn by_client(duo: &Duo, at: usize, root: &Path, python: &Path, writes: bool) -> anyhow::Result<Took> {
    let port = duo.host()?.rsplit(':').next().unwrap_or_default();
    let mut client = Command::new(python);
    client
        .current_dir(root)
        .args(["-c", LOOP, port, "ca.pem"])
        .arg(duo.text(&format!("/accounts/{at}/ikey"))?)
        .arg(duo.text(&format!("/accounts/{at}/skey"))?)
        .args([FROM_S, START_S].map(|s| (s * 1000).to_string()))
        .arg(SPEED.to_string());
    if writes {
        client.arg("events.ndjson");
    }
    let output = client.output().context("the Python of duo_client cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the loop over duo_client failed:\n{said}");
    let took: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| took.get(name).and_then(Value::as_f64).with_context(|| name.to_owned());
    Ok(Took {
        events: number("events")? as u64,
        wall_s: number("wall_s")?,
        cpu_s: number("cpu_s")?,
        peak_mb: number("peak_mb")?,
    })
}
