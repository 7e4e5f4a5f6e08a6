//! Moves alerts from the outbox to one sink, and remembers how far it came.
//!
//! What a courier holds in memory is one piece of the outbox, bounded in rows and bytes, whatever waits on the disk. A receiver
//! that is down stops the front; one that refuses an alert of a tenant for now gives that tenant a lane of its own, behind which
//! the others go on. Failures wait longer and longer, and how long is written down: a restart does not begin from the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use picket_failpoint::{Point, reach};
use picket_store::{
    Lane, Letter, LetterFilter, LetterState, OutboxRow, Patience, Settlement, SinkRow, Store, StoreError, Stretch,
};

use crate::patience::{impatient, waits};
use crate::{Cause, Delivery, Down, Fate, Sink};

/// How many rows are delivered at once: enough to share a flush of the disk, few enough to repeat after a crash.
const AT_ONCE: usize = 256;
/// Bytes of alerts after which no further row is delivered at once.
const BYTES: usize = 2 << 20;
/// Lanes that are tried in one step.
const LANES: usize = 16;
/// Letters that somebody asked for again or dropped, known at once.
const MARKED: usize = 10_000;
/// Rows that were not meant for the sink, after which it is written down that they need not be looked at again.
const SKIPPED: u64 = 4096;

/// What one step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Alerts that the receiver took.
    pub delivered: u64,
    /// Alerts that it will never take, and why.
    pub refused: Vec<(Arc<str>, String)>,
    /// There may be more to do at once.
    pub more: bool,
    /// When something is tried again, wall clock, ms. None: when there are more alerts.
    pub next: Option<i64>,
    /// What went wrong in this step, in words.
    pub trouble: Option<String>,
}

impl Step {
    /// Whether nothing is tried at a sink for a while, or at all; then that is all that the step says of what comes next. `now`:
    /// wall clock, ms.
    pub(crate) fn rests(&mut self, row: &SinkRow, now: i64) -> bool {
        let next = waits(&row.patience, now);
        let rests = row.disabled || next.is_some();
        if rests {
            self.more = false;
            self.next = next.filter(|_| !row.disabled);
        }
        rests
    }
}

/// Brings alerts to one sink.
#[derive(Debug)]
pub struct Courier {
    row: SinkRow,
    /// The front as the store knows it.
    written: u64,
    /// Letters that are to be sent again or need not be sent.
    marked: BTreeMap<u64, LetterState>,
}

/// What became of a batch.
#[derive(Default)]
struct Batch {
    /// Of the rows' numbers: everything up to it is dealt with, but for lanes.
    after: u64,
    lanes: BTreeMap<Arc<str>, (u64, String, Option<Duration>)>,
    letters: Vec<Letter>,
    settled: Vec<u64>,
    delivered: u64,
    down: Option<Down>,
}

impl Courier {
    /// Goes on where the sink of this name was left. One that is new begins with the oldest alert where it wants the history,
    /// else with the next.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: &dyn Store, name: &str, history: bool) -> Result<Self, StoreError> {
        let known = store.sinks()?.into_iter().find(|row| *row.sink == *name);
        let row = match known {
            Some(row) => row,
            None => {
                let after = if history { 0 } else { store.outbox_end()? };
                store.settle(Settlement::up_to(name, after))?;
                SinkRow {
                    sink: name.into(),
                    after,
                    ..SinkRow::default()
                }
            }
        };
        let mut courier = Courier {
            written: row.after,
            row,
            marked: BTreeMap::new(),
        };
        courier.read_marks(store)?;
        Ok(courier)
    }

    /// How the sink stands.
    #[must_use]
    pub fn row(&self) -> &SinkRow {
        &self.row
    }

    /// Reads how the sink stands again: somebody changed it in the store.
    ///
    /// # Errors
    /// The store's.
    pub fn reread(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if let Some(row) = store.sinks()?.into_iter().find(|row| row.sink == self.row.sink) {
            self.written = row.after;
            self.row = row;
        }
        self.read_marks(store)
    }

    fn read_marks(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.marked.clear();
        for state in [LetterState::Again, LetterState::Dropped] {
            let letters = store.letters(&LetterFilter {
                sink: Some(&self.row.sink),
                state: Some(state),
                limit: MARKED,
                ..LetterFilter::default()
            })?;
            self.marked
                .extend(letters.into_iter().map(|letter| (letter.number, state)));
        }
        Ok(())
    }

    /// Delivers a bounded piece of what waits and is wanted. `now`: wall clock, ms.
    ///
    /// # Errors
    /// The store's: what was delivered in this step may be delivered again.
    pub fn step(
        &mut self,
        store: &dyn Store,
        sink: &mut dyn Sink,
        wants: &dyn Fn(&OutboxRow) -> bool,
        now: i64,
    ) -> Result<Step, StoreError> {
        let mut step = Step::default();
        if step.rests(&self.row, now) {
            return Ok(step);
        }
        self.again(store, sink, now, &mut step)?;
        if !self.is_down(now) {
            self.lanes(store, sink, wants, now, &mut step)?;
        }
        if !self.is_down(now) {
            self.front(store, sink, wants, now, &mut step)?;
        }
        let lanes = self.row.lanes.iter();
        let waiting = lanes.filter(|lane| lane.after < self.row.after);
        let due = waiting.map(|lane| waits(&lane.patience, now).unwrap_or(now));
        step.next = due.min();
        step.rests(&self.row, now);
        Ok(step)
    }

    /// Whether nothing is tried for a while, or at all. `now`: wall clock, ms.
    #[must_use]
    pub fn is_down(&self, now: i64) -> bool {
        self.row.disabled || waits(&self.row.patience, now).is_some()
    }

    /// Letters that somebody asked to send again, whatever else waits.
    fn again(&mut self, store: &dyn Store, sink: &mut dyn Sink, now: i64, step: &mut Step) -> Result<(), StoreError> {
        let asked = self.marked.iter().filter(|(_, state)| **state == LetterState::Again);
        let numbers: Vec<u64> = asked.map(|(number, _)| *number).take(AT_ONCE).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(numbers.len());
        for number in &numbers {
            rows.extend(store.stretch(&Stretch {
                after: number - 1,
                up_to: Some(*number),
                limit: 1,
                ..Stretch::default()
            })?);
        }
        let Delivery { fates, down } = sink.deliver(&rows);
        let mut batch = Batch {
            down,
            ..Batch::default()
        };
        for (row, fate) in rows.iter().zip(fates) {
            match fate {
                Fate::Taken => {
                    batch.delivered += 1;
                    batch.settled.push(row.number);
                    self.marked.remove(&row.number);
                }
                Fate::Refused(reason) => {
                    self.marked.remove(&row.number);
                    step.refused.push((row.alert.clone(), reason.clone()));
                    batch.letters.push(self.letter(row, reason, now));
                }
                // It stays marked, and is tried with the sink's next success.
                Fate::Later { why, wait } => {
                    batch.down.get_or_insert(Down {
                        why,
                        cause: Cause::Busy,
                        wait,
                        for_good: false,
                    });
                }
            }
        }
        // An alert that is gone from the store is asked for in vain.
        for number in numbers
            .iter()
            .filter(|number| !rows.iter().any(|row| row.number == **number))
        {
            batch.settled.push(*number);
            self.marked.remove(number);
        }
        batch.after = self.row.after;
        step.more |= batch.down.is_none();
        self.write(store, batch, None, now, step)
    }

    fn lanes(
        &mut self,
        store: &dyn Store,
        sink: &mut dyn Sink,
        wants: &dyn Fn(&OutboxRow) -> bool,
        now: i64,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let is_due = |lane: &&Lane| waits(&lane.patience, now).is_none() && lane.after <= self.row.after;
        let due: Vec<Lane> = self.row.lanes.iter().filter(is_due).take(LANES).cloned().collect();
        for lane in due {
            let rows = store.stretch(&Stretch {
                after: lane.after,
                up_to: Some(self.row.after),
                tenant: Some(&lane.tenant),
                limit: AT_ONCE,
                bytes: BYTES,
                ..Stretch::default()
            })?;
            if rows.is_empty() {
                self.row.lanes.retain(|other| other.tenant != lane.tenant);
                store.settle(Settlement {
                    lanes: vec![(lane.tenant, None)],
                    ..Settlement::up_to(&self.row.sink, self.row.after)
                })?;
                self.written = self.row.after;
                step.more = true;
                continue;
            }
            let batch = self.deliver(sink, &rows, wants, lane.after, now, step);
            let is_stuck = batch.down.is_some() || !batch.lanes.is_empty();
            self.write(store, batch, Some(lane), now, step)?;
            if self.is_down(now) {
                return Ok(());
            }
            step.more |= !is_stuck;
        }
        Ok(())
    }

    fn front(
        &mut self,
        store: &dyn Store,
        sink: &mut dyn Sink,
        wants: &dyn Fn(&OutboxRow) -> bool,
        now: i64,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let rows = store.stretch(&Stretch {
            after: self.row.after,
            without_lanes_of: Some(&self.row.sink),
            limit: AT_ONCE,
            bytes: BYTES,
            ..Stretch::default()
        })?;
        if rows.is_empty() {
            // All that follows is of tenants with lanes. A lane that was put ahead of the front draws it along.
            let ahead = self.row.lanes.iter().map(|lane| lane.after).max();
            if let Some(ahead) = ahead.filter(|ahead| *ahead > self.row.after) {
                self.row.after = ahead;
                step.more = true;
            }
            return Ok(());
        }
        let batch = self.deliver(sink, &rows, wants, self.row.after, now, step);
        step.more |= batch.down.is_none();
        self.write(store, batch, None, now, step)
    }

    /// Gives the rows that are wanted to the sink.
    fn deliver(
        &mut self,
        sink: &mut dyn Sink,
        rows: &[OutboxRow],
        wants: &dyn Fn(&OutboxRow) -> bool,
        after: u64,
        now: i64,
        step: &mut Step,
    ) -> Batch {
        let is_dropped = |row: &OutboxRow| self.marked.get(&row.number) == Some(&LetterState::Dropped);
        let is_wanted = |row: &&OutboxRow| wants(row) && !is_dropped(row);
        let wanted: Vec<OutboxRow> = rows.iter().filter(is_wanted).cloned().collect();
        let Delivery { fates, down } = if wanted.is_empty() {
            Delivery::taken(0)
        } else {
            sink.deliver(&wanted)
        };
        let mut batch = Batch {
            after,
            down,
            ..Batch::default()
        };
        let tried = fates.len();
        for (row, fate) in wanted.iter().zip(fates) {
            if batch.lanes.contains_key(&row.tenant) {
                continue;
            }
            match fate {
                Fate::Taken => batch.delivered += 1,
                Fate::Refused(reason) => {
                    step.refused.push((row.alert.clone(), reason.clone()));
                    batch.letters.push(self.letter(row, reason, now));
                }
                Fate::Later { why, wait } => {
                    batch.lanes.insert(row.tenant.clone(), (row.number - 1, why, wait));
                }
            }
        }
        // Up to the first that was not tried, which is wanted.
        let end = wanted.get(tried).map(|row| row.number - 1);
        let last = rows.last().map_or(after, |row| row.number);
        batch.after = end.unwrap_or(last).max(after);
        let gone = self.marked.range(..=batch.after);
        let gone = gone.filter(|(number, state)| **state == LetterState::Dropped && **number > after);
        batch.settled = gone.map(|(number, _)| *number).collect();
        self.marked.retain(|number, _| !batch.settled.contains(number));
        batch
    }

    fn letter(&self, row: &OutboxRow, reason: String, now: i64) -> Letter {
        Letter {
            sink: self.row.sink.clone(),
            number: row.number,
            tenant: row.tenant.clone(),
            alert: row.alert.clone(),
            state: LetterState::Dead,
            reason: reason.into(),
            time: now,
        }
    }

    /// Writes down what became of a batch of the front, or of a lane.
    fn write(
        &mut self,
        store: &dyn Store,
        batch: Batch,
        lane: Option<Lane>,
        now: i64,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        step.delivered += batch.delivered;
        let name = self.row.sink.clone();
        let mut lanes: Vec<Lane> = Vec::new();
        let is_lane = lane.is_some();
        if let Some(lane) = lane {
            let patience = if batch.lanes.is_empty() {
                Patience::default()
            } else {
                lane.patience.clone()
            };
            lanes.push(Lane {
                after: batch.after,
                patience,
                ..lane
            });
        }
        for (tenant, (after, why, wait)) in batch.lanes {
            let before = lanes
                .iter()
                .position(|lane| lane.tenant == tenant)
                .map(|at| lanes.remove(at));
            let before = before.map(|lane| lane.patience).unwrap_or_default();
            step.trouble = Some(format!("{tenant}: {why}"));
            lanes.push(Lane {
                patience: impatient(&before, &why, wait, (&*name, &*tenant), now),
                tenant,
                after,
            });
        }
        let (patience, disabled) = match &batch.down {
            Some(down) => {
                step.trouble = Some(down.why.clone());
                let patience = impatient(&self.row.patience, &down.why, down.wait, (&*name, ""), now);
                (patience, down.for_good)
            }
            // Something was taken: whatever was wrong with the whole of it is over.
            None if batch.delivered > 0 => (Patience::default(), false),
            None => (self.row.patience.clone(), self.row.disabled),
        };
        let front = if is_lane { self.row.after } else { batch.after };
        let is_told = (&patience, disabled) != (&self.row.patience, self.row.disabled);
        let is_idle = !is_told && lanes.is_empty() && batch.letters.is_empty() && batch.settled.is_empty();
        if !(is_idle && batch.delivered == 0 && front.saturating_sub(self.written) < SKIPPED) {
            reach(Point::MarkBefore);
            store.settle(Settlement {
                sink: name.clone(),
                after: front,
                standing: is_told.then(|| (patience.clone(), disabled)),
                lanes: lanes
                    .iter()
                    .map(|lane| (lane.tenant.clone(), Some(lane.clone())))
                    .collect(),
                letters: batch.letters,
                settled: batch.settled,
            })?;
            self.written = front;
        }
        self.row.after = front;
        (self.row.patience, self.row.disabled) = (patience, disabled);
        for lane in lanes {
            self.row.lanes.retain(|known| known.tenant != lane.tenant);
            self.row.lanes.push(lane);
        }
        Ok(())
    }
}
