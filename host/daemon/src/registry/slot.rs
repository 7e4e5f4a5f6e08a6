//! One file of the rules directory: what of it judges, is tried, waits or was refused; and what a scan changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::{Live, Scope};
use crate::when;

/// Why a file is not live (or not its newest content).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// Digest of the content that was refused.
    pub(crate) digest: String,
    /// Short and stable; `docs/rules.md` lists them.
    pub(crate) code: &'static str,
    /// `CODE: sentence`.
    pub(crate) reason: String,
    /// Of its signature's file, as [`Signed::mark`].
    #[serde(skip)]
    pub(super) mark: String,
    /// The rule that another file has, if that is all: it may be over without this file changing.
    #[serde(skip)]
    pub(super) rival: Option<String>,
    /// It says nothing about the content: the next scan tries it again.
    #[serde(skip)]
    pub(super) is_passing: bool,
}

/// A version that passed its own tests and is yet to be compared.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) live: Arc<Live>,
    pub(super) bytes: Arc<[u8]>,
    /// Somebody asked for it by name: alerts that differ do not keep it waiting.
    pub(crate) is_asked_for: bool,
}

/// A version that passed everything and waits for somebody to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) digest: String,
    /// In words, with what differs.
    pub(crate) reason: String,
    /// Ids and versions of its rules.
    pub(crate) rules: Vec<(String, String)>,
    /// Wall clock, ms.
    pub(crate) since: i64,
}

/// A version that passed on stored events, and judges live ones beside the one it is to replace.
#[derive(Debug, Clone)]
pub(crate) struct Shadowing {
    pub(crate) candidate: Candidate,
    /// Wall clock, ms.
    pub(crate) since: i64,
    /// Wall clock, ms.
    pub(crate) until: i64,
    /// Why it will wait for somebody at the end, whatever it does: its alerts differ on stored events.
    pub(crate) waits: Option<String>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) scope: Scope,
    /// What judges.
    pub(crate) live: Option<Arc<Live>>,
    /// Since when, wall clock, ms.
    pub(crate) since: i64,
    /// What judged before, to go back to at once.
    pub(super) previous: Option<Arc<Live>>,
    /// What is being tried.
    pub(crate) candidate: Option<Candidate>,
    /// What judges live events beside it.
    pub(crate) shadowing: Option<Shadowing>,
    /// What waits.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) refusal: Option<Refusal>,
}

impl Slot {
    pub(super) fn empty(scope: Scope) -> Self {
        Slot {
            scope,
            live: None,
            since: 0,
            previous: None,
            candidate: None,
            shadowing: None,
            waiting: None,
            refusal: None,
        }
    }
}

/// What a scan changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    /// Files whose (new) content is live now.
    pub(crate) live: Vec<String>,
    /// Files whose new content was refused, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// Files whose content was refused before and has not changed since, and why.
    pub(crate) still_refused: Vec<(String, String)>,
    /// Files that are gone; their rules retire.
    pub(crate) retired: Vec<String>,
    /// Directories of tenants that are gone: what they held stays in force.
    pub(crate) kept: BTreeSet<String>,
    /// Files whose content has passed and waits for somebody to decide, and why.
    pub(crate) waiting: Vec<(String, String)>,
    /// Files whose content judges live events in shadow, and until when.
    pub(crate) shadow: Vec<(String, String)>,
    /// Files whose content is to be tried on stored events.
    #[serde(skip)]
    pub(crate) candidates: Vec<PathBuf>,
    #[serde(skip)]
    pub(super) scopes: BTreeSet<Scope>,
    /// There is more to admit: scan again, once these are in force.
    #[serde(skip)]
    pub(crate) is_unfinished: bool,
}

impl Shadowing {
    /// For people.
    pub(crate) fn words(&self) -> String {
        let until = when::minute(&when::rfc3339(self.until)).unwrap_or_default();
        match &self.waits {
            None => format!("it judges live events beside the version before until {until}"),
            Some(why) => {
                format!("it judges live events beside the version before until {until}, and will wait then: {why}")
            }
        }
    }
}

impl Changes {
    /// Nothing but that everybody's rules are to be looked at again.
    pub(crate) fn of_all() -> Self {
        Changes {
            scopes: BTreeSet::from([Scope::All]),
            ..Changes::default()
        }
    }

    /// Whether the tenant's rules are others now.
    pub(crate) fn touch(&self, tenant: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(tenant))
    }

    /// What a further scan changed, added.
    pub(crate) fn and_then(&mut self, later: Changes) {
        self.live.extend(later.live);
        self.refused.extend(later.refused);
        // What was refused a moment ago is no news of before.
        let new: BTreeSet<&String> = self.refused.iter().map(|(path, _)| path).collect();
        let still = later.still_refused.into_iter().filter(|(path, _)| !new.contains(path));
        self.still_refused = still.collect();
        self.retired.extend(later.retired);
        self.kept = later.kept;
        self.waiting = later.waiting;
        self.shadow = later.shadow;
        self.candidates.extend(later.candidates);
        self.scopes.extend(later.scopes);
        self.is_unfinished = later.is_unfinished;
    }
}
