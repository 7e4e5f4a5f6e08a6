//! What a store holds of a tenant, without what depends on when and in which pieces it was collected.

use std::collections::BTreeMap;

use picket_contract::RuleState;
use picket_store::{AlertFilter, DedupRow, EventFilter, Store, StoredEvent};
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
    /// The event that a journal number stands for: numbers are given in order of arrival.
    numbers: BTreeMap<u64, (String, String)>,
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
        let stored = store.search(tenant, &EventFilter::default()).unwrap();
        let name = |event: &StoredEvent| (event.seq, (event.log.to_string(), event.event.id.to_string()));
        let numbers = stored.iter().map(name).collect();
        let mut events: Vec<(String, String, String)> = stored
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
                // Which alert came first is a matter of which log did.
                for of_order in ["incident", "related", "superseded_by"] {
                    object.remove(of_order);
                }
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
            numbers,
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
                self.remembers_the_same(state, other, other_state),
                "{what}: rule {rule}: {state:?}\nnot\n{other_state:?}"
            );
        }
        assert_eq!(self.rules.len(), other.rules.len(), "{what}: rules");
    }

    fn remembers_the_same(&self, state: &RuleState, other: &Snapshot, other_state: &RuleState) -> bool {
        let entries = |state: &RuleState| -> Vec<(Vec<u8>, i64, Vec<u8>)> {
            let entries = state.entries();
            entries
                .map(|(key, entry)| (key.to_vec(), entry.expires_at, entry.value.to_vec()))
                .collect()
        };
        let (ours, theirs) = (entries(state), entries(other_state));
        state.clock() == other_state.clock()
            && state.timers().eq(other_state.timers())
            && ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| {
                (&ours.0, ours.1) == (&theirs.0, theirs.1) && self.mean_the_same(&ours.2, other, &theirs.2)
            })
    }

    /// Equal but for journal numbers in them, and those stand for the same events.
    fn mean_the_same(&self, ours: &[u8], other: &Snapshot, theirs: &[u8]) -> bool {
        if ours.len() != theirs.len() {
            return false;
        }
        let event = |snapshot: &Snapshot, bytes: &[u8], at: usize| {
            let number = bytes.get(at..at + 8)?.try_into().map(u64::from_le_bytes).ok()?;
            snapshot.numbers.get(&number).cloned()
        };
        let mut from = 0;
        while let Some(differs) = (from..ours.len()).find(|at| ours[*at] != theirs[*at]) {
            let is_number = |at: &usize| {
                let named = event(self, ours, *at);
                named.is_some() && named == event(other, theirs, *at)
            };
            let Some(at) = (from.max(differs.saturating_sub(7))..=differs).find(is_number) else {
                return false;
            };
            from = at + 8;
        }
        true
    }
}
