//! What is written down of versions: how each stands, every step on its way, what the operator paused, and the content itself.
//!
//! A scan and a decision change what is in memory; what must survive is written here first. An entry that cannot be written is
//! an error in the log and stops nothing: rules judge whether or not their history can be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picket_store::{StepOutcome, StepRow, Store, StoreError, VersionRow, VersionState};
use serde::{Deserialize, Serialize};

use super::{Archive, Live};
use crate::when;

/// The daemon's note of what the operator paused: JSON, by rule id.
const PAUSED: &str = "paused";

/// What the operator paused, by rule id.
pub(crate) type Pauses = BTreeMap<String, Pause>;

/// Somebody paused a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    /// Wall clock, ms.
    pub(crate) since: i64,
    /// Who.
    pub(crate) by: String,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// The daemon's note of a live shadow, with the name of its file: where it began and what it found so far.
const SHADOW: &str = "shadow:";

/// What is noted of a live shadow, so that it goes on over a restart: all that it found follows from where it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShadowNote {
    /// Of its content.
    pub(crate) digest: String,
    /// Wall clock, ms.
    pub(crate) until: i64,
    /// As [`super::Shadowing::waits`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<String>,
    /// By tenant, the numbers of the journal after which it looks back, and after which it judges; none: it has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begins: Option<BTreeMap<String, (u64, u64)>>,
    /// What was found so far, as a trial's detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<serde_json::Value>,
}

/// What is noted of the live shadow of a file; none: there is none.
///
/// # Errors
/// The store's.
pub(crate) fn shadow_note(store: &dyn Store, file: &str) -> Result<Option<ShadowNote>, StoreError> {
    let note = store.note("", &format!("{SHADOW}{file}"))?;
    // One that cannot be read is as good as none: the version is tried once more.
    Ok(note.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Of one data directory.
pub(crate) struct Books {
    store: Arc<dyn Store>,
    pub(super) archive: Archive,
    /// Whether anything may be written: a verb beside the daemon only reads.
    is_writer: bool,
    /// Versions of each file whose content is kept, besides those that judge or wait.
    keep: usize,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books")
            .field("archive", &self.archive)
            .finish_non_exhaustive()
    }
}

/// What is to be written of one version.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) file: &'a str,
    pub(super) digest: &'a str,
}

impl Books {
    pub(crate) fn new(store: Arc<dyn Store>, archive: Archive, keep: usize) -> Self {
        Books {
            store,
            archive,
            is_writer: true,
            keep,
        }
    }

    /// The same for a verb that only reads.
    pub(crate) fn to_read(store: Arc<dyn Store>, archive: Archive) -> Self {
        Books {
            is_writer: false,
            ..Books::new(store, archive, 0)
        }
    }

    /// Every version; none if they cannot be read, which is said.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn versions(&self) -> Result<Vec<VersionRow>, StoreError> {
        self.store.versions()
    }

    pub(super) fn pauses(&self) -> Result<Pauses, StoreError> {
        let note = self.store.note("", PAUSED)?;
        Ok(note
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default())
    }

    pub(super) fn set_pauses(&self, pauses: &Pauses) -> anyhow::Result<()> {
        let json = serde_json::to_string(pauses)?;
        let note = Some(json).filter(|_| !pauses.is_empty());
        Ok(self.store.set_note("", PAUSED, note.as_deref())?)
    }

    /// What is noted of the live shadow of a file, if it is of this content.
    pub(super) fn shadow(&self, file: &str, digest: &str) -> Option<ShadowNote> {
        let noted = shadow_note(&*self.store, file).inspect_err(|error| {
            tracing::error!(module = file, "what is noted of a live shadow cannot be read: {error}");
        });
        noted.ok().flatten().filter(|note| note.digest == digest)
    }

    /// Notes how the live shadow of a file stands; none: it is over.
    pub(super) fn set_shadow(&self, file: &str, note: Option<&ShadowNote>) {
        if !self.is_writer {
            return;
        }
        let name = format!("{SHADOW}{file}");
        let json = note.and_then(|note| serde_json::to_string(note).ok());
        let is_there = || self.store.note("", &name).is_ok_and(|note| note.is_some());
        if json.is_none() && !is_there() {
            return;
        }
        if let Err(error) = self.store.set_note("", &name, json.as_deref()) {
            tracing::error!(
                module = file,
                "how a live shadow stands cannot be written down: {error}"
            );
        }
    }

    /// Keeps the content of a version that passed its own tests. A disk that takes nothing does not stop it: then there is no
    /// way back to it.
    pub(super) fn keep(&self, digest: &str, bytes: &[u8], signature: Option<&[u8]>) {
        if self.is_writer
            && let Err(error) = self.archive.keep(digest, bytes, signature)
        {
            tracing::error!(
                digest,
                "the content of a module cannot be kept, there will be no way back to it: {error}"
            );
        }
    }

    /// Writes down a step, and how versions stand because of it.
    pub(super) fn write(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) {
        if !self.is_writer || (versions.is_empty() && steps.is_empty()) {
            return;
        }
        let changed = !versions.is_empty();
        if let Err(error) = self.store.keep_versions(versions, steps) {
            tracing::error!("what became of a version cannot be written down: {error}");
        }
        if changed && let Err(error) = self.prune() {
            tracing::warn!("old versions of modules stay where they are: {error:#}");
        }
    }

    /// Every step of a file's versions; none if they cannot be read.
    pub(super) fn steps(&self, file: &str) -> Vec<StepRow> {
        self.store.version_steps(file).unwrap_or_default()
    }

    /// The same if the last step of this version was another: what a restart finds once more is no news.
    pub(super) fn write_news(&self, step: StepRow) {
        let known = self.steps(&step.file);
        let last = known.iter().rev().find(|known| known.digest == step.digest);
        let is_news = last.is_none_or(|last| (&last.step, &last.reason) != (&step.step, &step.reason));
        if is_news {
            self.write(Vec::new(), vec![step]);
        }
    }

    /// Content that nobody can go back to any more goes.
    fn prune(&self) -> anyhow::Result<()> {
        let versions = self.store.versions()?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        // The latest first.
        for row in versions.iter().rev() {
            match row.state {
                VersionState::Live | VersionState::Waiting | VersionState::Shadow => {
                    wanted.insert(&row.digest);
                }
                VersionState::Replaced | VersionState::RolledBack | VersionState::Retired => {
                    let count = counts.entry(&row.file).or_default();
                    *count += 1;
                    if *count <= self.keep {
                        wanted.insert(&row.digest);
                    }
                }
                VersionState::Refused => {}
            }
        }
        Ok(self.archive.keep_only(&wanted)?)
    }
}

impl Entry<'_> {
    /// A step, ended now.
    pub(super) fn step(&self, step: &str, outcome: StepOutcome, reason: impl Into<Arc<str>>) -> StepRow {
        StepRow {
            file: self.file.into(),
            digest: self.digest.into(),
            time: when::now(),
            step: step.into(),
            outcome,
            reason: reason.into(),
            detail: None,
        }
    }

    /// How it stands from now on.
    pub(super) fn stands(&self, state: VersionState, reason: &str, rules: Vec<(String, String)>) -> VersionRow {
        VersionRow {
            file: self.file.into(),
            digest: self.digest.into(),
            state,
            since: when::now(),
            reason: reason.into(),
            rules,
        }
    }
}

/// Ids and versions of a module's rules.
pub(super) fn rules_of(live: &Live) -> Vec<(String, String)> {
    let rules = live.module.manifest.rules.iter();
    rules.map(|rule| (rule.id.clone(), rule.version.clone())).collect()
}
