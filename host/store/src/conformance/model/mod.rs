//! The store as anybody would write it who had no disk: the oracle of the property tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use picket_contract::{Admission, Mark, Position, RuleState, StateSummary};

mod compare;
mod incidents;

#[allow(unused_imports, reason = "the documentation links to it")]
use crate::Store;
use crate::segment;
use crate::{
    AlertRow, AuditRow, DedupRow, GenerationRow, InventoryChange, InventoryRow, MOST_POISON, Old, PoisonRow, Standing,
    StoredEvent, Transaction,
};

/// What a store holds after a number of transactions.
#[derive(Debug, Clone, Default)]
pub struct Model {
    tenants: BTreeMap<String, Tenant>,
    /// None: it was forgotten.
    outbox: Vec<Option<(String, Arc<str>)>>,
    delivered: BTreeMap<String, usize>,
    audit: Vec<AuditRow>,
    generations: BTreeMap<String, Vec<GenerationRow>>,
}

/// The ids of one admission's events.
#[derive(Debug, Clone)]
struct HeldIds {
    log: Arc<str>,
    /// Of the events' times.
    span: RangeInclusive<i64>,
    ids: BTreeSet<Arc<str>>,
    /// The admission's last number.
    last_seq: u64,
    /// They are forgotten.
    is_pruned: bool,
    /// The events are.
    is_gone: bool,
}

/// How far a rule is, and what it remembers.
type Progress = (Position, Standing, RuleState, StateSummary);

#[derive(Debug, Clone, Default)]
struct Tenant {
    journal: Vec<Admission>,
    last_seq: u64,
    /// Of each admission with events.
    held: Vec<HeldIds>,
    cursors: BTreeMap<Arc<str>, String>,
    inventory: BTreeMap<(Arc<str>, Arc<str>), InventoryRow>,
    rules: BTreeMap<(Arc<str>, u32), Progress>,
    /// With the segment that raised it, "" being the tenant itself.
    alerts: Vec<(AlertRow, String)>,
    incidents: incidents::Incidents,
    poison: Vec<PoisonRow>,
    forgotten: BTreeMap<Arc<str>, (u64, i64)>,
}

impl Model {
    /// Nothing stored.
    #[must_use]
    pub fn new() -> Self {
        Model::default()
    }

    /// The number that the journal of a tenant goes on with.
    #[must_use]
    pub fn next_seq(&self, tenant: &str) -> u64 {
        self.tenants.get(tenant).map_or(0, |tenant| tenant.last_seq) + 1
    }

    /// The same as [`Store::transact`]; false: refused, nothing changed.
    pub fn transact(&mut self, name: &str, transaction: &Transaction) -> bool {
        if transaction.is_empty() {
            return true;
        }
        let mut tenant = self.tenants.get(name).cloned().unwrap_or_default();
        if !tenant.transact(transaction) {
            return false;
        }
        self.tenants.insert(name.to_owned(), tenant);
        if !(transaction.alerts.is_empty() && transaction.repeats.is_empty() && transaction.superseded.is_empty()) {
            let (owner, segment) = segment::owner(name).map_or((name, ""), |owner| (owner, name));
            let raised = self
                .tenants
                .entry(owner.to_owned())
                .or_default()
                .raise(transaction, segment);
            self.outbox
                .extend(raised.into_iter().map(|id| Some((owner.to_owned(), id))));
        }
        true
    }

    /// The same as [`Store::discard`].
    pub fn discard(&mut self, name: &str) {
        if let Some(tenant) = self.tenants.get_mut(name).filter(|_| segment::owner(name).is_some()) {
            tenant.cursors.clear();
            tenant.rules.clear();
            tenant.poison.clear();
        }
    }

    /// The same as [`Store::note_audit`].
    pub fn note_audit(&mut self, entries: &[AuditRow]) {
        self.audit.extend_from_slice(entries);
    }

    /// The same as [`Store::note_generation`], of generations that follow on each other.
    pub fn note_generation(&mut self, tenant: &str, generation: &GenerationRow) {
        let all = self.generations.entry(tenant.to_owned()).or_default();
        if all.last().is_none_or(|last| last.json != generation.json) {
            all.push(generation.clone());
        }
    }

    /// The same as [`Store::forget`].
    pub fn forget(&mut self, name: &str, log: &str, old: &Old) -> u64 {
        self.tenants.get_mut(name).map_or(0, |tenant| tenant.forget(log, old))
    }

    /// The same as [`Store::forget_ids`].
    pub fn forget_ids(&mut self, name: &str, log: &str, before: i64, most: u64) -> u64 {
        self.tenants
            .get_mut(name)
            .map_or(0, |tenant| tenant.forget_ids(log, before, most))
    }

    /// The same as [`Store::forget_alerts`], of what every one of these sinks was given.
    pub fn forget_alerts(&mut self, name: &str, before: i64, sinks: &[&str]) -> u64 {
        let Some(tenant) = self.tenants.get_mut(name) else {
            return 0;
        };
        let given = |sink: &&str| self.delivered.get(*sink).copied().unwrap_or(0);
        let given = sinks.iter().map(given).min().unwrap_or(usize::MAX);
        let waits = |id: &Arc<str>| {
            let entry =
                |entry: &Option<(String, Arc<str>)>| matches!(entry, Some((of, alert)) if of == name && alert == id);
            self.outbox.iter().skip(given).any(entry)
        };
        let is_over = |alert: &AlertRow| {
            let ends = [alert.time, alert.dedup_until, alert.last_repeat.unwrap_or(alert.time)];
            ends.into_iter().all(|end| end < before)
        };
        let gone: BTreeSet<Arc<str>> = tenant
            .alerts
            .iter()
            .filter(|(alert, _)| is_over(alert) && !waits(&alert.id))
            .map(|(alert, _)| alert.id.clone())
            .collect();
        tenant.alerts.retain(|(alert, _)| !gone.contains(&alert.id));
        tenant.incidents.forget(before, &tenant.alerts);
        for entry in &mut self.outbox {
            if matches!(entry, Some((of, alert)) if of == name && gone.contains(alert)) {
                *entry = None;
            }
        }
        gone.len() as u64
    }

    /// The same as [`Store::purge`].
    pub fn purge(&mut self, name: &str) {
        let is_of = |of: &str| of == name || segment::owner(of) == Some(name);
        self.tenants.retain(|of, _| !is_of(of));
        self.generations.remove(name);
        self.audit.retain(|entry| *entry.tenant != *name);
        for entry in &mut self.outbox {
            if matches!(entry, Some((of, _)) if of == name) {
                *entry = None;
            }
        }
    }

    /// The same as [`Store::delivered`] of at most so many of what waits for a sink. Returns what that is.
    pub fn deliver(&mut self, sink: &str, most: usize) -> Vec<(String, Arc<str>)> {
        let from = self.delivered.get(sink).copied().unwrap_or(0);
        let waiting = self.outbox.iter().enumerate().skip(from);
        let taken = waiting.filter_map(|(at, entry)| Some((at, entry.clone()?))).take(most);
        let taken: Vec<(usize, (String, Arc<str>))> = taken.collect();
        if let Some((last, _)) = taken.last() {
            self.delivered.insert(sink.to_owned(), last + 1);
        }
        taken.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl Tenant {
    fn transact(&mut self, transaction: &Transaction) -> bool {
        for admission in &transaction.admissions {
            if admission.first_seq != self.last_seq + 1 {
                return false;
            }
            self.last_seq = admission.last_seq();
            let (log, events) = (&admission.log, &admission.events);
            let ids: BTreeSet<Arc<str>> = events.iter().map(|event| event.id.clone()).collect();
            if ids.len() < events.len() || events.iter().any(|event| self.holds(log, &event.id, event.time, 0)) {
                return false;
            }
            let times = || events.iter().map(|event| event.time);
            if let (Some(first), Some(last)) = (times().min(), times().max()) {
                self.held.push(HeldIds {
                    log: log.clone(),
                    span: first..=last,
                    ids,
                    last_seq: self.last_seq,
                    is_pruned: false,
                    is_gone: false,
                });
            }
            self.admit(admission);
        }
        for cursor in &transaction.cursors {
            self.cursors.insert(cursor.log.clone(), cursor.cursor.clone());
        }
        for change in transaction.inventory.iter().cloned() {
            match change {
                InventoryChange::Put(row) => self.inventory.insert((row.kind.clone(), row.id.clone()), row),
                InventoryChange::Delete { kind, id } => self.inventory.remove(&(kind, id)),
            };
        }
        for commit in &transaction.rules {
            if commit.position.seq > self.last_seq {
                return false;
            }
            let rule = self.rules.entry((commit.rule.clone(), commit.state_version));
            let (position, standing, state, remembers) = rule.or_insert_with(|| {
                let (state, remembers) = (RuleState::default(), StateSummary::default());
                (Position::start(), Standing::default(), state, remembers)
            });
            *position = commit.position.clone();
            *standing = commit.standing.clone();
            state.apply(&commit.changes);
            // What is said of it is taken as it is said, but for the clock.
            *remembers = StateSummary {
                clock: state.clock(),
                ..commit.remembers
            };
        }
        for row in &transaction.poison {
            let is_same = |old: &&mut PoisonRow| (&old.rule, &old.log, &old.event) == (&row.rule, &row.log, &row.event);
            if let Some(old) = self.poison.iter_mut().find(is_same) {
                *old = row.clone();
                continue;
            }
            self.poison.push(row.clone());
            let of_rule = self.poison.iter().filter(|old| old.rule == row.rule).count();
            if of_rule > MOST_POISON
                && let Some(oldest) = self.poison.iter().position(|old| old.rule == row.rule)
            {
                self.poison.remove(oldest);
            }
        }
        true
    }

    fn forget(&mut self, log: &str, old: &Old) -> u64 {
        let time = |admission: &Admission| admission.events.iter().map(|event| event.time).max();
        let is_old = |admission: &Admission| {
            *admission.log == *log
                && admission.last_seq() <= old.up_to
                && time(admission).is_some_and(|time| time < old.before)
        };
        let mut going: Vec<(Option<i64>, u64, u64)> = self
            .journal
            .iter()
            .filter(|admission| is_old(admission))
            .map(|admission| (time(admission), admission.last_seq(), admission.events.len() as u64))
            .collect();
        going.sort_unstable();
        let mut events = 0;
        let mut gone: BTreeSet<u64> = BTreeSet::new();
        for (_, last_seq, more) in going {
            if events >= old.most.max(1) {
                break;
            }
            events += more;
            gone.insert(last_seq);
        }
        for held in &mut self.held {
            held.is_gone |= gone.contains(&held.last_seq);
        }
        for admission in &mut self.journal {
            let Some(time) = time(admission).filter(|_| gone.contains(&admission.last_seq())) else {
                continue;
            };
            let seq = admission.first_seq + admission.events.len() as u64 - 1;
            let known = self.forgotten.entry(log.into()).or_insert((seq, time));
            *known = (known.0.max(seq), known.1.max(time));
            admission.first_seq = admission.last_seq();
            admission.events.clear();
        }
        self.journal
            .retain(|admission| !admission.events.is_empty() || !admission.marks.is_empty());
        events
    }

    fn forget_ids(&mut self, log: &str, before: i64, most: u64) -> u64 {
        let is_old = |held: &&mut HeldIds| *held.log == *log && *held.span.end() < before && !held.is_pruned;
        let mut going: Vec<&mut HeldIds> = self.held.iter_mut().filter(is_old).collect();
        going.sort_by_key(|held| (*held.span.end(), *held.span.start()));
        let mut ids = 0;
        for held in going {
            if ids >= most.max(1) {
                break;
            }
            ids += held.ids.len() as u64;
            held.is_pruned = true;
        }
        ids
    }

    /// Takes alerts and repeats; returns which of them are to be delivered.
    fn raise(&mut self, transaction: &Transaction, segment: &str) -> Vec<Arc<str>> {
        let mut raised = Vec::new();
        for alert in &transaction.alerts {
            if self.alerts.iter().all(|(stored, _)| stored.id != alert.id) {
                self.alerts.push((alert.clone(), segment.to_owned()));
                self.incidents.enter(alert, segment);
                let is_sent = !alert.historic && !alert.shadow && alert.suppressed.is_none();
                raised.extend(is_sent.then(|| alert.id.clone()));
            }
        }
        for repeat in &transaction.repeats {
            if let Some((alert, _)) = self.alerts.iter_mut().find(|(alert, _)| alert.id == repeat.id) {
                alert.repeats += repeat.count;
                alert.last_repeat = alert.last_repeat.max(Some(repeat.time));
            }
        }
        for superseded in &transaction.superseded {
            let alert = self.alerts.iter_mut().find(|(alert, _)| alert.id == superseded.alert);
            if let Some(incident) = alert.and_then(|(alert, _)| alert.incident.as_mut()) {
                incident.superseded_by.get_or_insert(superseded.by.clone());
            }
        }
        raised
    }

    fn windows(&self, segment: &str) -> Vec<DedupRow> {
        let mut alerts: Vec<&AlertRow> = self
            .alerts
            .iter()
            .filter(|(_, of)| of == segment)
            .map(|(alert, _)| alert)
            .collect();
        alerts.sort_by_key(|alert| (alert.rule.clone(), alert.dedup_key.clone(), alert.time));
        let window = |alert: &AlertRow| DedupRow {
            rule: alert.rule.clone(),
            key: alert.dedup_key.clone(),
            alert: alert.id.clone(),
            time: alert.time,
            until: alert.dedup_until,
            shadow: alert.shadow,
        };
        alerts.into_iter().map(window).collect()
    }

    fn admit(&mut self, admission: &Admission) {
        if admission.events.is_empty() {
            if admission.marks.is_empty() {
                return;
            }
            let is_idle = |mark: &Mark| matches!(mark, Mark::Complete { .. } | Mark::Live { .. });
            let is_plain = |old: &Admission| old.events.is_empty() && old.marks.iter().all(is_idle);
            let idle = self.journal.iter().rev().take_while(|old| is_plain(old)).count();
            let (_, tail) = self.journal.split_at(self.journal.len() - idle);
            let overtaken = |old: &Admission| {
                let of = greatest(&admission.marks);
                old.marks
                    .iter()
                    .filter_map(progress)
                    .all(|(kind, to)| of.get(&kind).is_some_and(|new| *new >= to))
            };
            let gone: Vec<u64> = tail
                .iter()
                .filter(|old| overtaken(old))
                .map(|old| old.first_seq)
                .collect();
            self.journal.retain(|old| !gone.contains(&old.first_seq));
        }
        self.journal.push(admission.clone());
    }

    fn stored(&self) -> Vec<StoredEvent> {
        let events = |admission: &Admission| {
            let log = admission.log.clone();
            let numbered = admission.events.clone().into_iter().zip(admission.first_seq..);
            numbered
                .map(move |(event, seq)| StoredEvent {
                    seq,
                    log: log.clone(),
                    event,
                })
                .collect::<Vec<_>>()
        };
        self.journal.iter().flat_map(events).collect()
    }
}

/// What a mark says of how far a log is, by kind.
fn progress(mark: &Mark) -> Option<((&'static str, Arc<str>), i64)> {
    match mark {
        Mark::Complete { log, to } => Some((("complete", log.clone()), *to)),
        Mark::Live { log, to } => Some((("live", log.clone()), *to)),
        Mark::Stalled { log, to } => Some((("stalled", log.clone()), *to)),
        _ => None,
    }
}

/// How far each log is said to be complete, live or given up.
fn greatest(marks: &[Mark]) -> BTreeMap<(&'static str, Arc<str>), i64> {
    let mut greatest = BTreeMap::new();
    for (kind, to) in marks.iter().filter_map(progress) {
        let known = greatest.entry(kind).or_insert(to);
        *known = to.max(*known);
    }
    greatest
}

fn others(marks: &[Mark]) -> Vec<&Mark> {
    marks.iter().filter(|mark| progress(mark).is_none()).collect()
}
