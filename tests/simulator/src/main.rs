//! `duo-simulator`: makes the accounts, then serves them or writes them to files.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use duo_simulator::clock::Clock;
use duo_simulator::company;
use duo_simulator::model::Account;
use duo_simulator::server::{
    Certificate, Control, Fault, Limit, LimitClock, Options, Parent, Settings, Simulator, Twin,
};
use duo_simulator::signature::Form;
use duo_simulator::write::write;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// A Duo Admin API to test against.
///
/// Prints one JSON line with its URL, keys and control URL, then serves until SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port for HTTPS on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to write the CA's certificate (PEM) that clients must trust
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// Everything generated follows from it
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The accounts, by name
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_value = "acme")]
    accounts: Vec<String>,
    /// People in each account; at least 60
    #[arg(long, default_value_t = 300)]
    users: usize,
    /// Days of logs; at least 3. The last is the day on which things happen, the others are its past: six weeks, so that
    /// whoever takes a month to learn what is usual has learned it
    #[arg(long, default_value_t = 43)]
    days: u32,
    /// At least so many rows on the last day, the administrator log not counted
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// So many authentication events more, spread over the days before the last: a backlog, made in a moment
    #[arg(long, value_name = "N")]
    backlog: Option<usize>,
    /// So many accounts more, named NAME-0001 and so on in turn, with the rows of those of --accounts and keys of their own
    #[arg(long, value_name = "N", default_value_t = 0)]
    twins: usize,
    /// A parent of this name, whose Accounts API key lists all accounts as its children, each at a host of its own
    #[arg(long, value_name = "NAME")]
    parent: Option<String>,
    /// Plant nothing: ordinary days only
    #[arg(long)]
    no_plant: bool,
    /// What the simulated clock shows first (RFC 3339); the day it is on is the logs' last.
    /// Default: the wall's time, or midnight today (UTC) if --speed is not 1 or --hold is given
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Simulated seconds to a second; 720 runs a day in two minutes
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// The clock stands still until /sim/control is told {"clock": "go"}
    #[arg(long)]
    hold: bool,
    /// Requests a minute for each (key, log)
    #[arg(long, value_name = "N", default_value_t = 2)]
    rate_limit: u32,
    /// Requests a minute for each (key, path) that is no log
    #[arg(long, value_name = "N", default_value_t = 200)]
    object_limit: u32,
    /// Requests a minute for each key, whatever it asks for
    #[arg(long, value_name = "N")]
    account_limit: Option<u32>,
    /// The rate limit's minutes are those of the simulated clock
    #[arg(long)]
    simulated_limit: bool,
    /// A 429 of the rate limit says in a Retry-After header how long to wait; Duo's does not
    #[arg(long)]
    retry_after: bool,
    /// The certificate shown
    #[arg(long, value_enum, default_value = "good")]
    certificate: Certificate,
    /// No rate limit on anything
    #[arg(long, conflicts_with = "rate_limit")]
    no_rate_limit: bool,
    /// Seconds of refusal after a 429
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    lock_out: i64,
    /// Signatures to accept
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Form::ALL)]
    signatures: Vec<Form>,
    /// Seconds by which a request's date may be off: 300 is Duo's own mock, 60 the strictest report
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    skew: i64,
    /// Seconds before a row appears
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    delay: i64,
    /// A fault in force from the start, as JSON: {"kind": "internal_error", "times": 3}; may be repeated
    #[arg(long, value_name = "JSON", value_parser = fault)]
    fault: Vec<Fault>,
    /// Write DIR/ACCOUNT/FEED.ndjson and planted.json, and exit
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Tell what was generated, and exit
    #[arg(long, conflicts_with = "write")]
    describe: bool,
    /// Exit when standard input ends
    #[arg(long)]
    die_with_parent: bool,
}

fn fault(text: &str) -> Result<Fault, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("duo-simulator: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    ensure!(
        arguments.speed.is_finite() && arguments.speed >= 0.0,
        "--speed must be a number from 0 on"
    );
    let wall = Timestamp::now();
    let normal = (arguments.speed - 1.0).abs() < f64::EPSILON && !arguments.hold;
    let start = match arguments.start {
        Some(start) => start,
        None if normal => wall,
        None => days_before(wall, 0)?,
    };
    let from = days_before(start, arguments.days.saturating_sub(1))?;
    let accounts: Vec<Account> = (0_u64..)
        .zip(&arguments.accounts)
        .map(|(at, name)| account(&arguments, from, at, name))
        .collect();
    if arguments.describe {
        return accounts
            .iter()
            .try_for_each(|account| say(company::describe(account).trim_end()));
    }
    match &arguments.write {
        Some(dir) => {
            for account in &accounts {
                for path in write(dir, account)? {
                    say(&path.display().to_string())?;
                }
            }
            Ok(())
        }
        None => {
            let clock = Clock::new(
                wall.as_millisecond(),
                start.as_millisecond(),
                arguments.speed,
                arguments.hold,
            );
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(serve(arguments, accounts, clock, from, start))
        }
    }
}

/// Midnight (UTC) so many days before a time's own.
fn days_before(time: Timestamp, days: u32) -> Result<Timestamp> {
    let midnight = time.to_zoned(jiff::tz::TimeZone::UTC).start_of_day()?;
    Ok(midnight
        .checked_sub(i64::from(days).days())
        .context("--days reaches beyond the calendar")?
        .timestamp())
}

fn account(arguments: &Arguments, from: Timestamp, at: u64, name: &str) -> Account {
    let options = company::Options {
        seed: arguments.seed.wrapping_add(at.wrapping_mul(1_000_003)),
        name: name.to_owned(),
        users: arguments.users,
        start_us: from.as_microsecond(),
        days: arguments.days,
        target_events: arguments.events,
        plant: !arguments.no_plant,
    };
    match arguments.backlog {
        None => company::generate(&options),
        Some(count) => company::backlog(&options, count),
    }
}

/// The twins of the accounts: each of them in turn, with keys of its own.
fn twins(arguments: &Arguments) -> Vec<Twin> {
    let of = |number: usize| number % arguments.accounts.len().max(1);
    (0..arguments.twins)
        .filter_map(|number| {
            let name = format!("{}-{:04}", arguments.accounts.get(of(number))?, number + 1);
            let (ikey, skey) = company::keys(arguments.seed, &name);
            Some(Twin {
                name,
                ikey,
                skey,
                of: of(number),
            })
        })
        .collect()
}

async fn serve(
    arguments: Arguments,
    accounts: Vec<Account>,
    clock: Clock,
    from: Timestamp,
    start: Timestamp,
) -> Result<()> {
    let limit = Limit {
        per_minute: Some(arguments.rate_limit).filter(|_| !arguments.no_rate_limit),
        lock_out_s: arguments.lock_out,
    };
    let settings = Settings {
        limit,
        objects_per_minute: Some(arguments.object_limit),
        account_per_minute: arguments.account_limit,
        limit_clock: if arguments.simulated_limit {
            LimitClock::Simulated
        } else {
            LimitClock::Wall
        },
        retry_after: arguments.retry_after,
        signatures: arguments.signatures.iter().copied().collect(),
        skew_s: arguments.skew,
        delay_s: arguments.delay,
        ..Settings::default()
    };
    let events = |account: &Account| {
        let backlog = account.backlog.as_ref().map_or(0, |backlog| backlog.count);
        account.rows.len() + backlog
    };
    let mut told: Vec<_> = accounts
        .iter()
        .map(|account| {
            json!({
                "name": account.name, "ikey": account.ikey, "skey": account.skey,
                "events": events(account), "planted": account.planted.len(),
            })
        })
        .collect();
    let twins = twins(&arguments);
    told.extend(twins.iter().filter_map(|twin| {
        let of = accounts.get(twin.of)?;
        Some(json!({
            "name": twin.name, "ikey": twin.ikey, "skey": twin.skey, "events": events(of), "planted": of.planted.len(),
        }))
    }));
    let parent = arguments.parent.as_ref().map(|name| {
        let (ikey, skey) = company::keys(arguments.seed, &format!("parent {name}"));
        Parent {
            name: name.clone(),
            ikey,
            skey,
        }
    });
    let parent_told = parent
        .as_ref()
        .map(|parent| json!({"name": parent.name, "ikey": parent.ikey, "skey": parent.skey}));
    let last_us = accounts
        .iter()
        .filter_map(|account| account.rows.last())
        .map(|row| row.time_us)
        .max();
    let to = last_us.and_then(|us| Timestamp::from_microsecond(us).ok());
    let simulator = Simulator::start(Options {
        port: arguments.port,
        clock: Some(clock),
        settings,
        twins,
        parent,
        ..Options::new(accounts)
    })
    .await?;
    for (account, (_, account_id, host)) in told.iter_mut().zip(simulator.children()) {
        if let Some(members) = account.as_object_mut() {
            members.insert("account_id".to_owned(), account_id.into());
            members.insert("host".to_owned(), host.into());
        }
    }
    let faults = Control {
        faults: Some(arguments.fault),
        certificate: Some(arguments.certificate),
        ..Control::default()
    };
    simulator
        .state()
        .obey(faults, Timestamp::now().as_millisecond())
        .context("--fault")?;
    let ca = match &arguments.ca_out {
        None => None,
        Some(path) => {
            std::fs::write(path, simulator.ca_pem()).with_context(|| format!("cannot write {}", path.display()))?;
            Some(std::path::absolute(path)?)
        }
    };
    let line = json!({
        "url": simulator.url(), "host": simulator.host(), "control": simulator.control_url(), "ca": ca,
        "accounts": told, "seed": arguments.seed, "from": from, "to": to, "start": start,
        "speed": arguments.speed, "held": arguments.hold, "parent": parent_told,
    });
    // Before the line is out: who reads it may end us at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    say(&line.to_string())?;

    let orphaned = async {
        if arguments.die_with_parent {
            input_ends().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = orphaned => {}
    }
    simulator.stop().await;
    // A thread may still be waiting for input; leaving by `return` would wait for it.
    std::process::exit(0);
}

/// Waits until standard input ends, on a thread of its own: reading it cannot be cancelled.
async fn input_ends() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(input.read(&mut ignored), Ok(count) if count > 0) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
