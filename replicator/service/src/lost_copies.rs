//! Copies that are not on the target any more, as far as discovery's thread sees: somebody deleted or cut them there.
//!
//! It only points: no such topic is made anew, which would hide the loss, and the slot that holds the partition looks
//! itself, under its fence, before it says what is lost (`copies_hold.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{Position, TargetOffset, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::board::Board;
use crate::config::Flow;

/// How often logs of copies are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Partitions of the source whose copies' logs end before where copies went, by one look at the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortLogs {
    /// When they were looked at; never at first.
    pub looked_at: Option<Instant>,
    /// Which they are.
    pub partitions: BTreeSet<TopicPartition>,
}

/// What was copied to where, and what is not there.
#[derive(Debug, Default)]
pub struct LostCopies {
    /// By partition of the source: its copy, and one past the last record of it, as last known.
    copied: BTreeMap<TopicPartition, (TopicPartition, TargetOffset)>,
    short: ShortLogs,
}

impl LostCopies {
    /// Takes in up to where was copied before.
    pub fn learn(&mut self, flow: &Flow, positions: &BTreeMap<TopicPartition, Position>) {
        for (name, position) in positions {
            let copies = flow.copies_of(name, position);
            self.copied
                .insert(name.clone(), (copies, position.target_offset));
        }
    }

    /// Looks now and then whether every log of copies reaches as far as was copied: by what was learnt, and what the
    /// worker's slots did since.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn look(&mut self, target: &Cluster, board: &Board, within: Duration) -> Result<(), Fault> {
        if (self.short.looked_at).is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        for (name, partition) in &board.hold().partitions {
            // Less than before where a gap was settled by going on behind the loss.
            let known = (partition.copies.clone(), partition.target_offset);
            self.copied.insert(name.clone(), known);
        }
        let copies: Vec<_> = self.copied.values().map(|(copy, _)| copy.clone()).collect();
        let ends = target.edges(&copies, Edge::HighWatermark, within)?;
        self.short.looked_at = Some(Instant::now());
        let short = self.copied.iter().filter(|(_, (copy, to))| {
            *to > TargetOffset::new(0)
                && match ends.get(copy) {
                    Some(Ok(end)) => *end < to.get(),
                    Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => true,
                    // What a broker does not tell just now is not lost.
                    Some(Err(_)) | None => false,
                }
        });
        self.short.partitions = short.map(|(name, _)| name.clone()).collect();
        Ok(())
    }

    /// What the last look found.
    pub const fn short(&self) -> &ShortLogs {
        &self.short
    }

    /// Whether a partition that another worker holds seems to have lost copies: only stored positions tell where that one
    /// goes on since.
    pub fn is_anybody_elses(&self, board: &Board) -> bool {
        let own = &board.hold().partitions;
        let mut partitions = self.short.partitions.iter();
        partitions.any(|partition| !own.contains_key(partition))
    }

    /// Whether this topic of the source has lost copies: then its copy is neither made nor grown here.
    pub fn concerns(&self, topic: &str) -> bool {
        let partitions = &self.short.partitions;
        partitions
            .iter()
            .any(|partition| &*partition.topic == topic)
    }
}
