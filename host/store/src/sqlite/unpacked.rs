//! Blocks that were unpacked of late.
//!
//! An alert names events, mostly of the last hour or the last day, and the next alert names many of the same; so the blocks
//! that evidence was taken from are kept unpacked for a while, as many as a fixed amount of memory holds, the one unused
//! longest given up first. A journal entry never changes, so neither does its block.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::Unpacked;

/// Memory for blocks kept unpacked, bytes: a dozen full pages.
const MOST_BYTES: usize = 16 << 20;

/// Which block: the tenant's row, and the last number of the journal entry.
pub(super) type Which = (i64, u64);

/// The blocks, for all tenants together.
#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    blocks: Mutex<Blocks>,
}

#[derive(Debug, Default)]
struct Blocks {
    by_which: HashMap<Which, (u64, Arc<Unpacked>)>,
    /// By when each was used last.
    by_use: BTreeMap<u64, Which>,
    uses: u64,
    bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Kept::of(MOST_BYTES)
    }
}

impl Kept {
    fn of(most: usize) -> Self {
        Kept {
            most,
            blocks: Mutex::default(),
        }
    }

    /// A block, if it is kept.
    pub(super) fn get(&self, which: Which) -> Option<Arc<Unpacked>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Blocks {
            by_which, by_use, uses, ..
        } = &mut *blocks;
        let (used, block) = by_which.get_mut(&which)?;
        by_use.remove(used);
        *uses += 1;
        *used = *uses;
        by_use.insert(*uses, which);
        Some(block.clone())
    }

    /// Keeps none any more.
    pub(super) fn clear(&self) {
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner) = Blocks::default();
    }

    /// Keeps a block, and gives up others for it. One that would need more than half of the room is not kept.
    pub(super) fn put(&self, which: Which, block: &Arc<Unpacked>) {
        if block.bytes() > self.most / 2 {
            return;
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.remove(which);
        while blocks.bytes + block.bytes() > self.most {
            let Some((_, oldest)) = blocks.by_use.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            blocks.remove(oldest);
        }
        blocks.uses += 1;
        blocks.bytes += block.bytes();
        let used = blocks.uses;
        blocks.by_use.insert(used, which);
        blocks.by_which.insert(which, (used, block.clone()));
    }
}

impl Blocks {
    fn remove(&mut self, which: Which) {
        if let Some((used, block)) = self.by_which.remove(&which) {
            self.by_use.remove(&used);
            self.bytes -= block.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::EventRecord;

    use super::*;
    use crate::block::Packers;

    fn block(bytes: usize) -> Arc<Unpacked> {
        let event = EventRecord {
            id: "e".into(),
            time: 1,
            // Besides: an id, what stands before it in a plain block, and where it lies.
            raw: "x".repeat(bytes - 1 - 16 - 24).into(),
        };
        let packed = Packers::default().pack(&[event]).unwrap();
        Arc::new(Unpacked::of(&packed, 1).unwrap())
    }

    #[test]
    fn what_is_kept_has_a_bound_and_what_is_used_stays() {
        let kept = Kept::of(1000);
        for number in 0..3 {
            kept.put((1, number), &block(300));
        }
        assert!(kept.get((1, 0)).is_some(), "now it was used last");
        kept.put((2, 0), &block(300));
        let held = |which| kept.get(which).is_some();
        assert_eq!(
            [held((1, 0)), held((1, 1)), held((1, 2)), held((2, 0))],
            [true, false, true, true]
        );
        kept.put((2, 1), &block(501));
        assert!(!held((2, 1)), "too great to be worth it");
        kept.put((2, 0), &block(400));
        let blocks = kept.blocks.lock().unwrap();
        assert_eq!((blocks.bytes, blocks.by_which.len(), blocks.by_use.len()), (1000, 3, 3));
    }
}
