//! Who wakes us: the kernel, where it lets us know of changes, and a clock where it does not.
//!
//! inotify tells of what this machine's kernel does to a directory. Of a network file system it tells what this machine does
//! there and nothing of what others do, without a word; so by the type of the file system we look ourselves. Watches are on
//! directories, never on files, which are replaced; and on every directory that holds a link of the way to one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::statfs::statfs;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::survey::{Places, Survey, is_tenants};
use crate::config::{Watch, Watching};
use crate::daemon::lock;

/// Links followed from one path: more are a circle.
const MOST_LINKS: usize = 16;
/// How often we look where the kernel tells: for what it may have lost.
const SAFETY: Duration = Duration::from_secs(60);

/// How changes are seen at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Seeing {
    /// Nobody has looked yet.
    #[default]
    Blind,
    /// The kernel tells.
    Told,
    /// We look.
    Looking {
        every: Duration,
        /// Why the kernel is not asked.
        why: String,
    },
    /// Nobody looks, by the operator's wish.
    Off,
}

impl Seeing {
    /// From one look to the next; none: no look is due.
    pub(super) fn every(&self) -> Option<Duration> {
        match self {
            Seeing::Blind | Seeing::Told => Some(SAFETY),
            Seeing::Looking { every, .. } => Some(*every),
            Seeing::Off => None,
        }
    }

    /// One word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Seeing::Blind | Seeing::Told => "events",
            Seeing::Looking { .. } => "polling",
            Seeing::Off => "off",
        }
    }

    /// In words, for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Seeing::Blind | Seeing::Told => "the kernel tells of changes".to_owned(),
            Seeing::Looking { every, why } => {
                format!("files are looked at every {} ms: {why}", every.as_millis())
            }
            Seeing::Off => "changes are taken over at `picket reload` and SIGHUP only".to_owned(),
        }
    }
}

/// Directories that are watched, with what they were then.
type Watched = BTreeMap<PathBuf, (u64, u64)>;

/// What is watched, and what of it matters.
#[derive(Default)]
pub(super) struct Eyes {
    watcher: Option<RecommendedWatcher>,
    watched: Watched,
    interest: Arc<Mutex<Interest>>,
    /// Files that came to their place by a rename, whole: by their real paths.
    arrived: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Something has happened.
    woken: Arc<Notify>,
    pub(super) seeing: Seeing,
}

/// Which events matter.
#[derive(Debug, Default)]
struct Interest {
    /// Everything directly in these.
    directories: BTreeSet<PathBuf>,
    /// These, wherever they are.
    paths: BTreeSet<PathBuf>,
}

impl Interest {
    fn is_in(&self, path: &Path) -> bool {
        self.paths.contains(path) || path.parent().is_some_and(|parent| self.directories.contains(parent))
    }
}

impl Eyes {
    /// Looks where it has to; to be called again whenever something may have changed.
    pub(super) fn turn_to(&mut self, places: &Places, survey: &Survey, watching: Watching) {
        let before = self.seeing.clone();
        let (directories, interest) = around(places, survey);
        *lock(&self.interest) = interest;
        let looking = |why: String| Seeing::Looking {
            every: watching.poll_interval,
            why,
        };
        let far = || {
            directories
                .iter()
                .find_map(|directory| Some((directory, foreign(directory)?)))
        };
        self.seeing = match watching.how {
            Watch::Off => Seeing::Off,
            Watch::Poll => looking("the configuration says so".to_owned()),
            Watch::Auto => match far() {
                Some((directory, system)) => looking(format!("{} is on {system}", directory.display())),
                None => match self.watch(&directories) {
                    Ok(()) => Seeing::Told,
                    Err(error) => looking(format!("the kernel does not tell ({error})")),
                },
            },
        };
        if self.seeing != Seeing::Told {
            (self.watcher, self.watched) = (None, Watched::new());
        }
        if self.seeing != before {
            tracing::info!("{}", self.seeing.words());
        }
    }

    /// Files that came to their place by a rename since this was asked last, by their real paths.
    pub(super) fn arrived(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *lock(&self.arrived))
    }

    /// Returns when the kernel has told of something.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    fn watch(&mut self, directories: &BTreeSet<PathBuf>) -> notify::Result<()> {
        if self.watcher.is_none() {
            let (woken, interest, arrived) = (self.woken.clone(), self.interest.clone(), self.arrived.clone());
            let told = move |event: notify::Result<notify::Event>| {
                let matters = event.as_ref().map_or(true, |event| {
                    // A look of ours opens and reads: woken by that, it would follow itself for ever.
                    let interest = lock(&interest);
                    !is_reading(event.kind)
                        && (event.paths.is_empty() || event.paths.iter().any(|path| interest.is_in(path)))
                });
                if matters {
                    if let Ok(event) = &event
                        && let EventKind::Modify(ModifyKind::Name(RenameMode::To)) = event.kind
                    {
                        lock(&arrived).extend(event.paths.iter().cloned());
                    }
                    woken.notify_one();
                }
            };
            (self.watcher, self.watched) = (Some(notify::recommended_watcher(told)?), Watched::new());
        }
        let Some(watcher) = &mut self.watcher else {
            return Ok(());
        };
        let now: Watched = directories
            .iter()
            .filter_map(|directory| {
                let about = std::fs::metadata(directory).ok()?;
                Some((directory.clone(), (about.dev(), about.ino())))
            })
            .collect();
        // A directory that went and came under its name is another.
        for (gone, _) in self
            .watched
            .iter()
            .filter(|(path, inode)| now.get(*path) != Some(inode))
        {
            let _ = watcher.unwatch(gone);
        }
        for (new, _) in now
            .iter()
            .filter(|(path, inode)| self.watched.get(*path) != Some(inode))
        {
            watcher.watch(new, RecursiveMode::NonRecursive)?;
        }
        self.watched = now;
        Ok(())
    }
}

/// The directories in which something has to happen when one of these files changes, and what of it matters.
fn around(places: &Places, survey: &Survey) -> (BTreeSet<PathBuf>, Interest) {
    let (mut directories, mut interest) = (BTreeSet::new(), Interest::default());
    let mut whole = places.directories.clone();
    whole.push(places.rules.clone());
    if let Ok(entries) = std::fs::read_dir(&places.rules) {
        whole.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| is_tenants(path)),
        );
    }
    for directory in &whole {
        links(directory, &mut directories, &mut interest);
        if let Ok(real) = std::fs::canonicalize(directory) {
            interest.directories.insert(real.clone());
            directories.insert(real);
        }
    }
    let named = places.files.iter().chain(survey.all().map(|(path, _)| path));
    for file in named {
        links(file, &mut directories, &mut interest);
    }
    (directories, interest)
}

/// The directory that holds the path's last part, and those that hold the links it leads through.
fn links(path: &Path, directories: &mut BTreeSet<PathBuf>, interest: &mut Interest) {
    let mut todo = vec![path.to_owned()];
    let mut followed = 0;
    while let Some(path) = todo.pop() {
        // Each part may be a link; what it leads to may be a way of its own.
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            let Ok(target) = std::fs::read_link(&so_far) else {
                continue;
            };
            followed += 1;
            if followed > MOST_LINKS {
                return;
            }
            if let Some(parent) = so_far.parent() {
                near(parent, &so_far, directories, interest);
                todo.push(parent.join(target));
            }
        }
        if let Some(parent) = path.parent() {
            near(parent, &path, directories, interest);
        }
    }
}

/// Watches the nearest directory there is above a path.
fn near(parent: &Path, path: &Path, directories: &mut BTreeSet<PathBuf>, interest: &mut Interest) {
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let mut child = path.to_owned();
    for ancestor in parent.ancestors() {
        if let Ok(real) = std::fs::canonicalize(ancestor) {
            if let Some(name) = child.file_name() {
                interest.paths.insert(real.join(name));
            }
            directories.insert(real);
            return;
        }
        child = ancestor.to_owned();
    }
}

/// The name of a file system of which the kernel does not tell everything; none: it does.
fn foreign(directory: &Path) -> Option<String> {
    const FAR: [(i64, &str); 16] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB 2"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "AFS"),
        (0x7375_7245, "Coda"),
        (0x786f_4256, "a VirtualBox folder"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x7461_636f, "OCFS2"),
        (0x0116_1970, "GFS2"),
        (0xaad7_aaea, "PanFS"),
    ];
    #[allow(
        clippy::useless_conversion,
        reason = "the kernel's type for it is another on other machines"
    )]
    let kind = i64::from(statfs(directory).ok()?.filesystem_type().0) & 0xffff_ffff;
    let known = FAR.iter().find(|(magic, _)| *magic == kind);
    known.map(|(_, name)| (*name).to_owned())
}

/// Whether nothing but a look was taken at the file.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_of_every_link_on_the_way_are_watched() {
        let directory = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(directory.path()).unwrap();
        for name in ["etc", "mnt/v1/deep", "mnt/v1/rules/acme"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("mnt/v1/deep/picket.yaml"), "").unwrap();
        std::os::unix::fs::symlink("v1", root.join("mnt/..data")).unwrap();
        std::os::unix::fs::symlink("../mnt/..data/deep/picket.yaml", root.join("etc/picket.yaml")).unwrap();
        let places = Places {
            files: vec![root.join("etc/picket.yaml")],
            directories: vec![root.join("etc/tenants.d/not/there")],
            rules: root.join("mnt/..data/rules"),
        };
        let (directories, interest) = around(&places, &Survey::of(&places));
        for name in ["etc", "mnt", "mnt/v1/deep", "mnt/v1/rules", "mnt/v1/rules/acme"] {
            assert!(directories.contains(&root.join(name)), "{name}: {directories:?}");
        }
        for name in [
            "etc/picket.yaml",
            "mnt/..data",
            "etc/tenants.d",
            "mnt/v1/rules/acme/new.wasm",
        ] {
            assert!(interest.is_in(&root.join(name)), "{name}: {interest:?}");
        }
        assert!(!interest.is_in(&root.join("etc/alerts.ndjson")));
        let circle = root.join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        links(&circle, &mut BTreeSet::new(), &mut Interest::default());
        assert_eq!(foreign(&root), None, "the tests' directory is on a local disk");
    }
}
