//! `picket tenant purge`: everything that is stored of one customer is deleted, and it is shown that nothing is left.
//!
//! Counts of rows before and after tell what the database knows; that its files hold none of it is told by looking for pieces
//! of it there ([`picket_store::Canaries`]). Where some are found (a store from before what is deleted was overwritten), the
//! database is written anew and looked through again.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use picket_store::{Found, Rows, SqliteStore, Store as _};
use serde_json::{Map, Value, json};

use crate::audit::{self, Change, Who};
use crate::config::{Config, ParentConfig};
use crate::{accounts, phone_key};

/// How often the write-ahead log is tried to be folded in, while somebody reads.
const TRIES: u32 = 20;
/// And how long it is waited in between.
const PAUSE: Duration = Duration::from_millis(500);

/// How many rows there are, by sort.
pub(crate) fn counted(rows: &[Rows]) -> Value {
    let all: Map<String, Value> = rows
        .iter()
        .map(|rows| (rows.what.to_owned(), rows.rows.into()))
        .collect();
    Value::Object(all)
}

/// Whether a tenant may be purged: nobody collects it.
///
/// # Errors
/// It is configured, and where.
pub(crate) fn may_go(config: &Config, tenant: &str) -> anyhow::Result<()> {
    let file = |end: &str| config.tenants_dir.join(format!("{tenant}.{end}"));
    let place = if let Some(file) = ["yaml", "yml"].into_iter().map(file).find(|file| file.exists()) {
        format!("in the configuration ({})", file.display())
    } else if config.tenants.iter().any(|known| known.id == *tenant) {
        format!("in the configuration ({})", config.path.display())
    } else if config.parents.iter().any(|parent| parent.id == *tenant) {
        format!("a parent's key in the configuration ({})", config.path.display())
    } else if let Some(parent) = parent_of(config, tenant) {
        format!("an account that the key of {parent} reads (`skip: true` under its account_id takes it out)")
    } else {
        return Ok(());
    };
    bail!("tenant {tenant} is {place}: take it out there, `picket reload`, and purge it then")
}

fn parent_of<'c>(config: &'c Config, tenant: &str) -> Option<&'c str> {
    if config.parents.is_empty() {
        return None;
    }
    let store = SqliteStore::open_read_only(&config.data_dir).ok()?;
    let reads = |parent: &&ParentConfig| {
        let children = accounts::remembered(&store, &parent.id).unwrap_or_default();
        children
            .iter()
            .any(|child| child.tenant == *tenant && child.tenant(parent).is_some())
    };
    config.parents.iter().find(reads).map(|parent| parent.id.as_str())
}

/// Deletes what is stored of a tenant that nobody works with. Blocks.
///
/// # Errors
/// Nothing is stored of it; the store's; or something is left.
pub(crate) fn purge(store: &SqliteStore, data_dir: &Path, tenant: &str, who: Who) -> anyhow::Result<Value> {
    let before = store.rows_of(tenant)?;
    if before.is_empty() {
        let tenants = store.tenants()?;
        bail!(
            "nothing is stored of a tenant `{tenant}`; there are: {}",
            tenants.join(", ")
        );
    }
    let canaries = store.canaries(tenant)?;
    store.purge(tenant)?;
    store.tighten()?;
    let mut is_folded = store.fold()?;
    for _ in 0..TRIES {
        if is_folded {
            break;
        }
        std::thread::sleep(PAUSE);
        is_folded = store.fold()?;
    }
    let mut found = store.look_for(&canaries, tenant)?;
    let is_rebuilt = found.pieces > 0;
    if is_rebuilt {
        tracing::warn!(
            tenant,
            pieces = found.pieces,
            "left in free places of the store, which is written anew"
        );
        store.rebuild()?;
        found = store.look_for(&canaries, tenant)?;
    }
    let key = phone_key::delete(data_dir, tenant)?;
    let after = store.rows_of(tenant)?;
    let change = Change {
        who,
        // Of all: what concerned the tenant alone is deleted with it.
        tenant: String::new(),
        what: format!("tenant {tenant}: purged"),
        before: Some(counted(&before).to_string()),
        after: None,
        reason: String::new(),
    };
    audit::write(store, vec![change]);
    let Found { pieces, bytes } = found;
    if !after.is_empty() || pieces > 0 {
        bail!(
            "tenant {tenant} is not gone whole: rows {}, {pieces} pieces in the store's files{}; end whatever reads the store \
             and purge it again",
            counted(&after),
            if is_folded {
                ""
            } else {
                " (another program reads the store)"
            }
        );
    }
    Ok(json!({
        "tenant": tenant,
        "before": counted(&before),
        "after": counted(&after),
        "looked_for": canaries.len(),
        "found": pieces,
        "bytes_read": bytes,
        "written_anew": is_rebuilt,
        "key_deleted": key,
    }))
}
