//! Rules that keep state and still read their logs' past: how far that is, and when it will be done.
//!
//! A log's history is being read while its cursor has a live walk beside it. A rule is warm when none of its logs has one.
//! How fast that goes is measured since this daemon started: without a pace there is no estimate.

use std::collections::BTreeMap;

use picket_collect::{ADMIN, Cursor, LogHealth};
use picket_contract::RuleManifest;
use picket_store::Store;

use crate::backfill::ready;

/// How fast the past of each log is read: when it was first looked at (wall clock, ms), and how far it was then.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    seen: BTreeMap<String, (i64, i64)>,
    ready: BTreeMap<String, i64>,
}

impl Paces {
    /// Looks at how the logs stand at `now` (wall clock, ms).
    pub(crate) fn look(&mut self, logs: &[LogHealth], now: i64) {
        for health in logs {
            let (log, Some(history)) = (health.log.journal(), health.history) else {
                continue;
            };
            let (since, from) = *self.seen.entry(log.to_owned()).or_insert((now, history.read_to));
            let left = history.to.saturating_sub(history.read_to).max(0);
            match ready(now, left, now - since, history.read_to - from) {
                Some(ready) => self.ready.insert(log.to_owned(), ready),
                None => self.ready.remove(log),
            };
        }
    }
}

/// How far a rule's history is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Warming {
    /// Of the log that is least far, 0 to 100.
    pub(crate) percent: f64,
    /// Wall clock, ms; none: there is no pace yet.
    pub(crate) ready: Option<i64>,
}

impl Warming {
    /// Of both the one that takes longer.
    pub(crate) fn later(self, other: Warming) -> Warming {
        Warming {
            percent: self.percent.min(other.percent),
            ready: self.ready.zip(other.ready).map(|(one, other)| one.max(other)),
        }
    }
}

/// How far the history of each log of a tenant is; logs that have none, or have read it, are left out.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    logs: BTreeMap<String, Warming>,
}

impl Histories {
    /// As the store's cursors say; `paces` is of the running daemon.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn of(store: &dyn Store, tenant: &str, paces: Option<&Paces>) -> anyhow::Result<Self> {
        let mut logs: BTreeMap<String, Warming> = BTreeMap::new();
        for row in store.cursors(tenant)? {
            let Ok(cursor) = Cursor::read(Some(&row)) else { continue };
            let (Some(start), Some(first), Some(_)) = (cursor.start, cursor.first, cursor.live) else {
                continue;
            };
            // Both shapes of telephony are one log.
            let log = row.log.strip_suffix("_v1").unwrap_or(&row.log).to_owned();
            let read = cursor.read_to.map_or(0, |read_to| read_to - start);
            let warming = Warming {
                percent: percent(read, first - start),
                ready: paces.and_then(|paces| paces.ready.get(&log).copied()),
            };
            logs.insert(log, warming);
        }
        Ok(Histories { logs })
    }

    /// How far a rule's history is; none: it needs none, or has it.
    pub(crate) fn of_rule(&self, rule: &RuleManifest) -> Option<Warming> {
        if !rule.keeps_state() {
            return None;
        }
        let of = |log: &str| self.logs.get(log).copied();
        let named = rule.logs().into_iter().filter_map(|log| match log {
            ADMIN => of("activity").or_else(|| of("administrator")),
            log => of(log),
        });
        named.reduce(Warming::later)
    }
}

fn percent(read: i64, whole: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    let part = read.max(0) as f64 / whole.max(1) as f64;
    (part * 100.0).floor().clamp(0.0, 99.0)
}

#[cfg(test)]
mod tests {
    use picket_store::{CursorRow, SqliteStore, Transaction};

    use super::*;

    fn cursor(log: &str, cursor: &str) -> CursorRow {
        CursorRow {
            log: log.into(),
            cursor: cursor.to_owned(),
        }
    }

    fn rule(logs: &[&str], keeps: bool) -> RuleManifest {
        let sources: Vec<_> = logs
            .iter()
            .map(|log| serde_json::json!({"log": log, "fields": []}))
            .collect();
        let look_back = if keeps { 1 } else { 0 };
        serde_json::from_value(
            serde_json::json!({"id": "r", "version": "1.0.0", "title": "", "severity": "low",
            "sources": sources, "state": {"look_back_ms": look_back}}),
        )
        .unwrap()
    }

    #[test]
    fn a_rule_is_as_warm_as_the_log_that_is_least_far() {
        let store = SqliteStore::in_memory().unwrap();
        let live = r#""live":{"read_to":1000}"#;
        let cursors = vec![
            cursor(
                "authentication",
                &format!(r#"{{"start":0,"first":1000,"read_to":620,{live}}}"#),
            ),
            cursor(
                "activity",
                &format!(r#"{{"start":0,"first":1000,"read_to":200,{live}}}"#),
            ),
            cursor("telephony", r#"{"start":0,"first":1000,"read_to":1500}"#),
        ];
        let transaction = Transaction {
            cursors,
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
        let mut paces = Paces::default();
        paces
            .ready
            .extend([("authentication".to_owned(), 5), ("activity".to_owned(), 9)]);
        let histories = Histories::of(&store, "acme", Some(&paces)).unwrap();
        let of = |logs: &[&str]| {
            histories
                .of_rule(&rule(logs, true))
                .map(|warming| (warming.percent, warming.ready))
        };
        assert_eq!(of(&["authentication"]), Some((62.0, Some(5))));
        assert_eq!(of(&["admin", "authentication"]), Some((20.0, Some(9))));
        assert_eq!(of(&["telephony"]), None, "its history has been read");
        assert_eq!(of(&["collector"]), None);
        assert_eq!(
            histories.of_rule(&rule(&["authentication"], false)),
            None,
            "it keeps no state"
        );
        let offline = Histories::of(&store, "acme", None).unwrap();
        assert_eq!(offline.of_rule(&rule(&["authentication"], true)).unwrap().ready, None);
    }
}
