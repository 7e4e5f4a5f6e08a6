//! How keys are hashed.
//!
//! Once an operation: what a call has written and what was there before are looked through with the same hash, so all states of
//! a process share a seed. It is drawn anew in each process: nobody who chooses a user's name chooses a bucket. Nothing depends
//! on the order that follows from it.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::{FoldHasher, RandomState};

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Hashes with this process's seed.
#[derive(Debug, Clone)]
pub struct Hashing(RandomState);

impl Default for Hashing {
    fn default() -> Self {
        Hashing(SEED.clone())
    }
}

impl BuildHasher for Hashing {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

impl Hashing {
    /// The hash under which all maps of this process have a key.
    #[inline]
    pub(super) fn of(&self, key: &[u8]) -> u64 {
        self.hash_one(key)
    }
}
