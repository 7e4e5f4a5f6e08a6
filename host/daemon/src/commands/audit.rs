//! `picket audit`: who changed what.

use picket_store::{AuditFilter, AuditRow, Store as _};
use serde_json::{Value, json};

use super::store;
use crate::cli::{Audit, Format};
use crate::config::Config;
use crate::out::out;
use crate::when;

/// Lists what was changed, the newest last.
///
/// # Errors
/// A time that is none; the store.
pub(crate) fn run(config: &Config, arguments: &Audit) -> anyhow::Result<()> {
    let now = when::now();
    let since = when::since(&arguments.since, now)?;
    let filter = AuditFilter {
        since: Some(since),
        tenant: arguments.tenant.as_deref(),
        ..AuditFilter::default()
    };
    let rows = store(config)?.audit(&filter)?;
    for row in &rows {
        match arguments.output.format {
            Format::Ndjson => out!("{}", told(row)),
            Format::Text => line(row, now),
        }
    }
    if rows.is_empty() && arguments.output.format == Format::Text {
        out!("nothing was changed since {}", when::rfc3339(since));
    }
    Ok(())
}

fn told(row: &AuditRow) -> Value {
    json!({
        "time": when::rfc3339(row.time),
        "who": row.who,
        "how": row.how,
        "tenant": Some(&row.tenant).filter(|tenant| !tenant.is_empty()),
        "what": row.what,
        "before": row.before.as_deref().map(value),
        "after": row.after.as_deref().map(value),
        "reason": row.reason,
    })
}

/// Values of the configuration are JSON; others are words.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn line(row: &AuditRow, now: i64) {
    let by = if &*row.who == "picket" {
        row.who.to_string()
    } else {
        format!("{} ({})", row.who, row.how)
    };
    let of = |value: &Option<std::sync::Arc<str>>| {
        let text = value.as_deref().unwrap_or("nothing");
        picket_event::clean(text).into_owned()
    };
    let change = match (&row.before, &row.after) {
        (None, None) => String::new(),
        (before, after) => format!(": {} -> {}", of(before), of(after)),
    };
    let tenant = if row.tenant.is_empty() { "all" } else { &row.tenant };
    let reason = if row.reason.is_empty() {
        String::new()
    } else {
        format!("  ({})", picket_event::clean(&row.reason))
    };
    out!(
        "{}  {by}  {tenant}  {}{change}{reason}",
        when::short(row.time, now),
        picket_event::clean(&row.what)
    );
}
