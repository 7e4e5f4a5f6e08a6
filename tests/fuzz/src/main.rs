//! `picket-fuzz`: what `cargo xtask fuzz` runs.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use picket_fuzz::{NAMES, Options, Report, fuzz, repeat};

/// Random input against everything that a module, a rule or Duo can reach.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which targets; all of them if none is named.
    targets: Vec<String>,
    /// How long in all, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What every input follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where inputs that did something new are kept over runs, and findings are written.
    #[arg(long, value_name = "DIR", default_value = "target/fuzz")]
    directory: PathBuf,
    /// Runs this input of one target, and nothing else.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// For people, or a JSON object at the end.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if let Some(input) = &arguments.input {
        ensure!(arguments.targets.len() == 1, "an input belongs to one target: name it");
        let target = arguments.targets.first().map_or("", String::as_str);
        repeat(target, input)?;
        println!("nothing is wrong with it");
        return Ok(true);
    }
    let mut targets = arguments.targets.clone();
    if targets.is_empty() {
        targets = NAMES.map(str::to_owned).into();
    }
    let reports = fuzz(&Options {
        targets,
        time: Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
        directory: Some(arguments.directory.clone()),
        tell: |line| eprintln!("fuzz: {line}"),
    })?;
    say(&reports, arguments);
    Ok(reports.iter().all(|report| report.finding.is_none()))
}

#[allow(clippy::print_stdout, reason = "this is its output")]
fn say(reports: &[Report], arguments: &Arguments) {
    let total: u64 = reports.iter().map(|report| report.executions).sum();
    if arguments.format == Format::Ndjson {
        let report = |report: &Report| {
            serde_json::json!({"target": report.target, "executions": report.executions, "interesting": report.interesting,
                "seconds": report.seconds.round(),
                "finding": report.finding.as_ref().map(|finding| finding.what.clone()),
                "input": report.finding.as_ref().map(|finding| finding.input.display().to_string())})
        };
        let reports: Vec<_> = reports.iter().map(report).collect();
        println!(
            "{}",
            serde_json::json!({"fuzz": reports, "executions": total, "seed": arguments.seed, "seconds": arguments.seconds})
        );
        return;
    }
    for report in reports {
        println!(
            "{:<8} {:>9} executions in {:>5.0} s",
            report.target, report.executions, report.seconds
        );
    }
    for report in reports {
        if let Some(finding) = &report.finding {
            let (target, input) = (&report.target, finding.input.display());
            println!(
                "\n{target}: {}\nAgain: cargo xtask fuzz {target} --input {input}",
                finding.what
            );
        }
    }
    println!("{total} executions, seed {}", arguments.seed);
}
