//! What can go wrong, worded for the person who has to act. No message holds a secret: of what Duo says only short,
//! printable excerpts are kept, and those without the secret key.

use std::time::Duration;

/// Why a request brought no page. `at` is the host and path asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DuoError {
    /// 401: the credentials are not accepted.
    #[error("{at}: Duo does not accept the credentials (error {code}, {message:?}): {}", advice_unauthorized(*code))]
    Unauthorized {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40102.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 401 because of the date, although it was signed by Duo's own clock a second time.
    #[error(
        "{at}: Duo refuses the request's date: this machine's clock is {} {} Duo's; set it right (NTP: `timedatectl status`)",
        seconds(*skew_ms), if *skew_ms > 0 { "behind" } else { "ahead of" }
    )]
    ClockSkew {
        /// Host and path.
        at: String,
        /// Duo's clock less ours, ms.
        skew_ms: i64,
    },
    /// 403: the credentials are good, but not for this.
    #[error(
        "{at}: Duo forbids this (error {code}, {message:?}): grant \"Grant read log\" to the application in the Admin Panel \
         (Applications, Admin API), check its \"Networks for API Access\", and that the account's edition has this log"
    )]
    Forbidden {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40301.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 404 or 405: there is no such log at this host.
    #[error(
        "{at}: there is no such log (error {code}, {message:?}): check api_hostname, and that this account has the log"
    )]
    NotFound {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40401.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 400: Duo does not like a parameter.
    #[error("{at}: Duo refuses the request (error {code}, {message:?}); it is asked anew with fresh parameters")]
    BadRequest {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40002.
        code: u32,
        /// Duo's words, with the detail.
        message: String,
    },
    /// 429: asked too often.
    #[error(
        "{at}: Duo's rate limit is reached{}; polling slows down by itself. If it stays so, see whether another program polls \
         the same log, or lengthen poll_interval",
        retry_after.map_or_else(String::new, |after| format!(" (Duo asks to wait {} s)", after.as_secs()))
    )]
    RateLimited {
        /// Host and path.
        at: String,
        /// How long to wait, if Duo says so (it does not, as a rule).
        retry_after: Option<Duration>,
    },
    /// 5xx: Duo's side fails.
    #[error("{at}: Duo fails (HTTP {status}, {message:?}); it is asked again. If it lasts, see status.duo.com")]
    Server {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
        /// Duo's words, or the start of what came.
        message: String,
    },
    /// A redirect, which Duo does not send and which is not followed: the signature is good for one host only.
    #[error("{at}: answered with a redirect (HTTP {status}), which Duo never does: check api_hostname and the proxy")]
    Redirected {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
    },
    /// Something answered that is not the Admin API.
    #[error(
        "{at}: the answer is not JSON (HTTP {status}, starts with {start:?}): is there a proxy or a gateway in between?"
    )]
    NotJson {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
        /// The start of what came.
        start: String,
    },
    /// JSON, but not a page.
    #[error("{at}: the answer cannot be used: {why}; it is asked again")]
    Malformed {
        /// Host and path.
        at: String,
        /// What is wrong, and where in the answer.
        why: String,
    },
    /// There is no answer.
    #[error("{at}: {kind}{detail}")]
    Transport {
        /// Host and path.
        at: String,
        /// What failed.
        kind: TransportKind,
        /// The cause in words, with a separator in front, or empty.
        detail: String,
    },
}

/// Where a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportKind {
    /// The name could not be resolved.
    #[error("the host name cannot be resolved: check api_hostname and this machine's DNS")]
    Dns,
    /// No trust.
    #[error(
        "the TLS connection fails: check this machine's root certificates and clock; behind an inspecting proxy set ca_file"
    )]
    Tls,
    /// Nothing accepts the connection.
    #[error("no connection: check the firewall (HTTPS to port 443) and the proxy")]
    Connect,
    /// Too slow.
    #[error("no complete answer in time")]
    Timeout,
    /// It broke off.
    #[error("the connection broke off")]
    Broken,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// The extra certificates are unusable.
    #[error("ca_file: {0}; it must hold one or more certificates in PEM")]
    Ca(String),
    /// The proxy is unusable. Its text is not shown: it may hold a password.
    #[error("proxy: this is not a proxy address; it looks like http://proxy.example.com:3128")]
    Proxy,
    /// A key has a form that no key has.
    #[error("{0}")]
    Key(&'static str),
    /// Anything else.
    #[error("the HTTPS client cannot be set up: {0}")]
    Client(String),
}

impl DuoError {
    /// Only a change of the configuration, here or at Duo, can help; asking again soon does not.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            DuoError::Unauthorized { .. }
                | DuoError::ClockSkew { .. }
                | DuoError::Forbidden { .. }
                | DuoError::NotFound { .. }
        )
    }
}

fn advice_unauthorized(code: u32) -> &'static str {
    match code {
        40102 => "check that integration_key belongs to an Admin API application of this api_hostname",
        40103 => "check secret_key, and that it belongs to integration_key",
        40104 | 40105 => "check this machine's clock (NTP)",
        _ => "check api_hostname, integration_key and secret_key",
    }
}

fn seconds(skew_ms: i64) -> String {
    format!("{} s", skew_ms.unsigned_abs() / 1000)
}
