//! One call: rows in release order, timers between them.

use crate::alert::Alert;
use crate::columns::{Batch, Event, Rows};
use crate::define::{Params, State};
use crate::foresee::Foresight;
use crate::host;
use crate::row::{Row, Timer};
use crate::state::known;
use crate::time::Time;

/// What a rule may return.
#[diagnostic::on_unimplemented(message = "a rule returns Alert, Option<Alert> or Vec<Alert>, or a Result of these")]
pub trait Answer {
    /// Hands over the alerts.
    ///
    /// # Errors
    /// The rule failed: nothing of the call is kept.
    fn answer(self, alerts: &mut Vec<Alert>) -> Result<(), String>;
}

impl Answer for Alert {
    fn answer(self, alerts: &mut Vec<Alert>) -> Result<(), String> {
        alerts.push(self);
        Ok(())
    }
}

impl Answer for Option<Alert> {
    #[inline]
    fn answer(self, alerts: &mut Vec<Alert>) -> Result<(), String> {
        alerts.extend(self);
        Ok(())
    }
}

impl Answer for Vec<Alert> {
    fn answer(self, alerts: &mut Vec<Alert>) -> Result<(), String> {
        alerts.extend(self);
        Ok(())
    }
}

impl<A: Answer, E: ToString> Answer for Result<A, E> {
    fn answer(self, alerts: &mut Vec<Alert>) -> Result<(), String> {
        self.map_err(|error| error.to_string())?.answer(alerts)
    }
}

/// What a rule does with a timer.
type OnTimer<P, S> = fn(Timer, &P, &mut S, &mut Vec<Alert>) -> Result<(), String>;

/// Judges the rows of a call: for each row first the timers due before it, then the row; at the end those that the
/// watermark passed. Rows at a time come before timers at that time.
///
/// # Errors
/// The batch breaks the contract, or the rule failed.
pub fn evaluate<'a, E, P, S, R>(
    batch: Batch<'a>,
    mut rule: R,
    on_timer: Option<OnTimer<P, S>>,
) -> Result<Vec<Alert>, String>
where
    E: Event<'a>,
    P: Params,
    S: State,
    R: FnMut(Row<E>, &P, &mut S, &mut Vec<Alert>) -> Result<(), String>,
{
    known::begin();
    let params = P::load()?;
    let mut memory = S::open();
    let mut alerts = Vec::new();
    let groups = batch.groups.into_iter().map(Rows::new).collect::<Result<Vec<_>, _>>()?;
    let mut read = vec![0_usize; groups.len()];
    let mut foresight = Foresight::new(groups.len());
    for group in batch.order {
        let (Some(rows), Some(next)) = (groups.get(usize::from(*group)), read.get_mut(usize::from(*group))) else {
            return Err("the order names a group that is not there".to_owned());
        };
        let index = *next;
        *next += 1;
        let Some((handle, late)) = rows.handle(index) else {
            return Err("the order names more rows than there are".to_owned());
        };
        if let Some(on_timer) = on_timer {
            fire(handle.time.as_ms(), on_timer, &params, &mut memory, &mut alerts)?;
        }
        host::set_now(handle.time);
        let Some(value) = E::read(rows, index) else {
            return Err("a row lacks a field that the manifest requires".to_owned());
        };
        rule(Row { value, handle, late }, &params, &mut memory, &mut alerts)?;
        foresight.judged(usize::from(*group), rows, index);
    }
    if let Some(on_timer) = on_timer {
        fire(
            batch.watermark.saturating_add(1),
            on_timer,
            &params,
            &mut memory,
            &mut alerts,
        )?;
    }
    known::end();
    Ok(alerts)
}

fn fire<P, S>(
    before: i64,
    on_timer: OnTimer<P, S>,
    params: &P,
    memory: &mut S,
    alerts: &mut Vec<Alert>,
) -> Result<(), String> {
    while let Some((key, at)) = known::next_timer(before) {
        let at = Time::from_ms(at);
        host::set_now(at);
        on_timer(Timer { key, at }, params, memory, alerts)?;
    }
    Ok(())
}
