//! `picket-torture`: what `cargo xtask torture` runs.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "this is its output")]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use picket_failpoint::Point;
use picket_faults::oracle::Oracle;
use picket_faults::torture::{Plan, Report, torture};
use picket_faults::world::World;
use serde_json::{Value, json};

/// Kills Picket again and again while events come in, and asks whether anything is missing.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often it is killed; with --failpoints, at each of them.
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// What every moment and every event follows from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// It kills itself at each failpoint in turn, 20 times unless --kills says otherwise.
    #[arg(long)]
    failpoints: bool,
    /// With --failpoints: this one alone; may be repeated.
    #[arg(long = "at", value_name = "POINT", requires = "failpoints")]
    at: Vec<String>,
    /// For people, or JSON objects.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let mut total = Report::default();
    if arguments.failpoints {
        let unknown = arguments
            .at
            .iter()
            .find(|name| Point::ALL.iter().all(|point| point.name() != **name));
        if let Some(name) = unknown {
            let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
            eprintln!(
                "torture: there is no failpoint `{name}`; there are {}",
                names.join(", ")
            );
            return ExitCode::from(2);
        }
        let wanted = |point: &&Point| arguments.at.is_empty() || arguments.at.iter().any(|name| name == point.name());
        let stage = stage(&arguments, 2, 2_000);
        for point in Point::ALL.iter().filter(wanted) {
            let report = run(&arguments, &stage, Some(*point));
            say(&arguments, Some(*point), &report);
            add(&mut total, report);
        }
    } else {
        let events = arguments.kills.unwrap_or(50).saturating_mul(20).clamp(2_000, 10_000);
        total = run(&arguments, &stage(&arguments, 4, events), None);
    }
    for words in &total.verdict.words {
        eprintln!("torture: {words}");
    }
    eprintln!(
        "torture: {} kills in {} s; {} events, {} alerts; restart to first poll: half within {} ms, 99 of 100 within {} ms, \
         all within {} ms",
        total.kills,
        began.elapsed().as_secs(),
        total.verdict.events,
        total.verdict.alerts,
        total.restart(0.5).as_millis(),
        total.restart(0.99).as_millis(),
        total.restart(1.0).as_millis(),
    );
    say(&arguments, None, &total);
    if total.verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is played, and who knows how it must end.
fn stage(arguments: &Arguments, accounts: usize, events: usize) -> (World, Oracle) {
    let world = World::new(arguments.seed, accounts, events);
    eprintln!(
        "torture: asking a daemon that nobody disturbs about {} events ...",
        world.rows()
    );
    let oracle = Oracle::ask(&world);
    (world, oracle)
}

fn run(arguments: &Arguments, (world, oracle): &(World, Oracle), failpoint: Option<Point>) -> Report {
    let kills = arguments.kills.unwrap_or(if failpoint.is_some() { 20 } else { 50 });
    let plan = Plan {
        kills,
        seed: arguments.seed,
        failpoint,
    };
    let name = failpoint.map_or("anywhere", Point::name);
    let style =
        ProgressStyle::with_template("{prefix:>20} [{bar:30}] {pos}/{len} kills, {msg} rows, {elapsed}, {eta} to go")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(kills as u64).with_style(style).with_prefix(name);
    let mut said = Instant::now();
    let report = torture(&plan, world, oracle, |kill, rows| {
        bar.set_message(rows.to_string());
        bar.set_position(kill as u64);
        // Where nobody sees the bar.
        if bar.is_hidden() && (said.elapsed().as_secs() >= 5 || kill == kills) {
            said = Instant::now();
            eprintln!("torture: {name}: {kill} of {kills} kills, {rows} rows");
        }
    });
    bar.finish_and_clear();
    report
}

fn say(arguments: &Arguments, failpoint: Option<Point>, report: &Report) {
    let verdict = &report.verdict;
    if arguments.format == Format::Ndjson {
        let mut said = json!({
            "kills": report.kills, "lost": verdict.lost, "duplicated": verdict.duplicated, "wrong_ids": verdict.wrong_ids,
            "wire_repeats": verdict.wire_repeats, "out_of_order": verdict.out_of_order, "events": verdict.events, "alerts": verdict.alerts,
            "restart_ms_p50": millis(report.restart(0.5)), "restart_ms_p99": millis(report.restart(0.99)),
            "restart_ms_max": millis(report.restart(1.0)),
        });
        if let (Some(point), Value::Object(object)) = (failpoint, &mut said) {
            object.insert("failpoint".to_owned(), point.name().into());
            object.insert("at_failpoint".to_owned(), report.at_failpoint.into());
        }
        println!("{said}");
    } else {
        let place = failpoint.map_or(String::new(), |point| {
            format!("{} ({} there): ", point.name(), report.at_failpoint)
        });
        println!(
            "{place}{} kills: {} lost, {} duplicated, {} wrong ids, {} out of order, {} repeats on the wire; {} events, {} alerts",
            report.kills,
            verdict.lost,
            verdict.duplicated,
            verdict.wrong_ids,
            verdict.out_of_order,
            verdict.wire_repeats,
            verdict.events,
            verdict.alerts
        );
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn add(total: &mut Report, report: Report) {
    total.kills += report.kills;
    total.at_failpoint += report.at_failpoint;
    total.verdict.add(report.verdict);
    total.restarts.extend(report.restarts);
}
