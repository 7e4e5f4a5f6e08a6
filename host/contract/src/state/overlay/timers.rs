//! Timers during one call: what it sets and cancels, and which is next.

use std::sync::Arc;

use super::super::{Full, timer_cost};
use super::StateOverlay;

impl StateOverlay<'_> {
    /// Sets a timer, replacing the one of that key.
    ///
    /// # Errors
    /// [`Full`]: past a cap nothing changes.
    pub fn set_timer(&mut self, key: &[u8], at: i64) -> Result<(), Full> {
        if key.len() > self.limits.key_bytes {
            return Err(Full::Key);
        }
        if self.timer(key).is_none() {
            let cost = timer_cost(key);
            if self.timers >= self.limits.timers {
                return Err(Full::Total);
            }
            if self.bytes + cost > self.limits.total_bytes {
                self.count_off();
                if self.bytes + cost > self.limits.total_bytes {
                    return Err(Full::Total);
                }
            }
            self.timers += 1;
            self.bytes += cost;
        }
        let key: Arc<[u8]> = key.into();
        if let Some(Some(before)) = self.changes.timers.insert(key.clone(), Some(at)) {
            self.set.remove(&(before, key.clone()));
        }
        self.set.insert((at, key));
        Ok(())
    }

    /// Cancels a timer, if it is set.
    pub fn cancel_timer(&mut self, key: &[u8]) {
        if self.timer(key).is_some() {
            self.timers -= 1;
            self.bytes -= timer_cost(key);
            let key: Arc<[u8]> = key.into();
            if let Some(Some(at)) = self.changes.timers.insert(key.clone(), None) {
                self.set.remove(&(at, key));
            }
        }
    }

    /// Takes the next timer, by (time, key), that is due before `before` or at or below the clock; the clock passes it.
    pub fn next_timer(&mut self, before: i64) -> Option<(Arc<[u8]>, i64)> {
        let (at, key) = self.first()?;
        if at >= before && self.clock.is_none_or(|clock| at > clock) {
            return None;
        }
        self.cancel_timer(&key);
        self.pass(at);
        Some((key, at))
    }

    /// When the next timer is due: the least time if it is due at once, by the clock.
    pub fn first_timer(&mut self) -> Option<i64> {
        let (at, _) = self.first()?;
        let is_due = self.clock.is_some_and(|clock| at <= clock);
        Some(if is_due { i64::MIN } else { at })
    }

    fn first(&mut self) -> Option<(i64, Arc<[u8]>)> {
        // Nothing before the cursor comes back within the call, since what the call overrode stays overridden.
        let rest = match &self.due_from {
            Some(cursor) => self.base.due.range(cursor.clone()..),
            None => self.base.due.range(..),
        };
        let committed = rest
            .into_iter()
            .find(|(_, key)| !self.changes.timers.contains_key(key))
            .cloned();
        self.due_from = committed.clone().or_else(|| self.base.due.last().cloned());
        [committed, self.set.first().cloned()].into_iter().flatten().min()
    }

    fn timer(&self, key: &[u8]) -> Option<i64> {
        match self.changes.timers.get(key) {
            Some(at) => *at,
            None => self.base.timers.get(key).copied(),
        }
    }
}
