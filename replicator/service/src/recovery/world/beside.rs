//! People, probers and time, where there is one process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use understudy_recovery::Alias;
use understudy_recovery::health::Signal;
use understudy_shell::PortError;
use understudy_shell::world::{Clock, People, Signals};

/// Whoever reads this terminal. The question that waits is shown by who waits for it; this tells how it ended.
pub struct Terminal;

impl People for Terminal {
    fn tell(&self, _subject: &str, _text: &str) -> Result<u32, PortError> {
        // Whoever carried it out has seen it.
        Ok(1)
    }
}

/// Nobody probes beside this process; a recovery looks for itself.
pub struct NoProbers;

impl Signals for NoProbers {
    fn publish(&self, _about: &Alias, _signal: &Signal) -> Result<(), PortError> {
        Ok(())
    }

    fn recent(&self, _about: &Alias) -> Result<Vec<Signal>, PortError> {
        Ok(Vec::new())
    }
}

/// The time of this machine.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
