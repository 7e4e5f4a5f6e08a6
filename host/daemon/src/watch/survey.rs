//! What stands in the files that matter, by a look at each: size, time and inode, not content.
//!
//! A survey is all there is to seeing changes. The kernel's word only says when to make one, and where there is no such word one
//! is made every now and then; so every way of changing a file is seen alike, and none needs to be known: written in place,
//! renamed over, a symlink anywhere on its way turned elsewhere (as Kubernetes does with `..data`), a directory that went and
//! came.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;

/// How long a file must be left alone before it is read.
pub(crate) const SETTLED: Duration = Duration::from_millis(100);

/// The same for a file that was renamed into its place: it came whole, and what comes with it follows at once.
pub(super) const ARRIVED: Duration = Duration::from_millis(10);

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// Files of the configuration, and of its tables.
    pub(crate) files: Vec<PathBuf>,
    /// Directories of which every YAML file is the configuration's.
    pub(crate) directories: Vec<PathBuf>,
    /// The modules' directory, with one of each tenant in it.
    pub(crate) rules: PathBuf,
}

impl Places {
    /// Everything a configuration is made of.
    pub(crate) fn of(config: &Config) -> Self {
        Places {
            files: config.files(),
            directories: config.directories(),
            rules: config.rules_dir.clone(),
        }
    }
}

/// One file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    bytes: u64,
    modified: (i64, i64),
    file: (u64, u64),
}

/// Files at one moment. A directory is in it as one file that never changes but by going and coming.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) configuration: BTreeMap<PathBuf, Look>,
    pub(crate) rules: BTreeMap<PathBuf, Look>,
}

impl Survey {
    /// As it stands now. What cannot be looked at is not there.
    pub(crate) fn of(places: &Places) -> Self {
        let mut survey = Survey::default();
        for file in &places.files {
            note(&mut survey.configuration, file);
        }
        for directory in &places.directories {
            each(directory, &mut survey.configuration, is_configuration);
        }
        let mut within = Vec::new();
        each(&places.rules, &mut survey.rules, is_of_module);
        if let Ok(entries) = std::fs::read_dir(&places.rules) {
            within.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| is_tenants(path)),
            );
        }
        for directory in within {
            each(&directory, &mut survey.rules, is_of_module);
        }
        survey
    }

    /// Everything in it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&PathBuf, &Look)> {
        self.configuration.iter().chain(&self.rules)
    }
}

/// A directory and what of it counts.
fn each(directory: &Path, into: &mut BTreeMap<PathBuf, Look>, counts: fn(&Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    into.insert(
        directory.to_owned(),
        Look {
            bytes: 0,
            modified: (0, 0),
            file: (0, 0),
        },
    );
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| counts(path)) {
        note(into, &path);
    }
}

fn note(into: &mut BTreeMap<PathBuf, Look>, file: &Path) {
    if let Ok(about) = std::fs::metadata(file) {
        let look = Look {
            bytes: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            file: (about.dev(), about.ino()),
        };
        into.insert(file.to_owned(), look);
    }
}

/// Whether a file is one of those that editors and copying tools put beside the one that is meant: hidden ones (`.x.yaml.swp`,
/// `.#x.yaml`, `..data`) above all. `x.yaml~`, `#x.yaml#`, `4913` and `x.wasm.tmp` have another ending.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_none_or(|name| name.starts_with('.'))
}

/// A YAML file that counts.
pub(crate) fn is_configuration(path: &Path) -> bool {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && !is_hidden(path)
}

/// A module, or its signature.
fn is_of_module(path: &Path) -> bool {
    let is_one = path
        .extension()
        .is_some_and(|extension| extension == "wasm" || extension == "minisig");
    is_one && !is_hidden(path)
}

/// A directory of one tenant's modules: neither one of those that tools hide, nor what a file system keeps for itself.
pub(crate) fn is_tenants(path: &Path) -> bool {
    !is_hidden(path) && path.file_name().is_some_and(|name| name != "lost+found") && path.is_dir()
}

/// Since when each file is as it is, as far as anybody has looked.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    seen: BTreeMap<PathBuf, Seen>,
}

/// A file as it was looked at last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    look: Look,
    /// Since when it is so; none: it was so at the first look of all.
    since: Option<Instant>,
    /// It was renamed into its place.
    has_arrived: bool,
}

impl Settling {
    /// Files that changed less than `span` ago, or may be changing yet. The first survey of all is taken as settled: what is
    /// read at the start was there before.
    pub(crate) fn unsettled(&mut self, survey: &Survey, now: Instant, span: Duration) -> BTreeSet<PathBuf> {
        self.unsettled_but(survey, now, span, &BTreeSet::new())
    }

    /// The same where it is known which files came by a rename, by their real paths.
    pub(super) fn unsettled_but(
        &mut self,
        survey: &Survey,
        now: Instant,
        span: Duration,
        arrived: &BTreeSet<PathBuf>,
    ) -> BTreeSet<PathBuf> {
        let has_come = |path: &Path| {
            let real = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
            let real = real.zip(path.file_name()).map(|(parent, name)| parent.join(name));
            real.is_some_and(|real| arrived.contains(&real))
        };
        let is_first = self.seen.is_empty();
        let mut seen = BTreeMap::new();
        let mut unsettled = BTreeSet::new();
        for (path, look) in survey.all() {
            let known = self.seen.get(path).filter(|known| known.look == *look);
            let mut now_seen = known.copied().unwrap_or(Seen {
                look: *look,
                since: (!is_first && look.file != (0, 0)).then_some(now),
                has_arrived: false,
            });
            let is_young = |span: Duration, seen: &Seen| {
                seen.since
                    .is_some_and(|since| now.saturating_duration_since(since) < span)
            };
            if !arrived.is_empty() && is_young(span, &now_seen) {
                now_seen.has_arrived |= has_come(path);
            }
            let span = if now_seen.has_arrived { span.min(ARRIVED) } else { span };
            if is_young(span, &now_seen) {
                unsettled.insert(path.clone());
            }
            seen.insert(path.clone(), now_seen);
        }
        self.seen = seen;
        unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(directory: &Path) -> Places {
        Places {
            files: vec![directory.join("picket.yaml"), directory.join("assets.csv")],
            directories: vec![directory.join("tenants.d")],
            rules: directory.join("rules"),
        }
    }

    #[test]
    fn only_what_counts_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        let counts = [
            "picket.yaml",
            "assets.csv",
            "tenants.d/acme.yaml",
            "rules/x.wasm",
            "rules/x.wasm.minisig",
            "rules/acme/y.wasm",
        ];
        counts.into_iter().for_each(write);
        for other in [
            "tenants.d/.acme.yaml.swp",
            "tenants.d/.#acme.yaml",
            "tenants.d/acme.yaml~",
            "tenants.d/#acme.yaml#",
            "tenants.d/4913",
            "tenants.d/acme.yaml.tmp",
            "rules/.x.wasm",
            "rules/x.wasm.tmp",
            "rules/..2026_11_22/x.wasm",
            "rules/lost+found/x.wasm",
            "alerts.ndjson",
        ] {
            write(other);
        }
        let survey = Survey::of(&places(directory.path()));
        let mut seen: Vec<&Path> = survey
            .all()
            .filter(|(path, _)| path.is_file())
            .map(|(path, _)| path.strip_prefix(directory.path()).unwrap())
            .collect();
        seen.sort();
        let mut counts: Vec<&Path> = counts.iter().map(Path::new).collect();
        counts.sort();
        assert_eq!(seen, counts);
    }

    #[test]
    fn every_way_of_changing_a_file_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("rules")).unwrap();
        std::fs::create_dir_all(at("v1")).unwrap();
        std::fs::create_dir_all(at("v2")).unwrap();
        std::fs::write(at("v1/x.wasm"), "1").unwrap();
        std::fs::write(at("v2/x.wasm"), "2").unwrap();
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("../..data/x.wasm", at("rules/x.wasm")).unwrap();
        std::fs::write(at("rules/y.wasm"), "1").unwrap();
        let places = places(directory.path());
        let mut before = Survey::of(&places);
        let mut changed = |how: &str| {
            let now = Survey::of(&places);
            assert_ne!(now, before, "{how}");
            before = now;
        };
        std::fs::write(at("rules/y.wasm"), "12").unwrap();
        changed("written in place");
        std::fs::write(at("other"), "13").unwrap();
        std::fs::rename(at("other"), at("rules/y.wasm")).unwrap();
        changed("renamed over, of the same size");
        std::os::unix::fs::symlink("v2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        changed("a symlink on its way");
        std::fs::rename(at("rules"), at("away")).unwrap();
        changed("the directory went");
        std::fs::rename(at("away"), at("rules")).unwrap();
        changed("and came");
        std::fs::remove_file(at("rules/y.wasm")).unwrap();
        changed("gone");
        std::fs::write(at("picket.yaml"), "").unwrap();
        changed("a new file of the configuration");
        assert_eq!(Survey::of(&places), before, "and a look changes nothing");
    }

    #[test]
    fn a_file_that_is_written_slowly_is_not_settled_before_it_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rules/x.wasm");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        let places = places(directory.path());
        let (mut settling, start) = (Settling::default(), Instant::now());
        let mut unsettled = |ms: u64| {
            let unsettled = settling.unsettled(&Survey::of(&places), start + Duration::from_millis(ms), SETTLED);
            unsettled.len()
        };
        assert_eq!(unsettled(0), 0, "an empty directory");
        for (piece, ms) in (1..).zip([10, 90, 170, 250]) {
            std::fs::write(&file, vec![0; piece]).unwrap();
            assert_eq!(unsettled(ms), 1, "piece {piece}");
        }
        assert_eq!((unsettled(340), unsettled(350)), (1, 0));
        std::fs::write(&file, vec![0; 9]).unwrap();
        assert_eq!((unsettled(360), unsettled(500)), (1, 0));
    }

    #[test]
    fn a_file_that_was_renamed_into_its_place_came_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rules/x.wasm");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        let places = places(directory.path());
        let real = std::fs::canonicalize(file.parent().unwrap()).unwrap().join("x.wasm");
        let (mut settling, start) = (Settling::default(), Instant::now());
        let mut unsettled = |ms: u64, arrived: &[&PathBuf]| {
            let arrived = arrived.iter().map(|path| (*path).clone()).collect();
            let now = start + Duration::from_millis(ms);
            settling
                .unsettled_but(&Survey::of(&places), now, SETTLED, &arrived)
                .len()
        };
        assert_eq!(unsettled(0, &[]), 0);
        std::fs::write(&file, "1").unwrap();
        // Seen before the kernel's word has come.
        assert_eq!((unsettled(10, &[]), unsettled(12, &[&real])), (1, 1));
        assert_eq!(unsettled(20, &[]), 0);
        // Whoever writes to it afterwards is waited for.
        std::fs::write(&file, "12").unwrap();
        assert_eq!((unsettled(30, &[]), unsettled(60, &[]), unsettled(130, &[])), (1, 1, 0));
    }
}
