//! The most that calls of a rule have used so far: what an operator sets limits by. Calls that failed do not count; what they
//! used is in their failure.

use std::sync::atomic::{AtomicU64, Ordering};

use picket_contract::{Outcome, StateSummary};

/// The most that one call of a rule used, since its module was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Highest {
    /// Calls, also those that failed.
    pub calls: u64,
    /// Fuel.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Alerts.
    pub alerts: u64,
    /// Lines logged and kept.
    pub log_lines: u64,
    /// Bytes of state that a call found.
    pub state_bytes: u64,
    /// Entries of state that a call found.
    pub state_entries: u64,
}

/// Of one rule.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    calls: AtomicU64,
    fuel: AtomicU64,
    memory: AtomicU64,
    alerts: AtomicU64,
    log_lines: AtomicU64,
    state_bytes: AtomicU64,
    state_entries: AtomicU64,
}

/// Peaks are rarely passed: looking is cheap, writing is not.
fn raise(peak: &AtomicU64, value: u64) {
    if value > peak.load(Ordering::Relaxed) {
        peak.fetch_max(value, Ordering::Relaxed);
    }
}

impl Peak {
    /// A call has been made.
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has succeeded, which found this state.
    pub(crate) fn note(&self, outcome: &Outcome, state: StateSummary) {
        raise(&self.fuel, outcome.usage.fuel);
        raise(&self.memory, outcome.usage.memory);
        raise(&self.alerts, outcome.alerts.len() as u64);
        raise(&self.log_lines, outcome.log.len() as u64);
        raise(&self.state_bytes, state.bytes);
        raise(&self.state_entries, state.entries);
    }

    pub(crate) fn highest(&self) -> Highest {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        Highest {
            calls: read(&self.calls),
            fuel: read(&self.fuel),
            memory: read(&self.memory),
            alerts: read(&self.alerts),
            log_lines: read(&self.log_lines),
            state_bytes: read(&self.state_bytes),
            state_entries: read(&self.state_entries),
        }
    }
}
