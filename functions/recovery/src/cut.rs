//! The cut: where a sealed flow ended, exact for every partition, even if the source is gone.

use serde::{Deserialize, Serialize};
use understudy_domain::TopicPartition;

use crate::{Epoch, LossBound};

/// Where a flow ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The flow.
    pub flow: String,
    /// The epoch that sealed it.
    pub epoch: Epoch,
    /// When it was read, in milliseconds since 1970.
    pub at_ms: i64,
    /// Every partition that was ever mirrored.
    pub partitions: Vec<PartitionCut>,
}

/// Where one partition ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCut {
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The topic on the target.
    pub target_topic: String,
    /// The next source offset that would have been read: everything before it is on the target, nothing from it on.
    pub source_offset: i64,
    /// One past the last copy on the target.
    pub target_offset: i64,
    /// Which life of the source partition.
    pub incarnation: u32,
    /// The source's end when it was last seen.
    pub source_end_offset: Option<i64>,
    /// When that was, in milliseconds since 1970.
    pub source_end_seen_at_ms: Option<i64>,
}

impl PartitionCut {
    /// The copy on the target.
    pub fn copy(&self) -> TopicPartition {
        TopicPartition::new(self.target_topic.as_str(), self.partition)
    }

    /// Records that the source is known to have held beyond the cut.
    pub fn lost_at_least(&self) -> u64 {
        let end = self.source_end_offset.unwrap_or(self.source_offset);
        u64::try_from(end.saturating_sub(self.source_offset)).unwrap_or(0)
    }
}

impl Cut {
    /// What the source held beyond the cut, as far as it can be known while it is gone: what was seen, and what it may
    /// have taken between the last look and `silent_since_ms`, the last moment at which it can have taken anything that
    /// nobody saw, at the rate before (`records_per_second`, all partitions together). Nothing bounds it above while a
    /// partition was never seen or no rate is known.
    ///
    /// What is known to be lost was written after the last copy, whose time `copied_ms` tells, as far as producers' clocks
    /// go in the order of their records: nothing bounds the age of a partition whose time is not told.
    pub fn loss(
        &self,
        silent_since_ms: i64,
        records_per_second: Option<f64>,
        copied_ms: impl Fn(&PartitionCut) -> Option<i64>,
    ) -> LossBound {
        let at_least = self
            .partitions
            .iter()
            .map(PartitionCut::lost_at_least)
            .fold(0, u64::saturating_add);
        let oldest = self
            .partitions
            .iter()
            .map(|it| it.source_end_seen_at_ms)
            .min()
            .flatten();
        let every_seen = self
            .partitions
            .iter()
            .all(|it| it.source_end_seen_at_ms.is_some());
        let unseen_seconds = match oldest.filter(|_| every_seen) {
            Some(seen) => Some(seconds_between(seen, silent_since_ms)),
            None if self.partitions.is_empty() => Some(0.0),
            None => None,
        };
        let at_most = unseen_seconds
            .zip(records_per_second)
            .map(|(seconds, rate)| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a cast of a double saturates"
                )]
                let more = (seconds * rate.max(0.0)).ceil() as u64;
                at_least.saturating_add(more)
            });
        let known = self.partitions.iter().filter(|it| it.lost_at_least() > 0);
        let ages = known.map(|it| Some(seconds_between(copied_ms(it)?, silent_since_ms)));
        let seconds_at_most = ages.fold(unseen_seconds, |most, age| Some(most?.max(age?)));
        LossBound {
            records_at_least: at_least,
            records_at_most: at_most,
            seconds_at_most,
        }
    }
}

fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of one outage, far below 2^53"
    )]
    let milliseconds = to_ms.saturating_sub(from_ms).max(0) as f64;
    milliseconds / 1_000.0
}
