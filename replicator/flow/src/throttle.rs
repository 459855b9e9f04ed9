//! The bandwidth limit of one worker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a slot that is limited may copy before it commits and pays: what comes at once is bounded by it.
const TURN_SECONDS: f64 = 0.25;
/// How many records a slot that is limited takes in one step.
const RECORDS_A_STEP: usize = 50;

/// A share of the flow's limit, spent by all slots of a worker together. One mutex, held for arithmetic only.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// Bytes a second for the whole flow; none: no limit.
    limit: Option<f64>,
    free_at: Arc<Mutex<Option<Instant>>>,
}

impl Throttle {
    /// A limit in key and value bytes a second; 0: none.
    pub fn new(bytes_per_second: u64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a limit is not exact to the byte"
        )]
        let limit = (bytes_per_second > 0).then_some(bytes_per_second as f64);
        Self {
            limit,
            free_at: Arc::default(),
        }
    }

    /// How many records may be taken in one step, where that matters.
    pub fn records_a_step(&self) -> Option<usize> {
        self.limit.map(|_| RECORDS_A_STEP)
    }

    /// Whether a slot that took `bytes` should commit them and pay, for a worker that holds `share` of the flow's slots,
    /// `held` in number.
    pub fn is_turn_over(&self, bytes: u64, share: f64, held: u32) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a limit is not exact to the byte"
        )]
        let bytes = bytes as f64;
        bytes > 0.0 && bytes >= limit * share * TURN_SECONDS / f64::from(held.max(1))
    }

    /// Notes that `bytes` were copied, by a worker that holds `share` of the flow's slots (0 to 1); how long to wait
    /// before copying more.
    pub fn spend(&self, bytes: u64, share: f64, now: Instant) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a limit is not exact to the byte"
        )]
        let seconds = bytes as f64 / (limit * share.max(f64::MIN_POSITIVE));
        // A bound, so that a share near nothing cannot stop a slot for good.
        let cost = Duration::try_from_secs_f64(seconds.min(60.0)).unwrap_or_default();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = free_at.map_or(now, |at| at.max(now)) + cost;
        *free_at = Some(next);
        next.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_a_worker_share_its_part_of_the_limit() {
        let start = Instant::now();
        let throttle = Throttle::new(1_000);
        let other = throttle.clone();
        assert_eq!(throttle.spend(250, 0.5, start), Duration::from_millis(500));
        assert_eq!(other.spend(250, 0.5, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(10);
        assert_eq!(other.spend(100, 1.0, later), Duration::from_millis(100));
    }

    #[test]
    fn what_comes_at_once_is_a_fraction_of_what_a_second_may_bring() {
        let throttle = Throttle::new(8_000);
        assert!(!throttle.is_turn_over(0, 1.0, 4));
        assert!(!throttle.is_turn_over(499, 1.0, 4));
        assert!(throttle.is_turn_over(500, 1.0, 4));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttle = Throttle::new(0);
        assert!(!throttle.is_turn_over(u64::MAX, 1.0, 1) && throttle.records_a_step().is_none());
        assert_eq!(
            throttle.spend(u64::MAX, 0.0, Instant::now()),
            Duration::ZERO
        );
    }
}
