//! Programs of other people's that tests use where they are there, and how a test says that they are not.
//!
//! `cargo xtask test` fetches them (`xtask/src/packages.rs` is the list) and ends with what was left out without them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A program, in `PATH`; none: this test is skipped, and has said why.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("{name} is not installed (Debian: apt-get install {name})"));
    }
    found
}

/// A file of a Debian package, installed or unpacked into `target/debian`; `*` stands for one directory of any name. None: this
/// test is skipped, and has said why.
#[must_use]
pub fn unpacked(package: &str, file: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let unpacked = own
        .ancestors()
        .map(|path| path.join("debian").join(package))
        .find(|path| path.is_dir());
    let places = [Some(PathBuf::from("/")), unpacked];
    let found = places.into_iter().flatten().find_map(|place| find(&place, file));
    if found.is_none() {
        skipped(&format!(
            "there is no {package} (`cargo xtask test` fetches it on Debian)"
        ));
    }
    found
}

fn find(below: &Path, pattern: &str) -> Option<PathBuf> {
    let Some((before, after)) = pattern.split_once("*/") else {
        return Some(below.join(pattern)).filter(|path| path.exists());
    };
    let entries = below.join(before).read_dir().ok()?;
    entries.flatten().find_map(|entry| find(&entry.path(), after))
}

/// Says that this test is skipped, and why: past the harness, which shows what passing tests print to nobody.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {why}");
}
