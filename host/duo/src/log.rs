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
    /// Offline access enrolment log, v1: who may log in to a machine without a network.
    OfflineEnrollment,
    /// Trust Monitor's security events, v1. Rows change after they were first given. Not part of every edition; Cisco retires it.
    TrustMonitor,
    /// Telephony log, v1: for accounts that refuse v2. The same rows in an older form.
    TelephonyV1,
}

/// How a log is asked and how it pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// v2: a window in ms, both ends inclusive; `next_offset` = `ms,id` of the last row; oldest first on request.
    Window,
    /// Trust Monitor: a window in ms, both ends inclusive; an offset that means nothing to us, sent back as `offset`.
    Opaque,
    /// v1: the first second alone: no end, no offset, no ids, and as many rows (about 1000) as Duo chooses.
    FromSecond,
}

impl Log {
    /// All of them.
    pub const ALL: [Log; 7] = [
        Log::Authentication,
        Log::Activity,
        Log::Telephony,
        Log::Administrator,
        Log::OfflineEnrollment,
        Log::TrustMonitor,
        Log::TelephonyV1,
    ];

    /// The name of its cursor and of its place in `picket status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Log::Authentication => "authentication",
            Log::Activity => "activity",
            Log::Telephony => "telephony",
            Log::Administrator => "administrator",
            Log::OfflineEnrollment => "offline_enrollment",
            Log::TrustMonitor => "trust_monitor",
            Log::TelephonyV1 => "telephony_v1",
        }
    }

    /// The name of its rows in the journal, and for rules. Two forms of one log share it.
    #[must_use]
    pub fn journal(self) -> &'static str {
        match self {
            Log::TelephonyV1 => "telephony",
            log => log.as_str(),
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
            Log::OfflineEnrollment => "/admin/v1/logs/offline_enrollment",
            Log::TrustMonitor => "/admin/v1/trust_monitor/events",
            Log::TelephonyV1 => "/admin/v1/logs/telephony",
        }
    }

    /// How it is asked and how it pages.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Log::Authentication | Log::Activity | Log::Telephony => Shape::Window,
            Log::TrustMonitor => Shape::Opaque,
            Log::Administrator | Log::OfflineEnrollment | Log::TelephonyV1 => Shape::FromSecond,
        }
    }

    /// The most rows that may be asked for at once. A v1 log decides itself, and gives about as many.
    #[must_use]
    pub fn page_limit(self) -> u16 {
        match self.shape() {
            Shape::Window | Shape::FromSecond => 1000,
            Shape::Opaque => 200,
        }
    }

    /// What the application must be granted, in the Admin Panel's words.
    #[must_use]
    pub fn permission(self) -> &'static str {
        "Grant read log"
    }

    /// Some of Duo's editions do not have it: with the permission granted, it is refused all the same.
    #[must_use]
    pub fn depends_on_edition(self) -> bool {
        matches!(self, Log::Activity | Log::TrustMonitor)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of the logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no Duo log {0:?}; the logs are authentication, activity, telephony, administrator, offline_access, \
     trust_monitor and telephony_v1"
)]
pub struct UnknownLog(pub String);

impl FromStr for Log {
    type Err = UnknownLog;

    /// The names of [`Log::as_str`]; Cisco's guides call `offline_enrollment` also `offline_access`.
    fn from_str(name: &str) -> Result<Self, UnknownLog> {
        let name = if name == "offline_access" {
            Log::OfflineEnrollment.as_str()
        } else {
            name
        };
        Log::ALL
            .into_iter()
            .find(|log| log.as_str() == name)
            .ok_or_else(|| UnknownLog(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_is_found_by_its_name_and_by_its_other_name() {
        for log in Log::ALL {
            assert_eq!(log.as_str().parse(), Ok(log));
            assert_eq!(serde_json::to_string(&log).unwrap(), format!("{:?}", log.as_str()));
        }
        assert_eq!("offline_access".parse(), Ok(Log::OfflineEnrollment));
        assert!("logs".parse::<Log>().unwrap_err().to_string().contains("trust_monitor"));
    }

    #[test]
    fn only_the_two_forms_of_telephony_share_rows() {
        let sharing: Vec<Log> = Log::ALL
            .into_iter()
            .filter(|log| log.journal() != log.as_str())
            .collect();
        assert_eq!(sharing, [Log::TelephonyV1]);
        assert_eq!(Log::TelephonyV1.journal(), Log::Telephony.journal());
    }
}
