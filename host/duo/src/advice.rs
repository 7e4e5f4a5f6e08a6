//! What is wrong and what to click, in the words of the Admin Panel.
//!
//! [`DuoError::problem`] and [`DuoError::advice`] are for the person who has to act, [`DuoError::kind`] is for programs. A
//! sentence claims no more than the answer proves: one 403 may be a permission, the edition or the address asked from, and
//! only what else is known of the account ([`Context`]) tells them apart.

use std::borrow::Cow;

use crate::error::{DuoError, TransportKind};
use crate::kind::{Asked, Kind};

/// Where an Admin API application is found in the Admin Panel.
const APPLICATION: &str = "Admin Panel, Applications, the Admin API application";

/// What is known besides the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// Where the secret key is configured, as the operator looks for it: a file, a variable.
    pub secret: Option<&'a str>,
    /// Something else that needs the same permission of the same key was answered.
    pub others_answer: bool,
}

impl DuoError {
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
            DuoError::NotJson { status, start, .. } if start.is_empty() => {
                format!("the answer is empty (HTTP {status}), so it is not Duo's")
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
            DuoError::Transport { kind, detail, .. } => {
                let resolver = if *kind == TransportKind::Dns && detail.contains("proxy socks5:") {
                    "; with socks5h:// in `proxy` it is the proxy that resolves the name"
                } else {
                    ""
                };
                format!("{}{resolver}", advice_transport(*kind))
            }
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
        40105 => {
            "see whether this machine's clock is synchronised (`timedatectl status`), and whether a proxy in between \
                  holds requests back or repeats them"
                .to_owned()
        }
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
        TransportKind::Dns => "check api_hostname (it looks like api-XXXXXXXX.duosecurity.com) and this machine's DNS",
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
