//! Another set of rules takes over, between two calls.
//!
//! A rule with the same id, state version and logs keeps its position and what it remembers. Any other begins at the journal's
//! end: with the events of its declared look-back already read (its alerts about them are counted and not kept), or with
//! nothing. What another state version remembered stays stored, so that going back to it goes on there.
//!
//! Judging stands still for as long as the rules change hands in memory, and for nothing else. Before it, while the old rules
//! judge: what the store knows of the rules is read, the look-back is judged, conditions are compiled, and pages that wait are
//! read as the new rules want them. After it, while the rules that go on judge already: the disk is waited for, and only then
//! does a rule that begins, or stands elsewhere than the others, get a reader of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use picket_contract::{Admission, Mark, Position, RuleState, StateChanges};
use picket_event::Selector;
use picket_store::{Committing, GenerationRow, RuleRow, Standing, StoreError, segment};
use tokio::sync::OwnedMutexGuard;

use super::load::find;
use super::{Desk, Inner, Pipeline, PipelineError, RuleSet, RuleSpec, composition, learning};
use crate::call::Slot;
use crate::change::{Prepared, Unseated};
use crate::evidence::Rebuild as _;
use crate::holding::Remembered;
use crate::judge::{plan, selector};
use crate::stretch::{Stretch, stands};

/// How often a look-back reads what came while it was reading: what is left then is caught up with when the rule judges.
const CATCH_UPS: usize = 8;
/// How often both locks are tried for before whoever judges is waited for.
const TRIES: usize = 200;

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
    /// Rules that looked back as far as the journal goes, which is less than they want: until when they learn, ms.
    pub learning: Vec<(String, i64)>,
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
    /// Rules that begin.
    begun: BTreeMap<String, Begun>,
    /// Which rows each rule gets, in the order of the set.
    selectors: Vec<Selector>,
    prepared: Prepared,
    /// What the store is to take note of: rules' logs, and who learns.
    notes: Vec<(String, String)>,
    learning: Vec<(String, i64)>,
}

/// A rule that begins.
struct Begun {
    position: Position,
    state: Remembered,
    changes: StateChanges,
    /// None: it did not look back.
    historic: Option<u64>,
}

/// What a swap leaves to be done when judging goes on.
struct Swapped {
    report: SwapReport,
    committing: Committing,
    /// Dropping it takes time.
    _before: Vec<Slot>,
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
            let notes = std::mem::take(&mut ready.notes);
            let learning = std::mem::take(&mut ready.learning);
            let consists = composition::row(&set, 0, (inner.options.clock)());
            let swapper = inner.clone();
            let (mut head, mut desk, began) = inner.stand_still().await;
            let before = desk.rules.clone();
            let (swapped, desk) = if desk.judge.is_some() {
                // In memory, and so soon done that another thread would take longer to wake.
                let swapped = swapper.swap(&mut head, &mut desk, set, ready);
                (swapper.swapped(swapped, &before, head, &mut desk), desk)
            } else {
                let old = before.clone();
                tokio::task::spawn_blocking(move || {
                    let swapped = swapper.swap(&mut head, &mut desk, set, ready);
                    (swapper.swapped(swapped, &old, head, &mut desk), desk)
                })
                .await?
            };
            let pause = began.elapsed();
            // What the new rules have to catch up with is nothing to wait for; a failure is reported and taken up again by the
            // next tick.
            let follower = inner.clone();
            tokio::task::spawn_blocking(move || follower.follow(desk));
            let Swapped { report, committing, .. } = swapped?;
            let (keeper, number) = (inner.clone(), report.generation);
            let kept = tokio::task::spawn_blocking(move || {
                committing.wait()?;
                let (store, tenant) = (&keeper.journal.store, &keeper.journal.tenant);
                notes
                    .iter()
                    .try_for_each(|(note, value)| store.set_note(tenant, note, Some(value)))?;
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
            inner.seat_the_others().await?;
            Ok(SwapReport {
                pause,
                learning,
                ..report
            })
        });
        swapping.await?
    }
}

impl Inner {
    /// Waits until nobody judges and nobody admits, and since when that is so.
    ///
    /// Whoever admits a page judges it, too, while holding `head`: between two pages both are free, and nobody stands still for
    /// having been waited for. Only where the judge is behind all the time, it is waited for first.
    async fn stand_still(&self) -> (OwnedMutexGuard<Option<u64>>, OwnedMutexGuard<Desk>, Instant) {
        for _ in 0..TRIES {
            let head = self.head.clone().lock_owned().await;
            if let Ok(desk) = self.judge.clone().try_lock_owned() {
                return (head, desk, Instant::now());
            }
            drop(head);
            // Whoever follows is at it: when it is done, `head` is tried for again, never held while waiting.
            drop(self.judge.lock().await);
        }
        let desk = self.judge.clone().lock_owned().await;
        let began = Instant::now();
        let head = self.head.clone().lock_owned().await;
        (head, desk, began)
    }

    /// Nobody waits for `head` any more. A swap that failed leaves the rules of before, to be made from the store.
    fn swapped(
        &self,
        swapped: Result<Swapped, PipelineError>,
        before: &RuleSet,
        mut head: OwnedMutexGuard<Option<u64>>,
        desk: &mut Desk,
    ) -> Result<Swapped, PipelineError> {
        if swapped.is_err() {
            (desk.judge, desk.rules, *head) = (None, before.clone(), None);
        }
        swapped
    }

    /// What the store knows of the rules, the look-back of those that begin and want one, and what else takes time.
    fn ready(&self, set: &RuleSet) -> Result<Ready, PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let rows = store.rules(tenant)?;
        let (mut kept, mut begun, mut notes) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let mut learners = Vec::new();
        for spec in &set.rules {
            let (note, logs) = (note(spec), logs_of(spec));
            let noted = store.note(tenant, &note)?;
            let is_of_logs = noted.as_ref().is_none_or(|noted| *noted == logs);
            if noted.as_ref() != Some(&logs) {
                notes.push((note, logs));
            }
            if is_of_logs && find(&rows, &spec.manifest.id, spec.manifest.state.version).is_some() {
                kept.insert(spec.manifest.id.clone());
                continue;
            }
            let (rule, until) = self.beginning(spec)?;
            learners.extend(until.map(|until| (spec.manifest.id.clone(), spec.manifest.state.version, until)));
            begun.insert(spec.manifest.id.clone(), rule);
        }
        let now = (self.options.clock)();
        notes.extend(learning::noted(&**store, tenant, &learners, now)?);
        let learning = learners.into_iter().map(|(rule, _, until)| (rule, until)).collect();

        let read = set
            .rules
            .iter()
            .map(|spec| (&*spec.manifest, &*spec.terms.permission, &*spec.params));
        let plan = plan(read, &self.tenant.mask);
        let select = |spec: &RuleSpec| selector(&spec.manifest, &spec.params, &spec.terms.permission, &plan);
        let selectors = set.rules.iter().map(select).collect::<Result<Vec<_>, _>>()?;
        let mut prepared = Prepared {
            plan,
            ..Prepared::default()
        };
        let waiting = match &self.judge.blocking_lock().judge {
            Some(judge) => judge.pages(),
            None => Vec::new(),
        };
        for page in waiting {
            prepared.adopted.of(&page, &prepared.plan);
        }
        Ok(Ready {
            rows,
            kept,
            begun,
            selectors,
            prepared,
            notes,
            learning,
        })
    }

    /// Where a rule begins that has no position here: at the journal's end, having looked back if it wants to. And until when it
    /// learns (ms), if the journal does not go back so far.
    fn beginning(&self, spec: &RuleSpec) -> Result<(Begun, Option<i64>), PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let mut head = store.last_seq(tenant)?;
        let look_back = spec.manifest.state.look_back_ms;
        if look_back <= 0 || head == 0 {
            let marks = if head == 0 {
                Vec::new()
            } else {
                self.journal.pending(head, &[])?
            };
            let begun = Begun {
                position: stands(&spec.manifest, head, &marks),
                state: Remembered::default(),
                changes: StateChanges::default(),
                historic: None,
            };
            return Ok((begun, None));
        }
        let now = (self.options.clock)();
        let from = now.saturating_sub(look_back);
        let after = store.since(tenant, from, u64::MAX)?;
        let (mut changes, mut historic) = (StateChanges::default(), 0);
        let set: &[RuleSpec] = std::slice::from_ref(spec);
        let mut stretch = Stretch::begin(
            &self.journal,
            &self.tenant,
            self.settings(),
            &[set],
            (after, u64::MAX >> 1),
        )?;
        for _ in 0..CATCH_UPS {
            // The rules before judge all of it: what they raise has been told.
            stretch.past_ends_at(head);
            stretch.read(head, now, |_, verdict| {
                self.options.ration.burn(&verdict.said, now);
                historic += verdict.historic;
                let own = verdict
                    .commits
                    .into_iter()
                    .filter(|commit| *commit.rule == *spec.manifest.id);
                own.for_each(|commit| changes.merge(commit.changes));
                true
            })?;
            let last = store.last_seq(tenant)?;
            if last == head {
                break;
            }
            head = last;
        }
        let slot = stretch.judges.first_mut().and_then(|judge| judge.slots.pop());
        let Some(slot) = slot else {
            return Err(PipelineError::CutShort("a look-back lost its rule".to_owned()));
        };
        let begun = Begun {
            position: slot.rule.position,
            state: slot.rule.state,
            changes,
            historic: Some(historic),
        };
        let until = learning::until(&**store, tenant, &spec.manifest, from)?;
        Ok((begun, until))
    }

    /// Puts the rules in place, in memory. What follows for the store is on its way there when this returns.
    fn swap(
        &self,
        head: &mut Option<u64>,
        desk: &mut Desk,
        set: RuleSet,
        ready: Ready,
    ) -> Result<Swapped, PipelineError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let last = match *head {
            Some(last) => last,
            None => store.last_seq(tenant)?,
        };
        *head = Some(last);
        let Ready {
            rows,
            kept,
            mut begun,
            selectors,
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
        for (spec, selector) in set.rules.iter().zip(selectors) {
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
                let Some(begun) = begun.remove(&id) else { continue };
                let (mut state, mut changes) = (begun.state, forgotten);
                state.apply(&StateChanges {
                    clock,
                    ..StateChanges::default()
                });
                changes.merge(begun.changes);
                let how = match begun.historic {
                    Some(historic) => Beginning::LookedBack { historic },
                    None if row.is_some() => Beginning::HereLogsChanged,
                    None => Beginning::Here,
                };
                report.begun.push((id.clone(), how));
                first_changes.push((id, changes));
                spec.judged(begun.position, state.on(shelf), Standing::default())
            };
            rules.push((rule, selector));
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
        let judged = old.judged();
        let (mut judge, before) = old.replace(number, rules, &mut prepared, &self.journal)?;
        judge.settings = self.settings();
        for (id, changes) in first_changes {
            judge.began(&id, changes);
        }
        let admissions = if same {
            Vec::new()
        } else {
            vec![Admission {
                first_seq: last + 1,
                log: "".into(),
                events: Vec::new(),
                marks: marks((number, judged), &set, &desk.rules, &judge),
            }]
        };
        let verdict = judge.feed(last, &admissions, &self.journal, (self.options.clock)())?;
        let after = admissions.last().map_or(last, Admission::last_seq);
        *head = None;
        let mut committing = self.send(admissions, Vec::new(), verdict)?;
        // If this fails, the store refuses what follows as long as that builds on the mark: then it may follow at once. Rules
        // that begin have no reader before this is on the disk.
        if same {
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
        Ok(Swapped {
            report,
            committing,
            _before: before,
        })
    }

    /// Gives a reader to each rule that found none where it stands, now that what it begins with is on the disk.
    async fn seat_the_others(self: &Arc<Self>) -> Result<(), PipelineError> {
        let (unseated, plan) = match &self.judge.lock().await.judge {
            Some(judge) => (judge.unseated(), judge.plan().clone()),
            // It will be made from the store, with readers for all.
            None => return Ok(()),
        };
        if unseated.is_empty() {
            return Ok(());
        }
        let inner = self.clone();
        let most_rows = self.settings().batch_rows;
        let readers = tokio::task::spawn_blocking(move || -> Result<_, StoreError> {
            let forgotten = inner.journal.forgotten()?;
            let waiting = Unseated::waiting(&unseated, &inner.journal)?;
            let mut readers = Vec::with_capacity(unseated.len());
            for (index, one) in unseated.iter().enumerate() {
                let before = unseated.get(..index).unwrap_or_default();
                let shares = before.iter().any(|other| one.shares_with(other));
                readers.push(if shares {
                    None
                } else {
                    Some(one.reader(&plan, most_rows, &waiting))
                });
            }
            Ok((forgotten, unseated, readers))
        });
        let readers = readers.await?;
        let mut desk = self.judge.clone().lock_owned().await;
        let inner = self.clone();
        match readers {
            Ok((forgotten, unseated, readers)) => {
                if let Some(judge) = &mut desk.judge {
                    for (one, reader) in unseated.iter().zip(readers) {
                        judge.sit(one, reader, &forgotten);
                    }
                }
                tokio::task::spawn_blocking(move || inner.show_the_pending(desk)).await?
            }
            Err(error) => {
                desk.judge = None;
                Err(error.into())
            }
        }
    }

    /// What was released and not shown waits at the positions of those who were just given a reader.
    fn show_the_pending(&self, mut desk: OwnedMutexGuard<Desk>) -> Result<(), PipelineError> {
        if let Some(mut judge) = desk.judge.take() {
            let verdict = judge.feed(0, &[], &self.journal, (self.options.clock)())?;
            self.commit(Vec::new(), Vec::new(), verdict)?;
            judge.put_down();
            self.options.ration.set_held(judge.held());
            self.waiting.store(judge.waiting(), Ordering::Relaxed);
            desk.judge = Some(judge);
        }
        self.follow(desk)
    }
}

/// What is said in the journal: which generation judges from here on, and which rule took another's place where.
fn marks((number, judged): (u64, u64), set: &RuleSet, before: &RuleSet, judge: &crate::TenantJudge) -> Vec<Mark> {
    let generation = Mark::Generation {
        number,
        judged: Some(judged),
        hash: set.hash.clone(),
    };
    let was = |id: &str| before.rules.iter().find(|spec| spec.manifest.id == id);
    let takes_over = judge
        .rules()
        .filter(|rule| was(&rule.manifest.id).is_none_or(|was| was.module != rule.module));
    let takeovers = takes_over.map(|rule| Mark::Takeover {
        rule: rule.manifest.id.as_str().into(),
        version: rule.manifest.version.as_str().into(),
        module: rule.module.clone(),
        state_version: rule.manifest.state.version,
        from: Box::new(rule.position.clone()),
    });
    std::iter::once(generation).chain(takeovers).collect()
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
