//! What a rule answers.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::Time;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For the record.
    Info,
    /// Look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

/// An event that can be evidence: when it happened, and its number in the tenant's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    pub(crate) time: Time,
    pub(crate) event: u64,
}

impl Handle {
    /// Of an event's time (ms) and journal number.
    pub(crate) fn new(time: i64, event: u64) -> Self {
        let time = Time::from_ms(time);
        Handle { time, event }
    }

    /// When the event happened.
    #[must_use]
    pub fn time(self) -> Time {
        self.time
    }
}

/// An alert. The rule writes title, facts and evidence; the host derives everything else from the evidence.
#[derive(Debug, Clone)]
#[must_use = "an alert that is not returned is not raised"]
pub struct Alert {
    pub(crate) title: String,
    pub(crate) dedup_key: Option<String>,
    pub(crate) severity: Option<Severity>,
    pub(crate) about: Option<(String, String, String)>,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) evidence: Vec<Handle>,
    pub(crate) raised_by: Option<Handle>,
}

impl Alert {
    pub(crate) fn new(title: String, raised_by: Option<Handle>) -> Self {
        Alert {
            title,
            dedup_key: None,
            severity: None,
            about: None,
            facts: Vec::new(),
            evidence: Vec::new(),
            raised_by,
        }
    }

    /// Something an analyst wants to know and cannot see from the events.
    pub fn fact(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }

    /// Worse, or less bad, than the rule's alerts usually are.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// The one entity it is about, where that is not the user of the row that raised it: its kind (`user`, `ip`, `phone`,
    /// `application`), its stable key, its name for people.
    pub fn about(mut self, kind: impl Into<String>, key: impl Into<String>, name: impl Into<String>) -> Self {
        self.about = Some((kind.into(), key.into(), name.into()));
        self
    }

    /// Earlier events that prove it. The row that raised it is always part of the evidence.
    pub fn evidence(mut self, handles: impl IntoIterator<Item = Handle>) -> Self {
        self.evidence.extend(handles);
        self
    }

    /// Alerts of one rule with one key within its dedup period are one. Without it: the user of the row that raised it.
    pub fn dedup(mut self, key: impl Into<String>) -> Self {
        self.dedup_key = Some(key.into());
        self
    }

    /// The evidence in the order it happened, each event once, the row that raised it after others of its time; and what
    /// raised it: for a timer, the last of the evidence.
    pub(crate) fn proof(&self) -> Result<(Vec<Handle>, Handle), String> {
        let mut proof: Vec<Handle> = Vec::with_capacity(self.evidence.len() + 1);
        let others = self.evidence.iter().filter(|handle| Some(**handle) != self.raised_by);
        if others.clone().is_sorted_by(|one, next| one.event < next.event) {
            proof.extend(others);
        } else {
            let mut seen = BTreeSet::new();
            proof.extend(others.filter(|handle| seen.insert(handle.event)));
        }
        proof.extend(self.raised_by);
        proof.sort_by_key(|handle| handle.time);
        let raised_by = self.raised_by.or(proof.last().copied());
        match raised_by {
            Some(raised_by) => Ok((proof, raised_by)),
            None => Err(format!(
                "the alert \"{}\" was raised by a timer and has no evidence",
                self.title
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: i64, event: u64) -> Handle {
        Handle {
            time: Time::from_ms(time),
            event,
        }
    }

    #[test]
    fn evidence_is_in_order_and_holds_the_row_that_raised_it() {
        let alert = Alert::new("x".into(), Some(at(5, 2))).evidence([at(9, 4), at(5, 3), at(1, 1), at(1, 1), at(5, 2)]);
        assert_eq!(
            alert.proof(),
            Ok((vec![at(1, 1), at(5, 3), at(5, 2), at(9, 4)], at(5, 2)))
        );
    }

    #[test]
    fn a_timer_needs_evidence() {
        let alert = Alert::new("x".into(), None);
        assert!(alert.proof().is_err());
        assert_eq!(
            alert.evidence([at(2, 2), at(1, 1)]).proof(),
            Ok((vec![at(1, 1), at(2, 2)], at(2, 2)))
        );
    }
}
