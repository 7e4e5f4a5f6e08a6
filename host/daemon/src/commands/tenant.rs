//! `picket tenant purge`: everything that is stored of one customer is deleted.

use anyhow::bail;
use picket_store::{SqliteStore, Store as _};
use serde_json::Value;

use crate::audit::Who;
use crate::cli::{Format, TenantVerb};
use crate::config::Config;
use crate::control::{Request, ask};
use crate::out::out;
use crate::purge::{counted, may_go, purge};
use crate::sizes::shown;

/// Does it, through the daemon where one runs. False: it was not confirmed, and nothing is deleted.
///
/// # Errors
/// The tenant is configured, or nothing is stored of it; the store's; or something is left.
pub(crate) async fn run(config: &Config, verb: &TenantVerb) -> anyhow::Result<bool> {
    let TenantVerb::Purge { id, yes, output } = verb;
    may_go(config, id)?;
    if !yes {
        let rows = super::store(config)?.rows_of(id)?;
        if rows.is_empty() {
            bail!("nothing is stored of a tenant `{id}`; `picket store info` lists those of whom something is");
        }
        match output.format {
            Format::Ndjson => out!("{}", serde_json::json!({"tenant": id, "would_delete": counted(&rows)})),
            Format::Text => {
                out!("picket tenant purge {id} --yes deletes, and nothing brings it back:");
                for rows in &rows {
                    out!("  {:<28} {}", rows.what, rows.rows);
                }
                out!("  and the key that masks its phone numbers. Nothing is deleted yet.");
            }
        }
        return Ok(false);
    }
    let request = Request::Purge { tenant: id.clone() };
    let done = match ask(&config.control_socket, &request).await? {
        Some(done) => done,
        None => {
            let store = SqliteStore::open(&config.data_dir)?;
            let own = nix::unistd::Uid::current().as_raw();
            purge(&store, &config.data_dir, id, Who::asked(Some(own), "purge"))?
        }
    };
    if output.format == Format::Ndjson {
        out!("{done}");
        return Ok(true);
    }
    let number = |name: &str| done.get(name).and_then(Value::as_u64).unwrap_or_default();
    out!("tenant {id} is purged. Before, and now:");
    for (what, rows) in done.get("before").and_then(Value::as_object).into_iter().flatten() {
        out!("  {what:<28} {:>10} {:>4}", rows.to_string(), 0);
    }
    out!(
        "{} pieces of what it had were looked for in {} of the store's files: none is there.",
        number("looked_for"),
        shown(number("bytes_read"))
    );
    out!(
        "Not Picket's to delete: backups, what sinks were sent (alert files among them), modules in rules/{id}/, and what logs said."
    );
    Ok(true)
}
