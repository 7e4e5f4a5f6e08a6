//! Where objects come from, and where they are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use picket_contract::{Mark, RawRow};
use picket_duo::{Client, DuoError, Inventory, InventoryPage};
use picket_store::{CursorRow, InventoryChange, InventoryRow};
use serde::{Deserialize, Serialize};

use super::object::log_of;
use crate::admit::AdmitError;

/// Duo's inventory: the API, or a double of it.
pub trait DuoInventory: Send + Sync + 'static {
    /// One page from an offset on. Signed anew each time it is called.
    fn inventory(&self, kind: Inventory, offset: u64) -> impl Future<Output = Result<InventoryPage, DuoError>> + Send;
}

impl DuoInventory for Client {
    async fn inventory(&self, kind: Inventory, offset: u64) -> Result<InventoryPage, DuoError> {
        Client::inventory(self, kind, offset).await
    }
}

/// What is to be written as one: all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// The log of the rows, or of the marks.
    pub log: Arc<str>,
    /// Changes, for the journal.
    pub rows: Vec<RawRow>,
    /// To follow the rows, in order.
    pub marks: Vec<Mark>,
    /// Where reading goes on. None: unchanged.
    pub cursor: Option<CursorRow>,
    /// Changes, for the store.
    pub inventory: Vec<InventoryChange>,
}

/// One tenant's journal and store, as the inventory sees them.
pub trait Keep: Send + Sync + 'static {
    /// The objects of a kind that the store holds.
    fn stock(&self, kind: Inventory) -> impl Future<Output = Result<Vec<InventoryRow>, AdmitError>> + Send;

    /// The cursor last written under a name; none: never.
    fn mark_of(&self, name: &str) -> impl Future<Output = Result<Option<CursorRow>, AdmitError>> + Send;

    /// Writes a part durably.
    fn keep(&self, part: Part) -> impl Future<Output = Result<(), AdmitError>> + Send;

    /// A snapshot with changes has been kept: what was made of the inventory is stale.
    fn changed(&self, kind: Inventory) -> impl Future<Output = ()> + Send;
}

/// Where the reading of a kind goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The latest snapshot, ms by Duo's clock.
    #[serde(default)]
    pub(crate) taken: Option<i64>,
    /// A `closed` mark was written, and no `open` since.
    #[serde(default)]
    pub(crate) closed: bool,
}

/// Up to when logs of changes have been marked, whichever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(crate) to: Option<i64>,
}

/// Kinds whose logs were closed before they were ever read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    #[serde(default)]
    kinds: BTreeSet<Inventory>,
}

/// Name of the cursor of kinds that were never read.
const CLOSED: &str = "inventory:closed";

/// Name of the cursor of all marks.
pub(crate) const MARKED: &str = "inventory";

/// Name of a kind's cursor.
pub(crate) fn cursor_name(kind: Inventory) -> String {
    format!("inventory:{kind}")
}

pub(crate) async fn load<T: Default + for<'de> Deserialize<'de>>(
    keep: &impl Keep,
    name: &str,
) -> Result<T, AdmitError> {
    match keep.mark_of(name).await? {
        None => Ok(T::default()),
        Some(row) => serde_json::from_str(&row.cursor).map_err(|error| AdmitError(format!("cursor {name}: {error}"))),
    }
}

pub(crate) fn row<T: Serialize>(name: &str, cursor: &T) -> Result<CursorRow, AdmitError> {
    Ok(CursorRow {
        log: name.into(),
        cursor: serde_json::to_string(cursor).map_err(|error| AdmitError(error.to_string()))?,
    })
}

/// Where the reading of a kind goes on.
pub(crate) async fn cursor_of(keep: &impl Keep, kind: Inventory) -> Result<Cursor, AdmitError> {
    let name = cursor_name(kind);
    if keep.mark_of(&name).await?.is_some() {
        return load(keep, &name).await;
    }
    let closed: Closed = load(keep, CLOSED).await?;
    Ok(Cursor {
        taken: None,
        closed: closed.kinds.contains(&kind),
    })
}

/// Closes the logs of all kinds but these, so that no rule waits for them. Logs that are closed already stay as they are.
///
/// # Errors
/// The journal's: some may be closed and some not; to be called again.
pub async fn close_stock(keep: &impl Keep, but: &[Inventory]) -> Result<(), AdmitError> {
    let mut closed: Closed = load(keep, CLOSED).await?;
    let mut marks = Vec::new();
    for kind in Inventory::ALL.into_iter().filter(|kind| !but.contains(kind)) {
        if keep.mark_of(&cursor_name(kind)).await?.is_some() {
            close(keep, kind).await?;
        } else if let Some(log) = log_of(kind)
            && closed.kinds.insert(kind)
        {
            marks.push(Mark::Closed { log: log.into() });
        }
    }
    if marks.is_empty() {
        return Ok(());
    }
    // Kinds that were never read go together: most accounts have no inventory read, and there are thousands of accounts.
    keep.keep(Part {
        log: MARKED.into(),
        marks,
        cursor: Some(row(CLOSED, &closed)?),
        ..Part::default()
    })
    .await
}

pub(crate) async fn close(keep: &impl Keep, kind: Inventory) -> Result<(), AdmitError> {
    let Some(log) = log_of(kind) else { return Ok(()) };
    let cursor = cursor_of(keep, kind).await?;
    if cursor.closed {
        return Ok(());
    }
    keep.keep(Part {
        log: log.into(),
        marks: vec![Mark::Closed { log: log.into() }],
        cursor: Some(row(&cursor_name(kind), &Cursor { closed: true, ..cursor })?),
        ..Part::default()
    })
    .await
}
