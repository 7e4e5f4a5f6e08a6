//! What the simulator holds, and the way of a request through it.
//!
//! Everything here is a function of (what is held, the request, the wall's time); the wire is elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::fmt::rfc2822::DateTimeParser;

use super::answer::{ApiError, Reply, Request};
use super::archive::{self, Log, Visibility};
use super::faults::{Faults, Place};
use super::limit::Limiter;
use super::settings::Settings;
use super::tally::Tally;
use super::{control, v1, v2};
use crate::clock::Clock;
use crate::model::{Account, Feed, Planted};
use crate::signature::{self, Signed};

/// An account as it is served. Its secret key is elsewhere: it may be rotated.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) ikey: String,
    pub(super) logs: BTreeMap<Feed, Log>,
    pub(super) planted: Vec<Planted>,
}

impl Served {
    /// The rows of one feed.
    pub(super) fn log(&self, feed: Feed) -> Option<&Log> {
        self.logs.get(&feed)
    }
}

/// What changes while it runs. No `Debug`: it holds the secret keys.
pub(super) struct Moving {
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) faults: Faults,
    pub(super) tally: Tally,
    /// By account, as `State::accounts`.
    pub(super) skeys: Vec<String>,
    limiter: Limiter,
}

impl Moving {
    /// The time at Duo by its own, perhaps skewed, clock, ms.
    pub(super) fn duo_now(&self, wall_ms: i64) -> i64 {
        self.clock.now(wall_ms).saturating_add(self.faults.skew_ms())
    }

    /// Which rows a request to that place may see.
    pub(super) fn visibility(&self, place: &Place<'_>, wall_ms: i64) -> Visibility {
        let (late_lots, late_ms) = self.faults.late(place);
        Visibility {
            now_ms: self.clock.now(wall_ms),
            delay_ms: self.settings.delay_s.saturating_mul(1_000),
            late_lots,
            late_ms,
        }
    }
}

/// The simulator behind its sockets.
pub struct State {
    pub(super) accounts: Vec<Served>,
    by_ikey: HashMap<String, usize>,
    moving: Mutex<Moving>,
}

/// A path that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Ping,
    V2(Feed),
    V1(Feed),
}

fn endpoint(path: &str) -> Option<Endpoint> {
    Some(match path {
        "/auth/v2/ping" => Endpoint::Ping,
        "/admin/v2/logs/authentication" => Endpoint::V2(Feed::Authentication),
        "/admin/v2/logs/activity" => Endpoint::V2(Feed::Activity),
        "/admin/v2/logs/telephony" => Endpoint::V2(Feed::Telephony),
        "/admin/v1/logs/administrator" => Endpoint::V1(Feed::Administrator),
        "/admin/v1/logs/authentication" => Endpoint::V1(Feed::Authentication),
        "/admin/v1/logs/telephony" => Endpoint::V1(Feed::Telephony),
        _ => return None,
    })
}

impl State {
    /// Takes the accounts in. Enough for a test that needs no socket; [`super::Simulator`] makes its own.
    #[must_use]
    pub fn new(accounts: Vec<Account>, clock: Clock, settings: Settings) -> Self {
        let skeys = accounts.iter().map(|account| account.skey.clone()).collect();
        let accounts: Vec<Served> = accounts
            .into_iter()
            .map(|account| Served {
                name: account.name,
                ikey: account.ikey,
                logs: archive::logs(account.rows),
                planted: account.planted,
            })
            .collect();
        let by_ikey = accounts
            .iter()
            .enumerate()
            .map(|(at, account)| (account.ikey.clone(), at))
            .collect();
        let tally = Tally::default();
        let moving = Moving {
            clock,
            settings,
            faults: Faults::default(),
            tally,
            skeys,
            limiter: Limiter::default(),
        };
        Self {
            accounts,
            by_ikey,
            moving: Mutex::new(moving),
        }
    }

    /// What changes, for as long as the guard lives. A request that panicked has left it usable: each change is whole.
    pub(super) fn moving(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that the `Date` header shows, ms.
    #[must_use]
    pub fn date_ms(&self, wall_ms: i64) -> i64 {
        self.moving().duo_now(wall_ms)
    }

    /// Answers a request that arrived at `wall_ms`.
    #[must_use]
    pub fn answer(&self, request: &Request, wall_ms: i64) -> Reply {
        if request.path.starts_with("/sim/") {
            return control::answer(self, request, wall_ms);
        }
        match endpoint(&request.path) {
            None => ApiError::NotFound.into(),
            Some(_) if request.method != "GET" => ApiError::MethodNotAllowed.into(),
            Some(Endpoint::Ping) => {
                let seconds = self.date_ms(wall_ms).div_euclid(1_000);
                Reply::ok(&format!("{{\"time\": {seconds}}}"))
            }
            Some(endpoint) => self.log(endpoint, request, wall_ms),
        }
    }

    /// A log: who asks, whether that is allowed now, what goes wrong, and at last the rows.
    fn log(&self, endpoint: Endpoint, request: &Request, wall_ms: i64) -> Reply {
        let (Endpoint::V2(feed) | Endpoint::V1(feed)) = endpoint else {
            return ApiError::NotFound.into();
        };
        let mut moving = self.moving();
        let at = match self.authenticate(&moving, request, wall_ms) {
            Ok(at) => at,
            Err(error) => {
                moving.tally.request(None, &request.path, Reply::from(error).status);
                return error.into();
            }
        };
        let Some(account) = self.accounts.get(at) else {
            return ApiError::Internal.into();
        };
        let reply = Self::granted(account, &mut moving, endpoint, feed, request, wall_ms);
        moving.tally.request(Some(&account.name), &request.path, reply.status);
        reply
    }

    fn granted(
        account: &Served,
        moving: &mut Moving,
        endpoint: Endpoint,
        feed: Feed,
        request: &Request,
        wall_ms: i64,
    ) -> Reply {
        let limit = moving.settings.limit;
        if !moving.limiter.admit(limit, &account.ikey, &request.path, wall_ms) {
            return ApiError::TooManyRequests.into();
        }
        let place = Place {
            account: &account.name,
            feed,
            path: &request.path,
        };
        let struck = moving.faults.strike(&place);
        if let Some(reply) = struck.instead {
            return reply;
        }
        let Some(log) = account.log(feed) else {
            return ApiError::Internal.into();
        };
        let visibility = moving.visibility(&place, wall_ms);
        let parameters = signature::pairs(request.query.as_bytes());
        let rows = if matches!(endpoint, Endpoint::V2(_)) {
            v2::Query::read(feed, &parameters, moving.duo_now(wall_ms)).map(|query| {
                let page = query.page(log, &visibility);
                (query.render(feed, log, &page, &moving.settings, struck.page), page.rows)
            })
        } else {
            v1::from(&parameters).map(|from| {
                let rows = v1::page(log, from, &visibility, &moving.settings);
                (v1::render(feed, log, &rows, struck.page), rows)
            })
        };
        match rows {
            Ok((response, rows)) => {
                if !struck.page.empty {
                    moving.tally.rows(&account.name, feed, log.rows().len(), &rows);
                }
                struck.spoil(Reply::ok(&response))
            }
            Err(error) => error.into(),
        }
    }

    /// The account that signed the request.
    fn authenticate(&self, moving: &Moving, request: &Request, wall_ms: i64) -> Result<usize, ApiError> {
        let authorization = request.header("authorization").ok_or(ApiError::MissingCredentials)?;
        let (ikey, digest) = signature::credentials(authorization).ok_or(ApiError::InvalidIkey)?;
        let at = *self.by_ikey.get(&ikey).ok_or(ApiError::InvalidIkey)?;
        let skey = moving.skeys.get(at).ok_or(ApiError::InvalidIkey)?;
        let date = request
            .header("x-duo-date")
            .or_else(|| request.header("date"))
            .ok_or(ApiError::MissingDate)?;
        if !timely(moving, date, wall_ms) {
            return Err(ApiError::BadDate);
        }
        let signed = Signed {
            date: date.to_owned(),
            method: request.method.clone(),
            host: request.header("host").unwrap_or_default().to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: request.body.clone(),
            x_duo: request
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("x-duo-"))
                .cloned()
                .collect(),
        };
        signature::verify(&signed, skey, &digest, &moving.settings.signatures)
            .map(|_| at)
            .ok_or(ApiError::InvalidSignature)
    }
}

/// Whether a request's date is near enough to the wall's time or to the simulated time, both as skewed.
///
/// Where the simulated clock runs fast, a client that follows it is behind by its own reaction time, in fast seconds;
/// so the tolerance there grows with the speed.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "saturates; seconds, not nanoseconds"
)]
fn timely(moving: &Moving, date: &str, wall_ms: i64) -> bool {
    let Ok(date) = DateTimeParser::new().parse_timestamp(date) else {
        return false;
    };
    let date_ms = date.as_millisecond();
    let skewed_wall = wall_ms.saturating_add(moving.faults.skew_ms());
    // Dates have whole seconds: the client's may be up to one behind its own clock.
    let tolerance_ms = moving.settings.skew_s.saturating_mul(1_000).saturating_add(999);
    let fast = (tolerance_ms as f64 * moving.clock.speed().max(1.0)) as i64;
    (date_ms - skewed_wall).abs() <= tolerance_ms || (date_ms - moving.duo_now(wall_ms)).abs() <= fast
}
