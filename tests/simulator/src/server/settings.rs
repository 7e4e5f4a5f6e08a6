//! What the simulator can be told, at its start or while it runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::signature::Form;

/// How often one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Requests a minute for each (integration key, log); none: no limit at all, on nothing.
    pub per_minute: Option<u32>,
    /// For how many seconds every request is refused after one was refused.
    pub lock_out_s: i64,
}

/// What `next_offset` is on an empty page of the authentication log. All three were seen in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyAuth {
    /// `"next_offset": null`.
    Null,
    /// The one that was asked with, if any.
    Echo,
    /// Not there.
    Absent,
}

/// What `total_objects` is in the activity and telephony logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TotalObjects {
    /// A number.
    Int,
    /// `{"relation": "eq", "value": …}`.
    Object,
}

/// Whose minutes the rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitClock {
    /// The wall's, however fast the simulated clock runs.
    Wall,
    /// The simulated ones.
    Simulated,
}

/// The certificate that is shown to new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// A good one.
    #[default]
    Good,
    /// One that expired yesterday.
    Expired,
    /// One for another host.
    OtherHost,
    /// One of an authority nobody trusts.
    UnknownCa,
}

/// Everything but the clock and the faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The rate limit.
    pub limit: Limit,
    /// Requests a minute for each (integration key, path) of anything but logs.
    pub objects_per_minute: Option<u32>,
    /// Requests a minute for each integration key, whatever it asks for.
    pub account_per_minute: Option<u32>,
    /// See [`LimitClock`].
    pub limit_clock: LimitClock,
    /// Whether a 429 of the rate limit says in a `Retry-After` header how long to wait. Duo's does not.
    pub retry_after: bool,
    /// The signatures accepted.
    pub signatures: BTreeSet<Form>,
    /// A row appears so many seconds after it happened.
    pub delay_s: i64,
    /// A request's date may be off by so many seconds.
    pub skew_s: i64,
    /// Whether a date that is too far off is answered 40103, as if the signature were bad, and not 40105.
    pub stale_is_forged: bool,
    /// Whether a signature is good only once; a second time it is answered 40103.
    pub refuse_replays: bool,
    /// See [`EmptyAuth`].
    pub empty_auth: EmptyAuth,
    /// See [`TotalObjects`].
    pub total_objects: TotalObjects,
    /// Whether a v1 page goes on beyond 1000 rows to the end of its last second.
    pub finish_second: bool,
}

impl Default for Settings {
    /// As Duo is believed to be.
    fn default() -> Self {
        Self {
            limit: Limit {
                per_minute: Some(2),
                lock_out_s: 0,
            },
            objects_per_minute: Some(200),
            account_per_minute: None,
            limit_clock: LimitClock::Wall,
            retry_after: false,
            signatures: BTreeSet::from(Form::ALL),
            delay_s: 120,
            skew_s: 300,
            stale_is_forged: false,
            refuse_replays: false,
            empty_auth: EmptyAuth::Null,
            total_objects: TotalObjects::Int,
            finish_second: true,
        }
    }
}
