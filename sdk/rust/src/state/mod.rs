//! What a rule remembers with.
//!
//! Each helper is a field of the author's `#[derive(State)]` struct and keeps one value for each key: `memory.windows.of(user)`.
//! Three promises hold for all of them:
//!
//! - **Event time only.** What is in a window, what is forgotten and what expires follows from the times of rows, so a replay
//!   remembers what the live rule remembered.
//! - **Split invariance.** What a call has read and written it need not ask for again, and after it the state is what row-by-row
//!   calls would have left.
//! - **Few writes.** A value that only needs renewing is renewed at most once in a sixteenth of the time it is kept, so that
//!   it lives between `keep` and 17/16 of it after it was last used.
//!
//! At most `cap` entries are kept for a key, and at most [`MOST_BYTES`] of them, so whoever chooses long names cannot make a
//! value too long to be kept; past either the oldest go. Where the host's cap on the rule's state is reached, new
//! entries are not remembered, and the module's log says so.

mod baselines;
mod distincts;
mod firsts;
mod joins;
pub(crate) mod known;
mod lasts;
mod sequences;
mod silences;
mod windows;

pub use baselines::{Baseline, Baselines, Usual};
pub use distincts::{Distinct, Distincts, Values};
pub use firsts::{First, Firsts};
pub use joins::{Half, Join, Joins, Pair, Within};
pub use lasts::{Last, Lasts};
pub use sequences::{Sequence, Sequences, Steps};
pub use silences::{Silence, Silences, Silent};
pub use windows::{Burst, Window, Windows};

use crate::define::StoreDef;
use crate::host::{self, Level};
use known::{Splice, Spot};

/// Most bytes of one key's entries. The host takes values of 64 KiB.
const MOST_BYTES: usize = 60 << 10;

/// What the log says where the host has no room.
const FULL: &str = "the rule's state is full: an entry was not remembered";

/// One key of one helper.
#[derive(Debug)]
struct Slot {
    def: StoreDef,
    now: i64,
    spot: Spot,
}

impl Slot {
    fn new(def: StoreDef, key: &str) -> Self {
        Slot {
            def,
            now: host::now(),
            spot: known::spot(def.name, key),
        }
    }

    /// Looks at the value; none: there is none. Nothing of the state may be asked meanwhile.
    fn read<R>(&self, look: impl FnOnce(Option<&[u8]>) -> R) -> R {
        known::read(&self.spot, self.now, look)
    }

    /// Looks at the value, which is empty if there is none.
    fn look<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        self.read(|value| look(value.unwrap_or_default()))
    }

    /// Keeps a value that was last used at `used` (ms).
    fn put(&self, value: &[u8], used: i64) {
        if !known::write(&self.spot, value, self.now, self.expiry(used)) {
            self.is_full();
        }
    }

    /// Keeps what becomes of the value that [`Slot::look`] shows.
    fn splice(&self, splice: Splice<'_>, used: i64) {
        if !known::splice(&self.spot, splice, self.now, self.expiry(used)) {
            self.is_full();
        }
    }

    fn expiry(&self, used: i64) -> i64 {
        used.saturating_add(self.def.keep_ms).saturating_add(self.slack())
    }

    fn is_full(&self) {
        host::with(|host| host.log(Level::Warn, FULL));
    }

    fn delete(&self) {
        known::delete(&self.spot, self.now);
    }

    /// How long a value may go without being renewed.
    fn slack(&self) -> i64 {
        self.def.keep_ms / 16
    }

    fn cap(&self) -> usize {
        self.def.cap as usize
    }
}

/// Reads little-endian fields one after the other. A value that is cut short ends the reading: the rest is forgotten.
#[derive(Debug, Clone)]
struct Reader<'v> {
    rest: &'v [u8],
}

impl<'v> Reader<'v> {
    fn new(value: &'v [u8]) -> Self {
        Reader { rest: value }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Option<&'v [u8]> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(head)
    }

    fn text(&mut self) -> Option<&'v str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// Removes entries older than `oldest` (ms), and then, the first of them first, what there is no room for. They are in order of time.
fn shed<E>(entries: &mut Vec<E>, oldest: i64, time: impl Fn(&E) -> i64, size: impl Fn(&E) -> usize) {
    entries.retain(|entry| time(entry) >= oldest);
    let mut bytes = entries.iter().map(&size).sum::<usize>();
    let surplus = entries.iter().take_while(|entry| {
        let is_surplus = bytes > MOST_BYTES;
        bytes -= if is_surplus { size(entry) } else { 0 };
        is_surplus
    });
    let surplus = surplus.count();
    entries.drain(..surplus);
}

/// Writes a text with its length. What is longer than 255 bytes is cut at a character: no field of Duo's that makes a
/// sensible entry is.
fn write_text(value: &mut Vec<u8>, text: &str) {
    let text = cut(text);
    value.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_le_bytes());
    value.extend_from_slice(text.as_bytes());
}

#[inline(always)]
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(255)).unwrap_or_default()
}
