//! What one rule may remember for one tenant, and what remembering costs the host.
//!
//! A quota that counts keys and values only is no bound: a million entries of one byte are two megabytes of payload and two
//! hundred of tree nodes, reference counts and index entries. So an entry, and a timer, is charged what the host holds for it
//! besides its bytes (measured: `tests/cost.rs` fills states and looks at the process).
//!
//! All of it is deterministic, so a replay meets the same caps at the same rows: what counts is what is alive by the rule's own
//! clock, in the rule's own state, whatever the host has collected, holds in memory or keeps for others.

/// What an entry costs the host besides its key and its value, bytes: a place in a hash table, two tree nodes' shares (one of
/// them if the rule scans), two reference-counted allocations.
pub const ENTRY_COST: usize = 224;
/// What a timer costs the host besides its key, bytes.
pub const TIMER_COST: usize = 144;

const DAY_MS: i64 = 86_400_000;

/// Caps on one rule's state for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Longest key, bytes.
    pub key_bytes: usize,
    /// Longest value, bytes.
    pub value_bytes: usize,
    /// Most entries.
    pub entries: usize,
    /// Most timers.
    pub timers: usize,
    /// Everything together, bytes: keys, values, and [`ENTRY_COST`] or [`TIMER_COST`] for each.
    pub total_bytes: usize,
    /// The longest that an entry is remembered without being put again, ms.
    pub life_ms: i64,
}

impl Default for StateLimits {
    fn default() -> Self {
        // 64 MiB hold the windows of 200,000 users (five refusals of 20 bytes each); a value is one user's window (200 entries
        // of 16 bytes fit 20 times). 400 days are a year, and the month that last year is compared in.
        StateLimits {
            key_bytes: 1024,
            value_bytes: 64 << 10,
            entries: 250_000,
            timers: 100_000,
            total_bytes: 64 << 20,
            life_ms: 400 * DAY_MS,
        }
    }
}

/// Why a `put` or `set` was refused. Deterministic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The key is too long.
    #[error("the key is longer than the limit")]
    Key,
    /// The value is too long.
    #[error("the value is longer than the limit")]
    Value,
    /// The rule's state is at its cap: of entries, of timers or of bytes.
    #[error("the rule's state is full")]
    Total,
}

/// How much a rule remembers, and what the host must know of it without looking: when its next timer is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StateSummary {
    /// The rule's clock, ms.
    pub clock: Option<i64>,
    /// When the next timer is due, ms.
    pub next_timer: Option<i64>,
    /// Entries alive.
    pub entries: u64,
    /// Timers set.
    pub timers: u64,
    /// What counts towards [`StateLimits::total_bytes`].
    pub bytes: u64,
}

impl StateSummary {
    /// Whether there is nothing but perhaps a clock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.timers == 0
    }
}

/// How much more a rule may remember, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRoom {
    /// Bytes, as [`StateLimits::total_bytes`] counts them.
    pub bytes: usize,
    /// Entries.
    pub entries: usize,
    /// The caps that hold for each entry.
    pub limits: StateLimits,
    /// The greatest time passed so far, ms.
    pub clock: Option<i64>,
}

/// What an entry counts for, bytes.
#[must_use]
pub(super) fn entry_cost(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_COST
}

/// What a timer counts for, bytes.
#[must_use]
pub(super) fn timer_cost(key: &[u8]) -> usize {
    key.len() + TIMER_COST
}
