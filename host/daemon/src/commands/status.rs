//! `picket status` and `picket reload`.

use anyhow::bail;

use crate::cli::Format;
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::status;

/// Asks the daemon, or reads the store where none runs. True: all well, or nothing that anybody has to act on.
///
/// # Errors
/// The daemon's, or the store's.
pub(crate) async fn status(config: &Config, tenant: Option<&str>, format: Format) -> anyhow::Result<bool> {
    if tenant.is_some() {
        super::tenants(config, tenant)?;
    }
    let status = match ask(&config.control_socket, &Request::Status).await? {
        Some(status) => status,
        None => status::offline(config, &super::store(config)?)?,
    };
    match format {
        Format::Ndjson => out!("{status}"),
        Format::Text => out!("{}", status::text(&status, tenant)),
    }
    let verdict = status.get("verdict").and_then(serde_json::Value::as_str);
    Ok(matches!(verdict, Some("all well" | "look when you can")))
}

/// Makes the daemon read its configuration and rules again. True: nothing is refused, now or still.
///
/// # Errors
/// No daemon runs, or its words.
pub(crate) async fn reload(config: &Config, format: Format) -> anyhow::Result<bool> {
    let Some(report) = ask(&config.control_socket, &Request::Reload).await? else {
        bail!(
            "no daemon answers on {}; start it: picket run",
            config.control_socket.display()
        );
    };
    let list = |pointer: &str| {
        report
            .pointer(pointer)
            .and_then(serde_json::Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut refused = list("/changes/refused");
    refused.extend(list("/changes/still_refused"));
    let wrong = list("/configuration/wrong");
    if format == Format::Ndjson {
        out!("{report}");
        return Ok(refused.is_empty() && wrong.is_empty());
    }
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    for module in list("/changes/live") {
        out!("live     {}", word(&module));
    }
    for module in list("/changes/retired") {
        out!("retired  {}", word(&module));
    }
    for refusal in &refused {
        let of = |index: usize| refusal.get(index).map(word).unwrap_or_default();
        out!("refused  {}: {}", of(0), of(1));
    }
    for tenant in list("/configuration/started") {
        out!("started  {}", word(&tenant));
    }
    for tenant in list("/configuration/stopped") {
        out!("stopped  {}", word(&tenant));
    }
    for problem in &wrong {
        out!("WRONG    {}", word(problem).replace('\n', "\n         "));
    }
    let changed = [
        "/changes/live",
        "/changes/retired",
        "/configuration/started",
        "/configuration/stopped",
    ];
    if refused.is_empty() && wrong.is_empty() && changed.iter().all(|pointer| list(pointer).is_empty()) {
        out!("nothing has changed");
    }
    Ok(refused.is_empty() && wrong.is_empty())
}
