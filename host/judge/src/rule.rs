//! A rule as it judges one tenant, and the tenant it judges.

use std::sync::Arc;

use picket_contract::{Evaluate, Params, Position, RuleManifest, Severity, Tables};
use picket_event::{Mask, Permission};
use picket_store::Standing;

use crate::exceptions::Exception;
use crate::holding::Remembered;

/// One rule of one tenant, with how far it has come and what it remembers.
#[derive(Debug, Clone)]
pub struct JudgedRule {
    /// What it says of itself.
    pub manifest: Arc<RuleManifest>,
    /// How it is called.
    pub evaluator: Arc<dyn Evaluate>,
    /// Digest of its module, `sha256:...`.
    pub module: Arc<str>,
    /// The version of ATT&CK whose ids it carries.
    pub attack_version: Arc<str>,
    /// Its parameters for this tenant, every declared one present.
    pub params: Arc<Params>,
    /// The tenant's lookup tables.
    pub tables: Arc<Tables>,
    /// On what terms it judges.
    pub terms: Terms,
    /// How far it has come.
    pub position: Position,
    /// What it remembers.
    pub state: Remembered,
    /// Whether it is quarantined, and what it could not read.
    pub standing: Standing,
}

impl JudgedRule {
    /// A rule that has read nothing, with the defaults' parameters left to the caller.
    #[must_use]
    pub fn new(
        manifest: Arc<RuleManifest>,
        evaluator: Arc<dyn Evaluate>,
        module: Arc<str>,
        params: Arc<Params>,
    ) -> Self {
        JudgedRule {
            manifest,
            evaluator,
            module,
            attack_version: "19".into(),
            params,
            tables: Arc::default(),
            terms: Terms::default(),
            position: Position::start(),
            state: Remembered::default(),
            standing: Standing::default(),
        }
    }

    /// The logs it reads, sorted.
    #[must_use]
    pub fn logs(&self) -> Vec<Arc<str>> {
        self.manifest.logs().into_iter().map(Arc::from).collect()
    }
}

/// Whose events are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Part of every alert's id.
    pub id: Arc<str>,
    /// For people.
    pub name: Arc<str>,
    /// IANA name, e.g. `America/New_York`.
    pub timezone: Arc<str>,
    /// Host of the Duo Admin Panel (`admin-1234abcd.duosecurity.com`), for links.
    pub panel: Option<Arc<str>>,
    /// What its phone numbers are masked with.
    pub mask: Arc<Mask>,
}

/// On what terms a rule judges: what the operator decides of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether it judges, and for whom.
    pub mode: Mode,
    /// What becomes of a row that it fails on alone.
    pub on_poison: OnPoison,
    /// What its calls may spend, in one text: part of the generation, since it decides outcomes.
    pub limits: Arc<str>,
    /// What it may read of what it declares.
    pub permission: Arc<Permission>,
    /// In place of what the rule says of how bad it is.
    pub severity: Option<Severity>,
    /// In place of the rule's own dedup period, ms; 0: nothing is a repeat but the very same alert.
    pub dedup_period_ms: Option<i64>,
    /// What nobody wants to be told of.
    pub exceptions: Arc<[Arc<Exception>]>,
}

/// Whether a rule judges, and for whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Its alerts go out.
    #[default]
    Active,
    /// It judges as if it were active, with a position and a memory of its own; its alerts are kept and listed apart, and
    /// nobody is told.
    Shadow,
    /// It keeps its position and judges nothing. When it resumes it reads on from there.
    Paused,
}

/// What becomes of a row that makes a rule fail when it is shown alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnPoison {
    /// The rule stops right before it, visibly, and is probed.
    #[default]
    Quarantine,
    /// The rule goes on behind it, and it is reported.
    Skip,
}
