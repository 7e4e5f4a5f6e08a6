//! A module that judges, and whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{Params, RuleManifest, params};
use picket_event::Permission;
use picket_sandbox::Module;
use serde::Serialize;

use super::{Signed, Terms};
use crate::config::{ModulePolicy, Permissions, Sandbox};

/// Whom a module judges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Every tenant.
    All,
    /// One.
    Tenant(String),
}

impl Scope {
    /// Whether the module judges this tenant.
    pub(crate) fn covers(&self, tenant: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Tenant(own) => own == tenant,
        }
    }
}

/// A module that passed everything. Tenants share it: what a thousand of them need of a rule is there once.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) module: Arc<Module>,
    /// Its file, relative to the rules directory; empty outside it.
    pub(crate) file: String,
    /// What the operator says of it.
    pub(crate) policy: ModulePolicy,
    /// Its rules, each with the parameters it has where nobody says otherwise.
    pub(crate) rules: Vec<(Arc<RuleManifest>, Arc<Params>)>,
    /// What its calls may spend, in one text.
    pub(crate) allowed: Arc<str>,
    /// The version of ATT&CK whose ids its rules carry.
    pub(crate) attack_version: Arc<str>,
    /// What it may read of a tenant of whom nothing else is said.
    permission: Arc<Permission>,
    /// How many cases passed.
    pub(crate) cases: usize,
    /// Who signed it.
    pub(crate) signed: Signed,
}

impl Live {
    pub(super) fn new(
        module: Arc<Module>,
        file: String,
        policy: ModulePolicy,
        cases: usize,
        signed: Signed,
    ) -> Result<Self, String> {
        let mut rules = Vec::new();
        for rule in &module.manifest.rules {
            let defaults = params::resolve(rule, &BTreeMap::new()).map_err(|wrong| {
                let wrong: Vec<String> = wrong.into_iter().map(|(_, why)| why).collect();
                wrong.join("\n")
            })?;
            rules.push((Arc::new(rule.clone()), Arc::new(defaults)));
        }
        Ok(Live::of(module, file, policy, rules, cases, signed))
    }

    fn of(
        module: Arc<Module>,
        file: String,
        policy: ModulePolicy,
        rules: Vec<(Arc<RuleManifest>, Arc<Params>)>,
        cases: usize,
        signed: Signed,
    ) -> Self {
        Live {
            allowed: module.allowed().into(),
            attack_version: module.manifest.attack_version.as_str().into(),
            permission: Arc::new(policy.permission.clone()),
            module,
            file,
            policy,
            rules,
            cases,
            signed,
        }
    }

    /// The same version, whose file has another signature beside it.
    pub(super) fn signed_by(&self, signed: Signed) -> Arc<Self> {
        Arc::new(Live::of(
            self.module.clone(),
            self.file.clone(),
            self.policy.clone(),
            self.rules.clone(),
            self.cases,
            signed,
        ))
    }

    /// The same version under other terms.
    ///
    /// # Errors
    /// Why it could not be live.
    pub(super) fn under(&self, terms: &Terms, signed: Signed) -> Result<Self, String> {
        let policy = terms.sandbox.module(&self.file);
        let module = if policy.limits == self.module.limits {
            self.module.clone()
        } else {
            let module = self.module.under(policy.limits);
            Arc::new(module.map_err(|rejected| format!("{}: {rejected}", rejected.code()))?)
        };
        Ok(Live::of(
            module,
            self.file.clone(),
            policy,
            self.rules.clone(),
            self.cases,
            signed,
        ))
    }

    /// What it may read of a tenant: what is said of it for all, and what the tenant's file says.
    pub(crate) fn permission(&self, of_tenant: &Permissions) -> Arc<Permission> {
        match of_tenant.get(&self.file) {
            Some(own) => Arc::new(self.policy.permission.clone().and(own)),
            None => self.permission.clone(),
        }
    }

    /// A module outside the rules directory.
    ///
    /// # Errors
    /// A parameter whose default is out of its own range.
    pub(crate) fn untested(module: Arc<Module>) -> Result<Arc<Self>, String> {
        let policy = Sandbox::default().module("");
        Ok(Arc::new(Live::new(
            module,
            String::new(),
            policy,
            0,
            Signed::default(),
        )?))
    }
}
