//! `picket store export`: raw events as they came from Duo, one a line, as `picket replay --events` reads them.
//!
//! The journal is read an admission at a time, so a year takes no more memory than a page. Backfills are part of it; what a
//! tenant read after a backfill had is told once.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use picket_contract::EventRecord;
use picket_store::{SqliteStore, Store as _, StoreError};

use crate::cli::{Export, Format};
use crate::config::Config;
use crate::out::out;
use crate::when;

/// Events read at once.
const AT_ONCE: usize = 5_000;

/// Writes them.
///
/// # Errors
/// A tenant, log or time that is not there; a directory that is not empty; what cannot be written; the store.
pub(super) fn run(config: &Config, arguments: &Export) -> anyhow::Result<()> {
    let store = super::super::store(config)?;
    let tenants = store.tenants()?;
    if !tenants.iter().any(|tenant| **tenant == *arguments.tenant) {
        bail!(
            "--tenant {}: nothing is stored of it; there are: {}",
            arguments.tenant,
            tenants.join(", ")
        );
    }
    super::super::known_logs(&arguments.logs)?;
    if arguments.to_dir.is_none() && arguments.logs.len() != 1 {
        bail!("standard output takes one log: name it with --log, or name a directory with --to-dir");
    }
    let now = when::now();
    let point = |name: &str, text: &Option<String>, otherwise: i64| match text {
        Some(text) => when::point(text, now).with_context(|| format!("{name} {text}")),
        None => Ok(otherwise),
    };
    let asked = Asked {
        logs: &arguments.logs,
        from: point("--from", &arguments.from, i64::MIN)?,
        to: point("--to", &arguments.to, i64::MAX)?,
    };
    let mut writer = match &arguments.to_dir {
        Some(directory) => Target::Directory(Days::new(directory, arguments.zstd)?),
        None if arguments.zstd => Target::Packed(zstd::Encoder::new(std::io::stdout().lock(), LEVEL)?),
        None => Target::Plain(BufWriter::new(std::io::stdout().lock())),
    };
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let mut told: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
    for segment in store.segments(&arguments.tenant)? {
        each(&store, &segment, &asked, |log, event| {
            if told.insert((log.clone(), event.id.clone())) {
                writer.write(log, event)?;
                *counts.entry(log.clone()).or_default() += 1;
            }
            Ok(())
        })?;
    }
    each(&store, &arguments.tenant, &asked, |log, event| {
        if told.is_empty() || !told.contains(&(log.clone(), event.id.clone())) {
            writer.write(log, event)?;
            *counts.entry(log.clone()).or_default() += 1;
        }
        Ok(())
    })?;
    let files = writer.end()?;
    for problem in store.problems() {
        eprintln!("picket: {problem}");
    }
    if arguments.to_dir.is_none() {
        // Standard output has the events.
        return Ok(());
    }
    match arguments.output.format {
        Format::Ndjson => out!("{}", serde_json::json!({"events": counts, "files": files})),
        Format::Text => {
            for (log, events) in &counts {
                out!("{log:<20} {events} events");
            }
            out!("{files} files");
        }
    }
    Ok(())
}

/// zstd's own default.
const LEVEL: i32 = 3;

/// Which events are asked for.
struct Asked<'a> {
    logs: &'a [String],
    from: i64,
    to: i64,
}

/// Events of one journal, in the order in which they were admitted.
fn each(
    store: &SqliteStore,
    journal: &str,
    asked: &Asked<'_>,
    mut take: impl FnMut(&Arc<str>, &EventRecord) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let admissions = match store.read(journal, after, AT_ONCE) {
            // A store that is only read leaves damage out, and tells of it in the end.
            Err(StoreError::Damaged {
                last_seq: Some(last), ..
            }) => {
                after = last;
                continue;
            }
            admissions => admissions?,
        };
        let Some(last) = admissions.last() else { return Ok(()) };
        after = last.last_seq();
        for admission in &admissions {
            if !asked.logs.is_empty() && !asked.logs.iter().any(|log| **log == *admission.log) {
                continue;
            }
            let within = |event: &&EventRecord| (asked.from..=asked.to).contains(&event.time);
            for event in admission.events.iter().filter(within) {
                take(&admission.log, event)?;
            }
        }
    }
}

/// Where events go.
enum Target {
    Plain(BufWriter<std::io::StdoutLock<'static>>),
    Packed(zstd::Encoder<'static, std::io::StdoutLock<'static>>),
    Directory(Days),
}

impl Target {
    fn write(&mut self, log: &Arc<str>, event: &EventRecord) -> std::io::Result<()> {
        match self {
            Target::Plain(to) => line(to, event),
            Target::Packed(to) => line(to, event),
            Target::Directory(days) => days.write(log, event),
        }
    }

    /// How many files were written.
    fn end(self) -> anyhow::Result<usize> {
        match self {
            Target::Plain(mut to) => to.flush().map(|()| 0)?,
            Target::Packed(to) => to.finish()?.flush().map(|()| 0)?,
            Target::Directory(days) => return days.end(),
        };
        Ok(0)
    }
}

/// What came as several lines is one: line breaks of JSON mean nothing.
fn line(to: &mut impl Write, event: &EventRecord) -> std::io::Result<()> {
    if event.raw.contains(['\n', '\r']) {
        to.write_all(event.raw.replace(['\n', '\r'], " ").as_bytes())?;
    } else {
        to.write_all(event.raw.as_bytes())?;
    }
    to.write_all(b"\n")
}

/// A file of each log and day (UTC, by order time): `<log>/<day>.ndjson`. One day of each log is open at a time: events come
/// nearly in order, and a day that is met again is written on.
struct Days {
    directory: PathBuf,
    packs: bool,
    open: BTreeMap<Arc<str>, (i64, Day)>,
    files: HashSet<PathBuf>,
}

enum Day {
    Plain(BufWriter<File>),
    Packed(zstd::Encoder<'static, File>),
}

impl Days {
    fn new(directory: &Path, packs: bool) -> anyhow::Result<Self> {
        let is_empty = std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty {
            bail!(
                "--to-dir {}: is not empty, and nothing is written over",
                directory.display()
            );
        }
        Ok(Days {
            directory: directory.to_owned(),
            packs,
            open: BTreeMap::new(),
            files: HashSet::new(),
        })
    }

    fn write(&mut self, log: &Arc<str>, event: &EventRecord) -> std::io::Result<()> {
        let day = event.time.div_euclid(86_400_000);
        if self.open.get(log).is_none_or(|(open, _)| *open != day) {
            if let Some((_, before)) = self.open.remove(log) {
                before.end()?;
            }
            let opened = self.file(log, day)?;
            self.open.insert(log.clone(), (day, opened));
        }
        match self.open.get_mut(log) {
            Some((_, Day::Plain(to))) => line(to, event),
            Some((_, Day::Packed(to))) => line(to, event),
            None => Ok(()),
        }
    }

    fn file(&mut self, log: &str, day: i64) -> std::io::Result<Day> {
        let directory = self.directory.join(log);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let date = when::rfc3339(day.saturating_mul(86_400_000));
        let date = date.split('T').next().unwrap_or_default();
        let name = format!("{date}.ndjson{}", if self.packs { ".zst" } else { "" });
        let path = directory.join(name);
        // On at the end: frames of zstd one after the other are one.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        self.files.insert(path);
        Ok(if self.packs {
            Day::Packed(zstd::Encoder::new(file, LEVEL)?)
        } else {
            Day::Plain(BufWriter::new(file))
        })
    }

    fn end(self) -> anyhow::Result<usize> {
        for (_, day) in self.open.into_values() {
            day.end()?;
        }
        Ok(self.files.len())
    }
}

impl Day {
    fn end(self) -> std::io::Result<()> {
        match self {
            Day::Plain(mut to) => to.flush(),
            Day::Packed(to) => to.finish().map(|_| ()),
        }
    }
}
