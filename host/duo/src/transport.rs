//! The way to Duo: TLS roots, proxy, timeouts, and connections that are used again.
//!
//! Most of what an HTTPS client weighs is its trusted roots. They are the same for every account that is reached the same
//! way, so accounts share a [`Transport`]: a thousand [`Client`](crate::Client)s on one cost a thousand short texts. What
//! tells accounts apart (host, keys, clock) is not here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};

use crate::error::BadConfig;
use crate::failure;
use crate::host::Host;

/// Idle connections kept for each host: logs that are due together use as many.
const IDLE_PER_HOST: usize = 3;

/// How requests travel.
#[derive(Clone)]
pub struct TransportConfig {
    /// Certificates to trust besides the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Proxy address, `http://`, `https://`, `socks5://` or `socks5h://`, which may hold a user name and password.
    /// None: the environment's (`HTTPS_PROXY`, `NO_PROXY`), but never for this machine.
    pub proxy: Option<SecretString>,
    /// To reach the host, or the proxy, and agree on TLS.
    pub connect_timeout: Duration,
    /// For the whole of one request, from the connection to the answer's last byte.
    pub timeout: Duration,
    /// How long a connection is kept for the next request. Longer than the poll interval it saves a TLS handshake for each
    /// poll; it costs some 40 KiB and a file descriptor for each connection meanwhile.
    pub keep_idle: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        TransportConfig {
            ca_pem: None,
            proxy: None,
            connect_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(60),
            keep_idle: Duration::from_secs(90),
        }
    }
}

impl TransportConfig {
    /// The same with connections kept as long as so many hosts allow: beyond 100 only for the pages of one walk, so that a
    /// process with a thousand accounts holds few more connections than it has requests under way.
    #[must_use]
    pub fn for_hosts(mut self, hosts: usize) -> Self {
        if hosts > 100 {
            self.keep_idle = self.keep_idle.min(Duration::from_secs(5));
        }
        self
    }

    /// Equal for equal settings. A digest, so that no password lies about as a key.
    fn digest(&self) -> [u8; 64] {
        let mut hash = Sha512::new();
        let proxy = self.proxy.as_ref().map(|proxy| proxy.expose_secret().as_bytes());
        for part in [self.ca_pem.as_deref(), proxy] {
            hash.update([u8::from(part.is_some())]);
            let part = part.unwrap_or_default();
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for time in [self.connect_timeout, self.timeout, self.keep_idle] {
            hash.update(time.as_nanos().to_be_bytes());
        }
        hash.finalize().into()
    }
}

impl fmt::Debug for TransportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportConfig")
            .field("ca_pem", &self.ca_pem.is_some())
            .field("proxy", &self.proxy.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A way to Duo that any number of clients share. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    config: TransportConfig,
    http: reqwest::Client,
    /// For this machine itself, where no proxy is configured: round the environment's.
    direct: OnceLock<reqwest::Client>,
    proxies: Matcher,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.config.fmt(f)
    }
}

impl Transport {
    /// Reads the system's roots. Opens no connection.
    ///
    /// # Errors
    /// [`BadConfig`] names the setting that is unusable.
    pub fn new(config: TransportConfig) -> Result<Self, BadConfig> {
        let proxy = config.proxy.as_ref().map(ExposeSecret::expose_secret);
        let (http, proxies) = match proxy {
            Some(proxy) => {
                if !is_proxy(proxy) {
                    return Err(BadConfig::Proxy);
                }
                let setting = reqwest::Proxy::all(proxy).map_err(|_| BadConfig::Proxy)?;
                (builder(&config)?.proxy(setting), Matcher::builder().all(proxy).build())
            }
            None => (builder(&config)?, Matcher::from_system()),
        };
        Ok(Transport {
            inner: Arc::new(Inner {
                http: build(http)?,
                direct: OnceLock::new(),
                proxies,
                config,
            }),
        })
    }

    /// What to send with, for a host.
    pub(crate) fn http(&self, host: &Host) -> Result<reqwest::Client, BadConfig> {
        if !self.is_direct(host) {
            return Ok(self.inner.http.clone());
        }
        if let Some(direct) = self.inner.direct.get() {
            return Ok(direct.clone());
        }
        let made = build(builder(&self.inner.config)?.no_proxy())?;
        Ok(self.inner.direct.get_or_init(|| made).clone())
    }

    /// The proxy on the way to a host, without user name and password.
    #[must_use]
    pub fn proxy(&self, host: &Host) -> Option<String> {
        if self.is_direct(host) {
            return None;
        }
        let target = format!("https://{host}").parse().ok()?;
        let proxy = self.inner.proxies.intercept(&target)?;
        let uri = proxy.uri();
        let authority = uri.authority()?;
        let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!(
            "{}://{}{port}",
            uri.scheme_str().unwrap_or("http"),
            authority.host()
        ))
    }

    fn is_direct(&self, host: &Host) -> bool {
        self.inner.config.proxy.is_none() && host.is_loopback()
    }
}

/// The transports in use, one for each set of settings.
#[derive(Debug, Default)]
pub struct Transports {
    made: Mutex<HashMap<[u8; 64], Weak<Inner>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl Transports {
    /// The transport with these settings: one that is in use, or a new one. It is kept for as long as somebody has it.
    ///
    /// # Errors
    /// [`BadConfig`] names the setting that is unusable.
    pub fn get(&self, config: &TransportConfig) -> Result<Transport, BadConfig> {
        let key = config.digest();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = made.get(&key).and_then(Weak::upgrade) {
            return Ok(Transport { inner });
        }
        let transport = Transport::new(config.clone())?;
        made.retain(|_, inner| inner.strong_count() > 0);
        made.insert(key, Arc::downgrade(&transport.inner));
        Ok(transport)
    }
}

/// A host, with or without one of the schemes that are understood; a text with another is no proxy, however it parses.
fn is_proxy(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let is_known = scheme.is_none_or(|scheme| ["http", "https", "socks5", "socks5h"].contains(&scheme.as_str()));
    is_known
        && host
            .trim_end_matches('/')
            .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

fn builder(config: &TransportConfig) -> Result<reqwest::ClientBuilder, BadConfig> {
    // One provider for the whole process; that another part installed it first is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.connect_timeout.min(config.timeout))
        .timeout(config.timeout)
        .pool_idle_timeout(config.keep_idle)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .user_agent(concat!("picket/", env!("CARGO_PKG_VERSION")));
    let Some(pem) = &config.ca_pem else {
        return Ok(builder);
    };
    let bundle = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| BadConfig::Ca(error.to_string()))?;
    if bundle.is_empty() {
        return Err(BadConfig::Ca("it holds no certificate".to_owned()));
    }
    Ok(builder.tls_certs_merge(bundle))
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, BadConfig> {
    builder
        .build()
        .map_err(|error| BadConfig::Client(failure::deepest(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxy: &str) -> TransportConfig {
        TransportConfig {
            proxy: Some(proxy.to_owned().into()),
            ..TransportConfig::default()
        }
    }

    #[test]
    fn equal_settings_share_a_transport_for_as_long_as_somebody_has_it() {
        let transports = Transports::default();
        let first = transports.get(&through("http://one:3128")).unwrap();
        let again = transports.get(&through("http://one:3128")).unwrap();
        let other = transports.get(&through("http://two:3128")).unwrap();
        assert!(Arc::ptr_eq(&first.inner, &again.inner));
        assert!(!Arc::ptr_eq(&first.inner, &other.inner));
        let weak = Arc::downgrade(&first.inner);
        drop((first, again));
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn the_proxy_on_the_way_is_named_without_its_password() {
        let duo: Host = "api-00000000.duosecurity.com".parse().unwrap();
        for (given, shown) in [
            (
                "http://user:hunter2@proxy.example.com:3128",
                "http://proxy.example.com:3128",
            ),
            (
                "socks5h://user:hunter2@proxy.example.com",
                "socks5h://proxy.example.com",
            ),
            ("proxy.example.com:8080", "http://proxy.example.com:8080"),
        ] {
            let transport = Transport::new(through(given)).unwrap();
            assert_eq!(transport.proxy(&duo).as_deref(), Some(shown));
            assert!(!format!("{transport:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        for text in [
            "http://user:hunter2@",
            "ftp://hunter2",
            "socks4://hunter2:1080",
            "",
            "://hunter2",
            "http://",
        ] {
            let error = Transport::new(through(text)).unwrap_err().to_string();
            assert!(
                error.starts_with("proxy:") && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn many_hosts_keep_connections_for_a_short_time_only() {
        let keep = |hosts| TransportConfig::default().for_hosts(hosts).keep_idle.as_secs();
        assert_eq!((keep(1), keep(100), keep(1_000)), (90, 90, 5));
    }

    #[test]
    fn unusable_certificates_are_named() {
        for pem in [
            "no pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let ca_pem = Some(pem.as_bytes().to_vec());
            let config = TransportConfig {
                ca_pem,
                ..TransportConfig::default()
            };
            let error = Transport::new(config).unwrap_err().to_string();
            assert!(error.contains("ca_file") || error.contains("certificate"), "{error}");
        }
    }
}
