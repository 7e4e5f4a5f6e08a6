//! The path of a new version, from its own tests on: it is shown stored events beside the version that it replaces, what both
//! did is compared, and by the operator's policy it takes over, waits, or is refused; then it is watched, and taken back if it
//! fails.
//!
//! Trials run in tasks of their own, one at a time, and hold nothing that anybody else waits for: rules judge, reloads and
//! rollbacks happen meanwhile. A file that changes again ends the trial of what it held before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_contract::evaluate::grouped;
use picket_judge::pipeline::RuleSpec;
use picket_judge::{Mode, OnPoison, shadow};
use picket_store::{EventFilter, StepOutcome, Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Daemon, Running, lock, say};
use crate::audit::{self, Change, Who};
use crate::config::ReloadPolicy;
use crate::control::VersionVerb;
use crate::probation::Watched;
use crate::registry::{Candidate, Changes, Decision, Live, NotDone, Pause, Scope};
use crate::trial::{Basis, Trial};
use crate::when;

/// How often, beside every failure, those who are watched are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a refusal that may be over soon it is tried again, at first; twice as long each time.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// Trials under way.
#[derive(Debug)]
pub(super) struct Trials {
    under_way: Mutex<BTreeMap<PathBuf, UnderWay>>,
    one: Arc<Semaphore>,
}

impl Default for Trials {
    fn default() -> Self {
        Trials {
            under_way: Mutex::default(),
            one: Arc::new(Semaphore::new(1)),
        }
    }
}

#[derive(Debug, Clone)]
struct UnderWay {
    digest: Arc<str>,
    is_wanted: Arc<AtomicBool>,
    /// What came of it, when it has ended.
    ended: Ended,
}

/// What will have come of a trial.
pub(super) type Ended = watch::Receiver<Option<Arc<Changes>>>;

impl Daemon {
    /// Has the candidates tried. Nobody waits for it here; what is tried already goes on.
    pub(super) fn try_out(&self, candidates: impl IntoIterator<Item = PathBuf>) {
        let mut under_way = lock(&self.trials.under_way);
        under_way.retain(|_, trial| trial.ended.borrow().is_none());
        for path in candidates {
            let (Some((candidate, ..)), Some(daemon)) = (self.registry.candidate(&path), self.me.upgrade()) else {
                continue;
            };
            let digest = candidate.live.module.digest.clone();
            if let Some(before) = under_way.get(&path) {
                if before.digest == digest && before.is_wanted.load(Ordering::Acquire) {
                    continue;
                }
                before.is_wanted.store(false, Ordering::Release);
            }
            let (tell, ended) = watch::channel(None);
            let is_wanted = Arc::new(AtomicBool::new(true));
            let trial = UnderWay {
                digest: digest.clone(),
                is_wanted: is_wanted.clone(),
                ended,
            };
            under_way.insert(path.clone(), trial);
            let one = self.trials.one.clone();
            tokio::spawn(async move {
                let _one = one.acquire_owned().await;
                let changes = daemon.try_one(&path, &digest, is_wanted).await;
                // Nobody may wait for it.
                let _ = tell.send(Some(Arc::new(changes)));
            });
        }
    }

    /// Trials under way, whoever asked for them.
    pub(super) fn trials_under_way(&self) -> Vec<Ended> {
        lock(&self.trials.under_way)
            .values()
            .map(|trial| trial.ended.clone())
            .collect()
    }

    /// Nobody waits for the end of trials at a shutdown.
    pub(super) fn stop_trials(&self) {
        for trial in lock(&self.trials.under_way).values() {
            trial.is_wanted.store(false, Ordering::Release);
        }
    }

    async fn try_one(&self, path: &Path, digest: &Arc<str>, is_wanted: Arc<AtomicBool>) -> Changes {
        let found = self.registry.candidate(path);
        let is_it = |candidate: &Candidate| candidate.live.module.digest == *digest;
        let Some((candidate, before, scope)) = found.filter(|(candidate, ..)| is_it(candidate)) else {
            return Changes::default();
        };
        let file = path.display().to_string();
        let policy = self.config().reload.of(&file);
        let (store, tenants) = (self.store.clone(), self.fleet.running());
        let (new, old, wanted) = (candidate.live.clone(), before.clone(), is_wanted.clone());
        let fuel = self.config().sandbox.fuel_per_minute;
        let run = move || run(&store, &tenants, &scope, (old.as_ref(), &new), &policy, fuel, &wanted);
        let ran = tokio::task::spawn_blocking(run).await;
        if !is_wanted.load(Ordering::Acquire) {
            return Changes::default();
        }
        let (decision, detail) = match ran {
            Ok(Ok(trial)) => {
                // Somebody may have asked for it by name meanwhile.
                let now = self.registry.candidate(path);
                let is_asked_for = now.is_some_and(|(candidate, ..)| candidate.is_asked_for);
                let (decision, detail) = trial.decide(&policy, is_asked_for, &file);
                let span = policy.live_span(before.is_some());
                let decision = match decision {
                    decision if span == 0 || is_asked_for => decision,
                    decision => in_shadow(decision, when::now().saturating_add(span)),
                };
                (decision, Some(detail.to_string()))
            }
            Ok(Err(decision)) => (decision, None),
            Err(error) => {
                let why = format!("the run on stored events ended before its time: {error}");
                (Decision::Postpone("shadow", why), None)
            }
        };
        self.settle(path, digest, decision, detail, &policy).await
    }

    /// Has a decision take effect; what came of it.
    pub(super) async fn settle(
        &self,
        path: &Path,
        digest: &Arc<str>,
        decision: Decision,
        detail: Option<String>,
        policy: &ReloadPolicy,
    ) -> Changes {
        let _one = self.reloading.lock().await;
        let Some(changes) = self.registry.settle(path, digest, decision, detail) else {
            return Changes::default();
        };
        say(&changes);
        if !changes.live.is_empty() {
            self.watch_over(path, digest, policy, when::now());
        }
        self.in_force(&changes).await;
        self.shadow_live();
        changes
    }

    /// From now on a version that has taken another's place is watched.
    fn watch_over(&self, path: &Path, digest: &Arc<str>, policy: &ReloadPolicy, since: i64) {
        let probation = &self.counts.probation;
        if (policy.watch > 0 || policy.batches > 0) && self.registry.can_roll_back(path) {
            let until = since.saturating_add(policy.watch);
            probation.begin(path, digest.clone(), (until, policy.batches), policy.failures);
        } else {
            probation.end(path);
        }
        self.registry.watch(probation.digests());
    }

    /// Watches those again that were watched when the daemon ended.
    pub(super) fn watch_again(&self) {
        for (path, _, live, since) in self.registry.in_force() {
            let policy = self.config().reload.of(&path.display().to_string());
            let is_due = when::now() < since.saturating_add(policy.watch);
            // How many batches it judged before is not known any more.
            if is_due || (policy.batches > 0 && !self.registry.was_watched(&path, &live.module.digest, since)) {
                self.watch_over(&path, &live.module.digest, &policy, since);
            }
        }
    }

    /// Takes back a version that failed, unless another has taken its place by now.
    async fn take_back(&self, path: &Path, failed: &Watched) {
        let digest = &*failed.digest;
        let _one = self.reloading.lock().await;
        let is_live =
            |(live, _, found, _): &(PathBuf, Scope, Arc<Live>, i64)| *live == *path && *found.module.digest == *digest;
        if !self.registry.in_force().iter().any(is_live) {
            return;
        }
        let why = failed.failures.join("; ");
        let words = format!("{why} (in {})", batches(failed.batches()));
        self.registry.step(path, "watch", StepOutcome::Failed, &words);
        match self.registry.roll_back(path, &why) {
            Ok((changes, now)) => {
                tracing::error!(module = %path.display(), digest, now, "the new version failed and was taken back: {why}");
                self.note(
                    Who::picket(),
                    of_module(path, "rollback"),
                    Some(digest),
                    Some(&now),
                    &why,
                );
                self.in_force(&changes).await;
                // It judged until now.
                let ended = self.counts.probation.end(path).map_or(0, |ended| ended.since_limit());
                let words = format!("it judges no more; {} after the failure", batches(ended));
                self.registry
                    .step_of(path, digest, "ended", StepOutcome::Passed, &words);
            }
            Err(NotDone(not)) => {
                self.counts.probation.end(path);
                tracing::error!(module = %path.display(), digest, "the new version failed and cannot be taken back: {not}; {why}");
                self.registry.step(path, "rollback", StepOutcome::Failed, &not);
            }
        }
        self.registry.watch(self.counts.probation.digests());
    }

    /// What somebody asks of a rule or a module by its name: `done`, and what was done or is in its way, in words.
    pub(super) async fn version(
        &self,
        verb: VersionVerb,
        name: &str,
        reason: &str,
        uid: Option<u32>,
    ) -> anyhow::Result<Value> {
        let who = Who::asked(uid, verb.name());
        let answer = |done: bool, text: String| Ok(json!({"done": done, "text": text}));
        let done = match verb {
            VersionVerb::Promote => self.promote(name, reason, who).await?,
            VersionVerb::Rollback => self.roll_back(name, reason, who).await?,
            VersionVerb::Pause | VersionVerb::Resume => {
                let is_pause = verb == VersionVerb::Pause;
                self.pause(name, is_pause, reason, who).await?
            }
        };
        match done {
            Ok(text) => answer(true, text),
            Err(NotDone(text)) => answer(false, text),
        }
    }

    async fn promote(&self, name: &str, reason: &str, who: Who) -> anyhow::Result<Result<String, NotDone>> {
        let path = self.registry.file(name).map_err(anyhow::Error::msg)?;
        let why = said(&format!("promoted by {}", who.words()), reason);
        let tried = {
            let _one = self.reloading.lock().await;
            let (registry, of, words) = (self.registry.clone(), path.clone(), why.clone());
            let promoted = tokio::task::spawn_blocking(move || registry.promote(&of, &words)).await?;
            let (changes, candidate) = match promoted {
                Ok(promoted) => promoted,
                Err(not) => return Ok(Err(not)),
            };
            if candidate.is_none() {
                let now = self.live_digest(&path).unwrap_or_default();
                let policy = self.config().reload.of(&path.display().to_string());
                self.watch_over(&path, &now, &policy, when::now());
                say(&changes);
                self.in_force(&changes).await;
                self.note(who, of_module(&path, "promote"), None, Some(&now), reason);
                return Ok(Ok(format!("{} is live: {now}", path.display())));
            }
            candidate
        };
        // It is tried once more, and goes live though its alerts differ.
        self.try_out(tried);
        let mut live = false;
        let mut why_not = Vec::new();
        for ended in self.trials_under_way() {
            let changes = end_of(ended).await;
            let shown = path.display().to_string();
            live |= changes.live.contains(&shown);
            let of_it = changes.refused.iter().chain(&changes.waiting);
            why_not.extend(of_it.filter(|(file, _)| *file == shown).map(|(_, why)| why.clone()));
        }
        if live {
            let now = self.live_digest(&path).unwrap_or_default();
            self.note(who, of_module(&path, "promote"), None, Some(&now), reason);
            return Ok(Ok(format!("{} is live: {now}", path.display())));
        }
        let why_not = why_not.pop().unwrap_or_else(|| "its file changed meanwhile".to_owned());
        Ok(Err(NotDone(format!("{} does not go live: {why_not}", path.display()))))
    }

    async fn roll_back(&self, name: &str, reason: &str, who: Who) -> anyhow::Result<Result<String, NotDone>> {
        let path = self.registry.file(name).map_err(anyhow::Error::msg)?;
        let _one = self.reloading.lock().await;
        let before = self.live_digest(&path).unwrap_or_default();
        let why = said(&format!("taken back by {}", who.words()), reason);
        let (registry, of) = (self.registry.clone(), path.clone());
        let rolled = tokio::task::spawn_blocking(move || registry.roll_back(&of, &why)).await?;
        let (changes, now) = match rolled {
            Ok(rolled) => rolled,
            Err(not) => return Ok(Err(not)),
        };
        self.counts.probation.end(&path);
        self.registry.watch(self.counts.probation.digests());
        self.in_force(&changes).await;
        self.note(who, of_module(&path, "rollback"), Some(&before), Some(&now), reason);
        Ok(Ok(format!(
            "{} is back at {now}; {before} is not tried again unless it is promoted",
            path.display()
        )))
    }

    async fn pause(
        &self,
        name: &str,
        is_pause: bool,
        reason: &str,
        who: Who,
    ) -> anyhow::Result<Result<String, NotDone>> {
        let rules: Vec<String> = if self.registry.has_rule(name) || self.registry.pauses().contains_key(name) {
            vec![name.to_owned()]
        } else {
            let path = self.registry.file(name).map_err(anyhow::Error::msg)?;
            let live = self.registry.in_force();
            let of_file = live.iter().filter(|(file, ..)| *file == path);
            of_file
                .flat_map(|(_, _, live, _)| live.rules.iter().map(|(rule, _)| rule.id.clone()))
                .collect()
        };
        let _one = self.reloading.lock().await;
        let mut changed = Vec::new();
        for rule in &rules {
            let pause = is_pause.then(|| Pause {
                since: when::now(),
                by: who.words(),
                reason: reason.to_owned(),
            });
            if self.registry.pause(rule, pause)? {
                changed.push(rule.clone());
                for (path, _, live, _) in self.registry.in_force() {
                    if live.rules.iter().any(|(of, _)| of.id == *rule) {
                        let step = if is_pause { "pause" } else { "resume" };
                        let words = said(&format!("{rule} by {}", who.words()), reason);
                        self.registry.step(&path, step, StepOutcome::Passed, &words);
                    }
                }
                let (before, after) = if is_pause {
                    (None, Some("paused"))
                } else {
                    (Some("paused"), None)
                };
                self.note(who.clone(), format!("rule {rule}"), before, after, reason);
            }
        }
        if !changed.is_empty() {
            self.in_force(&Changes::of_all()).await;
        }
        let configured = self.paused_by_configuration(&rules);
        let words = match (is_pause, changed.is_empty()) {
            (true, false) => format!("{} stops where it stands, and misses nothing", changed.join(", ")),
            (true, true) => format!("{} was paused already", rules.join(", ")),
            (false, false) => format!("{} goes on from where it stopped", changed.join(", ")),
            (false, true) => format!("nobody has paused {} with `picket rule pause`", rules.join(", ")),
        };
        Ok(match configured.as_str() {
            "" if !changed.is_empty() || is_pause => Ok(words),
            "" => Err(NotDone(words)),
            _ if is_pause => Ok(format!("{words}; {configured}, too")),
            _ => Err(NotDone(format!("{words}; {configured}: take `mode: paused` out there"))),
        })
    }

    /// Who pauses these rules in the configuration, in words; empty: nobody.
    fn paused_by_configuration(&self, rules: &[String]) -> String {
        let mut by = Vec::new();
        for tenant in self.fleet.running() {
            let config = tenant.config();
            let is_paused = |rule: &String| config.overrides.get(rule).and_then(|own| own.mode) == Some(Mode::Paused);
            if rules.iter().any(is_paused) {
                by.push(tenant.id.to_string());
            }
        }
        if by.is_empty() {
            return String::new();
        }
        format!("the configuration pauses it for {}", by.join(", "))
    }

    fn live_digest(&self, path: &Path) -> Option<Arc<str>> {
        let live = self.registry.in_force();
        let found = live.into_iter().find(|(file, ..)| *file == *path);
        found.map(|(_, _, live, _)| live.module.digest.clone())
    }

    /// An entry of the audit log.
    fn note(&self, who: Who, what: String, before: Option<&str>, after: Option<&str>, reason: &str) {
        let change = Change {
            who,
            tenant: String::new(),
            what,
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            reason: reason.to_owned(),
        };
        audit::write(&*self.store, vec![change]);
    }
}

/// What came of a trial. One that ended with the daemon changed nothing.
pub(super) async fn end_of(mut ended: Ended) -> Arc<Changes> {
    let ended = ended.wait_for(Option::is_some).await;
    ended.ok().and_then(|changes| changes.clone()).unwrap_or_default()
}

/// Looks after new versions: takes back those that fail, and lets go of those whose time is over.
pub(super) async fn watch_versions(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = daemon.counts.probation.due() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        for (path, watched) in daemon.counts.probation.failed() {
            daemon.take_back(&path, &watched).await;
        }
        let over = daemon.counts.probation.over(when::now());
        for (path, watched) in &over {
            let words = match watched.failures.len() {
                0 => format!(
                    "no failure while it was watched, in {}: it stays",
                    batches(watched.batches())
                ),
                some => format!(
                    "{} failures in {}, fewer than `failures: {}`: it stays",
                    grouped(some as u64),
                    batches(watched.batches()),
                    watched.limit
                ),
            };
            daemon.registry.step(path, "watch", StepOutcome::Passed, &words);
        }
        if over.is_empty() {
            continue;
        }
        daemon.registry.watch(daemon.counts.probation.digests());
        // Where rows are skipped by policy, that holds again.
        let live = daemon.registry.in_force();
        let skips = |(path, ..): &(PathBuf, Scope, Arc<Live>, i64), live: &Arc<Live>| {
            live.policy.on_poison == OnPoison::Skip && over.iter().any(|(of, _)| of == path)
        };
        if live.iter().any(|module| skips(module, &module.2)) {
            let _one = daemon.reloading.lock().await;
            daemon.in_force(&Changes::of_all()).await;
        }
    }
}

/// Tries again by itself what was refused for what may be otherwise soon (a compiler that found no processor or memory), ever
/// more rarely.
pub(super) async fn try_again(daemon: Arc<Daemon>, shutdown: CancellationToken) {
    let mut attempts = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(again_after(attempts)) => {}
        }
        if !daemon.registry.is_to_be_tried_again() {
            attempts = 0;
            continue;
        }
        attempts += 1;
        if let Err(error) = daemon.reload_rules().await {
            tracing::error!("reload: {error:#}");
        }
    }
}

/// How long after so many attempts the next comes.
fn again_after(attempts: u32) -> Duration {
    AGAIN.saturating_mul(1 << attempts.min(16)).min(AGAIN_AT_MOST)
}

/// `1 batch`.
fn batches(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "batch" } else { "batches" })
}

/// Shows stored events of the tenants concerned to both versions.
fn run(
    store: &Arc<dyn Store>,
    tenants: &[Arc<Running>],
    scope: &Scope,
    (old, new): (Option<&Arc<Live>>, &Arc<Live>),
    policy: &ReloadPolicy,
    most_fuel: u64,
    is_wanted: &AtomicBool,
) -> Result<Trial, Decision> {
    let rule = |live: &Arc<Live>| live.rules.iter().map(|(rule, _)| rule.id.clone()).collect();
    let mut trial = Trial {
        known: old.map(rule).unwrap_or_default(),
        runs: Vec::new(),
        basis: Basis::Stored,
    };
    let mut sides: Vec<(&Arc<Running>, Vec<RuleSpec>, Vec<RuleSpec>)> = Vec::new();
    for tenant in tenants.iter().filter(|tenant| scope.covers(&tenant.id)) {
        // Parameters of every tenant have to fit, also where no events are shown.
        let specs = tenant.judged_by(new).map_err(|wrong| {
            Decision::Postpone(
                "overrides",
                format!("what {} says of it does not fit: {wrong:#}", tenant.id),
            )
        })?;
        let before = old.map(|old| tenant.judged_by(old).unwrap_or_default());
        sides.push((tenant, before.unwrap_or_default(), specs));
    }
    let history = if old.is_some() {
        policy.history
    } else {
        policy.new_history
    };
    if history == 0 {
        return Ok(trial);
    }
    let failed =
        |error: &dyn std::fmt::Display| Decision::Postpone("shadow", format!("stored events cannot be shown: {error}"));
    let mut with_events = Vec::new();
    for side in sides {
        let events = store.last_seq(&side.0.id).map_err(|error| failed(&error))?;
        with_events.push((events, side));
    }
    with_events.sort_by_key(|(events, _)| std::cmp::Reverse(*events));
    for (_, (tenant, old, new)) in with_events.iter().take(policy.tenants) {
        let until = until_latest(store, tenant).map_err(|error| failed(&error))?;
        let what = shadow::Run {
            store,
            tenant: tenant.pipeline.tenant(),
            settings: tenant.pipeline.settings(),
            old,
            new,
            from: until.saturating_sub(history),
            most_events: policy.events,
            most_fuel,
            now: tenant.pipeline.now(),
        };
        let ran = shadow::run(what, || is_wanted.load(Ordering::Acquire)).map_err(|error| failed(&error))?;
        trial.runs.push((tenant.id.to_string(), ran));
        if !is_wanted.load(Ordering::Acquire) {
            break;
        }
    }
    Ok(trial)
}

/// When the latest stored event is, order time, ms: where nothing has been collected for days, it is the last day that was.
pub(super) fn until_latest(store: &Arc<dyn Store>, tenant: &Running) -> Result<i64, StoreError> {
    let now = tenant.pipeline.now();
    let last = EventFilter {
        tail: Some(1),
        ..EventFilter::default()
    };
    let latest = store.search(&tenant.id, &last)?;
    Ok(latest.last().map_or(now, |latest| latest.event.time.min(now)))
}

/// What passed on stored events, or would wait for somebody, judges live ones first until then (wall clock, ms).
fn in_shadow(decision: Decision, until: i64) -> Decision {
    match decision {
        Decision::Promote(why) => Decision::Shadow {
            why,
            until,
            waits: None,
        },
        Decision::Wait(why) => Decision::Shadow {
            why: why.clone(),
            until,
            waits: Some(why),
        },
        other => other,
    }
}

/// What was done to a module, as the audit log has it.
fn of_module(path: &Path, verb: &str) -> String {
    format!("module {}: {verb}", path.display())
}

/// A sentence, and the words of whoever did it.
fn said(sentence: &str, reason: &str) -> String {
    if reason.is_empty() {
        sentence.to_owned()
    } else {
        format!("{sentence}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_over_soon_is_tried_again_ever_more_rarely() {
        let waits: Vec<u64> = [0, 1, 2, 6, 7, 1000]
            .map(|attempts| again_after(attempts).as_secs())
            .into();
        assert_eq!(waits, [5, 10, 20, 320, 600, 600]);
    }
}
