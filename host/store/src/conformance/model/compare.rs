//! Everything a store can be asked, compared with the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use picket_contract::{Admission, Mark};

use super::{Model, Tenant, greatest, others};
use crate::segment;
use crate::{
    AlertFilter, AlertRow, AuditFilter, CursorRow, DedupRow, EventFilter, EventHead, Forgotten, InventoryRow, RuleRow,
    Store, StoredEvent, SuppressedCount,
};

impl Model {
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
            if let Some(tenant) = self.tenants.get(owner) {
                tenant.incidents.compare(name, &tenant.alerts, store);
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
            let waiting: Vec<_> = self.outbox.iter().skip(delivered).flatten().cloned().collect();
            assert_eq!(rows, waiting);
        }
    }
}

impl Tenant {
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
        self.compare_volumes(name, store);
        self.compare_pending(name, store);
        self.compare_progress(name, store);
        self.compare_alerts(name, store);
    }

    /// How much there is of each log, by what is counted and by what is added up.
    fn compare_volumes(&self, name: &str, store: &dyn Store) {
        for volume in store.volumes(name).expect("volumes") {
            let of_log = |admission: &&Admission| *admission.log == *volume.log && !admission.events.is_empty();
            let held = || self.journal.iter().filter(of_log);
            let events: u64 = held().map(|admission| admission.events.len() as u64).sum();
            assert_eq!(volume.events, events);
            assert_eq!(volume.bytes > 0, events > 0);
            let reach = |admission: &Admission| admission.events.iter().map(|event| event.time).max();
            assert_eq!(volume.oldest, held().filter_map(reach).min());
            let admitted = self.held.iter().filter(|held| held.log == volume.log);
            assert_eq!(volume.admitted, admitted.map(|held| held.ids.len() as u64).sum::<u64>());
        }
    }

    pub(super) fn holds(&self, log: &str, id: &str, time: i64, near: i64) -> bool {
        self.held
            .iter()
            .filter(|held| !(held.is_pruned && held.is_gone))
            .any(|held| {
                let (from, to) = (*held.span.start(), *held.span.end());
                let is_near = time.saturating_add(near) >= from && time.saturating_sub(near) <= to;
                *held.log == *log && is_near && held.ids.contains(id)
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
            let asked = self.held.iter().flat_map(|held| {
                let (from, to) = (*held.span.start(), *held.span.end());
                let times = [from - 1, from, to, to + 1];
                held.ids.iter().flat_map(move |id| times.map(|time| (&**id, time)))
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
            // Some logs from there on, some from the beginning, some not at all.
            let logs: BTreeSet<Arc<str>> = self.journal.iter().map(|admission| admission.log.clone()).collect();
            let from_of = |log: &str| match logs.iter().position(|known| **known == *log)? % 3 {
                0 => Some(from),
                1 => Some(i64::MIN),
                _ => None,
            };
            let asked = logs.iter().filter_map(|log| Some((&**log, from_of(log)?)));
            let pending = store.pending(name, up_to, &asked.collect::<Vec<_>>()).expect("pending");
            let events: Vec<_> = pending
                .iter()
                .flat_map(|admission| &admission.events)
                .cloned()
                .collect();
            let expected = self
                .stored()
                .into_iter()
                .filter(|event| event.seq <= up_to && from_of(&event.log).is_some_and(|from| event.event.time >= from));
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
