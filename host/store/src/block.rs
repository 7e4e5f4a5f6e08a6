//! Event bodies of one admission as one compressed block.
//!
//! A Duo log repeats itself from event to event, so a page compressed as one is a twelfth of its text. Before compression a
//! block is all times (i64), all id lengths and all body lengths (u32), little-endian, then the events: each id, and its body
//! behind it, which mostly says the id again. (Blocks of before have all ids first, and then all bodies.) A checksum of the
//! stored bytes tells damage from a fault of ours.

use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::EventRecord;

/// Level 1 packs such text nearly as small as level 3 does (107 bytes an event, 102 there) in half the time; below it the size
/// rises by a third.
const LEVEL: i32 = 1;

/// Packers that are kept for the next page; more are made where more is packed at once.
const KEPT: usize = 2;

/// Room that a kept packer holds on to, bytes: more than any usual page takes.
const KEPT_ROOM: usize = 4 << 20;

/// More than any page of any log; what claims to be bigger is damaged.
const MOST_BYTES: usize = 1 << 30;

/// A block as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Bytes before compression.
    pub(crate) size: u64,
    pub(crate) layout: Layout,
    /// Of `body`.
    pub(crate) crc32: u32,
    /// zstd.
    pub(crate) body: Vec<u8>,
}

/// How the events of a block stand one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All ids, then all bodies: as it was up to schema 3.
    Apart,
    /// Each id, and its body behind it.
    Together,
}

impl Layout {
    /// As the store has it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Layout::Apart => 0,
            Layout::Together => 1,
        }
    }

    pub(crate) fn of(number: i64) -> Result<Self, String> {
        match number {
            0 => Ok(Layout::Apart),
            1 => Ok(Layout::Together),
            other => Err(format!("no layout has the number {other}")),
        }
    }
}

/// What packing works with, kept from one page to the next: to make it anew costs as much as a small page.
#[derive(Default)]
pub(crate) struct Packers {
    idle: Mutex<Vec<Packer>>,
}

struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Packers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packers").finish_non_exhaustive()
    }
}

impl Packers {
    /// Packs events. The error says what is wrong with them.
    pub(crate) fn pack(&self, events: &[EventRecord]) -> Result<Block, String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut packer = kept.map_or_else(Packer::new, Ok)?;
        let block = packer.pack(events)?;
        if packer.plain.capacity() <= KEPT_ROOM {
            let mut idle = idle();
            if idle.len() < KEPT {
                idle.push(packer);
            }
        }
        Ok(block)
    }
}

impl Packer {
    fn new() -> Result<Self, String> {
        Ok(Packer {
            zstd: zstd::bulk::Compressor::new(LEVEL).map_err(|error| format!("cannot compress: {error}"))?,
            plain: Vec::new(),
            packed: Vec::new(),
        })
    }

    fn pack(&mut self, events: &[EventRecord]) -> Result<Block, String> {
        let texts: usize = events.iter().map(|event| event.id.len() + event.raw.len()).sum();
        let size = texts + events.len() * 16;
        if size > MOST_BYTES {
            return Err(format!(
                "{} events of {texts} bytes are more than one admission may hold ({MOST_BYTES})",
                events.len()
            ));
        }
        let plain = &mut self.plain;
        plain.clear();
        plain.reserve(size);
        for event in events {
            plain.extend_from_slice(&event.time.to_le_bytes());
        }
        for length in events
            .iter()
            .map(|event| event.id.len())
            .chain(events.iter().map(|event| event.raw.len()))
        {
            let length = u32::try_from(length).map_err(|_| "an event is longer than 4 GiB".to_owned())?;
            plain.extend_from_slice(&length.to_le_bytes());
        }
        for event in events {
            plain.extend_from_slice(event.id.as_bytes());
            plain.extend_from_slice(event.raw.as_bytes());
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let packed = self.zstd.compress_to_buffer(plain, &mut self.packed);
        packed.map_err(|error| format!("cannot compress: {error}"))?;
        let body = self.packed.as_slice().to_vec();
        Ok(Block {
            size: plain.len() as u64,
            layout: Layout::Together,
            crc32: crc32fast::hash(&body),
            body,
        })
    }
}

/// Unpacks `count` events. The error says how the block is damaged.
pub(crate) fn decode(block: &Block, count: usize) -> Result<Vec<EventRecord>, String> {
    let plain = plain(block)?;
    rows(&plain, count, block.layout)?.map(|row| row?.record()).collect()
}

/// A block as it was before compression, from which single events can be taken.
#[derive(Debug)]
pub(crate) struct Unpacked {
    plain: Vec<u8>,
    places: Vec<Place>,
}

/// Where an event lies in a plain block.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: i64,
    id: (u32, u32),
    raw: (u32, u32),
}

impl Unpacked {
    /// Unpacks a block of `count` events. The error says how it is damaged.
    pub(crate) fn of(block: &Block, count: usize) -> Result<Self, String> {
        let plain = plain(block)?;
        // A plain block is below 1 GiB.
        let within = |part: &[u8]| {
            let from = part.as_ptr().addr() - plain.as_ptr().addr();
            (from as u32, (from + part.len()) as u32)
        };
        let place = |row: Result<Row<'_>, String>| {
            row.map(|row| Place {
                time: row.time,
                id: within(row.id),
                raw: within(row.raw),
            })
        };
        let places = rows(&plain, count, block.layout)?
            .map(place)
            .collect::<Result<_, _>>()?;
        Ok(Unpacked { plain, places })
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.plain.len() + self.places.len() * size_of::<Place>()
    }

    /// The event at a place; none: there are not so many.
    pub(crate) fn event(&self, at: usize) -> Option<Result<EventRecord, String>> {
        let row = self.row(at)?;
        Some(row.record())
    }

    /// Id and time (ms) of the event at a place; none: there are not so many.
    pub(crate) fn head(&self, at: usize) -> Option<Result<(Arc<str>, i64), String>> {
        let row = self.row(at)?;
        Some(text(row.id).map(|id| (id, row.time)))
    }

    fn row(&self, at: usize) -> Option<Row<'_>> {
        let place = self.places.get(at)?;
        let part = |(from, to): (u32, u32)| self.plain.get(from as usize..to as usize);
        Some(Row {
            time: place.time,
            id: part(place.id)?,
            raw: part(place.raw)?,
        })
    }
}

/// The block as it was before compression.
fn plain(block: &Block) -> Result<Vec<u8>, String> {
    let found = crc32fast::hash(&block.body);
    if found != block.crc32 {
        return Err(format!("checksum {found:08x} where {:08x} was written", block.crc32));
    }
    let size = usize::try_from(block.size)
        .ok()
        .filter(|size| *size <= MOST_BYTES)
        .ok_or("impossible size")?;
    zstd::bulk::decompress(&block.body, size).map_err(|error| format!("cannot decompress: {error}"))
}

/// One event where it lies.
struct Row<'a> {
    time: i64,
    id: &'a [u8],
    raw: &'a [u8],
}

impl Row<'_> {
    fn record(&self) -> Result<EventRecord, String> {
        let (id, raw) = (text(self.id)?, text(self.raw)?);
        Ok(EventRecord {
            id,
            time: self.time,
            raw,
        })
    }
}

/// The events of a plain block, where they lie.
fn rows(plain: &[u8], count: usize, layout: Layout) -> Result<impl Iterator<Item = Result<Row<'_>, String>>, String> {
    let mut rest = plain;
    let times = numbers(&mut rest, count)?.map(i64::from_le_bytes);
    let lengths = |bytes: [u8; 4]| u32::from_le_bytes(bytes) as usize;
    let id_lengths: Vec<usize> = numbers(&mut rest, count)?.map(lengths).collect();
    let raw_lengths: Vec<usize> = numbers(&mut rest, count)?.map(lengths).collect();
    let sum = |lengths: &[usize]| lengths.iter().fold(0_usize, |sum, length| sum.saturating_add(*length));
    let (all_ids, all) = (sum(&id_lengths), sum(&id_lengths).saturating_add(sum(&raw_lengths)));
    let mut together = take(&mut rest, all)?;
    if !rest.is_empty() {
        return Err(format!("{} bytes left over", rest.len()));
    }
    // Where ids stand apart, they are a piece of their own before the bodies.
    let mut apart = match layout {
        Layout::Apart => Some(take(&mut together, all_ids)?),
        Layout::Together => None,
    };
    let lengths = id_lengths.into_iter().zip(raw_lengths);
    Ok(times.zip(lengths).map(move |(time, (id, raw))| {
        let id = take(apart.as_mut().unwrap_or(&mut together), id)?;
        let raw = take(&mut together, raw)?;
        Ok(Row { time, id, raw })
    }))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(length).ok_or("it ends too early")?;
    *rest = left;
    Ok(taken)
}

fn numbers<'a, const N: usize>(
    rest: &mut &'a [u8],
    count: usize,
) -> Result<impl Iterator<Item = [u8; N]> + use<'a, N>, String> {
    let bytes = take(rest, count.checked_mul(N).ok_or("impossible count")?)?;
    Ok(bytes.as_chunks::<N>().0.iter().copied())
}

fn text<'a, T: From<&'a str>>(bytes: &'a [u8]) -> Result<T, String> {
    std::str::from_utf8(bytes)
        .map(T::from)
        .map_err(|error| format!("not UTF-8: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(events: &[EventRecord]) -> Result<Block, String> {
        Packers::default().pack(events)
    }

    fn events() -> Vec<EventRecord> {
        let event = |n: i64| EventRecord {
            id: format!("id-{n}").into(),
            time: n - 5,
            raw: format!("{{\"ä\":{n}}}").into(),
        };
        (0..50).map(event).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let block = encode(&events()).unwrap();
        assert_eq!(decode(&block, 50).unwrap(), events());
        assert_eq!(decode(&encode(&[]).unwrap(), 0).unwrap(), vec![]);
    }

    #[test]
    fn blocks_of_before_are_read() {
        let (events, mut plain) = (events(), Vec::new());
        plain.extend(events.iter().flat_map(|event| event.time.to_le_bytes()));
        plain.extend(events.iter().flat_map(|event| (event.id.len() as u32).to_le_bytes()));
        plain.extend(events.iter().flat_map(|event| (event.raw.len() as u32).to_le_bytes()));
        plain.extend(events.iter().flat_map(|event| event.id.bytes()));
        plain.extend(events.iter().flat_map(|event| event.raw.bytes()));
        let body = zstd::bulk::compress(&plain, 3).unwrap();
        let block = Block {
            size: plain.len() as u64,
            layout: Layout::of(0).unwrap(),
            crc32: crc32fast::hash(&body),
            body,
        };
        assert_eq!(decode(&block, 50).unwrap(), events);
        let unpacked = Unpacked::of(&block, 50).unwrap();
        assert_eq!(unpacked.event(3), Some(Ok(events[3].clone())));
        assert_eq!(unpacked.head(3), Some(Ok((events[3].id.clone(), events[3].time))));
        assert!(Layout::of(2).is_err());
        for layout in [Layout::Apart, Layout::Together] {
            assert_eq!(Layout::of(layout.number().into()), Ok(layout));
        }
    }

    #[test]
    fn a_packer_that_is_used_again_packs_the_same() {
        let packers = Packers::default();
        let (first, few) = (packers.pack(&events()).unwrap(), packers.pack(&events()[..3]).unwrap());
        assert_eq!(packers.pack(&events()).unwrap(), first);
        assert_eq!(
            (encode(&events()).unwrap(), encode(&events()[..3]).unwrap()),
            (first, few)
        );
        assert!(packers.idle.lock().unwrap().len() <= KEPT);
    }

    #[test]
    fn what_is_picked_is_what_was_packed_there() {
        let (block, events) = (encode(&events()).unwrap(), events());
        let unpacked = Unpacked::of(&block, 50).unwrap();
        for at in [0, 7, 8, 49] {
            assert_eq!(unpacked.event(at), Some(Ok(events[at].clone())));
            assert_eq!(unpacked.head(at), Some(Ok((events[at].id.clone(), events[at].time))));
        }
        assert_eq!((unpacked.event(50), unpacked.head(50)), (None, None));
        assert!(Unpacked::of(&block, 49).is_err());
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let block = encode(&events()).unwrap();
        for at in 0..block.body.len() {
            let mut damaged = block.clone();
            damaged.body[at] ^= 0x40;
            assert!(decode(&damaged, 50).unwrap_err().starts_with("checksum"));
            // Even where the checksum was forged nothing worse than an error or other text comes of it.
            damaged.crc32 = crc32fast::hash(&damaged.body);
            let _ = decode(&damaged, 50);
        }
    }

    #[test]
    fn a_wrong_count_or_size_is_an_error() {
        let block = encode(&events()).unwrap();
        assert!(decode(&block, 49).is_err());
        assert!(decode(&block, 51).is_err());
        assert!(decode(&block, usize::MAX).is_err());
        assert!(
            decode(
                &Block {
                    size: 3,
                    ..block.clone()
                },
                50
            )
            .is_err()
        );
        assert!(
            decode(
                &Block {
                    size: u64::MAX,
                    ..block
                },
                50
            )
            .is_err()
        );
    }
}
