//! `cargo xtask test`: everything that must hold, in the order in which it fails soonest.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::{packages, programs, rules};

/// Nothing to choose: all of it must hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs it all, and says what it is doing.
pub(crate) fn run(root: &Path, _arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let steps = Steps { root, began };
    steps.optional(
        "formatting",
        "rustfmt",
        &["fmt", "--all", "--check"],
        "run `cargo fmt --all`",
    )?;
    steps.say("Debian's packages that some tests want");
    packages::fetch(root);
    steps.say("the stock rules, the examples and the hostile modules, as WebAssembly components");
    rules::build_all(root)?;
    steps.cargo("the programs", &programs::BUILD, "the errors above name file and line")?;
    steps.optional(
        "lints",
        "clippy",
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        "each lint above says what it wants",
    )?;
    steps.picket(
        "the rules' own cases, in the production sandbox",
        &["rule", "test", "target/rules"],
    )?;
    let why = "the first failure above has the reason; run it alone with `cargo test --workspace -- NAME`";
    steps.cargo(
        "unit, property and end-to-end tests",
        &["test", "--workspace", "--no-fail-fast"],
        why,
    )?;
    steps.say("all of it holds");
    for left_out in packages::still_missing(root) {
        println!("   but this was left out: {left_out}");
    }
    Ok(())
}

struct Steps<'a> {
    root: &'a Path,
    began: Instant,
}

impl Steps<'_> {
    fn say(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        println!("\n== {:>2}:{:02}  {what}", seconds / 60, seconds % 60);
    }

    fn cargo(&self, what: &str, arguments: &[&str], hint: &str) -> anyhow::Result<()> {
        self.say(what);
        let status = programs::cargo(self.root).args(arguments).stdin(Stdio::null()).status();
        if !status.context("cargo cannot be started")?.success() {
            bail!("{what}: `cargo {}` failed; {hint}", arguments.join(" "));
        }
        Ok(())
    }

    /// A step whose tool is a component that a minimal toolchain lacks.
    fn optional(&self, what: &str, component: &str, arguments: &[&str], hint: &str) -> anyhow::Result<()> {
        let tool = arguments.first().copied().unwrap_or_default();
        let probe = Command::new("cargo")
            .args([tool, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            self.say(&format!(
                "{what}: left out, {component} is not installed (rustup component add {component})"
            ));
            return Ok(());
        }
        self.cargo(what, arguments, hint)
    }

    fn picket(&self, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
        self.say(what);
        let status = Command::new(self.root.join("target/debug/picket"))
            .args(arguments)
            .current_dir(self.root)
            .status();
        if !status.context("target/debug/picket cannot be started")?.success() {
            bail!("{what}: the cases that failed are above");
        }
        Ok(())
    }
}
