//! What can go wrong, worded for the person who has to act. No message holds a secret: of what Duo says only short,
//! printable excerpts are kept, and those without the secret key.
//!
//! Each error is a problem and an advice ([`DuoError::problem`], [`DuoError::advice`]); its text is both.

use std::fmt;
use std::time::Duration;

use crate::advice::Context;

/// Why a request brought nothing. `at` is the host and path asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DuoError {
    /// 401: the credentials are not accepted.
    Unauthorized {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40102.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 401 because of the date, although it was signed by Duo's own clock a second time.
    ClockSkew {
        /// Host and path.
        at: String,
        /// Duo's clock less ours, ms.
        skew_ms: i64,
    },
    /// 403: the credentials are good, but not for this.
    Forbidden {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40301.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 404 or 405: there is no such thing at this host.
    NotFound {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40401.
        code: u32,
        /// Duo's words.
        message: String,
    },
    /// 400: Duo does not like a parameter.
    BadRequest {
        /// Host and path.
        at: String,
        /// Duo's error code, e.g. 40002.
        code: u32,
        /// Duo's words, with the detail.
        message: String,
    },
    /// 429: asked too often.
    RateLimited {
        /// Host and path.
        at: String,
        /// How long to wait, if Duo says so (it does not, as a rule).
        retry_after: Option<Duration>,
    },
    /// 5xx: Duo's side fails.
    Server {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
        /// Duo's words, or the start of what came.
        message: String,
    },
    /// A redirect, which Duo does not send and which is not followed: the signature is good for one host only.
    Redirected {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
    },
    /// Something answered that is not the Admin API.
    NotJson {
        /// Host and path.
        at: String,
        /// HTTP status.
        status: u16,
        /// The start of what came.
        start: String,
    },
    /// JSON, but not what was asked for.
    Malformed {
        /// Host and path.
        at: String,
        /// What is wrong, and where in the answer.
        why: String,
    },
    /// There is no answer.
    Transport {
        /// Host and path.
        at: String,
        /// What failed.
        kind: TransportKind,
        /// The cause in words, and the proxy on the way, with a separator in front; or empty.
        detail: String,
    },
}

/// Where a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// The name could not be resolved.
    Dns,
    /// No encrypted connection, for a reason that has no kind of its own.
    Tls,
    /// The certificate is signed by nobody who is trusted here.
    UnknownIssuer,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// What answers does not speak TLS.
    NotTls,
    /// Nothing accepts the connection.
    Connect,
    /// Nothing accepts the connection to the proxy, or its name cannot be resolved.
    ProxyUnreachable,
    /// The proxy wants a user name and password, or other ones.
    ProxyCredentials,
    /// The proxy does not connect to the host.
    ProxyRefused,
    /// Too slow.
    Timeout,
    /// It broke off.
    Broken,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportKind::Dns => "the host name cannot be resolved",
            TransportKind::Tls => "the TLS connection fails",
            TransportKind::UnknownIssuer => "the server's certificate is signed by an issuer that is not trusted here",
            TransportKind::Expired => "the server's certificate has expired",
            TransportKind::NotYetValid => "the server's certificate is not valid yet",
            TransportKind::WrongName => "the server's certificate is for another name",
            TransportKind::NotTls => "what answers there does not speak TLS",
            TransportKind::Connect => "no connection",
            TransportKind::ProxyUnreachable => "the proxy cannot be reached",
            TransportKind::ProxyCredentials => "the proxy does not accept the user name and password",
            TransportKind::ProxyRefused => "the proxy does not connect to this host",
            TransportKind::Timeout => "no complete answer in time",
            TransportKind::Broken => "the connection broke off",
        })
    }
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// The extra certificates are unusable.
    #[error("ca_file: {0}; it must hold one or more certificates in PEM")]
    Ca(String),
    /// The proxy is unusable. Its text is not shown: it may hold a password.
    #[error(
        "proxy: this is not a proxy address; it looks like http://proxy.example.com:3128, http://user:password@proxy.example.com:3128 \
         or socks5h://proxy.example.com:1080 (special characters of the password as %40 and so on)"
    )]
    Proxy,
    /// A key has a form that no key has.
    #[error("{0}")]
    Key(&'static str),
    /// Anything else.
    #[error("the HTTPS client cannot be set up: {0}")]
    Client(String),
}

impl std::error::Error for DuoError {}

impl fmt::Display for DuoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}; {}",
            self.at(),
            self.problem(),
            self.advice(&Context::default())
        )
    }
}

impl DuoError {
    /// The host and path asked.
    #[must_use]
    pub fn at(&self) -> &str {
        match self {
            DuoError::Unauthorized { at, .. }
            | DuoError::ClockSkew { at, .. }
            | DuoError::Forbidden { at, .. }
            | DuoError::NotFound { at, .. }
            | DuoError::BadRequest { at, .. }
            | DuoError::RateLimited { at, .. }
            | DuoError::Server { at, .. }
            | DuoError::Redirected { at, .. }
            | DuoError::NotJson { at, .. }
            | DuoError::Malformed { at, .. }
            | DuoError::Transport { at, .. } => at,
        }
    }

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
