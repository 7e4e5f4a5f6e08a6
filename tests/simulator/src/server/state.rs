//! What the simulator holds, and the way of a request through it.
//!
//! Everything here is a function of (what is held, the request, the wall's time); the wire is elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::accounts::Family;
use super::answer::{ApiError, Reply, Request};
use super::archive::{Log, Visibility};
use super::authenticate::Signer;
use super::faults::{Faults, Place, Struck};
use super::limit::Limiter;
use super::route::{Permission, Target, route};
use super::settings::{Certificate, LimitClock, Settings};
use super::tally::Tally;
use super::{Twin, control, info, inventory, load, trust, v1, v2};
use crate::clock::Clock;
use crate::inventory::Inventory;
use crate::model::{Account, Feed, Planted};
use crate::signature::{self, Form};

/// What an account holds. Twins share it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) logs: BTreeMap<Feed, Log>,
    pub(super) planted: Vec<Planted>,
    pub(super) inventory: Inventory,
}

impl Content {
    /// The rows of one feed.
    pub(super) fn log(&self, feed: Feed) -> Option<&Log> {
        self.logs.get(&feed)
    }
}

/// An account as it is served. Its secret key is elsewhere: it may be rotated.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) ikey: String,
    pub(super) content: Arc<Content>,
}

/// What changes while it runs. No `Debug`: it holds the secret keys.
pub(super) struct Moving {
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) certificate: Certificate,
    pub(super) faults: Faults,
    pub(super) tally: Tally,
    /// By account, as `State::accounts`.
    pub(super) skeys: Vec<String>,
    /// What an account's application may do, where that is not everything.
    pub(super) granted: HashMap<usize, BTreeSet<Permission>>,
    /// Children that their parent does not have (any more).
    pub(super) hidden: Vec<usize>,
    limiter: Limiter,
    /// Signatures seen, if they are good only once.
    pub(super) seen: HashSet<String>,
}

impl Moving {
    /// The time at Duo by its own, perhaps skewed, clock, ms.
    pub(super) fn duo_now(&self, wall_ms: i64) -> i64 {
        self.clock.now(wall_ms).saturating_add(self.faults.skew_ms())
    }

    /// Which rows a request to that place may see.
    pub(super) fn visibility(&self, place: &Place<'_>, wall_ms: i64) -> Visibility {
        let (late_lots, late_ms, late_spread) = self.faults.late(place);
        Visibility {
            now_ms: self.clock.now(wall_ms),
            delay_ms: self.settings.delay_s.saturating_mul(1_000),
            late_lots,
            late_ms,
            late_spread,
        }
    }

    /// Whether the rate limit lets a request of that key go on.
    fn admit(&mut self, ikey: &str, path: &str, is_log: bool, wall_ms: i64) -> Result<(), Reply> {
        let (now_ms, speed) = match self.settings.limit_clock {
            LimitClock::Wall => (wall_ms, 1.0),
            LimitClock::Simulated => (self.clock.now(wall_ms), self.clock.speed().max(f64::MIN_POSITIVE)),
        };
        let admitted = self.limiter.admit(&self.settings, ikey, path, is_log, now_ms);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a wait of minutes; saturates"
        )]
        let seconds = |wait_ms: i64| (wait_ms as f64 / 1_000.0 / speed).ceil() as u64;
        admitted.map_err(|wait_ms| Reply {
            retry_after_s: self.settings.retry_after.then(|| seconds(wait_ms)),
            ..ApiError::TooManyRequests.into()
        })
    }
}

/// The simulator behind its sockets.
pub struct State {
    pub(super) accounts: Vec<Served>,
    pub(super) by_ikey: HashMap<String, usize>,
    pub(super) family: Option<Family>,
    moving: Mutex<Moving>,
}

impl State {
    /// Takes the accounts in. Enough for a test that needs no socket; [`super::Simulator`] makes its own.
    #[must_use]
    pub fn new(accounts: Vec<Account>, clock: Clock, settings: Settings) -> Self {
        Self::with(accounts, &[], clock, settings)
    }

    /// The same with twins, which must name accounts that there are; others are left out.
    pub(super) fn with(accounts: Vec<Account>, twins: &[Twin], clock: Clock, settings: Settings) -> Self {
        let mut skeys: Vec<String> = accounts.iter().map(|account| account.skey.clone()).collect();
        let mut accounts: Vec<Served> = accounts
            .into_iter()
            .map(|mut account| Served {
                content: Arc::new(Content {
                    logs: load::logs(&mut account),
                    planted: account.planted,
                    inventory: account.inventory,
                }),
                name: account.name,
                ikey: account.ikey,
            })
            .collect();
        for twin in twins {
            if let Some(content) = accounts.get(twin.of).map(|of| Arc::clone(&of.content)) {
                skeys.push(twin.skey.clone());
                accounts.push(Served {
                    name: twin.name.clone(),
                    ikey: twin.ikey.clone(),
                    content,
                });
            }
        }
        let by_ikey = accounts
            .iter()
            .enumerate()
            .map(|(at, account)| (account.ikey.clone(), at))
            .collect();
        let moving = Moving {
            clock,
            settings,
            certificate: Certificate::default(),
            faults: Faults::default(),
            tally: Tally::default(),
            skeys,
            granted: HashMap::new(),
            hidden: Vec::new(),
            limiter: Limiter::default(),
            seen: HashSet::new(),
        };
        Self {
            accounts,
            by_ikey,
            family: None,
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

    /// Every row of an account's log as a client gets it once all has appeared: its id and its JSON, in order of time.
    /// For tests that hold what was read against what there is. Empty if there is no such account.
    #[must_use]
    pub fn rows(&self, account: &str, feed: Feed) -> Vec<(String, String)> {
        let account = self.accounts.iter().find(|known| known.name == account);
        let log = account.and_then(|account| account.content.log(feed));
        let rows = log.map(Log::rows).unwrap_or_default().iter();
        rows.map(|row| (row.id.to_string(), row.text(i64::MAX).into_owned()))
            .collect()
    }

    /// Answers a request that arrived at `wall_ms`.
    #[must_use]
    pub fn answer(&self, request: &Request, wall_ms: i64) -> Reply {
        if request.path.starts_with("/sim/") {
            return control::answer(self, request, wall_ms);
        }
        match route(&request.path) {
            None => ApiError::NotFound.into(),
            Some((target, _)) if request.method != target.method() => ApiError::MethodNotAllowed.into(),
            Some((Target::Ping, _)) => {
                let seconds = self.date_ms(wall_ms).div_euclid(1_000);
                Reply::ok(&format!("{{\"time\": {seconds}}}"))
            }
            Some((target, v5)) => self.call(target, v5, request, wall_ms),
        }
    }

    /// A call: who asks, whether that is allowed now, what goes wrong, and at last the answer.
    fn call(&self, target: Target<'_>, v5: bool, request: &Request, wall_ms: i64) -> Reply {
        let mut moving = self.moving();
        let caller = self
            .authenticate(&mut moving, request, wall_ms)
            .and_then(|(signer, form)| match form {
                Form::V5 => Ok(signer),
                _ if v5 => Err(ApiError::InvalidSignature),
                _ => Ok(signer),
            })
            .and_then(|signer| self.caller(&moving, &signer, target, request));
        let (name, reply) = match caller {
            Err(error) => (None, error.into()),
            Ok(None) => (None, self.parent(&mut moving, request, wall_ms)),
            Ok(Some(at)) => match self.accounts.get(at) {
                None => (None, ApiError::Internal.into()),
                Some(account) => {
                    let reply = match granted(at, account, &mut moving, target, request, wall_ms) {
                        Ok(reply) | Err(reply) => reply,
                    };
                    (Some(account.name.as_str()), reply)
                }
            },
        };
        moving.tally.request(name, &request.path, reply.status);
        reply
    }

    /// The account a request is about; none: the parent's list.
    fn caller(
        &self,
        moving: &Moving,
        signer: &Signer,
        target: Target<'_>,
        request: &Request,
    ) -> Result<Option<usize>, ApiError> {
        match (signer, &self.family) {
            (Signer::Account(_), _) if target == Target::Children => Err(ApiError::WrongType),
            (Signer::Account(at), Some(family)) if !family.opens(*at, request) => Err(ApiError::InvalidIkey),
            (Signer::Account(at), _) => Ok(Some(*at)),
            (Signer::Parent, _) if target == Target::Children => Ok(None),
            (Signer::Parent, Some(family)) => family.child(request, &moving.hidden).map(Some),
            (Signer::Parent, None) => Err(ApiError::InvalidIkey),
        }
    }

    /// The parent lists its children.
    fn parent(&self, moving: &mut Moving, request: &Request, wall_ms: i64) -> Reply {
        let Some(family) = &self.family else {
            return ApiError::InvalidIkey.into();
        };
        if let Err(refused) = moving.admit(&family.parent.ikey, &request.path, false, wall_ms) {
            return refused;
        }
        let place = Place {
            account: &family.parent.name,
            feed: None,
            path: &request.path,
        };
        let mut struck = moving.faults.strike(&place);
        match struck.instead.take() {
            Some(reply) => reply,
            None => struck.spoil(family.list(self, &moving.hidden)),
        }
    }
}

/// What an account whose signature was good gets; an error is as good a reply.
fn granted(
    at: usize,
    account: &Served,
    moving: &mut Moving,
    target: Target<'_>,
    request: &Request,
    wall_ms: i64,
) -> Result<Reply, Reply> {
    let feed = target.feed();
    moving.admit(&account.ikey, &request.path, feed.is_some(), wall_ms)?;
    let place = Place {
        account: &account.name,
        feed,
        path: &request.path,
    };
    let mut struck = moving.faults.strike(&place);
    if let Some(reply) = struck.instead.take() {
        return Ok(reply);
    }
    let allowed = |permission| {
        moving
            .granted
            .get(&at)
            .is_none_or(|granted| granted.contains(&permission))
    };
    if !target.permission().is_none_or(allowed) {
        return Err(ApiError::Forbidden.into());
    }
    let visibility = moving.visibility(&place, wall_ms);
    let parameters = signature::pairs(request.query.as_bytes());
    let reply = match (target, feed) {
        (_, Some(feed)) => {
            let now_ms = moving.duo_now(wall_ms);
            let log = account.content.log(feed).ok_or(ApiError::Internal)?;
            let (response, rows) = page(target, feed, log, &parameters, &visibility, moving, now_ms, &struck)?;
            if !struck.page.empty {
                moving.tally.rows(&account.name, feed, log.rows().len(), &rows);
            }
            Reply::ok(&response)
        }
        (Target::Info(info), None) => Reply::ok(&info::answer(info, &account.content, &parameters, &visibility)?),
        (target, None) => {
            let question = inventory::Question {
                account,
                parameters: &parameters,
                now_us: visibility.now_ms.saturating_mul(1_000),
                spoilt: struck.page,
            };
            inventory::answer(target, &question)?
        }
    };
    Ok(struck.spoil(reply))
}

/// A page of a log: its `response`, and the places of its rows.
#[allow(
    clippy::too_many_arguments,
    reason = "a page depends on all of them, and this is the one caller"
)]
fn page(
    target: Target<'_>,
    feed: Feed,
    log: &Log,
    parameters: &[(String, String)],
    visibility: &Visibility,
    moving: &Moving,
    now_ms: i64,
    struck: &Struck,
) -> Result<(String, Vec<usize>), ApiError> {
    let spoilt = struck.page;
    Ok(match target {
        Target::TrustMonitor => trust::Query::read(parameters, now_ms)?.answer(log, visibility, spoilt),
        Target::V2(_) => {
            let query = v2::Query::read(feed, parameters, now_ms)?;
            let page = query.page(log, visibility, spoilt);
            (query.render(feed, log, &page, &moving.settings, spoilt), page.rows)
        }
        _ => {
            let finish_second = moving.settings.finish_second && !spoilt.cut_second;
            let rows = v1::page(log, v1::from(parameters)?, visibility, finish_second);
            (v1::render(feed, log, &rows, spoilt), rows)
        }
    })
}
