//! Rounds of a measurement, and what is made of them.
//!
//! The machine may be shared and its clock wanders, so everything is measured in many short rounds and the **median** round is
//! reported; things that are compared take turns, round by round. What one thread does is measured by the processor time of
//! that thread: on an idle machine that is the wall clock, on a busy one it leaves out the time that others had the core.
//!
//! It does not leave out what others on the same processor take of its caches and of the core's other half. A neighbour only
//! ever adds, so where much hangs on a figure its **least** round is reported beside the median: how far apart the two are says how
//! much of the median is the machine's.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long each of `things` keeps this thread busy, in turn, for some rounds after one that only warms up. The median of
/// each, seconds.
pub(crate) fn medians<const N: usize>(
    rounds: usize,
    things: [&mut dyn FnMut() -> anyhow::Result<()>; N],
) -> anyhow::Result<[f64; N]> {
    let took = in_turn(rounds, things)?;
    Ok(took.map(|took| quantile(took, 0.5).as_secs_f64()))
}

/// The same, all rounds of each.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    mut things: [&mut dyn FnMut() -> anyhow::Result<()>; N],
) -> anyhow::Result<[Vec<Duration>; N]> {
    let mut took: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (thing, took) in things.iter_mut().zip(&mut took) {
            let began = busy()?;
            thing()?;
            if round > 0 {
                took.push(busy()?.saturating_sub(began));
            }
        }
    }
    Ok(took)
}

/// How long this thread has had a core.
pub(crate) fn busy() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The value that this share of the values does not exceed.
pub(crate) fn quantile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).ceil() as usize;
    values.get(at.min(last)).copied().unwrap_or_default()
}

/// Says what is being done, for the person who waits.
pub(crate) fn say(what: &str) {
    eprintln!("bench: {what} ...");
}
