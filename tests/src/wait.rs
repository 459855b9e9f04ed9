//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};

/// Looks every few milliseconds until `look` answers, at most for `limit`.
///
/// `look` returns `Ok(answer)` when the condition holds and `Err(what is seen instead)` while it does not.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match look() {
            Ok(answer) => return Ok(answer),
            Err(seen) if begun.elapsed() >= limit => {
                let hint = if seen.is_empty() {
                    seen
                } else {
                    format!("; last seen: {seen}")
                };
                return Err(LabError::TooLate {
                    what: what.to_owned(),
                    waited: begun.elapsed(),
                    hint,
                });
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
