//! The configuration, read from YAML and checked: what `picket run` and `picket check` work from.
//!
//! Reading collects everything that is wrong before it gives up, so that one `picket check` shows it all.

mod file;
mod problem;
mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

pub(crate) use file::StdoutFormat;
use file::{Overrides, RootFile, SinkFile, SourceFile, TenantFile};
pub(crate) use problem::{Problem, Problems, edits};
pub(crate) use secret::SecretSource;

/// Where the configuration is unless told otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/picket/picket.yaml";
const DEFAULT_RULES: &str = "/etc/picket/rules";
const DEFAULT_DATA: &str = "/var/lib/picket";

/// Seconds. Duo asks collectors not to call a log endpoint more than once a minute; twice that is what the vendors' guides set.
const POLL_INTERVAL_MIN: f64 = 120.0;

/// Everything the daemon needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it was read from.
    pub(crate) path: PathBuf,
    /// Where the store is.
    pub(crate) data_dir: PathBuf,
    /// `*.wasm` for every tenant, `<tenant>/*.wasm` for one.
    pub(crate) rules_dir: PathBuf,
    /// Where `picket status` and the like talk to the daemon.
    pub(crate) control_socket: PathBuf,
    /// Where alerts go.
    pub(crate) sinks: Vec<SinkConfig>,
    /// One at least, by id.
    pub(crate) tenants: Vec<TenantConfig>,
}

/// One Duo account and how it is judged.
#[derive(Debug, Clone)]
pub(crate) struct TenantConfig {
    /// Lower case, digits, `-`, `_`, `.`.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// IANA name.
    pub(crate) timezone: String,
    /// Where its logs come from.
    pub(crate) source: SourceConfig,
    /// By rule id.
    pub(crate) overrides: BTreeMap<String, Override>,
    /// Named lists that parameters refer to as `$name`.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
}

/// What an operator changes about a rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Override {
    /// `enabled: false` switches the rule off.
    pub(crate) enabled: Option<bool>,
    /// Parameter values as written, with where they were written (`file:line:column`).
    pub(crate) params: BTreeMap<String, (Value, String)>,
}

/// How to collect one account. Spans are ms.
#[derive(Debug, Clone)]
pub(crate) struct SourceConfig {
    /// Host, with a port only where it is a loopback address.
    pub(crate) api_hostname: String,
    /// `DI...`.
    pub(crate) integration_key: String,
    /// Read when it is needed.
    pub(crate) secret: SecretSource,
    /// ms.
    pub(crate) poll_interval: u64,
    /// Duo's own logs.
    pub(crate) collect: Vec<String>,
    /// How far back a first start reads, ms.
    pub(crate) start: i64,
    /// How much of the past is asked for again, ms.
    pub(crate) overlap: i64,
    /// How much later than Duo's two minutes rows may come and still be judged in order, ms.
    pub(crate) lateness: i64,
    /// After how long without progress readers stop waiting for a log, ms.
    pub(crate) max_wait: i64,
    /// `v5`, `v2-sha512`, `v2-sha1`.
    pub(crate) signature: String,
    /// A CA to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// `http://proxy:3128`.
    pub(crate) proxy: Option<String>,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkConfig {
    /// Standard output.
    Stdout(StdoutFormat),
    /// A rotating NDJSON file.
    File {
        /// The file.
        path: PathBuf,
        /// Bytes at which a new one is begun.
        max_bytes: u64,
        /// How many old ones are kept.
        keep: u32,
    },
}

/// Reads a configuration and the tenants' files beside it.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn load(path: &Path) -> Result<Config, Problems> {
    let text = read(path)?;
    let root: RootFile = parse(path, &text)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let mut problems = Vec::new();
    let shared = Checker {
        path,
        text: &text,
        base,
    };
    let overrides = shared.overrides(&root.rules, &mut problems);

    let mut tenants = Vec::new();
    if let Some(source) = &root.source {
        let id = root.tenant.as_ref().map_or("default", |id| id.value.as_str());
        let location = root.tenant.as_ref().map_or(source.referenced, |id| id.referenced);
        shared.tenant_id(id, location, &mut problems);
        tenants.extend(shared.tenant(
            id,
            root.name.as_deref(),
            root.timezone.as_ref(),
            source,
            overrides.clone(),
            root.lists.clone(),
            &mut problems,
        ));
    }
    for file in tenant_files(
        &base.join(root.tenants_dir.as_deref().unwrap_or(Path::new("tenants.d"))),
        &mut problems,
    ) {
        match load_tenant(&file, base, &overrides, &root.lists, &mut problems) {
            Ok(tenant) => tenants.extend(tenant),
            Err(found) => problems.extend(found.0),
        }
    }
    if tenants.is_empty() && problems.is_empty() {
        problems.push(
            Problem::new(path, "there is no Duo account to collect")
                .hint("write a `source:` here, or one file for each customer in tenants.d/ (see examples/)"),
        );
    }
    let mut ids = std::collections::BTreeSet::new();
    for tenant in &tenants {
        if !ids.insert(tenant.id.clone()) {
            problems.push(Problem::new(
                path,
                format!("there are two tenants named `{}`", tenant.id),
            ));
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let data_dir = base.join(root.data_dir.unwrap_or_else(|| DEFAULT_DATA.into()));
    Ok(Config {
        path: path.to_owned(),
        rules_dir: base.join(root.rules_dir.unwrap_or_else(|| DEFAULT_RULES.into())),
        control_socket: root
            .control_socket
            .map_or_else(|| data_dir.join("control.sock"), |socket| base.join(socket)),
        sinks: sinks(root.sinks, base),
        data_dir,
        tenants,
    })
}

fn sinks(files: Vec<SinkFile>, base: &Path) -> Vec<SinkConfig> {
    if files.is_empty() {
        return vec![SinkConfig::Stdout(StdoutFormat::Text)];
    }
    let sink = |file| match file {
        SinkFile::Stdout { format } => SinkConfig::Stdout(format),
        SinkFile::File { path, max_bytes, keep } => SinkConfig::File {
            path: base.join(path),
            max_bytes: max_bytes.unwrap_or(64 << 20),
            keep: keep.unwrap_or(8),
        },
    };
    files.into_iter().map(sink).collect()
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

fn tenant_files(directory: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
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
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml")
        })
        .collect();
    files.sort();
    files
}

fn load_tenant(
    path: &Path,
    base: &Path,
    shared: &BTreeMap<String, Override>,
    lists: &BTreeMap<String, Vec<String>>,
    problems: &mut Vec<Problem>,
) -> Result<Option<TenantConfig>, Problems> {
    let text = read(path)?;
    let file: TenantFile = parse(path, &text)?;
    let checker = Checker {
        path,
        text: &text,
        base,
    };
    let id = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default()
        .to_owned();
    checker.tenant_id(&id, Location::UNKNOWN, problems);
    let mut overrides = shared.clone();
    for (rule, own) in checker.overrides(&file.rules, problems) {
        let all = overrides.entry(rule).or_default();
        all.enabled = own.enabled.or(all.enabled);
        all.params.extend(own.params);
    }
    let mut all_lists = lists.clone();
    all_lists.extend(file.lists);
    let name = file.name.as_deref();
    Ok(checker.tenant(
        &id,
        name,
        file.timezone.as_ref(),
        &file.source,
        overrides,
        all_lists,
        problems,
    ))
}

/// Turns one file's shapes into configuration, and says where what is wrong stands.
struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
    base: &'a Path,
}

impl Checker<'_> {
    fn problem(&self, location: Location, what: impl Into<String>) -> Problem {
        Problem::new(self.path, what).at(location, self.text)
    }

    fn tenant_id(&self, id: &str, location: Location, problems: &mut Vec<Problem>) {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let starts = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !starts || id.len() > 64 || !id.bytes().all(good) {
            problems.push(
                self.problem(location, format!("`{id}` cannot be a tenant's id"))
                    .hint("use up to 64 lower-case letters, digits, `-`, `_` and `.`, as in `acme-eu`"),
            );
        }
    }

    fn overrides(&self, rules: &Overrides, problems: &mut Vec<Problem>) -> BTreeMap<String, Override> {
        let mut overrides = BTreeMap::new();
        for (rule, settings) in rules {
            let mut own = Override::default();
            for (name, value) in settings {
                if name == "enabled" {
                    own.enabled = value.value.as_bool();
                    if own.enabled.is_none() {
                        let what = format!("rules: {rule}: `enabled` is neither true nor false");
                        problems.push(self.problem(value.referenced, what));
                    }
                    continue;
                }
                let place = value.referenced;
                let place = format!("{}:{}:{}", self.path.display(), place.line(), place.column());
                own.params.insert(name.clone(), (value.value.clone(), place));
            }
            overrides.insert(rule.clone(), own);
        }
        overrides
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the two files that hold a tenant differ in all of these"
    )]
    fn tenant(
        &self,
        id: &str,
        name: Option<&str>,
        timezone: Option<&Spanned<String>>,
        source: &Spanned<SourceFile>,
        overrides: BTreeMap<String, Override>,
        lists: BTreeMap<String, Vec<String>>,
        problems: &mut Vec<Problem>,
    ) -> Option<TenantConfig> {
        if let Some(zone) = timezone
            && jiff::tz::TimeZone::get(&zone.value).is_err()
        {
            problems.push(
                self.problem(zone.referenced, format!("`{}` is no time zone", zone.value))
                    .hint("use a name of the IANA database, such as Europe/Berlin or UTC"),
            );
        }
        let source = self.source(&source.value, source.referenced, problems)?;
        Some(TenantConfig {
            id: id.to_owned(),
            name: name.unwrap_or(id).to_owned(),
            timezone: timezone.map_or("UTC", |zone| zone.value.as_str()).to_owned(),
            source,
            overrides,
            lists,
        })
    }

    fn source(&self, source: &SourceFile, whole: Location, problems: &mut Vec<Problem>) -> Option<SourceConfig> {
        let before = problems.len();
        if source.kind.value != "duo" {
            problems.push(
                self.problem(
                    source.kind.referenced,
                    format!("source type `{}` is unknown", source.kind.value),
                )
                .hint("the only one is `type: duo`"),
            );
        }
        let api_hostname = self.text(&source.api_hostname, problems);
        let integration_key = self.text(&source.integration_key, problems);
        if let Some(hint) = wrong_hostname(&api_hostname) {
            let what = format!("api_hostname `{api_hostname}` is not a Duo API host");
            problems.push(self.problem(source.api_hostname.referenced, what).hint(hint));
        }
        let secret = self.secret(source, whole, problems);
        let poll_interval = self.poll_interval(source.poll_interval.as_ref(), &api_hostname, problems);
        let signature = source
            .signature
            .as_ref()
            .map_or("v5", |signature| signature.value.as_str())
            .to_owned();
        if let Some(given) = &source.signature
            && !["v5", "v2-sha512", "v2-sha1"].contains(&given.value.as_str())
        {
            problems.push(
                self.problem(given.referenced, format!("signature `{}` is unknown", given.value))
                    .hint("leave it out: v5 works on every endpoint; v2-sha512 and v2-sha1 are for old front ends"),
            );
        }
        let collect = self.collect(source, problems);
        let mut span = |given: Option<&Spanned<String>>, default: &str| self.span(given, default, problems);
        let start = span(source.start.as_ref(), "35d");
        let overlap = span(source.overlap.as_ref(), "15m");
        let lateness = span(source.lateness.as_ref(), "0s");
        let max_wait = span(source.max_wait.as_ref(), "10m");
        if let Some(given) = &source.start
            && start > 180 * 86_400_000
        {
            problems.push(
                self.problem(given.referenced, "Duo keeps 180 days")
                    .hint("start: 180d, or less"),
            );
        }
        (problems.len() == before).then_some(())?;
        Some(SourceConfig {
            api_hostname,
            integration_key,
            secret: secret?,
            poll_interval,
            collect,
            start,
            overlap,
            lateness,
            max_wait,
            signature,
            ca_file: source.ca_file.as_ref().map(|path| self.base.join(&path.value)),
            proxy: source.proxy.as_ref().map(|proxy| proxy.value.clone()),
        })
    }

    /// A text, or the environment variable it names.
    fn text(&self, text: &Spanned<String>, problems: &mut Vec<Problem>) -> String {
        let Some(name) = secret::variable(&text.value) else {
            return text.value.trim().to_owned();
        };
        std::env::var(name).unwrap_or_else(|_| {
            problems.push(self.problem(text.referenced, format!("the environment variable {name} is not set")));
            String::new()
        })
    }

    fn secret(&self, source: &SourceFile, whole: Location, problems: &mut Vec<Problem>) -> Option<SecretSource> {
        let inline = source
            .secret_key
            .as_ref()
            .map(|text| (SecretSource::from_text(&text.value), text.referenced));
        let file = source.secret_key_file.as_ref();
        let file = file.map(|path| (SecretSource::File(self.base.join(&path.value)), path.referenced));
        let credential = source.secret_key_credential.as_ref();
        let credential = credential.map(|name| (SecretSource::Credential(name.value.clone()), name.referenced));
        let mut given = [inline, file, credential].into_iter().flatten();
        let Some((secret, location)) = given.next() else {
            problems.push(
                self.problem(whole, "the source has no secret key").hint(
                    "add `secret_key: ${DUO_SECRET_KEY}`, `secret_key_file: PATH` or `secret_key_credential: NAME`",
                ),
            );
            return None;
        };
        if given.next().is_some() {
            problems.push(
                self.problem(location, "the source has more than one secret key")
                    .hint("keep one of secret_key, secret_key_file and secret_key_credential"),
            );
        }
        Some(secret)
    }

    /// ms.
    fn poll_interval(&self, given: Option<&Spanned<f64>>, host: &str, problems: &mut Vec<Problem>) -> u64 {
        let seconds = given.map_or(POLL_INTERVAL_MIN, |seconds| seconds.value);
        let least = if is_loopback(host) { 0.05 } else { POLL_INTERVAL_MIN };
        if let Some(given) = given
            && !(least..=86_400.0).contains(&seconds)
        {
            problems.push(
                self.problem(given.referenced, format!("poll_interval is {seconds} seconds"))
                    .hint("120 at least (Duo refuses faster callers), 86400 at most"),
            );
        }
        std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|interval| u64::try_from(interval.as_millis()).ok())
            .unwrap_or(120_000)
    }

    fn collect(&self, source: &SourceFile, problems: &mut Vec<Problem>) -> Vec<String> {
        const LOGS: [&str; 4] = ["authentication", "activity", "telephony", "administrator"];
        let Some(given) = &source.collect else {
            return ["authentication", "activity", "telephony"].map(str::to_owned).to_vec();
        };
        let mut collect = Vec::new();
        for log in given {
            if !LOGS.contains(&log.value.as_str()) {
                let near = LOGS.iter().min_by_key(|name| edits(&log.value, name));
                let near = near.filter(|name| edits(&log.value, name) <= 4);
                let near = near.map_or(String::new(), |name| format!("did you mean `{name}`? "));
                problems.push(
                    self.problem(log.referenced, format!("there is no log `{}`", log.value))
                        .hint(format!("{near}The logs are {}", LOGS.join(", "))),
                );
            } else if !collect.contains(&log.value) {
                collect.push(log.value.clone());
            }
        }
        if given.is_empty() {
            problems.push(
                self.problem(source.api_hostname.referenced, "`collect` is empty")
                    .hint("name one log at least"),
            );
        }
        collect
    }

    /// ms.
    fn span(&self, given: Option<&Spanned<String>>, default: &str, problems: &mut Vec<Problem>) -> i64 {
        let text = given.map_or(default, |given| given.value.as_str());
        picket_contract::params::span(text).unwrap_or_else(|error| {
            problems.push(self.problem(given.map_or(Location::UNKNOWN, |given| given.referenced), error));
            0
        })
    }
}

/// True where the host, with or without a port, is this machine: only then may it be polled faster.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(bare, _)| bare),
    };
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn wrong_hostname(host: &str) -> Option<&'static str> {
    if host.starts_with("http://") || host.starts_with("https://") || host.contains('/') {
        return Some("write the host alone, without https:// and path: api-XXXXXXXX.duosecurity.com");
    }
    if host.starts_with("admin-") {
        return Some(
            "this is the Admin Panel's host; the API's begins with api-: see the Admin API application's page",
        );
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    (host.is_empty() || !host.bytes().all(good))
        .then_some("copy the API hostname from the Admin API application's page: api-XXXXXXXX.duosecurity.com")
}

#[cfg(test)]
mod tests;
