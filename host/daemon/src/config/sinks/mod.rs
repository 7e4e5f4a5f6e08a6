//! Where alerts go: the sinks of `picket.yaml`, and which of them get whose.

mod file;
mod read;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use picket_contract::Severity;
use picket_store::OutboxRow;

pub(super) use self::file::SinkFile;
use super::SecretSource;
use super::overrides::Tenants;

/// Where alerts go, and which.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SinkConfig {
    /// By what its place in the outbox is known.
    pub(crate) name: String,
    /// Which alerts.
    pub(crate) route: Route,
    /// When it is new: whether it gets what the store holds already.
    pub(crate) history: bool,
    /// Where to.
    pub(crate) kind: SinkKind,
}

/// Which alerts a sink gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    /// Whose. What a customer's own file says of sinks goes before it.
    pub(crate) tenants: Tenants,
    /// This bad and worse.
    pub(crate) min_severity: Severity,
    /// Of each rule, tenant and hour so many. None: all.
    pub(crate) per_hour: Option<u32>,
    /// Which events besides. None: alerts alone.
    pub(crate) events: Option<Events>,
}

/// Which events a sink gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Events {
    /// Every one.
    All,
    /// Of these logs, as the journal calls them.
    Of(Vec<String>),
}

impl Events {
    /// Whether it gets those of a log.
    pub(crate) fn has(&self, log: &str) -> bool {
        match self {
            Events::All => true,
            Events::Of(logs) => logs.iter().any(|own| own == log),
        }
    }
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkKind {
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
    /// A webhook.
    Webhook(Box<WebhookConfig>),
    /// A syslog receiver.
    Syslog(Box<SyslogConfig>),
}

/// A webhook, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct WebhookConfig {
    /// May hold a secret of the receiver's, or be the variable that holds it.
    pub(crate) url: SecretSource,
    /// What requests are signed with: the secret, and the one before it while both hold.
    pub(crate) secrets: Vec<SecretSource>,
    /// May hold a password.
    pub(crate) proxy: Option<SecretSource>,
    /// A CA to trust besides the system's, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// For the whole of one request, ms.
    pub(crate) timeout: i64,
}

impl PartialEq for WebhookConfig {
    /// What the secrets' files hold is compared where it is read.
    fn eq(&self, other: &Self) -> bool {
        let secrets = |config: &Self| {
            let all = [&config.url].into_iter().chain(&config.secrets).chain(&config.proxy);
            all.cloned().collect::<Vec<_>>()
        };
        let (own, others) = (secrets(self), secrets(other));
        own.len() == others.len()
            && self.secrets.len() == other.secrets.len()
            && own.iter().zip(&others).all(|(one, other)| one.is_same(other))
            && (&self.ca_file, self.timeout) == (&other.ca_file, other.timeout)
    }
}

/// A syslog receiver, and what it gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SyslogConfig {
    /// Host and port.
    pub(crate) address: String,
    /// The way there.
    pub(crate) transport: SyslogTransport,
    /// Length first, or a line break behind.
    pub(crate) octet_counting: bool,
    /// CEF, or JSON.
    pub(crate) cef: bool,
    /// 0 to 23.
    pub(crate) facility: u8,
    /// This machine's name, as messages say it.
    pub(crate) hostname: String,
    /// The only authorities that are trusted, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// Certificate and key that the receiver may ask for, PEM.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// In place of the host's.
    pub(crate) server_name: Option<String>,
    /// ms.
    pub(crate) timeout: i64,
}

/// The way to a syslog receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyslogTransport {
    Tls,
    Tcp,
    Udp,
}

/// How the standard output sink writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum StdoutFormat {
    /// As a first-tier analyst reads it.
    #[default]
    Text,
    /// One JSON object a line.
    Ndjson,
}

impl SinkKind {
    /// As it is written.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            SinkKind::Stdout(_) => "stdout",
            SinkKind::File { .. } => "file",
            SinkKind::Webhook(_) => "webhook",
            SinkKind::Syslog(_) => "syslog",
        }
    }

    /// Files that it is made of: a change of one is a change of the configuration.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            SinkKind::Stdout(_) | SinkKind::File { .. } => Vec::new(),
            SinkKind::Webhook(webhook) => {
                let secrets = [&webhook.url].into_iter().chain(&webhook.secrets).chain(&webhook.proxy);
                let files = secrets.filter_map(|secret| match secret {
                    SecretSource::File(path) => Some(path.clone()),
                    _ => None,
                });
                files.chain(webhook.ca_file.clone()).collect()
            }
            SinkKind::Syslog(syslog) => {
                let client = syslog
                    .client
                    .clone()
                    .into_iter()
                    .flat_map(|(certificate, key)| [certificate, key]);
                client.chain(syslog.ca_file.clone()).collect()
            }
        }
    }
}

impl Route {
    /// Whether it gets a tenant's alerts. `own`: the sinks that the tenant's file names.
    pub(crate) fn has(&self, sink: &str, tenant: &str, own: Option<&[String]>) -> bool {
        match own {
            Some(own) => own.iter().any(|name| name == sink),
            None => self.tenants.has(tenant),
        }
    }

    /// Whether it gets an alert of a tenant whose alerts it gets.
    pub(crate) fn wants(&self, row: &OutboxRow) -> bool {
        row.severity >= self.min_severity && (row.summary || self.per_hour.is_none_or(|most| row.nth <= most))
    }
}

impl SinkConfig {
    /// The tenants that it names.
    pub(in crate::config) fn named(&self) -> impl Iterator<Item = &String> {
        match &self.route.tenants {
            Tenants::All => [].iter(),
            Tenants::These(ids) => ids.iter(),
        }
    }
}

impl SinkKind {
    /// Whether one that is new is given what the store holds already.
    fn wants_history(&self) -> bool {
        matches!(self, SinkKind::Stdout(_) | SinkKind::File { .. })
    }
}
