//! Sinks, read from what an operator wrote of them: every key that is wrong, with its place.

use std::path::PathBuf;

use picket_contract::Severity;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::file::SinkFile;
use super::{Events, Route, SinkConfig, SinkKind, StdoutFormat, SyslogConfig, SyslogTransport, WebhookConfig};
use crate::config::overrides::{Groups, Tenants};
use crate::config::tenant::Checker;
use crate::config::{Problem, SecretSource};

/// Of each rule, tenant and hour so many alerts are sent unless told otherwise.
const PER_HOUR: u32 = 100;

const WEBHOOK_KEYS: [&str; 8] = [
    "url",
    "secret",
    "secret_file",
    "previous_secret",
    "previous_secret_file",
    "proxy",
    "timeout",
    "ca_file",
];
const SYSLOG_KEYS: [&str; 11] = [
    "address",
    "transport",
    "framing",
    "format",
    "facility",
    "hostname",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "server_name",
    "timeout",
];

/// As the journal calls it: the guides call one log otherwise.
fn duos_log(name: &str) -> &str {
    if name == "offline_access" {
        "offline_enrollment"
    } else {
        name
    }
}

impl Checker<'_> {
    /// The sinks; standard output where none is named. `per_hour`: as written; 0 sends all.
    pub(in crate::config) fn sinks(
        &self,
        files: &[Spanned<SinkFile>],
        per_hour: Option<u32>,
        groups: &Groups,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Vec<SinkConfig> {
        let per_hour = Some(per_hour.unwrap_or(PER_HOUR)).filter(|most| *most > 0);
        if files.is_empty() {
            return vec![SinkConfig {
                name: "stdout".to_owned(),
                route: Route {
                    tenants: Tenants::All,
                    min_severity: Severity::Info,
                    per_hour,
                    events: None,
                },
                history: true,
                kind: SinkKind::Stdout(StdoutFormat::Text),
            }];
        }
        let mut sinks: Vec<SinkConfig> = Vec::new();
        for file in files {
            let Some((kind, place)) = self.kind(&file.value, problems, warnings) else {
                continue;
            };
            let file_name = file.value.name.as_ref();
            let name = file_name.map_or(place, |name| name.value.trim().to_owned());
            if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
                let at = file_name.map_or(file.referenced, |name| name.referenced);
                problems.push(
                    self.problem(at, "this cannot be a sink's `name`")
                        .hint("a word or two, as `soc-webhook`: by it, its place in the outbox is known"),
                );
            }
            if let Some(known) = sinks.iter().find(|known| known.name == name) {
                let problem = self.problem(file.referenced, format!("there are two sinks named `{}`", known.name));
                problems.push(problem.hint(
                    "each would get half of the alerts: take one out, or, if they are not the same, give each a `name`",
                ));
            }
            if let SinkKind::File { path, .. } = &kind
                && sinks
                    .iter()
                    .any(|known| matches!(&known.kind, SinkKind::File { path: other, .. } if other == path))
            {
                let problem = self.problem(file.referenced, format!("two sinks write to {}", path.display()));
                problems.push(problem.hint("a file has one writer: take one out"));
            }
            sinks.push(SinkConfig {
                name,
                route: Route {
                    tenants: file
                        .value
                        .tenants
                        .as_ref()
                        .map_or(Tenants::All, |tenants| self.tenants(tenants, groups, problems)),
                    min_severity: self.min_severity(file.value.min_severity.as_ref(), problems),
                    per_hour,
                    events: self.events(file.value.events.as_ref(), &kind, problems),
                },
                history: file
                    .value
                    .history
                    .as_ref()
                    .map_or_else(|| kind.wants_history(), |history| history.value),
                kind,
            });
        }
        sinks
    }

    /// The sinks that a customer's file names.
    pub(in crate::config) fn own_sinks(
        &self,
        names: Option<&[Spanned<String>]>,
        sinks: &[SinkConfig],
        problems: &mut Vec<Problem>,
    ) -> Option<Vec<String>> {
        let names = names?;
        for name in names {
            if !sinks.iter().any(|sink| sink.name == name.value) {
                let known: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
                let problem = self.problem(name.referenced, format!("there is no sink named `{}`", name.value));
                problems.push(problem.hint(format!("picket.yaml has: {}", known.join(", "))));
            }
        }
        Some(names.iter().map(|name| name.value.clone()).collect())
    }

    /// Which events it gets. `kind`: events are JSON, which not every format is.
    fn events(&self, value: Option<&Spanned<Value>>, kind: &SinkKind, problems: &mut Vec<Problem>) -> Option<Events> {
        let value = value?;
        let events = match &value.value {
            Value::Bool(false) => return None,
            Value::Bool(true) => Events::All,
            Value::Array(names) if !names.is_empty() => {
                let mut logs = Vec::new();
                for name in names {
                    let known = name
                        .as_str()
                        .map(duos_log)
                        .filter(|log| picket_event::logs().any(|known| known == *log));
                    match known {
                        Some(log) => logs.push(log.to_owned()),
                        None => {
                            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
                            let known: Vec<&str> = picket_event::logs().collect();
                            let problem = self.problem(value.referenced, format!("`events`: there is no log `{name}`"));
                            problems.push(problem.hint(format!("true, or a list of logs: {}", known.join(", "))));
                        }
                    }
                }
                Events::Of(logs)
            }
            _ => {
                let problem = self.problem(value.referenced, "`events` is neither true or false nor a list of logs");
                problems.push(problem.hint("events: true, or events: [authentication, activity]"));
                return None;
            }
        };
        match kind {
            SinkKind::Stdout(StdoutFormat::Text) => {
                let problem = self.problem(
                    value.referenced,
                    "`events` with `format: text`: events are sent as JSON",
                );
                problems.push(problem.hint("format: ndjson"));
            }
            SinkKind::Syslog(syslog) if syslog.cef => {
                let problem = self.problem(value.referenced, "`events` with `format: cef`: events are sent as JSON");
                problems.push(problem.hint("format: json, or a sink of its own for events, with another `name`"));
            }
            _ => {}
        }
        Some(events)
    }

    fn min_severity(&self, word: Option<&Spanned<String>>, problems: &mut Vec<Problem>) -> Severity {
        let Some(word) = word else { return Severity::Info };
        serde_json::from_value(Value::String(word.value.clone())).unwrap_or_else(|_| {
            let problem = self.problem(word.referenced, format!("`{}` is no severity", word.value));
            problems.push(problem.hint("info, low, medium, high, critical"));
            Severity::Info
        })
    }

    /// Where to, and by what name it goes unless it is given one.
    fn kind(
        &self,
        file: &SinkFile,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<(SinkKind, String)> {
        let before = problems.len();
        let allowed: &[&str] = match file.kind.value.as_str() {
            "stdout" => &["format"],
            "file" => &["path", "max_bytes", "keep"],
            "webhook" => &WEBHOOK_KEYS,
            "syslog" => &SYSLOG_KEYS,
            other => {
                let problem = self.problem(file.kind.referenced, format!("there is no sink of type `{other}`"));
                problems.push(problem.hint("stdout, file, webhook, syslog: see docs/sinks.md"));
                return None;
            }
        };
        for (key, location) in file.given() {
            if !allowed.contains(&key) {
                let what = format!("`{key}` says nothing to a sink of type {}", file.kind.value);
                let hint = format!(
                    "its keys are name, tenants, min_severity, history, events, {}",
                    allowed.join(", ")
                );
                problems.push(self.problem(location, what).hint(hint));
            }
        }
        let kind = match file.kind.value.as_str() {
            "stdout" => {
                let format = self.one_of(
                    file.format.as_ref(),
                    "format",
                    &[("text", StdoutFormat::Text), ("ndjson", StdoutFormat::Ndjson)],
                    problems,
                );
                Some((SinkKind::Stdout(format?), "stdout".to_owned()))
            }
            "file" => self.file_sink(file, problems),
            "webhook" => self.webhook_sink(file, problems, warnings),
            _ => self.syslog_sink(file, problems),
        };
        kind.filter(|_| problems.len() == before)
    }

    fn file_sink(&self, file: &SinkFile, problems: &mut Vec<Problem>) -> Option<(SinkKind, String)> {
        let Some(path) = &file.path else {
            let problem = self.problem(file.kind.referenced, "a sink of type file without a `path`");
            problems.push(problem.hint("path: /var/log/picket/alerts.ndjson"));
            return None;
        };
        // As written: by this name its place in the outbox is known.
        let path = self.base.join(&path.value);
        let name = format!("file {}", path.display());
        let kind = SinkKind::File {
            path,
            max_bytes: file.max_bytes.as_ref().map_or(64 << 20, |bytes| bytes.value),
            keep: file.keep.as_ref().map_or(8, |keep| keep.value),
        };
        Some((kind, name))
    }

    fn webhook_sink(
        &self,
        file: &SinkFile,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<(SinkKind, String)> {
        let Some(url) = &file.url else {
            let problem = self.problem(file.kind.referenced, "a sink of type webhook without a `url`");
            problems.push(problem.hint("url: https://soc.example.com/picket, or url: ${PICKET_WEBHOOK}"));
            return None;
        };
        let held = SecretSource::from_text(url.value.trim());
        let host = url.value.split_once("://").map(|(_, rest)| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit('@').next().unwrap_or_default().to_owned()
        });
        let is_http = ["https://", "http://"]
            .iter()
            .any(|scheme| url.value.trim().starts_with(scheme));
        let name = match (&held, host.filter(|host| is_http && !host.is_empty())) {
            (SecretSource::Inline(_), Some(host)) => format!("webhook {host}"),
            (SecretSource::Inline(_), None) => {
                // Not shown: it may hold a secret.
                let problem = self.problem(url.referenced, "`url` is not a webhook's address");
                problems.push(problem.hint("https://soc.example.com/picket"));
                return None;
            }
            _ if file.name.is_none() => {
                let problem = self.problem(url.referenced, "a webhook whose `url` is in a variable needs a `name`");
                problems.push(problem.hint("name: soc-webhook"));
                return None;
            }
            _ => String::new(),
        };
        let mut secret = |inline: &Option<Spanned<String>>, path: &Option<Spanned<PathBuf>>, key: &str| {
            if let (Some(_), Some(path)) = (inline, path) {
                let problem = self.problem(path.referenced, format!("`{key}` and `{key}_file`"));
                problems.push(problem.hint("keep one of them"));
            }
            let inline = inline.as_ref();
            let inline = inline.map(|text| (SecretSource::from_text(&text.value), text.referenced));
            let path = path.as_ref();
            let found = inline.or(path.map(|path| (SecretSource::File(self.file(&path.value)), path.referenced)));
            if let Some((secret, location)) = &found {
                self.readable_by_others(secret, *location, warnings);
            }
            found.map(|(secret, _)| secret)
        };
        let current = secret(&file.secret, &file.secret_file, "secret");
        let previous = secret(&file.previous_secret, &file.previous_secret_file, "previous_secret");
        if current.is_none() {
            let what = "a webhook without a `secret`: its receiver cannot know who sends";
            let problem = self.problem(file.kind.referenced, what);
            problems.push(
                problem.hint("secret_file: /etc/picket/webhook.secret, with whsec_$(openssl rand -base64 32) in it"),
            );
        }
        let webhook = WebhookConfig {
            url: held,
            secrets: current.into_iter().chain(previous).collect(),
            proxy: file
                .proxy
                .as_ref()
                .map(|proxy| SecretSource::from_text(proxy.value.trim())),
            ca_file: file.ca_file.as_ref().map(|path| self.file(&path.value)),
            timeout: self.span_of_sink(file, problems),
        };
        Some((SinkKind::Webhook(Box::new(webhook)), name))
    }

    fn syslog_sink(&self, file: &SinkFile, problems: &mut Vec<Problem>) -> Option<(SinkKind, String)> {
        const HINT: &str = "address: siem.example.com:6514";
        let Some(address) = &file.address else {
            let problem = self.problem(file.kind.referenced, "a sink of type syslog without an `address`");
            problems.push(problem.hint(HINT));
            return None;
        };
        let text = address.value.trim();
        let is_sound = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        if !is_sound {
            let problem = self.problem(address.referenced, format!("`{text}` is no host and port"));
            problems.push(problem.hint(HINT));
        }
        let transports = [
            ("tls", SyslogTransport::Tls),
            ("tcp", SyslogTransport::Tcp),
            ("udp", SyslogTransport::Udp),
        ];
        let transport = self.one_of(file.transport.as_ref(), "transport", &transports, problems)?;
        let framings = [("octet_counting", true), ("lf", false)];
        let octet_counting = self.one_of(file.framing.as_ref(), "framing", &framings, problems)?;
        let cef = self.one_of(
            file.format.as_ref(),
            "format",
            &[("json", false), ("cef", true)],
            problems,
        )?;
        let facility = file.facility.as_ref().map_or(10, |facility| facility.value);
        if let Some(at) = file.facility.as_ref().filter(|facility| facility.value > 23) {
            let problem = self.problem(at.referenced, format!("there is no facility {facility}"));
            problems.push(problem.hint("0 to 23; 10 is authpriv, 16 to 23 are local0 to local7"));
        }
        let client = match (&file.client_cert_file, &file.client_key_file) {
            (Some(certificate), Some(key)) => Some((self.file(&certificate.value), self.file(&key.value))),
            (None, None) => None,
            (one, other) => {
                let at = one
                    .as_ref()
                    .or(other.as_ref())
                    .map_or(Location::UNKNOWN, |path| path.referenced);
                let problem = self.problem(at, "a client's certificate without its key, or the other way round");
                problems.push(problem.hint("client_cert_file and client_key_file, both PEM"));
                None
            }
        };
        if transport != SyslogTransport::Tls {
            let keys = [
                ("ca_file", file.ca_file.as_ref().map(|path| path.referenced)),
                (
                    "client_cert_file",
                    file.client_cert_file.as_ref().map(|path| path.referenced),
                ),
                ("server_name", file.server_name.as_ref().map(|name| name.referenced)),
            ];
            for (key, at) in keys.into_iter().filter_map(|(key, at)| Some((key, at?))) {
                let problem = self.problem(at, format!("`{key}` is for transport: tls"));
                problems.push(problem.hint("take it out, or say transport: tls"));
            }
        }
        let own = || {
            Some(
                std::fs::read_to_string("/proc/sys/kernel/hostname")
                    .ok()?
                    .trim()
                    .to_owned(),
            )
        };
        let word = file.transport.as_ref().map_or("tls", |word| word.value.as_str());
        let syslog = SyslogConfig {
            address: text.to_owned(),
            transport,
            octet_counting,
            cef,
            facility,
            hostname: file
                .hostname
                .as_ref()
                .map(|name| name.value.clone())
                .or_else(own)
                .unwrap_or_default(),
            ca_file: file.ca_file.as_ref().map(|path| self.file(&path.value)),
            client,
            server_name: file.server_name.as_ref().map(|name| name.value.clone()),
            timeout: self.span_of_sink(file, problems),
        };
        let name = format!("syslog {word} {text}");
        Some((SinkKind::Syslog(Box::new(syslog)), name))
    }

    /// ms.
    fn span_of_sink(&self, file: &SinkFile, problems: &mut Vec<Problem>) -> i64 {
        let timeout = self.span(file.timeout.as_ref(), "10s", problems);
        if !(1_000..=60_000).contains(&timeout) {
            let at = file.timeout.as_ref().map_or(Location::UNKNOWN, |span| span.referenced);
            problems.push(self.problem(at, "`timeout` is out of range").hint("1s to 60s"));
        }
        timeout
    }

    /// The value of a word; the first where there is none.
    fn one_of<T: Copy>(
        &self,
        word: Option<&Spanned<String>>,
        key: &str,
        words: &[(&str, T)],
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let Some(word) = word else {
            return words.first().map(|(_, value)| *value);
        };
        let found = words.iter().find(|(known, _)| *known == word.value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            let problem = self.problem(word.referenced, format!("there is no `{key}` named `{}`", word.value));
            problems.push(problem.hint(known.join(", ")));
        }
        found.map(|(_, value)| *value)
    }
}
