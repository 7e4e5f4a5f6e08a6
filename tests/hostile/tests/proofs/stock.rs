//! The stock rules in the production sandbox, over the simulator's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use duo_simulator::company::{Options, generate};
use duo_simulator::json::dumps;
use duo_simulator::model::Feed;
use picket_contract::{Evaluate, params};
use picket_judge::replay::{Replayed, Rows, replay};
use picket_judge::{JudgedRule, Settings, Tenant};
use picket_sandbox::{Engine, Module};

/// Every stock module, sorted by name.
pub(crate) fn modules(engine: &Engine) -> Vec<Arc<Module>> {
    let directory = picket_e2e::installed("rules");
    let mut paths: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    paths.sort();
    assert!(
        paths.len() >= 6,
        "the stock rules are not built: run `cargo xtask rules`"
    );
    let load = |path| Arc::new(engine.load(&std::fs::read(path).unwrap()).unwrap());
    paths.iter().map(load).collect()
}

/// Their rules with their default parameters, each called through what `through` makes of its module.
pub(crate) fn rules(modules: &[Arc<Module>], through: impl Fn(&Arc<Module>) -> Arc<dyn Evaluate>) -> Vec<JudgedRule> {
    let of = |module: &Arc<Module>| {
        let evaluator = through(module);
        let rules = module.manifest.rules.iter();
        let judged = rules.map(|rule| {
            let params = Arc::new(params::resolve(rule, &BTreeMap::new()).unwrap());
            JudgedRule::new(Arc::new(rule.clone()), evaluator.clone(), module.digest.clone(), params)
        });
        judged.collect::<Vec<_>>()
    };
    modules.iter().flat_map(of).collect()
}

/// The logs of a company, as its account would give them.
pub(crate) fn company(options: &Options) -> Vec<Rows> {
    let account = generate(options);
    let of = |feed: Feed| {
        let rows = account.rows.iter().filter(|row| row.feed == feed);
        Rows {
            log: feed.name().into(),
            rows: rows.map(|row| dumps(&row.json).into()).collect(),
        }
    };
    [Feed::Authentication, Feed::Activity, Feed::Telephony].map(of).into()
}

/// What the rules make of the logs of a tenant.
pub(crate) fn judge(tenant: &str, rules: Vec<JudgedRule>, logs: &[Rows], batch_rows: usize) -> Replayed {
    let tenant = Tenant {
        id: tenant.into(),
        name: tenant.into(),
        timezone: "America/New_York".into(),
        panel: None,
        mask: picket_event::Mask::substitute(),
    };
    let settings = Settings {
        batch_rows,
        ..Settings::default()
    };
    let replayed = replay(Arc::new(tenant), settings, rules, logs, 1_800_000_000_000).unwrap();
    assert_eq!(replayed.troubles, []);
    replayed
}
