//! How each kind stands, for `status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use picket_duo::Inventory;
use serde::Serialize;

use crate::health::{Standing, Trouble};

/// How one kind stands. Times in ms since the Unix epoch, by our clock unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StockHealth {
    /// Which kind.
    pub kind: Inventory,
    /// How it stands.
    pub standing: Standing,
    /// The latest snapshot, by Duo's clock.
    pub taken: Option<i64>,
    /// Objects in it.
    pub objects: Option<usize>,
    /// Changes told to the journal since the daemon started.
    pub changes: u64,
    /// Rows without an id in the latest snapshot: while there are any, no deletion is believed.
    pub unidentified: usize,
    /// When it is read next.
    pub next: Option<i64>,
    /// How often Duo's rate limit was met since the daemon started.
    pub rate_limited: u64,
    /// The last failure. It is over if `standing` is working.
    pub last_error: Option<Trouble>,
    /// What the application must be granted for it, in the Admin Panel's words.
    pub permission: &'static str,
}

/// All kinds of one tenant.
#[derive(Debug, Default)]
pub struct StockBoard {
    kinds: Mutex<BTreeMap<Inventory, StockHealth>>,
}

impl StockBoard {
    pub(crate) fn new(kinds: &[Inventory]) -> Self {
        let health = |kind: &Inventory| {
            let health = StockHealth {
                kind: *kind,
                standing: Standing::Starting,
                taken: None,
                objects: None,
                changes: 0,
                unidentified: 0,
                next: None,
                rate_limited: 0,
                last_error: None,
                permission: kind.permission(),
            };
            (*kind, health)
        };
        StockBoard {
            kinds: Mutex::new(kinds.iter().map(health).collect()),
        }
    }

    /// How every kind stands that is read.
    #[must_use]
    pub fn status(&self) -> Vec<StockHealth> {
        self.lock().values().cloned().collect()
    }

    /// Whether another kind that needs the same permission was answered.
    pub(crate) fn is_granted(&self, kind: Inventory) -> bool {
        let same = |health: &StockHealth| health.kind != kind && health.permission == kind.permission();
        self.lock()
            .values()
            .any(|health| same(health) && health.standing == Standing::Working)
    }

    pub(crate) fn update(&self, kind: Inventory, change: impl FnOnce(&mut StockHealth)) {
        if let Some(health) = self.lock().get_mut(&kind) {
            change(health);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Inventory, StockHealth>> {
        // A panic elsewhere leaves at worst a stale figure.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
