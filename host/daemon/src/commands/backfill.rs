//! `picket backfill`: asks the daemon for a piece of the past, and shows how it comes along. It goes on without being watched.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{store, tenants};
use crate::backfill;
use crate::cli::{Backfill, Format};
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::when;

/// How often the daemon is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks for it and watches, or lists. False: it failed.
///
/// # Errors
/// No daemon runs, or its words.
pub(crate) async fn run(config: &Config, arguments: &Backfill) -> anyhow::Result<bool> {
    let format = arguments.output.format;
    if arguments.list {
        return list(config, arguments.tenant.as_deref(), format).await;
    }
    tenants(config, arguments.tenant.as_deref())?;
    let now = when::now();
    let time = |name: &str, text: &Option<String>| -> anyhow::Result<i64> {
        let text = text.as_deref().unwrap_or_default();
        when::point(text, now).with_context(|| format!("{name} {text}"))
    };
    let request = Request::Backfill {
        tenant: arguments.tenant.clone(),
        logs: arguments.logs.clone(),
        from: time("--from", &arguments.from)?,
        to: time("--to", &arguments.to)?,
    };
    let Some(asked) = ask(&config.control_socket, &request).await? else {
        bail!(
            "no daemon answers on {}; a backfill is the daemon's work: picket run",
            config.control_socket.display()
        );
    };
    let mut shown = Shown::new(format);
    let mut stands = asked.clone();
    loop {
        shown.show(&stands);
        match of(&stands, "state") {
            "done" => {
                shown.end(&stands);
                return Ok(true);
            }
            "failed" => {
                shown.end(&stands);
                return Ok(false);
            }
            _ => {}
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                shown.leave();
                return Ok(true);
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
        let Some(Value::Array(all)) = ask(&config.control_socket, &Request::Backfills).await? else {
            bail!("the daemon has ended; the backfill goes on when it is started again");
        };
        let same = |one: &Value| {
            ["tenant", "backfill"]
                .iter()
                .all(|name| one.get(name) == asked.get(name))
        };
        stands = all.into_iter().find(same).context("the daemon no longer knows of it")?;
    }
}

async fn list(config: &Config, tenant: Option<&str>, format: Format) -> anyhow::Result<bool> {
    let wanted = tenants(config, tenant)?;
    let all = match ask(&config.control_socket, &Request::Backfills).await? {
        Some(Value::Array(all)) => all,
        Some(_) => bail!("the daemon's answer is not a list: is it of another version?"),
        None => {
            let store = store(config)?;
            let mut all = Vec::new();
            for tenant in &wanted {
                all.extend(backfill::stored(&store, tenant)?);
            }
            all
        }
    };
    let mut count = 0;
    for one in all
        .iter()
        .filter(|one| wanted.iter().any(|id| **id == *of(one, "tenant")))
    {
        count += 1;
        match format {
            Format::Ndjson => out!("{one}"),
            Format::Text => out!("{}", line(one)),
        }
    }
    if count == 0 && format == Format::Text {
        out!("no backfills; `picket backfill --log LOG --from TIME --to TIME` asks for one");
    }
    Ok(true)
}

/// What is shown while it comes along.
struct Shown {
    format: Format,
    /// None: not at a terminal.
    bar: Option<ProgressBar>,
    last: Option<Value>,
}

impl Shown {
    fn new(format: Format) -> Self {
        let bar = (format == Format::Text && std::io::stdout().is_terminal()).then(|| {
            let bar = ProgressBar::new(1000);
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:40}] {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Shown {
            format,
            bar,
            last: None,
        }
    }

    fn show(&mut self, stands: &Value) {
        if let Some(bar) = &self.bar {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
            bar.set_position((percent(stands) * 10.0) as u64);
            bar.set_prefix(format!("backfill {}", number(stands, "backfill")));
            bar.set_message(progress(stands));
            return;
        }
        // A line for each whole percent, and for every change of state or trouble.
        let told = |value: &Value| {
            (
                percent(value).floor(),
                of(value, "state").to_owned(),
                value.get("error").cloned(),
            )
        };
        if self.last.as_ref().is_none_or(|last| told(last) != told(stands)) {
            self.line(stands);
        }
    }

    fn line(&mut self, stands: &Value) {
        match self.format {
            Format::Ndjson => out!("{stands}"),
            Format::Text => out!("{}", line(stands)),
        }
        self.last = Some(stands.clone());
    }

    fn end(&mut self, stands: &Value) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.last.as_ref() != Some(stands) {
            self.line(stands);
        }
        if self.format == Format::Text && of(stands, "state") == "done" && number(stands, "alerts") > 0 {
            out!("its alerts are marked historic and were not sent: picket alerts");
        }
    }

    fn leave(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
        if self.format == Format::Text {
            out!("it goes on in the daemon; `picket backfill --list` says how it stands");
        }
    }
}

fn line(stands: &Value) -> String {
    let logs: Vec<&str> = stands
        .get("logs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let minute = |name: &str| of(stands, name).get(..16).unwrap_or_default().replace('T', " ");
    format!(
        "backfill {}  {}  {}  {} to {}  {}",
        number(stands, "backfill"),
        of(stands, "tenant"),
        logs.join(", "),
        minute("from"),
        minute("to"),
        progress(stands)
    )
}

fn progress(stands: &Value) -> String {
    let (events, alerts) = (number(stands, "events"), number(stands, "alerts"));
    let counts = format!("{events} events, {alerts} alerts");
    match of(stands, "state") {
        "done" => format!("done: {counts}"),
        "failed" => format!("FAILED at {:.0} %: {}", percent(stands), of(stands, "why")),
        state => {
            let ready = stands.get("ready").and_then(Value::as_str).and_then(when::minute);
            let ready = ready.map_or(String::new(), |time| format!(", ready {time}"));
            let waits = if state == "waiting" { ", waits for its turn" } else { "" };
            let error = stands.get("error").and_then(Value::as_str);
            let error = error.map_or(String::new(), |error| format!("; {error}"));
            format!("{:.0} %{ready}{waits}: {counts}{error}", percent(stands))
        }
    }
}

fn of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn percent(value: &Value) -> f64 {
    value.get("percent").and_then(Value::as_f64).unwrap_or_default()
}
