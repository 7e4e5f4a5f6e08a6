//! The HTTPS client.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::decode::{self, Answer};
use crate::error::{BadConfig, DuoError, TransportKind};
use crate::host::Host;
use crate::log::Log;
use crate::page::{Page, Query};
use crate::sign::{Scheme, Signable, canonical_params};

/// The wall clock by which requests are dated, ms since the Unix epoch.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A date further off than this may be refused (Duo's own tools disagree between one and five minutes).
const SAFE_SKEW_MS: i64 = 60_000;

/// What a client is made of.
#[derive(Clone)]
pub struct ClientConfig {
    /// The account's API host; for a child account the child's.
    pub host: Host,
    /// Integration key, `DI...`.
    pub integration_key: String,
    /// Secret key.
    pub secret_key: SecretString,
    /// How requests are signed.
    pub scheme: Scheme,
    /// Certificates to trust besides the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Proxy address, which may hold a password. None: the environment's (`HTTPS_PROXY`, `NO_PROXY`), but never for this machine.
    pub proxy: Option<SecretString>,
    /// For the whole of one request.
    pub timeout: Duration,
    /// Largest answer accepted, bytes, after decompression.
    pub max_body: usize,
    /// The child account to read with a parent's key.
    pub account_id: Option<String>,
    /// The clock.
    pub now: Now,
}

impl ClientConfig {
    /// The usual settings: version 5 signatures, 60 s, 64 MiB.
    #[must_use]
    pub fn new(host: Host, integration_key: impl Into<String>, secret_key: SecretString) -> Self {
        ClientConfig {
            host,
            integration_key: integration_key.into(),
            secret_key,
            scheme: Scheme::V5,
            ca_pem: None,
            proxy: None,
            timeout: Duration::from_secs(60),
            max_body: 64 << 20,
            account_id: None,
            now: Arc::new(system_now),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("host", &self.host)
            .field("integration_key", &self.integration_key)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

/// The system's clock, ms since the Unix epoch.
#[must_use]
pub fn system_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// The Admin API of one account.
pub struct Client {
    http: reqwest::Client,
    config: ClientConfig,
    /// Duo's clock less ours, ms, as far as it had to be corrected.
    correction: AtomicI64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// What `ping` learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// Duo's clock, ms since the Unix epoch, whole seconds.
    pub server_ms: i64,
    /// Duo's clock less ours, ms. Beyond a minute requests may be refused.
    pub skew_ms: i64,
}

impl Client {
    /// A client. Opens no connection.
    ///
    /// # Errors
    /// [`BadConfig`] names the setting that is unusable.
    pub fn new(config: ClientConfig) -> Result<Self, BadConfig> {
        if config.integration_key.is_empty() || !config.integration_key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(BadConfig::Key(
                "integration_key: it consists of letters and digits and looks like DIXXXXXXXXXXXXXXXXXX",
            ));
        }
        if config.secret_key.expose_secret().is_empty() {
            return Err(BadConfig::Key("secret_key: it is empty"));
        }
        // One provider for the whole process; that another part installed it first is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.timeout.min(Duration::from_secs(15)))
            .timeout(config.timeout)
            .user_agent(concat!("picket/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &config.ca_pem {
            let bundle =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|error| BadConfig::Ca(error.to_string()))?;
            if bundle.is_empty() {
                return Err(BadConfig::Ca("it holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(bundle);
        }
        builder = match &config.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.expose_secret()).map_err(|_| BadConfig::Proxy)?),
            None if config.host.is_loopback() => builder.no_proxy(),
            None => builder,
        };
        let http = builder.build().map_err(|error| BadConfig::Client(deepest(&error)))?;
        Ok(Client {
            http,
            config,
            correction: AtomicI64::new(0),
        })
    }

    /// The host it asks.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.config.host
    }

    /// One page of the authentication log, oldest first.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn authentication(&self, query: &Query) -> Result<Page, DuoError> {
        self.page(Log::Authentication, query).await
    }

    /// One page of the activity log, oldest first.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn activity(&self, query: &Query) -> Result<Page, DuoError> {
        self.page(Log::Activity, query).await
    }

    /// One page of the telephony log, oldest first.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn telephony(&self, query: &Query) -> Result<Page, DuoError> {
        self.page(Log::Telephony, query).await
    }

    /// The administrator log from a second on (whole seconds since the Unix epoch), oldest first, as far as Duo answers at once.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn administrator(&self, mintime_s: i64) -> Result<Page, DuoError> {
        let params = vec![("mintime".to_owned(), mintime_s.to_string())];
        decode::page(Log::Administrator, &self.ask(Log::Administrator.path(), params).await?)
    }

    /// One page of any log.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn page(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        if !log.is_v2() {
            return self.administrator(query.mintime.div_euclid(1000)).await;
        }
        let mut params = vec![
            ("mintime".to_owned(), query.mintime.to_string()),
            ("maxtime".to_owned(), query.maxtime.to_string()),
            ("limit".to_owned(), query.limit.to_string()),
            ("sort".to_owned(), "ts:asc".to_owned()),
        ];
        params.extend(
            query
                .offset
                .as_ref()
                .map(|offset| ("next_offset".to_owned(), offset.as_str().to_owned())),
        );
        decode::page(log, &self.ask(log.path(), params).await?)
    }

    /// Asks for Duo's clock; needs no credentials, so it tells a wrong host or network from a wrong key.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn ping(&self) -> Result<Pong, DuoError> {
        #[derive(Deserialize)]
        struct Time {
            time: i64,
        }
        let answer = self.send("/auth/v2/ping", "", None).await?;
        let response = decode::response(&answer)?;
        let Time { time } = serde_json::from_str(response.get()).map_err(|_| DuoError::Malformed {
            at: answer.at.clone(),
            why: "`response.time` is not a number of seconds".to_owned(),
        })?;
        let server_ms = time.saturating_mul(1000);
        Ok(Pong {
            server_ms,
            skew_ms: server_ms.saturating_sub((self.config.now)()),
        })
    }

    /// A signed request, signed once more by Duo's clock if it is refused for its date.
    async fn ask(&self, path: &str, mut params: Vec<(String, String)>) -> Result<Answer, DuoError> {
        params.extend(
            self.config
                .account_id
                .iter()
                .map(|id| ("account_id".to_owned(), id.clone())),
        );
        let query = canonical_params(&params);
        let mut corrected = false;
        loop {
            let signed_at = (self.config.now)().saturating_add(self.correction.load(Ordering::Relaxed));
            let date = http_date(signed_at);
            let signable = Signable {
                date: &date,
                method: "GET",
                host: self.config.host.name(),
                path,
                params: &params,
                body: "",
                headers: &[],
            };
            let authorization = signable.authorization(
                self.config.scheme,
                &self.config.integration_key,
                &self.config.secret_key,
            );
            let answer = self.send(path, &query, Some((&date, &authorization))).await?;
            let Err(DuoError::Unauthorized {
                code: code @ 40103..=40105,
                ..
            }) = decode::response(&answer)
            else {
                return Ok(answer);
            };
            let Some(server) = answer.date_ms else {
                return Ok(answer);
            };
            let skew_ms = server.saturating_sub((self.config.now)());
            if corrected && code != 40103 {
                return Err(DuoError::ClockSkew { at: answer.at, skew_ms });
            }
            if corrected || (server - signed_at).abs() <= SAFE_SKEW_MS {
                return Ok(answer);
            }
            tracing::warn!(host = %self.config.host, skew_ms, "this machine's clock differs from Duo's; signing by Duo's");
            self.correction.store(skew_ms, Ordering::Relaxed);
            corrected = true;
        }
    }

    async fn send(&self, path: &str, query: &str, signed: Option<(&str, &str)>) -> Result<Answer, DuoError> {
        let at = format!("{}{path}", self.config.host);
        let question = if query.is_empty() { "" } else { "?" };
        let mut request = self.http.get(format!("https://{at}{question}{query}"));
        if let Some((date, authorization)) = signed {
            request = request
                .header(header::DATE, date)
                .header(header::AUTHORIZATION, authorization);
        }
        let failed = |error: reqwest::Error| transport(&at, &error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date_ms = text(header::DATE).and_then(parse_http_date);
        let retry_after = text(header::RETRY_AFTER).and_then(|value| parse_retry_after(value, date_ms));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > self.config.max_body {
                let why = format!("it is larger than {} bytes", self.config.max_body);
                return Err(DuoError::Malformed { at, why });
            }
            bytes.extend_from_slice(&chunk);
        }
        // One wrongly encoded text must not cost the page.
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            at,
            status,
            date_ms,
            retry_after,
            body,
            secret: self.config.secret_key.clone(),
        })
    }
}

fn http_date(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since.min(Duration::from_secs(253_402_300_799)))
}

fn parse_http_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// Seconds, or a date by the server's own clock.
fn parse_retry_after(text: &str, server_ms: Option<i64>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = parse_http_date(text)?.saturating_sub(server_ms?);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// The resolver's failures have no type of their own here, only words.
const UNRESOLVED: [&str; 3] = ["dns error", "invalid dns name", "lookup address"];

fn transport(at: &str, error: &reqwest::Error) -> DuoError {
    let kind = if error.is_timeout() {
        TransportKind::Timeout
    } else if chain(error).any(|cause| UNRESOLVED.iter().any(|words| cause.contains(words))) {
        TransportKind::Dns
    } else if has_tls_cause(error) {
        TransportKind::Tls
    } else if error.is_connect() {
        TransportKind::Connect
    } else {
        TransportKind::Broken
    };
    let detail = if kind == TransportKind::Timeout {
        String::new()
    } else {
        format!(" ({})", deepest(error))
    };
    DuoError::Transport {
        at: at.to_owned(),
        kind,
        detail,
    }
}

/// The words of each cause but the outermost, which would repeat the URL.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = String> {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().into_iter()
}

fn deepest(error: &reqwest::Error) -> String {
    chain(error).last().unwrap_or_else(|| "no cause is known".to_owned())
}

fn has_tls_cause(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(is_tls)
}

/// An I/O error may wrap another; its `source` passes over what it wraps.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("90", None), Some(Duration::from_secs(90)));
        let date = http_date(1_782_896_520_000);
        assert_eq!(
            parse_retry_after(&date, Some(1_782_896_400_000)),
            Some(Duration::from_secs(120))
        );
        assert_eq!(parse_retry_after(&date, Some(1_782_896_600_000)), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", Some(0)), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut config = ClientConfig::new("localhost".parse().unwrap(), "DIX", "hunter2hunter2".to_owned().into());
        config.proxy = Some("http://user:hunter3@proxy:3128".to_owned().into());
        let client = Client::new(config).unwrap();
        let debug = format!("{client:?}");
        assert!(debug.contains("DIX") && !debug.contains("hunter"), "{debug}");
    }

    #[test]
    fn unusable_settings_are_named() {
        let config = || ClientConfig::new("localhost".parse().unwrap(), "DIX", "secret".to_owned().into());
        let words = |config| Client::new(config).unwrap_err().to_string();
        assert!(
            words(ClientConfig {
                integration_key: "D I".into(),
                ..config()
            })
            .contains("integration_key")
        );
        assert!(
            words(ClientConfig {
                secret_key: String::new().into(),
                ..config()
            })
            .contains("secret_key")
        );
        assert!(
            words(ClientConfig {
                ca_pem: Some(b"no pem".to_vec()),
                ..config()
            })
            .contains("ca_file")
        );
        let proxy = Some(SecretString::from("http://user:hunter3@".to_owned()));
        assert!(!words(ClientConfig { proxy, ..config() }).contains("hunter3"));
    }
}
