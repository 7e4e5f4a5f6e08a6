//! The children of an Accounts API key: who they are, which tenant each is, and what is remembered of them.
//!
//! A child's tenant id is made of its name when it is first seen and kept from then on, whatever it is called later: it is
//! part of every alert's id. The list is a note in the store, so that a start without the parent knows the children too.

use std::collections::BTreeSet;

use picket_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::config::{ParentConfig, TenantConfig};

/// A child account as it was listed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    /// `DA...`.
    pub(crate) account_id: String,
    /// Its own API host.
    pub(crate) api_hostname: String,
    /// As Duo calls it.
    pub(crate) name: String,
    /// The tenant's id.
    pub(crate) tenant: String,
    /// Since when it is not listed any more, ms since the Unix epoch; none: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<i64>,
}

/// A child account as the parent lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) account_id: String,
    pub(crate) api_hostname: String,
    pub(crate) name: String,
}

impl Child {
    /// How it is collected and judged; none: it is gone, or the configuration skips it.
    pub(crate) fn tenant(&self, parent: &ParentConfig) -> Option<TenantConfig> {
        let said = parent.children.get(&self.account_id);
        if self.gone.is_some() || said.is_some_and(|said| said.skip) {
            return None;
        }
        Some(self.whole(parent))
    }

    /// The same of one that is not collected any more: what is stored of it can be read.
    pub(crate) fn whole(&self, parent: &ParentConfig) -> TenantConfig {
        let said = parent.children.get(&self.account_id);
        let mut source = parent.source.clone();
        source.api_hostname.clone_from(&self.api_hostname);
        source.account_id = Some(self.account_id.clone());
        if let Some(collect) = said.and_then(|said| said.collect.clone()) {
            source.collect = collect;
        }
        TenantConfig {
            id: self.tenant.clone(),
            name: said
                .and_then(|said| said.name.clone())
                .unwrap_or_else(|| self.name.clone()),
            timezone: said
                .and_then(|said| said.timezone.clone())
                .unwrap_or_else(|| parent.timezone.clone()),
            source,
            overrides: {
                let own = said.map_or_else(|| parent.overrides.clone(), |said| said.overrides.clone());
                parent.common.overrides(&self.tenant, own)
            },
            exceptions: parent.common.exceptions(&self.tenant, &parent.exceptions),
            lists: said.map_or_else(|| parent.lists.clone(), |said| said.lists.clone()),
            tables: parent.tables.clone(),
            permissions: parent.permissions.clone(),
            sinks: parent.sinks.clone(),
            retention: said.map_or_else(|| parent.retention.clone(), |said| said.retention.clone()),
        }
    }
}

fn note(parent: &str) -> String {
    format!("accounts of {parent}")
}

/// The children of last time.
///
/// # Errors
/// The store's.
pub(crate) fn remembered(store: &dyn Store, parent: &str) -> Result<Vec<Child>, StoreError> {
    let text = store.note("", &note(parent))?;
    // A list that cannot be read is as good as none: it is asked for anew.
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

/// Keeps the list for the next start.
///
/// # Errors
/// The store's.
pub(crate) fn remember(store: &dyn Store, parent: &str, children: &[Child]) -> Result<(), StoreError> {
    let text = serde_json::to_string(children).unwrap_or_default();
    store.set_note("", &note(parent), Some(&text))
}

/// The list as it is now, joined with what is known: ids stay, who is missing is gone since `now` (ms). `taken`: tenants' ids
/// that are not to be given.
pub(crate) fn joined(
    known: Vec<Child>,
    listed: &[Listed],
    parent: &ParentConfig,
    taken: &BTreeSet<String>,
    now: i64,
) -> Vec<Child> {
    let mut children = known;
    for child in &mut children {
        match listed.iter().find(|listed| listed.account_id == child.account_id) {
            Some(listed) => {
                child.api_hostname.clone_from(&listed.api_hostname);
                child.name.clone_from(&listed.name);
                child.gone = None;
            }
            None => child.gone = child.gone.or(Some(now)),
        }
        if let Some(id) = parent
            .children
            .get(&child.account_id)
            .and_then(|said| said.tenant.clone())
        {
            child.tenant = id;
        }
    }
    let mut new: Vec<&Listed> = listed
        .iter()
        .filter(|listed| !children.iter().any(|child| child.account_id == listed.account_id))
        .collect();
    // So that a fresh store gives the same ids as another.
    new.sort_by(|one, other| one.account_id.cmp(&other.account_id));
    for listed in new {
        let is_taken = |id: &str| taken.contains(id) || children.iter().any(|child| child.tenant == id);
        let said = parent
            .children
            .get(&listed.account_id)
            .and_then(|said| said.tenant.clone());
        let tenant = said.unwrap_or_else(|| tenant_id(listed, is_taken));
        children.push(Child {
            account_id: listed.account_id.clone(),
            api_hostname: listed.api_hostname.clone(),
            name: listed.name.clone(),
            tenant,
            gone: None,
        });
    }
    children.sort_by(|one, other| one.account_id.cmp(&other.account_id));
    children
}

/// `Acme Bank, Inc.` becomes `acme-bank-inc`, or `acme-bank-inc-000001` (the end of its account id) where that is another's.
fn tenant_id(listed: &Listed, is_taken: impl Fn(&str) -> bool) -> String {
    let slug = slug(&listed.name, 48);
    if !slug.is_empty() && !is_taken(&slug) {
        return slug;
    }
    let account = self::slug(&listed.account_id, 60);
    let end = account.get(account.len().saturating_sub(6)..).unwrap_or_default();
    let id = if slug.is_empty() {
        account.clone()
    } else {
        format!("{slug}-{end}")
    };
    if is_taken(&id) { account } else { id }
}

/// Lower-case letters and digits; everything else is one dash.
fn slug(name: &str, most: usize) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= most {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
