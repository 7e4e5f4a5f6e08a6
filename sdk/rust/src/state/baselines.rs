//! Baselines: how much there usually is of something, by the hour or by the day.
//!
//! Amounts are added up in buckets of event time (UTC). What is usual is asked of whole buckets before the present one, those
//! in which there was nothing included, from the first row on: a key that was met yesterday has a history of a day.

use super::{Reader, Slot, Splice};
use crate::define::{Store, StoreDef};
use crate::row::Row;
use crate::time::{Span, Time};

/// Amounts by bucket of `MINUTES`, for each key: `Baselines<60>` counts by the hour, `Baselines<1440>` by the day.
///
/// `keep` is how far back one can ask; `cap` is how many buckets that are not empty are kept for a key.
#[derive(Debug)]
pub struct Baselines<const MINUTES: u32> {
    def: StoreDef,
}

/// The amounts of one key.
#[derive(Debug)]
pub struct Baseline<const MINUTES: u32> {
    slot: Slot,
}

/// What is usual: over how many buckets, and how much in one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usual {
    /// Whole buckets, the empty ones included.
    pub buckets: u64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
}

impl<const MINUTES: u32> Store for Baselines<MINUTES> {
    const KIND: &'static str = "baselines";
    fn open(def: StoreDef) -> Self {
        const { assert!(MINUTES > 0, "a bucket has at least a minute") }
        Baselines { def }
    }
}

impl<const MINUTES: u32> Baselines<MINUTES> {
    /// The amounts of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Baseline<MINUTES> {
        Baseline {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }
}

impl<const MINUTES: u32> Baseline<MINUTES> {
    const BUCKET: i64 = 60_000 * MINUTES as i64;

    /// Adds to the bucket of the row's time.
    pub fn add<T>(&mut self, row: &Row<T>, amount: u32) {
        let time = row.time().as_ms();
        if let Some((out, cut, last)) = self.slot.look(|stored| self.appended(stored, time, amount)) {
            let splice = Splice {
                head: 8,
                out,
                cut,
                tail: last.as_flattened(),
            };
            self.slot.splice(splice, Self::end(time.div_euclid(Self::BUCKET)));
            return;
        }
        let mut history = self.slot.look(|stored| History::read(stored, time));
        let bucket = time.div_euclid(Self::BUCKET);
        match history.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(index) => {
                if let Some((_, sum)) = history.buckets.get_mut(index) {
                    *sum = sum.saturating_add(u64::from(amount));
                }
            }
            Err(index) => history.buckets.insert(index, (bucket, u64::from(amount))),
        }
        history.since = history.since.min(time);
        let newest = history.buckets.last().map_or(bucket, |(bucket, _)| *bucket);
        let oldest = self.oldest(newest);
        history.buckets.retain(|(bucket, _)| *bucket >= oldest);
        let surplus = history.buckets.len().saturating_sub(self.slot.cap().min(MOST));
        history.buckets.drain(..surplus);
        self.slot.put(&history.write(), Self::end(newest));
    }

    /// When a bucket ends, ms.
    fn end(bucket: i64) -> i64 {
        bucket.saturating_add(1).saturating_mul(Self::BUCKET)
    }

    /// The oldest bucket to be kept beside the newest.
    fn oldest(&self, newest: i64) -> i64 {
        let kept = self.slot.def.keep_ms.div_euclid(Self::BUCKET);
        newest.saturating_sub(kept).saturating_sub(1)
    }

    /// The ordinary case: the amount is for the last bucket, or for one after it. How many bytes of buckets go at the start and at
    /// the end, and the bucket that comes to the end.
    fn appended(&self, stored: &[u8], time: i64, amount: u32) -> Option<(usize, usize, [[u8; 8]; 2])> {
        let (since, buckets) = stored.split_first_chunk::<8>()?;
        let (buckets, rest) = buckets.as_chunks::<16>();
        let (last, earlier) = buckets.split_last()?;
        let (bucket, (newest, sum)) = (time.div_euclid(Self::BUCKET), read(last)?);
        if i64::from_le_bytes(*since) > time || newest > bucket || !rest.is_empty() {
            return None;
        }
        let (kept, cut, sum) = if newest == bucket {
            (earlier, last.len(), sum)
        } else {
            (buckets, 0, 0)
        };
        let oldest = self.oldest(bucket);
        let is_old = |kept: &&[u8; 16]| read(kept).is_none_or(|(bucket, _)| bucket < oldest);
        let old = kept.iter().take_while(is_old).count();
        let surplus = (kept.len() + 1).saturating_sub(self.slot.cap().min(MOST));
        let sum = sum.saturating_add(u64::from(amount));
        Some((
            old.max(surplus) * last.len(),
            cut,
            [bucket.to_le_bytes(), sum.to_le_bytes()],
        ))
    }

    /// When the first row came.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.slot
            .read(|stored| Some(Time::from_ms(History::read(stored?, i64::MAX).since)))
    }

    /// How much there is in the present bucket.
    #[must_use]
    pub fn now(&self) -> u64 {
        let bucket = self.slot.now.div_euclid(Self::BUCKET);
        self.sum(bucket, bucket + 1)
    }

    /// How much there was from one time to another (not included), in whole buckets: those that both lie in.
    #[must_use]
    pub fn between(&self, from: Time, to: Time) -> u64 {
        self.sum(
            from.as_ms().div_euclid(Self::BUCKET),
            to.as_ms().div_euclid(Self::BUCKET),
        )
    }

    /// What is usual, by the whole buckets of the last `back` before the present one. None: there is none yet.
    #[must_use]
    pub fn usual(&self, back: Span) -> Option<Usual> {
        let history = self.slot.read(|stored| Some(History::read(stored?, i64::MAX)))?;
        let now = self.slot.now.div_euclid(Self::BUCKET);
        // The bucket of the first row is no whole one.
        let known = history.since.div_euclid(Self::BUCKET) + 1;
        let from = now.saturating_sub(back.as_ms().div_euclid(Self::BUCKET)).max(known);
        let buckets = u64::try_from(now - from).ok().filter(|buckets| *buckets > 0)?;
        let sums = || {
            history
                .buckets
                .iter()
                .filter(|(bucket, _)| (from..now).contains(bucket))
                .map(|(_, sum)| *sum as f64)
        };
        let many = buckets as f64;
        let mean = sums().sum::<f64>() / many;
        let square = sums().map(|sum| sum * sum).sum::<f64>() / many - mean * mean;
        Some(Usual {
            buckets,
            mean,
            deviation: square.max(0.0).sqrt(),
        })
    }

    fn sum(&self, from: i64, to: i64) -> u64 {
        self.slot.look(|stored| {
            let buckets = stored.get(8..).unwrap_or_default().as_chunks::<16>().0;
            let first = buckets.partition_point(|bucket| read(bucket).is_some_and(|(bucket, _)| bucket < from));
            let rest = buckets.get(first..).unwrap_or_default().iter().map_while(read);
            rest.take_while(|(bucket, _)| *bucket < to).map(|(_, sum)| sum).sum()
        })
    }
}

/// A bucket's number and its amount.
fn read(bucket: &[u8; 16]) -> Option<(i64, u64)> {
    let mut reader = Reader::new(bucket);
    Some((reader.i64()?, reader.u64()?))
}

/// Most buckets whatever the cap: they fit a value.
const MOST: usize = 3000;

/// As stored: when the first row came, then each bucket that is not empty: its number and its amount.
struct History {
    since: i64,
    buckets: Vec<(i64, u64)>,
}

impl History {
    fn read(value: &[u8], otherwise: i64) -> Self {
        let mut reader = Reader::new(value);
        let since = reader.i64().unwrap_or(otherwise);
        let buckets = std::iter::from_fn(|| Some((reader.i64()?, reader.u64()?)));
        History {
            since,
            buckets: buckets.collect(),
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(8 + 16 * self.buckets.len());
        value.extend_from_slice(&self.since.to_le_bytes());
        for (bucket, sum) in &self.buckets {
            value.extend_from_slice(&bucket.to_le_bytes());
            value.extend_from_slice(&sum.to_le_bytes());
        }
        value
    }
}
