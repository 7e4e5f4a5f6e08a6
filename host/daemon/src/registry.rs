//! The rules directory: which modules are live, which were refused and why.
//!
//! `*.wasm` in the directory judge every tenant, `<tenant>/*.wasm` only that one. A new or changed file is read when it is
//! stable on disk, admitted by the sandbox, checked against the rules that are live already, and put through its own timed
//! cases in the production sandbox. Only then does it take the place of what its file held before; any failure leaves the
//! running version where it is and says why, until the file changes again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use picket_contract::{Evaluate, Params, RuleManifest, params};
use picket_event::Permission;
use picket_sandbox::{Engine, Module};
use serde::Serialize;

use crate::config::{ModulePolicy, Permissions, Sandbox, edits};

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
}

impl Live {
    fn new(module: Arc<Module>, file: String, policy: ModulePolicy, cases: usize) -> Result<Self, String> {
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
        Ok(Arc::new(Live::new(module, String::new(), policy, 0)?))
    }
}

/// Why a file is not live (or not its newest content).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// Digest of the content that was refused.
    pub(crate) digest: String,
    pub(crate) reason: String,
    /// The rule that another file has, if that is all: it may be over without this file changing.
    #[serde(skip)]
    rival: Option<String>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) scope: Scope,
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) refusal: Option<Refusal>,
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
    #[serde(skip)]
    scopes: BTreeSet<Scope>,
}

impl Changes {
    /// Whether the tenant's rules are others now.
    pub(crate) fn touch(&self, tenant: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(tenant))
    }
}

/// All files of the rules directory.
#[derive(Debug)]
pub(crate) struct Registry {
    directory: PathBuf,
    engine: Engine,
    sandbox: Sandbox,
    slots: BTreeMap<PathBuf, Slot>,
}

impl Registry {
    /// Nothing is live before the first [`Registry::scan`].
    pub(crate) fn new(directory: PathBuf, engine: Engine, sandbox: Sandbox) -> Self {
        Registry {
            directory,
            engine,
            sandbox,
            slots: BTreeMap::new(),
        }
    }

    /// Files, as relative paths, and how they stand.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&Path, &Slot)> {
        self.slots.iter().map(|(path, slot)| (path.as_path(), slot))
    }

    /// What judges a tenant, shared modules first.
    pub(crate) fn live(&self, tenant: &str) -> Vec<Arc<Live>> {
        let covering = self.slots.values().filter(|slot| slot.scope.covers(tenant));
        covering.filter_map(|slot| slot.live.clone()).collect()
    }

    /// Directories of modules for tenants that there are not: likely a slip of the pen.
    pub(crate) fn strays<'a>(&self, tenants: impl Iterator<Item = &'a str>) -> Vec<String> {
        let known: BTreeSet<&str> = tenants.collect();
        let scopes: BTreeSet<&Scope> = self.slots.values().map(|slot| &slot.scope).collect();
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
                self.directory.join(stray).display()
            )
        };
        stray.map(say).collect()
    }

    /// Reads the directory again. Blocks: compiling and testing a module takes tens of milliseconds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn scan(&mut self) -> std::io::Result<Changes> {
        let mut changes = Changes::default();
        // A rule may move from one file to another in one deploy: what stood in its way is then gone on a second look.
        for _ in 0..3 {
            let before = changes.live.len() + changes.retired.len();
            changes.refused.clear();
            changes.still_refused.clear();
            self.look(&mut changes)?;
            let is_waiting = |slot: &Slot| slot.refusal.as_ref().is_some_and(|refusal| refusal.rival.is_some());
            if changes.live.len() + changes.retired.len() == before || !self.slots.values().any(is_waiting) {
                break;
            }
        }
        Ok(changes)
    }

    fn look(&mut self, changes: &mut Changes) -> std::io::Result<()> {
        let files = files(&self.directory)?;
        let gone: Vec<PathBuf> = self
            .slots
            .keys()
            .filter(|path| !files.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            if let Some(slot) = self.slots.remove(&path)
                && slot.live.is_some()
            {
                changes.scopes.insert(slot.scope);
                changes.retired.push(path.display().to_string());
            }
        }
        for (path, scope) in files {
            let shown = path.display().to_string();
            let bytes = match read_stable(&self.directory.join(&path)) {
                Ok(Some(bytes)) => bytes,
                // Still being written: the watcher wakes us again when it is done.
                Ok(None) => continue,
                Err(error) => {
                    changes.refused.push((shown, format!("cannot be read: {error}")));
                    continue;
                }
            };
            let digest = Engine::digest(&bytes);
            let slot = self.slots.get(&path);
            let live = slot.and_then(|slot| slot.live.clone());
            let is_live = live.as_ref().is_some_and(|live| *live.module.digest == *digest);
            let refused = slot.and_then(|slot| slot.refusal.clone());
            let is_over = |refusal: &Refusal| {
                refusal
                    .rival
                    .as_ref()
                    .is_some_and(|rule| self.owner(&path, &scope, rule).is_none())
            };
            if let Some(refusal) = refused
                .as_ref()
                .filter(|refusal| refusal.digest == digest && !is_over(refusal))
            {
                changes.still_refused.push((shown, refusal.reason.clone()));
                continue;
            }
            if is_live && refused.is_none() {
                continue;
            }
            let admitted = if is_live {
                Ok(live.clone())
            } else {
                self.admit(&path, &scope, &bytes).map(Some)
            };
            let slot = match admitted {
                Ok(admitted) => {
                    changes.scopes.insert(scope.clone());
                    changes.live.push(shown);
                    Slot {
                        scope,
                        live: admitted,
                        refusal: None,
                    }
                }
                Err((reason, rival)) => {
                    changes.refused.push((shown, reason.clone()));
                    Slot {
                        scope,
                        live,
                        refusal: Some(Refusal { digest, reason, rival }),
                    }
                }
            };
            self.slots.insert(path, slot);
        }
        Ok(())
    }

    /// What was wrong, and the rule that another file has, if it was that.
    fn admit(&self, path: &Path, scope: &Scope, bytes: &[u8]) -> Result<Arc<Live>, (String, Option<String>)> {
        let policy = self.sandbox.module(&path.display().to_string());
        let loaded = self.engine.load_under(bytes, policy.limits);
        let module = Arc::new(loaded.map_err(|rejected| (rejected.line(), None))?);
        for rule in &module.manifest.rules {
            if let Some(other) = self.owner(path, scope, &rule.id) {
                let reason = format!(
                    "rule `{}` is in {} already; two rules of one id would share their state: rename one",
                    rule.id,
                    other.display()
                );
                return Err((reason, Some(rule.id.clone())));
            }
        }
        let cases = test(&module).map_err(|reason| (reason, None))?;
        Ok(Arc::new(
            Live::new(module, path.display().to_string(), policy, cases).map_err(|reason| (reason, None))?,
        ))
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

/// Runs the timed cases that travel inside a module, in the sandbox it will judge in.
///
/// # Errors
/// A rule without cases, or the first rule whose cases fail, with what was expected and what came.
pub(crate) fn test(module: &Arc<Module>) -> Result<usize, String> {
    let mut passed = 0;
    for rule in &module.manifest.rules {
        let evaluator: Arc<dyn Evaluate> = module.clone();
        let report = picket_test::run(rule, &evaluator)?;
        if !report.failures.is_empty() {
            return Err(format!("rule `{}` fails its own tests:\n{}", rule.id, report));
        }
        passed += report.passed;
    }
    Ok(passed)
}

/// Relative paths of modules and whom they judge.
fn files(directory: &Path) -> std::io::Result<BTreeMap<PathBuf, Scope>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().map(PathBuf::from) else {
            continue;
        };
        if path.is_dir() {
            let Some(tenant) = name.to_str() else { continue };
            for entry in std::fs::read_dir(&path)? {
                let inner = entry?.path();
                if let Some(file) = inner.file_name().filter(|_| is_module(&inner)) {
                    found.insert(name.join(file), Scope::Tenant(tenant.to_owned()));
                }
            }
        } else if is_module(&path) {
            found.insert(name, Scope::All);
        }
    }
    Ok(found)
}

/// Editors and copying tools write hidden and temporary files first.
fn is_module(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_none_or(|name| name.starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == "wasm")
}

/// The content, unless the file changed while it was read or within the last instant and is still growing.
fn read_stable(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let look = |path: &Path| -> std::io::Result<(u64, Option<SystemTime>)> {
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.len(), metadata.modified().ok()))
    };
    for _ in 0..3 {
        let before = look(path)?;
        let bytes = std::fs::read(path)?;
        if look(path)? == before && bytes.len() as u64 == before.0 {
            return Ok(Some(bytes));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}
