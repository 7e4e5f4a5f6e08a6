//! Measures what the design promises, in release mode. `cargo xtask bench` builds the rules and runs this.
//!
//! One figure a line on stdout; what is going on, on stderr. Every figure says in its group's module what exactly is measured
//! and how many rounds are summed up how. Figures that are compared with one another come from the same run.
#![forbid(unsafe_code)]

mod bare;
mod clockwork;
mod collect;
mod company;
mod daemon;
mod duo;
mod figure;
mod load;
mod many;
mod pipeline;
mod reload;
mod rules;
mod sandbox;
mod scale;
mod sinks;
mod sustained;

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::figure::Printer;

/// What is measured, and where it finds its rules.
struct Arguments {
    /// Built stock rules.
    rules: PathBuf,
    /// The built bench rule.
    bench_rule: PathBuf,
    /// Where `picket` was built.
    picket: PathBuf,
    /// Where `duo-simulator` was built.
    simulator: PathBuf,
    /// A Python that has `duo_client`, for the group that needs it.
    python: PathBuf,
    /// How long `scale` runs.
    minutes: u64,
    /// How many versions follow one another in `load`.
    reloads: u64,
    group: Option<String>,
    ndjson: bool,
}

const GROUPS: [&str; 7] = ["sandbox", "pipeline", "reload", "load", "collect", "scale", "sinks"];
/// How long `scale` runs unless told otherwise.
const MINUTES: u64 = 5;
/// Versions in `load` unless told otherwise.
const RELOADS: u64 = 200;

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let printer = Printer {
        ndjson: arguments.ndjson,
    };
    let wants = |group: &str| arguments.group.as_deref().is_none_or(|wanted| wanted == group);
    if wants("sandbox") {
        sandbox::run(&arguments.rules, &arguments.bench_rule, &printer)?;
    }
    if wants("pipeline") {
        pipeline::run(&arguments.rules, &printer)?;
        sustained::run(&arguments.rules, &arguments.picket, &arguments.simulator, &printer)?;
    }
    if wants("reload") {
        reload::run(&arguments.rules, &arguments.picket, &printer)?;
    }
    if wants("load") {
        load::run(&arguments.rules, arguments.reloads, &printer)?;
    }
    if wants("collect") {
        let (picket, simulator) = (&arguments.picket, &arguments.simulator);
        collect::run(&arguments.rules, picket, simulator, &arguments.python, &printer)?;
    }
    if wants("sinks") {
        sinks::run(&printer)?;
    }
    if wants("scale") {
        let (picket, simulator) = (&arguments.picket, &arguments.simulator);
        scale::run(&arguments.rules, picket, simulator, arguments.minutes, &printer)?;
    }
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let (mut rules, mut bench_rule, mut picket, mut simulator, mut python) = (None, None, None, None, None);
    let (mut group, mut minutes, mut reloads, mut ndjson) = (None, MINUTES, RELOADS, false);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--rules" => rules = Some(PathBuf::from(value()?)),
            "--bench-rule" => bench_rule = Some(PathBuf::from(value()?)),
            "--picket" => picket = Some(PathBuf::from(value()?)),
            "--simulator" => simulator = Some(PathBuf::from(value()?)),
            "--python" => python = Some(PathBuf::from(value()?)),
            "--minutes" => minutes = value()?.parse().context("--minutes needs a whole number")?,
            "--reloads" => reloads = value()?.parse().context("--reloads needs a whole number")?,
            "--ndjson" => ndjson = true,
            name if GROUPS.contains(&name) => group = Some(argument),
            other => bail!("there is no group `{other}`; the groups are {}", GROUPS.join(", ")),
        }
    }
    let missing = "run it as `cargo xtask bench`, which builds the rules and says where they are";
    Ok(Arguments {
        rules: rules.context(missing)?,
        bench_rule: bench_rule.context(missing)?,
        picket: picket.context(missing)?,
        simulator: simulator.context(missing)?,
        python: python.unwrap_or_default(),
        minutes,
        reloads,
        group,
        ndjson,
    })
}
