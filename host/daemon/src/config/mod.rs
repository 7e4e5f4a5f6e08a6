//! The configuration, read from YAML and checked: what `picket run` and `picket check` work from.
//!
//! Reading collects everything that is wrong before it gives up, so that one `picket check` shows it all. `picket run` is
//! milder: what is wrong in one customer's file leaves that customer out ([`Loaded::broken`]), not the others.

mod collect;
mod exceptions;
mod file;
mod lists;
mod load;
mod network;
mod overrides;
mod problem;
mod reload;
mod retention;
mod sandbox;
mod secret;
mod sight;
mod signatures;
mod sinks;
mod source;
mod tables;
mod tenant;
mod watching;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use picket_contract::Severity;
use picket_event::Permission;
use picket_judge::Mode;
use serde_json::Value;

use crate::audit::Stated;

pub(crate) use exceptions::{Exception, network_of};
#[cfg(test)]
use load::load;
pub(crate) use load::{Loaded, load_for_run, load_whole};
pub(crate) use network::Network;
pub(crate) use overrides::{AllOverrides, Common};
pub(crate) use problem::{Problem, Problems, edits};
pub(crate) use reload::{OnDifference, Reload, ReloadPolicy};
pub(crate) use retention::{Keeping, Retention};
pub(crate) use sandbox::{ModulePolicy, Sandbox, thread_stack as sandbox_thread_stack};
pub(crate) use secret::{SecretSource, readers};
pub(crate) use sight::Http;
pub(crate) use signatures::Signatures;
pub(crate) use sinks::{Route, SinkConfig, SinkKind, StdoutFormat, SyslogConfig, SyslogTransport, WebhookConfig};
pub(crate) use tables::{KeyKind, TableConfig, TableSpec, Tables};
pub(crate) use watching::{Watch, Watching};

/// Where the configuration is unless told otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/picket/picket.yaml";

/// Everything the daemon needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it was read from.
    pub(crate) path: PathBuf,
    /// Where the store is.
    pub(crate) data_dir: PathBuf,
    /// `*.wasm` for every tenant, `<tenant>/*.wasm` for one.
    pub(crate) rules_dir: PathBuf,
    /// Where `picket except` writes.
    pub(crate) exceptions_dir: PathBuf,
    /// Where `picket status` and the like talk to the daemon.
    pub(crate) control_socket: PathBuf,
    /// One file for each customer; there may be no such directory.
    pub(crate) tenants_dir: PathBuf,
    /// Of [`Config::directories`], those that were there when this was read.
    pub(crate) found: Vec<PathBuf>,
    /// Files of named lists.
    pub(crate) list_files: Vec<PathBuf>,
    /// Where figures and readiness are served.
    pub(crate) http: Http,
    /// Whether figures are told apart by tenant.
    pub(crate) tenant_label: bool,
    /// Where alerts go.
    pub(crate) sinks: Vec<SinkConfig>,
    /// Whose signatures of modules count.
    pub(crate) signatures: Signatures,
    /// How changes of files are seen.
    pub(crate) watching: Watching,
    /// Lookup tables from files, for every tenant.
    pub(crate) tables: Tables,
    /// What rules may spend.
    pub(crate) sandbox: Sandbox,
    /// What new versions of rules have to show.
    pub(crate) reload: Reload,
    /// Whether alerts keep the phone numbers of their evidence in clear.
    pub(crate) clear_numbers: bool,
    /// What is kept of each tenant of which nothing else is said.
    pub(crate) retention: Retention,
    /// What is kept of all together.
    pub(crate) keeping: Keeping,
    /// Accounts with a key of their own, by id. Those that a parent's key reads are found by asking: see `crate::accounts`.
    pub(crate) tenants: Vec<TenantConfig>,
    /// Keys of the Accounts API.
    pub(crate) parents: Vec<ParentConfig>,
    /// What works and yet should be changed.
    pub(crate) warnings: Vec<Problem>,
    /// What its files say, for the audit log.
    pub(crate) stated: Stated,
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
    pub(crate) overrides: AllOverrides,
    /// What nobody wants to be told of.
    pub(crate) exceptions: Vec<Arc<Exception>>,
    /// Named lists that parameters and exceptions refer to as `$name`.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    /// Lookup tables from files, those for every tenant among them.
    pub(crate) tables: Tables,
    /// What single modules may read of this tenant, beside what is said of them for all; by file relative to the rules
    /// directory.
    pub(crate) permissions: Permissions,
    /// The sinks that get its alerts, by name. None: those that want everybody's, or its.
    pub(crate) sinks: Option<Vec<String>>,
    /// What is kept of it.
    pub(crate) retention: Retention,
}

/// What modules may read, by file relative to the rules directory.
pub(crate) type Permissions = BTreeMap<String, Permission>;

/// A key of the Accounts API: it lists child accounts and reads the logs of each.
#[derive(Debug, Clone)]
pub(crate) struct ParentConfig {
    /// As a tenant's; the parent itself is none.
    pub(crate) id: String,
    /// IANA name, for children of which nothing else is said.
    pub(crate) timezone: String,
    /// The parent's host and key, and how each child is collected.
    pub(crate) source: SourceConfig,
    /// How often the list of children is read again, ms.
    pub(crate) interval: i64,
    /// What is said of single children, by `account_id`.
    pub(crate) children: BTreeMap<String, ChildConfig>,
    /// For every child, by rule id; over what is said for all.
    pub(crate) overrides: AllOverrides,
    /// For every child, beside those for all.
    pub(crate) exceptions: Vec<Arc<Exception>>,
    /// What is said for all tenants, and for some: children are known by their ids only when they are listed.
    pub(crate) common: Arc<Common>,
    /// For every child.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    /// For every child.
    pub(crate) tables: Tables,
    /// For every child.
    pub(crate) permissions: Permissions,
    /// For every child.
    pub(crate) sinks: Option<Vec<String>>,
    /// For every child.
    pub(crate) retention: Retention,
}

/// What is said of one child account.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChildConfig {
    /// The tenant's id, in place of the one made from the account's name.
    pub(crate) tenant: Option<String>,
    /// For people, in place of the account's name.
    pub(crate) name: Option<String>,
    /// IANA name.
    pub(crate) timezone: Option<String>,
    /// Not collected.
    pub(crate) skip: bool,
    /// In place of what the parent's source collects.
    pub(crate) collect: Option<Collect>,
    /// By rule id; the parent's own are in it already.
    pub(crate) overrides: AllOverrides,
    /// The parent's are in it already.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    /// The parent's is in it already.
    pub(crate) retention: Retention,
}

/// What an operator changes about a rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Override {
    /// `enabled: false` switches the rule off.
    pub(crate) enabled: Option<bool>,
    /// `mode: shadow` keeps its alerts apart, `mode: paused` stops it where it is.
    pub(crate) mode: Option<Mode>,
    /// In place of what the rule says of how bad it is.
    pub(crate) severity: Option<Severity>,
    /// In place of the rule's dedup period, ms; 0: off.
    pub(crate) dedup_ms: Option<i64>,
    /// Parameter values as written, with where they were written (`file:line:column`).
    pub(crate) params: BTreeMap<String, (Value, String)>,
    /// Where the last of it was written, `file:line:column`.
    pub(crate) place: String,
}

/// What is collected of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Collect {
    /// Duo's own logs, by the names that cursors and `status` use.
    pub(crate) logs: Vec<String>,
    /// Snapshots of users, devices and settings.
    pub(crate) inventory: bool,
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
    /// The child account to read with a parent's key.
    pub(crate) account_id: Option<String>,
    /// ms.
    pub(crate) poll_interval: u64,
    /// Logs and inventory.
    pub(crate) collect: Collect,
    /// From one snapshot of the inventory to the next, ms.
    pub(crate) inventory_interval: i64,
    /// Most calls to Duo for this account in a minute, all logs together; none: the usual.
    pub(crate) max_calls_per_minute: Option<u32>,
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
    /// The way to Duo.
    pub(crate) network: Network,
}

/// What decides how all tenants are judged, besides modules: their state in all and in memory (bytes), their fuel, and whether
/// alerts keep clear numbers.
pub(crate) type TermsOfJudging = (u64, u64, u64, bool);

impl Config {
    /// Files it is made of, besides those in [`Config::directories`].
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let own = self.tenants.iter().map(|tenant| &tenant.tables);
        let of_parents = self.parents.iter().map(|parent| &parent.tables);
        let tables = own.chain(of_parents).chain([&self.tables]);
        let mut files: Vec<PathBuf> = tables
            .flat_map(|tables| tables.values().map(|table| table.spec.file.clone()))
            .collect();
        files.push(self.path.clone());
        files.extend(self.list_files.iter().cloned());
        files.extend(self.sinks.iter().flat_map(|sink| sink.kind.files()));
        files.sort();
        files.dedup();
        files
    }

    /// Directories of which every YAML file is part of it.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        vec![self.tenants_dir.clone(), self.exceptions_dir.clone()]
    }

    /// Directories it was read from that are gone. A customer ends when its file goes; a directory that goes takes nobody along:
    /// more likely a disk is not mounted.
    pub(crate) fn vanished(&self) -> Vec<String> {
        let gone = self.found.iter().filter(|directory| !directory.is_dir());
        let say = |directory: &PathBuf| {
            format!(
                "{}: the directory is gone, and what was in it is not ended for that: put it back, empty if nothing is to be left",
                directory.display()
            )
        };
        gone.map(say).collect()
    }

    /// What holds for all tenants.
    pub(crate) fn terms_of_judging(&self) -> TermsOfJudging {
        let sandbox = &self.sandbox;
        (
            sandbox.tenant_state_bytes,
            sandbox.holding_bytes,
            sandbox.fuel_per_minute,
            self.clear_numbers,
        )
    }
}

impl SourceConfig {
    /// Whether both collect the same in the same way. Secrets are in no Debug text, so they are asked for.
    fn is_same(&self, other: &Self) -> bool {
        let both = |one: &Option<SecretSource>, other: &Option<SecretSource>| match (one, other) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let (one, two) = (&self.network, &other.network);
        format!("{self:?}") == format!("{other:?}")
            && self.secret.is_same(&other.secret)
            && both(&one.proxy, &two.proxy)
            && both(&one.proxy_credentials, &two.proxy_credentials)
    }
}

impl TenantConfig {
    /// Whether its collection may go on as it is: only what concerns judging is otherwise, if anything.
    pub(crate) fn is_collected_like(&self, other: &Self) -> bool {
        (&self.id, &self.name, &self.timezone) == (&other.id, &other.name, &other.timezone)
            && self.source.is_same(&other.source)
    }

    /// What of judging is otherwise, in words.
    pub(crate) fn judged_otherwise(&self, other: &Self) -> Vec<String> {
        let mut words = Vec::new();
        let mut differ = |what: &str, one: String, other: String| {
            if one != other {
                words.push(what.to_owned());
            }
        };
        differ(
            "rules",
            format!("{:?}", self.overrides),
            format!("{:?}", other.overrides),
        );
        differ(
            "exceptions",
            format!("{:?}", self.exceptions),
            format!("{:?}", other.exceptions),
        );
        differ("sinks", format!("{:?}", self.sinks), format!("{:?}", other.sinks));
        differ("lists", format!("{:?}", self.lists), format!("{:?}", other.lists));
        differ(
            "what modules may read",
            format!("{:?}", self.permissions),
            format!("{:?}", other.permissions),
        );
        differ(
            "what is kept",
            format!("{:?}", self.retention),
            format!("{:?}", other.retention),
        );
        for (name, table) in &other.tables {
            if self.tables.get(name) != Some(table) {
                let rows = table.content.as_ref().map_or(0, |content| content.rows);
                words.push(format!("table {name} ({rows} rows)"));
            }
        }
        let gone = self.tables.keys().filter(|name| !other.tables.contains_key(*name));
        words.extend(gone.map(|name| format!("table {name} is gone")));
        words
    }
}

impl ParentConfig {
    /// Whether nothing at all is otherwise.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}") && self.source.is_same(&other.source)
    }
}

#[cfg(test)]
mod tests;
