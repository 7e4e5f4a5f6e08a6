//! `/sim/…`: the simulator's own door, for tests and demonstrations. Only a loopback peer may use it; it takes no key.
//!
//! - `GET /sim/status`: the clock, and for each account and feed how many rows it has, how many have appeared, how many
//!   were sent; the requests by path and status; the faults in force.
//! - `GET /sim/planted`: what was planted, attacks and look-alikes.
//! - `POST /sim/control`: a [`Control`] as JSON; every member may be absent. Answers what is in force then, as
//!   `GET /sim/control` does. A wrong one changes nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::{ApiError, Reply, Request};
use super::faults::{Fault, IncompleteFault, Place};
use super::route::Permission;
use super::settings::{Certificate, EmptyAuth, LimitClock, TotalObjects};
use super::state::{Moving, Served, State};
use crate::inventory::Kind;
use crate::json::{dumps, rfc3339};
use crate::signature::Form;

/// Whether the clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// It runs.
    Go,
    /// It stands still.
    Hold,
}

/// A new secret key for an account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The account, by name.
    pub account: String,
    /// Its new secret key.
    pub skey: String,
}

/// What an account's application may do from now on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The account, by name.
    pub account: String,
    /// All it may do.
    pub permissions: BTreeSet<Permission>,
}

/// What the simulator is told while it runs.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// `"go"` or `"hold"`.
    pub clock: Option<Run>,
    /// Simulated seconds to a second.
    pub speed: Option<f64>,
    /// Sets the simulated clock, RFC 3339.
    pub now: Option<String>,
    /// Requests a minute for each (key, log); `null`: no limit at all.
    #[serde(deserialize_with = "present")]
    pub rate_limit: Option<Option<u32>>,
    /// Requests a minute for each (key, path) that is no log; `null`: no such limit.
    #[serde(deserialize_with = "present")]
    pub object_limit: Option<Option<u32>>,
    /// Requests a minute for each key; `null`: no such limit.
    #[serde(deserialize_with = "present")]
    pub account_limit: Option<Option<u32>>,
    /// Whose minutes they are: `wall`, `simulated`.
    pub limit_clock: Option<LimitClock>,
    /// Whether a 429 of the rate limit has a `Retry-After` header.
    pub retry_after: Option<bool>,
    /// The certificate that new connections see: `good`, `expired`, `other_host`, `unknown_ca`.
    pub certificate: Option<Certificate>,
    /// What an account may do.
    pub grant: Option<Grant>,
    /// The children that the parent does not have (any more), by name.
    pub hidden: Option<Vec<String>>,
    /// Whether a date too far off is answered as a bad signature.
    pub stale_is_forged: Option<bool>,
    /// Whether a signature is good only once.
    pub refuse_replays: Option<bool>,
    /// Seconds of refusal after a refusal.
    pub lock_out_s: Option<i64>,
    /// Which signatures are accepted: `v5`, `v2-sha512`, `v2-sha1`.
    pub signatures: Option<BTreeSet<Form>>,
    /// Seconds before a row appears.
    pub delay_s: Option<i64>,
    /// Seconds by which a request's date may be off.
    pub skew_s: Option<i64>,
    /// `next_offset` of an empty authentication page: `null`, `echo`, `absent`.
    pub empty_auth: Option<EmptyAuth>,
    /// `int` or `object`.
    pub total_objects: Option<TotalObjects>,
    /// Whether a v1 page is extended to the end of its last second.
    pub finish_second: Option<bool>,
    /// One fault more.
    pub fault: Option<Fault>,
    /// These faults and no others; `[]` ends all.
    pub faults: Option<Vec<Fault>>,
    /// A new secret key.
    pub rotate: Option<Rotate>,
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A control that cannot be obeyed. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It is not JSON of the right shape.
    #[error("not a control: {0}")]
    Shape(#[from] serde_json::Error),
    /// `speed` is negative or no number.
    #[error("`speed` must be a number from 0 on, not {0}")]
    Speed(f64),
    /// `now` cannot be read.
    #[error("`now` must be RFC 3339, such as 2026-03-02T08:00:00Z, not `{0}`")]
    Now(String),
    /// A fault lacks something.
    #[error(transparent)]
    Fault(#[from] IncompleteFault),
    /// No account of that name.
    #[error("there is no account `{0}`")]
    Account(String),
}

impl State {
    /// Obeys a control given as JSON text.
    ///
    /// # Errors
    /// If it cannot be obeyed; then nothing has changed.
    pub fn control(&self, json: &[u8], wall_ms: i64) -> Result<(), ControlError> {
        let control: Control = serde_json::from_slice(json)?;
        self.obey(control, wall_ms)
    }

    /// Obeys a control.
    ///
    /// # Errors
    /// If it cannot be obeyed; then nothing has changed.
    pub fn obey(&self, control: Control, wall_ms: i64) -> Result<(), ControlError> {
        if let Some(speed) = control.speed.filter(|speed| !speed.is_finite() || *speed < 0.0) {
            return Err(ControlError::Speed(speed));
        }
        let now = match &control.now {
            None => None,
            Some(text) => {
                let now: jiff::Timestamp = text.parse().map_err(|_| ControlError::Now(text.clone()))?;
                Some(now.as_millisecond())
            }
        };
        for fault in control.faults.iter().flatten().chain(&control.fault) {
            fault.check()?;
            let is_parent = |name: &String| self.family.as_ref().is_some_and(|family| &family.parent.name == name);
            if let Some(account) = fault.account.as_ref().filter(|account| !is_parent(account)) {
                self.place(account)?;
            }
        }
        let rotated = control
            .rotate
            .map(|rotate| Ok((self.place(&rotate.account)?, rotate.skey)));
        let rotated = rotated.transpose().map_err(|error: ControlError| error)?;
        let granted = match control.grant {
            None => None,
            Some(grant) => Some((self.place(&grant.account)?, grant.permissions)),
        };
        let hidden: Option<Vec<usize>> = control
            .hidden
            .map(|names| names.iter().map(|name| self.place(name)).collect())
            .transpose()?;

        let mut moving = self.moving();
        let moving = &mut *moving;
        moving.granted.extend(granted);
        set(&mut moving.hidden, hidden);
        set(&mut moving.certificate, control.certificate);
        if let Some((at, new)) = rotated
            && let Some(skey) = moving.skeys.get_mut(at)
        {
            *skey = new;
        }
        if let Some(now) = now {
            moving.clock.set(wall_ms, now);
        }
        if let Some(speed) = control.speed {
            moving.clock.set_speed(wall_ms, speed);
        }
        match control.clock {
            Some(Run::Go) => moving.clock.go(wall_ms),
            Some(Run::Hold) => moving.clock.hold(wall_ms),
            None => {}
        }
        let settings = &mut moving.settings;
        set(&mut settings.limit.per_minute, control.rate_limit);
        set(&mut settings.limit.lock_out_s, control.lock_out_s);
        set(&mut settings.objects_per_minute, control.object_limit);
        set(&mut settings.account_per_minute, control.account_limit);
        set(&mut settings.limit_clock, control.limit_clock);
        set(&mut settings.retry_after, control.retry_after);
        set(&mut settings.stale_is_forged, control.stale_is_forged);
        set(&mut settings.refuse_replays, control.refuse_replays);
        set(&mut settings.signatures, control.signatures);
        set(&mut settings.delay_s, control.delay_s);
        set(&mut settings.skew_s, control.skew_s);
        set(&mut settings.empty_auth, control.empty_auth);
        set(&mut settings.total_objects, control.total_objects);
        set(&mut settings.finish_second, control.finish_second);
        set(&mut moving.faults.list, control.faults);
        moving.faults.list.extend(control.fault);
        Ok(())
    }

    fn place(&self, account: &str) -> Result<usize, ControlError> {
        let at = self.accounts.iter().position(|known| known.name == account);
        at.ok_or_else(|| ControlError::Account(account.to_owned()))
    }

    /// What `/sim/status` says.
    #[must_use]
    pub fn status(&self, wall_ms: i64) -> Value {
        let moving = self.moving();
        let now_us = moving.clock.now(wall_ms).saturating_mul(1_000);
        let accounts: Vec<Value> = self
            .accounts
            .iter()
            .map(|account| {
                let counted = |common: bool| -> serde_json::Map<String, Value> {
                    let logs = account
                        .content
                        .logs
                        .iter()
                        .filter(|(feed, _)| feed.is_common() == common);
                    logs.map(|(feed, log)| {
                        let place = Place {
                            account: &account.name,
                            feed: Some(*feed),
                            path: "",
                        };
                        let visibility = moving.visibility(&place, wall_ms);
                        let visible = log.rows().iter().filter(|row| visibility.shows(row)).count();
                        let (served, sent) = moving.tally.sent(&account.name, *feed);
                        let rows = log.rows().len();
                        let counts = json!({"rows": rows, "visible": visible, "served": served, "sent": sent});
                        (feed.name().to_owned(), counts)
                    })
                    .collect()
                };
                json!({
                    "name": account.name, "ikey": account.ikey, "feeds": counted(true), "other_feeds": counted(false),
                    "inventory": inventory(account, now_us),
                })
            })
            .collect();
        json!({
            "now": rfc3339(moving.clock.now(wall_ms)),
            "speed": moving.clock.speed(),
            "held": moving.clock.held(),
            "accounts": accounts,
            "requests": moving.tally.requests(),
            "faults": moving.faults.list,
        })
    }

    /// What `/sim/planted` says: every story, with its account's name.
    #[must_use]
    pub fn planted(&self) -> Value {
        self.accounts
            .iter()
            .flat_map(|account| account.content.planted.iter().map(|story| story.told(&account.name)))
            .collect()
    }
}

/// How many objects of each kind an account has now.
fn inventory(account: &Served, now_us: i64) -> Value {
    let inventory = &account.content.inventory;
    let counted = Kind::ALL.into_iter().filter_map(|kind| {
        let name = serde_json::to_value(kind).ok()?;
        Some((name.as_str()?.to_owned(), json!(inventory.at(kind, now_us).count())))
    });
    Value::Object(counted.collect())
}

fn set<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

/// Answers what is asked under `/sim/`.
pub(super) fn answer(state: &State, request: &Request, wall_ms: i64) -> Reply {
    if !request.peer.is_loopback() {
        return ApiError::Forbidden.into();
    }
    let ok = |value: &Value| Reply::json(200, dumps(value));
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/sim/status") => ok(&state.status(wall_ms)),
        ("GET", "/sim/planted") => ok(&state.planted()),
        ("GET", "/sim/control") => ok(&in_force(&state.moving(), wall_ms)),
        ("POST", "/sim/control") => match state.control(&request.body, wall_ms) {
            Ok(()) => ok(&in_force(&state.moving(), wall_ms)),
            Err(error) => Reply::json(400, dumps(&json!({"error": error.to_string()}))),
        },
        (_, "/sim/status" | "/sim/planted" | "/sim/control") => ApiError::MethodNotAllowed.into(),
        _ => ApiError::NotFound.into(),
    }
}

fn in_force(moving: &Moving, wall_ms: i64) -> Value {
    json!({
        "now": rfc3339(moving.clock.now(wall_ms)),
        "speed": moving.clock.speed(),
        "held": moving.clock.held(),
        "settings": moving.settings,
        "certificate": moving.certificate,
        "faults": moving.faults.list,
    })
}
