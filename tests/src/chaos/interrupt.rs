//! Ctrl-C and SIGTERM as a flag, so that everything started is ended and removed on the way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::error::{ChaosError, Result};
use crate::error::Doing;
use crate::wait::pause_behind;

/// The status of a process that Ctrl-C ended, by a shell's convention.
const INTERRUPTED: i32 = 130;
const PAUSE: Duration = Duration::from_millis(50);

/// Whether somebody asked to stop. Cloning shares the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that nobody raises.
    pub fn never() -> Self {
        Self::default()
    }

    /// One that SIGINT and SIGTERM raise; the second signal ends the process at once.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        let flag = Arc::clone(&interrupt.0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .doing("wait for signals")?;
        let (mut int, mut term) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).doing("wait for SIGINT")?,
                signal(SignalKind::terminate()).doing("wait for SIGTERM")?,
            )
        };
        let wait = move || {
            runtime.block_on(async {
                for raised in [false, true] {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                    }
                    if raised {
                        // Processes end with us; the next lab sweeps the folders.
                        std::process::exit(INTERRUPTED);
                    }
                    eprintln!("\nStopping: ending every process and removing the data. Again to stop at once.");
                    flag.store(true, Ordering::Relaxed);
                }
            });
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)
            .doing("start a thread")?;
        Ok(interrupt)
    }

    /// An error once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(ChaosError::Interrupted),
            false => Ok(()),
        }
    }

    /// Sleeps, unless somebody asks to stop.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    /// Looks until `look` answers with `Ok`; `Err` says what is there instead.
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> std::result::Result<T, String>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let looked = Instant::now();
            match look() {
                Ok(answer) => return Ok(answer),
                Err(seen) if begun.elapsed() >= limit => {
                    return Err(ChaosError::Stuck {
                        what: what.to_owned(),
                        waited: begun.elapsed(),
                        seen,
                    });
                }
                Err(_) => self.sleep(pause_behind(looked.elapsed()))?,
            }
        }
    }
}
