//! What is given up because it is old.
//!
//! Age is by Duo's clock, which came with an answer since the start: a machine whose own clock jumps ahead would else give up
//! everything. What a rule that goes on has not been shown yet stays; one that stands still (paused, quarantined) holds nothing
//! back, and what it misses is noted with it as a gap when it goes on.

use std::time::Duration;

use picket_store::{Old, RuleRow, Store, StoreError};

use crate::config::Retention;

/// Events, ids or alerts that are given up in one transaction.
const AT_ONCE: u64 = 5_000;
/// Between two of these others write.
const PAUSE: Duration = Duration::from_millis(10);
/// Ids of events are remembered for so much longer (ms) than they are asked for again in the ordinary way.
const IDS_LONGER: i64 = 2 * 86_400_000;
/// Its rows are looked for at any time: their ids go with them.
const ANY_TIME: &str = "trust_monitor";

/// A rule that goes on, and what it reads.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// As the rule names them.
    pub(super) logs: Vec<String>,
    /// How far it is.
    pub(super) row: RuleRow,
}

impl Reading {
    fn reads(&self, log: &str) -> bool {
        let feeds_admin = matches!(log, "activity" | "administrator");
        self.logs
            .iter()
            .any(|own| own == log || (own == "admin" && feeds_admin))
    }
}

/// Who reads the journal besides rules, holds nothing back, and is told what it will never get.
pub(crate) trait Readers {
    /// By name, those that want a log's events, and up to which number they have got them.
    fn behind(&self, tenant: &str, log: &str) -> Vec<(String, u64)>;
    /// So many events are gone that one had not got.
    fn lost(&self, name: &str, tenant: &str, log: &str, events: u64);
}

/// Forgets, first what every reader has got; what then goes, each that had not got it is told of.
fn forget(store: &dyn Store, readers: &dyn Readers, journal: &str, log: &str, old: &Old) -> Result<u64, StoreError> {
    let behind = readers.behind(journal, log);
    let mut steps: Vec<u64> = behind.iter().map(|(_, after)| (*after).min(old.up_to)).collect();
    steps.push(old.up_to);
    steps.sort_unstable();
    steps.dedup();
    for up_to in steps {
        let gone = store.forget(journal, log, &Old { up_to, ..*old })?;
        if gone > 0 {
            for (name, _) in behind.iter().filter(|(_, after)| *after < up_to) {
                readers.lost(name, journal, log, gone);
            }
            return Ok(gone);
        }
    }
    Ok(0)
}

/// What was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    pub(super) events: u64,
    pub(super) ids: u64,
    pub(super) alerts: u64,
}

/// What is to be known of a tenant.
pub(super) struct About<'a> {
    pub(super) tenant: &'a str,
    pub(super) retention: &'a Retention,
    /// Duo's clock, ms.
    pub(super) now: i64,
    /// How much of the past is asked for again, ms.
    pub(super) overlap: i64,
    /// Rules that go on.
    pub(super) reading: &'a [Reading],
    /// Alerts up to this number have been delivered to every sink.
    pub(super) delivered: u64,
}

impl About<'_> {
    /// What of a log may go that is older than `before`: nothing that a rule that goes on has not been shown.
    pub(super) fn old(&self, log: &str, before: i64) -> Old {
        let mut old = Old {
            most: AT_ONCE,
            ..Old::than(before)
        };
        for reading in self.reading.iter().filter(|reading| reading.reads(log)) {
            let position = &reading.row.position;
            old.before = old.before.min(position.released.time);
            old.up_to = old.up_to.min(position.seq);
        }
        old
    }
}

/// Gives up what is old of a tenant and its segments, in small pieces, as long as `is_wanted`.
pub(super) fn prune(
    store: &dyn Store,
    about: &About<'_>,
    readers: &dyn Readers,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let repeat = |step: &dyn Fn() -> Result<u64, StoreError>| -> Result<u64, StoreError> {
        let mut all = 0;
        while is_wanted() {
            let gone = step()?;
            if gone == 0 {
                break;
            }
            all += gone;
            std::thread::sleep(PAUSE);
        }
        Ok(all)
    };
    for journal in journals(store, about.tenant)? {
        for volume in store.volumes(&journal)? {
            let log = &*volume.log;
            let kept = about.retention.of(log);
            if let Some(kept) = kept.filter(|_| volume.events > 0) {
                let before = about.now.saturating_sub(kept);
                let old = if *journal == *about.tenant {
                    about.old(log, before)
                } else {
                    Old {
                        most: AT_ONCE,
                        ..Old::than(before)
                    }
                };
                pruned.events += repeat(&|| forget(store, readers, &journal, log, &old))?;
            }
            let ids = match (log == ANY_TIME, kept) {
                (true, None) => continue,
                (true, Some(kept)) => kept,
                (false, _) => about.overlap,
            };
            let before = about.now.saturating_sub(ids).saturating_sub(IDS_LONGER);
            pruned.ids += repeat(&|| store.forget_ids(&journal, log, before, AT_ONCE))?;
        }
    }
    if let Some(kept) = about.retention.alerts {
        let before = about.now.saturating_sub(kept);
        pruned.alerts += repeat(&|| store.forget_alerts(about.tenant, before, about.delivered, AT_ONCE))?;
    }
    Ok(pruned)
}

/// A tenant's own journal, and those of its segments that have been judged to their end.
fn journals(store: &dyn Store, tenant: &str) -> Result<Vec<std::sync::Arc<str>>, StoreError> {
    let mut journals = vec![tenant.into()];
    for segment in store.segments(tenant)? {
        if store.rules(&segment)?.is_empty() {
            journals.push(segment);
        }
    }
    Ok(journals)
}

/// A journal's log and what may go of it.
type Oldest = (i64, std::sync::Arc<str>, std::sync::Arc<str>);

/// Gives up the oldest events of all tenants until all events take at most `size` bytes. `may_go` says what of a log of a
/// journal may go at all; none: nothing. Returns how many events went, and how many bytes there are then.
pub(super) fn squeeze(
    store: &dyn Store,
    size: u64,
    may_go: &dyn Fn(&str, &str) -> Option<Old>,
    readers: &dyn Readers,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(u64, u64), StoreError> {
    let mut events = 0;
    loop {
        let mut bytes = 0;
        let mut oldest: Vec<Oldest> = Vec::new();
        for tenant in store.tenants()? {
            let segments = store.segments(&tenant)?;
            for journal in segments.into_iter().chain([tenant]) {
                for volume in store.volumes(&journal)? {
                    bytes += volume.bytes;
                    if let Some(time) = volume.oldest {
                        oldest.push((time, journal.clone(), volume.log));
                    }
                }
            }
        }
        if bytes <= size || !is_wanted() {
            return Ok((events, bytes));
        }
        oldest.sort();
        let mut went = 0;
        // The oldest, and with it what is nearly as old: not one more look at every tenant for each piece.
        let until = oldest
            .first()
            .map_or(i64::MIN, |(time, ..)| time.saturating_add(3_600_000));
        for (time, journal, log) in oldest {
            let Some(old) = may_go(&journal, &log) else { continue };
            if went > 0 && time > until {
                break;
            }
            went += forget(store, readers, &journal, &log, &old)?;
            std::thread::sleep(PAUSE);
        }
        if went == 0 {
            return Ok((events, bytes));
        }
        events += went;
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::{Admission, EventRecord, Key, Position, StateSummary};
    use picket_store::{SqliteStore, Standing, Transaction};

    use super::*;

    const DAY: i64 = 86_400_000;

    struct Nobody;

    impl Readers for Nobody {
        fn behind(&self, _: &str, _: &str) -> Vec<(String, u64)> {
            Vec::new()
        }

        fn lost(&self, name: &str, _: &str, _: &str, _: u64) {
            panic!("{name}")
        }
    }

    /// Sinks that have got so many numbers of authentication's, and what they were told.
    struct Sinks(Vec<(&'static str, u64)>, std::sync::Mutex<Vec<(String, u64)>>);

    impl Readers for Sinks {
        fn behind(&self, _: &str, log: &str) -> Vec<(String, u64)> {
            let all = self.0.iter().filter(|_| log == "authentication");
            all.map(|(name, after)| ((*name).to_owned(), *after)).collect()
        }

        fn lost(&self, name: &str, tenant: &str, _: &str, events: u64) {
            assert_eq!(tenant, "acme");
            self.1.lock().unwrap().push((name.to_owned(), events));
        }
    }

    #[test]
    fn a_sink_is_told_of_what_went_before_it_had_got_it() {
        let store = store(&["acme"], 10);
        let retention = Retention {
            events: Some(DAY),
            ..Retention::default()
        };
        let about = About {
            tenant: "acme",
            retention: &retention,
            now: 20 * DAY,
            overlap: DAY,
            reading: &[],
            delivered: 0,
        };
        // Odd numbers are authentication's: one has got two of ten, one six, one all.
        let sinks = Sinks(
            vec![("slow", 4), ("late", 12), ("well", 20)],
            std::sync::Mutex::default(),
        );
        assert_eq!(prune(&store, &about, &sinks, &|| true).unwrap().events, 20);
        let mut told = std::collections::BTreeMap::new();
        for (name, events) in sinks.1.into_inner().unwrap() {
            *told.entry(name).or_insert(0) += events;
        }
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [("late".to_owned(), 4), ("slow".to_owned(), 8)]
        );
    }

    /// A day's event a day, of each log, with the day in its id.
    fn store(tenants: &[&str], days: i64) -> SqliteStore {
        let store = SqliteStore::in_memory().unwrap();
        for tenant in tenants {
            let mut seq = 0;
            for day in 0..days {
                for log in ["authentication", "telephony"] {
                    seq += 1;
                    let event = EventRecord {
                        id: format!("{log}-{day}").into(),
                        time: day * DAY + 5,
                        raw: format!("{{\"day\":{day},\"tenant\":\"{tenant}\"}}").into(),
                    };
                    let admission = Admission {
                        first_seq: seq,
                        log: log.into(),
                        events: vec![event],
                        marks: vec![],
                    };
                    let transaction = Transaction {
                        admissions: vec![admission],
                        ..Transaction::default()
                    };
                    store.transact(tenant, transaction).unwrap();
                }
            }
        }
        store
    }

    fn reading(log: &str, seq: u64, time: i64) -> Reading {
        Reading {
            logs: vec![log.to_owned()],
            row: RuleRow {
                rule: "r".into(),
                state_version: 1,
                position: Position {
                    seq,
                    released: Key::end_of(time),
                },
                remembers: StateSummary::default(),
                standing: Standing::default(),
            },
        }
    }

    fn held(store: &SqliteStore, tenant: &str) -> Vec<(String, u64)> {
        let counts = store.count(tenant).unwrap();
        counts
            .into_iter()
            .map(|(log, events)| (log.to_string(), events))
            .collect()
    }

    #[test]
    fn each_log_is_kept_as_long_as_is_said() {
        let store = store(&["acme"], 10);
        let retention = Retention {
            events: Some(4 * DAY),
            logs: [("telephony".to_owned(), Some(2 * DAY))].into(),
            ..Retention::default()
        };
        let about = |now: i64, reading: &'static [Reading]| About {
            tenant: "acme",
            retention: Box::leak(Box::new(retention.clone())),
            now,
            overlap: DAY,
            reading,
            delivered: 0,
        };
        let pruned = prune(&store, &about(10 * DAY, &[]), &Nobody, &|| true).unwrap();
        assert_eq!((pruned.events, pruned.alerts), (6 + 8, 0));
        assert_eq!(
            held(&store, "acme"),
            [("authentication".to_owned(), 4), ("telephony".to_owned(), 2)]
        );
        // Ids of what may be asked for again are kept, and what is held is known.
        let known = store
            .known("acme", "authentication", &[("authentication-9", 9 * DAY + 5)], 0)
            .unwrap();
        assert_eq!((known, pruned.ids), (vec![true], 14));
        assert_eq!(
            prune(&store, &about(10 * DAY, &[]), &Nobody, &|| true).unwrap(),
            Pruned::default()
        );
        assert_eq!(
            prune(&store, &about(99 * DAY, &[]), &Nobody, &|| false).unwrap(),
            Pruned::default()
        );
    }

    #[test]
    fn what_a_rule_that_goes_on_was_not_shown_stays() {
        let store = store(&["acme"], 10);
        let retention = Retention {
            events: Some(DAY),
            ..Retention::default()
        };
        // It has read 12 entries, and been shown what lies before day 4.
        let slow = [reading("authentication", 12, 4 * DAY), reading("admin", 0, i64::MIN)];
        let about = About {
            tenant: "acme",
            retention: &retention,
            now: 20 * DAY,
            overlap: DAY,
            reading: &slow,
            delivered: 0,
        };
        assert_eq!(prune(&store, &about, &Nobody, &|| true).unwrap().events, 4 + 10);
        assert_eq!(held(&store, "acme"), [("authentication".to_owned(), 6)]);
        assert_eq!(
            (about.old("activity", 5).up_to, about.old("administrator", 5).before),
            (0, i64::MIN)
        );
    }

    #[test]
    fn the_oldest_of_all_tenants_give_way_to_a_size() {
        let store = store(&["acme", "globex"], 10);
        let total = || -> u64 {
            let of = |tenant| {
                store
                    .volumes(tenant)
                    .unwrap()
                    .iter()
                    .map(|volume| volume.bytes)
                    .sum::<u64>()
            };
            of("acme") + of("globex")
        };
        let may_go = |_: &str, log: &str| {
            let most = Old {
                most: 1,
                ..Old::than(9 * DAY)
            };
            (log == "authentication").then_some(most)
        };
        let before = total();
        let (events, bytes) = squeeze(&store, before * 3 / 4, &may_go, &Nobody, &|| true).unwrap();
        assert!(
            events >= 10 && bytes == total() && bytes <= before * 3 / 4,
            "{events} {bytes}"
        );
        let left = |tenant| held(&store, tenant)[0].1;
        assert!(left("acme").abs_diff(left("globex")) <= 1, "the oldest, whosesoever");
        // Below what may go nothing goes.
        let (_, bytes) = squeeze(&store, 1, &may_go, &Nobody, &|| true).unwrap();
        assert!(bytes > 1 && left("acme") == 1 && held(&store, "acme")[1].1 == 10);
    }
}
