//! The rules directory: which modules are live, which were refused and why.
//!
//! `*.wasm` in the directory judge every tenant, `<tenant>/*.wasm` only that one. A new or changed file is read when it is
//! stable on disk, admitted by the sandbox, checked against the rules that are live already, and put through its own timed
//! cases in the production sandbox ([`scan`]). It is then a *candidate*: the daemon shows it stored events beside the version
//! that it replaces, and decides ([`settle`]). Only then does it take the place of what its file held before; any failure
//! leaves the running version where it is and says why, until the file changes again.
//!
//! What is in force is not what lies in the directory: a version that waits or was taken back lies there, too. So the store
//! says which version of each file judges, and its content is kept apart ([`Books`]); a start begins with these.
//!
//! Admitting takes its time: a compiler's process, then the cases. Whoever asks how the rules stand, and whoever starts a
//! tenant, never waits for it: what is in force is one value, which a scan replaces when it is done.

mod archive;
mod books;
mod cases;
mod files;
mod live;
mod scan;
mod settle;
mod signed;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use picket_judge::{JudgedRule, Mode, OnPoison};
use picket_sandbox::Engine;

use crate::config::{Config, Sandbox, Signatures, edits};
use crate::daemon::lock;
use crate::sight::{Sight, Timed};
use files::Content;
use signed::Beside;
pub(crate) use signed::Signed;

pub(crate) use archive::Archive;
pub(crate) use books::{Books, Pause, Pauses, ShadowNote, shadow_note};
pub(crate) use live::{Live, Scope};
pub(crate) use settle::{Decision, NotDone};
pub(crate) use slot::{Candidate, Changes, Refusal, Shadowing, Slot, Waiting};

/// Files, as relative paths, and how they stand.
pub(crate) type Slots = BTreeMap<PathBuf, Slot>;

/// What the operator says of modules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    /// Where they are.
    pub(crate) directory: PathBuf,
    /// What they may spend and read.
    pub(crate) sandbox: Sandbox,
    /// Whose signatures count.
    pub(crate) signatures: Signatures,
}

impl Terms {
    /// As a configuration has them.
    pub(crate) fn of(config: &Config) -> Self {
        Terms {
            directory: config.rules_dir.clone(),
            sandbox: config.sandbox.clone(),
            signatures: config.signatures.clone(),
        }
    }
}

/// What judges a tenant, shared modules first.
pub(crate) fn live_in(slots: &Slots, tenant: &str) -> Vec<Arc<Live>> {
    let covering = slots.values().filter(|slot| slot.scope.covers(tenant));
    covering.filter_map(|slot| slot.live.clone()).collect()
}

/// All files of the rules directory.
#[derive(Debug)]
pub(crate) struct Registry {
    engine: Engine,
    terms: ArcSwap<Terms>,
    /// None: what lies in the directory is all there is.
    books: Option<Books>,
    slots: ArcSwap<Slots>,
    /// What the operator paused.
    pauses: ArcSwap<Pauses>,
    /// Where calls of rules are counted and timed.
    sight: Option<Arc<Sight>>,
    /// Digests of versions that are watched.
    watched: ArcSwap<BTreeSet<Arc<str>>>,
    /// Nothing has been scanned yet.
    is_first: AtomicBool,
    /// One scan or decision at a time.
    scanning: Mutex<()>,
    /// Files that are being written: they stay as they are.
    held: Mutex<BTreeSet<PathBuf>>,
    /// The device on which the directory was at the last scan.
    device: Mutex<Option<(PathBuf, u64)>>,
}

impl Registry {
    /// Nothing is live before the first [`Registry::scan`], or [`Registry::restore`].
    pub(crate) fn new(terms: Terms, engine: Engine) -> Self {
        Registry {
            engine,
            terms: ArcSwap::from_pointee(terms),
            books: None,
            slots: ArcSwap::default(),
            pauses: ArcSwap::default(),
            sight: None,
            watched: ArcSwap::default(),
            is_first: AtomicBool::new(true),
            scanning: Mutex::default(),
            held: Mutex::default(),
            device: Mutex::default(),
        }
    }

    /// What the operator says of modules, as it is now.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// The same with books in which what becomes of versions is written.
    pub(crate) fn with(self, books: Books) -> Self {
        Registry {
            books: Some(books),
            ..self
        }
    }

    /// The same with the calls of its rules counted and timed.
    pub(crate) fn timed(self, sight: &Arc<Sight>) -> Self {
        Registry {
            sight: Some(sight.clone()),
            ..self
        }
    }

    /// What the operator paused.
    pub(crate) fn pauses(&self) -> Arc<Pauses> {
        self.pauses.load_full()
    }

    /// From now on these versions are watched: a row that one of them fails on is never skipped, since another version is to
    /// go on right before it.
    pub(crate) fn watch(&self, digests: BTreeSet<Arc<str>>) {
        self.watched.store(Arc::new(digests));
    }

    /// Rules on the terms that hold beside what is configured: paused by the operator, or watched.
    pub(crate) fn on_terms(&self, mut rules: Vec<JudgedRule>) -> Vec<JudgedRule> {
        let (pauses, watched) = (self.pauses.load(), self.watched.load());
        for rule in &mut rules {
            if let Some(sight) = &self.sight {
                rule.evaluator = Timed::watch(rule.evaluator.clone(), sight);
            }
            if pauses.contains_key(&rule.manifest.id) {
                rule.terms.mode = Mode::Paused;
            }
            if watched.contains(&rule.module) {
                rule.terms.on_poison = OnPoison::Quarantine;
            }
        }
        rules
    }

    /// The file that is meant by its name, with or without `.wasm`, or by a rule of its versions.
    ///
    /// # Errors
    /// In words: there is none, or several.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf, String> {
        let slots = self.slots();
        let shown = |path: &Path| path.display().to_string();
        let by_name = slots
            .keys()
            .find(|path| shown(path) == name || shown(path) == format!("{name}.wasm"));
        if let Some(path) = by_name {
            return Ok(path.clone());
        }
        let has = |slot: &Slot| {
            let of = |live: &Arc<Live>| live.rules.iter().any(|(rule, _)| rule.id == name);
            slot.live.as_ref().is_some_and(of)
                || slot.candidate.as_ref().is_some_and(|candidate| of(&candidate.live))
                || slot.shadowing.as_ref().is_some_and(|shadow| of(&shadow.candidate.live))
                || slot
                    .waiting
                    .as_ref()
                    .is_some_and(|waiting| waiting.rules.iter().any(|(rule, _)| rule == name))
        };
        let found: Vec<&PathBuf> = slots
            .iter()
            .filter(|(_, slot)| has(slot))
            .map(|(path, _)| path)
            .collect();
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            [] => Err(format!(
                "there is no rule and no module `{name}`; `picket rule list` shows both"
            )),
            several => Err(format!(
                "several modules have the rule `{name}`: name one of {}",
                several.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// Whether some live module has a rule of this id.
    pub(crate) fn has_rule(&self, id: &str) -> bool {
        let slots = self.slots();
        let mut live = slots.values().filter_map(|slot| slot.live.as_ref());
        live.any(|live| live.rules.iter().any(|(rule, _)| rule.id == id))
    }

    /// How every file stands, as the last scan left it.
    pub(crate) fn slots(&self) -> Arc<Slots> {
        self.slots.load_full()
    }

    /// What judges a tenant, shared modules first.
    pub(crate) fn live(&self, tenant: &str) -> Vec<Arc<Live>> {
        live_in(&self.slots(), tenant)
    }

    /// Every file as it would stand under other terms. Nothing is put in force.
    ///
    /// # Errors
    /// Every module that is live and could not be.
    pub(crate) fn under(&self, terms: &Terms) -> Result<Slots, Vec<String>> {
        let mut slots = self.slots().as_ref().clone();
        let mut refused = Vec::new();
        let under = |live: &Live| {
            let signed = if terms.signatures == self.terms().signatures {
                Ok(live.signed.clone())
            } else {
                self.signature_of(live, terms)
            };
            signed.and_then(|signed| live.under(terms, signed))
        };
        for slot in slots.values_mut() {
            // One in shadow that could not be live is tried once more from the beginning, which says why.
            slot.shadowing = slot.shadowing.take().and_then(|mut shadow| {
                shadow.candidate.live = Arc::new(under(&shadow.candidate.live).ok()?);
                Some(shadow)
            });
            let Some(live) = &slot.live else { continue };
            match under(live) {
                Ok(live) => slot.live = Some(Arc::new(live)),
                Err(why) => refused.push(format!("module {}, which is live, would be refused: {why}", live.file)),
            }
        }
        if refused.is_empty() { Ok(slots) } else { Err(refused) }
    }

    /// These files are being written: until other files are, a scan leaves them as they are.
    pub(crate) fn hold(&self, files: BTreeSet<PathBuf>) {
        *lock(&self.held) = files;
    }

    /// Puts other terms in force that change nothing of what is live.
    pub(crate) fn judge_by_terms(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Who signed a version that is live, under other terms.
    fn signature_of(&self, live: &Live, terms: &Terms) -> Result<Signed, String> {
        let refused = |why: String| format!("signature: {why}");
        let path = self.terms().directory.join(&live.file);
        let beside = Beside::read(&path, &terms.signatures);
        match files::read(&path, self.engine.most_bytes()) {
            Ok(Content::Bytes(bytes)) if Engine::digest(&bytes) == *live.module.digest => {
                beside.check(&path, &bytes, &terms.signatures).map_err(refused)
            }
            _ => self.kept_signature(Path::new(&live.file), &live.module.digest, &terms.signatures),
        }
    }

    /// Who signed a version that does not lie in its file any more, by the signature that it is kept with.
    fn kept_signature(&self, path: &Path, digest: &str, signatures: &Signatures) -> Result<Signed, String> {
        if !signatures.count() {
            return Ok(Signed::default());
        }
        let refused = |why: String| format!("signature: {why}");
        let archive = self.books.as_ref().map(|books| &books.archive);
        let content = archive.and_then(|archive| archive.read(digest).ok().flatten());
        let Some(content) = content else {
            let why = "its file holds something else and its content is not kept, so its signature cannot be checked";
            return Err(refused(why.to_owned()));
        };
        let beside = Beside::kept(archive.and_then(|archive| archive.signature(digest)));
        beside.check(path, &content, signatures).map_err(refused)
    }

    /// Puts other terms in force, with what [`Registry::under`] made of the files.
    pub(crate) fn judge_by(&self, terms: Terms, slots: Slots) {
        self.terms.store(Arc::new(terms));
        self.slots.store(Arc::new(slots));
    }

    /// Directories of modules for tenants that there are not: likely a slip of the pen.
    pub(crate) fn strays<'a>(&self, tenants: impl Iterator<Item = &'a str>) -> Vec<String> {
        let known: BTreeSet<&str> = tenants.collect();
        let slots = self.slots();
        let scopes: BTreeSet<&Scope> = slots.values().map(|slot| &slot.scope).collect();
        let stray = scopes.into_iter().filter_map(|scope| match scope {
            Scope::Tenant(tenant) if !known.contains(tenant.as_str()) => Some(tenant),
            _ => None,
        });
        let say = |stray: &String| {
            let near = known.iter().map(|name| (edits(stray, name), name)).min();
            let near = near.filter(|(distance, _)| *distance <= 4);
            let near = near.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"));
            format!(
                "{}: there is no tenant `{stray}`: its rules judge nobody{near}",
                self.terms().directory.join(stray).display()
            )
        };
        stray.map(say).collect()
    }
}
