//! The HTTPS client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::header;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::date;
use crate::decode::{self, Answer};
use crate::error::{BadConfig, DuoError};
use crate::failure;
use crate::host::Host;
use crate::inventory::{ChildAccount, Inventory, InventoryPage};
use crate::log::{Log, Shape};
use crate::objects;
use crate::page::{Page, Query};
use crate::sign::{Scheme, Signable, canonical_params};
use crate::transport::Transport;

/// Where Duo tells its clock to anybody.
pub(crate) const PING: &str = "/auth/v2/ping";

/// Where a parent's key lists its child accounts.
pub(crate) const ACCOUNTS: &str = "/accounts/v1/account/list";

/// The wall clock by which requests are dated, ms since the Unix epoch.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A date further off than this may be refused (Duo's own tools disagree between one and five minutes).
const SAFE_SKEW_MS: i64 = 60_000;

/// Room that is made for an answer before it comes, bytes: a full page of most logs.
const USUAL_BODY: usize = 2 << 20;

/// More than the words of any refusal, bytes.
const LONGEST_REFUSAL: usize = 16 << 10;

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
    /// Largest answer accepted, bytes, after decompression.
    pub max_body: usize,
    /// The child account to read with a parent's key.
    pub account_id: Option<String>,
    /// The clock.
    pub now: Now,
}

impl ClientConfig {
    /// The usual settings: version 5 signatures, 64 MiB.
    #[must_use]
    pub fn new(host: Host, integration_key: impl Into<String>, secret_key: SecretString) -> Self {
        ClientConfig {
            host,
            integration_key: integration_key.into(),
            secret_key,
            scheme: Scheme::V5,
            max_body: 64 << 20,
            account_id: None,
            now: Arc::new(date::system_now),
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

/// The Admin API of one account.
pub struct Client {
    http: reqwest::Client,
    /// Named in errors.
    proxy: Option<String>,
    config: ClientConfig,
    /// Duo's clock less ours, ms, as far as it had to be corrected.
    correction: AtomicI64,
    /// Duo's clock less ours at the last answer, ms; `UNKNOWN` before the first.
    skew: AtomicI64,
}

const UNKNOWN: i64 = i64::MIN;

/// One question, the same however often it is signed.
struct Question {
    method: reqwest::Method,
    path: &'static str,
    params: Vec<(String, String)>,
    /// JSON; empty without one.
    body: &'static str,
    scheme: Scheme,
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
    /// A client that shares a transport. Opens no connection.
    ///
    /// # Errors
    /// [`BadConfig`] names the setting that is unusable.
    pub fn over(config: ClientConfig, transport: &Transport) -> Result<Self, BadConfig> {
        if config.integration_key.is_empty() || !config.integration_key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(BadConfig::Key(
                "integration_key: it consists of letters and digits and looks like DIXXXXXXXXXXXXXXXXXX",
            ));
        }
        if config.secret_key.expose_secret().is_empty() {
            return Err(BadConfig::Key("secret_key: it is empty"));
        }
        Ok(Client {
            http: transport.http(&config.host)?,
            proxy: transport.proxy(&config.host),
            config,
            correction: AtomicI64::new(0),
            skew: AtomicI64::new(UNKNOWN),
        })
    }

    /// The host it asks.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.config.host
    }

    /// Duo's clock less this machine's at the last answer, ms, exact to a second or two; none before the first. Beyond a
    /// minute requests may be refused.
    #[must_use]
    pub fn skew_ms(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|skew| *skew != UNKNOWN)
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
        self.since_second(Log::Administrator, mintime_s).await
    }

    /// One page of any log, oldest first.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn page(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        let shape = log.shape();
        if shape == Shape::FromSecond {
            return self.since_second(log, query.mintime.div_euclid(1000)).await;
        }
        let mut params = vec![
            ("mintime", query.mintime.to_string()),
            ("maxtime", query.maxtime.to_string()),
            ("limit", query.limit.min(log.page_limit()).to_string()),
        ];
        if shape == Shape::Window {
            params.push(("sort", "ts:asc".to_owned()));
        }
        let name = if shape == Shape::Window {
            "next_offset"
        } else {
            "offset"
        };
        params.extend(query.offset.iter().map(|offset| (name, offset.as_str().to_owned())));
        decode::page(log, &self.ask(self.get(log.path(), params)).await?)
    }

    async fn since_second(&self, log: Log, mintime_s: i64) -> Result<Page, DuoError> {
        let params = vec![("mintime", mintime_s.to_string())];
        decode::page(log, &self.ask(self.get(log.path(), params)).await?)
    }

    /// One page of the account's objects from an offset on (0 for the first), without secrets. A single object is a page of one.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn inventory(&self, kind: Inventory, offset: u64) -> Result<InventoryPage, DuoError> {
        let mut params = Vec::new();
        if !kind.is_single() {
            params.push(("limit", kind.page_limit().to_string()));
            params.push(("offset", offset.to_string()));
        }
        let mut question = self.get(kind.path(), params);
        if kind.wants_v5() {
            question.scheme = Scheme::V5;
        }
        objects::inventory(kind, offset, &self.ask(question).await?)
    }

    /// The accounts below this one. The keys must be those of an Accounts API application, the host the parent's.
    ///
    /// # Errors
    /// See [`DuoError`].
    pub async fn accounts(&self) -> Result<Vec<ChildAccount>, DuoError> {
        let question = Question {
            method: reqwest::Method::POST,
            path: ACCOUNTS,
            params: Vec::new(),
            body: "{}",
            scheme: Scheme::V5,
        };
        objects::accounts(&self.ask(question).await?)
    }

    /// A GET with its parameters in the query, for the account or the child account.
    fn get(&self, path: &'static str, params: Vec<(&str, String)>) -> Question {
        let account = self.config.account_id.iter().map(|id| ("account_id", id.clone()));
        let params = params.into_iter().chain(account);
        Question {
            method: reqwest::Method::GET,
            path,
            params: params.map(|(name, value)| (name.to_owned(), value)).collect(),
            body: "",
            scheme: self.config.scheme,
        }
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
        let answer = self
            .send(
                &Question {
                    method: reqwest::Method::GET,
                    path: PING,
                    params: Vec::new(),
                    body: "",
                    scheme: self.config.scheme,
                },
                None,
            )
            .await?;
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
    async fn ask(&self, question: Question) -> Result<Answer, DuoError> {
        let mut corrected = false;
        loop {
            let signed_at = (self.config.now)().saturating_add(self.correction.load(Ordering::Relaxed));
            let date = date::format(signed_at);
            let signable = Signable {
                date: &date,
                method: question.method.as_str(),
                host: self.config.host.name(),
                path: question.path,
                params: &question.params,
                body: question.body,
                headers: &[],
            };
            let authorization =
                signable.authorization(question.scheme, &self.config.integration_key, &self.config.secret_key);
            let answer = self.send(&question, Some((&date, &authorization))).await?;
            // A refusal is short: a page is not read through for nothing.
            if answer.status == 200 && answer.body.len() > LONGEST_REFUSAL {
                return Ok(answer);
            }
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
            if corrected || server.saturating_sub(signed_at).saturating_abs() <= SAFE_SKEW_MS {
                return Ok(answer);
            }
            tracing::warn!(host = %self.config.host, skew_ms, "this machine's clock differs from Duo's; signing by Duo's");
            self.correction.store(skew_ms, Ordering::Relaxed);
            corrected = true;
        }
    }

    async fn send(&self, question: &Question, signed: Option<(&str, &str)>) -> Result<Answer, DuoError> {
        let at = format!("{}{}", self.config.host, question.path);
        let query = canonical_params(&question.params);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = self
            .http
            .request(question.method.clone(), format!("https://{at}{mark}{query}"));
        if let Some((date, authorization)) = signed {
            request = request
                .header(header::DATE, date)
                .header(header::AUTHORIZATION, authorization);
        }
        if !question.body.is_empty() {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(question.body);
        }
        let failed = |error: reqwest::Error| failure::transport(&at, self.proxy.as_deref(), &error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date_ms = text(header::DATE).and_then(date::parse);
        let retry_after = text(header::RETRY_AFTER).and_then(|value| date::retry_after(value, date_ms));
        if let Some(date_ms) = date_ms {
            let skew = date_ms.saturating_sub((self.config.now)());
            self.skew.store(skew, Ordering::Relaxed);
        }
        // What a server promises is believed up to a page's usual size.
        let promised = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        let mut bytes = Vec::with_capacity(promised.unwrap_or(0).min(USUAL_BODY));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > self.config.max_body {
                let why = format!("it is larger than {} bytes", self.config.max_body);
                return Err(DuoError::Malformed { at, why });
            }
            bytes.extend_from_slice(&chunk);
        }
        // One wrongly encoded text must not cost the page.
        let body =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::TransportConfig;

    fn config() -> ClientConfig {
        ClientConfig::new("localhost".parse().unwrap(), "DIX", "hunter2hunter2".to_owned().into())
    }

    #[test]
    fn debug_shows_no_secret() {
        let transport = Transport::new(TransportConfig {
            proxy: Some("http://user:hunter3@proxy:3128".to_owned().into()),
            ..TransportConfig::default()
        })
        .unwrap();
        let client = Client::over(config(), &transport).unwrap();
        let debug = format!("{client:?} {transport:?}");
        assert!(debug.contains("DIX") && !debug.contains("hunter"), "{debug}");
    }

    #[test]
    fn unusable_settings_are_named() {
        let transport = Transport::new(TransportConfig::default()).unwrap();
        let words = |config| Client::over(config, &transport).unwrap_err().to_string();
        let integration_key = "D I".to_owned();
        assert!(
            words(ClientConfig {
                integration_key,
                ..config()
            })
            .contains("integration_key")
        );
        let secret_key = String::new().into();
        assert!(words(ClientConfig { secret_key, ..config() }).contains("secret_key"));
    }
}
