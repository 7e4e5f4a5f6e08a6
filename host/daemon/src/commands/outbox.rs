//! `picket outbox list | retry | drop`.

use anyhow::bail;
use picket_store::{Letter, LetterFilter, Store as _};
use serde_json::{Value, json};

use crate::cli::{Format, OutboxVerb, OutboxWhich};
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::{status, when};

/// Letters listed.
const MOST: usize = 10_000;

/// Does what is asked. True: something was done, or there was nothing to list.
///
/// # Errors
/// The store's, the daemon's, or none runs.
pub(crate) async fn run(config: &Config, verb: &OutboxVerb) -> anyhow::Result<bool> {
    match verb {
        OutboxVerb::List(which) => list(config, which).map(|()| true),
        OutboxVerb::Retry { which, ids, reason } => change(config, false, which, ids, reason.as_deref()).await,
        OutboxVerb::Drop {
            which,
            ids,
            all: _,
            reason,
        } => change(config, true, which, ids, reason.as_deref()).await,
    }
}

fn list(config: &Config, which: &OutboxWhich) -> anyhow::Result<()> {
    let store = super::store(config)?;
    let now = when::now();
    let named = |value: &Value| {
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
        which.sink.as_deref().is_none_or(|sink| sink == name)
    };
    let sinks: Vec<Value> = status::sinks(config, &store)?.into_iter().filter(named).collect();
    if let (Some(sink), true) = (&which.sink, sinks.is_empty()) {
        let known: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        bail!("there is no sink `{sink}`; there are: {}", known.join(", "));
    }
    let letters = store.letters(&LetterFilter {
        sink: which.sink.as_deref(),
        tenant: which.tenant.as_deref(),
        limit: MOST,
        ..LetterFilter::default()
    })?;
    for mut sink in sinks {
        match which.output.format {
            Format::Text => out!("{}", status::sink_line(&sink, now)),
            Format::Ndjson => {
                if let Value::Object(object) = &mut sink {
                    object.insert("kind".to_owned(), "sink".into());
                }
                out!("{sink}");
            }
        }
    }
    for letter in &letters {
        match which.output.format {
            Format::Text => out!("{}", line(letter, now)),
            Format::Ndjson => out!("{}", told(letter)),
        }
    }
    Ok(())
}

fn line(letter: &Letter, now: i64) -> String {
    format!(
        "{}  {:<7}  {}  {}  {}: {}",
        when::short(letter.time, now),
        letter.state.as_str(),
        letter.tenant,
        letter.alert,
        letter.sink,
        letter.reason
    )
}

fn told(letter: &Letter) -> Value {
    json!({
        "kind": "letter",
        "sink": &*letter.sink,
        "tenant": &*letter.tenant,
        "alert": &*letter.alert,
        "state": letter.state.as_str(),
        "reason": &*letter.reason,
        "time": when::rfc3339(letter.time),
    })
}

async fn change(
    config: &Config,
    drop: bool,
    which: &OutboxWhich,
    ids: &[String],
    reason: Option<&str>,
) -> anyhow::Result<bool> {
    let request = Request::Outbox {
        drop,
        sink: which.sink.clone(),
        tenant: which.tenant.clone(),
        ids: ids.to_vec(),
        reason: reason.unwrap_or_default().to_owned(),
    };
    let Some(answer) = ask(&config.control_socket, &request).await? else {
        bail!(
            "no daemon answers on {}; start it: picket run",
            config.control_socket.display()
        );
    };
    let done = answer.as_array().cloned().unwrap_or_default();
    for one in &done {
        match which.output.format {
            Format::Ndjson => out!("{one}"),
            Format::Text => {
                let alerts = one.get("alerts").and_then(Value::as_u64).unwrap_or_default();
                let all = one.get("all") == Some(&Value::Bool(true));
                let sink = one.get("sink").and_then(Value::as_str).unwrap_or_default();
                let what = if drop { "not sent any more" } else { "sent again" };
                let rest = match (all, drop) {
                    (false, _) => "",
                    (true, true) => "; all that waited is passed over",
                    (true, false) => "; what waits is tried now",
                };
                out!("{sink}: {alerts} refused or named {what}{rest}");
            }
        }
    }
    if done.is_empty() && which.output.format == Format::Text {
        out!("there is nothing of that kind");
    }
    Ok(!done.is_empty())
}
