//! How often one account is asked: a budget that all its logs, its inventory and its backfills share.
//!
//! Duo's limits are low, differ between endpoints and are told to nobody, so they are felt for. An endpoint begins at the
//! rate that Duo once named (two calls a minute for a log) and goes faster, by half at a time, only while calls wait for
//! their turn and the answers are good. A 429 ends that: the endpoint is left alone for a minute at least, goes on a fifth
//! below what was good, and does not try more for a day. No rate passes `max_calls_per_minute`, nor do all endpoints
//! together.
//!
//! Where several wait, the more urgent [`Class`] goes first; the others leave a tenth of the account's calls to what is
//! live, so that a long history delays no poll. Who has waited for five minutes counts as urgent. In the steady state a poll
//! comes once in two minutes and needs one or two calls: one a minute at most.
//!
//! A limit means *so many calls in any minute*: the budget counts the calls of the last minute and has no burst besides.
//! What is less urgent than a poll is spread evenly over the minute.
//!
//! A refused signature concerns the whole account. While it lasts, the account is asked once a minute in all, by one log
//! after the other; the first good answer wakes everybody ([`Budget::mended`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::back_off::BackOff;
use crate::clock::Clock;
use crate::settings::Settings;

/// What a call is for; the earlier goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A poll for what is new.
    Live,
    /// A log's past at a first start, and a backlog after an outage.
    History,
    /// Users, phones and the like.
    Inventory,
    /// A past that somebody asked for.
    Backfill,
}

/// First rate of a log's endpoint, calls a minute.
const FIRST_LOG: f64 = 2.0;
/// First rate of an inventory endpoint: Duo's limits are a hundred times higher there.
const FIRST_INVENTORY: f64 = 20.0;
/// Least rate, calls a minute.
const LEAST: f64 = 1.0;
/// What a good answer raises a rate by.
const RISE: f64 = 1.5;
/// Of the calls of a minute that were good, what is dared after one that was too much.
const DROP: f64 = 0.8;
/// Who has waited for so many minutes goes before the more urgent who came later.
const PATIENCE: i64 = 5;
/// For how many minutes a rate that was too much is not tried again.
const REMEMBERED: i64 = 24 * 60;
/// Nobody waits longer than this, ms, whatever Duo asks for or the clock does.
const LONGEST_BLOCK: i64 = 3_600_000;

/// What an endpoint's refusals taught, kept over restarts. Times in ms since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Calls a minute that were not too much; none: not known.
    #[serde(default)]
    pub ceiling: Option<f64>,
    /// When that was learned.
    #[serde(default)]
    pub at: i64,
    /// Not to be asked before.
    #[serde(default)]
    pub until: i64,
    /// 429s in a row.
    #[serde(default)]
    pub attempts: u32,
}

/// One account's budget of calls.
#[derive(Debug)]
pub struct Budget {
    /// A minute, ms: less for a simulator that is polled faster than Duo.
    minute: i64,
    most: usize,
    back_off: BackOff,
    state: Mutex<State>,
    /// Somebody took a turn, or a turn came nearer.
    changed: Notify,
    mended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When the calls of the last minute were made.
    sent: VecDeque<i64>,
    endpoints: BTreeMap<&'static str, Endpoint>,
    waiting: Vec<Waiting>,
    tickets: u64,
    /// While signatures are refused: when the next may try.
    probe_at: Option<i64>,
}

#[derive(Debug)]
struct Endpoint {
    sent: VecDeque<i64>,
    /// Calls a minute.
    rate: f64,
    learned: Learned,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    class: Class,
    number: u64,
    endpoint: &'static str,
    since: i64,
}

enum Turn {
    Now,
    At(i64),
    /// Somebody else goes first, and can.
    After,
}

/// A turn. What became of the call is to be told to it; dropped, it counts as a call that taught nothing.
#[derive(Debug)]
#[must_use = "the call is made with it, and its outcome told to it"]
pub struct Permit<'a> {
    budget: &'a Budget,
    endpoint: &'static str,
    /// It waited for its endpoint's rate.
    was_held: bool,
    /// 429s in a row when the call was made.
    attempts: u32,
}

impl Budget {
    /// A budget by an account's settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Budget {
            minute: settings.minute.max(1),
            most: usize::try_from(settings.max_calls_per_minute)
                .unwrap_or(usize::MAX)
                .max(1),
            back_off: settings.back_off,
            state: Mutex::default(),
            changed: Notify::new(),
            mended: Notify::new(),
        }
    }

    /// Waits for a turn at an endpoint (its path). A turn that is given up while waiting is no loss to others.
    pub async fn acquire<C: Clock>(&self, clock: &C, class: Class, endpoint: &'static str) -> Permit<'_> {
        let ticket = Ticket::new(self, class, endpoint, clock.now_ms());
        let mut was_held = false;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = clock.now_ms();
            let wait = match self.turn(ticket.waiting, now, &mut was_held) {
                Turn::Now => break,
                Turn::At(at) => at - now,
                // Who can go has only to wake up. Should that fail, nobody is stuck for long.
                Turn::After => self.minute / 10,
            };
            tokio::select! {
                () = clock.sleep(wait.max(1)) => {}
                () = changed => {}
            }
        }
        Permit {
            budget: self,
            endpoint,
            was_held,
            attempts: self.attempts(endpoint),
        }
    }

    /// Returns when an account whose signatures were refused has answered well again.
    pub async fn mended(&self) {
        self.mended.notified().await;
    }

    /// What an endpoint's refusals taught, to be kept over a restart; none: nothing worth keeping at `now` (ms).
    #[must_use]
    pub fn learned(&self, endpoint: &str, now: i64) -> Option<Learned> {
        let state = self.lock();
        let learned = &state.endpoints.get(endpoint)?.learned;
        let is_fresh = learned.until > now || (learned.ceiling.is_some() && !self.is_forgotten(learned, now));
        is_fresh.then(|| learned.clone())
    }

    /// Takes up what was learned before a restart, unless the endpoint has been asked since.
    pub fn restore(&self, class: Class, endpoint: &'static str, learned: &Learned) {
        let mut state = self.lock();
        if state.endpoints.contains_key(endpoint) {
            return;
        }
        let known = state.endpoint(class, endpoint);
        known.learned = learned.clone();
        if let Some(ceiling) = learned.ceiling {
            known.rate = known.rate.min(ceiling).max(LEAST);
        }
    }

    fn turn(&self, own: Waiting, now: i64, was_held: &mut bool) -> Turn {
        let mut state = self.lock();
        state.sweep(now, self.minute);
        let (at, is_held) = self.free_at(&mut state, own, now);
        *was_held |= is_held;
        if at > now {
            return Turn::At(at);
        }
        let rank = |waiting: &Waiting| match now - waiting.since >= PATIENCE * self.minute {
            true => (Class::Live, waiting.number),
            false => (waiting.class, waiting.number),
        };
        let is_before = |other: &&Waiting| rank(other) < rank(&own);
        let others: Vec<Waiting> = state.waiting.iter().filter(is_before).copied().collect();
        if others
            .iter()
            .any(|other| self.free_at(&mut state, *other, now).0 <= now)
        {
            return Turn::After;
        }
        state.sent.push_back(now);
        state.endpoint(own.class, own.endpoint).sent.push_back(now);
        drop(state);
        self.changed.notify_waiters();
        Turn::Now
    }

    /// When this one may go if nobody else does, and whether its endpoint's rate is what it waits for.
    fn free_at(&self, state: &mut State, own: Waiting, now: i64) -> (i64, bool) {
        let by_account = nth_last(&state.sent, reserved(self.most, own.class)).map_or(now, |sent| sent + self.minute);
        let (minute, most) = (self.minute, self.most as f64);
        let endpoint = state.endpoint(own.class, own.endpoint);
        if self.is_forgotten(&endpoint.learned, now) {
            endpoint.learned.ceiling = None;
        }
        // Beyond this a clock was set back.
        endpoint.learned.until = endpoint.learned.until.min(now + LONGEST_BLOCK);
        let calls = endpoint.rate.min(most).max(LEAST);
        let calls_whole = calls as usize;
        let mut by_rate = nth_last(&endpoint.sent, reserved(calls_whole, own.class)).map_or(now, |sent| sent + minute);
        if calls_whole > 2
            && own.class != Class::Live
            && let Some(last) = endpoint.sent.back()
        {
            by_rate = by_rate.max(last + (minute as f64 / calls) as i64);
        }
        let at = by_account.max(by_rate).max(endpoint.learned.until);
        (at, by_rate > now && endpoint.learned.until <= now)
    }

    fn is_forgotten(&self, learned: &Learned, now: i64) -> bool {
        // What was learned in a future that a clock showed once is no better than what is long past.
        now.saturating_sub(learned.at).abs() > self.minute.saturating_mul(REMEMBERED)
    }

    fn attempts(&self, endpoint: &str) -> u32 {
        let state = self.lock();
        state.endpoints.get(endpoint).map_or(0, |known| known.learned.attempts)
    }

    fn good(&self, endpoint: &'static str, was_held: bool, attempts: u32) {
        let mut state = self.lock();
        let is_mended = state.probe_at.take().is_some();
        // A call that was under way when another met the limit says nothing of the lock-out since.
        let is_newest = |endpoint: &&mut Endpoint| endpoint.learned.attempts == attempts;
        if let Some(endpoint) = state.endpoints.get_mut(endpoint).filter(is_newest) {
            endpoint.learned.attempts = 0;
            endpoint.learned.until = 0;
            if was_held {
                let most = endpoint
                    .learned
                    .ceiling
                    .unwrap_or(self.most as f64)
                    .min(self.most as f64);
                endpoint.rate = (endpoint.rate * RISE).min(most).max(LEAST);
            }
        }
        drop(state);
        if is_mended {
            self.mended.notify_waiters();
        }
        if was_held {
            self.changed.notify_waiters();
        }
    }

    fn limited(&self, path: &'static str, now: i64, asked: Option<Duration>, seed: &str) -> i64 {
        let mut state = self.lock();
        let Some(endpoint) = state.endpoints.get_mut(path) else {
            return self.back_off.after_rate_limit(1, asked, seed);
        };
        endpoint.learned.attempts += 1;
        // What follows in one lock-out says nothing new about the rate.
        if endpoint.learned.attempts == 1 {
            let calls = endpoint.sent.iter().filter(|sent| **sent > now - self.minute).count();
            let good = calls.saturating_sub(1) as f64;
            // The documented rate is not given up at the first refusal of more.
            let least = if endpoint.rate > FIRST_LOG { FIRST_LOG } else { LEAST };
            let ceiling = (endpoint.rate.min(good) * DROP).max(least);
            endpoint.learned.ceiling = Some(ceiling);
            endpoint.learned.at = now;
            endpoint.rate = ceiling;
        }
        let wait = self.back_off.after_rate_limit(endpoint.learned.attempts, asked, seed);
        endpoint.learned.until = now + wait;
        wait
    }

    fn refused(&self, now: i64) -> i64 {
        let mut state = self.lock();
        // A clock that was set back must not stop the account.
        let latest = now + LONGEST_BLOCK;
        let at = state.probe_at.map_or(now, |at| at.max(now)).min(latest) + self.minute;
        state.probe_at = Some(at);
        at - now
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst a call uncounted.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The call was answered. What was forbidden to the caller was answered too.
    pub fn good(self) {
        self.budget.good(self.endpoint, self.was_held, self.attempts);
    }

    /// The call met Duo's rate limit at `now` (ms). `asked`: what `Retry-After` says; `seed` tells tasks apart. Returns how
    /// long the endpoint is left alone, ms.
    pub fn limited(self, now: i64, asked: Option<Duration>, seed: &str) -> i64 {
        self.budget.limited(self.endpoint, now, asked, seed)
    }

    /// The call's signature was refused at `now` (ms). Returns in how many ms this caller may try again: until the secret is
    /// replaced, the account is asked once a minute in all.
    pub fn refused(self, now: i64) -> i64 {
        self.budget.refused(now)
    }
}

impl State {
    fn endpoint(&mut self, class: Class, path: &'static str) -> &mut Endpoint {
        self.endpoints.entry(path).or_insert_with(|| Endpoint {
            sent: VecDeque::new(),
            rate: if class == Class::Inventory {
                FIRST_INVENTORY
            } else {
                FIRST_LOG
            },
            learned: Learned::default(),
        })
    }

    /// Forgets calls of more than a minute ago, and those that a clock that was set back puts into the future.
    fn sweep(&mut self, now: i64, minute: i64) {
        for sent in
            std::iter::once(&mut self.sent).chain(self.endpoints.values_mut().map(|endpoint| &mut endpoint.sent))
        {
            while sent.front().is_some_and(|at| *at <= now - minute) {
                sent.pop_front();
            }
            if sent.back().is_some_and(|at| *at > now) {
                sent.iter_mut().for_each(|at| *at = (*at).min(now));
            }
        }
    }
}

/// Of so many calls, how many this class may use.
fn reserved(calls: usize, class: Class) -> usize {
    if class == Class::Live || calls < 3 {
        calls
    } else {
        calls - (calls / 10).max(1)
    }
}

fn nth_last(sent: &VecDeque<i64>, n: usize) -> Option<i64> {
    sent.len().checked_sub(n).and_then(|place| sent.get(place)).copied()
}

/// A place in the queue, given up when it is dropped.
struct Ticket<'a> {
    budget: &'a Budget,
    waiting: Waiting,
}

impl<'a> Ticket<'a> {
    fn new(budget: &'a Budget, class: Class, endpoint: &'static str, since: i64) -> Self {
        let mut state = budget.lock();
        state.tickets += 1;
        let waiting = Waiting {
            class,
            number: state.tickets,
            endpoint,
            since,
        };
        state.waiting.push(waiting);
        Ticket { budget, waiting }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let number = self.waiting.number;
        self.budget.lock().waiting.retain(|waiting| waiting.number != number);
        self.budget.changed.notify_waiters();
    }
}
