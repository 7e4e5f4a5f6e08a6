//! Compiled code on disk: the one place where Picket trusts bytes.
//!
//! Loading compiled code is running it: wasmtime checks that an artifact fits its version and settings, and nothing else. So
//! an artifact is loaded only
//!
//! - from a directory that belongs to this user and that nobody else may enter (else the cache refuses to open),
//! - as a plain file of this user in it, and
//! - if its content still has the hash that its name carries, so that damage is found before it runs.
//!
//! The name is `MODULE-ENGINE-CONTENT.cwasm`: hash of the module, of everything the code depends on, of the artifact. What
//! does not pass is deleted and compiled anew.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

const EXTENSION: &str = ".cwasm";

/// Why the directory for compiled code cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory cannot be made or read.
    #[error("the directory for compiled rules {path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others could put code there.
    #[error(
        "the directory for compiled rules {path} {problem}: compiled code is run as it is, so give a directory of this user's own with mode 0700"
    )]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// Whose it is, or its mode.
        problem: String,
    },
}

/// A directory of compiled code that is ours alone.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    user: u32,
    engine: String,
}

impl Cache {
    /// Makes the directory if need be, and checks that it is ours alone.
    pub(crate) fn open(directory: &Path, engine: &str) -> Result<Cache, CacheError> {
        let io = |source| CacheError::Io {
            path: directory.to_owned(),
            source,
        };
        let not_ours = |problem| CacheError::NotOurs {
            path: directory.to_owned(),
            problem,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let about = fs::symlink_metadata(directory).map_err(io)?;
        if !about.is_dir() {
            return Err(not_ours("is not a directory itself".to_owned()));
        }
        // A file that we make tells who we are.
        let user = tempfile::NamedTempFile::new_in(directory)
            .and_then(|file| file.as_file().metadata())
            .map_err(io)?
            .uid();
        if about.uid() != user {
            return Err(not_ours(format!(
                "belongs to user {}, and we are user {user}",
                about.uid()
            )));
        }
        if about.mode() & 0o077 != 0 {
            return Err(not_ours(format!("has mode {:04o}", about.mode() & 0o7777)));
        }
        Ok(Cache {
            directory: directory.to_owned(),
            user,
            engine: engine.to_owned(),
        })
    }

    /// The compiled form of a module, if there is one that can be trusted.
    pub(crate) fn get(&self, engine: &Engine, module: &str) -> Option<Component> {
        let prefix = self.prefix(module);
        for entry in fs::read_dir(&self.directory).ok()?.flatten() {
            let name = entry.file_name();
            let Some(content) = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(EXTENSION))
            else {
                continue;
            };
            match self.load(engine, &entry.path(), content) {
                Ok(component) => return Some(component),
                Err(problem) => {
                    tracing::warn!(path = %entry.path().display(), problem, "compiled code is not used and compiled anew");
                    // If it stays, it is refused again the next time.
                    drop(fs::remove_file(entry.path()));
                }
            }
        }
        None
    }

    /// Keeps the compiled form of a module: written beside, then renamed.
    pub(crate) fn put(&self, component: &Component, module: &str) -> Result<(), CacheError> {
        let io = |source| CacheError::Io {
            path: self.directory.clone(),
            source,
        };
        let code = component
            .serialize()
            .map_err(|error| io(std::io::Error::other(error.to_string())))?;
        let name = format!("{}{}{EXTENSION}", self.prefix(module), blake3::hash(&code).to_hex());
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(io)?;
        file.write_all(&code).map_err(io)?;
        file.persist(self.directory.join(name))
            .map_err(|error| io(error.error))?;
        Ok(())
    }

    fn prefix(&self, module: &str) -> String {
        format!("{module}-{}-", self.engine)
    }

    fn load(&self, engine: &Engine, path: &Path, content: &str) -> Result<Component, &'static str> {
        let about = fs::symlink_metadata(path).map_err(|_| "it cannot be read")?;
        if !about.is_file() || about.uid() != self.user || about.mode() & 0o022 != 0 {
            return Err("it is not a plain file that only we may write");
        }
        let code = fs::read(path).map_err(|_| "it cannot be read")?;
        if blake3::hash(&code).to_hex().as_str() != content {
            return Err("it is damaged");
        }
        run_as_it_is(engine, path).map_err(|_| "it is of another engine")
    }
}

#[allow(
    unsafe_code,
    reason = "the one place where compiled code is loaded; the module's comment says why it may be"
)]
fn run_as_it_is(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by `put` from `Component::serialize` and has not changed since (its content has the hash
    // that `put` gave it), and nobody but this user could have put it into the directory.
    unsafe { Component::deserialize_file(engine, path) }
}
