//! Rules that wanted to look back further than the journal goes: until it does, they learn.
//!
//! The store keeps one note of a tenant: by rule and state version, until when.

use std::collections::BTreeMap;

use picket_contract::RuleManifest;
use picket_store::{Store, StoreError};

const NOTE: &str = "learning";

/// By rule and state version, until when each learns, ms by Duo's clock.
///
/// # Errors
/// The store's.
pub fn learning(store: &dyn Store, tenant: &str) -> Result<BTreeMap<(String, u32), i64>, StoreError> {
    let noted = store.note(tenant, NOTE)?;
    // A note that cannot be read costs a word in a list.
    let noted: Vec<(String, u32, i64)> = noted
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    Ok(noted
        .into_iter()
        .map(|(rule, version, until)| ((rule, version), until))
        .collect())
}

/// The note with these added, and those left out that have learnt by `now`, ms; none: nothing is to be noted.
pub(super) fn noted(
    store: &dyn Store,
    tenant: &str,
    learners: &[(String, u32, i64)],
    now: i64,
) -> Result<Option<(String, String)>, StoreError> {
    if learners.is_empty() {
        return Ok(None);
    }
    let mut all = learning(store, tenant)?;
    all.retain(|_, until| *until > now);
    let new = learners.iter();
    all.extend(new.map(|(rule, version, until)| ((rule.clone(), *version), *until)));
    let rows: Vec<(&String, u32, i64)> = all
        .iter()
        .map(|((rule, version), until)| (rule, *version, *until))
        .collect();
    Ok(serde_json::to_string(&rows).ok().map(|json| (NOTE.to_owned(), json)))
}

/// Until when (ms) a rule learns that looked back to `from`, ms: until the journal goes back as far as it wanted to. None: it
/// does already.
pub(super) fn until(
    store: &dyn Store,
    tenant: &str,
    rule: &RuleManifest,
    from: i64,
) -> Result<Option<i64>, StoreError> {
    let mut logs = rule.logs();
    if logs.contains(&"admin") {
        logs.extend(["activity", "administrator"]);
    }
    let earliest = store.earliest(tenant, &logs)?;
    let look_back = rule.state.look_back_ms;
    Ok(earliest
        .filter(|earliest| *earliest > from)
        .map(|earliest| earliest.saturating_add(look_back)))
}
