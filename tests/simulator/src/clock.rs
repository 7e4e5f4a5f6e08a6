//! The simulated clock: what time it is at Duo.
//!
//! It starts at a moment of one's choosing, runs `speed` times as fast as the wall clock, and can be held, let go and
//! set while the simulator serves. It reads no clock itself: each call is told the wall's time.

/// The simulated time as a function of the wall's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    wall_ms: i64,
    sim_ms: i64,
    speed: f64,
    held: bool,
}

impl Clock {
    /// A clock that shows `sim_ms` when the wall shows `wall_ms`, and runs `speed` times as fast from there unless it
    /// is held.
    #[must_use]
    pub fn new(wall_ms: i64, sim_ms: i64, speed: f64, held: bool) -> Self {
        Self {
            wall_ms,
            sim_ms,
            speed,
            held,
        }
    }

    /// The simulated time, ms since the epoch.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float-to-integer cast saturates, which is what is wanted"
    )]
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^53")]
    pub fn now(&self, wall_ms: i64) -> i64 {
        if self.held {
            return self.sim_ms;
        }
        let passed = wall_ms.saturating_sub(self.wall_ms) as f64 * self.speed;
        self.sim_ms.saturating_add(passed as i64)
    }

    /// How many simulated seconds pass in a second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Whether it stands still.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held
    }

    /// Stands still from now on.
    pub fn hold(&mut self, wall_ms: i64) {
        self.anchor(wall_ms);
        self.held = true;
    }

    /// Runs on from where it stands.
    pub fn go(&mut self, wall_ms: i64) {
        self.anchor(wall_ms);
        self.held = false;
    }

    /// Runs at another speed from now on.
    pub fn set_speed(&mut self, wall_ms: i64, speed: f64) {
        self.anchor(wall_ms);
        self.speed = speed;
    }

    /// Shows another time from now on.
    pub fn set(&mut self, wall_ms: i64, sim_ms: i64) {
        self.wall_ms = wall_ms;
        self.sim_ms = sim_ms;
    }

    fn anchor(&mut self, wall_ms: i64) {
        self.sim_ms = self.now(wall_ms);
        self.wall_ms = wall_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_faster_holds_and_goes_on_without_a_jump() {
        let mut clock = Clock::new(1_000, 50_000, 720.0, false);
        assert_eq!(clock.now(1_000), 50_000);
        assert_eq!(clock.now(121_000), 50_000 + 86_400_000, "a day in two minutes");
        clock.hold(2_000);
        assert_eq!(clock.now(99_000), 770_000);
        clock.set_speed(99_000, 1.0);
        clock.go(100_000);
        assert_eq!(clock.now(100_500), 770_500);
        clock.set(100_500, 5);
        assert_eq!(clock.now(100_501), 6);
    }
}
