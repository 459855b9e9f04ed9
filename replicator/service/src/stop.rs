//! The signal to stop: every wait takes it as an argument.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Set once, by whoever stops the part; looked at and waited on by its thread.
#[derive(Debug, Default)]
pub struct Stop {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Tells the part to stop.
    pub fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether the part should stop.
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits `time`, or until the part should stop.
    pub fn wait(&self, time: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(set, time, |set| !*set));
    }
}
