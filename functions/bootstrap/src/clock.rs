//! The machine's clock.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use understudy_shell::world::Clock;

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        i64::try_from(millis).unwrap_or(i64::MAX)
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
