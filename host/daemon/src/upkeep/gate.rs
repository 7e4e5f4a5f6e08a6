//! Whether Duo is asked at all: a store that is full takes nothing, and what Duo is not asked for it keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::daemon::lock;

/// Why nobody, or why single tenants are not asked for.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Closed>);

#[derive(Debug, Default)]
struct Closed {
    all: Option<Arc<str>>,
    tenants: BTreeMap<String, Arc<str>>,
}

impl Gate {
    /// Why this tenant's account is not asked; none: it is.
    pub(crate) fn why(&self, tenant: &str) -> Option<Arc<str>> {
        let closed = lock(&self.0);
        closed.all.clone().or_else(|| closed.tenants.get(tenant).cloned())
    }

    /// Why nobody's is.
    pub(crate) fn why_all(&self) -> Option<Arc<str>> {
        lock(&self.0).all.clone()
    }

    /// Why single tenants' are not.
    pub(crate) fn why_each(&self) -> BTreeMap<String, Arc<str>> {
        lock(&self.0).tenants.clone()
    }

    /// Closes it for everybody, or opens it. Said when it changes.
    pub(crate) fn set_all(&self, why: Option<String>) {
        let mut closed = lock(&self.0);
        match (&closed.all, &why) {
            (None, Some(why)) => tracing::error!("Duo is not asked any more, nothing is lost: {why}"),
            (Some(_), None) => tracing::info!("Duo is asked again: there is room"),
            _ => {}
        }
        closed.all = why.map(Arc::from);
    }

    /// The same for one tenant.
    pub(crate) fn set(&self, tenant: &str, why: Option<String>) {
        let mut closed = lock(&self.0);
        match (closed.tenants.contains_key(tenant), &why) {
            (false, Some(why)) => tracing::error!(tenant, "Duo is not asked any more, nothing is lost: {why}"),
            (true, None) => tracing::info!(tenant, "Duo is asked again: there is room"),
            _ => {}
        }
        match why {
            Some(why) => closed.tenants.insert(tenant.to_owned(), why.into()),
            None => closed.tenants.remove(tenant),
        };
    }

    /// Tenants that are gone are not missed.
    pub(crate) fn only(&self, is_there: impl Fn(&str) -> bool) {
        lock(&self.0).tenants.retain(|tenant, _| is_there(tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_all_holds_for_each() {
        let gate = Gate::default();
        assert_eq!(gate.why("acme"), None);
        gate.set("acme", Some("its quota is used".to_owned()));
        assert_eq!(gate.why("acme").as_deref(), Some("its quota is used"));
        assert_eq!(gate.why("globex"), None);
        gate.set_all(Some("the disk is full".to_owned()));
        assert_eq!(gate.why("globex").as_deref(), Some("the disk is full"));
        gate.set_all(None);
        assert_eq!(gate.why("acme").as_deref(), Some("its quota is used"));
        gate.only(|tenant| tenant != "acme");
        assert_eq!(gate.why("acme"), None);
    }
}
