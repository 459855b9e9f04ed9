//! People, probers and time, where there is one process.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use understudy_recovery::Alias;
use understudy_recovery::health::Signal;
use understudy_shell::world::{Clock, People, Signals};
use understudy_shell::{PortError, PortErrorKind};

/// Whoever reads the run: its question is shown by who waits for the answer, and its end when it is there.
pub struct Reader;

impl People for Reader {
    fn tell(&self, _subject: &str, _text: &str) -> Result<u32, PortError> {
        Ok(1)
    }
}

/// Whoever sits at this terminal, and has something to do by hand.
pub struct Hand;

impl People for Hand {
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError> {
        let mut out = io::stderr().lock();
        // The line that counts seconds gives way.
        let line = if out.is_terminal() { "\r\x1b[K" } else { "" };
        writeln!(out, "{line}    ! {subject}: {text}").map_err(|error| {
            PortError::new(
                PortErrorKind::Unreachable,
                format!("nobody could be told: {error}"),
            )
        })?;
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
