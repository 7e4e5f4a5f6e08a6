//! Another set of rules takes over, between two calls.
//!
//! A rule with the same id, state version and logs keeps its position and what it remembers. Any other begins at the journal's
//! end: with the events of its declared look-back already read (its alerts about them are counted and not kept), or with
//! nothing. What is slow is done while judging goes on: what the store knows of the rules is read, and the look-back judged,
//! before it stops; the disk is waited for after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use picket_contract::{Admission, Mark, Position, RuleState, StateChanges};
use picket_store::{Committing, GenerationRow, RuleRow, Standing, segment};

use super::load::find;
use super::{Desk, Inner, Pipeline, PipelineError, RuleSet, RuleSpec, composition};
use crate::acquaintance::Acquaintance;
use crate::dedup::Dedup;
use crate::holding::Remembered;
use crate::judge::TenantJudge;
use crate::marks::Basis;
use crate::rule::JudgedRule;

/// What a change of rules did for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwapReport {
    /// The generation that judges now.
    pub generation: u64,
    /// Journal number after which it judges.
    pub after: u64,
    /// Rules that kept position and state.
    pub kept: Vec<String>,
    /// Rules that begin, with what they begin from.
    pub begun: Vec<(String, Beginning)>,
    /// Rules that judge no more. What they remember stays stored.
    pub retired: Vec<String>,
    /// How long judging stood still.
    pub pause: Duration,
}

/// What a rule begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// From here on, with nothing in memory.
    Here,
    /// From here on, because its logs changed without a new state version: what it remembered is not of these logs.
    HereLogsChanged,
    /// From here on, having looked back.
    LookedBack {
        /// Alerts about the past, not kept.
        historic: u64,
    },
}

/// What is found out before judging stops.
struct Ready {
    /// What the store has of every rule.
    rows: Vec<RuleRow>,
    /// Ids of the rules whose position and state are kept.
    kept: BTreeSet<String>,
    /// Ids of the rules that looked back.
    prepared: BTreeMap<String, Prepared>,
    /// Rules of whose logs the store is to take note.
    unnoted: Vec<(String, String)>,
}

/// A rule that has looked back.
struct Prepared {
    rule: JudgedRule,
    changes: StateChanges,
    historic: u64,
}

impl Pipeline {
    /// Replaces the rules. The old ones judge until the new ones can.
    ///
    /// # Errors
    /// [`PipelineError`]: the rules stay as they were.
    pub async fn replace_rules(&self, set: RuleSet) -> Result<SwapReport, PipelineError> {
        let inner = self.inner.clone();
        let swapping = tokio::spawn(async move {
            let _one = inner.swapping.clone().lock_owned().await;
            let (looking, new) = (inner.clone(), set);
            let (set, mut ready) =
                tokio::task::spawn_blocking(move || looking.ready(&new).map(|ready| (new, ready))).await??;
            let unnoted = std::mem::take(&mut ready.unnoted);
            let consists = composition::row(&set, 0, (inner.options.clock)());
            // The judge first: while it catches up, pages go on being admitted. Who holds `head` only ever tries for the judge.
            let mut desk = inner.judge.clone().lock_owned().await;
            let mut head = inner.head.clone().lock_owned().await;
            let swapper = inner.clone();
            let (swapped, before, desk) = tokio::task::spawn_blocking(move || {
                let began = Instant::now();
                let before = desk.rules.clone();
                let swapped = swapper.swap(&mut head, &mut desk, set, ready);
                let pause = began.elapsed();
                if swapped.is_err() {
                    (desk.judge, desk.rules, *head) = (None, before.clone(), None);
                }
                let swapped = swapped.map(|(report, committing)| (SwapReport { pause, ..report }, committing));
                (swapped, before, desk)
            })
            .await?;
            // What the new rules have to catch up with is nothing to wait for; a failure is reported and taken up again by the
            // next tick.
            let follower = inner.clone();
            tokio::task::spawn_blocking(move || follower.follow(desk));
            let (report, committing) = swapped?;
            let (keeper, number) = (inner.clone(), report.generation);
            let kept = tokio::task::spawn_blocking(move || {
                committing.wait()?;
                let (store, tenant) = (&keeper.journal.store, &keeper.journal.tenant);
                unnoted
                    .iter()
                    .try_for_each(|(note, logs)| store.set_note(tenant, note, Some(logs)))?;
                // What judges a segment is what judges its tenant.
                match segment::owner(tenant) {
                    Some(_) => Ok(()),
                    None => store.note_generation(tenant, GenerationRow { number, ..consists }),
                }
            });
            if let Err(error) = kept.await? {
                let mut desk = inner.judge.lock().await;
                let mut head = inner.head.lock().await;
                (desk.judge, desk.rules, *head) = (None, before, None);
                return Err(error.into());
            }
            Ok(report)
        });
        swapping.await?
    }
}

impl Inner {
    /// What the store knows of the rules, and the look-back of those that begin and want one.
    fn ready(&self, set: &RuleSet) -> Result<Ready, PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let rows = store.rules(tenant)?;
        let (mut kept, mut prepared, mut unnoted) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        for spec in &set.rules {
            let (note, logs) = (note(spec), logs_of(spec));
            let noted = store.note(tenant, &note)?;
            let is_of_logs = noted.as_ref().is_none_or(|noted| *noted == logs);
            if noted.as_ref() != Some(&logs) {
                unnoted.push((note, logs));
            }
            if is_of_logs && find(&rows, &spec.manifest.id, spec.manifest.state.version).is_some() {
                kept.insert(spec.manifest.id.clone());
                continue;
            }
            let state = &spec.manifest.state;
            let head = store.last_seq(tenant)?;
            if state.look_back_ms <= 0 || head == 0 {
                continue;
            }
            let now = (self.options.clock)();
            let released = picket_contract::Key::end_of(now.saturating_sub(state.look_back_ms));
            let rule = spec.judged(
                Position { seq: head, released },
                Remembered::default(),
                Standing::default(),
            );
            let settings = self.settings();
            let (known, dedup) = (Acquaintance::at_end(head), Dedup::default());
            let mut judge = TenantJudge::new(
                self.tenant.clone(),
                settings,
                0,
                vec![rule],
                dedup,
                known,
                &self.journal,
            )?;
            judge.slots.iter_mut().for_each(|slot| slot.historic_until = head);
            let verdict = judge.feed(head, &[], &self.journal, now)?;
            self.options.ration.burn(&verdict.said, now);
            let changes = verdict
                .commits
                .into_iter()
                .find(|commit| *commit.rule == *spec.manifest.id);
            let Some((changes, slot)) = changes.zip(judge.slots.pop()) else {
                continue;
            };
            let (changes, historic) = (changes.changes, verdict.historic);
            prepared.insert(
                spec.manifest.id.clone(),
                Prepared {
                    rule: slot.rule,
                    changes,
                    historic,
                },
            );
        }
        Ok(Ready {
            rows,
            kept,
            prepared,
            unnoted,
        })
    }

    /// Puts the rules in place, in memory. What follows for the store is on its way there when this returns.
    fn swap(
        &self,
        head: &mut Option<u64>,
        desk: &mut Desk,
        set: RuleSet,
        ready: Ready,
    ) -> Result<(SwapReport, Committing), PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let last = match *head {
            Some(last) => last,
            None => store.last_seq(tenant)?,
        };
        *head = Some(last);
        let Ready {
            rows,
            kept,
            mut prepared,
            ..
        } = ready;
        self.load(desk)?;
        let Some(mut old) = desk.judge.take() else {
            return Err(PipelineError::CutShort("there is no judge".to_owned()));
        };

        let mut report = SwapReport::default();
        let mut rules = Vec::with_capacity(set.rules.len());
        let mut first_changes = Vec::new();
        for spec in &set.rules {
            let id = spec.manifest.id.clone();
            let row = find(&rows, &id, spec.manifest.state.version);
            let rule = if kept.contains(&id) {
                report.kept.push(id);
                match old.take_rule(&spec.manifest.id, spec.manifest.state.version) {
                    Some(rule) => spec.judged(rule.position, rule.state, rule.standing),
                    None => match row {
                        Some(row) => spec.judged(row.position.clone(), self.remembered(row), row.standing.clone()),
                        None => continue,
                    },
                }
            } else {
                let shelf = self.shelf(&id, spec.manifest.state.version);
                // The store's clock never goes back, so neither does the one in memory.
                let (forgotten, clock) = match row {
                    Some(row) => (
                        forget(&store.state(tenant, &id, row.state_version)?),
                        row.remembers.clock,
                    ),
                    None => (StateChanges::default(), None),
                };
                shelf.forget();
                match prepared.remove(&id) {
                    Some(Prepared {
                        mut rule,
                        mut changes,
                        historic,
                    }) => {
                        rule.state.apply(&StateChanges {
                            clock,
                            ..StateChanges::default()
                        });
                        report.begun.push((id.clone(), Beginning::LookedBack { historic }));
                        let mut all = forgotten;
                        all.merge(std::mem::take(&mut changes));
                        first_changes.push((id, all));
                        spec.judged(rule.position, rule.state.on(shelf), rule.standing)
                    }
                    None => {
                        let why = if row.is_some() {
                            Beginning::HereLogsChanged
                        } else {
                            Beginning::Here
                        };
                        report.begun.push((id.clone(), why));
                        first_changes.push((id, forgotten));
                        let logs = spec.manifest.logs().into_iter().map(Arc::from).collect();
                        let here = old.here(logs, Basis::of(&spec.manifest), last, &self.journal)?;
                        let state = Remembered::from(RuleState::restore(clock, [], []));
                        spec.judged(here, state.on(shelf), Standing::default())
                    }
                }
            };
            rules.push(rule);
        }
        report.retired = old
            .rules()
            .map(|rule| rule.manifest.id.clone())
            .filter(|id| !has(&set, id))
            .collect();

        // What judged until now says which generation it is; only at the start the journal is asked, which takes its time.
        let generation = match &*desk.rules.hash {
            "" => self.generation()?,
            hash => Some((old.generation, hash.to_owned())),
        };
        let same = generation.as_ref().is_some_and(|(_, hash)| *hash == *set.hash);
        let number = generation.map_or(0, |(number, _)| number) + u64::from(!same);
        let mut judge = old.replace(number, rules, &self.journal)?;
        judge.settings = self.settings();
        for (id, changes) in first_changes {
            judge.began(&id, changes);
        }
        let mark = Mark::Generation {
            number,
            hash: set.hash.clone(),
        };
        let admission = Admission {
            first_seq: last + 1,
            log: "".into(),
            events: Vec::new(),
            marks: vec![mark],
        };
        let admissions = if same { Vec::new() } else { vec![admission] };
        let verdict = judge.feed(last, &admissions, &self.journal, (self.options.clock)())?;
        let after = admissions.last().map_or(last, Admission::last_seq);
        *head = None;
        // What follows is refused by the store if this fails, as long as it builds on the mark: then it may follow at once.
        let is_guarded = !same && verdict.commits.iter().all(|commit| commit.position.seq >= after);
        let mut committing = self.send(admissions, Vec::new(), verdict)?;
        if !is_guarded {
            committing.wait()?;
            committing = Committing::new(|| Ok(()));
        }
        *head = Some(after);
        self.read_for(&judge);
        (desk.judge, desk.rules) = (Some(judge), set);
        let report = SwapReport {
            generation: number,
            after,
            ..report
        };
        Ok((report, committing))
    }
}

fn has(set: &RuleSet, id: &str) -> bool {
    set.rules.iter().any(|spec| spec.manifest.id == id)
}

/// Where the store keeps which logs a rule's position and state are of.
fn note(spec: &RuleSpec) -> String {
    format!("logs:{}:{}", spec.manifest.id, spec.manifest.state.version)
}

fn logs_of(spec: &RuleSpec) -> String {
    spec.manifest.logs().join(",")
}

/// Deletes everything that is remembered.
fn forget(state: &RuleState) -> StateChanges {
    StateChanges {
        clock: None,
        entries: state.entries().map(|(key, _)| (key.clone(), None)).collect(),
        timers: state.timers().map(|(key, _)| (key.clone(), None)).collect(),
    }
}
