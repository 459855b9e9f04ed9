//! Where groups stand in what MirrorMaker 2 copied: at least there, from its own checkpoints and offset syncs.

use std::collections::BTreeMap;

use super::{Checkpoint, CheckpointKey, OffsetSync};
use crate::{SourceOffset, TargetOffset, TopicPartition};

/// How many offset syncs of a partition are kept; of more, every other one goes.
const SYNCS_MAX: usize = 32_768;

/// What MirrorMaker 2 left behind about places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mm2Past {
    /// By partition, as it is called on the source: offset syncs, rising on both sides.
    syncs: BTreeMap<TopicPartition, Vec<OffsetSync>>,
    /// The last checkpoint of each group and partition, as that is called on the target.
    checkpoints: BTreeMap<(String, TopicPartition), (SourceOffset, TargetOffset)>,
}

impl Mm2Past {
    /// Takes an offset sync, in the order of their topic. One that goes back, as after a crash or when a topic was made
    /// again, replaces what lies behind it.
    pub fn add_sync(&mut self, partition: TopicPartition, sync: OffsetSync) {
        let syncs = self.syncs.entry(partition).or_default();
        while syncs.last().is_some_and(|last| last.source >= sync.source) {
            syncs.pop();
        }
        syncs.push(sync);
        if syncs.len() > SYNCS_MAX {
            let mut keep = false;
            syncs.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Takes a checkpoint, in the order of their topic.
    pub fn add_checkpoint(&mut self, key: CheckpointKey, checkpoint: &Checkpoint) {
        self.checkpoints.insert(
            (key.group, key.partition),
            (checkpoint.source, checkpoint.target),
        );
    }

    /// Where `group`, which would read `offset` of `partition` next, may go on in `copy`, the partition on the target:
    /// it may repeat, it skips nothing. `None` when nothing is known.
    pub fn at_least(
        &self,
        group: &str,
        (partition, copy): (&TopicPartition, &TopicPartition),
        offset: SourceOffset,
    ) -> Option<TargetOffset> {
        let by_sync = self.syncs.get(partition).and_then(|syncs| {
            let behind = syncs.partition_point(|sync| sync.source <= offset);
            let sync = syncs.get(behind.checked_sub(1)?)?;
            // Of the record after a sync nothing is known but that its copy lies behind.
            Some(match sync.source == offset {
                true => sync.target,
                false => sync.target.plus(1),
            })
        });
        let by_checkpoint = self
            .checkpoints
            .get(&(group.to_owned(), copy.clone()))
            .filter(|(source, _)| *source <= offset)
            .map(|(_, target)| *target);
        by_sync.max(by_checkpoint)
    }
}
