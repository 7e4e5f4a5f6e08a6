//! Accounts as files: one NDJSON file for each feed, for replay and benchmarks, and what was planted.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::json::dumps;
use crate::model::{Account, Feed};

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Writes `DIR/ACCOUNT/FEED.ndjson` for every feed, rows in order of time and as Duo writes them, and
/// `DIR/ACCOUNT/planted.json`. Names the files written.
///
/// # Errors
/// Names the file that could not be written.
pub fn write(dir: &Path, account: &Account) -> Result<Vec<PathBuf>, WriteError> {
    let dir = dir.join(&account.name);
    fs::create_dir_all(&dir).map_err(|source| WriteError {
        path: dir.clone(),
        source,
    })?;
    let mut written = Vec::new();
    for feed in Feed::ALL {
        let path = dir.join(format!("{feed}.ndjson"));
        let rows = account
            .rows
            .iter()
            .filter(|row| row.feed == feed)
            .map(|row| dumps(&row.json));
        lines(&path, rows).map_err(|source| WriteError {
            path: path.clone(),
            source,
        })?;
        written.push(path);
    }
    let path = dir.join("planted.json");
    let planted = std::iter::once(dumps(
        &account.planted.iter().map(|story| story.told(&account.name)).collect(),
    ));
    lines(&path, planted).map_err(|source| WriteError {
        path: path.clone(),
        source,
    })?;
    written.push(path);
    Ok(written)
}

fn lines(path: &Path, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()
}
