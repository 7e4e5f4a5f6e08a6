//! Cisco's own client for Python, installed once into `target/venv-duo-client`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const VERSION: &str = "5.7.0";

/// The interpreter that can import duo_client.
pub(crate) fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("venv-duo-client");
    let python = venv.join("bin/python");
    let check = format!("import duo_client.client as c; assert c.__version__ == '{VERSION}'");
    let ready = Command::new(&python)
        .args(["-c", &check])
        .output()
        .is_ok_and(|output| output.status.success());
    if !ready {
        let venv_text = venv.display().to_string();
        run(
            Command::new("python3").args(["-m", "venv", "--clear", &venv_text]),
            &venv,
        );
        let package = format!("duo_client=={VERSION}");
        run(
            Command::new(&python).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                &package,
            ]),
            &venv,
        );
    }
    python
}

fn run(command: &mut Command, venv: &Path) {
    let output: Option<Output> = command.output().ok();
    let done = output.as_ref().is_some_and(|output| output.status.success());
    let said = output
        .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
        .unwrap_or_default();
    assert!(
        done,
        "\nThis test needs Cisco's duo_client {VERSION} for Python and could not install it.\n\
         It ran: {command:?}\n{said}\n\
         Install Python 3 with venv (Debian: apt install python3-venv), then, where pip can reach a package index:\n\
         \n    python3 -m venv {venv} && {venv}/bin/pip install duo_client=={VERSION}\n",
        venv = venv.display(),
    );
}
