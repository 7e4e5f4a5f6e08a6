//! Picket, used as anybody would: by its command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use super::children::Program;

/// The binary and its configuration.
#[derive(Debug, Clone)]
pub(super) struct Picket {
    binary: PathBuf,
    config: PathBuf,
}

impl Picket {
    /// For one configuration.
    pub(super) fn new(binary: PathBuf, config: PathBuf) -> Self {
        Picket { binary, config }
    }

    /// The binary.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// `picket run`.
    pub(super) fn run(&self, log: &Path) -> anyhow::Result<Program> {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).arg("run");
        command.env("NO_COLOR", "1");
        Program::start("picket", &mut command, log, false)
    }

    /// `picket status`. None: no daemon answers yet.
    pub(super) fn status(&self) -> anyhow::Result<Option<Status>> {
        let Ok(lines) = self.ask(&["status"]) else {
            return Ok(None);
        };
        let line = lines.into_iter().next().context("picket status says nothing")?;
        let status: Status = serde_json::from_value(line).context("picket status")?;
        Ok(Some(status).filter(|status| status.running))
    }

    /// `picket rule list`.
    pub(super) fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let lines = self.ask(&["rule", "list"])?;
        let rules = lines.into_iter().map(serde_json::from_value);
        rules.collect::<Result<_, _>>().context("picket rule list")
    }

    /// One rule, if it is there.
    pub(super) fn rule(&self, id: &str) -> anyhow::Result<Option<Rule>> {
        Ok(self.rules()?.into_iter().find(|rule| rule.id == id))
    }

    /// `picket rule promote`.
    pub(super) fn promote(&self, rule: &str, reason: &str) -> anyhow::Result<()> {
        self.ask(&["rule", "promote", rule, "--reason", reason]).map(drop)
    }

    /// `picket alerts`: every alert of the store.
    pub(super) fn alerts(&self) -> anyhow::Result<Vec<Alert>> {
        self.ask(&["alerts"])?.into_iter().map(Alert::read).collect()
    }

    /// `picket replay`: the ids of the alerts that the rules raise over files of one tenant.
    pub(super) fn replay(
        &self,
        rules: &Path,
        tenant: &str,
        phone_key: &Path,
        logs: &[(&str, PathBuf)],
    ) -> anyhow::Result<Vec<String>> {
        let mut arguments = vec!["replay".to_owned(), "--rules".to_owned(), rules.display().to_string()];
        arguments.extend(["--phone-key".to_owned(), phone_key.display().to_string()]);
        arguments.extend(["--tenant".to_owned(), tenant.to_owned()]);
        for (log, file) in logs {
            arguments.extend(["--events".to_owned(), format!("{log}={}", file.display())]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let lines = self.ask(&arguments)?;
        let ids = lines.iter().map(|line| line.get("id")?.as_str().map(str::to_owned));
        ids.collect::<Option<_>>()
            .context("picket replay prints alerts without ids")
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .args(["--format", "ndjson"]);
        let output = command.output().context("picket cannot be run")?;
        // Code 1 only says that something needs a person; the answer is there all the same.
        if !output.status.success() && (output.status.code() != Some(1) || output.stdout.is_empty()) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("picket {}: {}", arguments.join(" "), said.trim());
        }
        let text = String::from_utf8(output.stdout).context("picket's output is not UTF-8")?;
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .with_context(|| format!("picket {}", arguments.join(" ")))
    }
}

/// `picket status`, as far as the demo wants to know.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    running: bool,
    tenants: Vec<Tenant>,
}

#[derive(Debug, Deserialize)]
struct Tenant {
    id: String,
    events: u64,
    events_by_log: std::collections::BTreeMap<String, u64>,
}

impl Status {
    /// Events in the store.
    pub(super) fn events(&self) -> u64 {
        self.tenants.iter().map(|tenant| tenant.events).sum()
    }

    /// Events of one log in the store.
    pub(super) fn collected(&self, tenant: &str, log: &str) -> u64 {
        let tenant = self.tenants.iter().find(|known| known.id == tenant);
        tenant
            .and_then(|tenant| tenant.events_by_log.get(log))
            .copied()
            .unwrap_or(0)
    }
}

/// A line of `picket rule list`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) digest: String,
    /// A version that somebody has to decide about.
    #[serde(default)]
    pub(super) waits: bool,
}

/// An alert, `picket.alert/1`.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) rule: String,
    pub(super) title: String,
    pub(super) severity: String,
    /// Whom or what it is about.
    pub(super) about: String,
    /// Ids of its evidence, as Duo gave them.
    pub(super) events: Vec<String>,
    /// Its evidence of the administrator log, which has no ids: time (s) and object.
    pub(super) actions: Vec<(i64, String)>,
}

impl Alert {
    pub(super) fn read(json: Value) -> anyhow::Result<Self> {
        let text = |path: &str| -> anyhow::Result<String> {
            let text = json.pointer(path).and_then(Value::as_str);
            text.map(str::to_owned)
                .with_context(|| format!("an alert has no {path}: {json}"))
        };
        let list = |name: &str| json.get(name).and_then(Value::as_array).into_iter().flatten();
        let is_action = |raw: &&Value| raw.get("log").and_then(Value::as_str) == Some("administrator");
        let action = |raw: &Value| {
            let object = raw.pointer("/row/object").and_then(Value::as_str).unwrap_or_default();
            Some((raw.pointer("/row/timestamp")?.as_i64()?, object.to_owned()))
        };
        Ok(Alert {
            id: text("/id")?,
            tenant: text("/tenant/id")?,
            rule: text("/rule/id")?,
            title: text("/title")?,
            severity: text("/severity")?,
            about: text("/about/name").unwrap_or_default(),
            events: list("events").filter_map(Value::as_str).map(str::to_owned).collect(),
            actions: list("raw").filter(is_action).filter_map(action).collect(),
        })
    }
}
