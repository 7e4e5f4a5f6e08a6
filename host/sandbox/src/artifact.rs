//! Compiled code, kept on disk: the one place where Picket trusts bytes.
//!
//! Loading compiled code is running it: wasmtime checks that an artifact fits its version and settings, and nothing else. So
//! code is loaded only as the compiler gave it just now ([`crate::compile`] says why that is trusted), or
//!
//! - from a directory that belongs to this user and that nobody else may enter (else the cache refuses to open),
//! - as a plain file of this user in it, and
//! - if its content still has the hash that its name carries, so that damage is found before it runs.
//!
//! The name is `MODULE-ENGINE-CONTENT.cwasm`: hash of the module, of everything the code depends on, of the artifact. A
//! refusal by the compiler is kept too, as `MODULE-ENGINE-LIMITS-CONTENT.refused`, so that a bomb costs its seconds once. What does
//! not pass is deleted and compiled anew. Kept entries are bounded in number and bytes; those longest unused go first.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Rejected;
use crate::rejected::CompileLimit;

const CODE: &str = ".cwasm";
const REFUSAL: &str = ".refused";
/// A file that was being written when its writer died is swept away after this long.
const LITTER: Duration = Duration::from_secs(3600);

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

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// What is kept of a module.
pub(crate) enum Kept {
    Code(Component),
    Refused(Rejected),
}

/// A refusal by the compiler, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
enum Refusal {
    Invalid { detail: String },
    Compile { detail: String },
    Killed { limit: String, detail: String },
}

impl Refusal {
    /// None: it is not for ever, or not the compiler's.
    fn of(rejected: &Rejected) -> Option<Refusal> {
        match rejected {
            passing if passing.is_passing() => None,
            Rejected::Invalid { detail } => Some(Refusal::Invalid { detail: detail.clone() }),
            Rejected::Compile { detail } => Some(Refusal::Compile { detail: detail.clone() }),
            Rejected::Killed { limit, detail } => Some(Refusal::Killed {
                limit: limit.as_str().to_owned(),
                detail: detail.clone(),
            }),
            _ => None,
        }
    }

    fn rejected(self) -> Option<Rejected> {
        Some(match self {
            Refusal::Invalid { detail } => Rejected::Invalid { detail },
            Refusal::Compile { detail } => Rejected::Compile { detail },
            Refusal::Killed { limit, detail } => Rejected::Killed {
                limit: CompileLimit::from_str(&limit)?,
                detail,
            },
        })
    }
}

/// A directory of compiled code that is ours alone.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    user: u32,
    engine: String,
    /// What the compiler may take: part of what a refusal is kept under.
    limits: String,
    bounds: Bounds,
}

impl Cache {
    /// Makes the directory if need be, and checks that it is ours alone.
    pub(crate) fn open(directory: &Path, engine: &str, limits: &str, bounds: Bounds) -> Result<Cache, CacheError> {
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
            limits: limits.to_owned(),
            bounds,
        })
    }

    /// What is kept of a module, if it can be trusted.
    pub(crate) fn get(&self, engine: &Engine, module: &str) -> Option<Kept> {
        let (code, refusal) = (self.code_prefix(module), self.refusal_prefix(module));
        for entry in fs::read_dir(&self.directory).ok()?.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let content = |prefix: &str, extension| name.strip_prefix(prefix)?.strip_suffix(extension);
            let read = if let Some(content) = content(&code, CODE) {
                self.code(engine, &entry.path(), content).map(Kept::Code)
            } else if let Some(content) = content(&refusal, REFUSAL) {
                self.refusal(&entry.path(), content).map(Kept::Refused)
            } else {
                continue;
            };
            match read {
                Ok(kept) => {
                    // Used now; that it could not be noted makes it go sooner at worst.
                    let _ = File::open(entry.path()).and_then(|file| file.set_modified(SystemTime::now()));
                    return Some(kept);
                }
                Err(problem) => {
                    tracing::warn!(path = %entry.path().display(), problem, "compiled code is not used and compiled anew");
                    // If it stays, it is refused again the next time.
                    drop(fs::remove_file(entry.path()));
                }
            }
        }
        None
    }

    /// Keeps the compiled form of a module, and loads it from where it is kept.
    pub(crate) fn put(&self, engine: &Engine, module: &str, code: &[u8]) -> Result<Component, CacheError> {
        let path = self.keep(&self.code_prefix(module), CODE, code)?;
        run_file(engine, &path).map_err(|error| CacheError::Io {
            path,
            source: std::io::Error::other(error.to_string()),
        })
    }

    /// Keeps a refusal by the compiler, if it is one for ever.
    pub(crate) fn put_refusal(&self, module: &str, rejected: &Rejected) -> Result<(), CacheError> {
        let Some(refusal) = Refusal::of(rejected) else {
            return Ok(());
        };
        let text = serde_json::to_vec(&refusal).map_err(|error| CacheError::Io {
            path: self.directory.clone(),
            source: error.into(),
        })?;
        self.keep(&self.refusal_prefix(module), REFUSAL, &text)?;
        Ok(())
    }

    /// Written beside, then renamed.
    fn keep(&self, prefix: &str, extension: &str, content: &[u8]) -> Result<PathBuf, CacheError> {
        let io = |source| CacheError::Io {
            path: self.directory.clone(),
            source,
        };
        let name = format!("{prefix}{}{extension}", blake3::hash(content).to_hex());
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(io)?;
        file.write_all(content).map_err(io)?;
        let path = self.directory.join(name);
        file.persist(&path).map_err(|error| io(error.error))?;
        self.make_room(&path);
        Ok(path)
    }

    /// Removes what was not used for longest, until what is kept is within its bounds. What was just kept stays.
    fn make_room(&self, newest: &Path) {
        let mut kept = Vec::new();
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let (path, Ok(about)) = (entry.path(), entry.metadata()) else {
                continue;
            };
            let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(CODE) || name.ends_with(REFUSAL) {
                if path != newest {
                    kept.push((used, about.len(), path));
                }
            } else if name.starts_with(".tmp") && now.duration_since(used).is_ok_and(|age| age > LITTER) {
                drop(fs::remove_file(path));
            }
        }
        kept.sort();
        let own = fs::metadata(newest).map_or(0, |about| about.len());
        let mut bytes: u64 = own + kept.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        let mut files = kept.len() + 1;
        for (_, size, path) in kept {
            if files <= self.bounds.files && bytes <= self.bounds.bytes {
                break;
            }
            if fs::remove_file(path).is_ok() {
                (files, bytes) = (files - 1, bytes - size);
            }
        }
    }

    fn code_prefix(&self, module: &str) -> String {
        format!("{module}-{}-", self.engine)
    }

    fn refusal_prefix(&self, module: &str) -> String {
        format!("{module}-{}-{}-", self.engine, self.limits)
    }

    /// The content of a file, if it is ours and as it was written.
    fn read(&self, path: &Path, content: &str) -> Result<Vec<u8>, &'static str> {
        let about = fs::symlink_metadata(path).map_err(|_| "it cannot be read")?;
        if !about.is_file() || about.uid() != self.user || about.mode() & 0o022 != 0 {
            return Err("it is not a plain file that only we may write");
        }
        let bytes = fs::read(path).map_err(|_| "it cannot be read")?;
        if blake3::hash(&bytes).to_hex().as_str() != content {
            return Err("it is damaged");
        }
        Ok(bytes)
    }

    fn code(&self, engine: &Engine, path: &Path, content: &str) -> Result<Component, &'static str> {
        self.read(path, content)?;
        run_file(engine, path).map_err(|_| "it is of another engine")
    }

    fn refusal(&self, path: &Path, content: &str) -> Result<Rejected, &'static str> {
        let refusal: Refusal =
            serde_json::from_slice(&self.read(path, content)?).map_err(|_| "it is no refusal of ours")?;
        refusal.rejected().ok_or("it is no refusal of ours")
    }
}

#[allow(
    unsafe_code,
    reason = "the one module where compiled code is loaded; its comment says why it may be"
)]
fn run_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by `keep` with what the compiler gave, and has not changed since (its content has the
    // hash that `keep` gave it, or it was written this moment), and nobody but this user could have put it into the directory.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Loads what the compiler gave this moment.
#[allow(
    unsafe_code,
    reason = "the one module where compiled code is loaded; its comment says why it may be"
)]
pub(crate) fn run_bytes(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the caller has the bytes from the compiler, which is this process or another run of this program.
    unsafe { Component::deserialize(engine, code) }
}
