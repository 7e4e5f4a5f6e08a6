//! One reading of the rules directory.
//!
//! A scan works on a copy of how the files stand and puts it in force at its end, so nobody waits for it. It does not
//! admit for longer than [`SLICE`] and what is under way: a directory of modules that each take the compiler to its limit is
//! admitted slice by slice, and what passed meanwhile goes live in between.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use picket_sandbox::{Engine, Rejected};
use picket_store::{StepOutcome, StepRow, VersionRow, VersionState};

use super::books::{Entry, rules_of};
use super::files::{self, Content};
use super::signed::{self, Beside, Signed};
use super::{
    Candidate, Changes, Live, Refusal, Registry, Scope, ShadowNote, Shadowing, Slot, Slots, Terms, Waiting, cases,
};
use crate::daemon::lock;
use crate::when;

/// How long one scan admits.
const SLICE: Duration = Duration::from_secs(15);

/// Why a module is not admitted.
pub(super) struct Refused {
    pub(super) code: &'static str,
    /// With the code before it.
    pub(super) reason: String,
    rival: Option<String>,
    is_passing: bool,
}

impl Refused {
    pub(super) fn new(code: &'static str, sentence: impl std::fmt::Display) -> Self {
        Refused::told(code, format!("{code}: {sentence}"))
    }

    /// One whose reason begins with the code already.
    pub(super) fn told(code: &'static str, reason: impl Into<String>) -> Self {
        Refused {
            code,
            reason: reason.into(),
            rival: None,
            is_passing: false,
        }
    }

    /// One that says nothing about the content: it is tried again at the next scan.
    pub(super) fn passing(code: &'static str, sentence: impl std::fmt::Display) -> Self {
        Refused {
            is_passing: true,
            ..Refused::new(code, sentence)
        }
    }

    /// Of content, and of what lay beside it for a signature.
    pub(super) fn refusal(self, digest: impl Into<String>, mark: &str) -> Refusal {
        Refusal {
            digest: digest.into(),
            mark: mark.to_owned(),
            code: self.code,
            reason: self.reason,
            rival: self.rival,
            is_passing: self.is_passing,
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

/// Codes of versions that the books say are not to be tried again by themselves.
pub(super) const ROLLED_BACK: &str = "rolled-back";
pub(super) const SHADOW: &str = "shadow";

impl Registry {
    /// Reads the directory again. What passes its own tests is to be tried on stored events ([`Changes::candidates`]); without
    /// books, and where nothing was ever written in them, it is in force. Blocks: compiling and testing a module takes tens of
    /// milliseconds, and a hostile one seconds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn scan(&self) -> std::io::Result<Changes> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.rows();
        let is_first = self.is_first.swap(false, Ordering::AcqRel);
        let mut scan = Scan {
            registry: self,
            terms: self.terms(),
            slots: self.slots().as_ref().clone(),
            changes: Changes::default(),
            // At the start of a daemon that never wrote anything down, what lies there is what judged, or a fresh installation.
            adopts: self.books.is_none() || (is_first && rows.is_empty()),
            rows,
            versions: Vec::new(),
            steps: Vec::new(),
            until: Instant::now() + SLICE,
        };
        // A rule may move from one file to another in one deploy: what stood in its way is then gone on a second look.
        for _ in 0..3 {
            let before = scan.changed();
            scan.changes.refused.clear();
            scan.changes.still_refused.clear();
            scan.changes.waiting.clear();
            scan.changes.shadow.clear();
            scan.changes.is_unfinished = false;
            scan.look()?;
            let is_waiting = |slot: &Slot| slot.refusal.as_ref().is_some_and(|refusal| refusal.rival.is_some());
            if scan.changed() == before || !scan.slots.values().any(is_waiting) {
                break;
            }
        }
        let (versions, steps) = (std::mem::take(&mut scan.versions), std::mem::take(&mut scan.steps));
        self.write(versions, steps);
        self.slots.store(Arc::new(scan.slots));
        Ok(scan.changes)
    }

    /// What the books say of every version; none if there are none.
    pub(super) fn rows(&self) -> Vec<VersionRow> {
        let Some(books) = &self.books else { return Vec::new() };
        books.versions().unwrap_or_else(|error| {
            tracing::error!("what is known of versions cannot be read: {error}");
            Vec::new()
        })
    }

    pub(super) fn write(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) {
        if let Some(books) = &self.books {
            books.write(versions, steps);
        }
    }

    pub(super) fn keep(&self, digest: &str, bytes: &[u8], signed: &Signed) {
        if let Some(books) = &self.books {
            books.keep(digest, bytes, signed.file.as_deref());
        }
    }

    /// What is noted of the live shadow of a file, if it is of this content.
    pub(crate) fn shadow_note(&self, file: &str, digest: &str) -> Option<ShadowNote> {
        self.books.as_ref()?.shadow(file, digest)
    }

    /// Notes how the live shadow of a file stands; none: it is over.
    pub(crate) fn note_shadow(&self, file: &str, note: Option<&ShadowNote>) {
        if let Some(books) = &self.books {
            books.set_shadow(file, note);
        }
    }

    /// Everything that content has to pass by itself, before it is compared with anything: what is checked of its bytes comes
    /// first, then it is compiled and described, then its own cases run.
    pub(super) fn examine(
        &self,
        path: &Path,
        scope: &Scope,
        bytes: &[u8],
        signed: Signed,
        slots: &Slots,
    ) -> Result<Arc<Live>, Refused> {
        let policy = self.terms().sandbox.module(&path.display().to_string());
        let module = Arc::new(self.engine.load_under(bytes, policy.limits)?);
        for rule in &module.manifest.rules {
            if let Some(other) = owner(slots, path, scope, &rule.id) {
                return Err(taken(&rule.id, other));
            }
        }
        let cases = cases::run(&module.manifest.rules, module.clone(), cases::Budget::default());
        let cases = cases.map_err(|(code, why)| Refused::new(code, why))?;
        let live = Live::new(module, path.display().to_string(), policy, cases, signed)
            .map_err(|why| Refused::new("parameter", why))?;
        Ok(Arc::new(live))
    }
}

pub(super) fn taken(rule: &str, other: &Path) -> Refused {
    let sentence = format!(
        "rule `{rule}` is in {} already; two rules of one id would share their state: rename one",
        other.display()
    );
    Refused {
        rival: Some(rule.to_owned()),
        ..Refused::new("rule-taken", sentence)
    }
}

/// Another file that has a live rule of this id for a tenant that `scope` covers too.
pub(super) fn owner<'s>(slots: &'s Slots, path: &Path, scope: &Scope, rule: &str) -> Option<&'s Path> {
    let meets = |other: &Scope| match (scope, other) {
        (Scope::Tenant(one), Scope::Tenant(other)) => one == other,
        _ => true,
    };
    let mut others = slots
        .iter()
        .filter(|(other, slot)| *other != path && meets(&slot.scope));
    let has = |slot: &Slot| {
        let rules = slot.live.as_ref().map(|live| &live.module.manifest.rules);
        rules.is_some_and(|rules| rules.iter().any(|other| other.id == rule))
    };
    others.find(|(_, slot)| has(slot)).map(|(other, _)| other.as_path())
}

struct Scan<'r> {
    registry: &'r Registry,
    terms: Arc<Terms>,
    slots: Slots,
    changes: Changes,
    /// What passes is in force at once.
    adopts: bool,
    /// What the books say.
    rows: Vec<VersionRow>,
    versions: Vec<VersionRow>,
    steps: Vec<StepRow>,
    /// No further module is admitted after this.
    until: Instant,
}

impl Scan<'_> {
    fn changed(&self) -> usize {
        self.changes.live.len() + self.changes.retired.len() + self.changes.candidates.len()
    }

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
            self.retire(&path);
        }
        for (path, scope) in files {
            self.file(path, scope);
        }
        Ok(())
    }

    /// The file is gone, and with it whatever was to come of its content.
    fn retire(&mut self, path: &Path) {
        let Some(slot) = self.slots.remove(path) else { return };
        let shown = path.display().to_string();
        let gone = "its file is gone";
        if let Some(waiting) = &slot.waiting {
            let entry = Entry {
                file: &shown,
                digest: &waiting.digest,
            };
            self.versions
                .push(entry.stands(VersionState::Retired, gone, waiting.rules.clone()));
            self.steps.push(entry.step("retire", StepOutcome::Failed, gone));
        }
        self.end_shadow(&slot, &shown, gone);
        if let Some(live) = &slot.live {
            let entry = Entry {
                file: &shown,
                digest: &live.module.digest,
            };
            self.versions
                .push(entry.stands(VersionState::Retired, gone, rules_of(live)));
            self.steps.push(entry.step("retire", StepOutcome::Passed, gone));
            self.changes.scopes.insert(slot.scope);
            self.changes.retired.push(shown);
        }
    }

    /// What was in shadow judges no more.
    fn end_shadow(&mut self, slot: &Slot, shown: &str, why: &str) {
        let Some(shadow) = &slot.shadowing else { return };
        let live = &shadow.candidate.live;
        let entry = Entry {
            file: shown,
            digest: &live.module.digest,
        };
        self.versions
            .push(entry.stands(VersionState::Retired, why, rules_of(live)));
        self.steps.push(entry.step("withdrawn", StepOutcome::Failed, why));
        self.registry.note_shadow(shown, None);
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
        let mut slot = self
            .slots
            .get(&path)
            .cloned()
            .unwrap_or_else(|| Slot::empty(scope.clone()));
        if slot
            .candidate
            .as_ref()
            .is_some_and(|candidate| *candidate.live.module.digest == *digest)
        {
            return;
        }
        // Whatever was tried of this file is not what lies there any more.
        slot.candidate = None;
        let in_shadow = slot.shadowing.as_ref();
        match in_shadow.map(|shadow| *shadow.candidate.live.module.digest == *digest) {
            Some(true) if in_shadow.is_some_and(|shadow| shadow.candidate.live.signed.mark == beside.mark) => {
                self.changes
                    .shadow
                    .extend(in_shadow.map(|shadow| (shown, shadow.words())));
                self.slots.insert(path, slot);
                return;
            }
            Some(_) => {
                self.end_shadow(&slot, &shown, "its file holds something else");
                slot.shadowing = None;
            }
            None => {}
        }
        let entry = Entry {
            file: &shown,
            digest: &digest,
        };
        let is_live = slot.live.as_ref().is_some_and(|live| *live.module.digest == *digest);
        let is_signed_alike = slot.live.as_ref().is_some_and(|live| live.signed.mark == beside.mark);
        let was_refused = slot.refusal.as_ref().is_some_and(|refusal| refusal.mark == beside.mark);
        if is_live && !is_signed_alike && !was_refused {
            // The same version, whose file has another signature beside it.
            let checked = match &content {
                Ok(bytes) => beside
                    .check(&path, bytes, &self.terms.signatures)
                    .map_err(|why| Refused::new("signature", why)),
                Err(_) => return,
            };
            match checked {
                Ok(signed) => {
                    if let Ok(bytes) = &content {
                        self.registry.keep(&digest, bytes, &signed);
                    }
                    let words = match signed.words().as_str() {
                        "" => "no signature that counts".to_owned(),
                        words => words.trim_start_matches(", ").to_owned(),
                    };
                    self.steps.push(entry.step("signature", StepOutcome::Passed, words));
                    slot.live = slot.live.map(|live| live.signed_by(signed));
                    slot.refusal = None;
                    self.changes.live.push(shown);
                }
                Err(refused) => {
                    self.changes.refused.push((shown, refused.reason.clone()));
                    slot.refusal = Some(refused.refusal(digest, &beside.mark));
                }
            }
            self.slots.insert(path, slot);
            return;
        }
        if is_live && is_signed_alike {
            let had_more = slot.refusal.take().is_some() | slot.waiting.is_some();
            if let Some(waiting) = slot.waiting.take() {
                let withdrawn = Entry {
                    file: &shown,
                    digest: &waiting.digest,
                };
                let why = "its file holds the version that judges again";
                self.versions
                    .push(withdrawn.stands(VersionState::Retired, why, waiting.rules));
                self.steps.push(withdrawn.step("withdrawn", StepOutcome::Failed, why));
            }
            if had_more {
                self.changes.live.push(shown.clone());
            }
            self.slots.insert(path, slot);
            return;
        }
        if let Some(waiting) = slot.waiting.as_ref().filter(|waiting| waiting.digest == digest) {
            self.changes.waiting.push((shown, waiting.reason.clone()));
            self.slots.insert(path, slot);
            return;
        }
        let stands = |refusal: &&Refusal| {
            let rival = refusal.rival.as_ref();
            refusal.digest == digest
                && refusal.mark == beside.mark
                && !refusal.is_passing
                && rival.is_none_or(|rule| owner(&self.slots, &path, &scope, rule).is_some())
        };
        if let Some(refusal) = slot.refusal.as_ref().filter(stands) {
            self.changes.still_refused.push((shown, refusal.reason.clone()));
            self.slots.insert(path, slot);
            return;
        }
        if self.is_decided((&digest, &beside.mark), &shown, &mut slot) {
            self.slots.insert(path, slot);
            return;
        }
        let examined = match content {
            Ok(_) if Instant::now() >= self.until => {
                self.changes.is_unfinished = true;
                return;
            }
            // Before anything else is done with bytes of strangers.
            Ok(bytes) => beside
                .check(&path, &bytes, &self.terms.signatures)
                .map_err(|why| Refused::new("signature", why))
                .and_then(|signed| self.registry.examine(&path, &scope, &bytes, signed, &self.slots))
                .map(|live| (live, bytes)),
            Err(refused) => Err(refused),
        };
        match examined {
            Ok((live, bytes)) => {
                let rules = rules_of(&live);
                let said = format!(
                    "{} {}, {} {} pass{}",
                    rules.len(),
                    when::plural(rules.len(), "rule"),
                    live.cases,
                    when::plural(live.cases, "case"),
                    live.signed.words()
                );
                slot.refusal = None;
                // One that was in shadow when the daemon ended goes on there.
                let was_in_shadow = self.registry.shadow_note(&shown, &digest).filter(|_| !self.adopts);
                let row = self
                    .rows
                    .iter()
                    .find(|row| row.state == VersionState::Shadow && *row.file == *shown && *row.digest == *digest);
                if let (Some(note), Some(row)) = (was_in_shadow, row) {
                    let shadow = Shadowing {
                        candidate: Candidate {
                            live,
                            bytes: bytes.into(),
                            is_asked_for: false,
                        },
                        since: row.since,
                        until: note.until,
                        waits: note.waits,
                    };
                    self.changes.shadow.push((shown, shadow.words()));
                    slot.shadowing = Some(shadow);
                    self.slots.insert(path, slot);
                    return;
                }
                self.steps.push(entry.step("admission", StepOutcome::Passed, said));
                if self.adopts {
                    self.registry.keep(&digest, &bytes, &live.signed);
                    let why = "in force when versions were first written down";
                    self.versions.push(entry.stands(VersionState::Live, why, rules));
                    self.steps.push(entry.step("live", StepOutcome::Passed, why));
                    slot.since = when::now();
                    slot.live = Some(live);
                    self.changes.scopes.insert(scope);
                    self.changes.live.push(shown);
                } else {
                    slot.candidate = Some(Candidate {
                        live,
                        bytes: bytes.into(),
                        is_asked_for: false,
                    });
                    self.changes.candidates.push(path.clone());
                }
            }
            Err(refused) => {
                self.changes.refused.push((shown.clone(), refused.reason.clone()));
                if let Some(books) = &self.registry.books {
                    books.write_news(entry.step("admission", StepOutcome::Failed, refused.reason.as_str()));
                }
                slot.refusal = Some(refused.refusal(digest, &beside.mark));
            }
        }
        self.slots.insert(path, slot);
    }

    /// Whether the books say of this content that it is not to be tried again by itself; then the slot says why.
    fn is_decided(&mut self, (digest, mark): (&str, &str), shown: &str, slot: &mut Slot) -> bool {
        let known = self
            .rows
            .iter()
            .find(|row| *row.file == *shown && *row.digest == *digest);
        let Some(row) = known else { return false };
        let code = match row.state {
            VersionState::Waiting => {
                slot.waiting = Some(Waiting {
                    digest: digest.to_owned(),
                    reason: row.reason.to_string(),
                    rules: row.rules.clone(),
                    since: row.since,
                });
                self.changes.waiting.push((shown.to_owned(), row.reason.to_string()));
                return true;
            }
            VersionState::RolledBack => ROLLED_BACK,
            VersionState::Refused => SHADOW,
            VersionState::Live | VersionState::Replaced | VersionState::Retired | VersionState::Shadow => return false,
        };
        let refused = Refused::told(code, &*row.reason);
        self.changes
            .still_refused
            .push((shown.to_owned(), refused.reason.clone()));
        slot.refusal = Some(refused.refusal(digest, mark));
        true
    }
}
