//! What becomes of a version: it takes over, waits, is refused, or is taken back; and what was in force comes back at a start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use picket_sandbox::Engine;
use picket_store::{StepOutcome, StepRow, VersionRow, VersionState};

use super::books::{Entry, rules_of};
use super::files::{self, Content};
use super::scan::{ROLLED_BACK, Refused, SHADOW, owner, taken};
use super::signed::{Beside, Signed};
use super::{Candidate, Changes, Live, Pause, Registry, Scope, ShadowNote, Shadowing, Slot, Waiting};
use crate::when;

/// What is decided of a candidate.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// It takes over.
    Promote(String),
    /// Somebody has to decide.
    Wait(String),
    /// It judges live events beside the one it is to replace until then (wall clock, ms).
    Shadow {
        /// What the trial came to.
        why: String,
        until: i64,
        /// As [`Shadowing::waits`].
        waits: Option<String>,
    },
    /// It is not tried again unless somebody asks for it.
    Refuse(String),
    /// It is refused for what may be otherwise soon: it is tried again.
    Postpone(&'static str, String),
}

/// Why something that was asked for is not done, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotDone(pub(crate) String);

impl Registry {
    /// What was in force comes back, from the content that is kept. What cannot come back is told; its file is then as good as
    /// new.
    pub(crate) fn restore(&self) {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(books) = &self.books else { return };
        match books.pauses() {
            Ok(pauses) => self.pauses.store(Arc::new(pauses)),
            Err(error) => tracing::error!("what was paused cannot be read: {error}"),
        }
        let Ok(files) = files::list(&self.terms().directory) else {
            return;
        };
        let mut slots = self.slots().as_ref().clone();
        for row in self.rows().iter().filter(|row| row.state == VersionState::Live) {
            let path = PathBuf::from(&*row.file);
            // Its file was deleted while nobody watched.
            let Some((_, scope)) = files.iter().find(|(file, _)| *file == path) else {
                let retired = VersionRow {
                    state: VersionState::Retired,
                    since: when::now(),
                    reason: "its file is gone".into(),
                    ..row.clone()
                };
                self.write(vec![retired], Vec::new());
                continue;
            };
            let content = self.content(&path, &row.digest);
            let restored = content.and_then(|bytes| {
                let signed = self.signed(&path, &row.digest);
                signed
                    .and_then(|signed| self.examine(&path, scope, &bytes, signed, &slots))
                    .map_err(|refused| refused.reason)
            });
            match restored {
                Ok(live) => {
                    let slot = Slot {
                        live: Some(live),
                        since: row.since,
                        ..Slot::empty(scope.clone())
                    };
                    slots.insert(path, slot);
                }
                Err(why) => {
                    tracing::error!(module = %row.file, digest = %row.digest, "the version that judged cannot come back: {why}")
                }
            }
        }
        self.slots.store(Arc::new(slots));
    }

    /// A candidate, and what it is to replace.
    pub(crate) fn candidate(&self, path: &Path) -> Option<(Candidate, Option<Arc<Live>>, Scope)> {
        let slots = self.slots();
        let slot = slots.get(path)?;
        Some((slot.candidate.clone()?, slot.live.clone(), slot.scope.clone()))
    }

    /// Every version that is in shadow.
    pub(crate) fn shadows(&self) -> Vec<(PathBuf, Shadowing)> {
        let slots = self.slots();
        let with = slots.iter();
        with.filter_map(|(path, slot)| Some((path.clone(), slot.shadowing.clone()?)))
            .collect()
    }

    /// A version that is in shadow (`which`: digest, and since when) is to be until then; wall clock, ms.
    pub(crate) fn shadow_until(&self, path: &Path, which: &(Arc<str>, i64), until: i64) {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots().as_ref().clone();
        let shadow = slots.get_mut(path).and_then(|slot| slot.shadowing.as_mut());
        let is_it =
            |shadow: &&mut Shadowing| (&shadow.candidate.live.module.digest, shadow.since) == (&which.0, which.1);
        if let Some(shadow) = shadow.filter(is_it) {
            shadow.until = until;
            self.slots.store(Arc::new(slots));
        }
    }

    /// A version that is in shadow, what it is to replace, and whom it judges.
    pub(crate) fn shadow(&self, path: &Path) -> Option<(Shadowing, Option<Arc<Live>>, Scope)> {
        let slots = self.slots();
        let slot = slots.get(path)?;
        Some((slot.shadowing.clone()?, slot.live.clone(), slot.scope.clone()))
    }

    /// Ends the trial of a candidate, or of what is in shadow; none if it is not that any more. `detail`: what was compared,
    /// JSON.
    pub(crate) fn settle(
        &self,
        path: &Path,
        digest: &str,
        decision: Decision,
        detail: Option<String>,
    ) -> Option<Changes> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots().as_ref().clone();
        let slot = slots.get(path)?;
        let in_shadow = slot.shadowing.as_ref().map(|shadow| (&shadow.candidate, "live-shadow"));
        let tried = slot.candidate.as_ref().map(|candidate| (candidate, "shadow"));
        let mut both = tried.into_iter().chain(in_shadow);
        let (candidate, step) = both.find(|(tried, _)| *tried.live.module.digest == *digest)?;
        let (candidate, step) = (candidate.clone(), step);
        let (scope, shown) = (slot.scope.clone(), path.display().to_string());
        let rival = candidate
            .live
            .rules
            .iter()
            .find_map(|(rule, _)| Some((&rule.id, owner(&slots, path, &scope, &rule.id)?)));
        let taken = rival.map(|(rule, other)| taken(rule, other));
        let rules = rules_of(&candidate.live);
        let entry = Entry { file: &shown, digest };
        let mut changes = Changes::default();
        let slot = slots.get_mut(path)?;
        (slot.candidate, slot.shadowing) = (None, None);
        if step == "live-shadow" {
            self.note_shadow(&shown, None);
        }
        let named = step;
        let step = |outcome, reason: &str| {
            let mut step = entry.step(named, outcome, reason);
            step.detail = detail.as_deref().map(Arc::from);
            step
        };
        match (decision, taken) {
            (_, Some(refused)) => {
                changes.refused.push((shown.clone(), refused.reason.clone()));
                let steps = vec![entry.step(named, StepOutcome::Failed, refused.reason.as_str())];
                self.write(Vec::new(), steps);
                slot.refusal = Some(refused.refusal(digest, &candidate.live.signed.mark));
            }
            (Decision::Promote(why), None) => {
                self.keep(digest, &candidate.bytes, &candidate.live.signed);
                let steps = vec![step(StepOutcome::Passed, &why)];
                self.take_over(slot, &shown, candidate.live, &why, steps);
                changes.scopes.insert(scope);
                changes.live.push(shown.clone());
            }
            (Decision::Shadow { why, until, waits }, None) => {
                self.keep(digest, &candidate.bytes, &candidate.live.signed);
                let note = ShadowNote {
                    digest: digest.to_owned(),
                    until,
                    waits: waits.clone(),
                    ..ShadowNote::default()
                };
                self.note_shadow(&shown, Some(&note));
                let row = entry.stands(VersionState::Shadow, &why, rules);
                let shadow = Shadowing {
                    candidate,
                    since: row.since,
                    until,
                    waits,
                };
                let mut versions: Vec<VersionRow> = superseded(slot, &entry).into_iter().collect();
                versions.push(row);
                self.write(versions, vec![step(StepOutcome::Passed, &why)]);
                changes.shadow.push((shown, shadow.words()));
                slot.shadowing = Some(shadow);
            }
            (Decision::Wait(why), None) => {
                self.keep(digest, &candidate.bytes, &candidate.live.signed);
                let row = entry.stands(VersionState::Waiting, &why, rules.clone());
                let mut versions: Vec<VersionRow> = superseded(slot, &entry).into_iter().collect();
                slot.waiting = Some(Waiting {
                    digest: digest.to_owned(),
                    reason: why.clone(),
                    rules,
                    since: row.since,
                });
                versions.push(row);
                self.write(versions, vec![step(StepOutcome::Waits, &why)]);
                changes.waiting.push((shown.clone(), why));
            }
            (Decision::Refuse(why), None) => {
                let refused = Refused::new(SHADOW, &why);
                let row = entry.stands(VersionState::Refused, &refused.reason, rules);
                self.write(vec![row], vec![step(StepOutcome::Failed, &refused.reason)]);
                changes.refused.push((shown.clone(), refused.reason.clone()));
                slot.refusal = Some(refused.refusal(digest, &candidate.live.signed.mark));
            }
            (Decision::Postpone(code, why), None) => {
                let refused = Refused::passing(code, &why);
                changes.refused.push((shown.clone(), refused.reason.clone()));
                if let Some(books) = &self.books {
                    books.write_news(step(StepOutcome::Failed, &refused.reason));
                }
                slot.refusal = Some(refused.refusal(digest, &candidate.live.signed.mark));
            }
        }
        self.slots.store(Arc::new(slots));
        Some(changes)
    }

    /// A version judges from now on; the one before can be gone back to.
    fn take_over(&self, slot: &mut Slot, shown: &str, live: Arc<Live>, why: &str, mut steps: Vec<StepRow>) {
        let entry = Entry {
            file: shown,
            digest: &live.module.digest,
        };
        let mut versions: Vec<VersionRow> = superseded(slot, &entry).into_iter().collect();
        if let Some(before) = slot
            .live
            .take()
            .filter(|before| before.module.digest != live.module.digest)
        {
            let of = Entry {
                file: shown,
                digest: &before.module.digest,
            };
            let why = format!("replaced by {}", entry.digest);
            versions.push(of.stands(VersionState::Replaced, &why, rules_of(&before)));
            slot.previous = Some(before);
        }
        versions.push(entry.stands(VersionState::Live, why, rules_of(&live)));
        steps.push(entry.step("live", StepOutcome::Passed, why));
        self.write(versions, steps);
        slot.refusal = None;
        slot.since = when::now();
        slot.live = Some(live);
        if slot.shadowing.take().is_some() {
            self.note_shadow(shown, None);
        }
    }

    /// The version that waits goes live, or the content that lies in the file is tried once more and goes live though its
    /// alerts differ. The path of a candidate, if there is one to try first.
    ///
    /// # Errors
    /// There is nothing to promote, or it does not pass any more.
    pub(crate) fn promote(&self, path: &Path, why: &str) -> Result<(Changes, Option<PathBuf>), NotDone> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots().as_ref().clone();
        let shown = path.display().to_string();
        let slot = slots
            .get(path)
            .cloned()
            .ok_or_else(|| NotDone(format!("there is no {shown}")))?;
        // What is in shadow has passed all that can be waited for.
        let passed = slot
            .shadowing
            .as_ref()
            .map(|shadow| shadow.candidate.live.module.digest.to_string());
        let passed = passed.or_else(|| slot.waiting.as_ref().map(|waiting| waiting.digest.clone()));
        let (digest, is_waiting) = match (passed, &slot.refusal, &slot.candidate) {
            (Some(passed), _, _) => (passed, true),
            (None, Some(refusal), _) => (refusal.digest.clone(), false),
            (None, None, Some(_)) => {
                if let Some(candidate) = slots.get_mut(path).and_then(|slot| slot.candidate.as_mut()) {
                    candidate.is_asked_for = true;
                }
                self.slots.store(Arc::new(slots));
                return Ok((Changes::default(), Some(path.to_owned())));
            }
            (None, None, None) => {
                return Err(NotDone(format!(
                    "nothing of {shown} waits: what lies there is what judges"
                )));
            }
        };
        let bytes = self.content(path, &digest).map_err(NotDone)?;
        let signed = self.signed(path, &digest);
        let examined = signed.and_then(|signed| self.examine(path, &slot.scope, &bytes, signed, &slots));
        let live = examined.map_err(|refused| NotDone(refused.reason))?;
        let mut changes = Changes::default();
        let Some(slot) = slots.get_mut(path) else {
            return Err(NotDone(format!("there is no {shown}")));
        };
        let entry = Entry {
            file: &shown,
            digest: &digest,
        };
        let steps = vec![entry.step("promote", StepOutcome::Passed, why)];
        let candidate = if is_waiting {
            self.keep(&digest, &bytes, &live.signed);
            self.take_over(slot, &shown, live, why, steps);
            changes.scopes.insert(slot.scope.clone());
            changes.live.push(shown);
            None
        } else {
            self.write(Vec::new(), steps);
            slot.refusal = None;
            slot.candidate = Some(Candidate {
                live,
                bytes: bytes.into(),
                is_asked_for: true,
            });
            Some(path.to_owned())
        };
        self.slots.store(Arc::new(slots));
        Ok((changes, candidate))
    }

    /// Goes back to the version that judged before. Gives what changed, and the digest of what judges now.
    ///
    /// # Errors
    /// There is none, or it does not pass any more.
    pub(crate) fn roll_back(&self, path: &Path, why: &str) -> Result<(Changes, String), NotDone> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots().as_ref().clone();
        let shown = path.display().to_string();
        let nothing = || NotDone(format!("{shown} has no earlier version to go back to"));
        let slot = slots.get(path).cloned().ok_or_else(nothing)?;
        let bad = slot.live.clone().ok_or_else(nothing)?;
        let rows = self.rows();
        let is_good = |row: &&VersionRow| *row.file == *shown && row.state == VersionState::Replaced;
        let good = rows.iter().rev().find(is_good).ok_or_else(nothing)?;
        let at_hand = slot
            .previous
            .as_ref()
            .filter(|previous| previous.module.digest == good.digest);
        // Whoever signed it may not be trusted any more.
        let signed = self.signed(path, &good.digest);
        let signed =
            signed.map_err(|refused| NotDone(format!("{} cannot come back: {}", good.digest, refused.reason)))?;
        let live = match at_hand {
            Some(live) => live.signed_by(signed),
            None => {
                let bytes = self.content(path, &good.digest).map_err(NotDone)?;
                let examined = self.examine(path, &slot.scope, &bytes, signed, &slots);
                examined.map_err(|refused| NotDone(refused.reason))?
            }
        };
        let (taken_back, back) = (
            Entry {
                file: &shown,
                digest: &bad.module.digest,
            },
            Entry {
                file: &shown,
                digest: &good.digest,
            },
        );
        let reason = format!("{ROLLED_BACK}: {why}");
        let again = format!("live again: {} was taken back", bad.module.digest);
        self.write(
            vec![
                taken_back.stands(VersionState::RolledBack, &reason, rules_of(&bad)),
                back.stands(VersionState::Live, &again, good.rules.clone()),
            ],
            vec![
                taken_back.step("rollback", StepOutcome::Failed, why),
                back.step("live", StepOutcome::Passed, again.as_str()),
            ],
        );
        let mut changes = Changes::default();
        changes.scopes.insert(slot.scope.clone());
        changes.live.push(shown.clone());
        if let Some(slot) = slots.get_mut(path) {
            let refused = Refused::told(ROLLED_BACK, reason);
            slot.refusal = Some(refused.refusal(&*bad.module.digest, &bad.signed.mark));
            slot.since = when::now();
            (slot.live, slot.previous) = (Some(live), None);
        }
        let now = good.digest.to_string();
        self.slots.store(Arc::new(slots));
        Ok((changes, now))
    }

    /// Stops a rule where it stands, or lets it go on (`pause` none). False: it was so already.
    ///
    /// # Errors
    /// It cannot be written down.
    pub(crate) fn pause(&self, rule: &str, pause: Option<Pause>) -> anyhow::Result<bool> {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pauses = self.pauses().as_ref().clone();
        let changed = match pause {
            Some(_) if pauses.contains_key(rule) => false,
            Some(pause) => pauses.insert(rule.to_owned(), pause).is_none(),
            None => pauses.remove(rule).is_some(),
        };
        if changed {
            if let Some(books) = &self.books {
                books.set_pauses(&pauses)?;
            }
            self.pauses.store(Arc::new(pauses));
        }
        Ok(changed)
    }

    /// Writes down a step of the version that judges.
    pub(crate) fn step(&self, path: &Path, step: &str, outcome: StepOutcome, reason: &str) {
        let slots = self.slots();
        let live = slots.get(path).and_then(|slot| slot.live.as_ref());
        if let Some(live) = live {
            self.step_of(path, &live.module.digest, step, outcome, reason);
        }
    }

    /// Writes down a step of any version.
    pub(crate) fn step_of(&self, path: &Path, digest: &str, step: &str, outcome: StepOutcome, reason: &str) {
        let entry = Entry {
            file: &path.display().to_string(),
            digest,
        };
        self.write(Vec::new(), vec![entry.step(step, outcome, reason)]);
    }

    /// Whether a version that judges since then (wall clock, ms) has been watched to the end.
    pub(crate) fn was_watched(&self, path: &Path, digest: &str, since: i64) -> bool {
        let steps = self
            .books
            .as_ref()
            .map(|books| books.steps(&path.display().to_string()));
        let ended = |step: &StepRow| *step.digest == *digest && &*step.step == "watch" && step.time >= since;
        steps.unwrap_or_default().iter().any(ended)
    }

    /// Whether there is a version of this file to go back to.
    pub(crate) fn can_roll_back(&self, path: &Path) -> bool {
        let shown = path.display().to_string();
        let rows = self.rows();
        rows.iter()
            .any(|row| *row.file == *shown && row.state == VersionState::Replaced)
    }

    /// What is live: file, scope, module, and since when (wall clock, ms).
    pub(crate) fn in_force(&self) -> Vec<(PathBuf, Scope, Arc<Live>, i64)> {
        let slots = self.slots();
        let live = slots.iter().filter_map(|(path, slot)| {
            let live = slot.live.clone()?;
            Some((path.clone(), slot.scope.clone(), live, slot.since))
        });
        live.collect()
    }

    /// Who signed a version: by what lies beside its file, or, where the file holds another, by the signature it is kept with.
    fn signed(&self, path: &Path, digest: &str) -> Result<Signed, Refused> {
        let terms = self.terms();
        let file = terms.directory.join(path);
        match files::read(&file, self.engine.most_bytes()) {
            Ok(Content::Bytes(bytes)) if Engine::digest(&bytes) == digest => Beside::read(&file, &terms.signatures)
                .check(path, &bytes, &terms.signatures)
                .map_err(|why| Refused::new("signature", why)),
            _ => self
                .kept_signature(path, digest, &terms.signatures)
                .map_err(|why| Refused::told("signature", why)),
        }
    }

    /// Content by its digest: as it is kept, else as it lies in the file.
    fn content(&self, path: &Path, digest: &str) -> Result<Vec<u8>, String> {
        let kept = match &self.books {
            Some(books) => books
                .archive
                .read(digest)
                .map_err(|error| format!("its content cannot be read: {error}"))?,
            None => None,
        };
        if let Some(bytes) = kept {
            return Ok(bytes);
        }
        match files::read(&self.terms().directory.join(path), self.engine.most_bytes()) {
            Ok(Content::Bytes(bytes)) if Engine::digest(&bytes) == digest => Ok(bytes),
            _ => Err(format!(
                "its content is gone: {digest} is neither kept nor what lies in {}",
                path.display()
            )),
        }
    }

    /// A version of any time, by its digest; whoever signed it then.
    ///
    /// # Errors
    /// Its content is not kept any more, or cannot be loaded.
    pub(crate) fn past(&self, digest: &str) -> Result<Arc<Live>, String> {
        let rows = self.rows();
        let row = rows.iter().rev().find(|row| *row.digest == *digest);
        let path = row.map_or_else(PathBuf::new, |row| PathBuf::from(&*row.file));
        let bytes = self.content(&path, digest)?;
        let shown = path.display().to_string();
        let policy = self.terms().sandbox.module(&shown);
        let module = self.engine.load_under(&bytes, policy.limits);
        let module = module.map_err(|rejected| Refused::from(rejected).reason)?;
        Live::new(Arc::new(module), shown, policy, 0, Signed::default()).map(Arc::new)
    }

    /// Whether something was refused for what may be otherwise soon.
    pub(crate) fn is_to_be_tried_again(&self) -> bool {
        let slots = self.slots();
        slots
            .values()
            .any(|slot| slot.refusal.as_ref().is_some_and(|refusal| refusal.is_passing))
    }

    /// Files whose content is being tried.
    pub(crate) fn candidates(&self) -> BTreeSet<PathBuf> {
        let slots = self.slots();
        let with = slots.iter().filter(|(_, slot)| slot.candidate.is_some());
        with.map(|(path, _)| path.clone()).collect()
    }
}

/// What becomes of the version that waits when another of its file waits or judges.
fn superseded(slot: &mut Slot, by: &Entry<'_>) -> Option<VersionRow> {
    let waiting = slot.waiting.take().filter(|waiting| waiting.digest != *by.digest)?;
    let of = Entry {
        file: by.file,
        digest: &waiting.digest,
    };
    Some(of.stands(VersionState::Retired, "another version took its place", waiting.rules))
}
