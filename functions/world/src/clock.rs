//! The machine's clock.

use std::thread;
use std::time::{Duration, Instant};

use understudy_flow::clock::now_ms;
use understudy_shell::world::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        now_ms()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Until when something may take; what is left is shared out over the calls that it is made of.
#[derive(Clone, Copy, Debug)]
pub struct Until(Instant);

/// No call gets less than this: a limit of nothing is understood as none by some clients.
const LEAST: Duration = Duration::from_millis(50);

impl Until {
    /// From now on.
    pub fn within(within: Duration) -> Self {
        Self(Instant::now() + within)
    }

    /// How long the next call may take.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).max(LEAST)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}
