//! Live shadow: a version that passed on stored events judges what comes beside the one it is to replace, for as long as the
//! operator says, before it takes over or waits to be promoted.
//!
//! It reads the journal after live judging has written it, with a memory of its own that begins with a look-back, and so does
//! the version before, so that neither is on better footing. Nothing of it goes to the store but a note of where it began and
//! what it has found: all that it finds follows from that and the journal, so a daemon that starts anew reads the same stretch
//! again and finds the same. A failure, or fuel beyond the factor, ends it at once; else it is compared at the end, as a trial
//! is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::versions::until_latest;
use super::{Daemon, Running, lock};
use crate::config::ReloadPolicy;
use crate::registry::{Decision, Live, Scope, ShadowNote, Shadowing};
use crate::trial::{Basis, Trial};
use crate::when;
use picket_judge::pipeline::RuleSpec;
use picket_judge::shadow::{self, Shadow};

/// How often it is looked at what has come.
const LOOK: Duration = Duration::from_secs(1);
/// How long after an error it is begun anew.
const AGAIN: Duration = Duration::from_secs(30);
/// How often, in looks, what was found is noted where nothing of it is news.
const NOTE: u32 = 10;

/// Live shadows under way: of which content, since when.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    under_way: Mutex<BTreeMap<PathBuf, (Arc<str>, i64)>>,
}

/// Which one it is: a file may hold the same content twice, at other times.
fn identity(shadow: &Shadowing) -> (Arc<str>, i64) {
    (shadow.candidate.live.module.digest.clone(), shadow.since)
}

impl Daemon {
    /// Has everything that is in shadow judge what comes. What judges already goes on.
    pub(super) fn shadow_live(&self) {
        let mut under_way = lock(&self.shadows.under_way);
        for (path, shadow) in self.registry.shadows() {
            let which = identity(&shadow);
            let Some(daemon) = self.me.upgrade().filter(|_| under_way.get(&path) != Some(&which)) else {
                continue;
            };
            under_way.insert(path.clone(), which.clone());
            tokio::spawn(async move {
                daemon.shadow_one(&path, &which).await;
                let mut under_way = lock(&daemon.shadows.under_way);
                if under_way.get(&path) == Some(&which) {
                    under_way.remove(&path);
                }
            });
        }
    }

    /// Until it is over, or is wanted no more.
    async fn shadow_one(self: &Arc<Self>, path: &Path, which: &(Arc<str>, i64)) {
        let mut beside = Beside::default();
        while !self.stopping.is_cancelled() {
            let (daemon, of, is) = (self.clone(), path.to_owned(), which.clone());
            let mut taken = std::mem::take(&mut beside);
            let looked = tokio::task::spawn_blocking(move || {
                let looked = taken.look(&daemon, &of, &is);
                (taken, looked)
            });
            let looked = match looked.await {
                Ok((back, looked)) => {
                    beside = back;
                    looked
                }
                Err(error) => Err(anyhow::anyhow!("it ended before its time: {error}")),
            };
            let mut pause = LOOK;
            match looked {
                Ok(Looked::Gone) => return,
                Ok(Looked::On) => {}
                Ok(Looked::Over(decision, detail)) => {
                    let policy = self.config().reload.of(&path.display().to_string());
                    self.settle(path, &which.0, *decision, Some(detail), &policy).await;
                    return;
                }
                Err(error) => {
                    // What was judged so far is judged again: the store may answer then.
                    tracing::warn!(module = %path.display(), "live shadow: {error:#}; it is tried again");
                    beside = Beside::default();
                    pause = AGAIN;
                }
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// What came of a look.
enum Looked {
    /// It is not in shadow any more.
    Gone,
    /// It goes on.
    On,
    /// It is decided.
    Over(Box<Decision>, String),
}

/// A live shadow at work.
#[derive(Default)]
struct Beside {
    /// None: not read yet.
    note: Option<ShadowNote>,
    tenants: BTreeMap<String, OfTenant>,
    /// Counts down to the next note.
    looks: u32,
    /// What was noted last: events, alerts and failures.
    noted: (u64, usize, i64),
}

/// Both versions on their way through a tenant's journal.
struct OfTenant {
    shadow: Shadow,
    /// Of the version before; none: there is none.
    old: Option<Arc<str>>,
    /// How often the tenant's rules had changed hands.
    swaps: u64,
}

impl Beside {
    fn look(&mut self, daemon: &Daemon, path: &Path, which: &(Arc<str>, i64)) -> anyhow::Result<Looked> {
        let is_it = |shadow: &Shadowing| identity(shadow) == *which;
        let Some((shadow, old, scope)) = daemon.registry.shadow(path).filter(|(shadow, ..)| is_it(shadow)) else {
            return Ok(Looked::Gone);
        };
        let file = path.display().to_string();
        let policy = daemon.config().reload.of(&file);
        let new = &shadow.candidate.live;
        let is_wanted = || {
            !daemon.stopping.is_cancelled() && daemon.registry.shadow(path).is_some_and(|(shadow, ..)| is_it(&shadow))
        };
        let until = shadow.since.saturating_add(policy.live_span(old.is_some()));
        if until != shadow.until {
            daemon.registry.shadow_until(path, which, until);
        }
        // Before it is looked at what there is: then everything of before that time is.
        let is_over = when::now() >= until;
        let running = daemon.fleet.running();
        let mut begins = self.begins(
            daemon,
            (&shadow, old.as_ref(), &scope),
            &running,
            (&policy, until),
            &file,
        )?;
        begins.retain(|tenant, _| running.iter().any(|running| *running.id == **tenant));
        self.tenants.retain(|tenant, _| begins.contains_key(tenant));
        for tenant in running.iter().filter(|tenant| begins.contains_key(&*tenant.id)) {
            let from = begins.get(&*tenant.id).copied().unwrap_or_default();
            self.read(daemon, tenant, (old.as_ref(), new), from, &is_wanted)?;
            if !is_wanted() {
                return Ok(Looked::Gone);
            }
        }
        let known = old
            .as_ref()
            .map(|old| old.rules.iter().map(|(rule, _)| rule.id.clone()).collect());
        let trial = Trial {
            known: known.unwrap_or_default(),
            runs: self
                .tenants
                .iter()
                .map(|(tenant, of)| (tenant.clone(), of.shadow.found().clone()))
                .collect(),
            basis: Basis::Live,
        };
        if let Some(why) = trial.stops(&policy) {
            let (_, detail) = trial.decide(&policy, false, &file);
            return Ok(Looked::Over(Box::new(Decision::Refuse(why)), detail.to_string()));
        }
        if is_over {
            let (decision, detail) = trial.decide(&policy, false, &file);
            let decision = match (decision, shadow.waits) {
                (Decision::Promote(why), Some(stored)) => Decision::Wait(format!("{why}; but {stored}")),
                (decision, _) => decision,
            };
            return Ok(Looked::Over(Box::new(decision), detail.to_string()));
        }
        self.write(daemon, &trial, &policy, &file);
        Ok(Looked::On)
    }

    /// Where it begins with each tenant: as noted, or at the journal's end, which is then noted.
    fn begins(
        &mut self,
        daemon: &Daemon,
        (shadow, old, scope): (&Shadowing, Option<&Arc<Live>>, &Scope),
        running: &[Arc<Running>],
        (policy, until): (&ReloadPolicy, i64),
        file: &str,
    ) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
        let new = &shadow.candidate.live;
        if self.note.is_none() {
            self.note = daemon.registry.shadow_note(file, &new.module.digest);
        }
        let note = self.note.get_or_insert_with(|| ShadowNote {
            digest: new.module.digest.to_string(),
            until,
            waits: shadow.waits.clone(),
            ..ShadowNote::default()
        });
        if let Some(begins) = &note.begins {
            note.until = until;
            return Ok(begins.clone());
        }
        let mut covered = Vec::new();
        for tenant in running.iter().filter(|tenant| scope.covers(&tenant.id)) {
            covered.push((daemon.store.last_seq(&tenant.id)?, tenant));
        }
        covered.sort_by_key(|(events, _)| std::cmp::Reverse(*events));
        let mut begins = BTreeMap::new();
        for (_, tenant) in covered.into_iter().take(policy.tenants) {
            let (old, new) = specs(tenant, old, new)?;
            let what = shadow::Run {
                from: until_latest(&daemon.store, tenant)?,
                most_events: policy.events,
                ..run(daemon, tenant, &old, &new)
            };
            begins.insert(tenant.id.to_string(), shadow::begins(&what)?);
        }
        note.begins = Some(begins.clone());
        daemon.registry.note_shadow(file, Some(note));
        Ok(begins)
    }

    /// Shows both what has come.
    fn read(
        &mut self,
        daemon: &Daemon,
        tenant: &Arc<Running>,
        (old, new): (Option<&Arc<Live>>, &Arc<Live>),
        from: (u64, u64),
        is_wanted: &impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let old_digest = old.map(|old| old.module.digest.clone());
        // Asked first: a change that comes after it is seen the next time.
        let swaps = tenant.swaps();
        let known = self.tenants.remove(&*tenant.id).filter(|known| known.old == old_digest);
        let mut of = match known {
            Some(known) if known.swaps == swaps => known,
            Some(mut known) => {
                let (old, new) = specs(tenant, old, new)?;
                known.shadow.judge_by(&old, &new)?;
                OfTenant { swaps, ..known }
            }
            None => {
                let (old, new) = specs(tenant, old, new)?;
                let what = run(daemon, tenant, &old, &new);
                OfTenant {
                    shadow: Shadow::begin(&what, from, u64::MAX >> 1)?,
                    old: old_digest,
                    swaps,
                }
            }
        };
        let now = tenant.pipeline.now();
        of.shadow.retry(now)?;
        let to = daemon.store.last_seq(&tenant.id)?;
        if to > of.shadow.after() {
            // It is compared with what the version before burns, after each piece.
            of.shadow.read(to, now, u64::MAX, is_wanted)?;
        }
        self.tenants.insert(tenant.id.to_string(), of);
        Ok(())
    }

    /// Notes what was found, for whoever asks: at once where it raises or fails, else now and then.
    fn write(&mut self, daemon: &Daemon, trial: &Trial, policy: &ReloadPolicy, file: &str) {
        let found = trial.runs.iter().map(|(_, run)| {
            let said = run.old.alerts.len() + run.new.alerts.len() + run.old.failures.len() + run.new.failures.len();
            (run.events, said)
        });
        let (events, said) = found.fold((0, 0), |(events, all), (more, said)| (events + more, all + said));
        let found = (events, said, self.note.as_ref().map_or(0, |note| note.until));
        self.looks = self.looks.saturating_sub(1);
        let is_news = (found.1, found.2) != (self.noted.1, self.noted.2);
        if !is_news && (self.looks > 0 || found == self.noted) {
            return;
        }
        (self.noted, self.looks) = (found, NOTE);
        if let Some(note) = &mut self.note {
            let mut found = trial.decide(policy, false, file).1;
            if let serde_json::Value::Object(found) = &mut found {
                found.insert("as_of".to_owned(), when::rfc3339(when::now()).into());
            }
            note.found = Some(found);
            daemon.registry.note_shadow(file, Some(note));
        }
    }
}

fn specs(
    tenant: &Arc<Running>,
    old: Option<&Arc<Live>>,
    new: &Arc<Live>,
) -> anyhow::Result<(Vec<RuleSpec>, Vec<RuleSpec>)> {
    let old = old.map(|old| tenant.judged_by(old)).transpose()?;
    Ok((old.unwrap_or_default(), tenant.judged_by(new)?))
}

fn run<'a>(daemon: &'a Daemon, tenant: &'a Arc<Running>, old: &'a [RuleSpec], new: &'a [RuleSpec]) -> shadow::Run<'a> {
    shadow::Run {
        store: &daemon.store,
        tenant: tenant.pipeline.tenant(),
        settings: tenant.pipeline.settings(),
        old,
        new,
        from: 0,
        most_events: 0,
        most_fuel: 0,
        now: tenant.pipeline.now(),
    }
}
