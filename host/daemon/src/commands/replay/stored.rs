//! The journal of a store judged again: by rules that somebody names, or exactly as it was judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use picket_event::Mask;
use picket_judge::lookup::Lookup;
use picket_judge::people::Stored;
use picket_judge::pipeline::{RuleSet, RuleSpec};
use picket_judge::rejudge::{Alerts, Found, Journal, Rejudged, judge_by};
use picket_judge::{JudgedRule, Settings, Tenant};
use picket_store::{AlertRow, SqliteStore, Store};

use super::{compared, granted, past, print, rules, stopped};
use crate::cli::Replay;
use crate::config::{self, Config, TenantConfig};
use crate::daemon::{judged_tenant, settings_of};
use crate::filed::Cabinet;
use crate::{commands, phone_key, when};

/// Of alerts, by the time at which they happened, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    from: i64,
    to: i64,
}

impl Range {
    pub(super) fn has(self, alert: &AlertRow) -> bool {
        (self.from..self.to).contains(&alert.time)
    }
}

/// Runs it. `directory`: that of the store, where it is not the configuration's.
///
/// # Errors
/// There is no such store, tenant or configuration; or the store's.
pub(super) fn run(arguments: &Replay, directory: Option<&Path>, config: &Path) -> anyhow::Result<()> {
    let now = when::now();
    let point = |text: &Option<String>, otherwise| match text {
        Some(text) => when::point(text, now),
        None => Ok(otherwise),
    };
    let range = Range {
        from: point(&arguments.from, i64::MIN)?,
        to: point(&arguments.to, i64::MAX)?,
    };
    let format = arguments.output.format;
    let mut kept = Alerts::default();
    let mut hear = |found: Found| {
        found.troubles.iter().for_each(stopped);
        let within = found.alerts.into_iter().filter(|alert| range.has(alert));
        if arguments.compare {
            kept.keep(within.map(compared::compact), &found.repeats);
        } else {
            // What nobody was told of, nobody is told of here.
            let told = within.filter(|alert| !alert.shadow && alert.suppressed.is_none());
            kept.keep(told, &found.repeats);
        }
        kept.fold(found.superseded);
    };
    let (rejudged, store, tenant) = match &arguments.rules {
        Some(rules) => by_rules(arguments, rules, directory, config, range, &mut hear)?,
        None => as_judged(arguments, directory, config, &mut hear)?,
    };
    for words in &rejudged.substituted {
        eprintln!("substituted: {words}");
    }
    let alerts = kept.into_rows();
    let alerts: Vec<&AlertRow> = alerts.iter().collect();
    if arguments.compare {
        return compared::run(&*store, &tenant, &alerts, range, format);
    }
    print(&alerts, rejudged.events, format);
    Ok(())
}

/// Told what judging finds, as it finds it.
type Hear<'h> = &'h mut dyn FnMut(Found);
type Judged = (Rejudged, Arc<dyn Store>, String);

/// By the generations that judged it.
fn as_judged(arguments: &Replay, directory: Option<&Path>, config: &Path, hear: Hear<'_>) -> anyhow::Result<Judged> {
    let mut loaded = config::load_for_run(config)
        .context("without --rules the configuration says what modules may read and spend; name it with --config")?;
    Cabinet::default().fill(&mut loaded)?;
    for (tenant, problems) in &loaded.broken {
        eprintln!("picket: {tenant} is left out: {problems}");
    }
    let mut config = commands::with_children(loaded.config);
    if let Some(directory) = directory {
        directory.clone_into(&mut config.data_dir);
    }
    let tenant = named(&config, arguments.tenant.as_deref())?.clone();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open_read_only(&config.data_dir)?);
    let mask = mask(arguments, &config.data_dir, &tenant.id)?;
    let journal = Journal {
        people: Arc::new(Stored::new(store.clone(), tenant.id.as_str().into(), mask.clone())),
        store: store.clone(),
        tenant: Arc::new(judged_tenant(&tenant, mask)),
        settings: settings_of(&config),
        now: when::now(),
    };
    Ok((past::rejudged(&journal, &config, &tenant, hear)?, store, tenant.id))
}

/// By rules that are named, with their default parameters, and the tables of the inventory as they are now.
fn by_rules(
    arguments: &Replay,
    path: &Path,
    directory: Option<&Path>,
    config: &Path,
    range: Range,
    hear: Hear<'_>,
) -> anyhow::Result<Judged> {
    let rules = rules(path, &granted(&arguments.grant))?;
    let data_dir: PathBuf = match directory {
        Some(directory) => directory.to_owned(),
        None => {
            config::load_for_run(config)
                .context("name the store's directory, as --store DIR, or the configuration")?
                .config
                .data_dir
        }
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open_read_only(&data_dir)?);
    let held = store.tenants()?;
    let tenant: Arc<str> = match (&arguments.tenant, held.as_slice()) {
        (Some(named), _) if held.iter().any(|held| **held == **named) => named.as_str().into(),
        (None, [only]) => only.clone(),
        (Some(named), _) => bail!(
            "the store holds nothing of a tenant `{named}`; it holds {}",
            held.join(", ")
        ),
        (None, _) => bail!(
            "the store holds several tenants: name one with --tenant: {}",
            held.join(", ")
        ),
    };
    let mask = mask(arguments, &data_dir, &tenant)?;
    let tables = Lookup::read(&*store, &tenant, &mask)?.tables;
    let spec = |rule: JudgedRule| RuleSpec {
        tables: tables.clone(),
        ..RuleSpec::from(rule)
    };
    let set = RuleSet {
        rules: rules.into_iter().map(spec).collect(),
        hash: "replay".into(),
    };
    // Rules that remember are shown what they would remember.
    let look_back = set.rules.iter().map(|rule| rule.manifest.state.look_back_ms).max();
    let after = match range.from {
        i64::MIN => 0,
        from => store.since(&tenant, from.saturating_sub(look_back.unwrap_or_default()), u64::MAX)?,
    };
    let journal = Journal {
        people: Arc::new(Stored::new(store.clone(), tenant.clone(), mask.clone())),
        store: store.clone(),
        tenant: Arc::new(Tenant {
            id: tenant.clone(),
            name: tenant.clone(),
            timezone: "UTC".into(),
            panel: None,
            mask,
        }),
        settings: Settings::default(),
        now: when::now(),
    };
    Ok((judge_by(&journal, set, after, hear)?, store, tenant.to_string()))
}

/// The tenant's key: the one that is named, or the one beside the store.
fn mask(arguments: &Replay, data_dir: &Path, tenant: &str) -> anyhow::Result<Arc<Mask>> {
    match &arguments.phone_key {
        Some(path) => phone_key::named(path),
        None => Ok(phone_key::to_read(data_dir, tenant)),
    }
}

fn named<'c>(config: &'c Config, named: Option<&str>) -> anyhow::Result<&'c TenantConfig> {
    let all = || config.tenants.iter().map(|tenant| tenant.id.as_str());
    match (named, config.tenants.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => bail!(
            "there are several tenants: name one with --tenant: {}",
            all().collect::<Vec<_>>().join(", ")
        ),
        (Some(id), tenants) => tenants.iter().find(|tenant| tenant.id == id).with_context(|| {
            format!(
                "there is no tenant `{id}`; there are: {}",
                all().collect::<Vec<_>>().join(", ")
            )
        }),
    }
}
