//! What is wrong and what to click, in the words of the Admin Panel.
//!
//! [`DuoError::kind`] is for programs, [`DuoError::problem`] and [`DuoError::advice`] for the person who has to act. A
//! sentence claims no more than the answer proves: one 403 may be a permission, the edition or the address asked from, and
//! only what else is known of the account ([`Context`]) tells them apart.

use std::borrow::Cow;

use crate::error::{DuoError, TransportKind};
use crate::inventory::Inventory;
use crate::log::Log;

/// Where an Admin API application is found in the Admin Panel.
const APPLICATION: &str = "Admin Panel, Applications, the Admin API application";

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

/// What is known besides the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// Where the secret key is configured, as the operator looks for it: a file, a variable.
    pub secret: Option<&'a str>,
    /// Something else that needs the same permission of the same key was answered.
    pub others_answer: bool,
}

/// What was asked for, found again by its path.
#[derive(Clone, Copy)]
enum Asked {
    Log(Log),
    Inventory(Inventory),
    Accounts,
    Ping,
    Other,
}

impl Asked {
    fn of(error: &DuoError) -> Asked {
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

    fn permission(self) -> &'static str {
        match self {
            Asked::Log(log) => log.permission(),
            Asked::Inventory(kind) => kind.permission(),
            Asked::Accounts | Asked::Ping | Asked::Other => "Grant read log",
        }
    }

    fn depends_on_edition(self) -> bool {
        match self {
            Asked::Log(log) => log.depends_on_edition(),
            Asked::Inventory(kind) => kind.depends_on_edition(),
            Asked::Accounts | Asked::Ping | Asked::Other => false,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Asked::Log(_) => "log",
            Asked::Inventory(_) => "inventory",
            Asked::Accounts | Asked::Ping | Asked::Other => "resource",
        }
    }

    /// How to do without it.
    fn leave_out(self) -> String {
        match self {
            Asked::Log(Log::OfflineEnrollment) => "take offline_access out of `collect`".to_owned(),
            Asked::Log(log) => format!("take {log} out of `collect`"),
            Asked::Inventory(kind) => format!("take {kind} out of `inventory`"),
            Asked::Accounts | Asked::Ping | Asked::Other => "do without it".to_owned(),
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

    /// What is wrong, with Duo's own words where there are any.
    #[must_use]
    pub fn problem(&self) -> String {
        match self {
            DuoError::Unauthorized { code, message, .. } => {
                let what = match code {
                    40101 => "no credentials arrived at Duo",
                    40102 => "Duo does not know the integration key at this host",
                    40103 => "Duo refuses the signature",
                    40104 => "the request's date did not arrive at Duo",
                    40105 => "Duo refuses the request's date",
                    _ => "Duo does not accept the credentials",
                };
                quoted(what, *code, message)
            }
            DuoError::ClockSkew { skew_ms, .. } => {
                format!("Duo refuses the request's date: {}", clock_is_off(*skew_ms))
            }
            DuoError::Forbidden { code, message, .. } => {
                let what = match self.kind() {
                    Kind::ApplicationType => "the key belongs to another type of application",
                    Kind::Network => "Duo forbids this to the address that it is asked from",
                    Kind::Edition => "the account's edition does not have this",
                    _ => "Duo forbids this",
                };
                quoted(what, *code, message)
            }
            DuoError::NotFound { code, message, .. } => {
                let what = match Asked::of(self) {
                    Asked::Log(_) => "there is no such log",
                    Asked::Inventory(_) => "there is no such inventory",
                    Asked::Accounts => "there is no Accounts API",
                    Asked::Ping | Asked::Other => "there is no Duo API",
                };
                quoted(what, *code, message)
            }
            DuoError::BadRequest { code, message, .. } => quoted("Duo refuses the request", *code, message),
            DuoError::RateLimited { retry_after, .. } => {
                let wait = retry_after.map_or_else(String::new, |after| {
                    format!(" (Duo asks to wait {} s)", after.as_secs())
                });
                format!("Duo's rate limit is reached{wait}")
            }
            DuoError::Server { status, message, .. } => format!("Duo fails (HTTP {status}, {message:?})"),
            DuoError::Redirected { status, .. } => {
                format!("answered with a redirect (HTTP {status}), which Duo never does")
            }
            DuoError::NotJson { status, start, .. } => {
                format!("the answer is not JSON (HTTP {status}, starts with {start:?}), so it is not Duo's")
            }
            DuoError::Malformed { why, .. } => format!("the answer cannot be used: {why}"),
            DuoError::Transport { kind, detail, .. } => format!("{kind}{detail}"),
        }
    }

    /// What to do about it, without a full stop at its end.
    #[must_use]
    pub fn advice(&self, context: &Context<'_>) -> String {
        let asked = Asked::of(self);
        match self {
            DuoError::Unauthorized { code, .. } => advice_unauthorized(*code, context),
            DuoError::ClockSkew { .. } => SET_CLOCK.to_owned(),
            DuoError::Forbidden { .. } => advice_forbidden(self.kind(), asked, context),
            DuoError::NotFound { .. } => match asked {
                Asked::Log(_) | Asked::Inventory(_) if context.others_answer => {
                    format!("this account does not have it: {}", asked.leave_out())
                }
                Asked::Log(_) | Asked::Inventory(_) => format!(
                    "check api_hostname ({APPLICATION}, Details); if it is right, this account does not have the {}: {}",
                    asked.noun(),
                    asked.leave_out()
                ),
                Asked::Accounts | Asked::Ping | Asked::Other => CHECK_HOST.to_owned(),
            },
            DuoError::BadRequest { .. } => {
                "it is asked anew with fresh parameters; if it stays so, please report it with this line".to_owned()
            }
            DuoError::RateLimited { .. } => {
                "polling slows down by itself; if it stays so, see whether another program polls with the same account, or \
                 lengthen poll_interval"
                    .to_owned()
            }
            DuoError::Server { message, .. } if message.starts_with('<') => {
                "it is asked again; if it lasts, see status.duo.com, and whether the web page comes from a proxy or gateway in \
                 between"
                    .to_owned()
            }
            DuoError::Server { .. } => "it is asked again; if it lasts, see status.duo.com".to_owned(),
            DuoError::NotJson { status: 407, .. } => PROXY_CREDENTIALS.to_owned(),
            DuoError::NotJson { status: 404, .. } => CHECK_HOST.to_owned(),
            DuoError::Redirected { .. } | DuoError::NotJson { .. } => {
                "a proxy, gateway or login page answers in Duo's place: let this machine reach the host on port 443, or set \
                 `proxy`; and check api_hostname"
                    .to_owned()
            }
            DuoError::Malformed { .. } => {
                "it is asked again; if it stays so, see whether a proxy changes answers, and report it with this line".to_owned()
            }
            DuoError::Transport { kind, .. } => advice_transport(*kind).to_owned(),
        }
    }
}

const SET_CLOCK: &str = "set it right (NTP; `timedatectl status` tells whether it is synchronised)";

const CHECK_HOST: &str = "check api_hostname: it looks like api-XXXXXXXX.duosecurity.com and is shown in the Admin Panel \
                          (Applications, the Admin API application, Details)";

const PROXY_CREDENTIALS: &str = "put the right user name and password into `proxy`: http://user:password@host:port, special \
                                 characters as %40 and so on";

/// How far this machine's clock is off, in words. `skew_ms`: Duo's clock less ours, ms.
#[must_use]
pub fn clock_is_off(skew_ms: i64) -> String {
    let side = if skew_ms > 0 { "behind" } else { "ahead of" };
    format!(
        "this machine's clock is {} s {side} Duo's",
        skew_ms.unsigned_abs() / 1000
    )
}

fn quoted(what: &str, code: u32, message: &str) -> String {
    match (code, message) {
        (0, "") => what.to_owned(),
        (0, _) => format!("{what} ({message:?})"),
        (_, "") => format!("{what} (error {code})"),
        _ => format!("{what} (error {code}, {message:?})"),
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

fn advice_unauthorized(code: u32, context: &Context<'_>) -> String {
    match code {
        40102 => format!(
            "integration_key and api_hostname must come from the same application ({APPLICATION}, Details); if it was deleted, \
             protect a new one"
        ),
        40103 => {
            let place: Cow<'_, str> = context.secret.map_or("secret_key".into(), Into::into);
            format!("the secret was probably rotated; put the new one in {place} ({APPLICATION}, Details, Secret key)")
        }
        40101 | 40104 => "see whether a proxy in between removes headers (Authorization, Date)".to_owned(),
        40105 => format!("this machine's clock is probably off: {SET_CLOCK}"),
        _ => format!("check api_hostname, integration_key and secret_key ({APPLICATION}, Details)"),
    }
}

fn advice_forbidden(kind: Kind, asked: Asked, context: &Context<'_>) -> String {
    let permission = asked.permission();
    match (kind, asked) {
        (Kind::ApplicationType, Asked::Accounts) => {
            "listing accounts needs the keys of an application of type Accounts API, which Duo Support enables"
                .to_owned()
        }
        (Kind::ApplicationType, _) => format!(
            "use the keys of an application of type Admin API (Admin Panel, Applications, Protect an Application, Admin API) \
             with \"{permission}\""
        ),
        (Kind::Network, _) => {
            format!("add this machine's public address to \"Networks for API Access\" ({APPLICATION})")
        }
        (Kind::Edition, _) => format!("{}, or ask Duo for an edition that has it", asked.leave_out()),
        (_, Asked::Accounts) => {
            "this needs an application of type Accounts API; see also its \"Networks for API Access\"".to_owned()
        }
        (_, _) if context.others_answer => format!(
            "other requests that need \"{permission}\" are answered, so this account's edition lacks the {}: {}",
            asked.noun(),
            asked.leave_out()
        ),
        (_, _) => {
            let edition = if asked.depends_on_edition() {
                format!(
                    "if it is granted, the account's edition lacks the {}: {}",
                    asked.noun(),
                    asked.leave_out()
                )
            } else {
                "if it is granted, check \"Networks for API Access\" there".to_owned()
            };
            format!(
                "grant \"{permission}\" to the application ({APPLICATION}, Permissions; needs the Owner role); {edition}"
            )
        }
    }
}

fn advice_transport(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Dns => {
            "check api_hostname (it looks like api-XXXXXXXX.duosecurity.com) and this machine's DNS; where only the proxy can \
             resolve names, use socks5h:// or http://"
        }
        TransportKind::UnknownIssuer | TransportKind::Tls => {
            "behind an inspecting proxy put its CA certificate (PEM) into `ca_file`; otherwise update this machine's root \
             certificates (package ca-certificates)"
        }
        TransportKind::Expired | TransportKind::NotYetValid => {
            "check this machine's clock (`timedatectl status`); if it is right, whoever inspects the connection has to renew the \
             certificate: Duo's own are valid"
        }
        TransportKind::WrongName => "check api_hostname, and whether something answers in Duo's place",
        TransportKind::NotTls => {
            "check the port of api_hostname (Duo's is 443), and whether something answers in Duo's place"
        }
        TransportKind::Connect => "let this machine reach the host on port 443 (firewall), or set `proxy`",
        TransportKind::ProxyUnreachable => "check the address in `proxy` (or HTTPS_PROXY), and that the proxy runs",
        TransportKind::ProxyCredentials => PROXY_CREDENTIALS,
        TransportKind::ProxyRefused => "allow the host on port 443 in the proxy's rules, and check api_hostname",
        TransportKind::Timeout | TransportKind::Broken => {
            "it is asked again; if it lasts, see whether a firewall or proxy in between is slow or cuts connections"
        }
    }
}
