//! The logs that are collected.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of Duo's own logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// Authentication log, v2.
    Authentication,
    /// Activity log, v2: what administrators, users and the system changed. Not part of every edition.
    Activity,
    /// Telephony log, v2: SMS and calls.
    Telephony,
    /// Administrator log, v1: the older, narrower record of administrators' actions.
    Administrator,
}

impl Log {
    /// All of them.
    pub const ALL: [Log; 4] = [Log::Authentication, Log::Activity, Log::Telephony, Log::Administrator];

    /// The name that configuration, rules and the journal use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Log::Authentication => "authentication",
            Log::Activity => "activity",
            Log::Telephony => "telephony",
            Log::Administrator => "administrator",
        }
    }

    /// Where Duo serves it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Log::Authentication => "/admin/v2/logs/authentication",
            Log::Activity => "/admin/v2/logs/activity",
            Log::Telephony => "/admin/v2/logs/telephony",
            Log::Administrator => "/admin/v1/logs/administrator",
        }
    }

    /// Asked by a window in milliseconds and an offset. Otherwise (v1) by the first second alone: no end, no offset, no
    /// ids, and as many rows as Duo chooses.
    #[must_use]
    pub fn is_v2(self) -> bool {
        !matches!(self, Log::Administrator)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of the logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no Duo log {0:?}; the logs are authentication, activity, telephony and administrator")]
pub struct UnknownLog(pub String);

impl FromStr for Log {
    type Err = UnknownLog;

    fn from_str(name: &str) -> Result<Self, UnknownLog> {
        Log::ALL
            .into_iter()
            .find(|log| log.as_str() == name)
            .ok_or_else(|| UnknownLog(name.to_owned()))
    }
}
