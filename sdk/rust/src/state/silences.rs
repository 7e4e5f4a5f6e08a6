//! Silences: something was to come and did not.
//!
//! What did not happen is no row, so nobody can be asked about it but the clock: a timer in event time rings when every log of
//! the rule is complete up to the deadline. By then what was awaited has been shown, unless it is later than the logs' bound of
//! lateness; for such rows ask for a longer deadline. Both may come in either order: what came before it was awaited (because
//! the row that awaits it is late, or because the clocks of two logs differ) counts as well.
//!
//! A rule with a `Silences` needs `#[rule(on_timer = ...)]`, and asks there what the timer means: [`Silences::rang`].

use super::joins::Within;
use super::{MOST_BYTES, Reader, Slot, cut, known, write_text};
use crate::alert::Handle;
use crate::define::{Store, StoreDef};
use crate::row::{Row, Timer};
use crate::time::{Span, Time};

/// What is awaited, for each key. `keep` is how long what came is remembered; `cap` is how many rows may await for a key.
#[derive(Debug)]
pub struct Silences {
    def: StoreDef,
}

/// What is awaited of one key.
#[derive(Debug)]
pub struct Silence {
    slot: Slot,
}

/// Rows of one key that awaited in vain, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    key: String,
    awaiting: Vec<(Handle, String)>,
}

impl Store for Silences {
    const KIND: &'static str = "silences";
    fn open(def: StoreDef) -> Self {
        Silences { def }
    }
}

impl Silences {
    /// What is awaited of a key.
    #[must_use]
    pub fn of(&self, key: impl AsRef<str>) -> Silence {
        Silence {
            slot: Slot::new(self.def, key.as_ref()),
        }
    }

    /// What a timer means. None: it is not one of these, or what was awaited has come.
    pub fn rang(&mut self, timer: &Timer) -> Option<Silent> {
        let name = timer.key.strip_prefix(self.def.name.as_bytes())?;
        let key = std::str::from_utf8(name.strip_prefix(&[0])?).ok()?;
        let slot = Slot::new(self.def, key);
        let mut awaited = slot.look(Awaited::read);
        let (silent, rest) = awaited.rows.into_iter().partition(|row| row.until <= slot.now);
        let silent: Vec<Awaiting> = silent;
        awaited.rows = rest;
        awaited.keep(&slot);
        let awaiting: Vec<_> = silent
            .into_iter()
            .map(|row| (Handle::new(row.time, row.event), row.value))
            .collect();
        (!awaiting.is_empty()).then(|| Silent {
            key: key.to_owned(),
            awaiting,
        })
    }
}

impl Silence {
    /// The row awaits something: no more than `within.before` earlier and no more than `within.after` later than itself. The
    /// timer rings once the latter is over.
    pub fn expect<T>(&mut self, row: &Row<T>, value: &str, within: Within) {
        let mut awaited = self.slot.look(Awaited::read);
        let (time, event) = (row.time().as_ms(), row.handle().event);
        if within.holds(time, awaited.came) || awaited.rows.iter().any(|known| known.event == event) {
            return;
        }
        awaited.await_row(Awaiting {
            time,
            event,
            from: time.saturating_sub(within.before.as_ms()),
            until: time.saturating_add(within.after.as_ms()),
            value: cut(value).to_owned(),
        });
        awaited.shed(self.slot.cap());
        awaited.keep(&self.slot);
    }

    /// What was awaited has come, with this row. Of what came only the last is remembered, for rows that await it and are late.
    pub fn came<T>(&mut self, row: &Row<T>) {
        let time = row.time().as_ms();
        let mut awaited = self.slot.look(Awaited::read);
        let waited = awaited.rows.len();
        awaited.rows.retain(|known| !(known.from..=known.until).contains(&time));
        if time > awaited.came || awaited.rows.len() < waited {
            awaited.came = awaited.came.max(time);
            awaited.keep(&self.slot);
        }
    }

    /// The row is a sign of life, and another is awaited within `span`. The timer rings when none came for at least that long,
    /// and at most a sixteenth longer, since it is put off only that seldom: true where it was.
    pub fn beat<T>(&mut self, row: &Row<T>, span: Span) -> bool {
        let time = row.time().as_ms();
        let slack = span.as_ms() / 16;
        let last = self.slot.look(Awaited::last);
        if last.is_some_and(|last| time.saturating_sub(last) < slack.max(1)) {
            return false;
        }
        let mut awaited = self.slot.look(Awaited::read);
        awaited.rows.clear();
        awaited.await_row(Awaiting {
            time,
            event: row.handle().event,
            from: time,
            until: time.saturating_add(span.as_ms()).saturating_add(slack),
            value: String::new(),
        });
        awaited.keep(&self.slot);
        true
    }

    /// Awaits nothing more.
    pub fn clear(&mut self) {
        Awaited::read(&[]).keep(&self.slot);
    }
}

impl Silent {
    /// Whose silence it is.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When the first row began to wait.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.awaiting.first().map(|(handle, _)| handle.time())
    }

    /// What was remembered with each row that waited.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.awaiting.iter().map(|(_, value)| value.as_str())
    }
}

impl IntoIterator for Silent {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;
    fn into_iter(self) -> Self::IntoIter {
        let handles: Vec<Handle> = self.awaiting.into_iter().map(|(handle, _)| handle).collect();
        handles.into_iter()
    }
}

/// As stored: when what is awaited came last, then the rows that await it, by time.
struct Awaited {
    came: i64,
    rows: Vec<Awaiting>,
}

struct Awaiting {
    time: i64,
    event: u64,
    from: i64,
    until: i64,
    value: String,
}

impl Awaiting {
    /// Four times or numbers, and the text's length.
    const HEAD: usize = 34;

    fn size(&self) -> usize {
        Self::HEAD + self.value.len()
    }
}

/// Nothing has come yet.
const NEVER: i64 = i64::MIN;

impl Awaited {
    fn read(value: &[u8]) -> Self {
        let mut reader = Reader::new(value);
        let came = reader.i64().unwrap_or(NEVER);
        let rows = std::iter::from_fn(|| {
            Some(Awaiting {
                time: reader.i64()?,
                event: reader.u64()?,
                from: reader.i64()?,
                until: reader.i64()?,
                value: reader.text()?.to_owned(),
            })
        });
        Awaited {
            came,
            rows: rows.collect(),
        }
    }

    /// The time of the last row that awaits.
    fn last(value: &[u8]) -> Option<i64> {
        let (_, mut rows) = value.split_first_chunk::<8>()?;
        let mut last = None;
        while let Some((head, rest)) = rows.split_first_chunk::<{ Awaiting::HEAD }>() {
            let (time, length) = (head.first_chunk()?, head.last_chunk()?);
            last = Some(i64::from_le_bytes(*time));
            rows = rest.get(usize::from(u16::from_le_bytes(*length))..)?;
        }
        last
    }

    fn await_row(&mut self, row: Awaiting) {
        let place = self.rows.partition_point(|known| known.time <= row.time);
        self.rows.insert(place, row);
    }

    /// The oldest go where there is no room.
    fn shed(&mut self, cap: usize) {
        let mut bytes = self.rows.iter().map(Awaiting::size).sum::<usize>();
        while (self.rows.len() > cap || bytes > MOST_BYTES) && !self.rows.is_empty() {
            bytes -= self.rows.remove(0).size();
        }
    }

    /// Writes it, and sets the timer to the first deadline.
    fn keep(&self, slot: &Slot) {
        match self.rows.iter().map(|row| row.until).min() {
            Some(until) => {
                if !known::set_timer(&slot.spot, until) {
                    slot.is_full();
                }
            }
            None => known::cancel_timer(&slot.spot),
        }
        // Whoever waits is remembered until the timer has rung, however short `keep` is.
        let used = self
            .rows
            .iter()
            .map(|row| row.until)
            .max()
            .unwrap_or(NEVER)
            .max(self.came);
        if used == NEVER {
            slot.delete();
            return;
        }
        let mut value = Vec::with_capacity(8 + self.rows.iter().map(Awaiting::size).sum::<usize>());
        value.extend_from_slice(&self.came.to_le_bytes());
        for row in &self.rows {
            value.extend_from_slice(&row.time.to_le_bytes());
            value.extend_from_slice(&row.event.to_le_bytes());
            value.extend_from_slice(&row.from.to_le_bytes());
            value.extend_from_slice(&row.until.to_le_bytes());
            write_text(&mut value, &row.value);
        }
        slot.put(&value, used);
    }
}
