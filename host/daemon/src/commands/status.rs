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
    let (wrong, kept) = (list("/configuration/wrong"), list("/kept"));
    let is_well = refused.is_empty() && wrong.is_empty() && kept.is_empty();
    if format == Format::Ndjson {
        out!("{report}");
        return Ok(is_well);
    }
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().replace('\n', "\n         ");
    let mut said = 0;
    for change in list("/configuration/changed") {
        let of = |name: &str| change.get(name).map(word).unwrap_or_default();
        out!("changed  {}: {}", of("area"), of("what"));
        said += 1;
    }
    let plain = [
        ("started", "/configuration/started"),
        ("stopped", "/configuration/stopped"),
        ("restarted", "/configuration/restarted"),
        ("live", "/changes/live"),
        ("retired", "/changes/retired"),
    ];
    for (what, pointer) in plain {
        for one in list(pointer) {
            out!("{what:<8} {}", word(&one));
            said += 1;
        }
    }
    for refusal in &refused {
        let of = |index: usize| refusal.get(index).map(word).unwrap_or_default();
        out!("refused  {}: {}", of(0), of(1));
    }
    for (what, pointer) in [("waits", "/changes/waiting"), ("shadow", "/changes/shadow")] {
        for one in list(pointer) {
            let of = |index: usize| one.get(index).map(word).unwrap_or_default();
            out!("{what:<8} {}: {}", of(0), of(1));
            said += 1;
        }
    }
    for kept in &kept {
        out!("kept     {}", word(kept));
    }
    for problem in &wrong {
        out!("WRONG    {}", word(problem));
    }
    let in_force = report
        .pointer("/configuration/in_force")
        .and_then(serde_json::Value::as_bool);
    if in_force == Some(false) {
        out!("The configuration is not taken over, no part of it: what was in force is in force.");
    } else if is_well && said == 0 {
        out!("nothing has changed");
    }
    Ok(is_well)
}
