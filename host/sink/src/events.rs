//! Moves events from the tenants' journals to one sink, and remembers how far it came in each.
//!
//! No event is written a second time: what is to be sent is the journal itself, read from a position of the sink's own. In the
//! store these positions are lanes of a sink beside the one that gets alerts (its name with a tab and `events` behind it, which
//! nobody can write in a configuration), one for each tenant. What is in memory is one piece, bounded in rows and bytes and, of
//! each tenant that is looked at, by a page of Duo's; whatever waits is on the disk.
//!
//! A sink that is new begins where the journals end. A tenant that comes later is sent from its journal's beginning on, and one
//! that the sink begins to want, from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use picket_contract::EventRecord;
use picket_failpoint::{Point, reach};
use picket_store::{Lane, OutboxRow, Patience, Settlement, SinkRow, Store, StoreError};

use crate::missed::Miss;
use crate::patience::{impatient, waits};
use crate::{Delivery, Down, Fate, Sink, Step};

/// How many events are delivered at once.
const AT_ONCE: usize = 1024;
/// Of one tenant.
const OF_ONE: usize = 256;
/// Bytes of events after which no further one is delivered at once.
const BYTES: usize = 2 << 20;
/// Numbers passed over, after which it is written down that they need not be looked at again.
const SKIPPED: u64 = 4096;
/// The position of a tenant whose events are not wanted.
const UNWANTED: u64 = i64::MAX.unsigned_abs();

/// What the JSON of an event says of itself.
pub const EVENT_SCHEMA: &str = "picket.event/1";

/// By what name the store knows how far a sink has come with events.
#[must_use]
pub fn events_of(sink: &str) -> String {
    format!("{sink}\tevents")
}

/// What is sent of an event of a tenant's, and whether it is: of which log, and its number in the journal. The row has that number.
pub type Written<'a> = &'a dyn Fn(&Arc<str>, &str, u64, &EventRecord) -> Option<OutboxRow>;

/// Brings events to one sink.
#[derive(Debug)]
pub struct EventCourier {
    sink: Arc<str>,
    /// The lanes' numbers are journal numbers.
    row: SinkRow,
    /// Numbers as they are stored, by tenant.
    written: std::collections::BTreeMap<Arc<str>, u64>,
    /// Whose journal may hold more.
    due: BTreeSet<Arc<str>>,
    /// Who was looked at last.
    turn: Arc<str>,
}

/// What was read of one tenant's journal.
struct Piece {
    lane: Lane,
    /// Everything up to this number has been read.
    up_to: u64,
    /// How many of the rows are its own.
    rows: usize,
    /// Its position was another one, further on.
    is_anew: bool,
}

impl EventCourier {
    /// Goes on where the sink was left; one that is new begins where each journal ends.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: &dyn Store, sink: &str) -> Result<Self, StoreError> {
        let name: Arc<str> = events_of(sink).into();
        let tenants = store.tenants()?;
        let row = match store.sinks()?.into_iter().find(|row| row.sink == name) {
            Some(row) => row,
            None => {
                let mut lanes = Vec::with_capacity(tenants.len());
                for tenant in &tenants {
                    lanes.push(lane(tenant, store.last_seq(tenant)?));
                }
                store.settle(Settlement {
                    lanes: lanes
                        .iter()
                        .map(|lane| (lane.tenant.clone(), Some(lane.clone())))
                        .collect(),
                    ..Settlement::up_to(&name, 0)
                })?;
                SinkRow {
                    sink: name,
                    lanes,
                    ..SinkRow::default()
                }
            }
        };
        Ok(EventCourier {
            sink: sink.into(),
            written: row.lanes.iter().map(|lane| (lane.tenant.clone(), lane.after)).collect(),
            row,
            due: tenants.into_iter().collect(),
            turn: "".into(),
        })
    }

    /// How far it is with each tenant whose events are wanted.
    pub fn positions(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let wanted = self.row.lanes.iter().filter(|lane| lane.after != UNWANTED);
        wanted.map(|lane| (&lane.tenant, lane.after))
    }

    /// There may be more in these tenants' journals.
    pub fn look(&mut self, tenants: impl IntoIterator<Item = Arc<str>>) {
        self.due.extend(tenants);
    }

    /// What was wrong is forgotten: the sink is tried at once.
    ///
    /// # Errors
    /// The store's.
    pub fn forgive(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.row.patience.next_try = None;
        self.row.disabled = false;
        self.row.lanes.iter_mut().for_each(|lane| lane.patience.next_try = None);
        store.settle(Settlement {
            standing: Some((self.row.patience.clone(), false)),
            ..Settlement::up_to(&self.row.sink, 0)
        })?;
        let tenants = store.tenants()?;
        self.look(tenants);
        Ok(())
    }

    /// Delivers a bounded piece of what waits. `wants`: whose events; `now`: wall clock, ms.
    ///
    /// # Errors
    /// The store's: what was delivered in this step may be delivered again.
    pub fn step(
        &mut self,
        store: &dyn Store,
        sink: &mut dyn Sink,
        wants: &dyn Fn(&str) -> bool,
        written: Written<'_>,
        now: i64,
    ) -> Result<Step, StoreError> {
        let mut step = Step::default();
        if step.rests(&self.row, now) {
            return Ok(step);
        }
        let (pieces, rows) = self.read(store, wants, written, now, &mut step)?;
        let delivery = if rows.is_empty() {
            Delivery::taken(0)
        } else {
            sink.deliver(&rows)
        };
        self.write(store, pieces, &rows, delivery, now, &mut step)?;
        step.rests(&self.row, now);
        Ok(step)
    }

    /// A piece of each of some tenants' journals, others each time.
    fn read(
        &mut self,
        store: &dyn Store,
        wants: &dyn Fn(&str) -> bool,
        written: Written<'_>,
        now: i64,
        step: &mut Step,
    ) -> Result<(Vec<Piece>, Vec<OutboxRow>), StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = self.due.range((Excluded(self.turn.clone()), Unbounded));
        let tenants: Vec<Arc<str>> = behind.chain(self.due.range(..=self.turn.clone())).cloned().collect();
        let (mut pieces, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
        for tenant in tenants {
            if rows.len() >= AT_ONCE || bytes >= BYTES {
                step.more = true;
                break;
            }
            let known = self.row.lanes.iter().find(|lane| lane.tenant == tenant).cloned();
            let mut own = known.unwrap_or_else(|| lane(&tenant, 0));
            let mut is_anew = false;
            if !wants(&tenant) {
                self.due.remove(&tenant);
                own = lane(&tenant, UNWANTED);
                pieces.push(Piece {
                    up_to: UNWANTED,
                    lane: own,
                    rows: 0,
                    is_anew,
                });
                continue;
            }
            if let Some(next) = waits(&own.patience, now) {
                step.next = Some(step.next.map_or(next, |other| other.min(next)));
                continue;
            }
            let end = store.last_seq(&tenant)?;
            if own.after == UNWANTED {
                (own.after, is_anew) = (end, true);
            } else if own.after > end {
                // Deleted, and begun again.
                (own.after, is_anew) = (0, true);
            }
            self.turn = tenant.clone();
            let mut up_to = own.after;
            let mut count = 0;
            match store.read(&tenant, own.after, OF_ONE) {
                Ok(admissions) if admissions.is_empty() => {
                    self.due.remove(&tenant);
                }
                Ok(admissions) => {
                    step.more = true;
                    'journal: for admission in admissions {
                        let numbers = admission.first_seq..;
                        for (number, event) in numbers.zip(&admission.events) {
                            if number <= own.after {
                                continue;
                            }
                            if count >= OF_ONE || bytes >= BYTES {
                                break 'journal;
                            }
                            if let Some(row) = written(&tenant, &admission.log, number, event) {
                                bytes += row.json.len();
                                count += 1;
                                rows.push(row);
                            }
                            up_to = number;
                        }
                        up_to = up_to.max(admission.last_seq());
                    }
                }
                Err(StoreError::Damaged {
                    what,
                    why,
                    last_seq: Some(last_seq),
                    ..
                }) => {
                    // Other tenants' events are sound, and what comes behind it is.
                    let lost = last_seq.saturating_sub(own.after);
                    let reason = format!("{what} is damaged: {why}");
                    Miss::Lost.add(store, &self.sink, (&tenant, lost), &reason, now)?;
                    step.trouble = Some(format!("{tenant}: {reason}; it is passed over"));
                    step.more = true;
                    up_to = last_seq;
                }
                Err(error) => return Err(error),
            }
            pieces.push(Piece {
                lane: own,
                up_to,
                rows: count,
                is_anew,
            });
        }
        Ok((pieces, rows))
    }

    fn write(
        &mut self,
        store: &dyn Store,
        pieces: Vec<Piece>,
        rows: &[OutboxRow],
        delivery: Delivery,
        now: i64,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let Delivery { fates, down } = delivery;
        let name = self.row.sink.clone();
        let mut given = rows
            .iter()
            .zip(fates.into_iter().map(Some).chain(std::iter::repeat(None)));
        let mut lanes: Vec<(Arc<str>, Option<Lane>)> = Vec::new();
        for piece in pieces {
            let Piece { mut lane, up_to, .. } = piece;
            let before = lane.clone();
            let (mut is_stuck, mut taken) = (false, 0);
            for (row, fate) in given.by_ref().take(piece.rows) {
                match fate {
                    _ if is_stuck => {}
                    Some(Fate::Taken) => {
                        taken += 1;
                        lane.after = row.number;
                    }
                    Some(Fate::Refused(reason)) => {
                        let which = format!("{}: {reason}", row.alert);
                        Miss::Refused.add(store, &self.sink, (&row.tenant, 1), &which, now)?;
                        step.refused.push((row.alert.clone(), reason));
                        lane.after = row.number;
                    }
                    Some(Fate::Later { why, wait }) => {
                        is_stuck = true;
                        step.trouble = Some(format!("{}: {why}", lane.tenant));
                        lane.patience = impatient(&before.patience, &why, wait, (&*name, &*lane.tenant), now);
                    }
                    None => is_stuck = true,
                }
            }
            step.delivered += taken;
            if !is_stuck {
                lane.after = up_to;
                lane.patience = Patience::default();
            } else if let Some(next) = waits(&lane.patience, now) {
                step.next = Some(step.next.map_or(next, |other| other.min(next)));
            }
            let at = self.written.get(&lane.tenant).copied();
            let is_worth = at.is_none_or(|at| lane.after.abs_diff(at) >= SKIPPED)
                || piece.is_anew
                || (piece.rows > 0 && lane.after != before.after)
                || lane.patience != before.patience;
            if is_worth && at != Some(lane.after) || lane.patience != before.patience {
                if piece.is_anew {
                    // A position goes back only where it is deleted first.
                    lanes.push((lane.tenant.clone(), None));
                }
                lanes.push((lane.tenant.clone(), Some(lane.clone())));
            }
            self.row.lanes.retain(|known| known.tenant != lane.tenant);
            self.row.lanes.push(lane);
        }
        let standing = match &down {
            Some(down) => {
                let Down {
                    why, wait, for_good, ..
                } = down;
                step.trouble = Some(why.clone());
                (impatient(&self.row.patience, why, *wait, (&*name, ""), now), *for_good)
            }
            None if step.delivered > 0 => (Patience::default(), false),
            None => (self.row.patience.clone(), self.row.disabled),
        };
        let is_told = (&standing.0, standing.1) != (&self.row.patience, self.row.disabled);
        if is_told || !lanes.is_empty() {
            reach(Point::MarkBefore);
            store.settle(Settlement {
                standing: is_told.then(|| standing.clone()),
                lanes: lanes.clone(),
                ..Settlement::up_to(&name, 0)
            })?;
            for (tenant, lane) in lanes {
                if let Some(lane) = lane {
                    self.written.insert(tenant, lane.after);
                }
            }
        }
        (self.row.patience, self.row.disabled) = standing;
        Ok(())
    }
}

fn lane(tenant: &Arc<str>, after: u64) -> Lane {
    Lane {
        tenant: tenant.clone(),
        after,
        patience: Patience::default(),
    }
}
