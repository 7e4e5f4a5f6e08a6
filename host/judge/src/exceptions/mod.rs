//! Exceptions: what an operator does not want to be told of, for how long, and why.
//!
//! An exception suppresses an alert, never an event: the rule has judged, its state goes on, and the alert is written up and kept,
//! with the exception's name. It is not delivered, and it opens no dedup period: the first like it that the exception does not
//! cover goes out. So that it can, it has an id of its own (`su_...`), as alerts in shadow do.
//!
//! All conditions of an exception must hold, and each for **all** of the evidence: an exception for one address does not hide the
//! spray in which that address is one of many. What an alert says nothing of is not matched.
//!
//! Time is the alert's own (when it happened, by the events), never the clock on the wall: an alert of before the end date is
//! suppressed also where a backlog has it judged days later, and a journal that is read a second time gives the same. What
//! groups a user is in is known as of now alone: it is the one thing here that a replay may see otherwise.
//!
//! A rule without exceptions pays nothing for any of this; with them, the evidence is looked at once for each alert that is no
//! repeat.

mod hours;
mod matter;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};

pub use hours::Hours;
pub use matter::Matter;

use crate::alerts;
use crate::people::People;

/// One exception, as it holds for one rule of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Unique within the tenant.
    pub name: Arc<str>,
    /// Whoever answers for it.
    pub owner: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// Where more is written about it.
    pub ticket: Option<Arc<str>>,
    /// The first moment that it covers, event time, ms; none: it was always so.
    pub from: Option<i64>,
    /// The first moment that it does not cover any more, event time, ms; none: it never ends.
    pub until: Option<i64>,
    /// All must hold; none is no exception at all.
    pub conditions: Vec<Condition>,
}

/// One thing that must be so of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A field of the evidence (`access_device.ip`), or something of the alert itself ([`OF_ALERT`], `facts.<name>`).
    Field {
        /// Which.
        path: String,
        /// One of these.
        values: Texts,
    },
    /// Everybody or everything of a kind in the evidence.
    Entity {
        /// Of which kind.
        kind: Kind,
        /// One of these.
        values: Texts,
    },
    /// Every address of the evidence is in one of these.
    Networks(Vec<IpNet>),
    /// Every user of the evidence is in one of these groups, by the inventory.
    Groups(Texts),
    /// It happened at one of these hours, where the tenant is.
    Hours(Vec<Hours>),
}

/// Texts of which one must be met, whatever the case of their letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(BTreeSet<String>);

impl Texts {
    fn has(&self, text: &str) -> bool {
        self.0.contains(&text.to_lowercase())
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        Texts(
            texts
                .into_iter()
                .map(|text| text.as_ref().trim().to_lowercase())
                .collect(),
        )
    }
}

/// What an alert says of itself, for [`Condition::Field`]; facts are `facts.<name>`.
pub const OF_ALERT: [&str; 5] = ["about.key", "about.name", "dedup_key", "severity", "outcome"];

/// Of which kind an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The Duo user, by name or key.
    User,
    /// Who did it, where that is somebody else.
    Actor,
    /// Where they came from.
    Address,
    /// The country of the address, by Duo.
    Country,
    /// The application's name.
    Application,
    /// The second factor's device.
    Device,
}

impl Kind {
    /// All, with what an operator calls them.
    pub const ALL: [(&'static str, Kind); 6] = [
        ("user", Kind::User),
        ("actor", Kind::Actor),
        ("address", Kind::Address),
        ("country", Kind::Country),
        ("application", Kind::Application),
        ("device", Kind::Device),
    ];
}

impl Exception {
    /// Whether it covers this alert. `people`: who knows which groups a user is in.
    #[must_use]
    pub fn covers(&self, matter: &Matter<'_>, people: &dyn People) -> bool {
        let time = matter.time();
        self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && !self.conditions.is_empty()
            && self.conditions.iter().all(|condition| condition.holds(matter, people))
    }

    /// For the alert's JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "exception": *self.name,
            "owner": *self.owner,
            "reason": *self.reason,
            "ticket": self.ticket.as_deref(),
            "until": self.until.map(picket_event::rfc3339),
        })
    }
}

impl Condition {
    fn holds(&self, matter: &Matter<'_>, people: &dyn People) -> bool {
        match self {
            Condition::Field { path, values } => all(&matter.field(path), |value| values.has(value)),
            Condition::Entity { kind, values } => all(&matter.entities(*kind), |names| {
                names.iter().any(|name| values.has(name))
            }),
            Condition::Networks(networks) => all(&matter.entities(Kind::Address), |names| {
                let address: Option<IpAddr> = names.first().and_then(|address| address.parse().ok());
                address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
            }),
            Condition::Groups(groups) => all(&matter.users(), |(key, name)| {
                let person = people.find(key.as_deref(), name.as_deref());
                person.is_some_and(|person| person.groups.iter().any(|group| groups.has(group)))
            }),
            Condition::Hours(hours) => matter
                .local()
                .is_some_and(|local| hours.iter().any(|hours| hours.has(local))),
        }
    }

    /// The field of the evidence that it reads, if it reads one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Condition::Field { path, .. } if !is_of_alert(path) => Some(path),
            _ => None,
        }
    }
}

/// Whether a field is the alert's own, and not of its evidence.
#[must_use]
pub fn is_of_alert(path: &str) -> bool {
    OF_ALERT.contains(&path) || path.starts_with("facts.")
}

/// There is at least one, and it holds for all.
fn all<T>(values: &[T], holds: impl Fn(&T) -> bool) -> bool {
    !values.is_empty() && values.iter().all(holds)
}

/// The first that covers an alert.
#[must_use]
pub fn first<'a>(exceptions: &'a [Arc<Exception>], matter: &Matter<'_>, people: &dyn People) -> Option<&'a Exception> {
    let mut exceptions = exceptions.iter().map(|exception| &**exception);
    exceptions.find(|exception| exception.covers(matter, people))
}

/// The id of a suppressed alert: another than it would have had, so that the same may go out when the exception is over.
pub(crate) fn id(id: &str, in_shadow: bool) -> Arc<str> {
    if in_shadow {
        // It stays among those in shadow.
        alerts::id(id, "suppressed", "", "").replacen("al_", "sh_", 1).into()
    } else {
        id.replacen("al_", "su_", 1).into()
    }
}

#[cfg(test)]
mod tests;
