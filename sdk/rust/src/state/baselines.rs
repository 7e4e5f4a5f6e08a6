//! Baselines: how much there usually is of something, by the hour or by the day.
//!
//! Amounts are added up in buckets of event time (UTC). What is usual is asked of whole buckets before the present one, those
//! in which there was nothing included, from the first row on: a key that was met yesterday has a history of a day.
//!
//! Five weeks of hours are 840 buckets, of which a row changes the last. So the last lies in a head of fixed size, and those
//! before it, which take two bytes each where something happens every hour, are not touched.

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
        let (bucket, amount) = (time.div_euclid(Self::BUCKET), u64::from(amount));
        if let Some(Appended { head, out, tail }) = self.slot.look(|stored| self.appended(stored, time, amount)) {
            let splice = Splice {
                head: &head.write(),
                out,
                cut: 0,
                tail: &tail,
            };
            self.slot.splice(splice, Self::end(bucket));
            return;
        }
        let (mut since, mut buckets) = self.slot.look(History::read_all).unwrap_or((time, Vec::new()));
        match buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(index) => {
                if let Some((_, sum)) = buckets.get_mut(index) {
                    *sum = sum.saturating_add(amount);
                }
            }
            Err(index) => buckets.insert(index, (bucket, amount)),
        }
        since = since.min(time);
        let newest = buckets.last().map_or(bucket, |(bucket, _)| *bucket);
        let oldest = self.oldest(newest);
        buckets.retain(|(bucket, _)| *bucket >= oldest);
        let surplus = buckets.len().saturating_sub(self.most());
        let kept = buckets.get(surplus..).unwrap_or_default();
        self.slot.put(&History::write_all(since, kept), Self::end(newest));
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

    /// Most buckets.
    fn most(&self) -> usize {
        self.slot.cap().min(MOST)
    }

    /// The ordinary case: the amount is for the last bucket, or for one after it.
    fn appended(&self, stored: &[u8], time: i64, amount: u64) -> Option<Appended> {
        let History { mut head, earlier } = History::read(stored)?;
        let bucket = time.div_euclid(Self::BUCKET);
        if head.since > time || head.last > bucket {
            return None;
        }
        if head.last == bucket {
            head.amount = head.amount.saturating_add(amount);
            let (out, tail) = (0, Vec::new());
            return Some(Appended { head, out, tail });
        }
        let mut tail = Vec::with_capacity(2 * MOST_OF_A_NUMBER);
        write_number(&mut tail, head.amount);
        write_number(&mut tail, bucket.abs_diff(head.last));
        (head.last, head.amount, head.count) = (bucket, amount, head.count.saturating_add(1));
        let (oldest, most) = (self.oldest(bucket), self.most());
        let mut rest = earlier;
        while head.first < oldest || head.count as usize > most {
            // The last of the earlier ones lies in the tail: all that was is long ago.
            let Some((_, gap)) = read_pair(&mut rest) else {
                (head.first, head.count) = (bucket, 1);
                let out = earlier.len();
                return Some(Appended {
                    head,
                    out,
                    tail: Vec::new(),
                });
            };
            head.first = head.first.saturating_add_unsigned(gap);
            head.count = head.count.saturating_sub(1);
        }
        let out = earlier.len() - rest.len();
        Some(Appended { head, out, tail })
    }

    /// When the first row came.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.slot
            .look(|stored| Some(Time::from_ms(History::read(stored)?.head.since)))
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
        let (since, all) = self.slot.look(History::read_all)?;
        let now = self.slot.now.div_euclid(Self::BUCKET);
        // The bucket of the first row is no whole one.
        let known = since.div_euclid(Self::BUCKET) + 1;
        let from = now.saturating_sub(back.as_ms().div_euclid(Self::BUCKET)).max(known);
        let buckets = u64::try_from(now - from).ok().filter(|buckets| *buckets > 0)?;
        let sums = || {
            all.iter()
                .filter(|(bucket, _)| (from..now).contains(bucket))
                .map(|(_, sum)| *sum as f64)
        };
        let many = buckets as f64;
        // Of nothing `Iterator::sum` would say -0.
        let mean = sums().fold(0.0, |all, sum| all + sum) / many;
        let square = sums().fold(0.0, |all, sum| all + sum * sum) / many - mean * mean;
        Some(Usual {
            buckets,
            mean,
            deviation: square.max(0.0).sqrt(),
        })
    }

    fn sum(&self, from: i64, to: i64) -> u64 {
        self.slot.look(|stored| {
            let Some(history) = History::read(stored) else {
                return 0;
            };
            let inside = history.buckets().take_while(|(bucket, _)| *bucket < to);
            let inside = inside.filter(|(bucket, _)| *bucket >= from);
            inside.fold(0, |all: u64, (_, sum)| all.saturating_add(sum))
        })
    }
}

/// What becomes of a history where an amount comes to its end.
struct Appended {
    head: Head,
    /// Bytes of buckets that go at the start.
    out: usize,
    tail: Vec<u8>,
}

/// Most buckets whatever the cap: they fit a value.
const MOST: usize = 3000;

/// As stored: the head; then for each bucket but the last its amount, and how many buckets further the next is that is not empty.
struct History<'v> {
    head: Head,
    earlier: &'v [u8],
}

/// Of fixed size.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// When the first row came.
    since: i64,
    /// The numbers of the first and the last bucket that are kept.
    first: i64,
    last: i64,
    /// Of the last.
    amount: u64,
    /// How many there are.
    count: u32,
}

impl Head {
    const SIZE: usize = 36;

    fn write(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.since, self.first, self.last, self.amount.cast_signed()].map(i64::to_le_bytes);
        if let Some((head, count)) = bytes.split_last_chunk_mut() {
            head.copy_from_slice(words.as_flattened());
            *count = self.count.to_le_bytes();
        }
        bytes
    }
}

impl<'v> History<'v> {
    /// None: there is none.
    fn read(stored: &'v [u8]) -> Option<Self> {
        let mut reader = Reader::new(stored);
        let head = Head {
            since: reader.i64()?,
            first: reader.i64()?,
            last: reader.i64()?,
            amount: reader.u64()?,
            count: u32::from_le_bytes(reader.array()?),
        };
        let earlier = reader.rest;
        Some(History { head, earlier })
    }

    /// Each bucket that is not empty: its number and its amount.
    fn buckets(&self) -> impl Iterator<Item = (i64, u64)> + use<'v> {
        let (
            Head {
                mut first,
                last,
                amount,
                ..
            },
            mut rest,
        ) = (self.head, self.earlier);
        let earlier = std::iter::from_fn(move || {
            let (amount, gap) = read_pair(&mut rest)?;
            let next = first.saturating_add_unsigned(gap);
            Some((std::mem::replace(&mut first, next), amount))
        });
        earlier.chain([(last, amount)])
    }

    /// When the first row came, and each bucket.
    fn read_all(stored: &[u8]) -> Option<(i64, Vec<(i64, u64)>)> {
        let history = History::read(stored)?;
        Some((history.head.since, history.buckets().collect()))
    }

    fn write_all(since: i64, buckets: &[(i64, u64)]) -> Vec<u8> {
        let (first, last) = (buckets.first().copied(), buckets.last().copied().unwrap_or_default());
        let head = Head {
            since,
            first: first.map_or(0, |(bucket, _)| bucket),
            last: last.0,
            amount: last.1,
            count: u32::try_from(buckets.len()).unwrap_or(u32::MAX),
        };
        let mut value = head.write().to_vec();
        for pair in buckets.windows(2) {
            if let [(bucket, amount), (next, _)] = pair {
                write_number(&mut value, *amount);
                write_number(&mut value, next.abs_diff(*bucket));
            }
        }
        value
    }
}

/// Bytes of the longest number.
const MOST_OF_A_NUMBER: usize = 10;

/// Seven bits a byte, the lowest first, as WebAssembly writes its numbers (LEB128).
fn write_number(value: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        value.push(number as u8 | 0x80);
        number >>= 7;
    }
    value.push(number as u8);
}

/// An amount, and how far it is to the next bucket.
#[inline]
fn read_pair(rest: &mut &[u8]) -> Option<(u64, u64)> {
    // Nearly all of them.
    if let Some(([amount @ ..0x80, gap @ ..0x80], behind)) = rest.split_first_chunk() {
        *rest = behind;
        return Some((u64::from(*amount), u64::from(*gap)));
    }
    Some((read_number(rest)?, read_number(rest)?))
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            return Some(number);
        }
        shift = shift.saturating_add(7);
    }
}
