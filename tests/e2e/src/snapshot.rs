//! What a store holds of a tenant, without what depends on when and in which pieces it was collected.

use std::collections::BTreeMap;

use picket_contract::RuleState;
use picket_store::{AlertFilter, DedupRow, EventFilter, Store};
use serde_json::Value;

/// Two runs over the same Duo are equal if these are.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// (log, id, text as received), sorted; an event stored twice is here twice.
    pub events: Vec<(String, String, String)>,
    /// By id: the alert as JSON without the wall clock, repeats, last repeat.
    pub alerts: BTreeMap<String, (Value, u64, Option<i64>)>,
    /// Open dedup windows.
    pub dedup: Vec<DedupRow>,
    /// By rule: what it remembers, whether it is in quarantine. Not its position: how far logs are complete is a matter of when
    /// Duo was asked last; see [`crate::Site::settle`].
    pub rules: BTreeMap<String, (RuleState, bool)>,
}

impl Snapshot {
    /// Reads it.
    ///
    /// # Panics
    /// The store cannot be read.
    #[must_use]
    pub fn of(store: &dyn Store, tenant: &str) -> Self {
        let mut events: Vec<(String, String, String)> = store
            .search(tenant, &EventFilter::default())
            .unwrap()
            .into_iter()
            .map(|event| {
                (
                    event.log.to_string(),
                    event.event.id.to_string(),
                    event.event.raw.to_string(),
                )
            })
            .collect();
        events.sort();
        let alerts = store
            .alerts(tenant, &AlertFilter::default())
            .unwrap()
            .into_iter()
            .map(|alert| {
                let mut json: Value = serde_json::from_str(&alert.json).unwrap();
                let object = json.as_object_mut().unwrap();
                object.remove("raised");
                object.remove("delay");
                (alert.id.to_string(), (json, alert.repeats, alert.last_repeat))
            });
        let rules = store.rules(tenant).unwrap().into_iter().map(|row| {
            let state = store.state(tenant, &row.rule, row.state_version).unwrap();
            let quarantined = row.standing.quarantine.is_some();
            (row.rule.to_string(), (state, quarantined))
        });
        Snapshot {
            events,
            alerts: alerts.collect(),
            dedup: store.dedup(tenant, i64::MIN).unwrap(),
            rules: rules.collect(),
        }
    }

    /// Fails at the first difference, and shows it alone.
    ///
    /// # Panics
    /// There is one.
    pub fn assert_same(&self, other: &Snapshot, what: &str) {
        assert!(
            self.events.windows(2).all(|pair| pair[0] != pair[1]),
            "{what}: an event is stored twice"
        );
        let (ours, theirs) = (self.events.len(), other.events.len());
        let odd = self
            .events
            .iter()
            .find(|event| other.events.binary_search(event).is_err());
        let missing = other
            .events
            .iter()
            .find(|event| self.events.binary_search(event).is_err());
        assert!(
            self.events == other.events,
            "{what}: {ours} events, not {theirs}; first too much {odd:?}, first missing {missing:?}"
        );
        let ids = |snapshot: &Snapshot| snapshot.alerts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(self), ids(other), "{what}: alerts");
        for (id, alert) in &self.alerts {
            assert_eq!(alert, &other.alerts[id], "{what}: alert {id}");
        }
        assert_eq!(self.dedup, other.dedup, "{what}: dedup windows");
        for (rule, (state, quarantined)) in &self.rules {
            let (other_state, other_quarantined) = &other.rules[rule];
            assert_eq!(quarantined, other_quarantined, "{what}: rule {rule}: quarantine");
            assert!(
                state == other_state,
                "{what}: rule {rule}: {state:?}\nnot\n{other_state:?}"
            );
        }
        assert_eq!(self.rules.len(), other.rules.len(), "{what}: rules");
    }
}
