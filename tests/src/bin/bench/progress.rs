//! What is being done, as it is done.

use std::time::Instant;

/// Lines on standard error, with the time so far.
pub struct Progress {
    begun: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
        }
    }
}

impl Progress {
    /// Says one thing.
    pub fn say(&self, what: &str) {
        let seconds = self.seconds() as u64;
        eprintln!("{:>3}:{:02} {what}", seconds / 60, seconds % 60);
    }

    /// Seconds so far.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}
