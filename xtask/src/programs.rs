//! The one way in which xtask calls cargo for the host.
//!
//! Every call selects the whole workspace, so that all of them agree on the features of every dependency: what `cargo xtask
//! demo` has compiled, `cargo xtask test` finds, and wasmtime is compiled once.

use std::path::Path;
use std::process::Command;

/// All programs of the workspace, in the dev profile.
pub(crate) const BUILD: [&str; 3] = ["build", "--workspace", "--bins"];

/// A cargo that does not know that it is called by a program that cargo runs: cargo tells its children about that program's
/// crate, and crates with build scripts would be built again for it.
pub(crate) fn cargo(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let ours = |prefix: &str| name.to_string_lossy().starts_with(prefix);
        if ours("CARGO_PKG_") || ours("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}
