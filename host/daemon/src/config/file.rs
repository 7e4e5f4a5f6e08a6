//! The shapes of the YAML files, as an operator writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::exceptions::ExceptionFile;
use super::overrides::{Groups, ScopedFile};
use super::reload::ReloadFile;
use super::retention::{KeepingFile, RetentionFile};
use super::sandbox::{SandboxFile, TenantSandboxFile};
use super::sight::{HttpFile, MetricsFile};
use super::signatures::SignaturesFile;
use super::sinks::SinkFile;
use super::tables::TableFile;
use super::watching::WatchingFile;

/// `picket.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RootFile {
    /// Id of the one tenant whose `source` is in this file.
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) name: Option<String>,
    pub(super) timezone: Option<Spanned<String>>,
    pub(super) source: Option<Spanned<SourceFile>>,
    #[serde(default)]
    pub(super) accounts: Accounts,
    /// Where the store is.
    pub(super) data_dir: Option<PathBuf>,
    pub(super) rules_dir: Option<PathBuf>,
    /// One file for each customer.
    pub(super) tenants_dir: Option<PathBuf>,
    pub(super) control_socket: Option<PathBuf>,
    /// Where figures and readiness are served.
    #[serde(default)]
    pub(super) http: HttpFile,
    #[serde(default)]
    pub(super) metrics: MetricsFile,
    #[serde(default)]
    pub(super) sinks: Vec<Spanned<SinkFile>>,
    /// Of each rule, tenant and hour so many alerts are sent.
    pub(super) alerts_per_hour: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) sandbox: SandboxFile,
    #[serde(default)]
    pub(super) reload: ReloadFile,
    #[serde(default)]
    pub(super) alerts: AlertsFile,
    /// For how long what is kept, and how much room it may take.
    #[serde(default)]
    pub(super) retention: KeepingFile,
    /// Whose signatures of modules count.
    #[serde(default)]
    pub(super) signatures: SignaturesFile,
    /// How changes of files are seen.
    #[serde(default)]
    pub(super) watch: WatchingFile,
    /// Lookup tables for every tenant.
    #[serde(default)]
    pub(super) tables: TableFiles,
    /// Overrides for every tenant.
    #[serde(default)]
    pub(super) rules: Overrides,
    /// Overrides for some.
    #[serde(default)]
    pub(super) overrides: Vec<ScopedFile>,
    #[serde(default)]
    pub(super) tenant_groups: Groups,
    #[serde(default)]
    pub(super) exceptions: Vec<Spanned<ExceptionFile>>,
    /// Files of exceptions.
    pub(super) exceptions_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) lists: Lists,
}

/// `tenants.d/<id>.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantFile {
    pub(super) name: Option<String>,
    pub(super) timezone: Option<Spanned<String>>,
    pub(super) source: Spanned<SourceFile>,
    #[serde(default)]
    pub(super) accounts: Accounts,
    #[serde(default)]
    pub(super) rules: Overrides,
    #[serde(default)]
    pub(super) exceptions: Vec<Spanned<ExceptionFile>>,
    #[serde(default)]
    pub(super) lists: Lists,
    #[serde(default)]
    pub(super) tables: TableFiles,
    #[serde(default)]
    pub(super) sandbox: TenantSandboxFile,
    /// Names of the sinks that get this customer's alerts.
    pub(super) sinks: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) retention: RetentionFile,
}

/// What alerts hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsFile {
    /// The phone numbers of their evidence, as received.
    #[serde(default)]
    pub(super) clear_numbers: bool,
}

/// Rule id, then parameter (or `enabled`), then value.
pub(super) type Overrides = BTreeMap<String, BTreeMap<String, Spanned<Value>>>;
/// Lookup tables by name.
pub(super) type TableFiles = BTreeMap<String, Spanned<TableFile>>;
/// Named lists of texts, or where they are.
pub(super) type Lists = BTreeMap<String, Spanned<Value>>;
/// What is said of single child accounts, by `account_id`.
pub(super) type Accounts = BTreeMap<String, Spanned<AccountFile>>;

/// One child account of a source of type `duo_accounts`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountFile {
    /// The tenant's id, in place of the one made from the account's name.
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) name: Option<String>,
    pub(super) timezone: Option<Spanned<String>>,
    /// Not collected.
    #[serde(default)]
    pub(super) skip: bool,
    pub(super) collect: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) rules: Overrides,
    #[serde(default)]
    pub(super) lists: Lists,
    #[serde(default)]
    pub(super) retention: RetentionFile,
}

/// One Duo account, or the parent of several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceFile {
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) api_hostname: Spanned<String>,
    pub(super) integration_key: Spanned<String>,
    pub(super) secret_key: Option<Spanned<String>>,
    pub(super) secret_key_file: Option<Spanned<PathBuf>>,
    pub(super) secret_key_credential: Option<Spanned<String>>,
    /// Seconds.
    pub(super) poll_interval: Option<Spanned<f64>>,
    pub(super) collect: Option<Vec<Spanned<String>>>,
    pub(super) telephony_version: Option<Spanned<u64>>,
    pub(super) inventory_interval: Option<Spanned<String>>,
    pub(super) accounts_interval: Option<Spanned<String>>,
    pub(super) max_calls_per_minute: Option<Spanned<u32>>,
    pub(super) start: Option<Spanned<String>>,
    pub(super) overlap: Option<Spanned<String>>,
    pub(super) lateness: Option<Spanned<String>>,
    pub(super) max_wait: Option<Spanned<String>>,
    pub(super) signature: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) proxy: Option<Spanned<String>>,
    pub(super) proxy_credentials: Option<Spanned<String>>,
    pub(super) proxy_credentials_file: Option<Spanned<PathBuf>>,
    pub(super) timeout: Option<Spanned<String>>,
}
