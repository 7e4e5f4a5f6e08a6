//! The vocabulary between the generator (`company`) and the server (`server`): an account with the rows of its log
//! feeds, and what was planted among them.
//!
//! A row is kept as the JSON that a client shall see, in the newest shape of its feed (v2 where there is one); the
//! server derives the older shapes. Nothing here knows a rule, a threshold or a rule's id.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::json::rfc3339;

/// The log a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// `/admin/v2/logs/authentication` (and, converted, its v1).
    Authentication,
    /// `/admin/v2/logs/activity`.
    Activity,
    /// `/admin/v2/logs/telephony` (and, converted, its v1).
    Telephony,
    /// `/admin/v1/logs/administrator`.
    Administrator,
    /// `/admin/v1/logs/offline_enrollment`.
    OfflineEnrollment,
    /// `/admin/v1/trust_monitor/events`.
    TrustMonitor,
}

impl Feed {
    /// Every feed, in the order in which they are listed and written.
    pub const ALL: [Self; 6] = [
        Self::Authentication,
        Self::Activity,
        Self::Telephony,
        Self::Administrator,
        Self::OfflineEnrollment,
        Self::TrustMonitor,
    ];

    /// Whether it is one of the four that everybody collects; the other two stand apart in `/sim/status`.
    #[must_use]
    pub fn is_common(self) -> bool {
        !matches!(self, Self::OfflineEnrollment | Self::TrustMonitor)
    }

    /// The feed's name as it stands in paths and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Activity => "activity",
            Self::Telephony => "telephony",
            Self::Administrator => "administrator",
            Self::OfflineEnrollment => "offline_enrollment",
            Self::TrustMonitor => "trust_monitor",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of a log feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The log it belongs to.
    pub feed: Feed,
    /// When it happened, microseconds since the epoch. Equals the time written in `json`.
    pub time_us: i64,
    /// What identifies it: `txid`, `activity_id`, `telephony_id`, `sekey`; for the administrator and offline enrolment logs,
    /// which have none, any unique text.
    pub id: String,
    /// The row as a client sees it.
    pub json: Value,
}

impl Row {
    /// The time in whole milliseconds, rounded down: what windows and cursors go by.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.time_us.div_euclid(1_000)
    }

    /// The time in whole seconds, rounded down: what the v1 feeds go by.
    #[must_use]
    pub fn time_s(&self) -> i64 {
        self.time_us.div_euclid(1_000_000)
    }
}

/// Whether a planted story is an attack or only looks like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody ought to be told.
    Attack,
    /// Innocent; must stay silent.
    LookAlike,
}

/// A story the generator planted among the ordinary rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// The story in free words, such as `push-fatigue`. The generator knows no rule's id.
    pub story: String,
    /// The Duo user it is about, if it is about one.
    pub user: Option<String>,
    /// Attack or look-alike.
    pub kind: Kind,
    /// Time of its first row, microseconds since the epoch.
    pub from_us: i64,
    /// Time of its last row, microseconds since the epoch.
    pub to_us: i64,
    /// The ids of its rows (`Row::id`), oldest first.
    pub events: Vec<String>,
    /// What happened, in a sentence.
    pub note: String,
}

impl Planted {
    /// The story as `/sim/planted` and `planted.json` tell it: with its account's name, and its times as RFC 3339 too.
    #[must_use]
    pub fn told(&self, account: &str) -> Value {
        json!({
            "account": account, "story": self.story, "user": self.user, "kind": self.kind,
            "from": rfc3339(self.from_us.div_euclid(1_000)), "from_us": self.from_us,
            "to": rfc3339(self.to_us.div_euclid(1_000)), "to_us": self.to_us,
            "events": self.events, "note": self.note,
        })
    }
}

/// What a row that was already delivered becomes later on: trust monitor events are triaged.
#[derive(Debug, Clone, PartialEq)]
pub struct Later {
    /// The row's feed.
    pub feed: Feed,
    /// The row's [`Row::id`].
    pub id: String,
    /// From when on, microseconds since the epoch.
    pub from_us: i64,
    /// What it is from then on.
    pub json: Value,
}

/// Authentication events by the hundred thousand, told by a few examples: each event is one of them with a time and an
/// id of its own. It is served as if it stood in [`Account::rows`], and takes a fortieth of the memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// What the events look like, in turn. Authentication rows; others are passed over.
    pub examples: Vec<Row>,
    /// How many.
    pub count: usize,
    /// The first one's time, microseconds since the epoch.
    pub from_us: i64,
    /// All are before this time; they are spread evenly.
    pub to_us: i64,
    /// Their ids follow from it.
    pub seed: u64,
}

/// A Duo account: its key and all it has in its logs.
#[derive(Clone, Default)]
pub struct Account {
    /// What the account is called, `acme` say.
    pub name: String,
    /// Its integration key. Unique on a simulator.
    pub ikey: String,
    /// Its secret key.
    pub skey: String,
    /// The rows of all feeds, sorted by `(time_us, id)`.
    pub rows: Vec<Row>,
    /// What was planted among them.
    pub planted: Vec<Planted>,
    /// What some rows become later.
    pub later: Vec<Later>,
    /// Users, phones, administrators, settings, …, and how they change.
    pub inventory: Inventory,
    /// More authentication events than one would write out.
    pub backlog: Option<Backlog>,
}

impl fmt::Debug for Account {
    /// Everything but the secret key, and the rows by their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("ikey", &self.ikey)
            .field("rows", &self.rows.len())
            .field("planted", &self.planted.len())
            .finish_non_exhaustive()
    }
}
