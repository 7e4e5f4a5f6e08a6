//! The store as anybody would write it who had no disk: the oracle of the property tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use picket_contract::{Admission, Mark, Position, RuleState, StateSummary};

use crate::segment;
use crate::{
    AlertFilter, AlertRow, AuditFilter, AuditRow, CursorRow, DedupRow, EventFilter, EventHead, Forgotten,
    GenerationRow, InventoryChange, InventoryRow, MOST_POISON, OutboxRow, PoisonRow, RuleRow, Standing, Store,
    StoredEvent, SuppressedCount, Transaction,
};

/// What a store holds after a number of transactions.
#[derive(Debug, Clone, Default)]
pub struct Model {
    tenants: BTreeMap<String, Tenant>,
    outbox: Vec<(String, Arc<str>)>,
    delivered: BTreeMap<String, usize>,
    audit: Vec<AuditRow>,
    generations: BTreeMap<String, Vec<GenerationRow>>,
}

/// An admission's log, the span of its events' times, and their ids.
type HeldIds = (Arc<str>, RangeInclusive<i64>, BTreeSet<Arc<str>>);

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
        if !transaction.alerts.is_empty() || !transaction.repeats.is_empty() {
            let (owner, segment) = segment::owner(name).map_or((name, ""), |owner| (owner, name));
            let raised = self
                .tenants
                .entry(owner.to_owned())
                .or_default()
                .raise(transaction, segment);
            self.outbox.extend(raised.into_iter().map(|id| (owner.to_owned(), id)));
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
    pub fn forget(&mut self, name: &str, log: &str, before: i64) -> u64 {
        self.tenants
            .get_mut(name)
            .map_or(0, |tenant| tenant.forget(log, before))
    }

    /// The same as [`Store::delivered`], but by how many were delivered of all; returns the number to tell the store, if any.
    pub fn deliver(&mut self, sink: &str, rows: &[OutboxRow]) -> Option<u64> {
        *self.delivered.entry(sink.to_owned()).or_default() += rows.len();
        rows.last().map(|row| row.number)
    }

    /// Compares everything a store can be asked with this.
    ///
    /// # Panics
    /// Where they differ.
    pub fn compare(&self, store: &dyn Store) {
        let names: Vec<String> = store
            .tenants()
            .expect("tenants")
            .iter()
            .map(|name| name.to_string())
            .collect();
        let (segments, tenants): (Vec<&String>, Vec<&String>) =
            self.tenants.keys().partition(|name| segment::owner(name).is_some());
        assert_eq!(names.iter().collect::<Vec<_>>(), tenants);
        for name in tenants {
            let of_tenant = segments.iter().filter(|segment| segment::owner(segment) == Some(name));
            let stored = store.segments(name).expect("segments");
            assert!(
                stored
                    .iter()
                    .map(|segment| &**segment)
                    .eq(of_tenant.map(|segment| segment.as_str()))
            );
        }
        for (name, tenant) in &self.tenants {
            tenant.compare(name, store);
            let (owner, segment) = segment::owner(name).map_or((&**name, ""), |owner| (owner, name));
            let windows = self
                .tenants
                .get(owner)
                .map(|tenant| tenant.windows(segment))
                .unwrap_or_default();
            for since in [i64::MIN, windows.first().map_or(0, |window| window.until)] {
                let open: Vec<DedupRow> = windows.iter().filter(|row| row.until > since).cloned().collect();
                assert_eq!(store.dedup(name, since).expect("dedup"), open);
            }
        }
        assert_eq!(store.audit(&AuditFilter::default()).expect("audit"), self.audit);
        for (name, generations) in &self.generations {
            assert_eq!(&store.generations(name).expect("generations"), generations);
        }
        for sink in ["one", "two"] {
            let rows = store.outbox(sink, usize::MAX).expect("outbox");
            assert!(
                rows.windows(2).all(|pair| pair[0].number < pair[1].number),
                "outbox numbers count up"
            );
            let rows: Vec<_> = rows
                .into_iter()
                .map(|row| (row.tenant.to_string(), row.alert))
                .collect();
            let delivered = self.delivered.get(sink).copied().unwrap_or(0);
            assert_eq!(rows, self.outbox[delivered..]);
        }
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
                self.held.push((log.clone(), first..=last, ids));
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

    fn forget(&mut self, log: &str, before: i64) -> u64 {
        let mut events = 0;
        for admission in self.journal.iter_mut().filter(|admission| *admission.log == *log) {
            let Some(time) = admission.events.iter().map(|event| event.time).max() else {
                continue;
            };
            if time >= before {
                continue;
            }
            events += admission.events.len() as u64;
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

    /// Takes alerts and repeats; returns which of them are to be delivered.
    fn raise(&mut self, transaction: &Transaction, segment: &str) -> Vec<Arc<str>> {
        let mut raised = Vec::new();
        for alert in &transaction.alerts {
            if self.alerts.iter().all(|(stored, _)| stored.id != alert.id) {
                self.alerts.push((alert.clone(), segment.to_owned()));
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

    fn compare(&self, name: &str, store: &dyn Store) {
        assert_eq!(store.last_seq(name).expect("last_seq"), self.last_seq);
        let mut read: Vec<Admission> = Vec::new();
        loop {
            let after = read.last().map_or(0, Admission::last_seq);
            let more = store.read(name, after, 3).expect("read");
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
        assert_eq!(read, self.journal);
        self.compare_events(name, store);
        self.compare_pending(name, store);
        self.compare_progress(name, store);
        self.compare_alerts(name, store);
    }

    fn holds(&self, log: &str, id: &str, time: i64, near: i64) -> bool {
        self.held.iter().any(|(held, span, ids)| {
            let is_near = time.saturating_add(near) >= *span.start() && time.saturating_sub(near) <= *span.end();
            **held == *log && is_near && ids.contains(id)
        })
    }

    fn compare_events(&self, name: &str, store: &dyn Store) {
        let mut stored = self.stored();
        let seqs: Vec<u64> = (0..self.last_seq + 2).rev().collect();
        let by_number = |seq: &u64| stored.iter().find(|event| event.seq == *seq).cloned();
        assert_eq!(
            store.events(name, &seqs).expect("events"),
            seqs.iter().map(by_number).collect::<Vec<_>>()
        );
        let head = |seq: &u64| by_number(seq).as_ref().map(EventHead::from);
        assert_eq!(
            store.heads(name, &seqs).expect("heads"),
            seqs.iter().map(head).collect::<Vec<_>>()
        );
        for log in ["authentication", "activity"] {
            let asked = self.held.iter().flat_map(|(_, span, ids)| {
                let times = [span.start() - 1, *span.start(), *span.end(), span.end() + 1];
                ids.iter().flat_map(move |id| times.map(|time| (&**id, time)))
            });
            let asked: Vec<(&str, i64)> = [("?", 0)].into_iter().chain(asked).collect();
            for near in [0, 1, 20, i64::MAX] {
                let held = asked.iter().map(|(id, time)| self.holds(log, id, *time, near));
                assert_eq!(
                    store.known(name, log, &asked, near).expect("known"),
                    held.collect::<Vec<_>>()
                );
            }
        }
        stored.sort_by_key(|event| (event.event.time, event.seq));
        let middle = stored.get(stored.len() / 2).map(|event| event.event.time);
        for logs in [vec![], vec!["authentication".to_owned()]] {
            for tail in [None, Some(0), Some(1), Some(4)] {
                for (since, until) in [(None, None), (middle, None), (None, middle), (middle, middle)] {
                    let within = |event: &&StoredEvent| {
                        (logs.is_empty() || logs.contains(&event.log.to_string()))
                            && since.is_none_or(|since| event.event.time >= since)
                            && until.is_none_or(|until| event.event.time <= until)
                    };
                    let expected: Vec<_> = stored.iter().filter(within).cloned().collect();
                    let from = expected.len().saturating_sub(tail.unwrap_or(usize::MAX));
                    let filter = EventFilter {
                        logs: logs.clone(),
                        since,
                        until,
                        tail,
                    };
                    assert_eq!(
                        store.search(name, &filter).expect("search"),
                        expected[from..],
                        "{filter:?}"
                    );
                }
            }
        }
        let mut count: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        stored
            .iter()
            .for_each(|event| *count.entry(event.log.clone()).or_default() += 1);
        assert_eq!(store.count(name).expect("count"), count.into_iter().collect::<Vec<_>>());
    }

    fn compare_pending(&self, name: &str, store: &dyn Store) {
        for up_to in [0, self.last_seq / 2, self.last_seq] {
            let from = self.stored().get(1).map_or(0, |event| event.event.time);
            let pending = store.pending(name, up_to, from).expect("pending");
            let events: Vec<_> = pending
                .iter()
                .flat_map(|admission| &admission.events)
                .cloned()
                .collect();
            let expected = self
                .stored()
                .into_iter()
                .filter(|event| event.seq <= up_to && event.event.time >= from);
            assert_eq!(
                events,
                expected.map(|event| (event.seq, event.event)).collect::<Vec<_>>()
            );
            let marks: Vec<Mark> = pending.into_iter().flat_map(|admission| admission.marks).collect();
            let read = self.journal.iter().filter(|admission| admission.last_seq() <= up_to);
            let all: Vec<Mark> = read.flat_map(|admission| admission.marks.clone()).collect();
            assert_eq!(greatest(&marks), greatest(&all));
            assert_eq!(others(&marks), others(&all));
        }
    }

    fn compare_progress(&self, name: &str, store: &dyn Store) {
        let cursors = self.cursors.iter().map(|(log, cursor)| CursorRow {
            log: log.clone(),
            cursor: cursor.clone(),
        });
        assert_eq!(store.cursors(name).expect("cursors"), cursors.collect::<Vec<_>>());
        let objects = |kind: Option<&str>| -> Vec<InventoryRow> {
            let rows = self.inventory.values();
            rows.filter(|row| kind.is_none_or(|kind| *row.kind == *kind))
                .cloned()
                .collect()
        };
        for kind in [None, Some("users"), Some("no such kind")] {
            assert_eq!(store.inventory(name, kind).expect("inventory"), objects(kind));
        }
        for ((kind, id), row) in &self.inventory {
            let found = store.inventory_object(name, kind, id).expect("object");
            assert_eq!(found.as_ref(), Some(row));
        }
        let rules = store.rules(name).expect("rules");
        assert_eq!(rules.len(), self.rules.len());
        for (row, ((rule, state_version), (position, standing, state, remembers))) in rules.into_iter().zip(&self.rules)
        {
            let RuleRow {
                rule: stored,
                state_version: version,
                position: at,
                remembers: said,
                standing: stands,
            } = row;
            assert_eq!(
                (&stored, version, &at, &stands, &said),
                (rule, *state_version, position, standing, remembers)
            );
            assert_eq!(store.state(name, rule, *state_version).expect("state"), *state);
        }
    }

    fn compare_alerts(&self, name: &str, store: &dyn Store) {
        let (mut shadow, mut alerts): (Vec<AlertRow>, Vec<AlertRow>) = self
            .alerts
            .iter()
            .map(|(alert, _)| alert.clone())
            .partition(|alert| alert.shadow);
        let suppressed = alerts.extract_if(.., |alert| alert.suppressed.is_some());
        let mut suppressed: Vec<AlertRow> = suppressed.collect();
        for kind in [&mut alerts, &mut shadow, &mut suppressed] {
            kind.sort_by_key(|alert| alert.time);
        }
        let mut counts: BTreeMap<Arc<str>, (u64, i64)> = BTreeMap::new();
        for alert in &suppressed {
            let last = alert.time.max(alert.last_repeat.unwrap_or(alert.time));
            let count = counts
                .entry(alert.suppressed.clone().unwrap_or_default())
                .or_insert((0, last));
            *count = (count.0 + 1 + alert.repeats, count.1.max(last));
        }
        let counts = counts.into_iter().map(|(exception, (alerts, last))| SuppressedCount {
            exception,
            alerts,
            last,
        });
        assert_eq!(store.suppressed(name).expect("suppressed"), counts.collect::<Vec<_>>());
        let excepted = AlertFilter {
            suppressed: true,
            ..AlertFilter::default()
        };
        assert_eq!(store.alerts(name, &excepted).expect("alerts"), suppressed);
        let apart = AlertFilter {
            shadow: true,
            ..AlertFilter::default()
        };
        assert_eq!(store.alerts(name, &apart).expect("alerts"), shadow);
        assert_eq!(store.poison(name).expect("poison"), self.poison);
        let forgotten = self.forgotten.iter().map(|(log, (seq, time))| Forgotten {
            log: log.clone(),
            seq: *seq,
            time: *time,
        });
        assert_eq!(store.forgotten(name).expect("forgotten"), forgotten.collect::<Vec<_>>());
        assert_eq!(store.alerts(name, &AlertFilter::default()).expect("alerts"), alerts);
        let counted = (alerts.len() as u64, alerts.iter().map(|alert| alert.time).max());
        assert_eq!(store.count_alerts(name).expect("alerts"), counted);
        let latest = AlertFilter {
            latest: Some(2),
            ..AlertFilter::default()
        };
        let last: Vec<_> = alerts.iter().rev().take(2).cloned().collect();
        assert_eq!(store.alerts(name, &latest).expect("alerts"), last);
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
