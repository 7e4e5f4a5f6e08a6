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
mod scan;
mod settle;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use picket_contract::{Params, RuleManifest, params};
use picket_event::Permission;
use picket_judge::{JudgedRule, Mode, OnPoison};
use picket_sandbox::{Engine, Module};
use serde::Serialize;

use crate::config::{Config, ModulePolicy, Permissions, Sandbox, Signatures, edits};
use crate::daemon::lock;
use files::Content;
use signed::Beside;
pub(crate) use signed::Signed;

pub(crate) use archive::Archive;
pub(crate) use books::{Books, Pause, Pauses};
pub(crate) use settle::{Decision, NotDone};

/// Whom a module judges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Every tenant.
    All,
    /// One.
    Tenant(String),
}

impl Scope {
    /// Whether the module judges this tenant.
    pub(crate) fn covers(&self, tenant: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Tenant(own) => own == tenant,
        }
    }
}

/// A module that passed everything. Tenants share it: what a thousand of them need of a rule is there once.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) module: Arc<Module>,
    /// Its file, relative to the rules directory; empty outside it.
    pub(crate) file: String,
    /// What the operator says of it.
    pub(crate) policy: ModulePolicy,
    /// Its rules, each with the parameters it has where nobody says otherwise.
    pub(crate) rules: Vec<(Arc<RuleManifest>, Arc<Params>)>,
    /// How many cases passed.
    pub(crate) cases: usize,
    /// Who signed it.
    pub(crate) signed: Signed,
}

impl Live {
    fn new(
        module: Arc<Module>,
        file: String,
        policy: ModulePolicy,
        cases: usize,
        signed: Signed,
    ) -> Result<Self, String> {
        let mut rules = Vec::new();
        for rule in &module.manifest.rules {
            let defaults = params::resolve(rule, &BTreeMap::new()).map_err(|wrong| {
                let wrong: Vec<String> = wrong.into_iter().map(|(_, why)| why).collect();
                wrong.join("\n")
            })?;
            rules.push((Arc::new(rule.clone()), Arc::new(defaults)));
        }
        Ok(Live {
            module,
            file,
            policy,
            rules,
            cases,
            signed,
        })
    }

    /// The same version, whose file has another signature beside it.
    fn signed_by(&self, signed: Signed) -> Arc<Self> {
        Arc::new(Live {
            module: self.module.clone(),
            file: self.file.clone(),
            policy: self.policy.clone(),
            rules: self.rules.clone(),
            cases: self.cases,
            signed,
        })
    }

    /// The same version under other terms.
    ///
    /// # Errors
    /// Why it could not be live.
    fn under(&self, terms: &Terms, signed: Signed) -> Result<Self, String> {
        let policy = terms.sandbox.module(&self.file);
        let module = if policy.limits == self.module.limits {
            self.module.clone()
        } else {
            let module = self.module.under(policy.limits);
            Arc::new(module.map_err(|rejected| format!("{}: {rejected}", rejected.code()))?)
        };
        Ok(Live {
            module,
            file: self.file.clone(),
            policy,
            rules: self.rules.clone(),
            cases: self.cases,
            signed,
        })
    }

    /// What it may read of a tenant: what is said of it for all, and what the tenant's file says.
    pub(crate) fn permission(&self, of_tenant: &Permissions) -> Permission {
        let permission = self.policy.permission.clone();
        match of_tenant.get(&self.file) {
            Some(own) => permission.and(own),
            None => permission,
        }
    }

    /// A module outside the rules directory.
    ///
    /// # Errors
    /// A parameter whose default is out of its own range.
    pub(crate) fn untested(module: Arc<Module>) -> Result<Arc<Self>, String> {
        let policy = Sandbox::default().module("");
        Ok(Arc::new(Live::new(
            module,
            String::new(),
            policy,
            0,
            Signed::default(),
        )?))
    }
}

/// Why a file is not live (or not its newest content).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// Digest of the content that was refused.
    pub(crate) digest: String,
    /// Short and stable; `docs/rules.md` lists them.
    pub(crate) code: &'static str,
    /// `CODE: sentence`.
    pub(crate) reason: String,
    /// Of its signature's file, as [`Signed::mark`].
    #[serde(skip)]
    mark: String,
    /// The rule that another file has, if that is all: it may be over without this file changing.
    #[serde(skip)]
    rival: Option<String>,
    /// It says nothing about the content: the next scan tries it again.
    #[serde(skip)]
    is_passing: bool,
}

/// A version that passed its own tests and is yet to be compared.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) live: Arc<Live>,
    bytes: Arc<[u8]>,
    /// Somebody asked for it by name: alerts that differ do not keep it waiting.
    pub(crate) is_asked_for: bool,
}

/// A version that passed everything and waits for somebody to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) digest: String,
    /// In words, with what differs.
    pub(crate) reason: String,
    /// Ids and versions of its rules.
    pub(crate) rules: Vec<(String, String)>,
    /// Wall clock, ms.
    pub(crate) since: i64,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) scope: Scope,
    /// What judges.
    pub(crate) live: Option<Arc<Live>>,
    /// Since when, wall clock, ms.
    pub(crate) since: i64,
    /// What judged before, to go back to at once.
    previous: Option<Arc<Live>>,
    /// What is being tried.
    pub(crate) candidate: Option<Candidate>,
    /// What waits.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) refusal: Option<Refusal>,
}

impl Slot {
    fn empty(scope: Scope) -> Self {
        Slot {
            scope,
            live: None,
            since: 0,
            previous: None,
            candidate: None,
            waiting: None,
            refusal: None,
        }
    }
}

/// What a scan changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    /// Files whose (new) content is live now.
    pub(crate) live: Vec<String>,
    /// Files whose new content was refused, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// Files whose content was refused before and has not changed since, and why.
    pub(crate) still_refused: Vec<(String, String)>,
    /// Files that are gone; their rules retire.
    pub(crate) retired: Vec<String>,
    /// Directories of tenants that are gone: what they held stays in force.
    pub(crate) kept: BTreeSet<String>,
    /// Files whose content has passed and waits for somebody to decide, and why.
    pub(crate) waiting: Vec<(String, String)>,
    /// Files whose content is to be tried on stored events.
    #[serde(skip)]
    pub(crate) candidates: Vec<PathBuf>,
    #[serde(skip)]
    scopes: BTreeSet<Scope>,
    /// There is more to admit: scan again, once these are in force.
    #[serde(skip)]
    pub(crate) is_unfinished: bool,
}

impl Changes {
    /// Nothing but that everybody's rules are to be looked at again.
    pub(crate) fn of_all() -> Self {
        Changes {
            scopes: BTreeSet::from([Scope::All]),
            ..Changes::default()
        }
    }

    /// Whether the tenant's rules are others now.
    pub(crate) fn touch(&self, tenant: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(tenant))
    }

    /// What a further scan changed, added.
    pub(crate) fn and_then(&mut self, later: Changes) {
        self.live.extend(later.live);
        self.refused.extend(later.refused);
        // What was refused a moment ago is no news of before.
        let new: BTreeSet<&String> = self.refused.iter().map(|(path, _)| path).collect();
        let still = later.still_refused.into_iter().filter(|(path, _)| !new.contains(path));
        self.still_refused = still.collect();
        self.retired.extend(later.retired);
        self.kept = later.kept;
        self.waiting = later.waiting;
        self.candidates.extend(later.candidates);
        self.scopes.extend(later.scopes);
        self.is_unfinished = later.is_unfinished;
    }
}

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
        for slot in slots.values_mut() {
            let Some(live) = &slot.live else { continue };
            let signed = if terms.signatures == self.terms().signatures {
                Ok(live.signed.clone())
            } else {
                self.signature_of(live, terms)
            };
            match signed.and_then(|signed| live.under(terms, signed)) {
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
        let bytes = match files::read(&path, self.engine.most_bytes()) {
            Ok(Content::Bytes(bytes)) if Engine::digest(&bytes) == *live.module.digest => bytes,
            _ if !terms.signatures.count() => return Ok(Signed::default()),
            _ => {
                return Err(refused(
                    "its file holds something else, so its signature cannot be checked".to_owned(),
                ));
            }
        };
        beside.check(&path, &bytes, &terms.signatures).map_err(refused)
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
