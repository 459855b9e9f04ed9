//! How far a tail has come that is carried in turns, because all of it takes longer than one may.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::TailDigest;
use crate::{SourceOffset, TargetOffset, TopicPartition};

/// What one turn leaves for the next, beside the progress that stands in the transactions of the copies. Without it the
/// next one does again what this one did, and comes to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailMarks {
    /// How far what was put aside was read back, by the partition that holds it.
    pub read_back: BTreeMap<String, ReadMark>,
    /// Partitions of the cluster that came back whose keys were put right, by topic.
    pub renewed: BTreeMap<String, BTreeSet<i32>>,
    /// Up to where it is known what these hold: what was put aside, and what puts keys right. By topic and partition.
    #[serde(default)]
    pub known: BTreeMap<String, BTreeMap<i32, SourceOffset>>,
}

/// How far a partition was read back, and what that came to: enough to go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMark {
    /// The next offset to be read.
    pub next: TargetOffset,
    /// How many records were read.
    pub records: u64,
    /// What they come to.
    pub digest: TailDigest,
}

impl TailMarks {
    /// Whether a partition's keys were put right.
    pub fn is_renewed(&self, name: &TopicPartition) -> bool {
        let own = self.renewed.get(&*name.topic);
        own.is_some_and(|partitions| partitions.contains(&name.partition))
    }

    /// A partition's keys were put right.
    pub fn renewed(&mut self, name: &TopicPartition) {
        let own = self.renewed.entry(name.topic.to_string()).or_default();
        own.insert(name.partition);
    }

    /// Up to where it is known what a partition of the cluster that came back holds.
    pub fn known_to(&self, name: &TopicPartition) -> Option<SourceOffset> {
        self.known.get(&*name.topic)?.get(&name.partition).copied()
    }

    /// What a partition holds is known up to there, if nothing was said of it yet.
    pub fn known(&mut self, name: &TopicPartition, end: SourceOffset) {
        let own = self.known.entry(name.topic.to_string()).or_default();
        own.entry(name.partition).or_insert(end);
    }

    /// What a partition holds is known up to there by now.
    pub fn note_known_to(&mut self, name: &TopicPartition, end: SourceOffset) {
        let own = self.known.entry(name.topic.to_string()).or_default();
        own.insert(name.partition, end);
    }
}
