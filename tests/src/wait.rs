//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};

/// How long it is waited between two looks at most, however long a look takes.
const PAUSE_MOST: Duration = Duration::from_millis(100);

/// How long to wait until the next look, behind one that took `took`: looking is to leave the machine to what is looked at.
/// Many a look opens connections of its own.
pub(crate) fn pause_behind(took: Duration) -> Duration {
    (took * 4).clamp(Duration::from_millis(50), PAUSE_MOST)
}

/// Looks until `look` answers, at most for `limit`: soon at first, then every 50 to 100 ms, by how long a look takes.
///
/// `look` returns `Ok(answer)` when the condition holds and `Err(what is seen instead)` while it does not.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let begun = Instant::now();
    let mut first = Duration::from_millis(2);
    loop {
        let looked = Instant::now();
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
            Err(_) => thread::sleep(first.min(pause_behind(looked.elapsed()))),
        }
        first = (first * 2).min(PAUSE_MOST);
    }
}
