//! How long an open transaction has held readers of committed records back.

use std::time::Instant;

/// The two ends of a source partition: where readers of committed records stop, and where the log does.
///
/// While a transaction is open the first stands still and the second runs away. A transaction that nobody ends (a
/// *hanging* one) holds every such reader back for good, copies included, and no lag shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StableEnd {
    last_stable: i64,
    held_since: Option<Instant>,
}

impl StableEnd {
    /// Notes a look.
    pub fn see(&mut self, last_stable: i64, high_watermark: i64, now: Instant) {
        let held = high_watermark > last_stable;
        let moved = last_stable > self.last_stable;
        self.held_since = match self.held_since {
            _ if !held => None,
            Some(since) if !moved => Some(since),
            Some(_) | None => Some(now),
        };
        self.last_stable = last_stable;
    }

    /// For how long it has not moved although the log did, in seconds; 0 when nothing holds it.
    pub fn stalled_seconds(&self, now: Instant) -> f64 {
        self.held_since.map_or(0.0, |since| {
            now.saturating_duration_since(since).as_secs_f64()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_an_end_that_stands_still_below_the_watermark_is_stalled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut end = StableEnd::default();
        end.see(10, 10, at(0));
        assert_eq!(end.stalled_seconds(at(5)), 0.0);
        end.see(10, 20, at(5));
        end.see(10, 30, at(9));
        assert_eq!(end.stalled_seconds(at(9)), 4.0);
        // Transactions come and go: the end moves.
        end.see(25, 40, at(12));
        assert_eq!(end.stalled_seconds(at(13)), 1.0);
        end.see(40, 40, at(14));
        assert_eq!(end.stalled_seconds(at(99)), 0.0);
    }
}
