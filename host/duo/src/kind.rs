//! What kind of trouble an error is, for programs.

use crate::error::{DuoError, TransportKind};
use crate::inventory::Inventory;
use crate::log::Log;

/// What is wrong, as far as one answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The secret key is not the integration key's: mistyped, or rotated since.
    Secret,
    /// The integration key is unknown at this host.
    IntegrationKey,
    /// The credentials do not arrive, or Duo does not like them for another reason.
    Credentials,
    /// This machine's clock is off.
    Clock,
    /// The application lacks a permission; where only this is known, perhaps the account's edition lacks the log.
    Permission,
    /// The key belongs to an application of another type.
    ApplicationType,
    /// The account's edition lacks what was asked for.
    Edition,
    /// The address asked from is not among "Networks for API Access".
    Network,
    /// The host is not the account's API host, or no host at all.
    Host,
    /// The host is Duo's, but has no such log.
    NoSuchLog,
    /// Duo does not like a parameter.
    Request,
    /// Asked too often.
    RateLimit,
    /// Duo's side fails.
    Duo,
    /// Something in between answers in Duo's place.
    Gateway,
    /// An answer that cannot be used.
    Answer,
    /// The proxy.
    Proxy,
    /// The certificate, or who signed it.
    Certificate,
    /// No way to the host.
    Unreachable,
    /// Too slow.
    Timeout,
    /// The connection broke off.
    Broken,
}

impl Kind {
    /// A name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Secret => "secret",
            Kind::IntegrationKey => "integration_key",
            Kind::Credentials => "credentials",
            Kind::Clock => "clock",
            Kind::Permission => "permission",
            Kind::ApplicationType => "application_type",
            Kind::Edition => "edition",
            Kind::Network => "network",
            Kind::Host => "host",
            Kind::NoSuchLog => "no_such_log",
            Kind::Request => "request",
            Kind::RateLimit => "rate_limit",
            Kind::Duo => "duo",
            Kind::Gateway => "gateway",
            Kind::Answer => "answer",
            Kind::Proxy => "proxy",
            Kind::Certificate => "certificate",
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Broken => "broken",
        }
    }
}

impl DuoError {
    /// What is wrong, as far as this answer alone tells.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            DuoError::Unauthorized { code, .. } => match code {
                40102 => Kind::IntegrationKey,
                40103 => Kind::Secret,
                40105 => Kind::Clock,
                _ => Kind::Credentials,
            },
            DuoError::ClockSkew { .. } => Kind::Clock,
            DuoError::Forbidden { message, .. } => forbidden(message),
            DuoError::NotFound { .. } => match Asked::of(self) {
                Asked::Log(_) | Asked::Inventory(_) => Kind::NoSuchLog,
                Asked::Ping | Asked::Accounts | Asked::Other => Kind::Host,
            },
            DuoError::BadRequest { .. } => Kind::Request,
            DuoError::RateLimited { .. } => Kind::RateLimit,
            DuoError::Server { .. } => Kind::Duo,
            DuoError::NotJson { status: 407, .. } => Kind::Proxy,
            DuoError::NotJson { status: 404, .. } => Kind::Host,
            DuoError::Redirected { .. } | DuoError::NotJson { .. } => Kind::Gateway,
            DuoError::Malformed { .. } => Kind::Answer,
            DuoError::Transport { kind, .. } => match kind {
                TransportKind::Dns => Kind::Host,
                TransportKind::Tls
                | TransportKind::UnknownIssuer
                | TransportKind::Expired
                | TransportKind::NotYetValid
                | TransportKind::WrongName
                | TransportKind::NotTls => Kind::Certificate,
                TransportKind::Connect => Kind::Unreachable,
                TransportKind::ProxyUnreachable | TransportKind::ProxyCredentials | TransportKind::ProxyRefused => {
                    Kind::Proxy
                }
                TransportKind::Timeout => Kind::Timeout,
                TransportKind::Broken => Kind::Broken,
            },
        }
    }
}

/// A 403's reason by its words: Duo has one code for all. Only the first of these is known to be said; the others are
/// understood should they be.
fn forbidden(message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["integration type", "application type"]) {
        Kind::ApplicationType
    } else if says(&["ip address", "network"]) {
        Kind::Network
    } else if says(&["edition", "your plan", "license", "subscription"]) {
        Kind::Edition
    } else {
        Kind::Permission
    }
}

/// What was asked for, found again by its path.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    Log(Log),
    Inventory(Inventory),
    Accounts,
    Ping,
    Other,
}

impl Asked {
    pub(crate) fn of(error: &DuoError) -> Asked {
        let at = error.at();
        let path = at.find('/').and_then(|slash| at.get(slash..)).unwrap_or_default();
        if path == crate::client::PING {
            return Asked::Ping;
        }
        if path == crate::client::ACCOUNTS {
            return Asked::Accounts;
        }
        if let Some(log) = Log::ALL.into_iter().find(|log| log.path() == path) {
            return Asked::Log(log);
        }
        let kind = Inventory::ALL.into_iter().find(|kind| kind.path() == path);
        kind.map_or(Asked::Other, Asked::Inventory)
    }

    pub(crate) fn permission(self) -> &'static str {
        match self {
            Asked::Log(log) => log.permission(),
            Asked::Inventory(kind) => kind.permission(),
            Asked::Accounts | Asked::Ping | Asked::Other => "Grant read log",
        }
    }

    pub(crate) fn depends_on_edition(self) -> bool {
        match self {
            Asked::Log(log) => log.depends_on_edition(),
            Asked::Inventory(kind) => kind.depends_on_edition(),
            Asked::Accounts | Asked::Ping | Asked::Other => false,
        }
    }

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Asked::Log(_) => "log",
            Asked::Inventory(_) => "inventory",
            Asked::Accounts | Asked::Ping | Asked::Other => "resource",
        }
    }

    /// How to do without it.
    pub(crate) fn leave_out(self) -> String {
        match self {
            Asked::Log(Log::OfflineEnrollment) => "take offline_access out of `collect`".to_owned(),
            Asked::Log(log) => format!("take {} out of `collect`", log.journal()),
            Asked::Inventory(_) => "do without it (the rest is read all the same)".to_owned(),
            Asked::Accounts | Asked::Ping | Asked::Other => "do without it".to_owned(),
        }
    }
}
