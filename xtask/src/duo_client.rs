//! Cisco's own client for Python, in `target/venv-duo-client`: the simulator's tests and the bench share it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

const VERSION: &str = "5.7.0";

/// The interpreter that can import it; installed if it is not there yet.
///
/// # Errors
/// There is no Python 3 with venv, or no package index.
pub(crate) fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let venv = root.join("target/venv-duo-client");
    let python = venv.join("bin/python");
    let check = format!("import duo_client.client as c; assert c.__version__ == '{VERSION}'");
    let is_ready = Command::new(&python).args(["-c", &check]).output();
    if is_ready.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    eprintln!("bench: installing duo_client {VERSION} into {} ...", venv.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let package = format!("duo_client=={VERSION}");
    let quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(quietly).arg(package))?;
    Ok(python)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let needs = "the bench needs Python 3 with venv (Debian: python3-venv) and a package index for pip";
    let output = command.output().context(needs)?;
    if !output.status.success() {
        bail!(
            "{command:?} failed; {needs}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
