//! `cargo xtask bench`: the figures that the design promises, measured in release mode.
//!
//! What measures is `bench/`, a program of its own, so that xtask needs no wasmtime. This builds the rules, the bench and
//! `picket`, and runs the bench. Figures go to stdout, everything else to stderr.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::{duo_client, programs, rules};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One group of figures: sandbox, pipeline, reload, load, collect, scale, sinks. All of them if none is named.
    group: Option<String>,
    /// For people, or one JSON object a line with name, unit and value.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How long `scale` runs, minutes, from 3 on; the promise is for 10
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// How many versions of all rules follow one another in `load`; the promise is for 200
    #[arg(long, value_name = "N", default_value_t = 200)]
    reloads: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

/// The command.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let stock = root.join("target/rules");
    rules::build_rules(root, &stock)?;
    let bench_rule = rules::build_rule(root, &root.join("bench/rule"), &root.join("target/bench"))?;

    eprintln!("bench: building in release mode (the first time takes some minutes) ...");
    let release = root.join("target/release");
    let built = programs::cargo(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .args([
            "build",
            "--release",
            "--package",
            "picket-bench",
            "--package",
            "picket-daemon",
            "--package",
            "duo-simulator",
        ])
        .stdout(Stdio::null())
        .status()
        .context("cargo cannot be run")?;
    if !built.success() {
        bail!("the bench does not compile ({built}): cargo says above why");
    }

    let mut bench = Command::new(release.join("picket-bench"));
    bench
        .arg("--rules")
        .arg(&stock)
        .arg("--bench-rule")
        .arg(&bench_rule.path);
    bench.arg("--picket").arg(release.join("picket"));
    bench.arg("--simulator").arg(release.join("duo-simulator"));
    bench.arg("--minutes").arg(arguments.minutes.to_string());
    bench.arg("--reloads").arg(arguments.reloads.to_string());
    if arguments.group.as_deref().is_none_or(|group| group == "collect") {
        bench.arg("--python").arg(duo_client::python(root)?);
    }
    if arguments.format == Format::Ndjson {
        bench.arg("--ndjson");
    }
    let ended = bench
        .args(&arguments.group)
        .status()
        .context("the bench cannot be run")?;
    if !ended.success() {
        bail!("the bench failed ({ended})");
    }
    Ok(())
}
