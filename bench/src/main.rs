//! Measures what the design promises, in release mode. `cargo xtask bench` builds the rules and runs this.
//!
//! One figure a line on stdout; what is going on, on stderr. Every figure says in its group's module what exactly is measured
//! and how many rounds are summed up how. Figures that are compared with one another come from the same run.
#![forbid(unsafe_code)]

mod clockwork;
mod company;
mod figure;
mod pipeline;
mod reload;
mod rules;
mod sandbox;

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
    group: Option<String>,
    ndjson: bool,
}

const GROUPS: [&str; 3] = ["sandbox", "pipeline", "reload"];

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
    }
    if wants("reload") {
        reload::run(&arguments.rules, &arguments.picket, &printer)?;
    }
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let (mut rules, mut bench_rule, mut picket, mut group, mut ndjson) = (None, None, None, None, false);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--rules" => rules = Some(PathBuf::from(value()?)),
            "--bench-rule" => bench_rule = Some(PathBuf::from(value()?)),
            "--picket" => picket = Some(PathBuf::from(value()?)),
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
        group,
        ndjson,
    })
}
