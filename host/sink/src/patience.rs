//! How long a courier waits after a failure: longer each time, and not all in one moment.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use picket_store::Patience;

/// The first wait after a failure, ms; twice as long each time.
const FIRST_WAIT: i64 = 1_000;
/// The longest wait, ms, unless the receiver asks for more.
const LONGEST_WAIT: i64 = 60_000;
/// The longest that a receiver may ask for, ms. A clock that was set back makes nobody wait longer.
const MOST_ASKED: i64 = 3_600_000;

/// Until when it has to wait; none: it is due.
pub(crate) fn waits(patience: &Patience, now: i64) -> Option<i64> {
    patience
        .next_try
        .filter(|next| *next > now && *next - now <= MOST_ASKED)
}

/// After one more failure. Of the wait, a share of up to a quarter is left out, another one each time and for each: what one
/// outage stopped is not all tried in one moment.
pub(crate) fn impatient(
    before: &Patience,
    why: &str,
    asked: Option<Duration>,
    who: (&str, &str),
    now: i64,
) -> Patience {
    let attempts = before.attempts.saturating_add(1);
    let whole = FIRST_WAIT
        .saturating_mul(1_i64 << before.attempts.min(20))
        .min(LONGEST_WAIT);
    let mut hash = DefaultHasher::new();
    (who, attempts, now).hash(&mut hash);
    let share = i64::from(u8::try_from(hash.finish() & 0xff).unwrap_or_default());
    let asked = asked.map_or(0, |asked| i64::try_from(asked.as_millis()).unwrap_or(MOST_ASKED));
    let wait = (whole - whole / 4 * share / 255).max(asked.min(MOST_ASKED));
    Patience {
        attempts,
        next_try: Some(now.saturating_add(wait)),
        trouble: Some(why.into()),
        since: before.since.or(Some(now)),
    }
}
