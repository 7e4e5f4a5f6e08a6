//! Marks between snapshots.

use std::sync::Arc;

use picket_contract::Mark;

use super::{Kind, Stock};
use crate::admit::AdmitError;
use crate::clock::Clock;
use crate::inventory::keep::{Cursor, DuoInventory, Keep, MARKED, Marked, Part, row};
use crate::inventory::object::log_of;

impl<D: DuoInventory, K: Keep, C: Clock> Stock<D, K, C> {
    /// Marks the logs that rules read as complete up to now: the next snapshot will be later.
    pub(super) async fn beat_if_due(&mut self) {
        if self.clock.now_ms() < self.beat_at {
            return;
        }
        self.beat_at = self.clock.now_ms().saturating_add(self.settings.heartbeat.max(1));
        if let Err(error) = self.beat().await {
            tracing::warn!(tenant = %self.tenant, "inventory: {error}");
        }
    }

    async fn beat(&mut self) -> Result<(), AdmitError> {
        let to = self.duo_now() - 1;
        if self.marked.to >= Some(to) {
            return Ok(());
        }
        let has_waited = self.clock.now_ms() - self.begun >= self.settings.max_wait;
        let mut marks = Vec::new();
        for Kind { kind, cursor, .. } in &self.kinds {
            let Some(log) = log_of(*kind).filter(|log| self.listeners.has(log)) else {
                continue;
            };
            let log: Arc<str> = log.into();
            match cursor {
                Some(cursor) if cursor.closed => {}
                Some(Cursor { taken: Some(_), .. }) => marks.push(Mark::Complete { log, to }),
                _ if has_waited => marks.push(Mark::Stalled { log, to }),
                _ => {}
            }
        }
        if marks.is_empty() {
            return Ok(());
        }
        let marked = Marked { to: Some(to) };
        self.keep
            .keep(Part {
                log: MARKED.into(),
                marks,
                cursor: Some(row(MARKED, &marked)?),
                ..Part::default()
            })
            .await?;
        self.marked = marked;
        Ok(())
    }
}
