//! `cargo xtask demo`.

use std::path::Path;

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Not here yet.
pub(crate) fn run(_root: &Path, _arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::bail!("cargo xtask demo is not here yet")
}
