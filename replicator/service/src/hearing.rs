//! Whether a reader brings what the source has. librdkafka can go without a partition and say nothing, as it did of topics
//! that were made again under lower leader epochs; whatever comes next of that kind must not stand still for days.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use understudy_domain::{SourceOffset, TopicPartition};

use crate::board::{Partition, PartitionState};
use crate::holding::{HoldError, Holding};

/// How often it is looked, where everything that was fetched has been taken.
const INTERVAL: Duration = Duration::from_secs(5);
/// For how long nothing of a partition may come that the source has something of. Longer than any answer takes: a broker
/// that is asked for records answers after `fetch.wait.max.ms`, and one that is slow is given up after
/// `socket.timeout.ms`, a minute.
pub(crate) const DEAF_AFTER: Duration = Duration::from_secs(90);
/// What that grows to when a new reader did not help: it begins anew, where there may be gigabytes of aborted records to
/// be passed, of which nothing is heard.
pub(crate) const DEAF_AFTER_MOST: Duration = Duration::from_secs(3600);
/// How much later than due a look at the source's ends may be, for what it saw to be believed still.
const END_FRESH: Duration = Duration::from_secs(5);

/// Which partitions have waited for records, where, and since when.
#[derive(Debug)]
pub(crate) struct Hearing {
    deaf_after: Duration,
    looked_at: Option<Instant>,
    waiting: BTreeMap<TopicPartition, (SourceOffset, Instant)>,
}

impl Hearing {
    /// What tells after so long.
    pub(crate) const fn new(deaf_after: Duration) -> Self {
        Self {
            deaf_after,
            looked_at: None,
            waiting: BTreeMap::new(),
        }
    }

    /// Whether it is time to look.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.looked_at
            .is_none_or(|at| now.duration_since(at) >= INTERVAL)
    }

    /// Takes in which partitions wait, and where they stand, at a moment when all that was fetched has been taken; so one
    /// is not among them because others come first. Answers with one that has waited too long.
    pub(crate) fn look<'a>(
        &mut self,
        waiting: impl IntoIterator<Item = (&'a TopicPartition, SourceOffset)>,
        now: Instant,
    ) -> Option<TopicPartition> {
        let mut before = std::mem::take(&mut self.waiting);
        self.looked_at = Some(now);
        for (partition, offset) in waiting {
            let since = match before.remove(partition) {
                Some((stood, since)) if stood == offset => since,
                Some(_) | None => now,
            };
            self.waiting.insert(partition.clone(), (offset, since));
        }
        let mut waiting = self.waiting.iter();
        let (deaf, _) =
            waiting.find(|(_, (_, since))| now.duration_since(*since) >= self.deaf_after)?;
        Some(deaf.clone())
    }
}

impl Holding {
    /// What the source has must come, as it was when all that was fetched had been taken.
    ///
    /// # Errors
    /// Something does not.
    pub(crate) fn must_hear(&mut self, now: Instant) -> Result<(), HoldError> {
        // Under a limit partitions may wait for each other for as long as they like.
        let is_bounded = self.context.throttle.records_a_step().is_some();
        if is_bounded || !self.hearing.is_due(now) {
            return Ok(());
        }
        let fresh = END_FRESH + 2 * self.context.flow.topic_discovery_interval;
        let board = self.context.board.hold();
        let waits = |shown: &Partition| {
            let seen = |at: Instant| now.saturating_duration_since(at) < fresh;
            shown.slot == self.slot
                && shown.state == PartitionState::Copying
                && shown.end_seen_at.is_some_and(seen)
                && shown.lag_records() > 0
        };
        let waiting = board
            .partitions
            .iter()
            .filter(|(_, shown)| waits(shown))
            .map(|(partition, shown)| (partition, shown.source_offset));
        match self.hearing.look(waiting, now) {
            None => Ok(()),
            Some(partition) => Err(HoldError::Deaf { partition }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn orders(partition: i32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    #[test]
    fn who_stands_at_one_offset_for_too_long_is_told() {
        let (mut hearing, began) = (Hearing::new(DEAF_AFTER), Instant::now());
        let name = orders(0);
        let at = |offset| [(&name, SourceOffset::new(offset))];
        assert_eq!(hearing.look(at(7), began), None);
        let nearly = began + DEAF_AFTER - Duration::from_millis(1);
        assert_eq!(hearing.look(at(7), nearly), None);
        assert_eq!(hearing.look(at(7), began + DEAF_AFTER), Some(name.clone()));
    }

    proptest! {
        /// Steps of time, and at each whether the partition waits, and whether it moved.
        #[test]
        fn who_moves_or_waits_for_nothing_is_not_told(
            steps in proptest::collection::vec((0_u64..60, any::<bool>(), any::<bool>()), 1..60)
        ) {
            let (mut hearing, mut now) = (Hearing::new(DEAF_AFTER), Instant::now());
            let (mut offset, name) = (0, orders(1));
            // Since when it has been seen to wait at this offset, without a break.
            let mut stands: Option<(i64, Instant)> = None;
            for (seconds, waits, moves) in steps {
                now += Duration::from_secs(seconds);
                offset += i64::from(moves);
                let seen = waits.then_some((&name, SourceOffset::new(offset)));
                stands = match stands {
                    _ if !waits => None,
                    Some((at, since)) if at == offset => Some((at, since)),
                    Some(_) | None => Some((offset, now)),
                };
                let expected = stands
                    .filter(|(_, since)| now.duration_since(*since) >= DEAF_AFTER)
                    .map(|_| name.clone());
                prop_assert_eq!(hearing.look(seen, now), expected);
            }
        }
    }
}
