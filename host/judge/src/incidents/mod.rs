//! Incidents: alerts that belong together, so that somebody is woken once for what is one thing.
//!
//! Alerts of one tenant that share their [principal](principal()) are one incident when each happened less than four hours, in
//! event time, from another of them. Its id is that of the first alert that was raised, and its severity that of the worst. Whoever
//! pages does so for an alert that opens an incident or is worse than all of it before.
//!
//! - **One alert, one principal, one incident.** So no alert joins two incidents to one, and no id ever changes. Of several
//!   incidents that an alert fits, it joins the one that was opened first.
//! - **An incident ends** for good a day after it was opened: what does not stop is told again, at least once a day.
//! - **Superseded.** An alert of a rule takes the place of those alerts that the rule names in `supersedes`, about the same
//!   subject, of the four hours before it or of the time that its evidence spans. They stay what and where they were; it is noted
//!   with them what took their place. Where its own principal has no incident, the alert joins the one of what it supersedes: so
//!   the use of a bypass code belongs to the administrator who made it, where that was alerted.
//! - **Out of it**: what is suppressed, and what rules in shadow raise. Repeats change nothing. What is of the past has incidents
//!   of its own, and pages nobody.
//!
//! All this depends on the alerts and on their order alone. The order is the journal's: see [`place_in_order`]. So however the
//! journal is cut into pieces, after a crash, and when it is judged again, incidents are the same. (A rule that stood still in
//! quarantine raises its alerts when it goes on, and they come after what the others raised meanwhile.)
//!
//! Of a live tenant nothing is kept in memory: what is on the disk is asked of the store, by principal, and only what is on its
//! way there is remembered ([`Incidents::put_down`]).

mod principal;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use picket_contract::Severity;
use picket_store::{InIncident, IncidentHead, Kin, KinFilter, Reach, ReachFilter, StoreError, Superseded};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::alerts::Raised;
use crate::evidence::InJournal;

pub(crate) use principal::principal;

/// Alerts of one principal that happened less than this from each other are one incident, ms.
pub const WINDOW_MS: i64 = 4 * 3_600_000;
/// So long (ms) after the alert that opened it an incident takes no more, nor does it take what happened so long before.
pub const LONGEST_MS: i64 = 24 * 3_600_000;

/// The order in which alerts are raised: by the journal's entry that let the rows go which raised them; what came late with an
/// entry before what its marks released; then by time, the worst first. Nothing of it depends on how many entries are judged at
/// once, nor on the order in which rules are called.
pub(crate) fn place_in_order<'r>(raised: &'r Raised, rule: &'r str, severity: Severity) -> impl Ord + use<'r> {
    let late_first = !raised.late;
    (
        raised.released,
        late_first,
        raised.alert.time,
        Reverse(severity),
        rule,
        &*raised.id,
    )
}

/// An alert that is about to be written.
pub(crate) struct Newcomer<'a> {
    pub(crate) id: &'a Arc<str>,
    pub(crate) rule: &'a str,
    /// When it happened, event time, ms.
    pub(crate) time: i64,
    /// When the first of its evidence happened, ms.
    pub(crate) since: i64,
    pub(crate) severity: Severity,
    /// Of the past.
    pub(crate) historic: bool,
    pub(crate) principal: Option<Arc<str>>,
    /// The subject's name; empty: none.
    pub(crate) about: &'a str,
    /// Rules whose alerts it takes the place of.
    pub(crate) supersedes: &'a [String],
    /// Rules in force whose alerts take its place.
    pub(crate) superseders: &'a [&'a str],
}

/// Where an alert belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) incident: InIncident,
    /// Whose place it takes.
    pub(crate) supersedes: Vec<Kin>,
}

impl Joined {
    /// For the store.
    pub(crate) fn superseded(&self, by: &Arc<str>) -> impl Iterator<Item = Superseded> {
        self.supersedes.iter().map(move |kin| Superseded {
            alert: kin.alert.clone(),
            by: by.clone(),
        })
    }
}

/// The incidents of one tenant, or of one of its segments.
#[derive(Clone, Default)]
pub(crate) struct Incidents {
    kept: Kept,
    /// By whether they are of the past, and principal.
    reaches: FxHashMap<(bool, Arc<str>), Vec<Reach>>,
    /// The worst of incidents, by whether they are of the past, and id.
    worst: FxHashMap<(bool, Arc<str>), Severity>,
    /// By whether they are of the past, and subject.
    kin: FxHashMap<(bool, Arc<str>), Vec<Kin>>,
    /// Alerts whose place was taken.
    taken: FxHashSet<Arc<str>>,
}

/// Where incidents are remembered.
#[derive(Clone, Default)]
enum Kept {
    /// Here, all of them: who judges keeps the alerts, too.
    #[default]
    Here,
    /// In the store, but for those on their way there.
    InStore(InJournal),
    /// Nowhere: who judges keeps no alerts.
    Nowhere,
}

impl std::fmt::Debug for Incidents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incidents")
            .field("on_their_way", &self.worst.len())
            .finish_non_exhaustive()
    }
}

impl Incidents {
    /// Those of a journal whose alerts are written to its store.
    pub(crate) fn stored(journal: InJournal) -> Self {
        Incidents {
            kept: Kept::InStore(journal),
            ..Incidents::default()
        }
    }

    /// None at all, for who keeps no alerts.
    pub(crate) fn none() -> Self {
        Incidents {
            kept: Kept::Nowhere,
            ..Incidents::default()
        }
    }

    /// What was raised so far is on the disk.
    pub(crate) fn put_down(&mut self) {
        if matches!(self.kept, Kept::InStore(_)) {
            self.reaches.clear();
            self.worst.clear();
            self.kin.clear();
            self.taken.clear();
        }
    }

    /// Where an alert belongs; from now on it is part of that. None: nobody keeps incidents here.
    pub(crate) fn join(&mut self, new: Newcomer<'_>) -> Result<Option<Joined>, StoreError> {
        if matches!(self.kept, Kept::Nowhere) {
            return Ok(None);
        }
        let supersedes = self.takes_place_of(&new)?;
        let by = self.gives_place_to(&new, &supersedes)?;
        let own = match &new.principal {
            Some(principal) => self.near(new.historic, principal, new.time)?,
            None => Vec::new(),
        };
        let own = own.into_iter().map(|reach| reach.incident);
        let of_kin = supersedes.iter().chain(&by).map(|kin| kin.incident.clone());
        let lasts = |head: &IncidentHead| new.time.abs_diff(head.opened) < LONGEST_MS.unsigned_abs();
        let first = |heads: &mut dyn Iterator<Item = IncidentHead>| {
            heads.min_by(|a, b| (a.opened, &a.id).cmp(&(b.opened, &b.id)))
        };
        let joined = first(&mut own.filter(lasts)).or_else(|| first(&mut of_kin.filter(lasts)));
        let is_worse = joined.as_ref().is_none_or(|head| new.severity > head.severity);
        let head = match joined {
            Some(head) => IncidentHead {
                severity: head.severity.max(new.severity),
                ..head
            },
            None => IncidentHead {
                id: new.id.clone(),
                opened: new.time,
                severity: new.severity,
            },
        };
        self.enter(&new, &head, &supersedes, by.is_some());
        Ok(Some(Joined {
            incident: InIncident {
                id: head.id,
                opened: head.opened,
                severity: head.severity,
                page: is_worse && !new.historic,
                principal: new.principal,
                superseded_by: by.map(|kin| kin.alert),
            },
            supersedes,
        }))
    }

    fn enter(&mut self, new: &Newcomer<'_>, head: &IncidentHead, supersedes: &[Kin], is_superseded: bool) {
        self.worst.insert((new.historic, head.id.clone()), head.severity);
        if let Some(principal) = &new.principal {
            let own = Reach {
                incident: head.clone(),
                first: new.time,
                last: new.time,
            };
            merge(self.reaches.entry((new.historic, principal.clone())).or_default(), own);
        }
        if !new.about.is_empty() {
            let all = self.kin.entry((new.historic, new.about.into())).or_default();
            all.push(Kin {
                alert: new.id.clone(),
                rule: new.rule.into(),
                time: new.time,
                incident: head.clone(),
                is_superseded,
            });
        }
        self.taken.extend(supersedes.iter().map(|kin| kin.alert.clone()));
    }

    /// Incidents that have alerts of this principal near this time.
    fn near(&self, historic: bool, principal: &Arc<str>, time: i64) -> Result<Vec<Reach>, StoreError> {
        let (from, to) = (time.saturating_sub(WINDOW_MS - 1), time.saturating_add(WINDOW_MS - 1));
        let mut found = match &self.kept {
            Kept::InStore(journal) => {
                let of = ReachFilter {
                    historic,
                    principal,
                    from,
                    to,
                };
                journal.store.reaches(&journal.tenant, &of)?
            }
            Kept::Here | Kept::Nowhere => Vec::new(),
        };
        let here = self.reaches.get(&(historic, principal.clone()));
        here.into_iter()
            .flatten()
            .for_each(|reach| merge(&mut found, reach.clone()));
        found.retain(|reach| reach.last >= from && reach.first <= to);
        found
            .iter_mut()
            .for_each(|reach| self.worsen(historic, &mut reach.incident));
        Ok(found)
    }

    /// By what is on its way to the disk.
    fn worsen(&self, historic: bool, head: &mut IncidentHead) {
        let worst = self.worst.get(&(historic, head.id.clone()));
        head.severity = worst.map_or(head.severity, |worst| head.severity.max(*worst));
    }

    /// Alerts of these rules about the newcomer's subject, by time.
    fn kin(&self, new: &Newcomer<'_>, rules: &[&str], from: i64, to: i64) -> Result<Vec<Kin>, StoreError> {
        if rules.is_empty() || new.about.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = match &self.kept {
            Kept::InStore(journal) => {
                let of = KinFilter {
                    historic: new.historic,
                    about: new.about,
                    rules,
                    from,
                    to,
                };
                journal.store.kin(&journal.tenant, &of)?
            }
            Kept::Here | Kept::Nowhere => Vec::new(),
        };
        let here = self.kin.get(&(new.historic, new.about.into())).into_iter().flatten();
        found.extend(
            here.filter(|kin| rules.contains(&&*kin.rule) && from <= kin.time && kin.time <= to)
                .cloned(),
        );
        for kin in &mut found {
            self.worsen(new.historic, &mut kin.incident);
            kin.is_superseded |= self.taken.contains(&kin.alert);
        }
        found.sort_by(|a, b| (a.time, &a.alert).cmp(&(b.time, &b.alert)));
        Ok(found)
    }

    fn takes_place_of(&self, new: &Newcomer<'_>) -> Result<Vec<Kin>, StoreError> {
        let rules: Vec<&str> = new.supersedes.iter().map(String::as_str).collect();
        let from = new.time.saturating_sub(WINDOW_MS - 1).min(new.since);
        let mut found = self.kin(new, &rules, from, new.time)?;
        found.retain(|kin| !kin.is_superseded);
        Ok(found)
    }

    /// The alert that has its place already, where it comes late.
    fn gives_place_to(&self, new: &Newcomer<'_>, supersedes: &[Kin]) -> Result<Option<Kin>, StoreError> {
        let to = new.time.saturating_add(WINDOW_MS - 1);
        let found = self.kin(new, new.superseders, new.time, to)?;
        // Of two rules that name each other, only one's alert takes the other's place.
        let is_free = |kin: &Kin| supersedes.iter().all(|taken| taken.alert != kin.alert);
        Ok(found.into_iter().find(is_free))
    }
}

/// One more; the same incident is one, from the earliest to the latest.
fn merge(reaches: &mut Vec<Reach>, new: Reach) {
    match reaches.iter_mut().find(|reach| reach.incident.id == new.incident.id) {
        Some(same) => {
            same.first = same.first.min(new.first);
            same.last = same.last.max(new.last);
            same.incident.severity = same.incident.severity.max(new.incident.severity);
        }
        None => reaches.push(new),
    }
}
