//! Reading `picket.yaml` and the tenants' files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::Location;

use super::exceptions::{Exception, ExceptionsFile, Standing};
use super::file::{RootFile, TenantFile};
use super::overrides::{AllOverrides, Common, Groups, Tenants};
use super::tenant::{Checker, Entry, Said};
use super::{Config, Permissions, Problem, Problems, Retention, SinkConfig, Tables};
use crate::audit::Stated;
use crate::filed::Cabinet;
use crate::watch::is_configuration;

const DEFAULT_RULES: &str = "/etc/picket/rules";
const DEFAULT_DATA: &str = "/var/lib/picket";

/// A configuration of which single customers may be left out.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What is sound.
    pub(crate) config: Config,
    /// Customers whose file is wrong, and how.
    pub(crate) broken: Vec<(String, Problems)>,
}

/// Reads a configuration and the tenants' files beside it.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn load(path: &Path) -> Result<Config, Problems> {
    let Loaded { config, broken } = read_all(path)?;
    let problems: Vec<Problem> = broken.into_iter().flat_map(|(_, problems)| problems.0).collect();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Problems(problems))
    }
}

/// The same, with the files of its tables.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn load_whole(path: &Path) -> Result<Config, Problems> {
    let mut loaded = Loaded {
        config: load(path)?,
        broken: Vec::new(),
    };
    Cabinet::default().fill(&mut loaded)?;
    let problems: Vec<Problem> = loaded.broken.into_iter().flat_map(|(_, problems)| problems.0).collect();
    if problems.is_empty() {
        Ok(loaded.config)
    } else {
        Err(Problems(problems))
    }
}

/// The same, but what is wrong in one customer's file leaves out that customer alone.
///
/// # Errors
/// What is wrong for all, or that nobody is left.
pub(crate) fn load_for_run(path: &Path) -> Result<Loaded, Problems> {
    let loaded = read_all(path)?;
    if loaded.config.tenants.is_empty() && loaded.config.parents.is_empty() {
        let problems = loaded.broken.into_iter().flat_map(|(_, problems)| problems.0);
        return Err(Problems(problems.collect()));
    }
    Ok(loaded)
}

/// `Err`: everything that is wrong, if something is wrong for all.
fn read_all(path: &Path) -> Result<Loaded, Problems> {
    let text = read(path)?;
    let root: RootFile = parse(path, &text)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let mut stated = Stated::new(base);
    stated.add(path, "", &text);
    let mut problems = Vec::new();
    let mut broken = Vec::new();
    let mut warnings = Vec::new();
    let shared = Checker {
        path,
        text: &text,
        base,
    };
    let exceptions_dir = base.join(root.exceptions_dir.as_deref().unwrap_or(Path::new("exceptions.d")));
    let mut names = BTreeSet::new();
    let mut exceptions = shared.exceptions(&root.exceptions, Standing::Common, &root.tenant_groups, &mut problems);
    unique(&shared, &exceptions, &mut names, &mut problems);
    for file in yaml_files(&exceptions_dir, &mut problems) {
        let found = load_exceptions(&file, base, &root.tenant_groups, &mut names, &mut stated, &mut problems);
        exceptions.extend(found.unwrap_or_else(|wrong| {
            problems.extend(wrong.0);
            Vec::new()
        }));
    }
    let common = Arc::new(Common {
        overrides: shared.overrides(&root.rules, &mut problems),
        scoped: shared.scoped(&root.overrides, &root.tenant_groups, &mut problems),
        exceptions,
    });
    let lists = shared.lists(&root.lists, &mut problems);
    let mut list_files = shared.list_files(&root.lists);
    let sandbox = shared.sandbox(&root.sandbox, &mut problems);
    let signatures = shared.signatures(&root.signatures, &mut problems);
    let watching = shared.watching(&root.watch, &mut problems);
    let tables = shared.tables(&root.tables, true, &mut problems);
    let http = shared.http(&root.http, &mut problems);
    let per_hour = root.alerts_per_hour.as_ref().map(|most| most.value);
    let sinks = shared.sinks(&root.sinks, per_hour, &root.tenant_groups, &mut problems, &mut warnings);
    let reload = shared.reload(&root.reload, &mut problems);
    let (retention, keeping) = shared.keeping(root.retention, &mut problems);

    let mut entries = Vec::new();
    if let Some(source) = &root.source {
        let id = root.tenant.as_ref().map_or("default", |id| id.value.as_str());
        let location = root.tenant.as_ref().map_or(source.referenced, |id| id.referenced);
        shared.tenant_id(id, location, &mut problems);
        let said = Said {
            id,
            name: root.name.as_deref(),
            timezone: root.timezone.as_ref(),
            source,
            accounts: &root.accounts,
            overrides: AllOverrides::new(),
            exceptions: Vec::new(),
            common: common.clone(),
            lists: lists.clone(),
            tables: tables.clone(),
            permissions: Permissions::new(),
            sinks: None,
            retention: retention.clone(),
        };
        entries.extend(shared.entry(said, &mut problems, &mut warnings));
    } else if !root.accounts.is_empty() {
        problems.push(Problem::new(path, "`accounts` without a `source`").hint("see docs/operating.md, Many accounts"));
    }
    let directory = base.join(root.tenants_dir.as_deref().unwrap_or(Path::new("tenants.d")));
    let for_all = ForAll {
        base,
        common: &common,
        lists: &lists,
        tables: &tables,
        names: &names,
        sinks: &sinks,
        retention: &retention,
    };
    for file in yaml_files(&directory, &mut problems) {
        let mut own = Vec::new();
        match load_tenant(&file, &for_all, &mut stated, &mut list_files, &mut own, &mut warnings) {
            Ok(entry) => entries.extend(entry),
            Err(found) => own.extend(found.0),
        }
        if !own.is_empty() {
            let id = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            broken.push((id.to_owned(), Problems(own)));
        }
    }
    if entries.is_empty() && problems.is_empty() && broken.is_empty() {
        problems.push(
            Problem::new(path, "there is no Duo account to collect")
                .hint("write a `source:` here, or one file for each customer in tenants.d/ (see examples/)"),
        );
    }
    let mut ids = BTreeSet::new();
    for id in entries.iter().map(Entry::id) {
        if !ids.insert(id.to_owned()) {
            problems.push(Problem::new(path, format!("there are two tenants named `{id}`")));
        }
    }
    // Children are known by their ids only when they are listed.
    let has_parents = entries.iter().any(|entry| matches!(entry, Entry::Parent(_)));
    let is_unknown =
        |id: &&String| !has_parents && !ids.contains(*id) && !broken.iter().any(|(broken, _)| broken == *id);
    let of_sinks = sinks.iter().flat_map(SinkConfig::named);
    for id in common
        .named()
        .chain(of_sinks)
        .filter(is_unknown)
        .collect::<BTreeSet<_>>()
    {
        let what = format!("there is no tenant `{id}`, which overrides, exceptions or sinks name");
        warnings.push(Problem::new(path, what).hint("it is left out; what is said for others stands"));
    }
    for id in root.tenant_groups.keys().filter(|id| ids.contains(*id)) {
        let what = format!("`{id}` is the name of a tenant and of one of `tenant_groups`");
        problems.push(Problem::new(path, what).hint("name the group otherwise"));
    }
    if !problems.is_empty() {
        problems.extend(broken.into_iter().flat_map(|(_, problems)| problems.0));
        return Err(Problems(problems));
    }
    let (mut tenants, mut parents) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Tenant(tenant) => tenants.push(*tenant),
            Entry::Parent(parent) => parents.push(*parent),
        }
    }
    let data_dir = base.join(root.data_dir.unwrap_or_else(|| DEFAULT_DATA.into()));
    let config = Config {
        path: path.to_owned(),
        rules_dir: base.join(root.rules_dir.unwrap_or_else(|| DEFAULT_RULES.into())),
        control_socket: root
            .control_socket
            .map_or_else(|| data_dir.join("control.sock"), |socket| base.join(socket)),
        found: [&directory, &exceptions_dir]
            .into_iter()
            .filter(|directory| directory.is_dir())
            .cloned()
            .collect(),
        list_files,
        tenants_dir: directory,
        http,
        tenant_label: root.metrics.tenant_label,
        sinks,
        signatures,
        watching,
        tables,
        sandbox,
        reload,
        clear_numbers: root.alerts.clear_numbers,
        retention,
        keeping,
        exceptions_dir,
        data_dir,
        tenants,
        parents,
        warnings,
        stated,
    };
    Ok(Loaded { config, broken })
}

fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        Problem::new(path, format!("cannot be read: {error}"))
            .hint("say where the configuration is with --config, or copy examples/one-account.yaml")
    })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, Problem> {
    serde_saphyr::from_str(text).map_err(|error| Problem::yaml(path, text, &error))
}

fn yaml_files(directory: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(Problem::new(directory, format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        // Editors put files of their own beside those that are meant.
        .filter(|path| is_configuration(path))
        .collect();
    files.sort();
    files
}

/// What the files for all say that those of single tenants build on.
struct ForAll<'a> {
    base: &'a Path,
    common: &'a Arc<Common>,
    lists: &'a BTreeMap<String, Vec<String>>,
    tables: &'a Tables,
    /// Of exceptions.
    names: &'a BTreeSet<String>,
    sinks: &'a [SinkConfig],
    retention: &'a Retention,
}

fn load_exceptions(
    path: &Path,
    base: &Path,
    groups: &Groups,
    names: &mut BTreeSet<String>,
    stated: &mut Stated,
    problems: &mut Vec<Problem>,
) -> Result<Vec<(Tenants, Arc<Exception>)>, Problems> {
    let text = read(path)?;
    let file: ExceptionsFile = parse(path, &text)?;
    stated.add(path, "", &text);
    let checker = Checker {
        path,
        text: &text,
        base,
    };
    let exceptions = checker.exceptions(&file.exceptions, Standing::Apart, groups, problems);
    unique(&checker, &exceptions, names, problems);
    Ok(exceptions)
}

/// Alerts and lists name exceptions by their names.
fn unique(
    checker: &Checker<'_>,
    exceptions: &[(Tenants, Arc<Exception>)],
    names: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    for (_, exception) in exceptions {
        if !names.insert(exception.name.clone()) {
            let what = format!("there are two exceptions named `{}`", exception.name);
            problems.push(
                checker
                    .problem(Location::UNKNOWN, what)
                    .hint("give each a name of its own"),
            );
        }
    }
}

fn load_tenant(
    path: &Path,
    for_all: &ForAll<'_>,
    stated: &mut Stated,
    list_files: &mut Vec<PathBuf>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Result<Option<Entry>, Problems> {
    let text = read(path)?;
    let file: TenantFile = parse(path, &text)?;
    let checker = Checker {
        path,
        text: &text,
        base: for_all.base,
    };
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stated.add(path, id, &text);
    checker.tenant_id(id, Location::UNKNOWN, problems);
    let mut lists = for_all.lists.clone();
    lists.extend(checker.lists(&file.lists, problems));
    list_files.extend(checker.list_files(&file.lists));
    let exceptions = checker.exceptions(&file.exceptions, Standing::Tenant, &Groups::new(), problems);
    unique(&checker, &exceptions, &mut for_all.names.clone(), problems);
    let mut tables = for_all.tables.clone();
    tables.extend(checker.tables(&file.tables, false, problems));
    let said = Said {
        id,
        name: file.name.as_deref(),
        timezone: file.timezone.as_ref(),
        source: &file.source,
        accounts: &file.accounts,
        overrides: checker.overrides(&file.rules, problems),
        exceptions: exceptions.into_iter().map(|(_, exception)| exception).collect(),
        common: for_all.common.clone(),
        lists,
        tables,
        permissions: checker.permissions(&file.sandbox, problems),
        sinks: checker.own_sinks(file.sinks.as_deref(), for_all.sinks, problems),
        retention: checker.retention(&file.retention, for_all.retention, problems),
    };
    Ok(checker.entry(said, problems, warnings))
}
