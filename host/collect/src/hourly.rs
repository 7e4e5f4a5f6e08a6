//! How often something happened in the last hour.

/// Counts of the last hour, in twelve parts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hourly {
    /// Which five minutes since the Unix epoch the last count belongs to.
    part: i64,
    counts: [u32; 12],
}

/// A part, ms.
const PART: i64 = 300_000;

impl Hourly {
    /// It happened so often at `now` (ms).
    pub(crate) fn add(&mut self, now: i64, count: usize) {
        self.turn_to(now);
        let place = place(self.part);
        if let Some(counted) = self.counts.get_mut(place) {
            *counted = counted.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// How often it happened in the hour before `now` (ms), to five minutes.
    pub(crate) fn count(mut self, now: i64) -> u64 {
        self.turn_to(now);
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn turn_to(&mut self, now: i64) {
        let part = now.div_euclid(PART);
        for passed in (self.part.max(part - 12)..part).map(|part| part + 1) {
            if let Some(count) = self.counts.get_mut(place(passed)) {
                *count = 0;
            }
        }
        self.part = self.part.max(part);
    }
}

fn place(part: i64) -> usize {
    usize::try_from(part.rem_euclid(12)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let mut hourly = Hourly::default();
        let start = 1_782_896_400_000;
        hourly.add(start, 5);
        hourly.add(start + 30 * 60_000, 2);
        assert_eq!(hourly.count(start + 54 * 60_000), 7);
        assert_eq!(hourly.count(start + 61 * 60_000), 2);
        assert_eq!(hourly.count(start + 200 * 60_000), 0);
        hourly.add(start + 500 * 60_000, 1);
        assert_eq!(hourly.count(start + 500 * 60_000), 1);
    }
}
