//! One reading of the rules directory.
//!
//! A scan works on a copy of how the files stand and puts it in force at its end, so nobody waits for it. It does not
//! admit for longer than [`SLICE`] and what is under way: a directory of modules that each take the compiler to its limit is
//! admitted slice by slice, and what passed meanwhile goes live in between.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use picket_sandbox::{Engine, Rejected};

use crate::daemon::lock;

use super::files::{self, Content};
use super::signed::{self, Beside, Signed};
use super::{Changes, Live, Refusal, Registry, Scope, Slot, Slots, Terms, cases};

/// How long one scan admits.
const SLICE: Duration = Duration::from_secs(15);

/// Why a module is not admitted.
struct Refused {
    code: &'static str,
    /// With the code before it.
    reason: String,
    rival: Option<String>,
    is_passing: bool,
}

impl Refused {
    fn new(code: &'static str, sentence: impl std::fmt::Display) -> Self {
        Refused {
            code,
            reason: format!("{code}: {sentence}"),
            rival: None,
            is_passing: false,
        }
    }
}

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        Refused {
            is_passing: rejected.is_passing(),
            ..Refused::new(rejected.code(), &rejected)
        }
    }
}

impl Registry {
    /// Reads the directory again and puts what passes in force. Blocks: compiling and testing a module takes tens of
    /// milliseconds, and a hostile one seconds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn scan(&self) -> std::io::Result<Changes> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scan = Scan {
            registry: self,
            terms: self.terms(),
            slots: self.slots().as_ref().clone(),
            changes: Changes::default(),
            until: Instant::now() + SLICE,
        };
        // A rule may move from one file to another in one deploy: what stood in its way is then gone on a second look.
        for _ in 0..3 {
            let before = scan.changes.live.len() + scan.changes.retired.len();
            scan.changes.refused.clear();
            scan.changes.still_refused.clear();
            scan.changes.is_unfinished = false;
            scan.look()?;
            let is_waiting = |slot: &Slot| slot.refusal.as_ref().is_some_and(|refusal| refusal.rival.is_some());
            let changed = scan.changes.live.len() + scan.changes.retired.len() != before;
            if !changed || !scan.slots.values().any(is_waiting) {
                break;
            }
        }
        self.slots.store(Arc::new(scan.slots));
        Ok(scan.changes)
    }
}

struct Scan<'r> {
    registry: &'r Registry,
    terms: Arc<Terms>,
    slots: Slots,
    changes: Changes,
    /// No further module is admitted after this.
    until: Instant,
}

impl Scan<'_> {
    fn look(&mut self) -> std::io::Result<()> {
        let files = files::list(&self.terms.directory)?;
        self.is_the_same_disk(files.is_empty())?;
        let gone: Vec<PathBuf> = self
            .slots
            .keys()
            .filter(|path| !files.iter().any(|(file, _)| file == *path))
            .cloned()
            .collect();
        for path in gone {
            // A file that is gone retires its rules. A directory that is gone is more likely a disk or a deployment that is: it
            // takes nothing along.
            if let Some(within) = path.parent().filter(|within| !within.as_os_str().is_empty())
                && !self.terms.directory.join(within).is_dir()
            {
                self.changes.kept.insert(within.display().to_string());
                continue;
            }
            if let Some(slot) = self.slots.remove(&path)
                && slot.live.is_some()
            {
                self.changes.scopes.insert(slot.scope);
                self.changes.retired.push(path.display().to_string());
            }
        }
        for (path, scope) in files {
            self.file(path, scope);
        }
        Ok(())
    }

    /// An empty directory on another device than that of the last scan is one under which a disk is not mounted (or was).
    fn is_the_same_disk(&self, is_empty: bool) -> std::io::Result<()> {
        let directory = &self.terms.directory;
        let now = (directory.clone(), std::fs::metadata(directory)?.dev());
        let mut known = lock(&self.registry.device);
        let is_other = known
            .as_ref()
            .is_some_and(|(of, device)| *of == now.0 && *device != now.1);
        if is_other && is_empty && self.slots.values().any(|slot| slot.live.is_some()) {
            return Err(std::io::Error::other(
                "it is on another device than before, and empty: is it mounted?",
            ));
        }
        *known = Some(now);
        Ok(())
    }

    /// Whether the file, or its signature, is being written.
    fn is_held(&self, file: &Path) -> bool {
        let held = lock(&self.registry.held);
        held.contains(file) || (self.terms.signatures.count() && held.contains(&signed::path(file)))
    }

    fn file(&mut self, path: PathBuf, scope: Scope) {
        let shown = path.display().to_string();
        let file = self.terms.directory.join(&path);
        if self.is_held(&file) {
            return;
        }
        let most = self.registry.engine.most_bytes();
        let beside = Beside::read(&file, &self.terms.signatures);
        let (digest, content) = match files::read(&file, most) {
            Ok(Content::Bytes(bytes)) => (Engine::digest(&bytes), Ok(bytes)),
            Ok(Content::Unsettled) => return,
            Ok(Content::TooMany(bytes)) => (
                format!("{bytes} bytes"),
                Err(Refused::from(self.registry.engine.too_many_bytes(bytes))),
            ),
            Err(error) => (error.to_string(), Err(Refused::new("unreadable", error))),
        };
        let slot = self.slots.get(&path);
        let live = slot.and_then(|slot| slot.live.clone());
        let is_live = live.as_ref().is_some_and(|live| *live.module.digest == *digest);
        let is_signed_alike = live.as_ref().is_some_and(|live| live.signed.mark == beside.mark);
        let refusal = slot.and_then(|slot| slot.refusal.as_ref());
        let stands = |refusal: &&Refusal| {
            let rival = refusal.rival.as_ref();
            refusal.digest == digest
                && refusal.mark == beside.mark
                && !refusal.is_passing
                && rival.is_none_or(|rule| self.owner(&path, &scope, rule).is_some())
        };
        if let Some(refusal) = refusal.filter(stands) {
            self.changes.still_refused.push((shown, refusal.reason.clone()));
            return;
        }
        if is_live && is_signed_alike && refusal.is_none() {
            return;
        }
        let admitted = match content {
            // Before anything else is done with bytes of strangers.
            Ok(bytes) => match beside.check(&path, &bytes, &self.terms.signatures) {
                Err(why) => Err(Refused::new("signature", why)),
                Ok(signed) if is_live => Ok(live.as_ref().map(|live| live.signed_by(signed))),
                Ok(_) if Instant::now() >= self.until => {
                    self.changes.is_unfinished = true;
                    return;
                }
                Ok(signed) => self.admit(&path, &scope, &bytes, signed).map(Some),
            },
            Err(refused) => Err(refused),
        };
        let slot = match admitted {
            Ok(admitted) => {
                self.changes.scopes.insert(scope.clone());
                self.changes.live.push(shown);
                Slot {
                    scope,
                    live: admitted,
                    refusal: None,
                }
            }
            Err(refused) => {
                self.changes.refused.push((shown, refused.reason.clone()));
                Slot {
                    scope,
                    live,
                    refusal: Some(Refusal {
                        digest,
                        mark: beside.mark,
                        code: refused.code,
                        reason: refused.reason,
                        rival: refused.rival,
                        is_passing: refused.is_passing,
                    }),
                }
            }
        };
        self.slots.insert(path, slot);
    }

    fn admit(&self, path: &Path, scope: &Scope, bytes: &[u8], signed: Signed) -> Result<Arc<Live>, Refused> {
        let policy = self.terms.sandbox.module(&path.display().to_string());
        let module = Arc::new(self.registry.engine.load_under(bytes, policy.limits)?);
        for rule in &module.manifest.rules {
            if let Some(other) = self.owner(path, scope, &rule.id) {
                let sentence = format!(
                    "rule `{}` is in {} already; two rules of one id would share their state: rename one",
                    rule.id,
                    other.display()
                );
                return Err(Refused {
                    rival: Some(rule.id.clone()),
                    ..Refused::new("rule-taken", sentence)
                });
            }
        }
        let cases = cases::run(&module.manifest.rules, module.clone(), cases::Budget::default());
        let cases = cases.map_err(|(code, why)| Refused::new(code, why))?;
        let live = Live::new(module, path.display().to_string(), policy, cases, signed)
            .map_err(|why| Refused::new("parameter", why))?;
        Ok(Arc::new(live))
    }

    /// Another file that has a live rule of this id for a tenant that `scope` covers too.
    fn owner(&self, path: &Path, scope: &Scope, rule: &str) -> Option<&Path> {
        let meets = |other: &Scope| match (scope, other) {
            (Scope::Tenant(one), Scope::Tenant(other)) => one == other,
            _ => true,
        };
        let mut others = self
            .slots
            .iter()
            .filter(|(other, slot)| *other != path && meets(&slot.scope));
        let has = |slot: &Slot| {
            let rules = slot.live.as_ref().map(|live| &live.module.manifest.rules);
            rules.is_some_and(|rules| rules.iter().any(|other| other.id == rule))
        };
        others.find(|(_, slot)| has(slot)).map(|(other, _)| other.as_path())
    }
}
