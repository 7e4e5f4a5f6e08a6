//! Where alerts go: the sinks of `picket.yaml`, and which of them get whose.

use std::path::PathBuf;

use picket_contract::Severity;
use picket_store::OutboxRow;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::Problem;
use super::overrides::{Groups, Tenants};
use super::tenant::Checker;

/// Of each rule, tenant and hour so many alerts are sent unless told otherwise.
const PER_HOUR: u32 = 100;

/// One of `sinks`, as an operator writes it. Which keys there are is a matter of its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkFile {
    #[serde(rename = "type")]
    kind: Spanned<String>,
    name: Option<Spanned<String>>,
    tenants: Option<Spanned<Value>>,
    min_severity: Option<Spanned<String>>,
    history: Option<Spanned<bool>>,
    format: Option<Spanned<String>>,
    path: Option<Spanned<PathBuf>>,
    max_bytes: Option<Spanned<u64>>,
    keep: Option<Spanned<u32>>,
}

/// Where alerts go, and which.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SinkConfig {
    /// By what its place in the outbox is known.
    pub(crate) name: String,
    /// Which alerts.
    pub(crate) route: Route,
    /// When it is new: whether it gets what the store holds already.
    pub(crate) history: bool,
    /// Where to.
    pub(crate) kind: SinkKind,
}

/// Which alerts a sink gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    /// Whose. What a customer's own file says of sinks goes before it.
    pub(crate) tenants: Tenants,
    /// This bad and worse.
    pub(crate) min_severity: Severity,
    /// Of each rule, tenant and hour so many. None: all.
    pub(crate) per_hour: Option<u32>,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkKind {
    /// Standard output.
    Stdout(StdoutFormat),
    /// A rotating NDJSON file.
    File {
        /// The file.
        path: PathBuf,
        /// Bytes at which a new one is begun.
        max_bytes: u64,
        /// How many old ones are kept.
        keep: u32,
    },
}

/// How the standard output sink writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum StdoutFormat {
    /// As a first-tier analyst reads it.
    #[default]
    Text,
    /// One JSON object a line.
    Ndjson,
}

impl SinkKind {
    /// As it is written.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            SinkKind::Stdout(_) => "stdout",
            SinkKind::File { .. } => "file",
        }
    }
}

impl Route {
    /// Whether it gets a tenant's alerts. `own`: the sinks that the tenant's file names.
    pub(crate) fn has(&self, sink: &str, tenant: &str, own: Option<&[String]>) -> bool {
        match own {
            Some(own) => own.iter().any(|name| name == sink),
            None => self.tenants.has(tenant),
        }
    }

    /// Whether it gets an alert of a tenant whose alerts it gets.
    pub(crate) fn wants(&self, row: &OutboxRow) -> bool {
        row.severity >= self.min_severity && (row.summary || self.per_hour.is_none_or(|most| row.nth <= most))
    }
}

impl SinkConfig {
    /// The tenants that it names.
    pub(super) fn named(&self) -> impl Iterator<Item = &String> {
        match &self.route.tenants {
            Tenants::All => [].iter(),
            Tenants::These(ids) => ids.iter(),
        }
    }
}

impl Checker<'_> {
    /// The sinks; standard output where none is named. `per_hour`: as written; 0 sends all.
    pub(super) fn sinks(
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
    pub(super) fn own_sinks(
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
        _warnings: &mut Vec<Problem>,
    ) -> Option<(SinkKind, String)> {
        let before = problems.len();
        let allowed: &[&str] = match file.kind.value.as_str() {
            "stdout" => &["format"],
            "file" => &["path", "max_bytes", "keep"],
            other => {
                let problem = self.problem(file.kind.referenced, format!("there is no sink of type `{other}`"));
                problems.push(problem.hint("stdout, file: see docs/sinks.md"));
                return None;
            }
        };
        for (key, location) in file.given() {
            if !allowed.contains(&key) {
                let what = format!("`{key}` says nothing to a sink of type {}", file.kind.value);
                let hint = format!(
                    "its keys are name, tenants, min_severity, history, {}",
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
            _ => self.file_sink(file, problems),
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

impl SinkKind {
    /// Whether one that is new is given what the store holds already.
    fn wants_history(&self) -> bool {
        matches!(self, SinkKind::Stdout(_) | SinkKind::File { .. })
    }
}

impl SinkFile {
    /// Keys that not every type has, and where they stand.
    fn given(&self) -> Vec<(&'static str, Location)> {
        fn at<T>(value: Option<&Spanned<T>>) -> Option<Location> {
            value.map(|value| value.referenced)
        }
        let keys = [
            ("format", at(self.format.as_ref())),
            ("path", at(self.path.as_ref())),
            ("max_bytes", at(self.max_bytes.as_ref())),
            ("keep", at(self.keep.as_ref())),
        ];
        keys.into_iter()
            .filter_map(|(key, location)| Some((key, location?)))
            .collect()
    }
}
