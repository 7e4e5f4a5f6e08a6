//! A small company with a long queue: authentication events by the hundred thousand, made in a moment.

use super::{Options, generate};
use crate::model::{Account, Backlog, Feed};

/// How many different events a backlog is told by.
const EXAMPLES: usize = 1_000;

/// An account whose authentication log has `count` events, spread evenly from the beginning of the days to the end of
/// the last but one; on the last day it goes on as it would. The other logs are the company's own.
#[must_use]
pub fn backlog(options: &Options, count: usize) -> Account {
    let mut account = generate(options);
    let day = super::clock::DAY;
    let from_us = options.start_us.div_euclid(day) * day;
    let to_us = from_us + (i64::from(options.days.max(super::FEWEST_DAYS)) - 1) * day;
    let authentication = account.rows.iter().filter(|row| row.feed == Feed::Authentication);
    let examples = authentication.take(EXAMPLES).cloned().collect();
    account
        .rows
        .retain(|row| row.feed != Feed::Authentication || row.time_us >= to_us);
    account.backlog = Some(Backlog {
        examples,
        count,
        from_us,
        to_us,
        seed: options.seed,
    });
    account
}
