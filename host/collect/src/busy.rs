//! When a log was busy: one bit for each stretch of three hours, by the rows' own times, for the last eight days.
//!
//! A log that is silent is worth a word only if silence is unusual for it. Here a log counts as busy if nearly all stretches
//! of the three days before its last row had rows, and if the same stretch a week ago, as far as it was seen, had some too.
//! So a small company's log that sleeps at night and on Sundays is never said to be silent, and a large one's is within
//! three hours.

use serde::{Deserialize, Serialize};

/// A stretch, ms.
const STRETCH: i64 = 3 * 3_600_000;
/// Stretches that are looked at: three days.
const LOOKED_AT: u32 = 24;
/// Of those, with rows in a log that counts as busy.
const BUSY: u32 = 21;
/// Stretches of a week.
const WEEK: i64 = 56;

/// The stretches that had rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// The newest row's time, ms.
    #[serde(default)]
    pub last: Option<i64>,
    /// Bit n: the nth stretch before that of the newest row.
    #[serde(default)]
    bits: u64,
}

impl Busy {
    /// No row was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// A row of this time (ms).
    pub(crate) fn note(&mut self, time: i64) {
        let last = *self.last.get_or_insert(time);
        let steps = time.div_euclid(STRETCH) - last.div_euclid(STRETCH);
        let shift = u32::try_from(steps.unsigned_abs()).unwrap_or(u32::MAX);
        if steps >= 0 {
            self.bits = self.bits.checked_shl(shift).unwrap_or(0) | 1;
        } else {
            self.bits |= 1_u64.checked_shl(shift).unwrap_or(0);
        }
        self.last = Some(last.max(time));
    }

    /// Since when the log has been unusually silent, ms, if everything up to `read_to` was read and `least` ms without a row
    /// count as silence.
    pub(crate) fn silent_since(&self, read_to: i64, least: i64) -> Option<i64> {
        let last = self.last.filter(|last| read_to - last >= least)?;
        let was_busy = (self.bits & ((1 << LOOKED_AT) - 1)).count_ones() >= BUSY;
        let week_ago = last.div_euclid(STRETCH) - (read_to.div_euclid(STRETCH) - WEEK);
        let quiet_week_ago = u32::try_from(week_ago)
            .ok()
            .and_then(|shift| self.bits.checked_shr(shift))
            .is_some_and(|seen| seen != 0 && seen & 1 == 0);
        (was_busy && !quiet_week_ago).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn silent(rows: impl Iterator<Item = i64>, read_to: i64) -> Option<i64> {
        let mut busy = Busy::default();
        rows.for_each(|row| busy.note(row));
        busy.silent_since(read_to, STRETCH)
    }

    #[test]
    fn a_log_that_is_busy_round_the_clock_is_silent_after_three_hours() {
        let rows = || (0..10 * 24).map(|hour| hour * HOUR);
        let last = (10 * 24 - 1) * HOUR;
        assert_eq!(silent(rows(), last + STRETCH - 1), None);
        assert_eq!(silent(rows(), last + STRETCH), Some(last));
        let two_days = (0..48).map(|hour| hour * HOUR);
        assert_eq!(silent(two_days, 51 * HOUR), None, "too little is known of it");
    }

    #[test]
    fn a_log_that_sleeps_at_night_or_was_quiet_at_this_time_a_week_ago_is_not() {
        let office = (0..10 * 24)
            .filter(|hour| (8..18).contains(&(hour % 24)))
            .map(|hour| hour * HOUR);
        assert_eq!(silent(office, 10 * DAY), None);
        // Busy but for Sundays (day 2 and 9 from the first row).
        let week = (0..9 * 24).filter(|hour| hour / 24 != 2).map(|hour| hour * HOUR);
        assert_eq!(silent(week, 9 * DAY + 6 * HOUR), None);
        let week = (0..8 * 24).filter(|hour| hour / 24 != 2).map(|hour| hour * HOUR);
        assert!(silent(week, 8 * DAY + 6 * HOUR).is_some());
    }

    #[test]
    fn rows_may_come_in_any_order() {
        let (mut up, mut down) = (Busy::default(), Busy::default());
        (0..30).for_each(|n| up.note(n * STRETCH));
        (0..30).rev().for_each(|n| down.note(n * STRETCH));
        assert_eq!(up, down);
    }
}
