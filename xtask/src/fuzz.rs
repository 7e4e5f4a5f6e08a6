//! `cargo xtask fuzz`: random input for as long as one likes, by the program `picket-fuzz`, in the dev profile: its overflow
//! checks are half of what finds something.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::{programs, rules};

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Targets: modules, mutants, calls, columns, events. All of them if none is named.
    targets: Vec<String>,
    /// How long in all, minutes.
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// What every input follows from, besides the corpus in target/fuzz.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs this input of one target alone: how a finding is looked at again.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// For people, or one JSON object at the end.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

/// The command.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    rules::build_rules(root, &root.join("target/rules"))?;
    eprintln!("fuzz: building (the first time takes some minutes) ...");
    let built = programs::cargo(root)
        .args(programs::BUILD)
        .stdout(Stdio::null())
        .status();
    if !built.context("cargo cannot be run")?.success() {
        bail!("the fuzzer does not compile: cargo says above why");
    }
    let directory = root.join("target/fuzz");
    let mut fuzz = Command::new(root.join("target/debug/picket-fuzz"));
    fuzz.arg("--seconds").arg((arguments.minutes * 60).to_string());
    fuzz.arg("--seed").arg(arguments.seed.to_string());
    fuzz.arg("--directory").arg(&directory);
    if let Some(input) = &arguments.input {
        fuzz.arg("--input").arg(input);
    }
    if arguments.format == Format::Ndjson {
        fuzz.args(["--format", "ndjson"]);
    }
    let ended = fuzz
        .args(&arguments.targets)
        .status()
        .context("picket-fuzz cannot be started")?;
    if let Some(signal) = ended.signal() {
        bail!(
            "picket-fuzz was ended by signal {signal}. What it was about to do lies in {}: repeat each with \
             `cargo xtask fuzz TARGET --input {}/TARGET.current`",
            directory.display(),
            directory.display()
        );
    }
    if !ended.success() {
        bail!("something was found: it stands above, with the command that repeats it");
    }
    Ok(())
}
