//! What the demo needs before it can begin: programs, modules, a directory of its own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::scenes::HOSTILE;
use super::simulator::Greeting;
use crate::{programs, rules};

/// What a tenant collects: two accounts, so that `admin` is fed by both logs that can feed it.
pub(super) const COLLECT: [(&str, [&str; 3]); 2] = [
    ("acme", ["authentication", "activity", "telephony"]),
    ("globex", ["authentication", "administrator", "telephony"]),
];
/// The example that is a custom rule of acme's.
pub(super) const EXAMPLE: &str = "acme-vpn-at-night";
/// What the edit changes in the example's source.
const EDIT: (&str, &str) = ("NIGHT_BEGINS: i64 = 22", "NIGHT_BEGINS: i64 = 20");

/// The demo's directory.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) demo: PathBuf,
}

/// The programs, built.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) picket: PathBuf,
    pub(super) simulator: PathBuf,
}

impl Place {
    /// An empty directory `demo` in the workspace.
    pub(super) fn fresh(root: &Path) -> anyhow::Result<Self> {
        let demo = root.join("demo");
        if UnixStream::connect(demo.join("data/control.sock")).is_ok() {
            bail!(
                "a picket of an earlier `cargo xtask demo --stay` still runs in {}: stop it and its simulator first",
                demo.display()
            );
        }
        match std::fs::remove_dir_all(&demo) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", demo.display()));
            }
            _ => {}
        }
        for directory in ["tenants.d", "rules/acme", "built", "logs"] {
            std::fs::create_dir_all(demo.join(directory))
                .with_context(|| format!("{} cannot be made", demo.display()))?;
        }
        Ok(Place {
            root: root.to_owned(),
            demo,
        })
    }

    /// A file or directory of the demo's.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.demo.join(name)
    }

    /// The stock rules, built and copied to where the daemon looks.
    pub(super) fn stock_rules(&self) -> anyhow::Result<usize> {
        let built = rules::build_rules(&self.root, &self.root.join("target/rules"))?;
        for rule in &built {
            install(&rule.path, &self.path("rules").join(format!("{}.wasm", rule.name)))?;
        }
        Ok(built.len())
    }

    /// A copy of the example rule to edit, a crate of its own as anybody's would be.
    pub(super) fn example(&self) -> anyhow::Result<()> {
        let (from, to) = (self.root.join("examples").join(EXAMPLE), self.path(EXAMPLE));
        std::fs::create_dir_all(to.join("src"))?;
        for file in ["src/lib.rs", "src/cases.yaml"] {
            std::fs::copy(from.join(file), to.join(file))
                .with_context(|| format!("{} cannot be copied", from.join(file).display()))?;
        }
        // The versions that the workspace has: nothing is fetched.
        std::fs::copy(self.root.join("Cargo.lock"), to.join("Cargo.lock"))?;
        let sdk = self.root.join("sdk/rust");
        let manifest = format!(
            "[package]\nname = \"{EXAMPLE}\"\nversion = \"1.0.0\"\nedition = \"2024\"\npublish = false\n\n\
             [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
             [dependencies]\npicket = {{ path = {sdk:?} }}\n\n\
             [workspace]\n\n\
             [profile.rule]\ninherits = \"release\"\nopt-level = 3\nlto = \"fat\"\ncodegen-units = 1\npanic = \"abort\"\n\
             strip = \"debuginfo\"\ndebug = false\n"
        );
        std::fs::write(to.join("Cargo.toml"), manifest)?;
        Ok(())
    }

    /// Compiles the example, as it is now, beside the rules directory.
    pub(super) fn build_example(&self) -> anyhow::Result<PathBuf> {
        let built = rules::build_rule(&self.root, &self.path(EXAMPLE), &self.path("built"))?;
        Ok(built.path)
    }

    /// Compiles the hostile rule.
    pub(super) fn build_hostile(&self) -> anyhow::Result<PathBuf> {
        let built = rules::build_rule(&self.root, &self.root.join("tests/hostile/loops"), &self.path("built"))?;
        Ok(built.path)
    }

    /// What an author would do: the night begins earlier.
    pub(super) fn edit_example(&self) -> anyhow::Result<()> {
        let path = self.path(EXAMPLE).join("src/lib.rs");
        let text = std::fs::read_to_string(&path)?;
        if !text.contains(EDIT.0) {
            bail!("{} has no `{}` to edit", path.display(), EDIT.0);
        }
        std::fs::write(&path, text.replace(EDIT.0, EDIT.1))?;
        Ok(())
    }

    /// Where one of acme's own modules lives.
    pub(super) fn own_module(&self, name: &str) -> PathBuf {
        self.path("rules/acme").join(format!("{name}.wasm"))
    }

    /// `picket.yaml`, one file for each tenant, and their secrets.
    pub(super) fn configure(&self, greeting: &Greeting) -> anyhow::Result<PathBuf> {
        let main = format!(
            "# Written by `cargo xtask demo`.\ndata_dir: ./data\nrules_dir: ./rules\n\nsinks:\n  - {{type: file, path: ./alerts.ndjson}}\n\n\
             reload:\n  modules:\n    acme/{HOSTILE}.wasm: {{history: 0s}}   # goes live unseen, to show what happens then\n"
        );
        let config = self.path("picket.yaml");
        std::fs::write(&config, main)?;
        for (tenant, logs) in COLLECT {
            let keys = greeting.accounts.iter().find(|keys| keys.name == tenant);
            let keys = keys.with_context(|| format!("duo-simulator has no account {tenant}"))?;
            secret(&self.path(&format!("{tenant}.secret")), &keys.skey)?;
            let text = format!(
                "name: {name}\nsource:\n  type: duo\n  api_hostname: \"{host}\"\n  integration_key: {ikey}\n  \
                 secret_key_file: ./{tenant}.secret\n  ca_file: ./ca.pem\n  poll_interval: 0.2   # a loopback host may be polled faster than every 120 s\n  \
                 start: 45d\n  collect: [{logs}]\n",
                name = if tenant == "acme" { "Acme Bank" } else { "Globex" },
                host = greeting.host,
                ikey = keys.ikey,
                logs = logs.join(", "),
            );
            std::fs::write(self.path(&format!("tenants.d/{tenant}.yaml")), text)?;
        }
        Ok(config)
    }
}

/// A file that only its owner reads.
fn secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}

/// Puts a module in place in one go, so that a watcher never sees half of it.
pub(super) fn install(from: &Path, to: &Path) -> anyhow::Result<()> {
    let directory = to.parent().context("a module needs a directory")?;
    let mut file = tempfile::Builder::new().prefix(".module-").tempfile_in(directory)?;
    std::io::Write::write_all(&mut file, &std::fs::read(from)?)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(to)
        .with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(())
}

/// Builds the daemon and the simulator; cargo tells on standard error how far it is.
pub(super) fn build_programs(root: &Path) -> anyhow::Result<Programs> {
    let mut command = programs::cargo(root);
    command
        .args(programs::BUILD)
        .arg("--message-format=json-render-diagnostics");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be run")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut found = Vec::new();
    for line in BufReader::new(output).lines() {
        if let Ok(Message { executable: Some(path) }) = serde_json::from_str(&line?) {
            found.push(path);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("picket does not compile ({status}): cargo says above why");
    }
    let find = |name: &str| -> anyhow::Result<PathBuf> {
        let path = found
            .iter()
            .find(|path| path.file_name().is_some_and(|file| file == name));
        path.cloned().with_context(|| format!("cargo built no {name}"))
    };
    Ok(Programs {
        picket: find("picket")?,
        simulator: find("duo-simulator")?,
    })
}

/// A line of cargo's output.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}
