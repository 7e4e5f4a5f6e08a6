//! What the simulator can be told, at its start or while it runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::signature::Form;

/// How often one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Requests a minute of the wall's clock for each (integration key, path); none: no limit.
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

/// Everything but the clock and the faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The rate limit.
    pub limit: Limit,
    /// The signatures accepted.
    pub signatures: BTreeSet<Form>,
    /// A row appears so many seconds after it happened.
    pub delay_s: i64,
    /// A request's date may be off by so many seconds.
    pub skew_s: i64,
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
            signatures: BTreeSet::from(Form::ALL),
            delay_s: 120,
            skew_s: 300,
            empty_auth: EmptyAuth::Null,
            total_objects: TotalObjects::Int,
            finish_second: true,
        }
    }
}
