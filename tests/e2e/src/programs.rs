//! Where the tested programs and modules are, and what a program said.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

/// What a program said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code; -1: a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Every line of standard output as JSON.
    ///
    /// # Panics
    /// A line is not JSON.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.err));
        self.out.lines().map(read).collect()
    }

    /// The same, if it ended with this code.
    ///
    /// # Panics
    /// It did not.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// All of it.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Something in the target directory that this test runs from.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn installed(path: &str) -> PathBuf {
    // target/debug/deps/TEST, or target/debug/TEST
    let own = std::env::current_exe().expect("this test has a path");
    let target = own
        .ancestors()
        .find(|path| path.join("debug").is_dir() || path.join("CACHEDIR.TAG").is_file());
    let found = target.expect("tests run from a target directory").join(path);
    assert!(
        found.exists(),
        "{} is not there; run `cargo xtask test`, which builds it first",
        found.display()
    );
    found
}

/// A stock module.
#[must_use]
pub fn stock(name: &str) -> PathBuf {
    installed(&format!("rules/{name}.wasm"))
}

/// The `picket` binary.
pub(crate) fn picket() -> PathBuf {
    installed("debug/picket")
}

/// Puts a file in place in one go, so that nobody sees half of it.
pub(crate) fn install(bytes: &[u8], to: &Path) {
    let directory = to.parent().expect("a file has a directory");
    std::fs::create_dir_all(directory).unwrap();
    let mut file = tempfile::Builder::new().prefix(".e2e-").tempfile_in(directory).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    file.persist(to).unwrap();
}
