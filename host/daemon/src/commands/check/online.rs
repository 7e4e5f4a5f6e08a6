//! One signed call for each log and kind of inventory of an account.

use picket_duo::{Client, Context, DuoError, Inventory, Kind, Log, Query};

use super::report::{AccountFindings, Finding, Level};
use crate::account::{Account, Transports};
use crate::accounts::Listed;
use crate::config::{ParentConfig, SourceConfig, TenantConfig};
use crate::when;

/// Nobody waits longer for a check, whatever the daemon's patience is, ms.
const PATIENCE: i64 = 20_000;

const OTHER_HOST: &str = "check api_hostname: it looks like api-XXXXXXXX.duosecurity.com and is shown in the Admin Panel \
                          (Applications, the Admin API application, Details)";
const SECRET_KEY: &str =
    "put the secret key there (Admin Panel, Applications, the Admin API application, Details, Secret key)";

/// What an account answered.
pub(super) struct Probed {
    pub(super) account: AccountFindings,
    /// Duo's clock less ours, ms.
    pub(super) skew_ms: Option<i64>,
}

/// Asks an account for everything that is collected of it, each thing once.
pub(super) async fn probe(tenant: &TenantConfig, transports: &Transports) -> Probed {
    let what = format!("{} at {}", tenant.id, tenant.source.api_hostname);
    let mut account = AccountFindings {
        what: what.clone(),
        findings: Vec::new(),
    };
    if let Err(why) = tenant.source.secret.read() {
        account.findings.push(of(tenant, no_secret(&what, why)));
        return Probed { account, skew_ms: None };
    }
    let client = match open(&tenant.source, transports).await {
        Ok(client) => client,
        Err(why) => {
            account.findings.push(of(tenant, Finding::wrong(what, why)));
            return Probed { account, skew_ms: None };
        }
    };
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    for asked in everything(tenant) {
        match asked.of(&client).await {
            Ok(()) => answered.push(asked),
            Err(error) if is_of_all(error.kind()) && answered.is_empty() => {
                let place = tenant.source.secret.place();
                let mut finding = worded(&error, &place, false);
                finding.what = what;
                account.findings = vec![of(tenant, finding)];
                let skew_ms = client.skew_ms().filter(|_| error.kind() != Kind::Clock);
                return Probed { account, skew_ms };
            }
            Err(error) => refused.push((asked, error)),
        }
    }
    let is_missing = |(_, error): &(Asked, DuoError)| error.kind() == Kind::NoSuchLog;
    if answered.is_empty()
        && refused.len() > 1
        && refused.iter().all(is_missing)
        && let Some((_, error)) = refused.first()
    {
        let finding = Finding {
            kind: Some(Kind::Host.as_str()),
            advice: Some(OTHER_HOST.to_owned()),
            ..Finding::wrong(what, format!("nothing of the Admin API is there: {}", error.problem()))
        };
        account.findings.push(of(tenant, finding));
        let skew_ms = client.skew_ms();
        return Probed { account, skew_ms };
    }
    let name = |asked: Asked| format!("{what}: {}", asked.told());
    for asked in &answered {
        let finding = Finding {
            log: Some(asked.name().to_owned()),
            ..Finding::ok(name(*asked))
        };
        account.findings.push(of(tenant, finding));
    }
    for (asked, error) in refused {
        let place = tenant.source.secret.place();
        let others_answer = answered.iter().any(|other| other.permission() == asked.permission());
        let mut finding = worded(&error, &place, others_answer);
        finding.what = name(asked);
        finding.log = Some(asked.name().to_owned());
        // Logs need one grant; what the inventory needs besides is optional.
        if matches!(asked, Asked::Inventory(_))
            && matches!(error.kind(), Kind::Permission | Kind::Edition | Kind::NoSuchLog)
        {
            finding.level = Level::Warning;
        }
        account.findings.push(of(tenant, finding));
    }
    Probed {
        account,
        skew_ms: client.skew_ms(),
    }
}

/// A secret that cannot be read, and where it is to be had.
pub(super) fn no_secret(what: &str, why: String) -> Finding {
    Finding {
        kind: Some(Kind::Secret.as_str()),
        advice: Some(SECRET_KEY.to_owned()),
        ..Finding::wrong(what, why)
    }
}

/// The children of a parent's key.
///
/// # Errors
/// What is wrong, in words.
pub(super) async fn list(parent: &ParentConfig, transports: &Transports) -> Result<Vec<Listed>, Box<Finding>> {
    let client = open(&parent.source, transports)
        .await
        .map_err(|why| Box::new(Finding::wrong("", why)))?;
    match client.accounts().await {
        Ok(children) => Ok(children.into_iter().map(Listed::from).collect()),
        Err(error) => {
            let place = parent.source.secret.place();
            Err(Box::new(worded(&error, &place, false)))
        }
    }
}

async fn open(source: &SourceConfig, transports: &Transports) -> Result<std::sync::Arc<Client>, String> {
    let mut source = source.clone();
    source.network.timeout = source.network.timeout.min(PATIENCE);
    match Account::open(&source, transports) {
        Ok(account) => Ok(account.client().await),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// What is asked for once.
#[derive(Clone, Copy)]
enum Asked {
    Log(Log),
    Inventory(Inventory),
}

impl Asked {
    fn name(&self) -> &'static str {
        match self {
            Asked::Log(log) => log.as_str(),
            Asked::Inventory(kind) => kind.as_str(),
        }
    }

    fn told(self) -> String {
        match self {
            Asked::Log(log) => format!("{log} log"),
            Asked::Inventory(kind) => format!("inventory of {kind}"),
        }
    }

    fn permission(self) -> &'static str {
        match self {
            Asked::Log(log) => log.permission(),
            Asked::Inventory(kind) => kind.permission(),
        }
    }

    async fn of(self, client: &Client) -> Result<(), DuoError> {
        match self {
            Asked::Log(log) => {
                let now = when::now();
                let query = Query {
                    mintime: now - 3_600_000,
                    maxtime: now,
                    limit: 1,
                    offset: None,
                };
                client.page(log, &query).await.map(|_| ())
            }
            Asked::Inventory(kind) => client.inventory(kind, 0).await.map(|_| ()),
        }
    }
}

fn everything(tenant: &TenantConfig) -> Vec<Asked> {
    let collect = &tenant.source.collect;
    let logs = collect.logs.iter().filter_map(|log| log.parse().ok().map(Asked::Log));
    let kinds = Inventory::ALL.into_iter().filter(|_| collect.inventory);
    logs.chain(kinds.map(Asked::Inventory)).collect()
}

/// Whether the next log would meet the same.
fn is_of_all(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Secret
            | Kind::IntegrationKey
            | Kind::Credentials
            | Kind::Clock
            | Kind::ApplicationType
            | Kind::Network
            | Kind::Host
            | Kind::Gateway
            | Kind::Proxy
            | Kind::Certificate
            | Kind::Unreachable
            | Kind::Timeout
    )
}

fn worded(error: &DuoError, place: &str, others_answer: bool) -> Finding {
    let context = Context {
        secret: Some(place),
        others_answer,
    };
    Finding {
        kind: Some(error.kind().as_str()),
        advice: Some(error.advice(&context)),
        ..Finding::wrong("", error.problem())
    }
}

fn of(tenant: &TenantConfig, finding: Finding) -> Finding {
    Finding {
        tenant: Some(tenant.id.clone()),
        ..finding
    }
}
