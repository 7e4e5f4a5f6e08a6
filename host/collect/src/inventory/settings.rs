//! How often snapshots are taken.

use picket_duo::Inventory;

use crate::back_off::BackOff;
use crate::settings::Settings;

/// From one snapshot of a kind to the next, ms: the usual.
const INTERVAL: i64 = 6 * 3_600_000;
/// A minute, ms.
const MINUTE: i64 = 60_000;

/// How an account's inventory is read. Times in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockSettings {
    /// Which kinds, in the order in which they are read first.
    pub kinds: Vec<Inventory>,
    /// From the start of one snapshot of a kind to the start of the next.
    pub interval: i64,
    /// Until the second snapshot, where an object is missing from one for the first time.
    pub recheck: i64,
    /// From one mark to the next, for logs that some rule reads.
    pub heartbeat: i64,
    /// The first snapshot begins within so long: accounts do not ask in step.
    pub stagger: i64,
    /// After so long without a first snapshot readers stop waiting for it.
    pub max_wait: i64,
    /// Until a kind that Duo forbids is asked for again.
    pub refused: i64,
    /// Pauses after other failures.
    pub back_off: BackOff,
}

impl StockSettings {
    /// The usual settings for an account that is polled by `settings`; they shrink with those for a simulator.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let scaled = |ms: i64| (ms.saturating_mul(settings.minute) / MINUTE).max(1);
        StockSettings {
            kinds: Inventory::ALL.to_vec(),
            interval: INTERVAL,
            recheck: scaled(15 * MINUTE),
            heartbeat: settings.poll_interval,
            stagger: settings.stagger,
            max_wait: settings.max_wait,
            refused: scaled(60 * MINUTE),
            back_off: settings.back_off,
        }
    }

    /// With another interval.
    #[must_use]
    pub fn every(self, interval: i64) -> Self {
        StockSettings {
            interval: interval.max(1),
            ..self
        }
    }
}
