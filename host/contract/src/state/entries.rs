//! The entries of a state: found by key at once, gone through in order of keys, and collected in order of expiry.
//!
//! Looking one up is what rules do most, and a tree would compare the key with a dozen others, each somewhere else in memory. So
//! there is a hash table. The keys in order are for whoever scans: few rules do, so they are put in order when the first scan
//! comes, and kept so from then on.
//!
//! An entry is listed for collection once, at its expiry or earlier: most puts renew an entry, and one that is to live longer
//! stays listed where it is until that time has come. Then it is listed where it belongs.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::hashing::Hashing;
use super::{StateEntry, entry_cost};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    hashing: Hashing,
    by_key: HashTable<Held>,
    /// All keys, since the first scan.
    keys: OnceLock<BTreeSet<Arc<[u8]>>>,
    /// (at its expiry or earlier, key).
    listed: BTreeSet<(i64, Arc<[u8]>)>,
}

#[derive(Debug, Clone)]
struct Held {
    key: Arc<[u8]>,
    entry: StateEntry,
    /// Where it is listed.
    listed_at: i64,
}

/// What is listed, and where, says nothing about what is remembered.
impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        let same = |held: &Held| other.get(&held.key) == Some(&held.entry);
        self.len() == other.len() && self.by_key.iter().all(same)
    }
}

impl Eq for Entries {}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&StateEntry> {
        self.find(self.hashing.of(key), key).map(|(_, entry)| entry)
    }

    /// The entry of a key that has this hash, and the key as it is held here.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<(&Arc<[u8]>, &StateEntry)> {
        let held = self.by_key.find(hash, |held| *held.key == *key)?;
        Some((&held.key, &held.entry))
    }

    /// All of them, in order of keys.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&Arc<[u8]>, &StateEntry)> {
        let mut all: Vec<_> = self.by_key.iter().map(|held| (&held.key, &held.entry)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
    }

    /// From a key on, in order.
    pub(super) fn from(&self, key: &[u8]) -> impl Iterator<Item = (&Arc<[u8]>, &StateEntry)> {
        let all = || self.by_key.iter().map(|held| held.key.clone()).collect();
        let keys = self.keys.get_or_init(all);
        let keys = keys.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Those that may have expired after one time (none: from the beginning) and up to another: what has is among them.
    pub(super) fn listed(&self, after: Option<i64>, up_to: i64) -> impl Iterator<Item = (&Arc<[u8]>, &StateEntry)> {
        let from = after.map_or(Bound::Unbounded, |after| {
            // The first of a later time: no key is before the empty one.
            Bound::Included((after.saturating_add(1), Arc::from([])))
        });
        let listed = self.listed.range((from, Bound::Unbounded));
        let listed = listed.take_while(move |(at, _)| *at <= up_to);
        listed.filter_map(|(_, key)| Some((key, self.get(key)?)))
    }

    /// Gives what the entry counts for more than what was there before.
    pub(super) fn put(&mut self, key: &Arc<[u8]>, entry: &StateEntry) -> isize {
        let cost = |entry: &StateEntry| isize::try_from(entry_cost(key, &entry.value)).unwrap_or(isize::MAX);
        let hashing = &self.hashing;
        let hash_of = |held: &Held| hashing.of(&held.key);
        let place = self.by_key.entry(hashing.of(key), |held| held.key == *key, hash_of);
        match place {
            Entry::Vacant(place) => {
                if let Some(keys) = self.keys.get_mut() {
                    keys.insert(key.clone());
                }
                self.listed.insert((entry.expires_at, key.clone()));
                place.insert(Held {
                    key: key.clone(),
                    entry: entry.clone(),
                    listed_at: entry.expires_at,
                });
                cost(entry)
            }
            Entry::Occupied(mut known) => {
                let held = known.get_mut();
                let more = cost(entry) - cost(&held.entry);
                held.entry = entry.clone();
                if entry.expires_at < held.listed_at {
                    let listed_at = std::mem::replace(&mut held.listed_at, entry.expires_at);
                    self.list_anew(key, listed_at, entry.expires_at);
                }
                more
            }
        }
    }

    /// Gives what the entry counted for.
    pub(super) fn remove(&mut self, key: &[u8]) -> usize {
        let hash = self.hashing.of(key);
        let Ok(known) = self.by_key.find_entry(hash, |held| *held.key == *key) else {
            return 0;
        };
        let (Held { key, entry, listed_at }, _) = known.remove();
        if let Some(keys) = self.keys.get_mut() {
            keys.remove(&key);
        }
        let cost = entry_cost(&key, &entry.value);
        self.listed.remove(&(listed_at, key));
        cost
    }

    /// Forgets what the clock has passed, and gives what that counted for.
    pub(super) fn collect(&mut self, clock: i64) -> usize {
        let mut cost = 0;
        while let Some((at, key)) = self.listed.first() {
            if *at > clock {
                break;
            }
            let (at, key) = (*at, key.clone());
            let hash = self.hashing.of(&key);
            let held = self.by_key.find_mut(hash, |held| held.key == key);
            match held.filter(|held| held.entry.expires_at > clock) {
                Some(held) => {
                    held.listed_at = held.entry.expires_at;
                    let expires_at = held.listed_at;
                    self.list_anew(&key, at, expires_at);
                }
                None => cost += self.remove(&key),
            }
        }
        cost
    }

    fn list_anew(&mut self, key: &Arc<[u8]>, before: i64, after: i64) {
        // The key that is listed, so that it is held once.
        let mut listed = self
            .listed
            .take(&(before, key.clone()))
            .unwrap_or_else(|| (before, key.clone()));
        listed.0 = after;
        self.listed.insert(listed);
    }
}
