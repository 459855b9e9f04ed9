//! When a transaction is committed.

use std::time::{Duration, Instant};

/// The least time between two commits of a slot that has little to do. Commits cost the brokers a few requests each;
/// this trades milliseconds of latency for them.
const GAP_MIN: Duration = Duration::from_millis(25);
/// Where commits take long, brokers are busy: between two of them lies this many times what the last one took, so that
/// they are at work on a slot's commits for a third of the time at most. More commits would only be later ones.
const GAP_PER_COMMIT: u32 = 2;

/// Commits at the latest after an interval, and sooner when nothing more is waiting.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    interval: Duration,
    opened: Instant,
    last_commit: Instant,
    commit_took: Duration,
}

impl Pacing {
    /// A pace of at most `interval`, as of `now`.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            opened: now,
            last_commit: now,
            commit_took: Duration::ZERO,
        }
    }

    /// A transaction was opened.
    pub fn opened(&mut self, now: Instant) {
        self.opened = now;
    }

    /// A transaction was committed at `now`, which took `took`.
    pub fn committed(&mut self, now: Instant, took: Duration) {
        self.last_commit = now;
        self.commit_took = took;
    }

    /// How long an open transaction may still wait for more; zero: commit now. `idle`: nothing was waiting just now.
    pub fn left(&self, idle: bool, now: Instant) -> Duration {
        let interval = (self.opened + self.interval).saturating_duration_since(now);
        if !idle {
            return interval;
        }
        let gap = GAP_MIN.max(self.commit_took * GAP_PER_COMMIT);
        let next = self.last_commit + gap.min(self.interval);
        interval.min(next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lonely_record_is_committed_at_once_and_a_stream_at_its_interval() {
        let start = Instant::now();
        let later = |ms| start + Duration::from_millis(ms);
        let mut pacing = Pacing::new(Duration::from_millis(100), start);
        pacing.opened(later(500));
        assert_eq!(pacing.left(true, later(500)), Duration::ZERO);
        assert_eq!(pacing.left(false, later(500)), Duration::from_millis(100));
        assert_eq!(pacing.left(false, later(600)), Duration::ZERO);
        pacing.committed(later(600), Duration::from_millis(10));
        pacing.opened(later(601));
        assert_eq!(pacing.left(true, later(601)), Duration::from_millis(24));
        pacing.committed(later(700), Duration::from_millis(30));
        pacing.opened(later(701));
        assert_eq!(pacing.left(true, later(701)), Duration::from_millis(59));
        pacing.committed(later(800), Duration::from_secs(5));
        pacing.opened(later(801));
        assert_eq!(pacing.left(true, later(801)), Duration::from_millis(99));
    }
}
