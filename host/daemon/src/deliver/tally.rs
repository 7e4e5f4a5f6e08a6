//! What a sink did since it began, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use picket_sink::Step;

/// Alerts taken, alerts refused for good, and tries that came to nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    taken: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Counts a step.
    pub(super) fn add(&self, step: &Step) {
        self.taken.fetch_add(step.delivered, Ordering::Relaxed);
        self.refused.fetch_add(step.refused.len() as u64, Ordering::Relaxed);
        self.failed
            .fetch_add(u64::from(step.trouble.is_some()), Ordering::Relaxed);
    }

    /// By result.
    pub(super) fn read(&self) -> [(&'static str, u64); 3] {
        [
            ("taken", self.taken.load(Ordering::Relaxed)),
            ("refused", self.refused.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
        ]
    }
}
