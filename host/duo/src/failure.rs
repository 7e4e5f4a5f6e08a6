//! From a failed connection to its kind.
//!
//! The HTTP client tells most causes by type; the resolver, the tunnel through a proxy and the SOCKS handshake have types
//! that cannot be named from here, only words. Each of those words is met by a test that fails the real way.

use std::error::Error;

use rustls::CertificateError;

use crate::error::{DuoError, TransportKind};

/// The resolver's words.
const UNRESOLVED: [&str; 4] = ["dns error", "invalid dns name", "lookup address", "resolving for socks"];

/// A proxy's that wants to know who asks.
const PROXY_CREDENTIALS: [&str; 3] = [
    "proxy authorization required",
    "credentials not accepted",
    "does not support user/pass",
];

/// A proxy's that answers, but not with a way to the host.
const PROXY_REFUSED: [&str; 9] = [
    "tunnel error: unsuccessful",
    "general server failure",
    "connection not allowed",
    "network unreachable",
    "host unreachable",
    "socks error: connection refused",
    "ttl expired",
    "command not supported",
    "address type not supported",
];

/// What a failed request means. `proxy`: the one on the way, without its password.
pub(crate) fn transport(at: &str, proxy: Option<&str>, error: &reqwest::Error) -> DuoError {
    let kind = kind(error, proxy);
    let cause = match kind {
        TransportKind::Timeout => None,
        TransportKind::Connect | TransportKind::ProxyUnreachable if error.is_timeout() => {
            Some("no answer in time".to_owned())
        }
        _ => Some(deepest(error)),
    };
    let through = proxy.map(|proxy| format!("proxy {proxy}"));
    let parts: Vec<String> = cause.into_iter().chain(through).collect();
    let detail = if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    };
    DuoError::Transport {
        at: at.to_owned(),
        kind,
        detail,
    }
}

fn kind(error: &reqwest::Error, proxy: Option<&str>) -> TransportKind {
    let causes: Vec<String> = chain(error).map(|cause| cause.to_ascii_lowercase()).collect();
    let says = |words: &[&str]| causes.iter().any(|cause| words.iter().any(|word| cause.contains(word)));
    if proxy.is_some() && says(&PROXY_CREDENTIALS) {
        return TransportKind::ProxyCredentials;
    }
    if proxy.is_some() && says(&PROXY_REFUSED) {
        return TransportKind::ProxyRefused;
    }
    if let Some(tls) = links(error).find_map(tls) {
        return of_tls(tls);
    }
    if says(&UNRESOLVED) {
        // Only a socks5:// proxy leaves the host's name to us.
        let is_proxys = proxy.is_some() && !says(&["resolving for socks"]);
        return if is_proxys {
            TransportKind::ProxyUnreachable
        } else {
            TransportKind::Dns
        };
    }
    match (error.is_connect(), proxy) {
        (true, Some(_)) => TransportKind::ProxyUnreachable,
        (true, None) => TransportKind::Connect,
        (false, _) if error.is_timeout() => TransportKind::Timeout,
        (false, _) => TransportKind::Broken,
    }
}

fn of_tls(error: &rustls::Error) -> TransportKind {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TransportKind::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TransportKind::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TransportKind::WrongName
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TransportKind::UnknownIssuer,
            _ => TransportKind::Tls,
        },
        rustls::Error::InvalidMessage(_) => TransportKind::NotTls,
        _ => TransportKind::Tls,
    }
}

/// Every cause, the outermost left out: it would repeat the URL.
fn links<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = String> {
    links(error).map(ToString::to_string)
}

/// The words of the innermost cause.
pub(crate) fn deepest(error: &reqwest::Error) -> String {
    chain(error).last().unwrap_or_else(|| "no cause is known".to_owned())
}

/// An I/O error may wrap another; its `source` passes over what it wraps.
fn tls<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause
        .downcast_ref()
        .or_else(|| wrapped.and_then(|wrapped| tls(wrapped)))
}
