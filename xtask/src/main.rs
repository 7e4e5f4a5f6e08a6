//! `cargo xtask`: what builds, shows, tests and measures Picket as a whole.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod duo_client;
mod fuzz;
mod imports;
mod packages;
mod programs;
mod rules;
mod test;
mod toolchain;
mod torture;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Build, show, test and measure Picket.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the stock rules and the example rules into target/rules/*.wasm.
    Rules(rules::Arguments),
    /// Everything that must hold: formatting, lints, tests, the rules' own cases in the sandbox.
    Test(test::Arguments),
    /// Fetch Debian's packages that some tests want; `test` does so by itself.
    Packages,
    /// Picket at work against a simulated Duo, with nothing but a Rust toolchain.
    Demo(demo::Arguments),
    /// The figures that the design promises.
    Bench(bench::Arguments),
    /// Random modules, calls and rows, until the time is up or something is found.
    Fuzz(fuzz::Arguments),
    /// Kill it again and again while events come in, and ask whether anything is missing.
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // What to do, and no stack trace.
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = root()?;
    match Arguments::parse().verb {
        Verb::Rules(arguments) => rules::run(&root, &arguments),
        Verb::Test(arguments) => test::run(&root, &arguments),
        Verb::Packages => packages::run(&root),
        Verb::Demo(arguments) => demo::run(&root, &arguments),
        Verb::Bench(arguments) => bench::run(&root, &arguments),
        Verb::Fuzz(arguments) => fuzz::run(&root, &arguments),
        Verb::Torture(arguments) => torture::run(&root, &arguments),
    }
}

/// The workspace.
fn root() -> anyhow::Result<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = own.parent().context("xtask has no parent directory")?;
    Ok(root.to_owned())
}
