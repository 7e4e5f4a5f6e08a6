//! Another set of rules takes over, between two calls.
//!
//! A rule with the same id, state version and logs keeps its position and what it remembers. Any other begins at the journal's
//! end: with the events of its declared look-back already read (its alerts about them are counted and not kept), or with
//! nothing. What is slow, looking back, is done before judging stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use picket_contract::{Admission, Mark, Position, RuleState, StateChanges};
use picket_store::{RuleRow, Standing, StoreError};

use super::load::find;
use super::{Desk, Inner, Pipeline, PipelineError, RuleSet, RuleSpec};
use crate::acquaintance::Acquaintance;
use crate::dedup::Dedup;
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
            let (looking, new) = (inner.clone(), set);
            let (set, prepared) =
                tokio::task::spawn_blocking(move || looking.look_back(&new).map(|prepared| (new, prepared))).await??;
            // The judge first: while it catches up, pages go on being admitted. Who holds `head` only ever tries for the judge.
            let mut desk = inner.judge.clone().lock_owned().await;
            let mut head = inner.head.clone().lock_owned().await;
            let swapper = inner.clone();
            let (swapped, desk) = tokio::task::spawn_blocking(move || {
                let began = Instant::now();
                let before = desk.rules.clone();
                let swapped = swapper.swap(&mut head, &mut desk, set, prepared);
                let pause = began.elapsed();
                if swapped.is_err() {
                    (desk.judge, desk.rules, *head) = (None, before, None);
                }
                (swapped.map(|report| SwapReport { pause, ..report }), desk)
            })
            .await?;
            // What the new rules have to catch up with is nothing to wait for; a failure is reported and taken up again by the
            // next tick.
            tokio::task::spawn_blocking(move || inner.follow(desk));
            swapped
        });
        swapping.await?
    }

    /// The rules as they stand: what `rule list` shows for this tenant.
    pub async fn standing(&self) -> Vec<(String, Position, Standing)> {
        let desk = self.inner.judge.lock().await;
        let of = |rule: &JudgedRule| (rule.manifest.id.clone(), rule.position.clone(), rule.standing.clone());
        desk.judge
            .as_ref()
            .map(|judge| judge.rules().map(of).collect())
            .unwrap_or_default()
    }
}

impl Inner {
    /// Reads the look-back of those rules that begin and want one.
    fn look_back(&self, set: &RuleSet) -> Result<BTreeMap<String, Prepared>, PipelineError> {
        let rows = self.journal.store.rules(&self.journal.tenant)?;
        let mut prepared = BTreeMap::new();
        for spec in &set.rules {
            let state = &spec.manifest.state;
            let head = self.journal.store.last_seq(&self.journal.tenant)?;
            if state.look_back_ms <= 0 || head == 0 || self.kept(&rows, spec)? {
                continue;
            }
            let now = (self.options.clock)();
            let released = picket_contract::Key::end_of(now.saturating_sub(state.look_back_ms));
            let rule = spec.judged(
                Position { seq: head, released },
                RuleState::default(),
                Standing::default(),
            );
            let (tenant, settings) = (self.tenant.clone(), self.options.settings);
            let (known, dedup) = (Acquaintance::at_end(head), Dedup::default());
            let mut judge = TenantJudge::new(tenant, settings, 0, vec![rule], dedup, known, &self.journal)?;
            judge.slots.iter_mut().for_each(|slot| slot.historic_until = head);
            let verdict = judge.feed(head, &[], &self.journal, now)?;
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
        Ok(prepared)
    }

    /// Whether the store has the rule's position and state, and they are of the logs it reads.
    fn kept(&self, rows: &[RuleRow], spec: &RuleSpec) -> Result<bool, StoreError> {
        let row = find(rows, &spec.manifest.id, spec.manifest.state.version);
        Ok(row.is_some()
            && self
                .journal
                .store
                .note(&self.journal.tenant, &note(spec))?
                .is_none_or(|logs| logs == logs_of(spec)))
    }

    fn swap(
        &self,
        head: &mut Option<u64>,
        desk: &mut Desk,
        set: RuleSet,
        mut prepared: BTreeMap<String, Prepared>,
    ) -> Result<SwapReport, PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let last = match *head {
            Some(last) => last,
            None => store.last_seq(tenant)?,
        };
        *head = Some(last);
        let rows = store.rules(tenant)?;
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
            let rule = if self.kept(&rows, spec)? {
                report.kept.push(id);
                match old.take_rule(&spec.manifest.id, spec.manifest.state.version) {
                    Some(rule) => spec.judged(rule.position, rule.state, rule.standing),
                    None => match row {
                        Some(row) => {
                            let state = store.state(tenant, &spec.manifest.id, row.state_version)?;
                            spec.judged(row.position.clone(), state, row.standing.clone())
                        }
                        None => continue,
                    },
                }
            } else {
                let forgotten = match row {
                    Some(row) => forget(&store.state(tenant, &id, row.state_version)?),
                    None => StateChanges::default(),
                };
                match prepared.remove(&id) {
                    Some(Prepared {
                        rule,
                        mut changes,
                        historic,
                    }) => {
                        report.begun.push((id.clone(), Beginning::LookedBack { historic }));
                        let mut all = forgotten;
                        all.merge(std::mem::take(&mut changes));
                        first_changes.push((id, all));
                        spec.judged(rule.position, rule.state, rule.standing)
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
                        spec.judged(here, RuleState::default(), Standing::default())
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
        self.commit(admissions, Vec::new(), verdict)?;
        *head = Some(after);
        for spec in &set.rules {
            if store.note(tenant, &note(spec))?.as_deref() != Some(logs_of(spec).as_str()) {
                store.set_note(tenant, &note(spec), Some(&logs_of(spec)))?;
            }
        }
        (desk.judge, desk.rules) = (Some(judge), set);
        Ok(SwapReport {
            generation: number,
            after,
            ..report
        })
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
