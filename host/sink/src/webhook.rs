//! Alerts to a webhook, signed as Standard Webhooks says.
//!
//! One alert is one POST of its JSON. `webhook-id` is the alert's id, the same each time it is sent; `webhook-signature` is an
//! HMAC-SHA256 over id, time and body, with each of the secrets that hold while one takes the other's place. Alerts of one tenant
//! go one after the other; several tenants' go beside each other.
//!
//! What an answer means: 2xx, it is taken. 410, nothing is wanted any more: the sink stops. 408, 425 and 5xx: not now, for this
//! tenant. 429: not now, for anybody, and not before `Retry-After`. 401, 403, 404, 407 and a redirection: the receiver is not set
//! up as the configuration says; nothing is given up, since what mends it lets the alerts through. Any other 4xx (too large, not
//! understood): no retry mends that, the alert is a dead letter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use picket_failpoint::{Point, reach};
use picket_store::OutboxRow;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::lines::line;
use crate::{Cause, Delivery, Down, Fate, Sink};

/// Requests under way at once, each of another tenant.
const AT_ONCE: usize = 8;
/// After this, what is left of a batch is for the next one: whoever wants to change the sink waits for it.
const BATCH: Duration = Duration::from_secs(5);
/// Of an answer that refuses, so much is told, letters.
const TOLD: usize = 200;

/// A secret that requests are signed with.
pub struct SigningSecret(SecretBox<Vec<u8>>);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

impl SigningSecret {
    /// `whsec_` and Base64, as Standard Webhooks writes them; any other text is the secret as it stands.
    ///
    /// # Errors
    /// What follows `whsec_` is no Base64, or the secret is too short to be one.
    pub fn new(text: &str) -> Result<Self, String> {
        let secret = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| "what follows whsec_ is no Base64".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        if secret.len() < 16 {
            return Err("it is shorter than 16 bytes: make one, as whsec_$(openssl rand -base64 32)".to_owned());
        }
        Ok(SigningSecret(SecretBox::new(Box::new(secret))))
    }

    fn sign(&self, id: &str, time: i64, body: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(format!("{id}.{time}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// Alerts to a webhook.
#[derive(Debug)]
pub struct WebhookSink {
    post: Arc<Post>,
    runtime: Handle,
}

#[derive(Debug)]
struct Post {
    url: reqwest::Url,
    secrets: Vec<SigningSecret>,
    client: reqwest::Client,
}

/// How a webhook is reached.
#[derive(Default)]
pub struct WebhookWay<'a> {
    /// Certificates to trust besides the system's, PEM.
    pub ca_pem: Option<&'a [u8]>,
    /// Its URL, which may hold a user name and password. None: the environment's, but never for this machine.
    pub proxy: Option<&'a str>,
    /// For the whole of one request.
    pub timeout: Duration,
}

impl WebhookSink {
    /// Opens no connection yet. Requests run on `runtime`, whoever delivers waits for them on a thread of his own.
    ///
    /// # Errors
    /// What cannot be used, in words.
    pub fn new(url: &str, secrets: Vec<SigningSecret>, way: &WebhookWay<'_>, runtime: Handle) -> Result<Self, String> {
        let url: reqwest::Url = url.parse().map_err(|error| format!("url: {error}"))?;
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(way.timeout.min(Duration::from_secs(15)))
            .timeout(way.timeout)
            .user_agent(concat!("picket/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = way.ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| "ca_file: there is no certificate in it that can be used (PEM)".to_owned())?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder = match way.proxy {
            // Its text may hold a password.
            Some(proxy) => {
                builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| "proxy: it is not a proxy's address".to_owned())?)
            }
            None if is_this_machine(&url) => builder.no_proxy(),
            None => builder,
        };
        let client = builder
            .build()
            .map_err(|error| format!("HTTPS cannot be set up: {error}"))?;
        Ok(WebhookSink {
            post: Arc::new(Post { url, secrets, client }),
            runtime,
        })
    }
}

fn is_this_machine(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What became of one alert.
enum Answer {
    Fate(Fate),
    Down(Down),
    /// It is given up, and so is the sink.
    Gone(String),
}

impl Post {
    async fn one(&self, row: &OutboxRow) -> Answer {
        let body = line(row);
        let time = jiff::Timestamp::now().as_second();
        let signatures = self
            .secrets
            .iter()
            .filter_map(|secret| secret.sign(&row.alert, time, &body));
        let signatures = signatures.collect::<Vec<_>>().join(" ");
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &*row.alert)
            .header("webhook-timestamp", time.to_string());
        if !signatures.is_empty() {
            request = request.header("webhook-signature", signatures);
        }
        let answer = match request.body(body).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.without_url();
                return Answer::Down(Down {
                    cause: cause(&error),
                    ..Down::now(said(&error))
                });
            }
        };
        let status = answer.status();
        if status.is_success() {
            reach(Point::SendAfter);
            return Answer::Fate(Fate::Taken);
        }
        let wait = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| wait(value.to_str().ok()?));
        let location = answer
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let words = told(status, answer.text().await.unwrap_or_default());
        match status.as_u16() {
            410 => Answer::Gone(words),
            429 => Answer::Down(Down {
                cause: Cause::Busy,
                wait,
                ..Down::now(words)
            }),
            408 | 425 | 500.. => Answer::Fate(Fate::Later { why: words, wait }),
            401 | 403 | 404 | 407 => Answer::Down(Down {
                cause: Cause::Settings,
                ..Down::now(format!("{words}; see to `url` and `secret`"))
            }),
            300..=399 => Answer::Down(Down {
                cause: Cause::Settings,
                ..Down::now(format!(
                    "{words}; it wants to be asked elsewhere ({}): write that `url`",
                    location.unwrap_or_else(|| "it does not say where".to_owned())
                ))
            }),
            _ => Answer::Fate(Fate::Refused(words)),
        }
    }

    /// A tenant's alerts, one after the other until one is not taken.
    async fn several(&self, rows: &[(usize, OutboxRow)], until: Instant) -> Vec<(usize, Answer)> {
        let mut answers = Vec::with_capacity(rows.len());
        for (index, row) in rows {
            if Instant::now() > until {
                break;
            }
            let answer = self.one(row).await;
            let goes_on = matches!(answer, Answer::Fate(Fate::Taken | Fate::Refused(_)));
            answers.push((*index, answer));
            if !goes_on {
                break;
            }
        }
        answers
    }
}

impl Sink for WebhookSink {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        let mut tenants: Vec<(&str, Vec<(usize, OutboxRow)>)> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            match tenants.iter_mut().find(|(tenant, _)| *tenant == &*row.tenant) {
                Some((_, own)) => own.push((index, row.clone())),
                None => tenants.push((&row.tenant, vec![(index, row.clone())])),
            }
        }
        let until = Instant::now() + BATCH;
        let answers = self.runtime.block_on(async {
            let mut answers = Vec::with_capacity(rows.len());
            let mut under_way = JoinSet::new();
            let mut waiting = tenants.into_iter();
            loop {
                let is_down = answers.iter().any(|(_, answer)| !matches!(answer, Answer::Fate(_)));
                while under_way.len() < AT_ONCE
                    && !is_down
                    && let Some((_, own)) = waiting.next()
                {
                    let post = self.post.clone();
                    under_way.spawn(async move { post.several(&own, until).await });
                }
                match under_way.join_next().await {
                    Some(Ok(own)) => answers.extend(own),
                    // It panicked: what it had is given again.
                    Some(Err(_)) => {}
                    None => break answers,
                }
            }
        });
        combined(rows, answers)
    }
}

/// Fates up to the first row that was not tried. Behind one that waits, its tenant's rows were not tried, and wait with it.
fn combined(rows: &[OutboxRow], answers: Vec<(usize, Answer)>) -> Delivery {
    let mut found: Vec<Option<Fate>> = vec![None; rows.len()];
    let mut down: Option<Down> = None;
    for (index, answer) in answers {
        let fate = match answer {
            Answer::Fate(fate) => Some(fate),
            Answer::Gone(words) => {
                down = Some(Down {
                    for_good: true,
                    ..Down::now(&words)
                });
                Some(Fate::Refused(words))
            }
            Answer::Down(why) => {
                down.get_or_insert(why);
                None
            }
        };
        if let Some(place) = found.get_mut(index) {
            *place = fate;
        }
    }
    let mut fates: Vec<Fate> = Vec::with_capacity(rows.len());
    let mut waits: Vec<(&str, Fate)> = Vec::new();
    for (row, fate) in rows.iter().zip(found) {
        let before = waits.iter().find(|(tenant, _)| *tenant == &*row.tenant);
        let Some(fate) = fate.or_else(|| before.map(|(_, fate)| fate.clone())) else {
            break;
        };
        if matches!(fate, Fate::Later { .. }) {
            waits.push((&row.tenant, fate.clone()));
        }
        fates.push(fate);
    }
    Delivery { fates, down }
}

/// Seconds, or a date.
fn wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    at.duration_since(std::time::SystemTime::now()).ok()
}

fn told(status: StatusCode, body: String) -> String {
    let body: String = body
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(TOLD)
        .collect();
    let body = body.trim();
    if body.is_empty() {
        format!("HTTP {status}")
    } else {
        format!("HTTP {status}: {body}")
    }
}

fn cause(error: &reqwest::Error) -> Cause {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        // The connector's own error for a name that is not found has no type that can be named.
        if source.to_string() == "dns error" {
            return Cause::Name;
        }
        next = source.source();
    }
    if error.is_timeout() {
        Cause::Silent
    } else {
        Cause::of(error)
    }
}

/// The error with what caused it.
fn said(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standards_own_example() {
        // From the reference implementation's tests.
        let secret = SigningSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        assert!(SigningSecret::new("whsec_%%").is_err() && SigningSecret::new("short").is_err());
        assert!(!format!("{secret:?}").contains("MfKQ"));
    }

    #[test]
    fn a_receiver_asks_for_seconds_or_until_a_date() {
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(60));
        assert!(wait(&date).is_some_and(|wait| wait <= Duration::from_secs(60)));
        assert_eq!(wait("soon"), None);
    }
}
