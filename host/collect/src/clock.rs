//! Time, as it is given to the collector.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A clock that can be waited on.
pub trait Clock: Send + Sync + 'static {
    /// Now, ms since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Ms since some moment, on a clock that nobody sets: what spans are measured with. The system's wall clock may jump by
    /// years in either direction.
    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }

    /// Returns after so many ms of this clock.
    fn sleep(&self, ms: i64) -> impl Future<Output = ()> + Send;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        picket_duo::system_now()
    }

    fn steady_ms(&self) -> i64 {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    async fn sleep(&self, ms: i64) {
        tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or(0))).await;
    }
}

/// A clock that starts at a given time and runs faster than the system's, for demonstrations against a simulator.
#[derive(Debug, Clone, Copy)]
pub struct ScaledClock {
    start_ms: i64,
    begun: Instant,
    factor: u32,
}

impl ScaledClock {
    /// Shows `start_ms` (ms since the Unix epoch) now and runs `factor` (at least 1) times as fast as the system's.
    #[must_use]
    pub fn new(start_ms: i64, factor: u32) -> Self {
        ScaledClock {
            start_ms,
            begun: Instant::now(),
            factor: factor.max(1),
        }
    }
}

impl Clock for ScaledClock {
    fn now_ms(&self) -> i64 {
        let elapsed = self.begun.elapsed().as_millis().saturating_mul(u128::from(self.factor));
        self.start_ms.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, ms: i64) {
        let micros = u64::try_from(ms).unwrap_or(0).saturating_mul(1000) / u64::from(self.factor);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}
