//! Debian's packages that tests want: what each is for, whether it is there, and how it comes here.
//!
//! Nothing depends on them: a test whose tool is absent says so and leaves that one thing out. Where this is a Debian and we are
//! root, they come by apt-get without asking; else it is said what to type. A machine without network, or without apt, loses
//! those tests and nothing else.
//!
//! Some are **unpacked** into `target/debian/NAME` and not installed: servers that would start by themselves, or that conflict
//! with each other (rsyslog and syslog-ng cannot both be installed), and single libraries. That needs no root either.
//!
//! A new one is a line in [`PACKAGES`]; its tests look for it with `picket_e2e::tool` or `picket_e2e::unpacked`, which look where
//! this puts it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::toolchain::run_for;

/// What apt-get may take in one go; no network may mean a hang and not an error.
const TIME: Duration = Duration::from_secs(300);

/// One that tests want.
struct Package {
    /// Debian's name.
    name: &'static str,
    /// Where it puts what tests look for; `*` stands for one directory of any name.
    file: &'static str,
    how: How,
    /// What is tested with it, and left out without.
    tests: &'static str,
}

/// How it comes here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Installed by apt-get, by root.
    Installed,
    /// Unpacked into `target/debian/NAME`, together with these, which it loads and a small machine may lack.
    Unpacked(&'static [&'static str]),
}

const PACKAGES: [Package; 5] = [
    Package {
        name: "minisign",
        file: "usr/bin/minisign",
        how: How::Installed,
        tests: "keys and signatures of modules work both ways with minisign itself",
    },
    Package {
        name: "strace",
        file: "usr/bin/strace",
        how: How::Installed,
        tests: "a disk that fails: EIO and ENOSPC at fsync and write",
    },
    Package {
        name: "libfaketime",
        file: "usr/lib/*/faketime/libfaketimeMT.so.1",
        how: How::Unpacked(&[]),
        tests: "a clock that jumps while the daemon runs",
    },
    Package {
        name: "rsyslog",
        file: "usr/sbin/rsyslogd",
        how: How::Unpacked(&["rsyslog-gnutls", "libestr0", "libfastjson4", "liblognorm5"]),
        tests: "rsyslog receives every alert over TLS",
    },
    Package {
        name: "syslog-ng-core",
        file: "usr/sbin/syslog-ng",
        how: How::Unpacked(&["libivykis0", "libnet1", "libpcre3", "libwrap0", "libjson-c5"]),
        tests: "syslog-ng receives every alert over TLS",
    },
];

/// The command.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    fetch(root);
    for package in &PACKAGES {
        let is_here = if package.is_here(root) { "here" } else { "missing" };
        println!("{:<8} {:<16} {}", is_here, package.name, package.tests);
    }
    Ok(())
}

/// Fetches what is missing, and says what it does. What stays missing is no error; it is listed by [`still_missing`].
pub(crate) fn fetch(root: &Path) {
    let missing = missing(root);
    if missing.is_empty() {
        return;
    }
    let names = |of: &[&Package]| of.iter().map(|package| package.name).collect::<Vec<_>>().join(" ");
    if !has_apt() {
        println!(
            "   this is no Debian (there is no apt-get): tests that want {} are left out",
            names(&missing)
        );
        return;
    }
    let (unpacked, installed): (Vec<&Package>, Vec<&Package>) =
        missing.into_iter().partition(|package| package.how != How::Installed);
    if !installed.is_empty() {
        let wanted: Vec<&str> = installed.iter().map(|package| package.name).collect();
        if nix::unistd::geteuid().is_root() {
            if let Err(error) = install("tests", &wanted) {
                println!("   {error:#}; tests that want {} are left out", names(&installed));
            }
        } else {
            println!(
                "   tests that want {names} are left out; for them: sudo apt-get install --no-install-recommends {names}",
                names = names(&installed)
            );
        }
    }
    for package in unpacked {
        if let Err(error) = package.unpack(root) {
            println!("   {error:#}; tests that want {} are left out", package.name);
        }
    }
}

/// What tests did without, in words, one each.
pub(crate) fn still_missing(root: &Path) -> Vec<String> {
    let say = |package: &Package| format!("{} (there is no {})", package.tests, package.name);
    missing(root).into_iter().map(say).collect()
}

/// Whether this is a Debian, or one of its family.
pub(crate) fn has_apt() -> bool {
    let mut command = Command::new("apt-get");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs packages, by root. `who` says so on standard error. The lists of packages are fetched only where they are missing
/// or too old. Nothing that is installed is removed.
///
/// # Errors
/// apt-get's, and no answer in time.
pub(crate) fn install(who: &str, names: &[&str]) -> anyhow::Result<()> {
    let wanted = [&["install", "-y", "--no-install-recommends", "--no-remove"][..], names].concat();
    if apt_get(who, &wanted, None).is_ok() {
        return Ok(());
    }
    apt_get(who, &["update"], None)?;
    apt_get(who, &wanted, None)
}

fn apt_get(who: &str, arguments: &[&str], directory: Option<&Path>) -> anyhow::Result<()> {
    let words = arguments.join(" ");
    eprintln!("{who}: apt-get {words} (at most {} s) ...", TIME.as_secs());
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"])
        .args(["-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    match run_for(command, TIME).context("apt-get cannot be run")? {
        None => bail!(
            "`apt-get {words}` gave no answer in {} s and was stopped",
            TIME.as_secs()
        ),
        Some(status) if !status.success() => bail!("`apt-get {words}` failed ({status})"),
        Some(_) => Ok(()),
    }
}

fn missing(root: &Path) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| !package.is_here(root)).collect()
}

impl Package {
    fn is_here(&self, root: &Path) -> bool {
        exists(Path::new("/"), self.file) || exists(&self.place(root), self.file) || self.is_on_path()
    }

    /// A program that somebody installed elsewhere.
    fn is_on_path(&self) -> bool {
        let Some(program) = self
            .file
            .strip_prefix("usr/bin/")
            .or(self.file.strip_prefix("usr/sbin/"))
        else {
            return false;
        };
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
    }

    fn place(&self, root: &Path) -> PathBuf {
        root.join("target/debian").join(self.name)
    }

    fn unpack(&self, root: &Path) -> anyhow::Result<()> {
        let place = self.place(root);
        let How::Unpacked(with) = self.how else { return Ok(()) };
        std::fs::create_dir_all(&place).with_context(|| format!("{}: cannot be made", place.display()))?;
        let downloads = tempfile::tempdir_in(&place)?;
        let wanted = [&["download", self.name][..], with].concat();
        if apt_get("tests", &wanted, Some(downloads.path())).is_err() {
            if !nix::unistd::geteuid().is_root() {
                bail!("Debian's lists of packages are missing or old: sudo apt-get update");
            }
            apt_get("tests", &["update"], None)?;
            apt_get("tests", &wanted, Some(downloads.path()))?;
        }
        for entry in std::fs::read_dir(downloads.path())?.flatten() {
            let status = Command::new("dpkg-deb")
                .arg("-x")
                .arg(entry.path())
                .arg(&place)
                .status()
                .context("dpkg-deb cannot be run")?;
            if !status.success() {
                bail!("{}: cannot be unpacked ({status})", entry.path().display());
            }
        }
        if !exists(&place, self.file) {
            bail!("{} is unpacked, and there is still no {}", self.name, self.file);
        }
        Ok(())
    }
}

/// Whether there is such a file below; `*` stands for one directory of any name.
fn exists(below: &Path, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once("*/") else {
        return below.join(pattern).exists();
    };
    let Ok(entries) = below.join(before).read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| exists(&entry.path(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_directory() {
        let here = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(here.path().join("usr/lib/x86_64-linux-gnu/faketime")).unwrap();
        std::fs::write(here.path().join("usr/lib/x86_64-linux-gnu/faketime/lib.so"), "").unwrap();
        assert!(exists(here.path(), "usr/lib/*/faketime/lib.so"));
        assert!(exists(here.path(), "usr/lib"));
        assert!(!exists(here.path(), "usr/lib/*/lib.so"));
        assert!(!exists(here.path(), "usr/bin/*/lib.so"));
    }

    #[test]
    fn every_package_is_named_once_and_says_what_for() {
        for (at, package) in PACKAGES.iter().enumerate() {
            assert!(PACKAGES.iter().skip(at + 1).all(|other| other.name != package.name));
            assert!(
                package.tests.len() > 10 && !package.file.starts_with('/'),
                "{}",
                package.name
            );
        }
    }
}
