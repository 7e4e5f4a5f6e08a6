//! From the shapes of one file to tenants and parents, and where what is wrong stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use super::exceptions::Exception;
use super::file::{Accounts, SourceFile};
use super::overrides::{AllOverrides, Common, over};
use super::{ChildConfig, ParentConfig, Permissions, Problem, Retention, Tables, TenantConfig};

/// Turns one file's shapes into configuration.
pub(super) struct Checker<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// The directory of `picket.yaml`, from which relative paths count.
    pub(super) base: &'a Path,
}

/// What a file says of an account.
pub(super) struct Said<'a> {
    pub(super) id: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) timezone: Option<&'a Spanned<String>>,
    pub(super) source: &'a Spanned<SourceFile>,
    pub(super) accounts: &'a Accounts,
    /// Of this file alone.
    pub(super) overrides: AllOverrides,
    /// Of this file alone.
    pub(super) exceptions: Vec<Arc<Exception>>,
    /// What is said for all.
    pub(super) common: Arc<Common>,
    pub(super) lists: BTreeMap<String, Vec<String>>,
    pub(super) tables: Tables,
    pub(super) permissions: Permissions,
    pub(super) sinks: Option<Vec<String>>,
    pub(super) retention: Retention,
}

/// What a file turns out to be about.
pub(super) enum Entry {
    /// One account.
    Tenant(Box<TenantConfig>),
    /// The parent of several.
    Parent(Box<ParentConfig>),
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        match self {
            Entry::Tenant(tenant) => &tenant.id,
            Entry::Parent(parent) => &parent.id,
        }
    }
}

impl Checker<'_> {
    /// A path as written, from the directory of `picket.yaml` on; `./` in the middle says nothing.
    pub(super) fn file(&self, path: &Path) -> PathBuf {
        self.base.join(path).components().collect()
    }

    pub(super) fn problem(&self, location: Location, what: impl Into<String>) -> Problem {
        Problem::new(self.path, what).at(location, self.text)
    }

    pub(super) fn tenant_id(&self, id: &str, location: Location, problems: &mut Vec<Problem>) {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let starts = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !starts || id.len() > 64 || !id.bytes().all(good) {
            problems.push(
                self.problem(location, format!("`{id}` cannot be a tenant's id"))
                    .hint("use up to 64 lower-case letters, digits, `-`, `_` and `.`, as in `acme-eu`"),
            );
        }
    }

    fn timezone(&self, zone: Option<&Spanned<String>>, problems: &mut Vec<Problem>) {
        if let Some(zone) = zone
            && jiff::tz::TimeZone::get(&zone.value).is_err()
        {
            problems.push(
                self.problem(zone.referenced, format!("`{}` is no time zone", zone.value))
                    .hint("use a name of the IANA database, such as Europe/Berlin or UTC"),
            );
        }
    }

    /// The account, or the parent of several, that a file is about.
    pub(super) fn entry(
        &self,
        said: Said<'_>,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) -> Option<Entry> {
        let before = problems.len();
        self.timezone(said.timezone, problems);
        let source = self.source(&said.source.value, said.source.referenced, problems, warnings);
        let timezone = said.timezone.map_or("UTC", |zone| zone.value.as_str()).to_owned();
        if said.source.value.kind.value != "duo_accounts" {
            self.no_accounts(&said, problems);
            return Some(Entry::Tenant(Box::new(TenantConfig {
                id: said.id.to_owned(),
                name: said.name.unwrap_or(said.id).to_owned(),
                timezone,
                source: source.filter(|_| problems.len() == before)?,
                overrides: said.common.overrides(said.id, said.overrides),
                exceptions: said.common.exceptions(said.id, &said.exceptions),
                lists: said.lists,
                tables: said.tables,
                permissions: said.permissions,
                sinks: said.sinks,
                retention: said.retention,
            })));
        }
        let interval = self.accounts_interval(&said.source.value, problems);
        let children = self.children(&said, problems);
        Some(Entry::Parent(Box::new(ParentConfig {
            id: said.id.to_owned(),
            timezone,
            source: source.filter(|_| problems.len() == before)?,
            interval,
            children,
            overrides: said.overrides,
            exceptions: said.exceptions,
            common: said.common,
            lists: said.lists,
            tables: said.tables,
            permissions: said.permissions,
            sinks: said.sinks,
            retention: said.retention,
        })))
    }

    fn no_accounts(&self, said: &Said<'_>, problems: &mut Vec<Problem>) {
        let hint = "this is for the parent key of the Accounts API: type: duo_accounts";
        if let Some(account) = said.accounts.values().next() {
            let what = "`accounts` beside a source of one account";
            problems.push(self.problem(account.referenced, what).hint(hint));
        }
        if let Some(interval) = &said.source.value.accounts_interval {
            let what = "`accounts_interval` in a source of one account";
            problems.push(self.problem(interval.referenced, what).hint(hint));
        }
    }

    fn children(&self, said: &Said<'_>, problems: &mut Vec<Problem>) -> BTreeMap<String, ChildConfig> {
        let mut ids = BTreeSet::new();
        let mut children = BTreeMap::new();
        for (account_id, account) in said.accounts {
            let file = &account.value;
            self.timezone(file.timezone.as_ref(), problems);
            if let Some(id) = &file.tenant {
                self.tenant_id(&id.value, id.referenced, problems);
                if !ids.insert(id.value.as_str()) {
                    let what = format!("there are two tenants named `{}`", id.value);
                    problems.push(self.problem(id.referenced, what));
                }
            }
            let collect = file
                .collect
                .as_ref()
                .map(|names| self.collect(Some(names), &said.source.value, account.referenced, problems));
            let mut lists = said.lists.clone();
            lists.extend(self.lists(&file.lists, problems));
            let child = ChildConfig {
                tenant: file.tenant.as_ref().map(|id| id.value.clone()),
                name: file.name.clone(),
                timezone: file.timezone.as_ref().map(|zone| zone.value.clone()),
                skip: file.skip,
                collect,
                overrides: over(&said.overrides, self.overrides(&file.rules, problems)),
                lists,
                retention: self.retention(&file.retention, &said.retention, problems),
            };
            children.insert(account_id.clone(), child);
        }
        children
    }
}
