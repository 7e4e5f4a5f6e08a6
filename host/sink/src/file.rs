//! Alerts to a file, one a line, as the agents of every SIEM read them.
//!
//! The file is rotated by size: `alerts.ndjson` becomes `alerts.ndjson.1`, that `.2`, and so on up to a number. Rows are
//! accepted when they are on disk. A crash may leave a torn last line (completed or cut when the file is opened again) and rows
//! that are written but not known to be delivered (recognised by the ids of the last lines, and not written twice).

use std::collections::{HashSet, VecDeque};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use picket_failpoint::{Point, reach};
use picket_store::OutboxRow;
use serde::Deserialize;

use crate::lines::{Lines, line};
use crate::{Delivery, Sink, SinkError};

/// Ids remembered, to recognise rows that come again: many times what is delivered at once.
const REMEMBERED: usize = 4096;

/// Bytes read back at the end of a file for their ids: twice what a courier delivers at once, and more than it where one alert
/// alone is longer than that.
const READ_BACK: u64 = 4 << 20;

/// When files are rotated and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file that would grow beyond is rotated, bytes. One line may be longer.
    pub max_bytes: u64,
    /// So many old files are kept beside the current one; the oldest goes first. 0: none.
    pub keep: usize,
}

impl Default for Rotation {
    /// 100 MB, 10 old files.
    fn default() -> Self {
        Rotation {
            max_bytes: 100_000_000,
            keep: 10,
        }
    }
}

/// A rotating file of NDJSON.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    rotation: Rotation,
    lines: Lines<File>,
    written: Remembered,
}

/// The last ids written.
#[derive(Debug, Default)]
struct Remembered {
    order: VecDeque<String>,
    known: HashSet<String>,
}

impl Remembered {
    fn insert(&mut self, key: String) {
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// By what a line is recognised: the alert's id, or the whole line where it has none.
fn key(line: &str) -> String {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_str::<Id>(line).map_or_else(|_| line.to_owned(), |alert| alert.id)
}

impl FileSink {
    /// Opens or makes the file (0600; a missing directory is made, 0700) and takes up where it was left.
    ///
    /// # Errors
    /// The file cannot be opened, read or mended.
    pub fn open(path: impl Into<PathBuf>, rotation: Rotation) -> Result<Self, SinkError> {
        let path = path.into();
        let at = |doing| fault(&path, doing);
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(at("making its directory"))?;
        }
        let file = open(&path).map_err(at("opening"))?;
        sync_directory(&path).map_err(at("making the new file durable"))?;
        let (lines, last) = Lines::open(file, READ_BACK).map_err(at("reading its end"))?;
        let mut written = Remembered::default();
        // A crash may have come right after a rotation, or after several: then the last lines are in files before this one.
        let (mut before, mut bytes) = (Vec::new(), last.len() as u64);
        for number in 1..=rotation.keep {
            if bytes >= READ_BACK {
                break;
            }
            let Ok(text) = File::open(numbered(&path, number)).and_then(end_of) else {
                break;
            };
            bytes += text.len() as u64;
            before.push(text);
        }
        for text in before.iter().rev() {
            text.lines().for_each(|line| written.insert(key(line)));
        }
        last.lines().for_each(|line| written.insert(key(line)));
        Ok(FileSink {
            path,
            rotation,
            lines,
            written,
        })
    }

    /// Rotates by another rule from now on.
    pub fn rotate_by(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    /// Where the current file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, text: &mut String, keys: &mut Vec<String>) -> Result<(), SinkError> {
        self.lines
            .append(text.as_bytes())
            .map_err(fault(&self.path, "writing"))?;
        reach(Point::SendAfter);
        keys.drain(..).for_each(|key| self.written.insert(key));
        text.clear();
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), SinkError> {
        let at = |doing| fault(&self.path, doing);
        for number in (1..self.rotation.keep).rev() {
            let (from, to) = (numbered(&self.path, number), numbered(&self.path, number + 1));
            or_missing(std::fs::rename(from, to)).map_err(at("rotating"))?;
        }
        if self.rotation.keep == 0 {
            or_missing(std::fs::remove_file(&self.path)).map_err(at("rotating"))?;
        } else {
            or_missing(std::fs::rename(&self.path, numbered(&self.path, 1))).map_err(at("rotating"))?;
        }
        let file = open(&self.path).map_err(at("opening the next file"))?;
        sync_directory(&self.path).map_err(at("making the rotation durable"))?;
        (self.lines, _) = Lines::open(file, 0).map_err(at("opening the next file"))?;
        Ok(())
    }
}

impl Sink for FileSink {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        Delivery::whole(self.write(rows), rows.len())
    }
}

impl FileSink {
    fn write(&mut self, rows: &[OutboxRow]) -> Result<(), SinkError> {
        let mut text = String::new();
        let mut keys = Vec::new();
        for row in rows {
            let line = line(row);
            let key = key(&line);
            if self.written.known.contains(&key) || keys.contains(&key) {
                continue;
            }
            let after = |text: &str, lines: &Lines<File>| lines.length() + text.len() as u64;
            if after(&text, &self.lines) + line.len() as u64 >= self.rotation.max_bytes && after(&text, &self.lines) > 0
            {
                self.append(&mut text, &mut keys)?;
                self.rotate()?;
            }
            text.push_str(&line);
            text.push('\n');
            keys.push(key);
        }
        if text.is_empty() {
            Ok(())
        } else {
            self.append(&mut text, &mut keys)
        }
    }
}

fn fault(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> SinkError {
    let sink = path.display().to_string();
    move |source| SinkError { sink, doing, source }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// A file that is missing (never written, or a rotation stopped half-way) leaves its place free; that is all.
fn or_missing(outcome: std::io::Result<()>) -> std::io::Result<()> {
    match outcome {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A new or renamed file is only durable when its directory is.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn end_of(mut file: File) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(READ_BACK)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
