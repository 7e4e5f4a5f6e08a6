//! Which of Duo's logs feeds the logical log `admin`.
//!
//! The same administrator's action appears in the activity log (v2) and in the administrator log (v1), in different shapes
//! and without a common id; so one of them feeds `admin`, and a `feed` mark in the journal says which. The activity log is
//! better, but not part of every edition.
//!
//! **A change loses no action and shows none twice.** The mark says from which time on it holds: up to there the log of
//! before is complete in the journal, and its rows are `admin`'s; later rows are the other log's, those too that were
//! admitted before the mark. So that readers have released nothing beyond that time, the mark is written
//!
//! * before the log of before is said to be closed or stalled, and
//! * while the cursor of the log of before is held: its `complete` cannot move meanwhile.
//!
//! The activity log takes over again when it has read what it missed, so that nobody waits for it meanwhile.
//!
//! The mark is written by the task that polls either log, under the cursor row `admin`.

use std::sync::Arc;

use picket_contract::Mark;
use picket_duo::Log;
use picket_store::CursorRow;
use serde::{Deserialize, Serialize};

use crate::admit::{Admit, AdmitError, Intake};
use crate::cursor::Cursor;
use crate::health::Standing;
use crate::ledger::unreadable;
use crate::poller::Shared;

/// Name of the logical log, and of the cursor row that remembers who feeds it.
pub const ADMIN: &str = "admin";

/// The cursor row of the logical log.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Feed {
    feed: Log,
}

/// How one of the two logs stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Side {
    standing: Standing,
    /// It is about to be marked as stalled.
    is_stalling: bool,
}

impl Side {
    /// Readers wait for it, or will.
    fn is_there(self) -> bool {
        matches!(
            self.standing,
            Standing::Starting | Standing::Working | Standing::Failing
        )
    }

    fn works(self) -> bool {
        self.standing == Standing::Working
    }
}

/// Who is to feed `admin`, as things stand; none: no change is due. `is_level`: the activity log has read what it missed.
fn due(current: Option<Log>, activity: Side, administrator: Side, is_level: impl FnOnce() -> bool) -> Option<Log> {
    let due = match current {
        None if activity.works() => Log::Activity,
        None if !activity.is_there() && administrator.is_there() => Log::Administrator,
        None if activity.is_stalling && administrator.works() => Log::Administrator,
        Some(Log::Administrator) if !administrator.is_there() && activity.is_there() => Log::Activity,
        Some(Log::Administrator) if administrator.is_stalling && activity.works() => Log::Activity,
        Some(Log::Administrator) if activity.works() && is_level() => Log::Activity,
        Some(Log::Activity) if !activity.is_there() && administrator.is_there() => Log::Administrator,
        Some(Log::Activity) if activity.is_stalling && administrator.works() => Log::Administrator,
        _ => return None,
    };
    (Some(due) != current).then_some(due)
}

/// Writes the `feed` mark where one is due. `stalling`: the log that is about to be marked as stalled.
pub(crate) async fn settle<D, A: Admit, C>(shared: &Shared<D, A, C>, stalling: Option<Log>) -> Result<(), AdmitError> {
    let (admit, board) = (&*shared.admit, &shared.board);
    let side = |log| Side {
        standing: board.standing(log),
        is_stalling: stalling == Some(log),
    };
    let (activity, administrator) = (side(Log::Activity), side(Log::Administrator));
    let mut known = board.feed.lock().await;
    // Should anything fail, who feeds is read from the journal again.
    let current = match known.take() {
        Some(current) => current,
        None => match admit.cursor(ADMIN).await? {
            Some(row) => {
                let feed: Feed = serde_json::from_str(&row.cursor).map_err(|error| unreadable(&error))?;
                Some(feed.feed)
            }
            None => None,
        },
    };
    let Some(maybe) = due(current, activity, administrator, || true) else {
        *known = Some(current);
        return Ok(());
    };
    let new = shared.ledger.read(admit, maybe).await?;
    let (from, old) = match current {
        None => (i64::MIN, None),
        Some(old) => {
            let held = shared.ledger.hold(admit, old).await?;
            let is_level = || is_level(&new, held.cursor(), shared.settings.max_wait);
            if due(current, activity, administrator, is_level).is_none() {
                *known = Some(current);
                return Ok(());
            }
            let released = held.cursor().complete.max(held.cursor().stalled);
            (released.unwrap_or(i64::MIN), Some(held))
        }
    };
    let log: Arc<str> = Arc::from(ADMIN);
    let cursor = serde_json::to_string(&Feed { feed: maybe }).map_err(|error| unreadable(&error))?;
    let mark = Mark::Feed {
        logical: log.clone(),
        log: Arc::from(maybe.journal()),
        from,
    };
    admit
        .admit(Intake {
            log: log.clone(),
            events: Vec::new(),
            reading: None,
            unidentified: 0,
            marks: vec![mark],
            cursor: Some(CursorRow { log, cursor }),
        })
        .await?;
    drop(old);
    *known = Some(Some(maybe));
    Ok(())
}

/// The activity log has read as far as the administrator log, or nearly, and as far as it was given up.
fn is_level(activity: &Cursor, administrator: &Cursor, tolerance: i64) -> bool {
    let Some(complete) = activity.complete.filter(|_| activity.live.is_none()) else {
        return false;
    };
    Some(complete) >= activity.stalled
        && administrator.live.is_none()
        && administrator.complete.is_none_or(|other| complete + tolerance >= other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_feeds_admin_if_it_works_else_administrator() {
        use Standing::{Closed, Failing, NotCollected, Starting, Working};
        let (act, adm) = (Log::Activity, Log::Administrator);
        let side = |standing, is_stalling| Side { standing, is_stalling };
        let calm = |standing| side(standing, false);
        for (current, activity, administrator, expected) in [
            (None, calm(Working), calm(Working), Some(act)),
            (None, calm(Working), calm(NotCollected), Some(act)),
            (None, calm(Closed), calm(Working), Some(adm)),
            (None, calm(NotCollected), calm(Starting), Some(adm)),
            (None, calm(Closed), calm(Closed), None),
            (None, calm(Failing), calm(Working), None),
            (None, side(Failing, true), calm(Working), Some(adm)),
            (None, calm(Starting), calm(Working), None),
            (Some(act), calm(Failing), calm(Working), None),
            (Some(act), side(Failing, true), calm(Working), Some(adm)),
            (Some(act), side(Failing, true), calm(Failing), None),
            (Some(act), calm(Closed), calm(Starting), Some(adm)),
            (Some(act), calm(Closed), calm(Closed), None),
            (Some(adm), calm(Working), calm(Working), Some(act)),
            (Some(adm), calm(Failing), calm(Working), None),
            (Some(adm), calm(Starting), calm(NotCollected), Some(act)),
        ] {
            let due = due(current, activity, administrator, || true);
            assert_eq!(due, expected, "{current:?} {activity:?} {administrator:?}");
        }
        assert_eq!(
            due(Some(adm), calm(Working), calm(Working), || false),
            None,
            "not before it is level"
        );
    }
}
