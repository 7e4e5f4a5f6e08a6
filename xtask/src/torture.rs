//! `cargo xtask torture`: kills Picket again and again while events come in, by the program `picket-torture`, in the dev profile:
//! that is where the failpoints are.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{programs, rules};

/// How often, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often it is killed (50 unless said otherwise); with --failpoints, at each of them (20).
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// What every moment and every event follows from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// It kills itself at each failpoint in turn: after fetch, before commit, mid-reload ...
    #[arg(long)]
    failpoints: bool,
    /// With --failpoints: this one alone, as commit.before; may be repeated.
    #[arg(long = "at", value_name = "POINT", requires = "failpoints")]
    at: Vec<String>,
    /// For people, or JSON objects, the last of which is the sum.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

/// The command.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    rules::build_rules(root, &root.join("target/rules"))?;
    eprintln!("torture: building (the first time takes some minutes) ...");
    let built = programs::cargo(root)
        .args(programs::BUILD)
        .stdout(Stdio::null())
        .status();
    if !built.context("cargo cannot be run")?.success() {
        bail!("picket does not compile: cargo says above why");
    }
    let mut torture = Command::new(root.join("target/debug/picket-torture"));
    torture.arg("--seed").arg(arguments.seed.to_string());
    if let Some(kills) = arguments.kills {
        torture.arg("--kills").arg(kills.to_string());
    }
    if arguments.failpoints {
        torture.arg("--failpoints");
    }
    for point in &arguments.at {
        torture.arg("--at").arg(point);
    }
    if arguments.format == Format::Ndjson {
        torture.args(["--format", "ndjson"]);
    }
    let ended = torture.status().context("picket-torture cannot be started")?;
    if !ended.success() {
        bail!(
            "something was lost, doubled or odd ({ended}): it stands above; the same --seed brings the same events and moments"
        );
    }
    Ok(())
}
