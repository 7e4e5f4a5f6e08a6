//! What changed between two snapshots: rows for the journal, and what the store is to keep. Pure.

use std::collections::BTreeMap;

use picket_contract::RawRow;
use picket_duo::Inventory;
use picket_event::rfc3339;
use picket_store::{InventoryChange, InventoryRow};
use serde_json::{Map, Value, json};

use super::object::{Object, log_of, touches_factors};
use super::snapshot::Snapshot;

/// What a snapshot says that was not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Changes {
    /// In the order of the objects' ids. Most have a row for the journal; those that have none are volatile alone.
    pub(crate) changes: Vec<Change>,
    /// Objects that are missing for the first time: another snapshot is to be taken soon.
    pub(crate) missing: usize,
}

/// One object is otherwise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) row: Option<RawRow>,
    pub(crate) stock: InventoryChange,
}

/// When and by whom a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// By Duo's clock, ms: later than every snapshot before.
    pub(crate) at: i64,
    /// No snapshot of this kind was completed before.
    pub(crate) is_first: bool,
}

/// Compares what the store holds of a kind with a snapshot.
pub(crate) fn diff(kind: Inventory, known: &[InventoryRow], snapshot: &Snapshot, taken: Taken) -> Changes {
    let known: BTreeMap<&str, &InventoryRow> = known.iter().map(|row| (&*row.id, row)).collect();
    let mut changes = Changes::default();
    for (id, object) in &snapshot.objects {
        let old = known.get(&**id).copied();
        changes.changes.extend(present(kind, old, object, taken));
    }
    for (id, old) in known {
        if !snapshot.objects.contains_key(id) && snapshot.odd == 0 {
            let change = absent(kind, old, taken);
            changes.missing += usize::from(matches!(change, Some(Change { row: None, .. })));
            changes.changes.extend(change);
        }
    }
    changes
}

fn present(kind: Inventory, old: Option<&InventoryRow>, object: &Object, taken: Taken) -> Option<Change> {
    let put = |own: Option<&Value>| {
        InventoryChange::Put(InventoryRow {
            kind: kind.as_str().into(),
            id: object.id.clone(),
            json: object.to_json(own),
            seen: taken.at,
            missing: None,
        })
    };
    // What cannot be read back is taken anew.
    let read = old.and_then(|old| Some((old, Object::stored(&old.id, &old.json)?)));
    let Some((old, (before, own))) = read else {
        let change = if taken.is_first { "first" } else { "created" };
        return Some(Change {
            row: row(kind, taken, change, Vec::new(), None, Some(object)),
            stock: put(None),
        });
    };
    let changed = object.changed_from(&before);
    if changed.is_empty() {
        let is_new = old.missing.is_some() || !object.is_same_as(&before);
        return is_new.then(|| Change {
            row: None,
            stock: put(own.as_ref()),
        });
    }
    let own = if kind == Inventory::Users && touches_factors(&changed) {
        Some(json!({"factors_changed": taken.at}))
    } else {
        own
    };
    Some(Change {
        row: row(kind, taken, "updated", changed, Some(&before), Some(object)),
        stock: put(own.as_ref()),
    })
}

/// Missing once is no deletion: a row may have slipped through between two pages. A user whom Duo said it would delete is gone
/// at once.
fn absent(kind: Inventory, old: &InventoryRow, taken: Taken) -> Option<Change> {
    let before = Object::stored(&old.id, &old.json).map(|(before, _)| before);
    let announced = || {
        let status = before.as_ref()?.row.get("status")?.as_str()?;
        Some(kind == Inventory::Users && status.eq_ignore_ascii_case("pending deletion"))
    };
    if old.missing.is_none() && !announced().unwrap_or(false) {
        return Some(Change {
            row: None,
            stock: InventoryChange::Put(InventoryRow {
                missing: Some(taken.at),
                ..old.clone()
            }),
        });
    }
    let unreadable = || Object {
        id: old.id.clone(),
        row: Map::new(),
    };
    Some(Change {
        row: row(
            kind,
            taken,
            "deleted",
            Vec::new(),
            Some(&before.unwrap_or_else(unreadable)),
            None,
        ),
        stock: InventoryChange::Delete {
            kind: kind.as_str().into(),
            id: old.id.clone(),
        },
    })
}

/// A change as the journal has it; none where the kind has no log.
fn row(
    kind: Inventory,
    taken: Taken,
    change: &str,
    changed: Vec<String>,
    before: Option<&Object>,
    after: Option<&Object>,
) -> Option<RawRow> {
    log_of(kind)?;
    let now = after.or(before)?;
    let owners = || {
        after
            .into_iter()
            .chain(before)
            .map(Object::users)
            .find(|users| !users.is_empty())
    };
    let users = owners().unwrap_or_default();
    let user = users.first().map(|(key, name)| json!({"key": key, "name": name}));
    let names: Vec<&str> = users.iter().filter_map(|(_, name)| *name).collect();
    let whole = |object: Option<&Object>| object.map(|object| Value::Object(object.row.clone()));
    let row = json!({
        "id": format!("{}@{}", now.id, taken.at),
        "ts": rfc3339(taken.at),
        "change": change,
        "changed": changed,
        "object": *now.id,
        "name": now.name(),
        "user": user,
        "users": names,
        "before": whole(before),
        "after": whole(after),
    });
    Some(row.to_string().into())
}
