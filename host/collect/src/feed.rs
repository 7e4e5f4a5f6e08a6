//! Which of Duo's logs feeds the logical log `admin`.
//!
//! The same administrator's action appears in the activity log (v2) and in the administrator log (v1), in different shapes
//! and without a common id; so one of them feeds `admin`, and a `feed` mark in the journal says which from here on. The
//! activity log is better, but not part of every edition.
//!
//! The mark is written by the task that polls either log, in an admission of its own *before* the first rows that it
//! concerns, under the cursor row `admin`. The administrator log holds its first rows back until the activity log has been
//! answered once (or for `max_wait`), so that the first choice is the right one.

use crate::health::Standing;
use picket_duo::Log;

/// Name of the logical log, and of the cursor row that remembers who feeds it.
pub const ADMIN: &str = "admin";

/// Who feeds `admin`, as things stand; none: not known yet, or no change. A `feed` mark is due where this differs from the
/// last one written.
#[must_use]
pub fn feeder(activity: Standing, administrator: Standing) -> Option<Log> {
    match (activity, administrator) {
        (Standing::Working, _) => Some(Log::Activity),
        (Standing::Closed | Standing::NotCollected, Standing::Working) => Some(Log::Administrator),
        // A log that fails for a while comes back with all its rows: nothing is gained by changing over.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_feeds_admin_if_it_works_else_administrator() {
        use Standing::{Closed, Failing, NotCollected, Starting, Working};
        for (activity, administrator, expected) in [
            (Working, Working, Some(Log::Activity)),
            (Working, NotCollected, Some(Log::Activity)),
            (Closed, Working, Some(Log::Administrator)),
            (NotCollected, Working, Some(Log::Administrator)),
            (Closed, Starting, None),
            (Closed, Closed, None),
            (Failing, Working, None),
            (Starting, Working, None),
            (Starting, Starting, None),
        ] {
            assert_eq!(
                feeder(activity, administrator),
                expected,
                "{activity:?} {administrator:?}"
            );
        }
    }
}
