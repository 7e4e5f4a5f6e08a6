//! Modules from disk, and rules made of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use picket_contract::{RuleManifest, params};
use picket_event::Mask;
use picket_judge::pipeline::{RuleSet, RuleSpec};
use picket_judge::{JudgedRule, Tenant, Terms};
use picket_sandbox::{Engine, Limits, Module};

/// A sandbox as the daemon has it.
///
/// # Errors
/// The machine cannot give it.
pub(crate) fn engine() -> anyhow::Result<Engine> {
    let engine = Engine::new(Limits::default())?;
    for loss in engine.host().losses() {
        eprintln!("bench: {loss}");
    }
    Ok(engine)
}

/// The same without the kernel's help in finding used memory. None: the kernel cannot help here anyway.
///
/// # Errors
/// The machine cannot give it.
pub(crate) fn engine_without_scan(with: &Engine) -> anyhow::Result<Option<Engine>> {
    if !with.host().pagemap_scan {
        return Ok(None);
    }
    let limits = Limits {
        pagemap_scan: false,
        ..Limits::default()
    };
    Ok(Some(Engine::new(limits)?))
}

/// One module.
///
/// # Errors
/// It cannot be read, or is refused.
pub(crate) fn load(engine: &Engine, path: &Path) -> anyhow::Result<Arc<Module>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let module = engine
        .load(&bytes)
        .with_context(|| format!("{} is refused", path.display()))?;
    Ok(Arc::new(module))
}

/// All modules of a directory, sorted by name.
///
/// # Errors
/// The first that cannot be had.
pub(crate) fn load_all(engine: &Engine, directory: &Path) -> anyhow::Result<Vec<Arc<Module>>> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("{} cannot be read", directory.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    paths.sort();
    paths.iter().map(|path| load(engine, path)).collect()
}

/// Every rule of these modules with its default parameters, for a pipeline.
///
/// # Errors
/// A default that its own rule does not allow.
pub(crate) fn set(modules: &[Arc<Module>], hash: &str) -> anyhow::Result<RuleSet> {
    let mut rules = Vec::new();
    for (module, rule) in modules
        .iter()
        .flat_map(|module| module.manifest.rules.iter().map(move |rule| (module, rule)))
    {
        rules.push(RuleSpec {
            manifest: Arc::new(rule.clone()),
            evaluator: module.clone(),
            module: module.digest.clone(),
            attack_version: module.manifest.attack_version.as_str().into(),
            params: Arc::new(defaults(rule)?),
            tables: Arc::default(),
            terms: Terms::default(),
        });
    }
    Ok(RuleSet {
        rules,
        hash: hash.into(),
    })
}

/// The same rules, at no position, for a replay.
pub(crate) fn judged(set: &RuleSet) -> Vec<JudgedRule> {
    let judged = |spec: &RuleSpec| {
        let (manifest, evaluator) = (spec.manifest.clone(), spec.evaluator.clone());
        JudgedRule::new(manifest, evaluator, spec.module.clone(), spec.params.clone())
    };
    set.rules.iter().map(judged).collect()
}

/// A rule's default parameters.
///
/// # Errors
/// One that the rule does not allow itself.
pub(crate) fn defaults(rule: &RuleManifest) -> anyhow::Result<picket_contract::Params> {
    params::resolve(rule, &BTreeMap::new()).map_err(|wrong| anyhow::anyhow!("rule {}: {wrong:?}", rule.id))
}

/// Whose events they are.
pub(crate) fn tenant() -> Arc<Tenant> {
    Arc::new(Tenant {
        id: "acme".into(),
        name: "Acme".into(),
        timezone: "UTC".into(),
        panel: None,
        mask: Mask::substitute(),
    })
}
