//! Sinks that can be written to.

use std::path::Path;
use std::time::Duration;

use picket_judge::alerts;
use picket_sink::{
    Delivery, FileSink, Framing, Message, Rotation, SigningSecret, Sink, StdoutSink, SyslogSettings, SyslogSink, Tls,
    Transport, WebhookSink, WebhookWay,
};
use picket_store::OutboxRow;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{SecretSource, SinkConfig, SinkKind, StdoutFormat, SyslogConfig, SyslogTransport, WebhookConfig};

/// A sink that can be written to.
pub(crate) enum Opened {
    Stdout(StdoutSink),
    File(FileSink),
    Webhook(WebhookSink),
    Syslog(SyslogSink),
}

/// What tells settings apart that are in files: a digest of each.
#[derive(Default)]
struct Content(blake3::Hasher);

impl Content {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn file(&mut self, key: &str, path: &Path) -> Result<Vec<u8>, String> {
        let bytes =
            std::fs::read(path).map_err(|error| format!("{key} {}: cannot be read: {error}", path.display()))?;
        self.add(&bytes);
        Ok(bytes)
    }

    fn secret(&mut self, key: &str, source: &SecretSource) -> Result<SecretString, String> {
        let secret = source.read().map_err(|why| format!("{key}: {why}"))?;
        self.add(secret.expose_secret().as_bytes());
        Ok(secret)
    }
}

impl Opened {
    /// Opens a sink. With it, what tells its settings apart that are not in the configuration itself: of a secret, a digest.
    ///
    /// # Errors
    /// What cannot be opened, in words; never a secret.
    pub(crate) fn open(config: &SinkConfig) -> Result<(Self, String), String> {
        let mut content = Content::default();
        let opened = match &config.kind {
            SinkKind::Stdout(format) => Opened::Stdout(stdout(*format)),
            SinkKind::File { path, max_bytes, keep } => {
                let opened = FileSink::open(path, rotation(*max_bytes, *keep));
                Opened::File(opened.map_err(|error| error.to_string())?)
            }
            SinkKind::Webhook(webhook) => {
                let opened = open_webhook(webhook, &mut content);
                Opened::Webhook(opened.map_err(|why| format!("sink {}: {why}", config.name))?)
            }
            SinkKind::Syslog(syslog) => {
                let opened = open_syslog(syslog, &mut content);
                Opened::Syslog(opened.map_err(|why| format!("sink {}: {why}", config.name))?)
            }
        };
        let digest = match opened {
            Opened::Stdout(_) | Opened::File(_) => String::new(),
            Opened::Webhook(_) | Opened::Syslog(_) => content.0.finalize().to_hex().to_string(),
        };
        Ok((opened, digest))
    }

    /// Whether a sink goes on as it is, under other settings at most: a file has one writer.
    pub(super) fn is_kept(before: &SinkKind, now: &SinkKind) -> bool {
        match (before, now) {
            (SinkKind::File { path, .. }, SinkKind::File { path: other, .. }) => path == other,
            _ => false,
        }
    }

    /// The same file under other settings.
    pub(super) fn change(&mut self, kind: &SinkKind) {
        if let (Opened::File(file), SinkKind::File { max_bytes, keep, .. }) = (self, kind) {
            file.rotate_by(rotation(*max_bytes, *keep));
        }
    }
}

fn stdout(format: StdoutFormat) -> StdoutSink {
    match format {
        StdoutFormat::Text => StdoutSink::text(|row| format!("{}\n", alerts::text(&row.json, 0))),
        StdoutFormat::Ndjson => StdoutSink::ndjson(),
    }
}

fn rotation(max_bytes: u64, keep: u32) -> Rotation {
    Rotation {
        max_bytes,
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
    }
}

fn millis(span: i64) -> Duration {
    Duration::from_millis(u64::try_from(span).unwrap_or_default())
}

fn open_webhook(config: &WebhookConfig, content: &mut Content) -> Result<WebhookSink, String> {
    let url = content.secret("url", &config.url)?;
    let mut secrets = Vec::new();
    for source in &config.secrets {
        let secret = content.secret("secret", source)?;
        let secret = SigningSecret::new(secret.expose_secret().trim());
        secrets.push(secret.map_err(|why| format!("secret (in {}): {why}", source.place()))?);
    }
    let proxy = config
        .proxy
        .as_ref()
        .map(|proxy| content.secret("proxy", proxy))
        .transpose()?;
    let ca = config
        .ca_file
        .as_ref()
        .map(|path| content.file("ca_file", path))
        .transpose()?;
    let way = WebhookWay {
        ca_pem: ca.as_deref(),
        proxy: proxy.as_ref().map(|proxy| proxy.expose_secret()),
        timeout: millis(config.timeout),
    };
    let runtime = tokio::runtime::Handle::current();
    WebhookSink::new(url.expose_secret().trim(), secrets, &way, runtime)
}

fn open_syslog(config: &SyslogConfig, content: &mut Content) -> Result<SyslogSink, String> {
    let transport = match config.transport {
        SyslogTransport::Udp => Transport::Udp,
        SyslogTransport::Tcp => Transport::Tcp,
        SyslogTransport::Tls => {
            let ca = config
                .ca_file
                .as_ref()
                .map(|path| content.file("ca_file", path))
                .transpose()?;
            let client = match &config.client {
                None => None,
                Some((certificate, key)) => Some((
                    content.file("client_cert_file", certificate)?,
                    content.file("client_key_file", key)?,
                )),
            };
            let client = client
                .as_ref()
                .map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
            Transport::Tls(Tls::new(ca.as_deref(), client, config.server_name.clone())?)
        }
    };
    Ok(SyslogSink::new(SyslogSettings {
        address: config.address.clone(),
        transport,
        framing: if config.octet_counting {
            Framing::OctetCounting
        } else {
            Framing::Lines
        },
        message: Message {
            facility: config.facility,
            hostname: config.hostname.clone(),
            cef: config.cef,
        },
        timeout: millis(config.timeout),
    }))
}

impl Sink for Opened {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        match self {
            Opened::Stdout(stdout) => stdout.deliver(rows),
            Opened::File(file) => file.deliver(rows),
            Opened::Webhook(webhook) => webhook.deliver(rows),
            Opened::Syslog(syslog) => syslog.deliver(rows),
        }
    }
}
