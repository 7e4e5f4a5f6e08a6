//! A compiler for `wasm32-unknown-unknown`, found or fetched without asking.
//!
//! Three ways, the first that works is taken:
//!
//! 1. the cargo at hand, if its standard library for the target is installed;
//! 2. the same after `rustup target add`, which gets 30 seconds, because no network may mean a hang and not an error;
//! 3. Debian's `rustc-web`, `cargo-web`, `rust-web-src` and `lld-19`, which build the standard library from source.
//!
//! `PICKET_WASM_TOOLCHAIN=rustup` or `=debian` forces a way (`auto` is the default), so that each can be tried where the
//! others would do.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::packages;

/// What rules are compiled for: no operating system, so no clock, no files, no network.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const FORCE: &str = "PICKET_WASM_TOOLCHAIN";
const RUSTUP_TIME: Duration = Duration::from_secs(30);
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "wasm-ld-19";

/// A way to compile rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The cargo that runs us, with the target's standard library.
    Installed,
    /// Debian's compiler, with the standard library from source.
    Debian,
}

impl Toolchain {
    /// Finds a way, and fetches what it needs.
    pub(crate) fn find() -> anyhow::Result<Toolchain> {
        let way = std::env::var(FORCE).unwrap_or_else(|_| "auto".to_owned());
        match way.as_str() {
            "auto" => {
                if installed() {
                    return Ok(Toolchain::Installed);
                }
                let Err(first) = add_target() else {
                    return Ok(Toolchain::Installed);
                };
                eprintln!("rules: {first:#}; trying Debian's compiler instead");
                let second = match debian() {
                    Ok(()) => return Ok(Toolchain::Debian),
                    Err(second) => second,
                };
                bail!(
                    "rules need a compiler for {TARGET}, and there is none.\n  rustup: {first:#}\n  Debian: {second:#}\n\
                     Either run `rustup target add {TARGET}` where rustup reaches its server, \
                     or as root `apt-get install {}`.",
                    PACKAGES.join(" ")
                )
            }
            "rustup" => {
                if !installed() {
                    add_target()?;
                }
                Ok(Toolchain::Installed)
            }
            "debian" => debian().map(|()| Toolchain::Debian),
            other => bail!("{FORCE}={other}: it may be rustup, debian or auto"),
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Toolchain::Installed => "the installed Rust toolchain",
            Toolchain::Debian => "Debian's Rust for the web, standard library from source",
        }
    }

    /// A cargo of this way, which builds into a directory of its own beside `target`, so that it neither waits for nor
    /// disturbs other builds.
    pub(crate) fn cargo(self, target: &Path) -> Command {
        match self {
            Toolchain::Installed => {
                let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
                let mut command = Command::new(cargo);
                without_our_cargo(&mut command);
                command.env("CARGO_TARGET_DIR", target.join("wasm"));
                command
            }
            Toolchain::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                without_our_cargo(&mut command);
                command
                    .env("CARGO_TARGET_DIR", target.join("wasm-debian"))
                    .env("RUSTC", DEBIAN_RUSTC)
                    // The standard library is built with what is unstable in Cargo; the rules themselves use nothing of it.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        }
    }

    /// What `cargo build` needs besides.
    pub(crate) fn build_arguments(self) -> &'static [&'static str] {
        match self {
            Toolchain::Installed => &["build", "--target", TARGET],
            Toolchain::Debian => &["build", "-Zbuild-std=std,panic_abort", "--target", TARGET],
        }
    }
}

/// Cargo tells its children about itself; a cargo among them must not believe it.
fn without_our_cargo(command: &mut Command) {
    for name in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
    ] {
        command.env_remove(name);
    }
}

/// Whether the compiler at hand has the target's standard library, whoever installed it.
fn installed() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return false };
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let Ok(entries) = directory.read_dir() else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn add_target() -> anyhow::Result<()> {
    eprintln!(
        "rules: fetching {TARGET} with rustup (at most {} s) ...",
        RUSTUP_TIME.as_secs()
    );
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    match run_for(command, RUSTUP_TIME).context("rustup cannot be run")? {
        None => bail!("rustup gave no answer in {} s and was stopped", RUSTUP_TIME.as_secs()),
        Some(status) if !status.success() => bail!("`rustup target add {TARGET}` failed ({status})"),
        Some(_) if !installed() => bail!("rustup is content, but its target is not the one that rustc looks for"),
        Some(_) => Ok(()),
    }
}

fn debian() -> anyhow::Result<()> {
    if missing().is_empty() {
        return Ok(());
    }
    let wanted = PACKAGES.join(" ");
    if !packages::has_apt() {
        bail!("this is no Debian (there is no apt-get)");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("installing needs root: run `sudo apt-get install --no-install-recommends {wanted}` and try again");
    }
    packages::install("rules", &PACKAGES)?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("{wanted} are installed, and still there is no {}", still.join(", ")),
    }
}

/// What Debian's way lacks.
fn missing() -> Vec<String> {
    let linker = format!("/usr/bin/{DEBIAN_LINKER}");
    let files = [DEBIAN_CARGO, DEBIAN_RUSTC, &linker];
    let mut missing: Vec<String> = files
        .into_iter()
        .filter(|path| !Path::new(path).exists())
        .map(str::to_owned)
        .collect();
    if missing.is_empty() && !has_standard_library_source() {
        missing.push("the standard library's source".to_owned());
    }
    missing
}

fn has_standard_library_source() -> bool {
    let Ok(output) = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output() else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").exists()
}

/// Runs a command, and stops it (with its children) when its time is up. None: it was stopped.
pub(crate) fn run_for(mut command: Command, time: Duration) -> std::io::Result<Option<ExitStatus>> {
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    let end = Instant::now() + time;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            stop(&mut child)?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stop(child: &mut Child) -> std::io::Result<()> {
    if let Ok(group) = i32::try_from(child.id()) {
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL)?;
    }
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_stopped_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & wait"]);
        assert_eq!(run_for(command, Duration::from_millis(100)).unwrap(), None);
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(
            run_for(command, Duration::from_secs(60)).unwrap().unwrap().code(),
            Some(3)
        );
    }
}
